"""Features of a log on disk, so that the next backtest of the same log and model need not profile it.

One npz without pickle: ``header`` (JSON), ``places``, ``features/...``. It holds the words of the log
in clear, as the log does: mode 0600.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monitor.baselines.file_format import STATISTICS_VERSION
from monitor.errors import InputError
from monitor.reading.analyser import Analyser
from monitor.records import INPUT_MEASURES, ROLLOUT_MEASURES, Features, Sample
from monitor.tuning.profiled import Profiled

SCHEMA = 1
_REMEDY = "name another file, or delete this one to profile the log again"


def provenance(samples: Sequence[Sample], analyser: Analyser) -> dict[str, Any]:
    """What features depend on: the log, the weights, what is measured and how."""
    digest = hashlib.sha256()
    for sample in samples:
        served = sample.served and (sample.served.label, sample.served.probability)
        values = (sample.id, sample.time, sample.text, sample.text_pair, sample.input_ids, served)
        digest.update(repr(values).encode("utf-8", "surrogatepass"))
    return {
        "schema": SCHEMA,
        "log": digest.hexdigest(),
        "weights": analyser.model.identity.weights_hash,
        "task": analyser.model.identity.task,
        "maximum tokens": analyser.model.max_tokens,
        "statistics": [STATISTICS_VERSION, *analyser.statistics],
        "measures": [*ROLLOUT_MEASURES, *INPUT_MEASURES],
        "gradient": analyser.settings.gradient_attribution,
        "top words": analyser.settings.top_words,
    }


def feature_bytes(profiled: Profiled, origin: Mapping[str, Any]) -> bytes:
    """The file's content."""
    header = {
        **origin,
        "samples": profiled.stop,
        "refused": profiled.refused,
        "integrated": {str(place): words for place, words in profiled.integrated.items()},
    }
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        allow_pickle=False,
        header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        places=profiled.places,
        **{f"features/{name}": array for name, array in profiled.features.to_arrays().items()},
    )
    return buffer.getvalue()


def load_features(path: Path, origin: Mapping[str, Any]) -> Profiled:
    """Read a file that ``feature_bytes`` made; InputError if it is of another log, model or version."""
    try:
        with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        header = json.loads(arrays["header"].tobytes())
        found = {key: header.get(key) for key in origin}
    except OSError as error:
        raise InputError(f"--features = {path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, KeyError, EOFError, AttributeError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"--features = {path}: is no file of features; {_REMEDY}") from None
    for key, wanted in origin.items():
        if found[key] != wanted:
            raise InputError(
                f"--features = {path}: was made with another {key} ({_brief(found[key])}, now "
                f"{_brief(wanted)}); {_REMEDY}"
            )
    own = {
        name.removeprefix("features/"): array
        for name, array in arrays.items()
        if name.startswith("features/")
    }
    return Profiled(
        features=Features.from_arrays(own),
        places=arrays["places"],
        first=0,
        stop=header["samples"],
        refused=tuple((sample, reason) for sample, reason in header["refused"]),
        integrated={int(place): tuple(words) for place, words in header["integrated"].items()},
    )


def _brief(value: object) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= 64 and not _is_hash(text) else f"{text[:12]}..."


def _is_hash(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
