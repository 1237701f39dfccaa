"""How headwatch talks to an MLflow server: no telemetry, no long retries, errors with a remedy.

MLflow reads its HTTP settings from the environment at every call, and offers no other way. All but the
retries are only set where the operator has not set them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from exporters.mlflow.remedies import remedy
from monitor.errors import ExportError

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


_PLAIN = "'._-"
# Otherwise MLflow 3 shows the menu of its other half, which is about prompts and traces.
_TRAINING = "workflowType=machine_learning"


def connect(tracking_uri: str, token: str | None = None) -> MlflowClient:
    """A client of the server at ``tracking_uri``; no request is sent yet.

    Args:
        tracking_uri: ``http(s)://host:port``, or ``sqlite:///file`` with the full mlflow package.
        token: bearer token of the server; without it ``MLFLOW_TRACKING_TOKEN`` or
            ``_USERNAME``/``_PASSWORD`` from the environment count.

    Raises:
        ExportError: for a URI that this installation cannot use.
    """
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # Never left to the operator: MLflow repeats a request whose answer was lost, and so makes a second
    # run. The outbox tries again itself, after a look at what has arrived.
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"
    if token is not None:
        os.environ["MLFLOW_TRACKING_TOKEN"] = token
    # Imported late: the settings above must stand before, and it takes two seconds.
    from mlflow.tracking import MlflowClient

    with export_errors(tracking_uri):
        return MlflowClient(tracking_uri=tracking_uri, registry_uri=tracking_uri)


@contextmanager
def export_errors(tracking_uri: str) -> Iterator[None]:
    """Turn whatever MLflow and its HTTP client raise into an ExportError that names the remedy."""
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException

    try:
        yield
    except (MlflowException, RequestException, OSError, ModuleNotFoundError) as error:
        raise ExportError(
            f"exporters.mlflow.tracking_uri = {without_secrets(tracking_uri)}: {remedy(error)}"
        ) from error


def without_secrets(uri: str) -> str:
    """The URI without user, password and query.

    >>> without_secrets("http://me:secret@mlflow:5000/x?token=1")
    'http://mlflow:5000/x'
    """
    parts = urlsplit(uri)
    if not parts.netloc:
        return uri
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def run_page(experiment_id: str, run_id: str, part: str = "") -> str:
    """The run's page as a link that works from any page of the MLflow UI, wherever that is served.

    ``part``: ``model-metrics`` (the charts) or ``artifacts/<folder>/<file>``.

    >>> run_page("1", "abc", "artifacts/opened/head_map.png")
    '#/experiments/1/runs/abc/artifacts/opened/head_map.png'
    """
    return "/".join(filter(None, [f"#/experiments/{experiment_id}/runs/{run_id}", part]))


def runs_page(experiment_id: str, wanted: str) -> str:
    """The table of the runs that a filter finds, as a link within the MLflow UI.

    >>> runs_page("1", "tags.state = 'open'")
    "#/experiments/1/runs?searchFilter=tags.state%20%3D%20'open'&workflowType=machine_learning"
    """
    return f"#/experiments/{experiment_id}/runs?searchFilter={quote(wanted, safe=_PLAIN)}&{_TRAINING}"


def quoted(value: str) -> str:
    """The value as MLflow's filters take it: they know both quotes, and no way to escape one.

    >>> print(quoted("it's"), quoted("plain"))
    "it's" 'plain'
    """
    return f'"{value}"' if "'" in value else f"'{value}'"


def run_url(address: str, experiment_id: str, run_id: str) -> str | None:
    """The run's page in the MLflow UI at ``address``; None where that is no web server.

    >>> run_url("http://mlflow:5000/", "1", "abc")
    'http://mlflow:5000/#/experiments/1/runs/abc'
    """
    if not address.startswith(("http://", "https://")):
        return None
    return f"{without_secrets(address).rstrip('/')}/{run_page(experiment_id, run_id)}"


def is_missing(error: BaseException | None) -> bool:
    """Whether MLflow says that the thing asked for does not exist, or was deleted by somebody."""
    # The code of a write to a deleted run is that of any wrong parameter.
    deleted = "must be in the 'active' state" in str(error)
    return deleted or getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
