"""What was seen of every family, and the table in ``docs/models.md`` that says so.

``python -m tests.replay.family_table`` writes the table; a test compares it with a fresh look.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
import torch

from monitor.analysis.settings import AnalysisSettings
from monitor.reading.analyser import Analyser
from monitor.records import STATISTICS, Sample
from monitor.replay.answers import read_answers
from monitor.replay.images import self_test_images
from monitor.replay.model import load_model
from monitor.replay.replayed_model import ReplayModel
from monitor.replay.settings import ModelSettings
from monitor.replay.tokens import Encoded
from tests.families import FAMILIES, Family, save_family
from tests.replay.family_reference import PlainModel, rows_of

DOCS = Path(__file__).parents[2] / "docs" / "models.md"
BEGIN, END = "<!-- families: written by tests/replay/family_table.py -->", "<!-- families: end -->"
TOLERANCE = 2e-5
TEXTS = (
    "The cat sat on the mat, and the small red dog ran slowly under the house by the river.",
    "Playing!",
    "It was unable to walk; but it ran, very quickly and quickly.",
)
ANSWERS = ("the dog ran slowly.", "a cat!", "it was very quickly and")
_ROUTES = {
    "argument": "`inputs_embeds`",
    "argument and positions": "`inputs_embeds` and positions",
    "module": "at the embedding module",
    "none": "no",
}


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What one family's tiny model showed. ``*_gap``: the largest differences from the plain model.

    ``alone_gap``: of the answers in batches, with and without gradient, from those to each row alone.
    """

    name: str
    tier: str
    layers: int
    layers_there: int
    statistics: int
    refused: tuple[tuple[str, str], ...]
    route: str
    answer_gap: float
    alone_gap: float
    profile_gap: dict[str, float]
    rollout_gap: dict[str, float]
    completeness_gap: float


def samples_of(name: str) -> list[Sample]:
    """Inputs of unlike length; images for a model of images, answers too for an encoder-decoder."""
    kind = FAMILIES[name].kind
    if kind == "image":
        return [Sample(id=str(i), time=0.0, image=image) for i, image in enumerate(self_test_images())]
    pairs = ANSWERS if kind == "encoder-decoder" else (None,) * len(TEXTS)
    return [
        Sample(id=text, time=0.0, text=text, text_pair=pair) for text, pair in zip(TEXTS, pairs, strict=True)
    ]


def look_at(name: str, folder: Path) -> Seen:
    """The family's tiny model in ``folder``, by texts or pictures of unlike length."""
    samples = samples_of(name)
    return compare(name, FAMILIES[name], folder, samples, explained=len(samples))


def compare(name: str, family: Family, folder: Path, samples: list[Sample], *, explained: int) -> Seen:
    """Load a model both ways and compare, with padding on either side; attribute the first ``explained``."""
    analyser = Analyser(load_model(ModelSettings(source=str(folder))), AnalysisSettings())
    plain = PlainModel(family, folder)
    model = analyser.model
    encoded, refused = analyser.encode(samples)
    assert not refused, refused
    rows = list(encoded.values())
    answer_gap, profile_gap, rollout_gap = 0.0, {}, {}
    sides: tuple[Literal["right", "left"], ...] = ("right", "left")
    for side in sides:
        batch = model.batch(rows, side=side)
        output = plain.forward(_call(plain, batch))
        with torch.no_grad():
            wanted = read_answers(output, batch, model.kind_of(batch), None)
        given = model.run(batch, analyser.reader._reducer(batch, keep_contexts=False)).answers
        scale = max(1.0, float(wanted.abs().max()))
        answer_gap = max(answer_gap, float((given - wanted).abs().max()) / scale)
        if not model.finding.reads_attention:
            continue
        profile_gap[side], rollout_gap[side] = _gaps(analyser, plain, output, batch)
    return Seen(
        name=name,
        tier=model.tier,
        layers=model.layers_seen,
        layers_there=model.finding.layers_there,
        statistics=len(model.statistics),
        refused=model.finding.refused,
        route=model.route,
        answer_gap=answer_gap,
        alone_gap=_alone_gap(model, plain, rows),
        profile_gap=profile_gap,
        rollout_gap=rollout_gap,
        completeness_gap=max(
            (a.relative_delta for a in analyser.attribute(samples[:explained])), default=float("nan")
        ),
    )


def _alone_gap(model: ReplayModel, plain: PlainModel, rows: list[Encoded]) -> float:
    """Batches as they are planned against the plain model on one unpadded row at a time."""
    largest = 0.0
    for members in model.plan(rows):
        together = model.batch([rows[i] for i in members])
        for gradient in (False, True):
            given = model.run(together, gradient=gradient and model.takes_gradient).answers.detach()
            for place, member in enumerate(members):
                row = model.batch([rows[member]])
                output = plain.forward(_call(plain, row))
                wanted = read_answers(output, row, model.kind_of(row), None)[0]
                here = given[place]
                if wanted.ndim > 1:
                    here = here[here[:, -1] > 0]
                    wanted = wanted[wanted[:, -1] > 0]
                scale = max(1.0, float(wanted.abs().max()))
                largest = max(largest, float((here - wanted).abs().max()) / scale)
    return largest


def _gaps(analyser: Analyser, plain: PlainModel, output: Any, batch: Any) -> tuple[float, float]:
    reading = analyser.reader.read_batch(batch, gradient=False)
    real = batch.real.numpy()
    decoder = None if batch.decoder_real is None else batch.decoder_real.numpy()
    wanted = rows_of(plain, output, real, decoder, batch.special.numpy())
    chosen = [STATISTICS.index(name) for name in analyser.statistics]
    profile = rollout = 0.0
    for row, (profile_row, rollout_row) in enumerate(wanted):
        expected = profile_row[..., chosen]
        assert not np.isnan(expected).any(), "a statistic is given that the reference does not know"
        profile = max(profile, float(np.abs(reading.profile[row] - expected).max()))
        rollout = max(rollout, float(np.abs(reading.rollout[row][real[row]] - rollout_row).max()))
    return profile, rollout


def _call(plain: PlainModel, batch: Any) -> dict[str, torch.Tensor]:
    if batch.pixels is not None:
        return {"pixel_values": batch.pixels}
    call = {"input_ids": batch.ids, "attention_mask": batch.real.long()}
    if batch.decoder_ids is not None:
        call |= {
            "decoder_input_ids": batch.decoder_ids,
            "decoder_attention_mask": batch.decoder_real.long(),
        }
    return call


def table_of(seen: list[Seen], families: Mapping[str, Family] = FAMILIES) -> str:
    """The Markdown table, one row a family."""
    lines = [
        "| family | kind | tier | layers | statistics | embeddings for attribution | why no earlier tier |",
        "|---|---|---|---|---|---|---|",
    ]
    for one in seen:
        family = families[one.name]
        title = f"{family.title} ({family.note})" if family.note else family.title
        tier = {"layer hooks": "3: layer hooks", "tap": "1: tap", "module eager": "2: module eager",
                "all matrices": "4: all matrices"}.get(one.tier, "5: attribution only")  # fmt: skip
        reasons = dict.fromkeys(reason for _, reason in one.refused)
        lines.append(
            f"| {title} | {family.kind} | {tier} | {one.layers} of {one.layers_there} | {one.statistics} "
            f"| {_ROUTES[one.route]} | {'; '.join(reasons)} |"
        )
    return "\n".join(lines)


def table_in(page: str, begin: str = BEGIN, end: str = END) -> str:
    """The table that stands in the page between two marks."""
    found = re.search(f"{re.escape(begin)}\n(.*?)\n{re.escape(end)}", page, re.DOTALL)
    assert found is not None, "docs/models.md has lost the marks of its table"
    return found[1].strip()


def put_table(table: str, begin: str = BEGIN, end: str = END) -> None:
    """Write the table between its marks, whatever stood there, and nowhere else."""
    before, _, rest = DOCS.read_text(encoding="utf-8").partition(begin)
    assert rest, "docs/models.md has lost the marks of its table"
    after = rest.partition(end)[2]
    DOCS.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")


def write_table() -> None:
    """Look at every family and write the table into the docs."""
    with TemporaryDirectory() as folder:
        seen = [look_at(name, save_family(name, Path(folder) / name)) for name in FAMILIES]
    put_table(table_of(seen))


if __name__ == "__main__":
    write_table()
    sys.stdout.write(f"{DOCS}: table of {len(FAMILIES)} families written\n")
