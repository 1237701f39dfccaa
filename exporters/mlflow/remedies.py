"""What to do when MLflow refuses or does not answer: the second half of an error's text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

_BY_STATUS: Mapping[int, str] = MappingProxyType(
    {
        401: (
            "the server refused the credentials (HTTP 401); check exporters.mlflow.token_file, "
            "or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
        ),
        403: (
            "the server forbids this to the credentials it got (HTTP 403); "
            "give their user EDIT on the experiment and the registered model, or MANAGE for retention"
        ),
        404: "no MLflow answers at this address (HTTP 404); check the port and the path of the address",
        413: (
            "the way to the server lets no file of this size pass (HTTP 413); "
            "raise the limit of the proxy before it (nginx: client_max_body_size)"
        ),
    }
)
_FAILED = (
    "the server failed (HTTP {status}), as when its disk is full or its database is away; "
    "see the server's log"
)
_WRONG_HOST = (
    "the server takes no requests by this host name (HTTP 403); "
    "start it with --allowed-hosts that names host and port of the address"
)
_NO_ANSWER = "no answer from the server; check that it runs and that the address is right"
_NO_TRUST = (
    "the server's certificate is not trusted; "
    "name the file of its authority in MLFLOW_TRACKING_SERVER_CERT_PATH"
)
_SKINNY = (
    "needs the full mlflow package, and mlflow-skinny is installed; "
    "give the http:// address of an MLflow server, or install mlflow"
)
# What the store of an address like sqlite:///file loads; mlflow-skinny leaves the last two out.
_OF_FULL_MLFLOW = ("mlflow", "alembic", "sqlalchemy")
_MODULE = (
    "MLflow needs the module {name} on this side, to reach a store directly; let the server pass artifacts "
    "on (mlflow server --artifacts-destination, and a new experiment), or install {name}"
)


def remedy(error: Exception) -> str:
    """What happened and what helps, from an error of MLflow, of its HTTP client or of this machine's disk."""
    from requests.exceptions import RequestException

    text = " ".join(str(error).split())
    if isinstance(error, ModuleNotFoundError):
        return _missing(error.name or text)
    if type(error).__name__ == "UnsupportedModelRegistryStoreURIException":
        return _SKINNY
    status = _status(error, text)
    if status is not None:
        return _WRONG_HOST if "Invalid Host header" in text else _by_status(status)
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return _NO_TRUST
    if "API request to" in text or isinstance(error, RequestException):
        return _NO_ANSWER
    if isinstance(error, OSError):
        return f"a file cannot be written on this side: {text}; free space there, or set TMPDIR"
    return f"the server refused: {text[:300]}"


def _missing(module: str) -> str:
    return _SKINNY if module.partition(".")[0] in _OF_FULL_MLFLOW else _MODULE.format(name=module)


def _by_status(status: int) -> str:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return _FAILED.format(status=status) if status >= 500 else f"the server refused (HTTP {status})"


def _status(error: Exception, text: str) -> int | None:
    """The HTTP status; of its own errors MLflow keeps it only in the text.

    Addresses are in that text too, so a number alone tells nothing: a port may be 40139.
    """
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    found = re.search(r"failed with error code (\d{3})\b|too many (\d{3}) error responses", text)
    return int(found[1] or found[2]) if found else None
