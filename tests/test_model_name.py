"""One model has one name: in metrics, verdicts, baselines and MLflow, whatever its files are called."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.constants
import pytest

from monitor.config.configuration import Config
from monitor.cycle.state import Cycle
from monitor.errors import BaselineError
from monitor.ingest.intake import Intake
from monitor.records import Verdict
from monitor.replay.model import load_model
from monitor.replay.settings import ModelSettings, name_of
from monitor.sidecar.jobs import JobBook
from monitor.sidecar.snapshots import Observer
from tests.cycle_bench import Bench, edit_weights

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def bench(tmp_path: Path, tiny_classifier: Path) -> Iterator[Bench]:
    """A cycle on ``current``, a link that points to the folder ``v1``."""
    shutil.copytree(tiny_classifier, tmp_path / "v1")
    link = tmp_path / "current"
    link.symlink_to("v1")
    opened = Bench(tmp_path, link)
    yield opened
    opened.store.close()


def turn_to_other_weights(bench: Bench) -> None:
    """A deployment of version 2: the link is replaced in one step."""
    folder = Path(shutil.copytree(bench.folder / "v1", bench.folder / "v2"))
    edit_weights(folder, "classifier.weight", lambda weight: weight.neg_())
    (bench.folder / "next").symlink_to("v2")
    (bench.folder / "next").rename(bench.model)


def next_verdict(bench: Bench) -> Verdict:
    bench.send()
    bench.run()
    return bench.verdicts()[-1]


def named(bench: Bench, name: str | None) -> None:
    """As after a restart with another ``model.name``."""
    model = bench.config.model.model_copy(update={"name": name})
    bench.config = bench.config.model_copy(update={"model": model})
    bench.reopen()


def in_metrics(bench: Bench, cycle: Cycle | None) -> str:
    intake = Intake(bench.store, settings=bench.config.ingest)
    intake.stop()
    jobs = JobBook(clock=lambda: bench.now)
    observer = Observer(config=bench.config, store=bench.store, intake=intake, jobs=jobs, started=bench.now)
    observer.cycle = cycle
    return observer.snapshot(bench.now).name


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("/models/sentiment", "sentiment"),
        ("/models/sentiment/", "sentiment"),
        ("models/v1/../sentiment", "sentiment"),
        ("~/models/sentiment", "sentiment"),
        ("sentiment", "sentiment"),
        ("org/sentiment", "sentiment"),
        ("models:/sentiment@champion", "sentiment"),
        ("models:/sentiment/7", "sentiment"),
        ("models://sentiment@a/b", "sentiment"),
        ("models:/main.nlp.sentiment@champion", "main.nlp.sentiment"),
    ],
)
def test_a_model_without_a_name_is_called_by_the_last_part_of_its_source(source: str, name: str) -> None:
    assert ModelSettings(source=source).watched_name == name_of(source) == name
    assert ModelSettings(source=source, name="mine").watched_name == "mine"


@pytest.mark.parametrize("source", [".", "..", "deep/.."])
def test_the_current_folder_is_called_by_its_own_name(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "sentiment"
    (folder / "deep").mkdir(parents=True)
    monkeypatch.chdir(folder / "deep" if source == ".." else folder)
    assert name_of(source) == "sentiment"


def test_a_model_of_the_hub_has_the_same_name_in_verdicts_as_in_metrics(
    tmp_path: Path, tiny_classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tmp_path / "hub" / "models--org--sentiment"
    shutil.copytree(tiny_classifier, stored / "snapshots" / COMMIT)
    (stored / "refs").mkdir()
    (stored / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    settings = ModelSettings(source="org/sentiment")
    identity = load_model(settings).identity
    assert (identity.name, identity.revision) == ("sentiment", COMMIT)
    assert Config(model=settings).model.watched_name == identity.name


def test_a_link_that_is_turned_to_other_weights_is_a_changed_model(bench: Bench) -> None:
    bench.learn()
    assert in_metrics(bench, None) == in_metrics(bench, bench.cycle) == "current"
    turn_to_other_weights(bench)
    verdict = next_verdict(bench)
    assert (verdict.model, verdict.causes, verdict.severity) == ("current", ("model",), "page")
    assert bench.cycle.trouble == ""
    bench.reopen()
    assert next_verdict(bench).alarm


def test_a_baseline_that_was_made_before_the_model_got_its_name_stays_that_models(bench: Bench) -> None:
    bench.learn()
    next_verdict(bench)
    before = bench.cycle.in_force.state
    assert before is not None
    named(bench, "sentiment")
    assert bench.cycle.in_force.state is not None
    assert bench.cycle.in_force.state.times == before.times != (), "its evidence stays too"
    turn_to_other_weights(bench)
    verdict = next_verdict(bench)
    assert (verdict.model, verdict.causes) == ("sentiment", ("model",))
    bench.reopen()
    assert (next_verdict(bench).alarm, in_metrics(bench, bench.cycle)) == (True, "sentiment")


def test_a_name_that_comes_together_with_other_weights_is_another_model(bench: Bench) -> None:
    bench.learn()
    version = bench.cycle.in_force.version
    turn_to_other_weights(bench)
    with pytest.raises(BaselineError) as error:
        named(bench, "sentiment")
    assert str(error.value) == (
        f"baseline {version}: made for model 'current', this is 'sentiment' with other weights; "
        "build a baseline for this model with `headwatch baseline build`"
    )
