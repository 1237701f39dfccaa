"""The cycle as the sidecar runs it, from its configuration; ``baseline promote`` builds the same."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from monitor.config.configuration import Config
from monitor.cycle.state import Cycle
from monitor.reading.analyser import Analyser
from monitor.replay.model import load_model
from monitor.replay.probe_inputs import load_probe_texts
from monitor.sidecar.keys import word_privacy
from monitor.sidecar.sinks import Sinks, fetch_registered_baseline, resolved_model
from monitor.state.store import StateStore


def build_cycle(config: Config, store: StateStore, sinks: Sinks, *, should_stop: Callable[[], bool]) -> Cycle:
    """Load the model and take up what the state file holds."""
    # Beside the state file, whose lock keeps others away: a restart finds its download again.
    settings = resolved_model(config, downloads=config.state.file.with_suffix(".model"))
    cycle = Cycle(
        config=config.model_copy(update={"model": settings}),
        store=store,
        load=lambda: Analyser(load_model(settings), config.analysis),
        probe_texts=load_probe_texts(config.probe.file),
        privacy=word_privacy(config.privacy, folder=Path(config.state.file).parent),
        sinks=sinks.kinds,
        fetch_baseline=lambda name: fetch_registered_baseline(config, name),
        clock=time.time,
        should_stop=should_stop,
    )
    cycle.start()
    return cycle
