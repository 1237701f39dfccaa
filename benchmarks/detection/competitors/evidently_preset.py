"""Evidently's ``DataDriftPreset`` with its defaults, on every tenth head statistic and the predictions.

Evidently draws every column twice, which takes 75 ms a column: all 720 would take 56 s a window. It
runs in an environment of its own (``requirements-evidently.txt``): its newest release does not
import beside the pandas that MLflow brings.
"""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.competitors.kolmogorov import head_columns
from benchmarks.detection.competitors.method import Begin, Method, Reference, without_memory
from benchmarks.detection.pools import Pool

EVERY = 10
WORKER = Path(__file__).with_name("evidently_worker.py")


class Worker:
    """A Python of another environment that judges windows against one baseline, one line each."""

    def __init__(self, python: Path, baseline: Pool) -> None:
        self._folder = tempfile.TemporaryDirectory()
        self._process = subprocess.Popen(
            [str(python), str(WORKER), str(self._written(baseline))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "DO_NOT_TRACK": "1", "PYTHONPATH": ""},
        )
        atexit.register(self.close)
        self._answer()

    def judge(self, window: Pool) -> dict[str, Any]:
        """``share`` of the columns that drifted, ``columns`` how many there are."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{self._written(window)}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def _written(self, pool: Pool) -> Path:
        path = Path(self._folder.name) / "window.npy"
        np.save(path, np.column_stack([head_columns(pool)[:, ::EVERY], pool.features.prediction]))
        return path


def evidently(python: Path) -> Method:
    """The method; ``python`` is the interpreter that has Evidently."""

    def fit(reference: Reference) -> Begin:
        worker = Worker(python, reference.baseline)

        def decide(window: Pool) -> tuple[bool, ...]:
            answer = worker.judge(window)
            return answer["share"] >= 0.5, answer["share"] > 0

        return without_memory(decide)

    return Method(
        names=("Evidently, half of the columns", "Evidently, any column"),
        fit=fit,
        installed=python.exists,
        slow=True,
    )
