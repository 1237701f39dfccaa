"""Alarms as messages to people, through any service that apprise knows."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from exporters import verdict_text as text
from monitor.errors import ExportError
from monitor.records import OutboxRecord

if TYPE_CHECKING:
    import apprise

_KINDS = {"raised": "Drift", "opened": "Drift", "widened": "Wider drift", "cleared": "Over", "closed": "Over"}


class Notifier:
    """Sends each record to every URL once. A repeated record goes only to the URLs that missed it."""

    def __init__(self, urls: Sequence[str]) -> None:
        import apprise

        self._targets: list[tuple[str, apprise.NotifyBase]] = []
        for url in urls:
            target = apprise.Apprise.instantiate(url)
            if target is None:
                raise ExportError(
                    f"exporters.notifications: {shown(url)} is no URL that apprise understands; "
                    "see https://github.com/caronc/apprise/wiki"
                )
            self._targets.append((shown(url), target))
        self._reached: dict[str, set[int]] = {}

    def deliver(self, record: OutboxRecord) -> None:
        """Send the record's message.

        Raises:
            ExportError: names the URLs (scheme and host only) that did not take it.
        """
        payload = json.loads(record.payload)
        reached = self._reached.setdefault(record.key, set())
        failed = []
        for index, (name, target) in enumerate(self._targets):
            if index in reached:
                continue
            if self._send(target, payload):
                reached.add(index)
            else:
                failed.append(name)
        if failed:
            raise ExportError(
                f"exporters.notifications: {' and '.join(failed)} did not take the message; "
                "check the URL and that the service is up"
            )
        del self._reached[record.key]

    @staticmethod
    def _send(target: apprise.NotifyBase, payload: Mapping[str, Any]) -> bool:
        from apprise import NotifyFormat, NotifyType

        over = _event(payload) in ("cleared", "closed")
        severe = payload["verdict"]["severity"] == "page"
        kind = NotifyType.SUCCESS if over else NotifyType.FAILURE if severe else NotifyType.WARNING
        return bool(
            target.notify(
                title=title(payload), body=body(payload), notify_type=kind, body_format=NotifyFormat.TEXT
            )
        )


def title(payload: Mapping[str, Any]) -> str:
    """One line: ``Drift in sentiment (page): data``."""
    verdict = payload["verdict"]
    what = _KINDS[_event(payload)]
    if what == "Over":
        return f"Drift in {verdict['model']} is over"
    causes = text.cause_words(verdict) or "cause unknown"
    return f"{what} in {verdict['model']} ({verdict['severity'] or 'note'}): {causes}"


def body(payload: Mapping[str, Any]) -> str:
    """The summary, since when, what moved most, and where to look."""
    verdict = payload["verdict"]
    lines = [verdict["summary"]]
    if _KINDS[_event(payload)] != "Over":
        began = text.utc(verdict["since_time"] or verdict["start"])
        lines.append(f"Since {began}, seen in window {verdict['index']} ({verdict['samples']} samples).")
        for name in text.alarmed(verdict):
            lines += _channel_lines(verdict["channels"][name])
    if payload.get("link"):
        lines.append(f"Evidence: {payload['link']}")
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


def _channel_lines(channel: Mapping[str, Any]) -> list[str]:
    lines = [text.changed(f"{text.head_name(head)} {head['statistic']}", head) for head in channel["top"][:3]]
    lines += [text.changed(item["measure"], item) for item in channel["measures"][:3]]
    if channel["gained"]:
        lines.append(f"Tokens gained: {', '.join(channel['gained'][:5])}")
    if channel["lost"]:
        lines.append(f"Tokens lost: {', '.join(channel['lost'][:5])}")
    return lines


def _event(payload: Mapping[str, Any]) -> str:
    return str(payload.get("event") or payload.get("phase"))
