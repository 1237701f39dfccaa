"""What each command's exit codes mean: the one list for help, documentation and tests."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

DONE, FAILED, USAGE, MODEL, INPUT, BASELINE, STATE, SINK = range(8)
DIFFERENT = 3
WARNING, CRITICAL, UNKNOWN = 11, 12, 13
INTERRUPTED = 130
PIPE_CLOSED = 141

EXIT_CODES: Mapping[int, str] = MappingProxyType(
    {
        DONE: "done",
        FAILED: "failed",
        USAGE: "wrong usage, or a configuration that cannot be used",
        MODEL: "the model cannot be loaded or watched; `compare --fail-on`: the checkpoints differ",
        INPUT: "an input file cannot be read",
        BASELINE: "the baseline does not fit this version or this model",
        STATE: "the state file cannot be used",
        SINK: "a sink refused",
        WARNING: "`status`: an alarm that can wait (warning or info)",
        CRITICAL: "`status`: an alarm that cannot wait (critical)",
        UNKNOWN: "`status`: not known, or no answer; `report`: no answer",
        INTERRUPTED: "interrupted",
        PIPE_CLOSED: "the program that read the output has ended",
    }
)

EVERYWHERE: tuple[int, ...] = (FAILED, INTERRUPTED, PIPE_CLOSED)
"""Any command may end with these: a fault of ours, Ctrl-C, `| head`."""

_USAGE = "wrong usage, or a file that cannot be written"
_CONFIG = "wrong usage, or a configuration that cannot be used"
_MODEL = "the model cannot be loaded or has nothing that this command reads"
_INPUT = "an input file cannot be read or has nothing usable in it"
_BASELINE = "the baseline does not fit this version or this model"
_PROBE = "the probe's texts (probe.file) cannot be read or there are none"
_SINK = "the model or its baseline cannot be fetched from MLflow, or a notification URL cannot be used"

BY_COMMAND: Mapping[str, Mapping[int, str]] = MappingProxyType(
    {
        "run": {
            DONE: "stopped by SIGTERM or Ctrl-C, all state kept",
            USAGE: "wrong usage, a configuration that cannot be used, or an address that is taken",
            MODEL: "the model cannot be loaded or watched",
            INPUT: _PROBE,
            BASELINE: _BASELINE,
            STATE: "the state file cannot be used, or another process has it",
            SINK: _SINK,
        },
        "check": {
            DONE: "`headwatch run` with the same file will work",
            USAGE: _CONFIG,
            MODEL: "the model cannot be loaded or watched",
            INPUT: _INPUT,
            BASELINE: _BASELINE,
            STATE: "the state file cannot be used",
            SINK: _SINK,
        },
        "status": {
            DONE: "quiet: nothing has changed",
            USAGE: _CONFIG,
            WARNING: "an alarm that can wait: warning (ticket) or info (note)",
            CRITICAL: "an alarm that cannot wait: critical (page)",
            UNKNOWN: "not known: starting, learning, stale, too few samples, or no answer",
        },
        "report": {
            DONE: "the page is written, or the numbers printed",
            USAGE: "wrong usage, a configuration that cannot be used, or a file that cannot be written",
            INPUT: "there is no report yet, or the file is none that this version can draw",
            STATE: "the state file cannot be used",
            SINK: "--run: MLflow did not answer",
            UNKNOWN: "no sidecar answers",
        },
        "rules": {
            DONE: "the rules are written",
            USAGE: "wrong usage, a configuration that cannot be used, or a file that cannot be written",
        },
        "profile": {
            DONE: "the file is written; lines that are no sample were skipped and named",
            USAGE: _USAGE,
            MODEL: _MODEL,
            INPUT: _INPUT,
        },
        "explain": {
            DONE: "explained",
            USAGE: _USAGE,
            MODEL: _MODEL,
            INPUT: "there is nothing to explain in the text",
        },
        "compare": {
            DONE: "compared; without --fail-on whatever was found",
            USAGE: "wrong usage, or checkpoints that cannot be loaded or compared",
            DIFFERENT: "--fail-on: the checkpoints differ, and nothing else means 3",
            INPUT: _INPUT,
        },
        "backtest": {
            DONE: "judged, whatever was found",
            USAGE: _USAGE,
            MODEL: _MODEL,
            INPUT: _INPUT,
            BASELINE: _BASELINE,
        },
        "baseline build": {
            DONE: "the baseline is written (and registered, with --publish)",
            USAGE: _USAGE,
            MODEL: _MODEL,
            INPUT: _INPUT,
            BASELINE: "the log has too few samples for a baseline",
            SINK: "--publish: MLflow did not take it; the file is written all the same",
        },
        "baseline list": {
            DONE: "listed; files that cannot be read are named on stderr",
            USAGE: "wrong usage",
            INPUT: "the folder cannot be read",
            SINK: "--registry: MLflow did not answer",
        },
        "baseline show": {
            DONE: "shown",
            USAGE: "wrong usage",
            BASELINE: "the file cannot be read or is no baseline of this version",
        },
        "baseline promote": {
            DONE: "the other baseline is in force",
            USAGE: _CONFIG,
            MODEL: "--config: the model cannot be loaded or watched",
            INPUT: f"--config: {_PROBE}",
            BASELINE: "no alarm stands, its windows are too few, or the file is no baseline",
            STATE: "--config: the state file cannot be used, or the sidecar did not answer",
            SINK: f"--config: {_SINK}",
        },
    }
)
