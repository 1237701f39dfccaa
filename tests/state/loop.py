"""One life of a sidecar's storage, to be killed at any moment: durable samples in, windows judged.

Prints ``ack <id>`` after a sample's durable answer, ``judged <index>`` after a verdict's commit and
``sent <key>`` before a record is marked as delivered.
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

from monitor.ingest.intake import Intake
from monitor.records import OutboxRecord, Sample
from monitor.state.settings import StateSettings, WindowSettings
from monitor.state.store import StateStore


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def send(intake: Intake, life: str, sender: int) -> None:
    for number in range(1_000_000):
        name = f"{life}-{sender}-{number}"
        receipt = intake.submit([Sample(id=name, time=0.0, text="x" * 50)], source="http", durable=True)
        if receipt.committed is not None:
            receipt.committed.result()
            say(f"ack {name}")


def cycle(store: StateStore) -> None:
    while True:
        for window in store.windows("closed"):
            ids = [sample.id for sample in store.window_samples(window.index)]
            store.store_features(window.index, ",".join(ids).encode(), attribution_ids=ids[:1])
        for window in store.windows("profiled"):
            before = store.detector_state("m") or b""
            records = [
                OutboxRecord(key=f"window-{window.index}", kind="window", created=0.0, payload="{}"),
                OutboxRecord(key=f"alarm-{window.index}", kind="notification", created=0.0, payload="{}"),
            ]
            store.commit_verdict(
                window.index,
                f"{window.index} {window.received} {store.load_features(window.index).decode()}",
                model_key="m",
                detector_state=before + b"%d," % window.index,
                outbox=records,
                keep_features=False,
            )
            say(f"judged {window.index}")
        for index in sorted({index for index, _ in store.attribution_due()}):
            record = OutboxRecord(key=f"attribution-{index}", kind="attribution", created=0.0, payload="{}")
            store.commit_attribution(index, outbox=[record])
        for key in list(store.undelivered(["notification"]))[:3]:
            say(f"sent {key}")
            store.delivered(key)
        time.sleep(0.001)


def main() -> None:
    path, life = Path(sys.argv[1]), sys.argv[2]
    window = WindowSettings(samples=30, minimum_samples=10, requests=30)
    store = StateStore(path, settings=StateSettings(), window=window, clock=time.time)
    intake = Intake(store)
    say("ready")
    for sender in range(2):
        threading.Thread(target=send, args=(intake, life, sender), daemon=True).start()
    cycle(store)


if __name__ == "__main__":
    main()
