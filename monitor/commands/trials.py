"""What ``backtest`` does with several settings: the log profiled once, judged under each."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from monitor.backtest import pieces_of
from monitor.commands.outputs import whole_file
from monitor.commands.progress import progress
from monitor.commands.rates import SMALLEST_WINDOW
from monitor.commands.references import Prepared
from monitor.errors import InputError
from monitor.reading.analyser import Analyser
from monitor.records import Sample, Verdict
from monitor.tuning.feature_file import feature_bytes, load_features, provenance
from monitor.tuning.incidents import Incident
from monitor.tuning.profiled import Profiled, attribute_places, profile_log, to_attribute
from monitor.tuning.sweep import Trial, sweep


def profiled_log(
    samples: Sequence[Sample],
    analyser: Analyser,
    windows: Sequence[int],
    path: Path | None,
    attributions: int,
) -> tuple[Profiled, dict[int, frozenset[int]]]:
    """The log's features, from the file where it has them; by window size, the places to attribute."""
    chosen = {
        size: frozenset(
            itertools.chain.from_iterable(
                to_attribute(samples, piece, attributions)
                for piece in pieces_of(len(samples), size, minimum=SMALLEST_WINDOW)[0]
            )
        )
        for size in windows
    }
    wanted = frozenset[int]().union(*chosen.values()) if attributions else frozenset[int]()
    return _features(samples, analyser, path, wanted), chosen


def _features(
    samples: Sequence[Sample], analyser: Analyser, path: Path | None, wanted: frozenset[int]
) -> Profiled:
    origin = provenance(samples, analyser)
    if path is not None and path.exists():
        found = load_features(path, origin)
        if wanted - set(found.integrated):
            raise InputError(
                f"--features = {path}: lacks Integrated Gradients of {len(wanted - set(found.integrated))} "
                "samples; delete it to profile the log again, or leave --attributions out"
            )
        return found
    with progress("profiling", len(samples)) as done:
        found = profile_log(samples, analyser, on_progress=done)
    if wanted:
        with progress("attributing", len(wanted)) as done:
            words = attribute_places(samples, wanted, analyser, on_progress=done)
        found = replace(found, integrated=words)
    if path is not None:
        with whole_file("--features", path) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(feature_bytes(found, origin))
    return found


def tried(
    profiled: Profiled,
    chosen: Mapping[int, frozenset[int]],
    prepared: Prepared,
    windows: Sequence[int],
    incidents: Sequence[Incident],
    *,
    on_alarm: Callable[[Verdict], None],
) -> list[Trial]:
    """Every setting's verdicts; a lone setting's are told to ``on_alarm`` as they come."""
    each = sum(len(pieces_of(profiled.stop, size, minimum=SMALLEST_WINDOW)[0]) for size in windows)
    judged = itertools.count(1)
    alone = len(windows) == len(prepared.detectors) == 1
    with progress("judging", each * len(prepared.detectors)) as done:

        def on_window(verdict: Verdict) -> None:
            done(next(judged))
            if alone:
                on_alarm(verdict)

        return list(
            sweep(
                profiled,
                prepared.detectors,
                windows,
                incidents=incidents,
                attributed=chosen,
                probe=prepared.probe,
                word_name=prepared.word_name,
                on_window=on_window,
            )
        )
