"""Every method of the comparison, in the order of the table."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks.detection.competitors import (
    attribution,
    embedding,
    headwatch,
    kolmogorov,
    stability,
    streaming,
)
from benchmarks.detection.competitors.evidently_preset import evidently
from benchmarks.detection.competitors.method import Method

EVIDENTLY = Path(sys.prefix) / "evidently-environment" / "bin" / "python"
"""Inside the environment in use: `make bench-detection` makes it there."""


def methods() -> tuple[Method, ...]:
    """Those that are not installed are among them; see ``Method.installed``."""
    return (
        headwatch.WHOLE,
        headwatch.PREDICTIONS,
        kolmogorov.HEADS,
        kolmogorov.PREDICTIONS,
        embedding.METHOD,
        attribution.METHOD,
        stability.METHOD,
        *streaming.METHODS,
        evidently(EVIDENTLY),
    )
