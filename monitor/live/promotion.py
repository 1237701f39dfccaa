"""The present made the new normal: what a user asks of a sidecar, running or not, with one command.

A running sidecar is asked through its state file, which only its own user can write to: who accepts
a drift silences it, and the operations address takes orders from anyone who reaches it. Files come
first, then one commit with all that follows from the change, then the turn of the current file,
which a restart does again where it was cut off.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from monitor.baselines.build import SMALLEST, build_baseline
from monitor.baselines.coverage import coverage_warnings
from monitor.baselines.file_format import baseline_bytes, save_baseline
from monitor.baselines.folder import put_in_force, version_file
from monitor.errors import BaselineError, StateError
from monitor.live import evidence
from monitor.live.episodes import WindowReport
from monitor.live.in_force import BaselineInForce
from monitor.live.integrated_words import IntegratedWords
from monitor.live.learning import map_words
from monitor.live.new_normal import NewNormal
from monitor.records import Baseline, OutboxRecord, ProbeReading, Verdict
from monitor.replay.replayed_model import ReplayModel
from monitor.state.store import StateStore

REQUEST, ANSWER, TURN = "promotion_request", "promotion_answer", "promotion_turn"
Meta = Mapping[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted:
    """What a promotion did. ``kept``: where the former baseline stays; ``warnings`` of the new one."""

    version: str
    samples: int
    former: str
    kept: str
    episode: str
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of a request: ``promoted``, or the ``problem`` that stands in its way."""

    promoted: Promoted | None = None
    problem: str = ""


def ask(store: StateStore, request: str) -> None:
    """Ask the sidecar that owns the state file; ``request`` tells this request from others."""
    store.set_meta(REQUEST, request)


def asked(store: StateStore) -> str | None:
    """The request that waits for its answer."""
    return store.get_meta(REQUEST)


def withdraw(store: StateStore, request: str) -> None:
    """Ask no longer; a promotion that has not been committed by now never is."""
    if store.get_meta(REQUEST) == request:
        store.set_meta(REQUEST, None)


def answering(request: str, answer: Answer) -> Meta:
    """What to commit to answer a request."""
    promoted = None if answer.promoted is None else asdict(answer.promoted)
    told = {"request": request, "promoted": promoted, "problem": answer.problem}
    return {REQUEST: None, ANSWER: json.dumps(told)}


def answered(store: StateStore, request: str) -> Answer | None:
    """The answer to this request, once it is there."""
    told = json.loads(store.get_meta(ANSWER) or "{}")
    if told.get("request") != request:
        return None
    values = told["promoted"]
    if values is None:
        return Answer(problem=told["problem"])
    return Answer(promoted=Promoted(**{**values, "warnings": tuple(values["warnings"])}))


def promote(
    *,
    store: StateStore,
    force: BaselineInForce,
    standing: NewNormal,
    words: IntegratedWords,
    verdict: Verdict | None,
    model: ReplayModel,
    probe: Callable[[], ProbeReading],
    context: str,
    created: float,
    wanted: Callable[[Sequence[OutboxRecord]], Sequence[OutboxRecord]],
    last: WindowReport,
    request: str,
) -> Promoted:
    """Make the windows since the alarm of ``verdict`` the baseline in force; evidence starts anew.

    ``wanted`` keeps the records that somebody takes; ``last`` is the episode's last report. Raises
    BaselineError where there is nothing to accept, or too little of it.
    """
    former = force.baseline
    if former is None:
        raise BaselineError("baseline promote: the baseline is still being learnt; wait until it stands")
    if verdict is None or not verdict.alarm:
        raise BaselineError(
            "baseline promote: no alarm stands, so there is no new normal; to promote a file, name it"
        )
    features = standing.features(context)
    if features is None or len(features) < SMALLEST:
        raise BaselineError(
            f"samples since the alarm = {0 if features is None else len(features)}: must be at least "
            f"{SMALLEST} of one model; wait for more windows, then promote again"
        )
    shown = standing.shown(former.words)
    baseline = build_baseline(
        map_words(features, shown),
        identity=model.identity,
        statistics=model.statistics,
        probe=probe(),
        source="live",
        created=created,
        word_keys=standing.privacy.name,
        word_key_fingerprint=standing.privacy.fingerprint,
        integrated=[tuple(map(shown, request)) for request in words.kept(context)],
        survey=standing.survey(context).record(),
    )
    kept = _write(force.path, baseline, former)
    done = Promoted(
        version=baseline.version,
        samples=len(baseline.features),
        former=former.version,
        kept=str(kept),
        episode=str(verdict.episode),
        warnings=coverage_warnings(baseline),
    )
    summary = (
        f"Accepted as the new normal: baseline {baseline.version} of {len(baseline.features)} samples takes "
        f"the place of {former.version}."
    )
    records = evidence.closing_records(verdict, summary, outcome="accepted", report=last.report())
    records.append(evidence.baseline_record(baseline, baseline_bytes(baseline)))
    try:
        store.close_episode(
            outbox=wanted(records),
            meta={
                **words.over(),
                **last.to_keep(),
                **_turning(force.path, baseline.version),
                **answering(request, Answer(promoted=done)),
            },
            forget_detector=force.model_key,
            while_stands=(REQUEST, request),
        )
    except StateError:
        version_file(force.path.parent, baseline.version).unlink()
        raise
    finish_turn(store)
    standing.forget()
    force.adopt(baseline, model.identity, model.statistics)
    return done


def _write(current: Path, baseline: Baseline, former: Baseline) -> Path:
    """Both baselines under their versions, beside the current file; where the former one stays."""
    kept = version_file(current.parent, former.version)
    try:
        if not kept.exists():
            save_baseline(former, kept)
        save_baseline(baseline, version_file(current.parent, baseline.version))
    except OSError as error:
        raise BaselineError(
            f"baseline.file = {current}: cannot be written ({error.strerror}); "
            "name a file in a folder that this user may write to"
        ) from None
    return kept


def _turning(current: Path, version: str) -> Meta:
    """What to commit so that the turn of the current file is not forgotten."""
    return {TURN: json.dumps({"current": str(current.absolute()), "version": version})}


def finish_turn(store: StateStore) -> None:
    """Turn the current file where a commit says so; done twice it changes nothing."""
    stored = store.get_meta(TURN)
    if stored is None:
        return
    turn = json.loads(stored)
    put_in_force(Path(turn["current"]), turn["version"])
    store.set_meta(TURN, None)
