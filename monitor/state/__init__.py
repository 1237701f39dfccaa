"""The one SQLite file: pending samples, windows, detector state, verdicts, outbox."""
