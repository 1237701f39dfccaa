"""Every head's whole attention over one input, for a page: one more pass, its size bounded."""

from __future__ import annotations

import math
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from monitor.analysis.heads.grouped_matrices import Bytes, GroupedMatrices, LayerGroups
from monitor.analysis.heads.role_changes import leading_roles
from monitor.analysis.heads.survey import HeadSurvey
from monitor.analysis.settings import ScheduledSettings
from monitor.reading.analyser import Analyser
from monitor.reading.batch_reading import Reading
from monitor.records import Array, HeadId
from monitor.records.statistic_names import readable
from monitor.replay.images import ImageEncoder, PatchGrid
from monitor.replay.replayed_model import ReplayModel
from monitor.replay.tokens import Encoded
from monitor.report.html.head_view import HeadNote, HeadRow, HeadView, Picture, Side, packed

MOST_WEIGHTS = 12_000_000
MOST_PACKED = 3_000_000
"""Bytes of the deflated matrices: in base64 a third more, so that the page stays below 5 MB."""
FEWEST_ITEMS = 8
SPACES = ("Ġ", "▁")


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """What a page shows as one: some tokens of the input, or some patches."""

    name: str
    tokens: tuple[int, ...]
    special: bool = False


def read_heads(
    analyser: Analyser,
    row: Encoded,
    strength: Array,
    *,
    gradient: bool = True,
    most_packed: int = MOST_PACKED,
) -> HeadView | None:
    """Every head's matrix over this input; None for a model whose attention cannot be read.

    ``strength`` (token,): of an input with too many tokens, words take the place of tokens (2 x 2
    patches that of patches), and where there are still too many the strongest are kept.
    ``gradient``: also each head's importance for this answer.
    """
    model = analyser.model
    if not model.finding.reads_attention:
        return None
    most = max(FEWEST_ITEMS, math.isqrt(MOST_WEIGHTS // (model.layers_seen * model.finding.head_count)))
    while True:
        view = _view(analyser, row, strength, most, gradient=gradient)
        widest = max(len(side.names) for side in view.sides.values())
        if widest <= FEWEST_ITEMS or len(packed(view)) <= most_packed:
            return view
        most = max(FEWEST_ITEMS, int(0.8 * min(most, widest)))


def _view(analyser: Analyser, row: Encoded, strength: Array, most: int, *, gradient: bool) -> HeadView:
    model = analyser.model
    gradient = gradient and model.takes_gradient
    grid = model.encoder.grid if isinstance(model.encoder, ImageEncoder) else None
    given, grid, notes = _fitting(model, row, grid, strength, most)
    if gradient:
        notes.append("Open at first: the head that this answer depends on most, by its importance.")
    sides = {"input": given}
    if model.finding.stacks:
        sides["output"] = _strongest(_decoder_items(model, row), np.zeros(0, dtype=np.float32), most)
    keeper = GroupedMatrices([_groups(sides, *ends) for ends in _ends(model)])
    survey = HeadSurvey(ScheduledSettings(roles=True))
    reading = analyser.reader.read_batch(
        model.batch([row]), gradient=gradient, more=[keeper], survey=survey, rows=[row]
    )
    matrices = keeper.matrices()
    survey.commit()
    roles = [] if survey.roles is None else leading_roles(survey.roles)
    if grid is not None and len(given) < grid.before + grid.rows * grid.columns:
        grid = None
    return HeadView(
        sides={
            name: Side(
                names=tuple(item.name for item in items),
                special=tuple(number for number, item in enumerate(items) if item.special),
            )
            for name, items in sides.items()
        },
        rows=tuple(
            _row(model, layer, matrix, reading, roles[layer] if layer < len(roles) else ())
            for layer, matrix in enumerate(matrices)
        ),
        columns=tuple(map(str, range(max(len(matrix) for matrix in matrices)))),
        picture=None if grid is None else picture_of(model, row, grid),
        notes=tuple(notes),
        start=_start(reading),
        toggle="the first token, where decoders rest" if model.causal else "special tokens",
    )


def _start(reading: Reading) -> tuple[int, int]:
    """The head that this answer depends on most; the first one where that is not known."""
    if reading.importance is None or not np.isfinite(reading.importance).all():
        return 0, 0
    layer, head = np.unravel_index(int(reading.importance[0].argmax()), reading.importance[0].shape)
    return int(layer), int(head)


def items_of(model: ReplayModel, row: Encoded) -> tuple[Item, ...]:
    """The words in their order, with the tokens that belong to none (special ones) between them."""
    inside = {place for word in row.words for place in word.tokens}
    alone = [item for item in token_items(model, row) if item.tokens[0] not in inside]
    words = [Item(name=word.text, tokens=word.tokens) for word in row.words]
    return tuple(sorted([*words, *alone], key=lambda item: item.tokens[0]))


def token_items(model: ReplayModel, row: Encoded) -> tuple[Item, ...]:
    """Every token, or patch, alone."""
    special = set(row.special) | ({0} if model.causal and not model.finding.stacks else set())
    names = row.tokens if model.reads_images else _shown(model, row.ids, row.tokens)
    return tuple(
        Item(name=name, tokens=(place,), special=place in special) for place, name in enumerate(names)
    )


def picture_of(model: ReplayModel, row: Encoded, grid: PatchGrid) -> Picture:
    """The image as the model saw it, under a grid of patches."""
    assert isinstance(model.encoder, ImageEncoder)
    kind, file = model.encoder.picture(row.pixels)
    address = f"data:image/{kind};base64,{b64encode(file).decode()}"
    return Picture(address=address, rows=grid.rows, columns=grid.columns, before=grid.before)


def _fitting(
    model: ReplayModel, row: Encoded, grid: PatchGrid | None, strength: Array, most: int
) -> tuple[tuple[Item, ...], PatchGrid | None, list[str]]:
    """At most ``most`` items, and what was done to get there."""
    items, notes = token_items(model, row), []
    if len(items) > most and grid is not None:
        while len(items) > most and min(grid.rows, grid.columns) > 1:
            items, grid = _pooled(items, grid)
        notes.append(f"Neighbouring patches are merged: {grid.rows} x {grid.columns} are shown.")
    elif len(items) > most:
        items = items_of(model, row)
        notes.append("The input is long: the tokens of a word are merged.")
    kept = _strongest(items, strength, most)
    if len(kept) < len(items):
        notes.append(
            f"Of {len(items)} words and special tokens the {len(kept)} with the strongest attribution are "
            "shown, and the first and the last; what goes to others is told as not shown."
        )
    return kept, grid, notes


def _strongest(items: tuple[Item, ...], strength: Array, most: int) -> tuple[Item, ...]:
    if len(items) <= most:
        return items
    padded = np.zeros(1 + max(place for item in items for place in item.tokens))
    padded[: len(strength)] = np.abs(strength[: len(padded)])
    sizes = np.array([padded[list(item.tokens)].sum() for item in items])
    sizes[[0, -1]] = np.inf
    kept = sorted(np.argsort(-sizes, kind="stable")[:most].tolist())
    return tuple(items[number] for number in kept)


def _pooled(items: Sequence[Item], grid: PatchGrid) -> tuple[tuple[Item, ...], PatchGrid]:
    """Blocks of 2 x 2 patches as one; those at an odd edge are smaller."""
    rows, columns = -(-grid.rows // 2), -(-grid.columns // 2)
    blocks: list[list[int]] = [[] for _ in range(rows * columns)]
    for number, item in enumerate(items[grid.before :]):
        row, column = divmod(number, grid.columns)
        blocks[row // 2 * columns + column // 2] += item.tokens
    names = PatchGrid(before=0, rows=rows, columns=columns).names
    merged = [Item(name=name, tokens=tuple(block)) for name, block in zip(names, blocks, strict=True)]
    return (*items[: grid.before], *merged), PatchGrid(before=grid.before, rows=rows, columns=columns)


def _decoder_items(model: ReplayModel, row: Encoded) -> tuple[Item, ...]:
    """The decoder's tokens; where it was given none it reads the input, moved on by one."""
    if not row.decoder_ids:
        before = token_items(model, row)[:-1]
        moved = (Item(name=item.name, tokens=(place,)) for place, item in enumerate(before, start=1))
        return (Item(name="(start)", tokens=(0,), special=True), *moved)
    names = _shown(
        model, row.decoder_ids, map(str, model.tokenizer.convert_ids_to_tokens(list(row.decoder_ids)))
    )
    special = set(range(len(row.decoder_ids))) - set(row.scored)
    return tuple(
        Item(name=name, tokens=(place,), special=place in special) for place, name in enumerate(names)
    )


def _shown(model: ReplayModel, ids: Sequence[int], tokens: Iterable[str]) -> tuple[str, ...]:
    """Tokens as people read them: a space before one is drawn, bytes are letters where they are whole."""
    found = []
    for number, token in zip(ids, tokens, strict=True):
        text = str(model.tokenizer.decode([number]))
        name = token if "\ufffd" in text or not text.strip() else text.strip()
        name = name.replace("Ċ", "⏎")
        for space in SPACES:
            name = name.replace(space, "␣")
        found.append(f"␣{name}" if token.startswith(SPACES) and not name.startswith("␣") else name)
    return tuple(found)


def _ends(model: ReplayModel) -> list[tuple[str, str]]:
    """Which side looks and which is looked at, by layer."""
    ends = {"encoder": ("input", "input"), "decoder": ("output", "output"), "cross": ("output", "input")}
    return [ends[stack] for stack in model.finding.stacks] or [("input", "input")] * model.layers_seen


def _groups(sides: dict[str, tuple[Item, ...]], queries: str, keys: str) -> LayerGroups:
    tokens = {name: tuple(item.tokens for item in items) for name, items in sides.items()}
    return LayerGroups(queries=tokens[queries], keys=tokens[keys])


def _row(model: ReplayModel, layer: int, matrices: Bytes, reading: Reading, roles: Sequence[str]) -> HeadRow:
    """``roles`` is empty where they are not known: outside an encoder-decoder's encoder."""
    stacks = model.finding.stacks
    title = f"{stacks[layer]} {layer - stacks.index(stacks[layer])}" if stacks else str(layer)
    queries, keys = _ends(model)[layer]
    heads = tuple(
        HeadNote(
            name=str(HeadId(layer=layer, head=head)),
            role=roles[head] if roles else "",
            facts=_facts(model, reading, layer, head),
        )
        for head in range(len(matrices))
    )
    return HeadRow(title=title, queries=queries, keys=keys, matrices=matrices, heads=heads)


def _facts(model: ReplayModel, reading: Reading, layer: int, head: int) -> tuple[tuple[str, str], ...]:
    values = zip(model.statistics, reading.profile[0, layer, head], strict=True)
    facts = [(readable(name), f"{value:.2f}") for name, value in values]
    if reading.importance is not None:
        facts.append(("importance", f"{reading.importance[0, layer, head]:.2g}"))
    return tuple(facts)
