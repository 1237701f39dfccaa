"""A drift episode as a run: its tags, its note with links, its evidence, a step for each of its windows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from exporters.mlflow import links, text
from exporters.mlflow.artifacts import files_of
from exporters.mlflow.experiment import NOTE_TAG, Experiment, milliseconds, run_id
from exporters.mlflow.metrics import window_metrics
from exporters.mlflow.text import CLOSED_TAG
from exporters.mlflow.tree import baseline_run, day_run, episode_key
from exporters.verdict_text import utc
from monitor.records import OutboxRecord

if TYPE_CHECKING:
    from mlflow.entities import Run

Json = Mapping[str, Any]

_OF_THE_END = ("model", "revision", "baseline", "episode", "state")


class Episodes:
    """The episodes of one experiment; ``runs`` maps those that were met to their run ids."""

    def __init__(self, experiment: Experiment, *, runbooks: str | None) -> None:
        self.runs: dict[str, str] = {}
        self._experiment = experiment
        self._runbooks = runbooks
        self._noted: set[tuple[str, str]] = set()

    def add_window(self, verdict: Json, day: str) -> None:
        """A step of the episode that stands; ``day`` is the run of the window's day."""
        # The episode's own record, which makes its run, follows its first window.
        run = self._experiment.find(episode_key(verdict))
        if run is None:
            return
        self.runs[verdict["episode"]] = run
        self._log(run, verdict)
        self._note_in_day(day, run, text.episode_name(verdict))

    def deliver(self, record: OutboxRecord, payload: Json) -> None:
        """The evidence of an episode as it opens, widens, is attributed or closes."""
        experiment, verdict, phase = self._experiment, payload["verdict"], payload["phase"]
        name, tags = text.episode_name(verdict), text.run_tags(verdict)
        if phase == "closed" and verdict["since_time"] is None:
            # Used where only the end arrives: its verdict knows nothing of the beginning.
            tags = {key: value for key, value in tags.items() if key in _OF_THE_END}
            name = text.end_name(verdict)
        run = experiment.run(
            episode_key(verdict), kind="episode", name=name, tags=tags, start=text.began(verdict)
        )
        self.runs[verdict["episode"]] = run
        self._log(run, verdict)
        folder = _folder(verdict, phase)
        experiment.log_artifacts(run, record.artifacts, folder)
        standing = experiment.client.get_run(run)
        if CLOSED_TAG in standing.data.tags:
            return
        if phase == "closed":
            self._close(standing, verdict, payload.get("outcome", "over"))
            return
        # The tags keep causes, severity and channels of the alarm: a closing verdict has none left.
        body = text.alarm_body(verdict, payload.get("sentences", ()))
        note = self._note(standing, body, verdict, newest=folder, channels=tags["channel"])
        experiment.set_tags(run, {**tags, NOTE_TAG: note})
        experiment.client.update_run(run, name=name)
        self._note_in_day(day_run(experiment, verdict, verdict["end"]), run, name)

    def forget(self) -> None:
        """Look everything up anew: the server is not the one that was known."""
        self.runs, self._noted = {}, set()

    def _close(self, standing: Run, verdict: Json, outcome: str) -> None:
        experiment, run = self._experiment, run_id(standing)
        ended = f"**{text.closing(verdict, outcome, standing.data.tags.get('since'))}**"
        body = links.body_of(standing.data.tags.get(NOTE_TAG, "")).removeprefix(ended).lstrip()
        channels = standing.data.tags.get("channel", "")
        note = self._note(standing, f"{ended}\n\n{body}", verdict, newest="closed", channels=channels)
        experiment.set_tags(run, {"state": outcome, NOTE_TAG: note})
        experiment.client.update_run(run, name=text.closed_name(standing.info.run_name, verdict))
        # Last, so that a crash before this line makes the next delivery do all of it again.
        experiment.client.set_terminated(run, "FINISHED", end_time=milliseconds(verdict["end"]))
        experiment.client.set_tag(run, CLOSED_TAG, utc(verdict["end"]))

    def _note(self, run: Run, body: str, verdict: Json, *, newest: str, channels: str) -> str:
        experiment = self._experiment
        began = day_run(experiment, verdict, run.info.start_time / 1000)
        return links.episode_note(
            body,
            page=links.Page(experiment=experiment.id(), run=run_id(run)),
            files=files_of(run, tracking_uri=experiment.tracking_uri),
            newest=newest,
            day=links.Page(experiment=experiment.id(), run=began),
            baseline=links.Page(experiment=experiment.id(), run=baseline_run(experiment, verdict)),
            channels=channels.split(","),
            runbooks=self._runbooks,
        )

    def _note_in_day(self, day: str, episode: str, name: str) -> None:
        """Link a day to an episode that was open in it, once."""
        if (day, episode) in self._noted:
            return
        experiment = self._experiment
        note = experiment.tags(day).get(NOTE_TAG, "")
        # The name may change as the episode lasts; the address does not.
        if episode not in note:
            line = links.episode_line(links.Page(experiment=experiment.id(), run=episode), name)
            # Above what was there: until the note is unfolded, a veil over its end swallows clicks.
            experiment.set_tags(day, {NOTE_TAG: f"{line}\n\n{note}"})
        self._noted.add((day, episode))

    def _log(self, run: str, verdict: Json) -> None:
        self._experiment.log_metrics(run, window_metrics(verdict), step=verdict["index"], time=verdict["end"])


def _folder(verdict: Json, phase: str) -> str:
    """Where an episode's evidence goes: one that widens keeps that with which it began."""
    if phase in ("closed", "attributed") or verdict["raised"]:
        return str(phase)
    return f"widened-{verdict['index']:06d}"
