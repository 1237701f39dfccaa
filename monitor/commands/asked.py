"""Asking a running sidecar: one GET, and an error that says what to change where no sidecar answers."""

from __future__ import annotations

import ipaddress
import json
import re
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from monitor.errors import ConfigError, InputError, SidecarError

MOST_BYTES = 64 * 2**20
NO_EPISODE = "no episode yet"
EXAMPLE = "http://127.0.0.1:9095"
WHERE = "give the address of its exporters.prometheus.listen"


def ask_status(url: str, *, seconds: float) -> dict[str, Any]:
    """What ``GET /v1/status`` of the sidecar at ``url`` answers.

    Raises ``ConfigError`` for what is no address, ``SidecarError`` where no sidecar answers there.
    """
    document = _asked(url, "/v1/status", seconds=seconds)
    if not isinstance(document, dict) or not {"name", "state", "verdict"} <= set(document):
        raise SidecarError(_stranger(url, "other JSON"))
    return document


def ask_report(url: str, *, seconds: float) -> dict[str, Any]:
    """The newest episode's report, as ``GET /v1/report.json`` has it.

    Raises as ``ask_status``, and ``InputError`` where the sidecar has found no drift yet.
    """
    document = _asked(url, "/v1/report.json", seconds=seconds)
    if not isinstance(document, dict) or "verdict" not in document:
        raise SidecarError(_stranger(url, "other JSON"))
    return document


def _asked(url: str, path: str, *, seconds: float) -> Any:
    address = checked_address(url)
    try:
        with _opener(address).open(f"{address}{path}", timeout=seconds) as answer:
            content = answer.read(MOST_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            if error.read(len(NO_EPISODE)).decode(errors="replace") == NO_EPISODE:
                raise InputError(
                    f"--url = {url}: has no report yet; one is made when drift is found"
                ) from None
            raise SidecarError(_stranger(url, f"{error.code} {error.reason}".strip())) from None
    except (OSError, ValueError) as error:
        raise SidecarError(
            f"--url = {url}: does not answer ({_reason(error, seconds)}); is `headwatch run` up, and is this "
            "its exporters.prometheus.listen?"
        ) from None
    except Exception as error:
        # http.client has errors of its own for an answer that is no HTTP at all
        raise SidecarError(_stranger(url, type(error).__name__)) from None
    try:
        return json.loads(content)
    except ValueError:
        raise SidecarError(_stranger(url, "no JSON")) from None


def checked_address(url: str) -> str:
    """The address without a slash at its end; ``ConfigError`` where it is none."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable or re.search(r"[\s\x00-\x1f]", url):
        raise ConfigError(f"--url = {url}: is no address; write it as in {EXAMPLE}")
    return url.rstrip("/").removesuffix("/v1/status")


def address_of(listen: str) -> str:
    """Where a sidecar that listens at ``listen`` is reached from the same machine.

    >>> address_of("0.0.0.0:9095"), address_of("[::]:9095"), address_of("10.0.0.7:9095")
    ('http://127.0.0.1:9095', 'http://[::1]:9095', 'http://10.0.0.7:9095')
    """
    host, _, port = listen.rpartition(":")
    host = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]", "": "127.0.0.1"}.get(host, host)  # noqa: S104
    return f"http://{host}:{port}"


def _opener(address: str) -> urllib.request.OpenerDirector:
    """A proxy of the environment is for other machines; it cannot reach this one's loopback."""
    host = urlsplit(address).hostname or ""
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    return urllib.request.build_opener(*([urllib.request.ProxyHandler({})] if local else []))


def _stranger(url: str, what: str) -> str:
    return f"--url = {url}: answers, but is no headwatch ({what}); {WHERE}"


def _reason(error: Exception, seconds: float) -> str:
    inner = getattr(error, "reason", error)
    if isinstance(inner, TimeoutError):
        return f"nothing within {seconds:g} s"
    return str(getattr(inner, "strerror", None) or inner or type(error).__name__)
