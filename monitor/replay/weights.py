"""The fingerprints of a model's files: cheap (``weights_stamp``), exact (``weights_hash``), and of a part."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from monitor.errors import ModelError

WEIGHT_SUFFIXES = (".safetensors", ".bin")
_TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "merges.txt",
              "tokenizer.model", "spiece.model", "sentencepiece.bpe.model",
              "preprocessor_config.json", "processor_config.json")  # fmt: skip
# They decide what the weights compute; a tokenizer that was swapped is a changed model.
_BESIDE = ("config.json", *_TOKENIZER)
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
    return [*weight_files(source), *_beside(source)]


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
    return _content_hash(source, model_files)


def tokenizer_hash(source: str | Path) -> str:
    """SHA-256 over names and contents of the tokenizer's files."""
    return _content_hash(source, lambda folder: [path for path in _beside(folder) if path.name in _TOKENIZER])


def _beside(source: str | Path) -> list[Path]:
    folder = Path(source)
    return [folder / name for name in _BESIDE if (folder / name).is_file()]


def _content_hash(source: str | Path, files: Callable[[str | Path], list[Path]]) -> str:
    digest = hashlib.sha256()
    try:
        for path in files(source):
            digest.update(path.name.encode() + b"\0")
            with path.open("rb") as file:
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
    except OSError as error:
        raise ModelError(
            f"model.source = {source}: cannot be read ({error.strerror}); let this user read its files"
        ) from None
    return digest.hexdigest()
