"""Whether the verdict names the right cause: a confusion matrix over stories whose cause is known.

A story counts by everything that its verdicts say from the onset on: a wrong cause in one window is
as wrong as one in all of them, and where there are two causes both must be told.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np

from benchmarks.detection.judging import DEFAULT, fitted
from benchmarks.detection.pools import World
from benchmarks.detection.recipes import DAMAGES
from benchmarks.detection.stories import QUIET_BEFORE, Story, stories
from benchmarks.detection.streams import split
from benchmarks.detection.teller import Teller, served
from monitor.drift.detector import Detector, WindowFacts
from monitor.drift.probe import compare
from monitor.privacy import in_clear
from monitor.records import ProbeReading, Verdict

ORDER = ("model", "serving", "environment", "declared rollout", "upgrade", "data")
SEEDS = 2
LONGEST = 40
GOES_ON = 10
"""Windows for which a story goes on after all its causes were told."""


def run(world: World, smoke: bool) -> dict[str, Any]:
    """The matrix (what was done -> what was said -> stories), every story, and the heads named."""
    matrix: dict[str, dict[str, int]] = {}
    told: list[dict[str, Any]] = []
    for seed in range(1 if smoke else SEEDS):
        rng = np.random.default_rng([seed, 7])
        parts = split(world.pools["held_out"], rng)
        teller = Teller(world=world, parts=parts, rng=rng)
        own = parts.baseline_pool()
        baseline = replace(own, features=served(own))
        detector = fitted(world, baseline, DEFAULT, probe=teller.healthy)
        for story in stories(teller, smoke=smoke):
            said, windows = tell(detector, teller, story)
            told.append({"seed": seed, "done": story.done, "detail": story.detail, "said": said,
                         "windows": windows})  # fmt: skip
            row = matrix.setdefault(story.done, {})
            row[said] = row.get(said, 0) + 1
    return {
        "world": world.name,
        "matrix": matrix,
        "wrong": [story for story in told if story["said"] != story["done"]],
        "stories": told,
        "single_heads": single_heads(world),
    }


def tell(detector: Detector, teller: Teller, story: Story) -> tuple[str, int]:
    """What the verdicts of one story say, and after how many windows all of it had been said."""
    state, said, complete = detector.start(), set[str](), LONGEST
    wanted = set() if story.done == "none" else set(story.done.split(" + "))
    for index in range(QUIET_BEFORE + LONGEST):
        shifted = index >= QUIET_BEFORE
        features = next(story.windows if shifted else teller.quiet())
        facts = WindowFacts(index=index, start=300.0 * index, end=300.0 * index + 299, received=len(features))
        state, verdict = detector.judge(
            state,
            features,
            window=facts,
            probe=story.reading if index >= QUIET_BEFORE + story.healthy else teller.healthy,
            declared=shifted and story.declared,
            word_name=in_clear,
        )
        said |= causes_of(verdict)
        if wanted and wanted <= said:
            complete = min(complete, index - QUIET_BEFORE + 1)
            if index - QUIET_BEFORE >= complete + GOES_ON:
                break
    return label(said), complete


def causes_of(verdict: Verdict) -> set[str]:
    """The causes as the matrix names them; an announced one that is no note counts as an alarm."""
    if not verdict.alarm:
        return {"upgrade"} if verdict.upgrades else set()
    said = set()
    for cause in verdict.causes:
        if cause == "data":
            said.add("data")
        elif verdict.declared:
            said.add("declared rollout")
        elif cause == "environment" and verdict.upgrades:
            said.add("upgrade")
        else:
            said.add(cause)
    announced = said <= {"declared rollout", "upgrade"}
    return {f"{verdict.severity}"} if announced and verdict.severity != "note" else said


def label(said: Iterable[str]) -> str:
    """One column of the matrix."""
    found = set(said)
    return " + ".join([*(name for name in ORDER if name in found), *sorted(found - set(ORDER))]) or "none"


def single_heads(world: World) -> dict[str, int]:
    """Of all single-head faults: those whose head the hashes name, and the probe's rule without them."""
    before = world.readings["baseline"]
    features = world.pools["held_out"].features
    head_sd = features.profile.std(axis=0, dtype=np.float64)
    prediction_sd = features.prediction.std(axis=0, dtype=np.float64)
    counts = {"faults": 0, "by_hashes": 0, "by_probe_rule": 0}
    for name in world.readings:
        damage, _, head = name.rpartition("_")
        if damage not in DAMAGES:
            continue
        counts["faults"] += 1
        for key, one, other in (
            ("by_hashes", before, world.readings[name]),
            ("by_probe_rule", _without_hashes(before), _without_hashes(world.readings[name])),
        ):
            result = compare(one, other, head_sd, prediction_sd)
            assert result is not None
            counts[key] += [str(item.head) for item in islice(result.heads, 1) if item.named] == [head]
            if key == "by_hashes":
                assert all(item.named == (str(item.head) == head) for item in result.heads), name
    return counts


def _without_hashes(reading: ProbeReading) -> ProbeReading:
    return replace(reading, identity=replace(reading.identity, head_hashes=(), other_hashes={}))
