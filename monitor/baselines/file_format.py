"""The baseline file: one npz (a zip of plain arrays) whose first entry is JSON; no pickle.

``header`` (JSON, as bytes): schema, statistic version, version, created, source, statistics,
identity, words, requests, word key fingerprint, probe identity. ``features/...`` and ``probe/...``:
arrays. Written atomically, mode 0600.
"""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monitor.errors import BaselineError
from monitor.records import (
    INPUT_MEASURES,
    ROLLOUT_MEASURES,
    Baseline,
    Features,
    ModelIdentity,
    ProbeReading,
    SurveyedHeads,
    WordCount,
)

SCHEMA = 3
STATISTICS_VERSION = 2
"""Raised whenever the definition of a head statistic changes: its numbers cannot be compared then."""
SUFFIX = ".headwatch"
SURVEYED = ("distances", "distances_error", "roles", "roles_error")


def baseline_bytes(baseline: Baseline) -> bytes:
    """The file's content."""
    header = {
        "schema": SCHEMA,
        "statistics_version": STATISTICS_VERSION,
        "version": baseline.version,
        "created": baseline.created,
        "source": baseline.source,
        "statistics": list(baseline.statistics),
        "identity": baseline.identity.to_json(),
        "words": {
            word: [count.present, count.top, count.integrated, *count.wobble, count.even]
            for word, count in baseline.words.items()
        },
        "requests": baseline.requests,
        "attributed_requests": baseline.attributed_requests,
        "integrated_requests": baseline.integrated_requests,
        "largest_repeat": baseline.largest_repeat,
        "word_key_fingerprint": baseline.word_key_fingerprint,
        "attribution": dict(baseline.attribution),
        "survey": None if baseline.survey is None else survey_header(baseline.survey),
        "probe": None
        if baseline.probe is None
        else {
            "identity": baseline.probe.identity.to_json(),
            "inputs_hash": baseline.probe.inputs_hash,
            "padding_gap": baseline.probe.padding_gap,
        },
    }
    arrays: dict[str, NDArray[Any]] = {
        "header": np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        **{f"features/{name}": array for name, array in baseline.features.to_arrays().items()},
        "surprisal": baseline.surprisal,
    }
    if baseline.survey is not None:
        arrays |= {f"survey/{name}": getattr(baseline.survey, name) for name in SURVEYED}
    if baseline.probe is not None:
        arrays["probe/profile"] = baseline.probe.profile
        arrays["probe/prediction"] = baseline.probe.prediction
        if baseline.probe.alone is not None:
            arrays["probe/alone"] = baseline.probe.alone
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()


def save_baseline(baseline: Baseline, path: Path) -> None:
    """Write the file atomically, readable by its owner only."""
    content = baseline_bytes(baseline)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def load_baseline(source: Path | bytes) -> Baseline:
    """Read a baseline from a file or its bytes; raises BaselineError with the remedy."""
    name = "baseline bytes" if isinstance(source, bytes) else f"baseline = {source}"
    header, arrays = _read(source, name)
    for key, wanted in (("schema", SCHEMA), ("statistics_version", STATISTICS_VERSION)):
        if header.get(key) != wanted:
            raise BaselineError(
                f"{name}: {key} = {header.get(key)!r}, this version of headwatch reads {wanted}; "
                "build the baseline again with `headwatch baseline build`"
            )
    version = header.get("version")
    # Folders and registries keep a baseline under its version: nothing else may become a path.
    if not isinstance(version, str) or not re.fullmatch(r"[0-9a-f]{12}", version):
        raise BaselineError(
            f"{name}: version = {version!r}: must be twelve hexadecimal digits; "
            "restore the file or build it again"
        )
    try:
        baseline = _baseline(header, arrays)
        _check_shapes(baseline)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise BaselineError(f"{name}: damaged ({error!s}); restore the file or build it again") from None
    return baseline


def check_fits(baseline: Baseline, identity: ModelIdentity, statistics: Sequence[str]) -> None:
    """Raise BaselineError unless the baseline describes this model's heads and statistics.

    Other weights of the same model fit: that they differ is what the drift stage is to find out.
    """
    own = baseline.identity
    if own.name != identity.name and own.weights_hash != identity.weights_hash:
        raise BaselineError(
            f"baseline {baseline.version}: made for model {own.name!r}, this is {identity.name!r} with other "
            "weights; build a baseline for this model with `headwatch baseline build`"
        )
    for key in ("architecture", "task", "layers", "heads", "labels"):
        before, now = getattr(own, key), getattr(identity, key)
        if before != now:
            raise BaselineError(
                f"baseline {baseline.version}: made for {key} = {before!r}, this model has {now!r}; "
                "build a baseline for this model with `headwatch baseline build`"
            )
    if tuple(statistics) != baseline.statistics:
        raise BaselineError(
            f"baseline {baseline.version}: made with statistics {', '.join(baseline.statistics)}, this model "
            f"gives {', '.join(statistics)}; build it again with `headwatch baseline build`"
        )


def _read(source: Path | bytes, name: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    try:
        content = source if isinstance(source, bytes) else source.read_bytes()
    except OSError as error:
        raise BaselineError(
            f"{name}: cannot be read ({error.strerror}); check the path, or build one with "
            "`headwatch baseline build`"
        ) from None
    if not zipfile.is_zipfile(io.BytesIO(content)):
        damaged = content[:2] == b"PK"
        raise BaselineError(
            f"{name}: the file is cut short; restore it or build it again"
            if damaged
            else f"{name}: is not a baseline file; give one made by `headwatch baseline build`"
        )
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, zlib.error) as error:
        raise BaselineError(f"{name}: damaged ({error!s}); restore the file or build it again") from None
    try:
        header = json.loads(arrays["header"].tobytes())
        if not isinstance(header, dict) or "schema" not in header:
            raise ValueError
    except (KeyError, ValueError):
        raise BaselineError(
            f"{name}: is not a baseline file; give one made by `headwatch baseline build`"
        ) from None
    return header, arrays


def _baseline(header: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Baseline:
    prefix = "features/"
    own = {key[len(prefix) :]: array for key, array in arrays.items() if key.startswith(prefix)}
    probe = header["probe"]
    return Baseline(
        version=header["version"],
        created=float(header["created"]),
        source=header["source"],
        statistics=tuple(header["statistics"]),
        identity=ModelIdentity.from_json(header["identity"]),
        features=Features.from_arrays(own),
        words={
            word: WordCount(
                present=count[0],
                top=count[1],
                integrated=count[2],
                wobble=(count[3], count[4]),
                even=count[5],
            )
            for word, count in header["words"].items()
        },
        requests=header["requests"],
        attributed_requests=header["attributed_requests"],
        integrated_requests=header["integrated_requests"],
        surprisal=arrays["surprisal"],
        largest_repeat=float(header["largest_repeat"]),
        word_key_fingerprint=header["word_key_fingerprint"],
        attribution={str(name): float(value) for name, value in header.get("attribution", {}).items()},
        survey=_survey(header.get("survey"), arrays),
        probe=None
        if probe is None
        else ProbeReading(
            identity=ModelIdentity.from_json(probe["identity"]),
            inputs_hash=probe["inputs_hash"],
            padding_gap=probe["padding_gap"],
            profile=arrays["probe/profile"],
            prediction=arrays["probe/prediction"],
            alone=arrays.get("probe/alone"),
        ),
    )


def survey_header(survey: SurveyedHeads) -> dict[str, Any]:
    """What the arrays of a survey do not tell themselves."""
    return {"samples": survey.samples, "bins": list(survey.bins), "role_names": list(survey.role_names)}


def _survey(header: Mapping[str, Any] | None, arrays: Mapping[str, NDArray[Any]]) -> SurveyedHeads | None:
    """None in files of earlier versions, and where no survey was taken."""
    if header is None:
        return None
    return SurveyedHeads(
        samples=int(header["samples"]),
        bins=tuple(header["bins"]),
        role_names=tuple(header["role_names"]),
        **{name: arrays[f"survey/{name}"] for name in SURVEYED},
    )


def _check_shapes(baseline: Baseline) -> None:
    """Raise ValueError where an array's shape or kind is not what the header tells of it."""
    features, identity, probe = baseline.features, baseline.identity, baseline.probe
    count, classes = baseline.requests, len(identity.labels)
    heads = (identity.layers, identity.heads)
    profile = (*heads, len(baseline.statistics))
    width = features.prediction.shape[-1] if features.prediction.ndim else 0
    wanted: dict[str, tuple[NDArray[Any], tuple[int, ...]]] = {
        "times": (features.times, (count,)),
        "profile": (features.profile, (count, *profile)),
        "rollout": (features.rollout, (count, len(ROLLOUT_MEASURES))),
        "prediction": (features.prediction, (count, 2 + classes if classes else width)),
        "inputs": (features.inputs, (count, len(INPUT_MEASURES))),
        "fidelity": (features.fidelity, (count, 2)),
        "importance": (features.importance, heads),
        "surprisal": (baseline.surprisal, (count,)),
    }
    if probe is not None:
        wanted["probe/profile"] = (probe.profile, (len(probe.profile), *profile))
        if probe.alone is not None:
            wanted["probe/alone"] = (probe.alone, profile)
        wanted["probe/prediction"] = (probe.prediction, (len(probe.profile), *probe.prediction.shape[1:]))
    if baseline.survey is not None:
        wanted |= _survey_shapes(baseline.survey)
    for name, (array, shape) in wanted.items():
        if array.shape != shape or array.dtype.kind != "f":
            raise ValueError(f"{name} is {array.dtype} {array.shape}, its header tells of numbers {shape}")
    for name in ("ids", "words", "top_words"):
        if len(getattr(features, name)) != count:
            raise ValueError(f"{name} has {len(getattr(features, name))} rows, its header tells of {count}")


def _survey_shapes(survey: SurveyedHeads) -> dict[str, tuple[NDArray[Any], tuple[int, ...]]]:
    """Each array with its last axis as the header names it; what was not measured has none."""
    widths = {"distances": len(survey.bins), "roles": len(survey.role_names)}
    return {
        f"survey/{name}": (
            getattr(survey, name),
            (*getattr(survey, name).shape[:2], widths[name.removesuffix("_error")]),
        )
        for name in SURVEYED
    }
