"""The files of a run, listed and fetched where they lie.

MLflow's own way from a run to its files looks through all models that were logged in its experiment as
well. That takes a request more for each folder, and servers before MLflow 3 answer it with an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import FileInfo, Run


def files_of(run: Run, *, tracking_uri: str) -> dict[str, list[str]]:
    """The names of the files in each top folder of the run's artifacts."""
    return {
        folder: [_name(file) for file in _listed(run, folder, tracking_uri)]
        for folder in (_name(item) for item in _listed(run, "", tracking_uri) if item.is_dir)
    }


def fetched(run: Run, path: str, *, tracking_uri: str, into: str) -> Path:
    """The file at ``path`` of the run's artifacts, downloaded below the folder ``into``."""
    from mlflow.artifacts import download_artifacts

    return Path(download_artifacts(artifact_uri=_uri(run, path), dst_path=into, tracking_uri=tracking_uri))


def _listed(run: Run, folder: str, tracking_uri: str) -> list[FileInfo]:
    from mlflow.artifacts import list_artifacts

    return list(list_artifacts(artifact_uri=_uri(run, folder), tracking_uri=tracking_uri))


def _uri(run: Run, path: str) -> str:
    return f"{run.info.artifact_uri}/{path}".rstrip("/")


def _name(item: FileInfo) -> str:
    return Path(item.path).name
