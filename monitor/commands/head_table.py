"""What heads are, in a terminal of 80 columns: roles, sinks, what attention moves, what could go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from monitor.analysis.heads.distances import clusters
from monitor.analysis.heads.role_changes import MIXED, RoleChange, leading_roles
from monitor.analysis.heads.survey import HeadSurvey
from monitor.records import HeadId

HEADS_A_LINE = 12
MOST_NAMED = 4
MOST_CANDIDATES = 10
SHORT = {
    "previous": "prev",
    "separator": "sep",
    "punctuation": "punct",
    "duplicate": "dup",
    "induction": "induct",
    MIXED: "·",
}


def describe_heads(survey: HeadSurvey) -> str:
    """The whole report; a part is left out where its analysis is off or the model does not have it."""
    parts = [
        list(_roles(survey)),
        list(_strongest(survey)),
        list(_sinks(survey)),
        list(_moved(survey)),
        list(_pruning(survey)),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def describe_changes(changes: Sequence[RoleChange]) -> str:
    """Role changes since another profile, largest first."""
    if not changes:
        return "No head changed its role."
    lines = [f"{len(changes)} heads changed the share of a role:"]
    for item in changes[: 2 * MOST_CANDIDATES]:
        turned = "" if item.leading_before == item.leading_after else " *"
        lines.append(f"  {item.head!s:<7} {item.role:<12} {item.before:.2f} -> {item.after:.2f}{turned}")
    if len(changes) > 2 * MOST_CANDIDATES:
        lines.append(f"  ... and {len(changes) - 2 * MOST_CANDIDATES} more")
    return "\n".join([*lines, "* another role leads now"])


def _roles(survey: HeadSurvey) -> Iterator[str]:
    if survey.roles is None:
        return
    yield f"Leading role of each head over {survey.samples} samples (· none leads)"
    for layer, roles in enumerate(leading_roles(survey.roles)):
        for start in range(0, len(roles), HEADS_A_LINE):
            names = [SHORT.get(role, role) for role in roles[start : start + HEADS_A_LINE]]
            label = f"L{layer}" if start == 0 else ""
            yield f"{label:<5}{''.join(f'{name:<6}' for name in names)}".rstrip()


def _strongest(survey: HeadSurvey) -> Iterator[str]:
    if survey.roles is None:
        return
    yield "Strongest in each role, with its share"
    for role in survey.roles.measures:
        shares = survey.roles.of(role)
        order = np.argsort(-np.nan_to_num(shares, nan=-1.0), axis=None, kind="stable")[:MOST_NAMED]
        places = [(int(place) // shares.shape[1], int(place) % shares.shape[1]) for place in order]
        named = [
            f"{HeadId(layer=layer, head=head)} {shares[layer, head]:.2f}"
            for layer, head in places
            if shares[layer, head] > 0
        ]
        if named:
            yield f"  {role:<12} {'  '.join(named)}"


def _sinks(survey: HeadSurvey) -> Iterator[str]:
    if survey.sinks is None:
        return
    share = survey.sinks.of("share")
    often = int((share > 0.5).sum())
    yield f"Attention sinks (one token draws over .3 of it): {often} of {share.size} heads in most samples"
    for kind in ("first", "separator", "punctuation", "other"):
        strength = survey.sinks.of(kind)
        if not np.isnan(strength).all():
            layer, head = np.unravel_index(int(np.nanargmax(strength)), strength.shape)
            name = HeadId(layer=int(layer), head=int(head))
            yield f"  on {kind:<12} mean {np.nanmean(strength):.2f}, most in {name} {np.nanmax(strength):.2f}"


def _moved(survey: HeadSurvey) -> Iterator[str]:
    """Kobayashi's comparison: tokens that are attended to and moved by next to nothing."""
    if survey.norm_weighted is None or survey.roles is None:
        return
    yield "Attention, and what it moves (mean over heads)"
    for name in survey.norm_weighted.measures:
        plain, moved = survey.roles.of(name), survey.norm_weighted.of(name)
        if not np.isnan(plain).all():
            means = np.nanmean(plain), np.nanmean(moved)
            yield f"  {name:<12} {means[0]:.2f} of the weights, {means[1]:.2f} of what is moved"


def _pruning(survey: HeadSurvey) -> Iterator[str]:
    if survey.distances is None:
        return
    sizes = Counter(clusters(survey.distances.mean).tolist())
    alone = sum(size == 1 for size in sizes.values())
    yield f"{len(sizes)} clusters of heads that attend alike; {alone} heads stand alone"
    candidates = survey.candidates()
    if not candidates:
        yield "No head is dead, unimportant or redundant"
        return
    yield f"{len(candidates)} heads the model may do without (importance over the median's)"
    for item in candidates[:MOST_CANDIDATES]:
        twin = (
            "" if "redundant" not in item.reasons else f", like {item.twin} within {item.distance:.2f} bits"
        )
        importance = "" if item.importance is None else f", importance {item.importance:.2f}"
        yield f"  {item.head!s:<7} {' and '.join(item.reasons)}{importance}{twin}"
    if len(candidates) > MOST_CANDIDATES:
        yield f"  ... and {len(candidates) - MOST_CANDIDATES} more"
