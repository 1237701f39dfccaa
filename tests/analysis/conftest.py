"""Tiny models, written once a session, and analysers over them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from monitor.analysis.settings import AnalysisSettings
from monitor.reading.analyser import Analyser
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings
from tests.models import save_tiny


@pytest.fixture(scope="session")
def tiny_analyser(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Analyser]:
    """``tiny_analyser("bert", token_budget=64)``: an analyser of a tiny random model."""
    folder_of = cache(lambda name: save_tiny(name, tmp_path_factory.mktemp(name)))

    @cache
    def analyser(name: str, **options: Any) -> Analyser:
        settings = ModelSettings(source=str(folder_of(name)), **options)
        return Analyser(load_model(settings), AnalysisSettings())

    return analyser
