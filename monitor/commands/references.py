"""What ``backtest`` judges against: the baseline, its detectors, the probe, the names of words."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from monitor.baselines.build import ADVISED
from monitor.baselines.file_format import check_fits, load_baseline
from monitor.commands.progress import progress
from monitor.commands.rates import mean_windows
from monitor.commands.samples import read_input
from monitor.drift.detector import Detector
from monitor.drift.settings import DriftSettings
from monitor.errors import ConfigError, InputError
from monitor.learn import ATTRIBUTIONS, baseline_from_samples
from monitor.privacy import CLEAR, WordName, WordPrivacy, in_clear
from monitor.reading.analyser import Analyser
from monitor.records import Baseline, ProbeReading
from monitor.replay.probe_inputs import load_probe_texts

KEY_FILE = "headwatch.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What every setting shares: one detector a rate, the probe's reading, the names of words."""

    detectors: Mapping[str, Detector]
    probe: ProbeReading | None
    word_name: WordName


def prepare(
    path: Path,
    analyser: Analyser,
    settings: Mapping[str, DriftSettings],
    *,
    key_file: Path | None,
    attributions: int,
) -> Prepared:
    """A detector for every rate, on a baseline file or on one made of a log of normal traffic."""
    reference, probe_texts = _reference(path, analyser, attributions=attributions)
    check_fits(reference, analyser.model.identity, analyser.statistics)
    word_name, unseen = _local_words(reference, path, key_file)
    if len(reference.features) < ADVISED:
        print(
            f"the baseline has {len(reference.features)} samples: below {ADVISED} only larger shifts "
            "are found",
            file=sys.stderr,
        )
    detectors = {
        rate: Detector.fit(
            reference,
            chosen,
            mean_windows=mean_windows(chosen),
            unseen_count=unseen,
        )
        for rate, chosen in settings.items()
    }
    return Prepared(
        detectors=detectors,
        probe=analyser.probe(probe_texts) if probe_texts else None,
        word_name=word_name,
    )


def _reference(path: Path, analyser: Analyser, *, attributions: int) -> tuple[Baseline, tuple[str, ...]]:
    """The baseline, from a log or a file, and the probe texts that go with it."""
    texts = load_probe_texts(None)
    try:
        with path.open("rb") as file:
            is_archive = file.read(4) == b"PK\x03\x04"
    except OSError as error:
        raise InputError(
            f"--baseline = {path}: cannot be read ({error.strerror}); give a JSONL file of inputs, or a "
            "baseline made by `headwatch baseline build`"
        ) from None
    if is_archive:
        return load_baseline(path), texts
    samples = read_input(path, "--baseline")
    with progress("baseline", len(samples)) as done:
        reference, refused = baseline_from_samples(
            samples,
            analyser=analyser,
            probe_texts=texts,
            created=0.0,
            attributions=ATTRIBUTIONS if attributions else 0,
            on_progress=done,
        )
    if refused:
        print(
            f"{path}: {len(refused)} samples were refused by the model, first: {refused[0][1]}",
            file=sys.stderr,
        )
    return reference, texts


def _local_words(baseline: Baseline, path: Path, key_file: Path | None) -> tuple[WordName, int]:
    """How words are named, and how often a word that the baseline lacks may yet have been in it.

    Words are shown in clear, for the log is the user's own; those that a baseline file hashes are
    looked up by their hash where the key is there.
    """
    if baseline.word_key_fingerprint == CLEAR:
        return in_clear, 0
    chosen = path.resolve().parent / KEY_FILE if key_file is None else key_file
    try:
        privacy = WordPrivacy(key=chosen.read_bytes(), minimum_requests=1)
    except OSError as error:
        if key_file is not None:
            raise InputError(
                f"--key-file = {key_file}: cannot be read ({error.strerror}); give the key "
                "file that the baseline was made with"
            ) from None
        privacy = None
    if privacy is not None and privacy.fingerprint == baseline.word_key_fingerprint:
        return privacy.name, 0
    if key_file is not None:
        raise ConfigError(f"--key-file = {key_file}: is not the key of {path}; give the one it was made with")
    print(
        f"{path}: its rare words are hashed with a key that is not here, so new words are noticed later; "
        "name the key with --key-file",
        file=sys.stderr,
    )
    return in_clear, WordPrivacy(key=b"other").unseen_count(baseline.word_key_fingerprint)
