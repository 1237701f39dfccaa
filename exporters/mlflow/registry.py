"""Baselines in MLflow's model registry.

A baseline is a version of the registered model ``<name>.headwatch-baseline``; the alias ``current``
is the one in use. It is never an alias or a model that a deployer pulls.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporters.mlflow.artifacts import fetched
from exporters.mlflow.connection import connect, export_errors, is_missing, quoted, without_secrets
from exporters.mlflow.experiment import Experiment
from monitor.errors import ExportError

if TYPE_CHECKING:
    from mlflow.entities.model_registry import ModelVersion
    from mlflow.tracking import MlflowClient

SUFFIX = ".headwatch-baseline"
ALIAS = "current"
ARTIFACT = "baseline/baseline.headwatch"
DIGEST_TAG = "headwatch.sha256"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegisteredBaseline:
    """A baseline's version in the registry; ``created`` in seconds since the epoch."""

    version: str
    created: float
    aliases: tuple[str, ...]
    tags: Mapping[str, str]


def registered_name(name: str) -> str:
    """The registry's name for a model's baselines. Slashes and colons have a meaning in its URIs.

    >>> registered_name("org/sentiment")
    'org-sentiment.headwatch-baseline'
    """
    return name.replace("/", "-").replace(":", "-") + SUFFIX


def publish_baseline(
    data: bytes,
    *,
    tracking_uri: str,
    name: str,
    version_tags: Mapping[str, str],
    token: str | None = None,
    experiment: str = "headwatch",
    run_id: str | None = None,
    description: str | None = None,
) -> str:
    """Store the baseline file as a new version with the alias ``current``; returns the version.

    The same bytes are never registered twice: their version only gets the alias again. ``run_id`` is
    the run that keeps the file (one of ``experiment`` if it is not given); ``description`` is what the
    version's page says.

    Raises:
        ExportError: the server cannot be reached or refuses.
    """
    place = Experiment(tracking_uri=tracking_uri, name=experiment, token=token)
    client = place.client
    digest = hashlib.sha256(data).hexdigest()
    registered = registered_name(name)
    with export_errors(tracking_uri):
        _ensure_registered(client, registered, name)
        known = [item for item in _versions(client, registered) if item.tags.get(DIGEST_TAG) == digest]
        if known:
            version = str(known[0].version)
        else:
            run = run_id or _run_of_file(place, name, digest)
            _log_bytes(client, run, data)
            tags = {**version_tags, DIGEST_TAG: digest}
            source = f"runs:/{run}/{Path(ARTIFACT).parent}"
            made = client.create_model_version(
                registered,
                source=source,
                run_id=run,
                tags=tags,
                description=description or f"Baseline file of {name}, sha256 {digest[:12]}.",
                await_creation_for=0,
            )
            version = str(made.version)
        client.set_registered_model_alias(registered, ALIAS, version)
    return version


def fetch_baseline(*, tracking_uri: str, name: str, alias: str = ALIAS, token: str | None = None) -> bytes:
    """The bytes of the baseline file that ``alias`` points at.

    Raises:
        ExportError: no such baseline, its content changed, or the server cannot be reached.
    """
    client = connect(tracking_uri, token)
    with export_errors(tracking_uri), tempfile.TemporaryDirectory(prefix="headwatch-") as folder:
        version = _version_by_alias(client, tracking_uri, name, alias)
        run = client.get_run(str(version.run_id))
        data = fetched(run, ARTIFACT, tracking_uri=tracking_uri, into=folder).read_bytes()
    if hashlib.sha256(data).hexdigest() != version.tags.get(DIGEST_TAG):
        raise ExportError(
            f"{registered_name(name)} version {version.version}: the file is not the one that was published; "
            "publish the baseline again"
        )
    return data


def list_baselines(
    *, tracking_uri: str, name: str, token: str | None = None
) -> tuple[RegisteredBaseline, ...]:
    """All versions of the model's baseline, newest first; empty where there is none."""
    client = connect(tracking_uri, token)
    registered = registered_name(name)
    with export_errors(tracking_uri):
        aliases: dict[str, list[str]] = {}
        for model in client.search_registered_models(filter_string=f"name = {quoted(registered)}"):
            for alias, version in model.aliases.items():
                aliases.setdefault(str(version), []).append(alias)
        return tuple(
            RegisteredBaseline(
                version=str(item.version),
                created=item.creation_timestamp / 1000,
                aliases=tuple(sorted(aliases.get(str(item.version), []))),
                tags=dict(item.tags),
            )
            for item in _versions(client, registered)
        )


def registered_runs(client: MlflowClient, name: str) -> frozenset[str]:
    """The ids of the runs that keep the file of a registered version of the model's baseline."""
    return frozenset(str(item.run_id) for item in _versions(client, registered_name(name)))


def promote_baseline(*, tracking_uri: str, name: str, version: str, token: str | None = None) -> None:
    """Point the alias ``current`` at another version.

    Raises:
        ExportError: there is no such version, or the server cannot be reached.
    """
    client = connect(tracking_uri, token)
    with export_errors(tracking_uri):
        client.set_registered_model_alias(registered_name(name), ALIAS, version)


def _ensure_registered(client: MlflowClient, registered: str, name: str) -> None:
    if not client.search_registered_models(filter_string=f"name = {quoted(registered)}"):
        text = (
            f"Baselines of {name}: what its attention heads and tokens did when it was known to be well. "
            f"Alias {ALIAS}: the one that its traffic is judged against. No model to deploy."
        )
        client.create_registered_model(registered, description=text)


def _versions(client: MlflowClient, registered: str) -> list[ModelVersion]:
    found = client.search_model_versions(filter_string=f"name = {quoted(registered)}")
    return sorted(found, key=lambda item: -int(item.version))


def _version_by_alias(client: MlflowClient, tracking_uri: str, name: str, alias: str) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        return client.get_model_version_by_alias(registered_name(name), alias)
    except MlflowException as error:
        if not is_missing(error) and "alias" not in str(error):
            raise
        raise ExportError(
            f"{registered_name(name)}@{alias}: is not in the registry of {without_secrets(tracking_uri)}; "
            "build a baseline and publish it first"
        ) from error


def _run_of_file(experiment: Experiment, name: str, digest: str) -> str:
    """The run that keeps a file which no sidecar learnt; made where there is none."""
    run = experiment.run(
        f"{name}/file/{digest}", kind="baseline", name=f"Baseline file of {name}", tags={"model": name}
    )
    experiment.client.set_terminated(run)
    return run


def _log_bytes(client: MlflowClient, run_id: str, data: bytes) -> None:
    with tempfile.TemporaryDirectory(prefix="headwatch-") as folder:
        file = Path(folder) / Path(ARTIFACT).name
        file.write_bytes(data)
        client.log_artifact(run_id, str(file), str(Path(ARTIFACT).parent))
