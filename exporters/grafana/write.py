"""Write the dashboards where Grafana's provisioning looks for them.

    python -m exporters.grafana.write configs/grafana/dashboards [https://wiki.example/runbooks]

The address is where your team reads the runbooks; without one they are named and not linked.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from exporters.grafana.heads import heads
from exporters.grafana.operations import operations
from exporters.grafana.overview import overview
from exporters.grafana.tokens import tokens

DASHBOARDS: Mapping[str, Callable[[str | None], str]] = MappingProxyType(
    {"overview": overview, "heads": heads, "tokens": tokens, "operations": operations}
)
"""A file's name without its ending, and what gives its JSON."""


def write(folder: Path, *, runbooks: str | None = None) -> None:
    """Every dashboard as ``<name>.json`` in ``folder``, with links to ``runbooks`` where they are given."""
    address = None if runbooks is None else runbooks.rstrip("/")
    for name, made in DASHBOARDS.items():
        (folder / f"{name}.json").write_text(made(address), encoding="utf-8")


if __name__ == "__main__":
    given = dict(enumerate(sys.argv))
    write(Path(given.get(1, "configs/grafana/dashboards")), runbooks=given.get(2))
