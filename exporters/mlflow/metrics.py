"""A verdict's numbers as MLflow's metrics, named so that the charts of a run group themselves.

MLflow puts the charts whose names agree before the last ``/`` in one section, and the sections in
alphabetical order: ``alarm level`` comes first.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from types import MappingProxyType
from typing import Any

from exporters.verdict_text import head_name

Json = Mapping[str, Any]

NAME_LIMIT = 250
_REFUSED = r"[^\w\-. :]"
_ATTRIBUTION_SECTIONS: Mapping[str, str] = MappingProxyType(
    {
        "agreement": r"spearman$|overlap_at_\d+$",
        "faithfulness": r"comprehensiveness$|sufficiency$|^top_\d+_",
        "head roles": r"^heads_|^head_|^sink_share$",
    }
)
"""By what the rest of the section's name is: how attributions agree, how faithful, what heads do."""


def window_metrics(verdict: Json) -> dict[str, float]:
    """A window's numbers, named ``section/chart``.

    ``alarm level/heads`` is the evidence over its limit: 1 raises an alarm. ``in alarm/heads`` is 0 or 1.
    Heads have a chart only from the moment that they are named.
    """
    metrics: dict[str, float | None] = {
        "window/samples": verdict["samples"],
        "window/received": verdict["received"],
        "evidence/all": verdict["evidence"],
        "alarm level/all": _level(verdict),
    }
    for name, channel in verdict["channels"].items():
        metrics[f"alarm level/{name}"] = _level(channel)
        metrics[f"evidence/{name}"] = channel["evidence"]
        metrics[f"in alarm/{name}"] = float(channel["alarm"])
        for head in channel["top"]:
            if head["named"]:
                metrics[f"effect in sd/{head_name(head)} {head['statistic']}"] = head["effect"]
        for item in channel["measures"]:
            metrics[f"{name}/{item['measure']}"] = item["after"]
    names = metric_names(metrics)
    # A broken model's numbers may be none at all: null in JSON.
    return {names[name]: value for name, value in metrics.items() if value is not None}


def attribution_metrics(found: Mapping[str, float]) -> dict[str, float]:
    """The numbers of attributed samples, in four sections that stand together among the charts.

    >>> list(attribution_metrics({"samples": 8, "relevance_spearman": 0.5, "top_3_drop": 0.2}))
    ['attribution/samples', 'attribution agreement/relevance_spearman', 'attribution faithfulness/top_3_drop']
    """
    return {f"{_attribution_section(name)}/{name}": value for name, value in found.items()}


def _attribution_section(name: str) -> str:
    for section, pattern in _ATTRIBUTION_SECTIONS.items():
        if re.search(pattern, name):
            return f"attribution {section}"
    return "attribution"


def metric_names(names: Iterable[str]) -> dict[str, str]:
    """Each of the names as MLflow takes it; those that would become one have their signs spelled out.

    Whatever their order, the same names give the same: a chart goes on from window to window.

    >>> list(metric_names(["prediction/p(C++)", "prediction/p(C#)", "prediction/p(R)"]).values())
    ['prediction/p C plus plus', 'prediction/p C number', 'prediction/p R']
    """
    found = {name: metric_name(name) for name in names}
    for told_apart in (_spelled_out, _marked):
        uses = Counter(found.values())
        found = {name: told_apart(name) if uses[plain] > 1 else plain for name, plain in found.items()}
    return found


def _spelled_out(name: str) -> str:
    section, _, chart = name.partition("/")

    def word(sign: re.Match[str]) -> str:
        return f" {unicodedata.name(sign[0], '').lower().removesuffix(' sign')} "

    # The brackets of p(label) are our own.
    return metric_name(f"{section}/{re.sub(rf'(?![()]){_REFUSED}', word, chart)}")


def _marked(name: str) -> str:
    """For names that differ past the limit of their length, or in spaces and brackets alone."""
    mark = blake2b(name.encode(), digest_size=4).hexdigest()
    return f"{metric_name(name)[: NAME_LIMIT - len(mark) - 1]} {mark}"


def metric_name(name: str) -> str:
    """The name with only what MLflow takes: letters, digits, ``_-. :`` and one ``/``; 250 characters.

    >>> metric_name("prediction/p(positive)")
    'prediction/p positive'
    """
    section, _, chart = name.partition("/")
    plain = [" ".join(re.sub(_REFUSED, " ", part).split()) for part in (section, chart)]
    return "/".join(filter(None, plain))[:NAME_LIMIT].rstrip()


def _level(item: Json) -> float | None:
    evidence, limit = item["evidence"], item["limit"]
    return None if evidence is None or not limit else evidence / limit
