"""From the configuration to the sinks: which exporter takes which kind of record.

mlflow and apprise are imported here only when they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from monitor.config.configuration import Config, MlflowSettings
from monitor.replay.settings import ModelSettings
from monitor.sidecar.delivery import Deliver

MLFLOW_KINDS = frozenset({"window", "episode", "attribution", "baseline"})
NOTIFICATION_KINDS = frozenset({"notification"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Sinks:
    """Each sink's record kinds and deliver function.

    ``mlflow_url`` is the page of today's run, ``mlflow_run`` its experiment id and run id;
    ``episode_url`` gives the page of an episode's run. ``tidy(model, now)`` deletes runs that are kept
    no longer; None without MLflow.
    """

    deliver: dict[str, tuple[frozenset[str], Deliver]]
    mlflow_url: Callable[[], str | None]
    mlflow_run: Callable[[], tuple[str, str] | None]
    episode_url: Callable[[str], str | None]
    tidy: Callable[[str, float], int] | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of records that somebody takes."""
        return frozenset(kind for kinds, _ in self.deliver.values() for kind in kinds)


def build_sinks(config: Config) -> Sinks:
    """The sinks that the configuration names; nothing is contacted yet."""
    deliver: dict[str, tuple[frozenset[str], Deliver]] = {}
    mlflow_url: Callable[[], str | None] = _nothing
    mlflow_run: Callable[[], tuple[str, str] | None] = _nothing
    episode_url: Callable[[str], str | None] = _no_page
    tidy: Callable[[str, float], int] | None = None
    mlflow, notifications = config.exporters.mlflow, config.exporters.notifications
    if mlflow.tracking_uri:
        from exporters.mlflow.retention import Keep
        from exporters.mlflow.runs import MlflowRuns

        runs = MlflowRuns(
            tracking_uri=mlflow.tracking_uri,
            experiment=mlflow.experiment,
            token=_token(mlflow),
            registry=mlflow.registry,
            public_url=mlflow.public_url,
            runbooks=config.exporters.prometheus.runbooks_url,
            keep=Keep(days=mlflow.keep_days, episodes=mlflow.keep_episodes),
        )
        deliver["mlflow"] = (MLFLOW_KINDS, runs.deliver)
        mlflow_url = runs.url
        episode_url, tidy = runs.episode_url, runs.tidy

        def mlflow_run() -> tuple[str, str] | None:
            return runs.current_run

    if notifications.urls:
        from exporters.notifications import Notifier

        notifier = Notifier(
            [url.get_secret_value() for url in notifications.urls],
            episode_url=episode_url,
            runbooks=config.exporters.prometheus.runbooks_url,
        )
        deliver["notifications"] = (NOTIFICATION_KINDS, notifier.addresses)
    return Sinks(
        deliver=deliver,
        mlflow_url=mlflow_url,
        mlflow_run=mlflow_run,
        episode_url=episode_url,
        tidy=tidy,
    )


def resolved_model(config: Config, downloads: Path) -> ModelSettings:
    """The model to load: a ``models:/`` address is downloaded to ``downloads``, and keeps its name.

    What ``downloads`` held of other versions is removed, so nobody else may use that folder.
    """
    model, mlflow = config.model, config.exporters.mlflow
    if not model.source.startswith("models:/"):
        return model
    from exporters.mlflow.models import fetch_model

    fetched = fetch_model(
        model.source, directory=downloads, tracking_uri=str(mlflow.tracking_uri), token=_token(mlflow)
    )
    return model.model_copy(update={"source": str(fetched), "name": model.watched_name})


def fetch_registered_baseline(config: Config, name: str) -> bytes:
    """The file of the baseline that the registry's alias ``current`` points at."""
    from exporters.mlflow.registry import fetch_baseline

    mlflow = config.exporters.mlflow
    return fetch_baseline(tracking_uri=str(mlflow.tracking_uri), name=name, token=_token(mlflow))


def _token(mlflow: MlflowSettings) -> str | None:
    return mlflow.token.get_secret_value() if mlflow.token else None


def _nothing() -> None:
    return None


def _no_page(_: str) -> None:
    return None
