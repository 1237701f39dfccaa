"""A drift accepted as the new normal: one order, nothing lost, nothing half done."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from monitor.baselines.file_format import load_baseline
from monitor.cycle import jobs
from monitor.live import evidence, promotion
from monitor.live.promotion import Answer
from monitor.reading.stacking import stack
from monitor.records import Sample
from monitor.report.episode_data import EpisodeReport
from tests.cycle_bench import LEARNING, WINDOW, Bench, edit_weights


def shifted(words: list[str]) -> list[str]:
    return ["zebra", *words, "quartz"]


@pytest.fixture
def bench(tmp_path: Path, tiny_classifier: Path) -> Iterator[Bench]:
    opened = Bench(tmp_path, Path(shutil.copytree(tiny_classifier, tmp_path / "model")))
    yield opened
    opened.store.close()


def alarmed(bench: Bench, windows: int) -> None:
    """A baseline, and an alarm that has stood for so many windows."""
    bench.learn()
    for _ in range(20):
        bench.send(shifted)
        bench.run()
        if bench.verdicts()[-1].alarm:
            break
    for _ in range(windows - 1):
        bench.send(shifted)
        bench.run()
    assert bench.verdicts()[-1].alarm


def ask(bench: Bench) -> Answer:
    promotion.ask(bench.store, "r1")
    jobs.run_evaluation(bench.cycle)
    answer = promotion.answered(bench.store, "r1")
    assert answer is not None
    return answer


def test_the_windows_since_the_alarm_become_the_baseline_and_are_quiet_from_then_on(bench: Bench) -> None:
    alarmed(bench, 4)
    former = bench.cycle.baseline
    episode = bench.verdicts()[-1].episode
    assert former is not None
    done = ask(bench).promoted
    assert done is not None
    path = bench.folder / "state.baseline"
    assert load_baseline(path).version == done.version != former.version
    assert Path(done.kept) == bench.folder / f"{former.version}.headwatch"
    assert load_baseline(Path(done.kept)).version == former.version == done.former
    assert (done.samples, done.episode) == (4 * WINDOW, episode)
    assert done.warnings[0] == "160 samples: below 2000 only larger shifts are found"
    assert not list(bench.folder.glob(".*")), "nothing is left half written"
    assert not (bench.folder / f"{done.version}.headwatch").exists()
    for _ in range(3):
        bench.send(shifted)
        bench.run()
    assert bench.states()[-3:] == ["quiet"] * 3
    assert bench.verdicts()[-1].baseline == done.version


def test_the_episode_is_closed_as_accepted(bench: Bench) -> None:
    alarmed(bench, 4)
    episode = bench.verdicts()[-1].episode
    done = ask(bench).promoted
    assert done is not None
    closing = json.loads(bench.outbox("episode")[-1].payload)
    assert (closing["phase"], closing["outcome"], closing["verdict"]["episode"]) == (
        "closed",
        "accepted",
        episode,
    )
    assert closing["verdict"]["summary"] == (
        f"Accepted as the new normal: baseline {done.version} of 160 samples takes the place of "
        f"{done.former}."
    )
    notice = json.loads(bench.outbox("notification")[-1].payload)
    assert (notice["event"], notice["verdict"]["summary"]) == ("cleared", closing["verdict"]["summary"])
    assert bench.cycle.verdict is None


def test_an_accepted_episode_gets_its_last_report_as_it_stood(bench: Bench) -> None:
    alarmed(bench, 4)
    standing = bench.verdicts()[-1]
    ask(bench)
    artifacts = bench.outbox("episode")[-1].artifacts
    told = EpisodeReport.from_json(json.loads(artifacts["report.json"]))
    assert (told.verdict, told.outcome, told.ended) == (standing, "accepted", standing.end)
    assert told.samples == 4 * WINDOW
    assert "the new traffic was accepted as the new normal" in artifacts["report.html"].decode()
    assert json.loads(bench.store.get_meta("report") or "") == json.loads(artifacts["report.json"])


def test_what_was_normal_before_alarms_from_then_on(bench: Bench) -> None:
    alarmed(bench, 6)
    ask(bench)
    for _ in range(8):
        bench.send()
        bench.run()
    newest = bench.verdicts()[-1]
    assert newest.alarm
    assert {item.word for item in newest.channels["tokens"].lost} >= {"zebra", "quartz"}


def test_an_alarm_of_too_few_samples_is_not_accepted(bench: Bench) -> None:
    alarmed(bench, 2)
    assert ask(bench) == Answer(
        problem="samples since the alarm = 80: must be at least 100 of one model; "
        "wait for more windows, then promote again"
    )
    assert [path.name for path in bench.folder.glob("*.headwatch")] == []
    bench.send(shifted)
    bench.run()
    assert bench.verdicts()[-1].alarm
    promoted = ask(bench).promoted
    assert promoted is not None
    assert promoted.samples == 3 * WINDOW


def test_without_an_alarm_there_is_nothing_to_accept(bench: Bench) -> None:
    assert ask(bench).problem == (
        "baseline promote: the baseline is still being learnt; wait until it stands"
    )
    bench.learn()
    bench.send()
    bench.run()
    assert ask(bench).problem == (
        "baseline promote: no alarm stands, so there is no new normal; to promote a file, name it"
    )


def test_an_alarm_that_ends_takes_what_was_kept_with_it(bench: Bench) -> None:
    alarmed(bench, 3)
    assert bench.store.episode_windows() != []
    for _ in range(12):
        bench.send()
        bench.run()
        if not bench.verdicts()[-1].alarm:
            break
    assert not bench.verdicts()[-1].alarm
    assert (bench.store.episode_windows(), bench.cycle.standing.samples) == ([], 0)


def test_a_restart_loses_nothing_of_the_new_normal(bench: Bench) -> None:
    alarmed(bench, 4)
    before = bench.cycle.standing.samples
    bench.reopen()
    assert bench.cycle.standing.samples == before == 160
    promoted = ask(bench).promoted
    assert promoted is not None
    assert promoted.samples == 160
    # How many requests had a word is only known in memory; what the former baseline showed is shown.
    shown = {word for word in load_baseline(bench.folder / "state.baseline").words if word[0] != "#"}
    assert "harbour" in shown
    assert "zebra" not in shown


def test_words_since_the_alarm_lie_hashed_on_disk(bench: Bench) -> None:
    alarmed(bench, 2)
    bench.send(lambda words: ["passw0rd"] if bench.sent % WINDOW == 0 else shifted(words))
    bench.run()
    jobs.run_attribution(bench.cycle)
    bench.send(shifted)
    bench.run()
    jobs.run_attribution(bench.cycle)
    bench.store.maintain()
    content = b"".join(path.read_bytes() for path in bench.folder.glob("state.sqlite*"))
    assert b"passw0rd" not in content
    kept = [evidence.load_npz(bench.store.load_features(index)) for index in bench.store.episode_windows()]
    words = [word for part in kept for joined in part["words"] for word in str(joined).split("\x1f")]
    assert len(words) > 4 * WINDOW * 4
    assert all(word.startswith("#") for word in words)


def test_words_that_many_requests_had_since_the_alarm_are_shown_in_the_new_baseline(bench: Bench) -> None:
    alarmed(bench, 2)
    bench.send(lambda words: ["passw0rd"] if bench.sent % WINDOW == 0 else shifted(words))
    bench.run()
    ask(bench)
    words = load_baseline(bench.folder / "state.baseline").words
    assert words["zebra"].present == 3 * WINDOW - 1
    assert "passw0rd" not in words
    assert sum(word.startswith("#") for word in words) == 1


def test_samples_of_other_weights_are_not_mixed_into_the_new_normal(bench: Bench) -> None:
    alarmed(bench, 4)
    edit_weights(bench.model, "classifier.bias", lambda tensor: tensor.add_(1.0))
    bench.send(shifted)
    bench.run()
    assert bench.verdicts()[-1].alarm
    assert bench.cycle.standing.samples == WINDOW


class PowerCut(BaseException):
    pass


@pytest.mark.parametrize("moment", ["close_episode", "finish_turn", "put_in_force"])
def test_a_crash_leaves_the_former_baseline_or_the_new_one_and_never_a_mixture(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    alarmed(bench, 4)
    former = bench.cycle.baseline
    assert former is not None

    def cut(*_: object, **__: object) -> None:
        raise PowerCut

    promotion.ask(bench.store, "r1")
    with monkeypatch.context() as patch:
        place = bench.store if moment == "close_episode" else promotion
        patch.setattr(place, moment, cut)
        with pytest.raises(PowerCut):
            jobs.run_evaluation(bench.cycle)
    done = len([r for r in bench.outbox("episode") if json.loads(r.payload)["phase"] == "closed"])
    assert done == (0 if moment == "close_episode" else 1)
    bench.reopen()
    bench.send(shifted)
    bench.run()
    answer = promotion.answered(bench.store, "r1")
    assert answer is not None, "the order outlives the crash, or was carried out before it"
    assert answer.promoted is not None
    bench.send(shifted)
    bench.run()
    assert load_baseline(bench.folder / "state.baseline").version == answer.promoted.version
    assert bench.verdicts()[-1].baseline == answer.promoted.version
    assert load_baseline(Path(answer.promoted.kept)).version == former.version
    closed = [r for r in bench.outbox("episode") if json.loads(r.payload)["phase"] == "closed"]
    assert len(closed) == 1


def test_an_order_that_was_withdrawn_is_not_carried_out(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    alarmed(bench, 4)
    former = bench.cycle.baseline
    probe = bench.cycle.model.probe

    def withdrawn_meanwhile() -> object:
        promotion.withdraw(bench.store, "r1")
        return probe()

    monkeypatch.setattr(bench.cycle.model, "probe", withdrawn_meanwhile)
    promotion.ask(bench.store, "r1")
    jobs.run_evaluation(bench.cycle)
    assert bench.cycle.baseline is former
    assert bench.cycle.verdict is not None
    assert bench.cycle.verdict.alarm
    assert [path.name for path in bench.folder.glob("*.headwatch")] == [f"{former.version}.headwatch"]


def test_a_current_file_that_is_a_link_is_turned_and_its_target_stays(bench: Bench) -> None:
    bench.learn()
    path = bench.folder / "state.baseline"
    former = load_baseline(path).version
    path.rename(bench.folder / f"{former}.headwatch")
    path.symlink_to(f"{former}.headwatch")
    bench.reopen()
    for _ in range(6):
        bench.send(shifted)
        bench.run()
    done = ask(bench).promoted
    assert done is not None
    assert path.is_symlink()
    assert path.resolve().name == f"{done.version}.headwatch"
    assert load_baseline(Path(done.kept)).version == former
    bench.reopen()
    assert bench.cycle.baseline is not None
    assert bench.cycle.baseline.version == done.version


def test_a_place_that_cannot_be_written_is_said_and_the_alarm_stands(bench: Bench) -> None:
    folder = bench.folder / "baselines"
    section = bench.config.baseline.model_copy(update={"file": folder / "b.baseline"})
    bench.config = bench.config.model_copy(update={"baseline": section})
    bench.reopen()
    alarmed(bench, 4)
    former = bench.cycle.baseline
    shutil.rmtree(folder)
    folder.write_text("in the way")
    assert ask(bench) == Answer(
        problem=f"baseline.file = {folder / 'b.baseline'}: cannot be written (File exists); "
        "name a file in a folder that this user may write to"
    )
    assert bench.cycle.baseline is former
    assert bench.cycle.standing.samples == 4 * WINDOW


def test_integrated_words_since_the_alarm_are_counted_into_the_new_baseline(bench: Bench) -> None:
    alarmed(bench, 1)
    for _ in range(4):
        jobs.run_attribution(bench.cycle)
        bench.send(shifted)
        bench.run()
    ask(bench)
    made = load_baseline(bench.folder / "state.baseline")
    assert made.integrated_requests >= 2 * 8
    assert sum(count.integrated for count in made.words.values()) > made.integrated_requests
    assert made.words["zebra"].present == made.requests


def test_live_learning_counts_integrated_words_of_what_still_waits(bench: Bench) -> None:
    bench.learn()
    made = load_baseline(bench.folder / "state.baseline")
    assert made.integrated_requests >= 4 * 8
    assert set(made.words) >= {"harbour"}
    assert made.words["harbour"].integrated <= made.integrated_requests
    assert bench.store.attribution_due() == [], "no text of learnt windows stays"
    assert bench.store.get_meta("learning_integrated") is None


def test_pending_words_outlive_a_crash_and_are_judged_once(bench: Bench) -> None:
    bench.learn()
    bench.send()
    bench.run()
    jobs.run_attribution(bench.cycle)
    pending = bench.store.get_meta("integrated")
    assert pending is not None
    bench.reopen()
    assert bench.store.get_meta("integrated") == pending
    bench.send()
    bench.run()
    assert bench.store.get_meta("integrated") is None


def test_words_in_clear_that_wait_longer_than_text_may_are_gone(bench: Bench) -> None:
    bench.learn()
    bench.send()
    bench.run()
    jobs.run_attribution(bench.cycle)
    bench.now += bench.config.state.text_retention
    jobs.run_attribution(bench.cycle)
    assert bench.store.get_meta("integrated") is None


def test_a_long_alarm_keeps_a_bounded_uniform_sample(bench: Bench) -> None:
    standing = bench.cycle.standing
    context = "weights revision version"
    analyser = bench.cycle.analyser
    texts = [Sample(id=f"u{i}", time=float(i + 1), text="the quiet harbour woke") for i in range(40)]
    whole = stack(analyser.profile(texts, gradient=False).analyses)
    for window in range(60):
        ids = tuple(f"w{window}-{i}" for i in range(40))
        features = replace(whole, ids=ids, times=whole.times + 100 * window)
        data = standing.pack(features, context)
        with bench.store._database.write() as db:
            db.execute("INSERT INTO features VALUES (?, 2, ?)", (window, data))
        standing.add(window, features)
        assert standing.samples <= 2 * LEARNING * WINDOW
    kept = standing.features(context)
    assert kept is not None
    assert len(kept) == LEARNING * WINDOW
    early = sum(identity.startswith(tuple(f"w{w}-" for w in range(30))) for identity in kept.ids)
    assert 65 <= early <= 135, "both halves alike: 100 expected, sd below 7"
    assert standing.features("other weights") is None
