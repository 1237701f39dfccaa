"""The fingerprint of a model's files, cheap (``weights_stamp``) and exact (``weights_hash``)."""

from __future__ import annotations

import hashlib
from pathlib import Path

from monitor.errors import ModelError

WEIGHT_SUFFIXES = (".safetensors", ".bin")
# They decide what the weights compute; a tokenizer that was swapped is a changed model.
_BESIDE = ("config.json", "tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt")
_NO_WEIGHTS = {"training_args.bin"}
_CHUNK = 1 << 20


def weight_files(source: str | Path) -> list[Path]:
    """The weight files of a model directory, sorted by name."""
    folder = Path(source)
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in WEIGHT_SUFFIXES and path.name not in _NO_WEIGHTS and path.is_file()
    )


def model_files(source: str | Path) -> list[Path]:
    """The weight files, then the configuration and the tokenizer."""
    folder = Path(source)
    return [*weight_files(folder), *(folder / name for name in _BESIDE if (folder / name).is_file())]


def weights_stamp(source: str | Path) -> str:
    """Names, sizes, times and inodes of the model's files: changes whenever they are replaced.

    It reads no file content, so it may be asked every few seconds.
    """
    try:
        parts = []
        for path in model_files(source):
            facts = path.stat()
            parts.append(f"{path.name}:{facts.st_size}:{facts.st_mtime_ns}:{facts.st_ino}")
    except OSError as error:
        raise ModelError(
            f"model.source = {source}: cannot be read ({error.strerror}); let this user read its files"
        ) from None
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def weights_hash(source: str | Path) -> str:
    """SHA-256 over names and contents of the weights, the configuration and the tokenizer."""
    digest = hashlib.sha256()
    try:
        for path in model_files(source):
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    except OSError as error:
        raise ModelError(
            f"model.source = {source}: cannot be read ({error.strerror}); let this user read its files"
        ) from None
    return digest.hexdigest()
