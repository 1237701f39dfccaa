"""What all tests share: a quiet, offline environment and the demo's model."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Set before any library reads them.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MPLBACKEND"] = "Agg"
os.environ["TOKENIZERS_PARALLELISM"] = "false"

settings.register_profile("headwatch", deadline=None, print_blob=True)
settings.load_profile("headwatch")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def sentiment_model() -> Path:
    """The demo's sentiment classifier (6 layers x 12 heads), assembled once and kept in .cache/."""
    from examples.sentiment.assemble import assemble

    return assemble(ROOT / ".cache" / "sentiment")
