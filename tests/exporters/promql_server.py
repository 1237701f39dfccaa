"""Questions to a running Prometheus, with the variables of a dashboard filled in."""

from __future__ import annotations

import urllib.parse
from dataclasses import dataclass
from typing import Any

from tests.servers import get_json

Series = dict[str, Any]
# As Grafana fills them in where everything is chosen; scrapes are a second apart in the tests.
VARIABLES = {
    "$job": ".+",
    "$instance": ".+",
    "$model": ".+",
    "$statistic": "entropy",
    "$__rate_interval": "1m",
}


def filled_in(text: str, model: str = "sentiment") -> str:
    """An expression or a title without variables; ``model``: which one, where there can be only one."""
    text = text.replace('="$model"', f'="{model}"')
    for variable, value in VARIABLES.items():
        text = text.replace(variable, value)
    return text


@dataclass(frozen=True, slots=True)
class Promql:
    """A Prometheus at ``url``; ``model``: the one that the dashboards of a single model show."""

    url: str
    model: str

    def instant(self, expression: str, *, at: float | None = None) -> list[Series]:
        """The series of an expression now, or ``at`` a time in seconds."""
        asked = {"query": filled_in(expression, self.model)}
        return self._ask("query", asked if at is None else {**asked, "time": at})

    def over(self, expression: str, start: float, end: float, step: float) -> list[Series]:
        """The series of an expression between two times, in seconds."""
        asked = {"query": filled_in(expression, self.model), "start": start, "end": end, "step": step}
        return self._ask("query_range", asked)

    def _ask(self, path: str, asked: dict[str, Any]) -> list[Series]:
        answer = get_json(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(asked)}")
        assert isinstance(answer, dict)
        result: list[Series] = answer["data"]["result"]
        return result
