"""How the texts of alerts are put together: Prometheus' templates, which ask for what they say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

# Each text asks about one model of one sidecar; $s parts a sentence from the one before, if there is one.
SELECT = "{{ $m := printf `job=%q, instance=%q, model=%q` $labels.job $labels.instance $labels.model }}"
_FIRST, NEXT = "{{ $s := `` }}", "{{ $s = ` ` }}"


@cache
def text(*parts: str) -> str:
    """One annotation that says these parts; the same object for the same ones."""
    joined = "".join(parts)
    return f"{SELECT if '$m' in joined else ''}{_FIRST if '$s' in joined else ''}{joined}"


def sentence(said: str) -> str:
    """A sentence that keeps its distance from the one before."""
    return f"{{{{ $s }}}}{said}{NEXT}"


def query(expression: str) -> str:
    """A template's pipeline that runs PromQL; ``<model>`` in it selects the model of the alert."""
    return f"printf `{expression.replace('<model>', '%[1]s')}` $m | query"


def when(expression: str, said: str) -> str:
    """``said`` if the query finds anything."""
    return f"{{{{ if {query(expression)} }}}}{said}{{{{ end }}}}"


def first_of(cases: Iterable[tuple[str, str]]) -> str:
    """``{{ if }} ... {{ else if }} ...``, still without its ``{{ end }}``."""
    return "{{ else ".join(f"if {condition} }}}}{said}" for condition, said in cases).join(("{{ ", ""))


def listed(
    expression: str, shown: str, *, lead: str, by: str | None = None, otherwise: str | None = None
) -> str:
    """A sentence: ``lead``, then ``shown`` for every series with commas between.

    ``by``: the label to sort by; only ``topk`` brings an order of its own. ``otherwise``: the sentence
    where there is no series; None: none.
    """
    order = f" | sortByLabel `{by}`" if by else ""
    items = f"{{{{ range $i, $item := . }}}}{{{{ if $i }}}}, {{{{ end }}}}{shown}{{{{ end }}}}"
    nothing = "" if otherwise is None else f"{{{{ else }}}}{sentence(otherwise)}"
    return f"{{{{ with {query(expression)}{order} }}}}{sentence(f'{lead}{items}.')}{nothing}{{{{ end }}}}"


def moved(family: str, labels: tuple[str, ...]) -> tuple[str, str]:
    """``0.71 → 0.42`` and ``-1.3 sd`` of what the series that ``.`` is measures."""
    chosen = ", ".join(f"{name}=%q" for name in labels)
    arguments = " ".join(f".Labels.{name}" for name in labels)

    def shown(part: str, number: str) -> str:
        asked = f"printf `headwatch_{family}_{part}{{{chosen}, %s}}` {arguments} $m | query"
        return f"{{{{ range {asked} }}}}{number}{{{{ end }}}}"

    number = '{{ printf "%.4g" .Value }}'
    effect = shown("effect", '{{ printf "%+.1f" .Value }} sd')
    return f"{shown('before', number)} → {shown('after', number)}", effect


def plain_name(label: str) -> str:
    """A label's value as words: ``queue full``."""
    return f"{{{{ reReplaceAll `_` ` ` .Labels.{label} }}}}"


def named(label: str, names: Mapping[str, str]) -> str:
    """The word for a label's value; a value without one as it is."""
    cases = ((f"eq .Labels.{label} `{value}`", name) for value, name in names.items())
    return f"{first_of(cases)}{{{{ else }}}}{{{{ .Labels.{label} }}}}{{{{ end }}}}"
