"""Alarms as messages to people, through any service that apprise knows."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from exporters import verdict_text as text
from exporters.alerts.rules import CHANNEL_ALERTS, page_name
from exporters.alerts.text import first_step
from exporters.severity_words import alert_severity
from monitor.errors import ExportError
from monitor.records import OutboxRecord

if TYPE_CHECKING:
    import apprise

_KINDS = {"raised": "Drift", "opened": "Drift", "widened": "Wider drift", "cleared": "Over", "closed": "Over"}


class Notifier:
    """Sends records as messages to any number of URLs, each on its own.

    ``episode_url`` gives the page with an episode's evidence, where there is one; ``runbooks`` is the
    address of the folder of runbooks.

    Raises:
        ExportError: apprise does not understand one of the URLs.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        episode_url: Callable[[str], str | None] = lambda _: None,
        runbooks: str | None = None,
    ) -> None:
        import apprise

        self._episode_url = episode_url
        self._runbooks = runbooks
        self._targets: dict[str, apprise.NotifyBase] = {}
        for url in urls:
            target = apprise.Apprise.instantiate(url)
            if target is None:
                raise ExportError(
                    f"exporters.notifications: {shown(url)} is no URL that apprise understands; "
                    "see https://github.com/caronc/apprise/wiki"
                )
            self._targets[url] = target

    @property
    def addresses(self) -> dict[str, Callable[[OutboxRecord], None]]:
        """How each URL takes a record, by a name that stays and that tells nothing of the URL."""
        return {_digest(url): partial(self._deliver, url) for url in self._targets}

    def _deliver(self, url: str, record: OutboxRecord) -> None:
        """Send the record's message to one URL.

        Raises:
            ExportError: names the URL (scheme and host only) that did not take it.
        """
        if not self._send(self._targets[url], json.loads(record.payload)):
            raise ExportError(
                f"exporters.notifications: {shown(url)} did not take the message; "
                "check the URL and that the service is up"
            )

    def _send(self, target: apprise.NotifyBase, payload: Mapping[str, Any]) -> bool:
        from apprise import NotifyFormat, NotifyType

        over = _event(payload) in ("cleared", "closed")
        severe = payload["verdict"]["severity"] == "page"
        kind = NotifyType.SUCCESS if over else NotifyType.FAILURE if severe else NotifyType.WARNING
        episode = payload["verdict"]["episode"]
        evidence = self._episode_url(episode) if episode else None
        said = body(payload, evidence=evidence, runbooks=self._runbooks)
        return bool(
            target.notify(title=title(payload), body=said, notify_type=kind, body_format=NotifyFormat.TEXT)
        )


def title(payload: Mapping[str, Any]) -> str:
    """One line: ``Drift in sentiment (critical): data``."""
    verdict = payload["verdict"]
    what = _KINDS[_event(payload)]
    if what == "Over":
        return f"Drift in {verdict['model']} is over"
    causes = text.cause_words(verdict) or "cause unknown"
    return f"{what} in {verdict['model']} ({alert_severity(verdict['severity'])}): {causes}"


def body(payload: Mapping[str, Any], *, evidence: str | None = None, runbooks: str | None = None) -> str:
    """The summary, since when, what moved most, what to do first, and where to read on."""
    verdict = payload["verdict"]
    lines = [verdict["summary"]]
    over = _KINDS[_event(payload)] == "Over"
    if not over:
        began = text.utc(verdict["since_time"] or verdict["start"])
        lines.append(f"Since {began}, seen in window {verdict['index']} ({verdict['samples']} samples).")
        for name in text.alarmed(verdict):
            lines += _channel_lines(name, verdict["channels"][name])
        if verdict["severity"] in ("page", "ticket"):
            lines.append(f"Do: {first_step(verdict['causes'])}")
    if evidence:
        lines.append(f"Evidence: {evidence}")
    if not over:
        folder = (runbooks or "docs/runbooks").rstrip("/")
        pages = dict.fromkeys(page_name(CHANNEL_ALERTS[name]) for name in text.alarmed(verdict))
        lines += [f"Runbook: {folder}/{page}" for page in pages]
    return "\n".join(lines)


def shown(url: str) -> str:
    """Scheme and host of a notification URL; all the rest of it may be a secret.

    >>> shown("json://user:secret@hooks.example:8080/token?key=1")
    'json://hooks.example'
    """
    parts = urlsplit(url)
    # Many services (slack://token, tgram://token) have the secret where other URLs have the host.
    host = parts.hostname if parts.hostname and "." in parts.hostname else None
    host = "localhost" if parts.hostname == "localhost" else host
    return f"{parts.scheme or 'a line without a scheme'}://{host or '...'}"


def _digest(url: str) -> str:
    return blake2b(url.encode(), digest_size=16).hexdigest()


def _channel_lines(name: str, channel: Mapping[str, Any]) -> list[str]:
    lines = [text.head_changed(head) for head in channel["top"][:3]]
    lines += [text.measure_changed(name, item) for item in channel["measures"][:3]]
    if channel["gained"]:
        lines.append(f"Tokens gained: {', '.join(channel['gained'][:5])}")
    if channel["lost"]:
        lines.append(f"Tokens lost: {', '.join(channel['lost'][:5])}")
    return lines


def _event(payload: Mapping[str, Any]) -> str:
    return str(payload.get("event") or payload.get("phase"))
