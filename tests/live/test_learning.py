"""Which samples a baseline is learnt from: evenly over its time, and so that windows can be told apart."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from monitor.config.configuration import BaselineSettings
from monitor.drift.blocks import time_blocks
from monitor.live.learning import LiveBaseline
from monitor.privacy import WordPrivacy
from monitor.records import Features
from monitor.state.settings import StateSettings, WindowSettings
from monitor.state.store import StateStore
from tests.drift.synthetic import draw_features

FIVE_MINUTES = 300.0
A_WEEK = 7 * 86400.0


class Learner:
    """A baseline that is offered one window after the other."""

    def __init__(self, store: StateStore, window: WindowSettings, settings: BaselineSettings) -> None:
        self.now = 1_790_000_000.0
        self.baseline = LiveBaseline(
            store=store,
            privacy=WordPrivacy(key=bytes(32)),
            window=window,
            settings=settings,
            clock=lambda: self.now,
        )
        self.taken: list[int] = []

    def window(self, samples: int = 200) -> int:
        """How many of these samples are taken."""
        self.now += FIVE_MINUTES
        count = min(samples, self.baseline.quota())
        self.taken.append(count)
        self.baseline.add(window_of(count, self.now))
        return count


@contextmanager
def learner(folder: Path, duration: float = A_WEEK) -> Iterator[Learner]:
    window = WindowSettings(duration=FIVE_MINUTES)
    store = StateStore(folder / "state.sqlite", settings=StateSettings(), window=window, clock=lambda: 0.0)
    yield Learner(store, window, BaselineSettings(duration=duration))
    store.close()


def window_of(count: int, time: float) -> Features:
    drawn = draw_features(np.random.default_rng(0), max(count, 1)).take(range(count))
    return replace(drawn, times=np.full(count, time))


def test_a_week_is_learnt_from_sixty_windows_each_of_which_fills_one_of_the_blocks(tmp_path: Path) -> None:
    with learner(tmp_path) as learning:
        while not learning.baseline.complete():
            learning.window()
        assert sum(learning.taken) == 2000
        assert len(learning.taken) == 7 * 24 * 12 + 1
        chosen = [place for place, count in enumerate(learning.taken) if count]
        assert len(chosen) == 60
        assert {learning.taken[place] for place in chosen} == {33, 34}
        assert {after - before for before, after in itertools.pairwise(chosen)} <= {33, 34}
        # Wobble between windows is read from blocks of samples: a block must not mix windows.
        times = learning.baseline.features().times
        blocks = time_blocks(times, 60)
        purest = [np.unique(times[blocks == block], return_counts=True)[1].max() for block in range(60)]
        assert min(purest) >= 32


def test_what_a_silent_night_left_open_is_made_up_over_hours(tmp_path: Path) -> None:
    with learner(tmp_path) as learning:
        for _ in range(12 * 12):
            learning.window()
        for _ in range(12 * 12):
            assert learning.window(0) == 0
        for _ in range(12 * 3):
            assert learning.window() <= 34
        made_up = [count for count in learning.taken[-36:] if count]
        assert 4 <= len(made_up) <= 6
        while not learning.baseline.complete():
            learning.window()
        assert learning.baseline.samples == 2000


def test_windows_too_small_for_their_share_give_it_together(tmp_path: Path) -> None:
    with learner(tmp_path) as learning:
        assert [learning.window(10) for _ in range(5)] == [10, 10, 10, 4, 0]


def test_a_baseline_as_short_as_a_few_windows_takes_a_share_of_each(tmp_path: Path) -> None:
    with learner(tmp_path, duration=20 * FIVE_MINUTES) as learning:
        assert [learning.window() for _ in range(20)] == [100] * 20
