"""The driver: baseline, quiet windows, three acts, and quiet windows until each alarm has cleared.

It keeps step with the sidecar: one window's requests, then wait until that window was judged. It
talks to the inference server as its users and its deployer do, and to the sidecar not at all but to
read its verdicts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from examples.demo.clients import Alert, AlertReceiver, InferenceClient, SidecarClient
from examples.demo.damage import damaged
from examples.demo.plan import Act, Plan, describe
from examples.demo.processes import Children, DemoError, last_lines
from examples.demo.summary import Finding, Quiet, Story, names_what_was_done, read_alarm
from examples.demo.traffic import Traffic

QUIET_WINDOWS = 2
MOST_SHIFTED = 5
MOST_RECOVERY = 8
JUDGED_WITHIN = 240.0
ARRIVES_WITHIN = 20.0
POLL = 0.2
# The rules that may speak in each act (exporters/alerts/rules.py).
ALERTS: dict[Act, tuple[str, ...]] = {
    "domain": (
        "HeadwatchHeadDrift",
        "HeadwatchTokenDrift",
        "HeadwatchPredictionDrift",
        "HeadwatchInputDrift",
    ),
    "trigger": ("HeadwatchTokenDrift",),
    "fault": ("HeadwatchModelChanged",),
}


class View(Protocol):
    """What the driver tells the screen."""

    def phase(self, name: str, text: str) -> None:
        """What happens from now on."""

    def sent(self, count: int, total: int) -> None:
        """How many requests of the present window were answered."""

    def judged(self, name: str, verdict: dict[str, Any]) -> None:
        """A window's verdict."""

    def alarm(self, act: Act, finding: Finding) -> None:
        """An alarm, or more detail of it."""

    def cleared(self, act: Act, windows: int) -> None:
        """The alarm of ``act`` has cleared."""

    def links(self, links: dict[str, str]) -> None:
        """Addresses to open in a browser."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Everything that the driver plays on; ``receiver`` is None without Alertmanager."""

    children: Children
    inference: InferenceClient
    sidecar: SidecarClient
    receiver: AlertReceiver | None
    model: Path
    aside: Path
    logs: Path
    window: int
    baseline: int


class Driver:
    """Plays one plan; ``play`` returns what was found."""

    def __init__(
        self, plan: Plan, scene: Scene, view: View, *, links: dict[str, str], clock: Callable[[], float]
    ) -> None:
        self._plan = plan
        self._scene = scene
        self._view = view
        self._links = links
        self._clock = clock
        self._traffic = Traffic(plan)
        self._last = -1
        self._quiet = 0
        self._false_alarms: list[int] = []

    def play(self) -> Story:
        """The whole story, one act after another."""
        timing: dict[str, float] = {}
        began = self._clock()
        self._learn()
        timing["baseline"] = self._clock() - began
        self._view.phase("quiet", "nothing is shifted")
        for _ in range(QUIET_WINDOWS):
            self._quiet_window("quiet")
        findings = []
        for act in self._plan.acts:
            started = self._clock()
            finding = self._play_act(act)
            findings.append(finding)
            timing[act] = self._clock() - started
            if finding.windows_until_alarm is not None and finding.windows_until_cleared is None:
                break  # what comes next could not be told from what is still up
        timing["story"] = self._clock() - began
        return Story(
            plan=self._plan,
            quiet=Quiet(windows=self._quiet, false_alarms=tuple(self._false_alarms)),
            findings=tuple(findings),
            alertmanager=self._scene.receiver is not None,
            timing=timing,
            links=dict(self._links),
        )

    def _learn(self) -> None:
        count = self._scene.baseline
        self._view.phase("baseline", "the sidecar learns what is usual from live traffic")
        self._send(self._traffic.baseline(count), meanwhile=self._show_learning)
        deadline = self._clock() + JUDGED_WITHIN
        while self._clock() < deadline:
            self._wait()
            status = self._scene.sidecar.status()
            self._show_learning()
            if status["state"] not in ("starting", "learning"):
                return
        raise DemoError(f"the baseline did not stand in {JUDGED_WITHIN:g} s; {self._sidecar_says()}")

    def _show_learning(self) -> None:
        for verdict in self._new_verdicts():
            self._view.judged("baseline", verdict)

    def _play_act(self, act: Act) -> Finding:
        text = describe(self._plan, act)
        with self._shift(act):
            self._view.phase(act, text)
            finding = self._until_alarm(act)
        return self._until_cleared(act, finding)

    def _shift(self, act: Act) -> AbstractContextManager[None]:
        if act != "fault":
            return nullcontext()
        return _deployed(self._plan, self._scene)

    def _until_alarm(self, act: Act) -> Finding:
        """Shifted windows until the alarm is up and names what it must, a few at most."""
        finding = Finding(act=act, windows=0)
        for number in range(1, MOST_SHIFTED + 1):
            sent = time.time()
            verdict = self._window(act, self._traffic.window(act, self._scene.window))
            finding = replace(finding, windows=number)
            if not verdict["alarm"]:
                continue
            alarm = read_alarm(verdict, act)
            named = names_what_was_done(alarm, self._plan, act)
            if finding.windows_until_alarm is None:
                finding = replace(finding, **alarm, windows_until_alarm=number)
                self._view.alarm(act, finding)
                finding = self._delivered(act, finding, since=sent)
            if named:
                finding = replace(finding, **alarm, windows_until_named=number)
            self._view.alarm(act, finding)
            if named:
                break
        return finding

    def _until_cleared(self, act: Act, finding: Finding) -> Finding:
        """Quiet windows until no alarm is up; without an alarm there is nothing to wait for."""
        if finding.windows_until_alarm is None:
            return finding
        self._view.phase("recovery", "nothing is shifted any more; waiting for the alarm to clear")
        for number in range(1, MOST_RECOVERY + 1):
            if not self._quiet_window("recovery")["alarm"]:
                self._view.cleared(act, number)
                return replace(finding, windows_until_cleared=number)
        return finding

    def _quiet_window(self, name: str) -> dict[str, Any]:
        verdict = self._window(name, self._traffic.window(None, self._scene.window))
        self._quiet += 1
        if verdict["raised"]:
            self._false_alarms.append(verdict["index"])
        return verdict

    def _window(self, name: str, texts: list[str]) -> dict[str, Any]:
        """Send one window's texts and return its verdict."""
        self._send(texts)
        deadline = self._clock() + JUDGED_WITHIN
        while self._clock() < deadline:
            self._wait()
            verdicts = self._new_verdicts()
            if verdicts:
                self._view.judged(name, verdicts[0])
                return verdicts[0]
        raise DemoError(f"a window was not judged in {JUDGED_WITHIN:g} s; {self._sidecar_says()}")

    def _new_verdicts(self) -> list[dict[str, Any]]:
        verdicts = self._scene.sidecar.verdicts(after=self._last)
        if verdicts:
            self._last = verdicts[-1]["index"]
        return verdicts

    def _send(self, texts: list[str], *, meanwhile: Callable[[], None] = lambda: None) -> None:
        def on_progress(count: int) -> None:
            self._view.sent(count, len(texts))
            meanwhile()

        self._scene.inference.classify(texts, on_progress=on_progress)

    def _delivered(self, act: Act, finding: Finding, *, since: float) -> Finding:
        """Wait until an alert of the right kind came through Alertmanager, or time is up."""
        if self._scene.receiver is None:
            return finding
        began = time.time()
        while time.time() < began + ARRIVES_WITHIN:
            alerts = {
                alert.labels["alertname"]: alert
                for alert in self._scene.receiver.received()
                if alert.firing and alert.received >= since
            }
            for name in ALERTS[act]:  # the one that says most comes first
                if name in alerts:
                    seconds = round(max(0.0, alerts[name].received - began), 1)
                    return replace(finding, arrived_after=seconds, alert=_told(alerts[name]))
            self._wait()
        return finding

    def _wait(self) -> None:
        self._scene.children.check()
        run = self._scene.sidecar.status()["links"].get("mlflow_run")
        if run and self._links.get("MLflow") != run:
            self._links["MLflow"] = run
            self._view.links(self._links)
        time.sleep(POLL)

    def _sidecar_says(self) -> str:
        status = self._scene.sidecar.status()
        facts = {key: status.get(key) for key in ("state", "window", "samples_received", "samples_dropped")}
        lost = self._scene.inference.dropped()
        log = last_lines(self._scene.logs / "sidecar.log")
        return f"its status: {facts}; log entries lost on the way: {lost}; {log}"


@contextmanager
def _deployed(plan: Plan, scene: Scene) -> Iterator[None]:
    """The damaged files in place and the server reloaded; on leaving, both as they were."""
    with damaged(scene.model, plan.fault, aside=scene.aside):
        scene.inference.reload()
        yield
    scene.inference.reload()


def _told(alert: Alert) -> str:
    name, severity = (alert.labels.get(label, "") for label in ("alertname", "severity"))
    text = ". ".join(alert.annotations.get(part, "") for part in ("summary", "description"))
    return f"{name} ({severity}): {text}"
