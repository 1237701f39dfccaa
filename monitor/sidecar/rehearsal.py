"""One window through every stage, in a folder that is thrown away: what ``headwatch check`` runs.

The parts are the sidecar's own, from the bytes of a request body to the text of /metrics; only the
sockets, the scheduler and the sinks are left out. CPU time is measured on the way, so that the
costs that are reported are this machine's and this model's.
"""

from __future__ import annotations

import base64
import json
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from exporters.prometheus.metrics import HeadwatchCollector, build_registry, render
from monitor.config.configuration import Config
from monitor.cycle import jobs
from monitor.cycle.state import Cycle
from monitor.errors import HeadwatchError, InputError
from monitor.ingest.intake import Intake
from monitor.ingest.payload import Reader, read_samples_body
from monitor.privacy import WordPrivacy, new_key
from monitor.reading.analyser import Analyser
from monitor.records import CHANNELS, Attribution, Sample
from monitor.replay.images import self_test_images
from monitor.replay.model import load_model
from monitor.replay.probe_inputs import load_probe_texts
from monitor.replay.replayed_model import ReplayModel
from monitor.sidecar.jobs import JobBook
from monitor.sidecar.sinks import fetch_registered_baseline, resolved_model
from monitor.sidecar.snapshots import Observer
from monitor.state.store import StateStore

SAMPLES = 30
STARTED = 1_700_000_000.0

Say = Callable[[str, str], None]
Inputs = Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """Measured here: seconds of CPU, bytes of memory; ``tokens`` is the mean length of the inputs."""

    weights_bytes: int
    peak_bytes: int
    load_seconds: float
    tokens: float
    sample_seconds: float
    judge_seconds: float
    attribution_seconds: float
    probe_seconds: float

    def window_seconds(self, config: Config) -> float:
        """CPU seconds of one full window: its samples, its verdict, its attributions."""
        attributed = config.analysis.attribution.samples
        return (
            config.window.samples * self.sample_seconds
            + self.judge_seconds
            + attributed * self.attribution_seconds
        )

    def core_share(self, config: Config) -> float:
        """The share of one core that windows and probe take when traffic is always enough."""
        windows = self.window_seconds(config) / config.window.duration
        return windows + self.probe_seconds / config.schedule.probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """What was found: the model as it will be watched, the baseline, the costs."""

    model: ReplayModel
    baseline: str
    baseline_samples: int
    channels: tuple[str, ...]
    costs: Costs


def rehearse(config: Config, *, samples: Sequence[Sample], say: Say) -> Rehearsal:
    """Load the model and take ``samples`` (at least 30; repeated if fewer) through every stage.

    A model that reads images is given pictures of our own where none of them is an image.

    ``say`` hears each stage's name and what it did, as it ends. Raises the ``HeadwatchError`` of
    the first stage that fails.
    """
    with TemporaryDirectory(prefix="headwatch-check-") as folder:
        settings = _aside(config, Path(folder))
        clock = _Clock(STARTED)
        model, load_seconds = _load(settings, say)
        store = StateStore(settings.state.file, settings=settings.state, window=settings.window, clock=clock)
        try:
            inputs = inputs_of(model, samples)
            _fill_window(settings, store, inputs, clock, say)
            cycle = _cycle(settings, store, model, clock)
            cycle.start()
            spent = _run(cycle, settings, inputs, say)
            _render(settings, store, cycle, clock, say)
        finally:
            store.close()
    return Rehearsal(
        model=model,
        baseline=cycle.baseline.version if cycle.baseline else "",
        baseline_samples=len(cycle.baseline.features) if cycle.baseline else 0,
        channels=tuple(name for name in CHANNELS if name not in _missing(model)),
        costs=Costs(
            weights_bytes=weights_bytes(model),
            peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            load_seconds=load_seconds,
            **spent,
        ),
    )


def _missing(model: ReplayModel) -> set[str]:
    """The channels that have nothing to say of this model."""
    missing = set() if model.identity.labels else {"fidelity"}
    return missing if model.finding.reads_attention else missing | {"heads", "rollout"}


def inputs_of(model: ReplayModel, samples: Sequence[Sample]) -> list[dict[str, str]]:
    """The fields of each input as a client sends them: a text, a pair, or a picture in base64."""
    if model.reads_images:
        pictures = [sample.image for sample in samples if sample.image] or self_test_images()
        return [{"image": base64.b64encode(picture).decode()} for picture in pictures]
    texts = [sample for sample in samples if sample.text]
    if not texts:
        raise InputError("--input: holds images, and this model reads text; give lines with a 'text'")
    return [
        {"text": sample.text or "", **({"text_pair": sample.text_pair} if sample.text_pair else {})}
        for sample in texts
    ]


def weights_bytes(model: ReplayModel) -> int:
    """What the second copy of the weights takes in memory: parameters and buffers."""
    tensors = [*model.network.parameters(), *model.network.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


class _Clock:
    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def _aside(config: Config, folder: Path) -> Config:
    """The configuration with all it keeps in ``folder``, a small window, and the baseline that stands.

    A registered model is downloaded there too: the sidecar's own download may be watched just now.
    """
    standing = config.baseline.file or config.state.file.with_suffix(".baseline")
    keeps = standing.exists() or config.baseline.source == "file"
    # Learning spreads its samples over the baseline's duration; here all 30 are to be analysed.
    baseline = {"file": standing if keeps else None, "duration": config.window.duration}
    window = {"samples": SAMPLES, "minimum_samples": SAMPLES, "requests": None}
    analysis = config.analysis.attribution.model_copy(update={"samples": 1})
    return config.model_copy(
        update={
            "model": resolved_model(config, downloads=folder / "model"),
            "state": config.state.model_copy(update={"file": folder / "state.sqlite"}),
            "window": config.window.model_copy(update=window),
            "baseline": config.baseline.model_copy(update=baseline),
            "analysis": config.analysis.model_copy(update={"attribution": analysis}),
        }
    )


def _load(config: Config, say: Say) -> tuple[ReplayModel, float]:
    started = time.perf_counter()
    model = load_model(config.model)
    seconds = time.perf_counter() - started
    identity = model.identity
    say(
        "model",
        f"{identity.name}: {identity.architecture}, {identity.task}, loaded and tested in {seconds:.1f} s",
    )
    say("attention tap", _tap(model))
    for tier, reason in model.finding.refused:
        say("tier refused", f"tier '{tier}': {reason}")
    for refusal in model.refusals:
        say("not available", refusal)
    return model, seconds


def _tap(model: ReplayModel) -> str:
    """Which tier serves, and how much of the model it sees."""
    finding = model.finding
    if not finding.reads_attention:
        return f"tier '{finding.tier}': 0 of {finding.layers_there} layers can be read; no heads, no rollout"
    by_stack = (f"{finding.stacks.count(name)} {name}" for name in dict.fromkeys(finding.stacks))
    stacks = f" ({', '.join(by_stack)})" if finding.stacks else ""
    return (
        f"self-test against eager attention passed: tier '{finding.tier}', "
        f"{finding.layer_count} of {finding.layers_there} layers{stacks} x {finding.head_count} heads, "
        f"{len(model.statistics)} statistics"
    )


def _fill_window(config: Config, store: StateStore, inputs: Inputs, clock: _Clock, say: Say) -> None:
    """Request bodies to samples to a closed window."""
    chosen = [inputs[i % len(inputs)] for i in range(SAMPLES)]
    body = "\n".join(json.dumps({"id": f"check-{i}", **given}) for i, given in enumerate(chosen))
    reader = Reader(limits=config.ingest.limits, new_id=lambda: "check", now=clock)
    reading = read_samples_body(body.encode(), reader)
    if reading.faults:
        raise reading.faults[0].error
    say("ingest", f"{len(reading.items)} samples read from an NDJSON body")
    intake = Intake(store, settings=config.ingest)
    receipt = intake.submit(reading.items, source="http", durable=True)
    intake.stop()
    clock.now += config.window.duration + 1
    store.close_due_window()
    if not store.windows("closed"):
        raise HeadwatchError(f"state: {receipt.accepted} samples gave no closed window")
    say("state", f"{receipt.accepted} samples written, sampled and closed as a window")


def _cycle(config: Config, store: StateStore, model: ReplayModel, clock: _Clock) -> Cycle:
    key = config.privacy.key
    return Cycle(
        config=config,
        store=store,
        load=lambda: Analyser(model, config.analysis),
        probe_texts=load_probe_texts(config.probe.file),
        privacy=WordPrivacy(
            key=key.get_secret_value().encode() if key else new_key(),
            minimum_requests=config.privacy.minimum_requests,
            allowlist=frozenset(config.privacy.allowlist),
        ),
        sinks=frozenset(),
        fetch_baseline=lambda name: fetch_registered_baseline(config, name),
        clock=clock,
        should_stop=lambda: False,
    )


def _run(cycle: Cycle, config: Config, inputs: Inputs, say: Say) -> dict[str, float]:
    """The cycle's jobs, each with the CPU seconds it took."""
    analyser = cycle.analyser
    analyser.profile(_samples(inputs[:2]))  # the first batch pays for buffers that later ones find ready
    profiled = cpu_seconds(lambda: jobs.run_profile(cycle))
    tokens = [len(ids.ids) for ids in analyser.encode(_samples(inputs))[0].values()]
    say(
        "replay, analysis", f"profiles, rollout, predictions: {1000 * profiled / SAMPLES:.0f} ms CPU a sample"
    )
    attributed = 0.0
    if config.analysis.attribution.samples and analyser.model.takes_gradient:
        found: list[Attribution] = []
        attributed = cpu_seconds(lambda: found.extend(analyser.attribute(_samples(inputs)[:1])))
        item = found[0]
        word = "converged" if item.converged else "did not converge"
        say(
            "attribution",
            f"Integrated Gradients {word} after {item.steps} steps"
            f" (relative delta {item.relative_delta:.2%}): {1000 * attributed:.0f} ms CPU",
        )
    probed = cpu_seconds(lambda: jobs.run_probe(cycle))
    say("probe", f"the fixed inputs: {probed:.1f} s CPU")
    judged = cpu_seconds(lambda: jobs.run_evaluation(cycle))
    if cycle.verdict is None:
        raise HeadwatchError("detector: the window was profiled and gave no verdict")
    standing = f"against baseline {cycle.baseline.version}" if cycle.baseline else "no baseline yet: learning"
    say("detector", f"a verdict on the window, {standing}")
    return {
        "tokens": sum(tokens) / max(1, len(tokens)),
        "sample_seconds": profiled / SAMPLES,
        "judge_seconds": judged,
        "attribution_seconds": attributed,
        "probe_seconds": probed,
    }


def _samples(inputs: Inputs) -> list[Sample]:
    return [
        Sample(
            id=str(i),
            time=STARTED,
            text=given.get("text"),
            image=base64.b64decode(given["image"]) if "image" in given else None,
        )
        for i, given in enumerate(inputs)
    ]


def _render(config: Config, store: StateStore, cycle: Cycle, clock: _Clock, say: Say) -> None:
    intake = Intake(store, settings=config.ingest)
    intake.stop()
    observer = Observer(config=config, store=store, intake=intake, jobs=JobBook(clock=clock), started=STARTED)
    observer.cycle = cycle
    prometheus = config.exporters.prometheus
    collector = HeadwatchCollector(
        lambda: observer.snapshot(clock()), top_heads=prometheus.top_heads, every_head=prometheus.every_head
    )
    body, _ = render(build_registry(collector), "")
    series = sum(1 for line in body.decode().splitlines() if line and not line.startswith("#"))
    say("metrics", f"{series} series, {len(body) / 1000:.0f} kB a scrape")


def cpu_seconds(work: Callable[[], object]) -> float:
    """CPU seconds of this process, all threads together, that ``work`` took."""
    before = time.process_time()
    work()
    return time.process_time() - before
