from __future__ import annotations

import json
import re
from contextlib import contextmanager
from dataclasses import replace

import pytest

from exporters.alerts.rules import CHANNEL_ALERTS
from exporters.notifications import Notifier, body, title
from exporters.verdict_text import changed
from monitor.errors import ExportError
from monitor.records import CHANNELS, OutboxRecord, Suspicion
from monitor.sidecar.delivery import Delivery
from monitor.state.settings import StateSettings, WindowSettings
from monitor.state.store import StateStore
from tests.exporters.scenes import alarmed, cleared
from tests.servers import free_port, http_server


def notification(verdict, event):
    payload = json.dumps({"verdict": verdict.to_json(), "event": event})
    return OutboxRecord(key=f"n/{verdict.window}/{event}", kind="notification", created=0.0, payload=payload)


def send(sink, record):
    """To each of the sink's addresses."""
    for deliver in sink.addresses.values():
        deliver(record)


@contextmanager
def delivering(folder, urls):
    """A life of the sidecar as far as messages go."""
    path = folder / "state.sqlite"
    settings = {"settings": StateSettings(), "window": WindowSettings()}
    store = StateStore(path, **settings, clock=lambda: 1000.0)
    sinks = {"notifications": (frozenset({"notification"}), Notifier(urls).addresses)}
    yield store, Delivery(store=store, sinks=sinks, should_stop=lambda: False)
    store.close()


def as_json_url(url):
    return url.replace("http://", "json://user:hush@") + "/secret-path"


def test_an_alarm_and_its_end_arrive_as_plain_sentences():
    arrived = []
    with http_server(post=lambda body: arrived.append(json.loads(body)) or 200) as url:
        sink = Notifier(
            [as_json_url(url)],
            episode_url=lambda episode: f"https://mlflow.example/{episode}",
            runbooks="https://wiki.example/headwatch/",
        )
        send(sink, notification(alarmed(), "raised"))
        send(sink, notification(cleared(), "cleared"))
    assert [(item["title"], item["message"], item["type"]) for item in arrived] == [
        (
            "Drift in sentiment (warning): data",
            (
                "Two attention heads of sentiment behave differently; the data changed, not the model.\n"
                "Since 2026-09-21 15:10 UTC, seen in window 12 (200 samples).\n"
                "L3H7, the spread of its attention: 0.71 → 0.42 (-1.3 sd)\n"
                "L5H0, attention on the first token: 0.12 → 0.31 (+0.9 sd)\n"
                "L1H4, attention on the token itself: 0.21 → 0.22 (+0.1 sd)\n"
                "Tokens gained: refund\n"
                "Tokens lost: #0123456789abcdef\n"
                "Do: Find out who sends the changed inputs. "
                "To keep them: headwatch baseline promote --config FILE.\n"
                "Evidence: https://mlflow.example/b1-11\n"
                "Runbook: https://wiki.example/headwatch/head-drift.md\n"
                "Runbook: https://wiki.example/headwatch/token-drift.md"
            ),
            "warning",
        ),
        (
            "Drift in sentiment is over",
            "sentiment is back to normal.\nEvidence: https://mlflow.example/b1-11",
            "success",
        ),
    ]


def test_a_title_says_what_is_known_of_the_cause():
    cut = Suspicion(name="truncation", sign="inputs of exactly 16 tokens: 2.6 % -> 11 %")
    doubled = Suspicion(name="special_tokens", sign="inputs with 3 special tokens instead of 2: 0 % -> 5 %")
    upgrade = ("torch 2.13.0 -> 3.0",)
    told = [
        title(json.loads(notification(replace(alarmed(), **facts), "raised").payload))
        for facts in (
            {"suspicions": (cut, doubled)},
            {"causes": ("model",), "severity": "note", "declared": True},
            {"causes": ("environment",), "severity": "note", "upgrades": upgrade},
            {"causes": ("model", "data"), "severity": "page", "upgrades": upgrade},
            {"causes": ()},
        )
    ]
    assert told == [
        "Drift in sentiment (warning): data, truncation and special tokens suspected",
        "Drift in sentiment (info): model, declared",
        "Drift in sentiment (info): environment, upgraded",
        "Drift in sentiment (critical): model and data",
        "Drift in sentiment (warning): cause unknown",
    ]


def test_without_mlflow_and_a_wiki_the_message_names_the_page_in_the_documentation():
    payload = json.loads(notification(replace(alarmed(), severity="note"), "widened").payload)
    assert body(payload).splitlines()[-3:] == [
        "Tokens lost: #0123456789abcdef",
        "Runbook: docs/runbooks/head-drift.md",
        "Runbook: docs/runbooks/token-drift.md",
    ]


def test_every_channel_has_an_alert_and_so_a_runbook():
    assert set(CHANNEL_ALERTS) == set(CHANNELS)


def test_a_record_that_an_earlier_version_left_is_told_by_its_causes():
    payload = json.loads(notification(alarmed(), "raised").payload)
    for name in ("declared", "upgrades", "suspicions"):
        del payload["verdict"][name]
    assert title(payload) == "Drift in sentiment (warning): data"


def test_the_address_that_fails_is_named_without_its_secrets():
    with http_server(post=lambda _: 500) as bad, pytest.raises(ExportError) as caught:
        send(Notifier([as_json_url(bad)]), notification(alarmed(), "raised"))
    assert str(caught.value) == (
        "exporters.notifications: json://127.0.0.1 did not take the message; "
        "check the URL and that the service is up"
    )


def test_an_address_is_known_by_a_name_that_stays_and_tells_no_secret():
    urls = ["json://user:hush@one.example/secret-path", "json://two.example/secret-path"]
    names = list(Notifier(urls).addresses)
    assert names == list(Notifier(urls[:1]).addresses) + list(Notifier(urls[1:]).addresses)
    assert len(set(names)) == 2
    assert not any(re.search("json|hush|secret|example", name) for name in names)


def test_a_dead_address_silences_no_other_and_gets_what_it_missed_once_also_over_restarts(tmp_path):
    """Six alarms, two addresses; the second refuses, the sidecar restarts, then it is back."""
    first, second, refuses = [], [], [True]

    def take(body):
        if refuses[0]:
            return 500
        second.append(json.loads(body)["title"])
        return 200

    records = [
        replace(notification(replace(alarmed(), model=f"m{number}"), "raised"), key=f"n/{number}")
        for number in range(6)
    ]
    titles = [f"Drift in m{number} (warning): data" for number in range(6)]
    with (
        http_server(post=lambda body: first.append(json.loads(body)["title"]) or 200) as healthy,
        http_server(post=take) as revoked,
    ):
        urls = [as_json_url(healthy), as_json_url(revoked)]
        for _ in range(2):
            with delivering(tmp_path, urls) as (store, delivery):
                store.add_outbox(records)
                delivery.run()
                delivery.run()
            assert first == titles, "the healthy address hears each once"
        refuses[0] = False
        with delivering(tmp_path, urls) as (store, delivery):
            delivery.run()
            assert store.outbox_usage().records == {}
            assert delivery.deliveries == {"notifications": 6}
    assert (first, second) == (titles, titles)


def test_an_address_that_nobody_answers_is_an_export_error():
    with pytest.raises(ExportError, match=r"json://127\.0\.0\.1 did not take the message"):
        send(Notifier([f"json://127.0.0.1:{free_port()}"]), notification(alarmed(), "raised"))


def test_an_address_that_apprise_does_not_know_is_refused_at_once_and_not_quoted():
    with pytest.raises(ExportError) as caught:
        Notifier(["pigeon://token-123"])
    assert str(caught.value) == (
        "exporters.notifications: pigeon://... is no URL that apprise understands; "
        "see https://github.com/caronc/apprise/wiki"
    )


def test_a_broken_models_missing_numbers_are_shown_as_such():
    head = {"layer": 1, "head": 2, "statistic": "entropy", "before": 1500.4, "after": None, "effect": None}
    assert changed("L1H2 entropy", head) == "L1H2 entropy: 1500 → ? (? sd)"
    assert changed("L1H2 entropy", {**head, "after": 0.25, "effect": -1.26}) == (
        "L1H2 entropy: 1500 → 0.25 (-1.3 sd)"
    )
