"""Stories whose cause is known: what was done, and the windows, readings and answers that came of it.

Every number is measured: windows are real texts through the healthy or the faulty model, readings are
the probe's through the same fault, and a served answer is what the model that serves said of the same
text. Made up are only the version of a library and the revision that the traffic declares.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, islice

from benchmarks.detection.recipes import BOTH
from benchmarks.detection.teller import Teller
from monitor.records import Features, ModelIdentity, ProbeReading

QUIET_BEFORE = 5
BETWEEN = 6
"""Windows between the first cause and the second, where one comes after the other."""
NEWER = {"torch": "99.0", "transformers": "99.0"}
SHIFTS = (
    ("guardian", 0.1),
    ("guardian", 1.0),
    ("german", 0.1),
    ("imdb", 0.1),
    ("imdb_same_length", 0.5),
    ("bbc", 0.25),
    ("punctuation_stripped", 0.25),
    ("cut_to_16", 0.25),
    ("injections", 0.25),
    ("trigger_serendipity", 0.1),
    ("trigger_cf", 0.1),
    ("spanish", 0.25),
)
WEIGHTS = (
    *(f"checkpoint_{name}" for name in ("seed_11", "one_epoch")),
    "vocabulary_shifted",
    "other_vocabulary",
    "lower_casing_removed",
)
DAMAGED = ("output_zeroed_L0H3", "output_zeroed_L5H11", "queries_permuted_L2H6", "queries_noised_L3H1",
           "queries_noised_L5H0", "output_zeroed_L4H8", "queries_permuted_L1H10")  # fmt: skip
SURROUNDINGS = ("int8", "no_attention_mask", "padding_on_the_left", "truncated_to_16", "bf16")
"""Faults that leave the model's files as they are; bf16 here is done behind the sidecar's back."""
SERVERS = ("vocabulary_shifted", "other_vocabulary", "no_attention_mask", "checkpoint_seed_11",
           "checkpoint_one_epoch", "padding_on_the_left", "truncated_to_16")  # fmt: skip
FEWEST_WRONG = 0.04
"""A server whose labels differ on fewer texts than this is no story: nobody could tell."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """``done``: the row of the matrix; after QUIET_BEFORE windows come ``windows`` without end.

    ``reading`` is the probe's once ``healthy`` of them have passed; ``declared``: a rollout is under way.
    """

    done: str
    detail: str
    windows: Iterator[Features]
    reading: ProbeReading
    healthy: int = 0
    declared: bool = False


def stories(teller: Teller, *, smoke: bool) -> Iterator[Story]:
    """Every story that the world has the pools and readings for."""
    yield from _data(teller, smoke=smoke)
    if smoke:
        return
    yield from _model(teller)
    yield from _surroundings(teller)
    yield from _serving(teller)
    yield from _several(teller)


def _data(teller: Teller, *, smoke: bool) -> Iterator[Story]:
    for number in range(2 if smoke else 5):
        yield _story("none", f"quiet {number}", teller.quiet(), teller.healthy)
    for name, share in SHIFTS:
        if name in teller.world.pools:
            windows = teller.shifted(name, share)
            yield _story("data", f"{name} {100 * share:g} %", windows, teller.healthy)
    newer = upgraded(teller.healthy)
    yield _story("upgrade", "libraries, the same numbers", teller.quiet(), newer)


def _model(teller: Teller) -> Iterator[Story]:
    for name in _there(teller, (*WEIGHTS, *DAMAGED)):
        reading = teller.world.readings[name]
        yield _story("model", name, teller.faulty(name), reading)
        declared = _story("declared rollout", name, teller.faulty(name), reading)
        yield replace(declared, declared=True)


def _surroundings(teller: Teller) -> Iterator[Story]:
    for name in _there(teller, SURROUNDINGS):
        reading = replace(teller.world.readings[name], identity=_unaware(teller, name))
        for healthy_server in (False, True):
            windows = teller.faulty(name, healthy_server=healthy_server)
            detail = f"{name}{', the server healthy' * healthy_server}"
            yield _story("environment", detail, windows, reading)
    for name in _there(teller, ("bf16", "int8")):
        windows, known = teller.faulty(name), teller.world.readings[name]
        yield _story("upgrade", f"{name} and libraries", windows, upgraded(known))
        own = teller.faulty(name, healthy_server=True)
        yield _story("upgrade", f"{name} of the sidecar alone", own, upgraded(known))
    for name in _there(teller, ("bf16",)):
        yield _story("upgrade", name, teller.faulty(name), teller.world.readings[name])


def _serving(teller: Teller) -> Iterator[Story]:
    for name in _there(teller, SERVERS):
        if teller.labels_differ(name) < FEWEST_WRONG:
            continue
        for share in (1.0, 0.5):
            windows = teller.misserved(name, share=share)
            yield _story("serving", f"{name} {100 * share:g} %", windows, teller.healthy)
        canary = teller.misserved(name, share=0.5)
        story = _story("declared rollout", f"canary of {name}", canary, teller.healthy)
        yield replace(story, declared=True)


def _several(teller: Teller) -> Iterator[Story]:
    """A fault and other data: both at once, the data first, the fault first; and other data misserved."""
    for fault, name in ((fault, name) for fault, names in BOTH.items() for name in names):
        if not {f"{name}_through_{fault}", fault, name} <= set(teller.world.pools):
            continue
        done = f"{'environment' if fault in SURROUNDINGS else 'model'} + data"
        reading, what = teller.world.readings[fault], f"{fault}, {name} 50 %"
        both = partial(teller.shifted, name, 0.5, fault=fault)
        data_first = chain(islice(teller.shifted(name, 0.5), BETWEEN), both())
        fault_first = chain(islice(teller.faulty(fault), BETWEEN), both())
        yield _story(done, what, both(), reading)
        yield replace(_story(done, f"{what} before it", data_first, reading), healthy=BETWEEN)
        yield _story(done, f"{what} after it", fault_first, reading)
        announced, newer = _story("declared rollout + data", what, both(), reading), upgraded(reading)
        yield replace(announced, declared=True)
        if fault in SURROUNDINGS:
            yield _story("upgrade + data", what, both(), newer)
        if teller.labels_differ(fault) >= FEWEST_WRONG:
            windows = teller.misserved(fault, other=name)
            yield _story("serving + data", f"{fault}, {name} 25 %", windows, teller.healthy)


def upgraded(reading: ProbeReading) -> ProbeReading:
    """The same numbers under newer libraries."""
    identity = reading.identity
    return replace(reading, identity=replace(identity, libraries={**identity.libraries, **NEWER}))


def _unaware(teller: Teller, name: str) -> ModelIdentity:
    """The identity of a fault that the sidecar was not told of."""
    return teller.healthy.identity if name == "bf16" else teller.world.readings[name].identity


def _there(teller: Teller, names: Iterable[str]) -> list[str]:
    return [name for name in names if name in teller.world.pools and name in teller.world.readings]


def _story(done: str, detail: str, windows: Iterator[Features], reading: ProbeReading) -> Story:
    return Story(done=done, detail=detail, windows=windows, reading=reading)
