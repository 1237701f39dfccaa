"""Registered models as folders of this machine: one folder a version, whole or not there at all."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.mlflow.connection import connect, export_errors
from monitor.errors import ExportError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion

PARTIAL = ".download-"
# What is made here, and nothing else, is removed here.
_MADE_HERE = re.compile(r"version-\d+-[0-9a-f]{8}|\.download-.+")


def fetch_model(
    uri: str, *, directory: Path, tracking_uri: str | None = None, token: str | None = None
) -> Path:
    """The Hugging Face directory of a registered model, downloaded to ``directory`` if it is not there.

    A download is made aside and renamed when it is complete, so that one that was cut off is never taken
    for a model. The folders of other versions are removed.

    Args:
        uri: ``models:/name@alias`` or ``models:/name/version``.
        directory: where the versions lie; no other process may use it.
        tracking_uri: the server; by default ``MLFLOW_TRACKING_URI`` from the environment.
        token: bearer token of the server.

    Raises:
        ExportError: no such model, no ``config.json`` in it, the server cannot be reached, or the
            directory cannot be written.
    """
    name, alias, number = _parts(uri)
    server = tracking_uri if tracking_uri is not None else os.environ.get("MLFLOW_TRACKING_URI")
    if server is None:
        raise ExportError(
            f"model.source = {uri}: needs an MLflow server; set exporters.mlflow.tracking_uri "
            "or MLFLOW_TRACKING_URI"
        )
    client = connect(server, token)
    with export_errors(server):
        version = (
            client.get_model_version(name, number)
            if number
            else client.get_model_version_by_alias(name, alias)
        )
        # Asked for by its storage: MLflow looks a models:/ URI up in the process' own registry.
        storage = client.get_model_version_download_uri(name, version.version)
    folder = directory / _folder_name(version, storage)
    if not folder.is_dir():
        _download(uri, storage, folder, server)
    _remove_others(folder)
    return _with_config(folder, uri)


def _parts(uri: str) -> tuple[str, str, str]:
    """Name, alias and version; of the last two one is empty."""
    wanted = re.fullmatch(r"models:/+([^@/]+)(?:@(.+)|/(\d+))", uri)
    if wanted is None:
        raise ExportError(
            f"model.source = {uri}: is no registry URI; write models:/name@alias or models:/name/1"
        )
    name, alias, number = wanted.groups(default="")
    return name, alias, number


def _folder_name(version: ModelVersion, storage: str) -> str:
    """Another one for a model that was deleted and registered anew: its versions count from 1 again."""
    told = f"{version.name} {version.version} {version.creation_timestamp} {storage}"
    return f"version-{version.version}-{hashlib.sha256(told.encode()).hexdigest()[:8]}"


def _download(uri: str, storage: str, folder: Path, server: str) -> None:
    from mlflow.artifacts import download_artifacts

    with _writing(uri, folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder.parent))
    try:
        with export_errors(server):
            download_artifacts(artifact_uri=storage, dst_path=str(partial), tracking_uri=server)
        _with_config(partial, uri)
        with _writing(uri, folder.parent):
            # Content before name: after a power cut the name must not stand for empty files.
            for path in [*partial.rglob("*"), partial]:
                _to_disk(path)
            partial.rename(folder)
            _to_disk(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _with_config(folder: Path, uri: str) -> Path:
    """The folder of the ``config.json`` that lies least deep."""
    found = sorted(folder.rglob("config.json"), key=lambda path: (len(path.parts), path))
    if not found:
        raise ExportError(
            f"model.source = {uri}: has no config.json; register a Hugging Face directory, "
            "for example by mlflow.transformers.log_model"
        )
    return found[0].parent


def _remove_others(folder: Path) -> None:
    for path in folder.parent.iterdir():
        if path != folder and _MADE_HERE.fullmatch(path.name):
            shutil.rmtree(path, ignore_errors=True)


def _to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _writing(uri: str, directory: Path) -> Iterator[None]:
    """Errors of the disk, which must not read as errors of the server."""
    try:
        yield
    except OSError as error:
        raise ExportError(
            f"model.source = {uri}: cannot be kept in {directory} ({error.strerror}); "
            "let this user write there, and leave room for the model"
        ) from None
