"""Tiny models, written once a session."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from tests.families import save_family
from tests.models import save_tiny


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``tiny_folder("bert")``: the directory of a tiny random model; copy it before changing it."""
    return cache(lambda name: save_tiny(name, tmp_path_factory.mktemp(name)))


@pytest.fixture(scope="session")
def tiny_family(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``tiny_family("t5")``: the directory of a tiny random model of ``tests/families.py``."""
    return cache(lambda name: save_family(name, tmp_path_factory.mktemp(name)))
