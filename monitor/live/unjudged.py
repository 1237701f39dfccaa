"""The verdict on a window that no detector judged: why, and nothing else."""

from __future__ import annotations

from monitor.records import ModelIdentity, State, Verdict
from monitor.state.rows import WindowRow


def unjudged(
    row: WindowRow, *, identity: ModelIdentity, baseline: str, samples: int, state: State, summary: str
) -> Verdict:
    """No evidence, no alarm; ``state`` says that this is not quiet, ``summary`` why."""
    return Verdict(
        model=identity.name,
        revision=identity.revision,
        baseline=baseline,
        window=row.index,
        start=row.start,
        end=row.last_moment,
        samples=samples,
        received=row.received,
        state=state,
        alarm=False,
        raised=False,
        cleared=False,
        episode=None,
        causes=(),
        severity=None,
        since=None,
        since_time=None,
        evidence=0.0,
        limit=0.0,
        channels={},
        summary=summary,
    )
