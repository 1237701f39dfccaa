"""One YAML file and the environment become one frozen, typed, validated ``Config``.

Each stage keeps its own settings beside its code; this module joins them, adds the sections that
only the composition root reads, checks what spans sections, and fetches secrets. It imports no
torch, transformers or mlflow: a configuration is read in milliseconds.

    python -m monitor.config FILE...    says for each file whether it can be used
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from monitor.analysis.settings import AnalysisSettings
from monitor.config.problems import (
    describe,
    fetch_secrets,
    misspelt_variables,
    refuse_secrets,
    section_model,
)
from monitor.config.source import KeyPath, read_source
from monitor.drift.settings import DriftSettings
from monitor.errors import ConfigError
from monitor.ingest.settings import IngestSettings, check_exposure, read_token, split_address
from monitor.replay.settings import ModelSettings
from monitor.settings import Duration, Settings, format_duration
from monitor.state.settings import StateSettings, WindowSettings

TOKEN_VARIABLE = "HEADWATCH_INGEST_TOKEN"


def _web_address(value: str | None) -> str | None:
    if value is not None and not re.fullmatch(r"https?://[^\s/@{}]+(/[^\s{}]*)?", value):
        raise ValueError("must be a web address without user or password; write it as https://host/path")
    return value


class BaselineSettings(Settings):
    """The frozen reference, and where it comes from."""

    model_config = ConfigDict(populate_by_name=True)

    file: Path | None = None
    source: Literal["live", "file", "registry"] = Field(default="live", alias="from")
    duration: Duration = 7 * 86400.0
    samples: int = Field(default=2000, ge=200)
    minimum_samples: int = Field(default=500, ge=200)


class ProbeSettings(Settings):
    """Fixed inputs that are re-run to watch the model itself."""

    file: Path | None = None


class ScheduleSettings(Settings):
    """How often each job looks whether there is something to do."""

    profile: Duration = Field(default=5.0, ge=0.1)
    evaluation: Duration = Field(default=5.0, ge=0.1)
    attribution: Duration = Field(default=900.0, ge=0.1)
    probe: Duration = Field(default=300.0, ge=0.1)
    export: Duration = Field(default=10.0, ge=0.1)
    retention: Duration = Field(default=86400.0, ge=1.0)
    maintenance: Duration = Field(default=3600.0, ge=1.0)
    follow: Duration = Field(default=1.0, ge=0.1)


class PrivacySettings(Settings):
    """Which words may be shown in clear."""

    minimum_requests: int = Field(default=20, ge=1)
    allowlist: tuple[str, ...] = ()
    example_texts: bool = False
    key_file: Path | None = None
    key: SecretStr | None = None


class PrometheusSettings(Settings):
    """The operations address, how many series it shows, and what alerts link to."""

    listen: str = "127.0.0.1:9095"
    top_heads: int = Field(default=10, ge=0)
    every_head: bool = False
    runbooks_url: str | None = None
    grafana_url: str | None = None

    @field_validator("listen")
    @classmethod
    def _listen_is_an_address(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("runbooks_url", "grafana_url")
    @classmethod
    def _links_lead_somewhere(cls, value: str | None) -> str | None:
        return _web_address(value)


class MlflowSettings(Settings):
    """Where evidence and baselines are kept."""

    tracking_uri: str | None = None
    public_url: str | None = None
    experiment: str = Field(default="headwatch", min_length=1)
    registry: bool = True
    keep_days: int | None = Field(default=None, ge=1)
    keep_episodes: int | None = Field(default=None, ge=1)
    token_file: Path | None = None
    token: SecretStr | None = None

    @field_validator("public_url")
    @classmethod
    def _public_url_is_an_address(cls, value: str | None) -> str | None:
        return _web_address(value)


class NotificationSettings(Settings):
    """Direct messages by apprise, where there is no Alertmanager."""

    urls_file: Path | None = None
    urls: tuple[SecretStr, ...] = ()


class ExporterSettings(Settings):
    """The sinks; each works or fails on its own."""

    prometheus: PrometheusSettings = PrometheusSettings()
    mlflow: MlflowSettings = MlflowSettings()
    notifications: NotificationSettings = NotificationSettings()


class Config(Settings):
    """The whole configuration, one section a stage."""

    model: ModelSettings
    ingest: IngestSettings = IngestSettings()
    window: WindowSettings = WindowSettings()
    analysis: AnalysisSettings = AnalysisSettings()
    baseline: BaselineSettings = BaselineSettings()
    drift: DriftSettings = DriftSettings()
    probe: ProbeSettings = ProbeSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    state: StateSettings = StateSettings()
    privacy: PrivacySettings = PrivacySettings()
    exporters: ExporterSettings = ExporterSettings()


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Read, override, validate; the result never changes.

    ``environ``: HEADWATCH_WINDOW__SAMPLES=300 overrides ``window.samples``.
    Raises ConfigError that lists every problem, one a line, each with where it was written.
    """
    source = read_source(path, environ)
    problems = [*source.problems, *refuse_secrets(source), *fetch_secrets(source, environ)]
    _drop_empty_sections(source.values, Config)
    if environ.get(TOKEN_VARIABLE) and source.get(("ingest", "token_file")) is None:
        source.put(("ingest", "token_env"), source.get(("ingest", "token_env")) or TOKEN_VARIABLE)
    try:
        config = Config.model_validate(source.values)
    except ValidationError as error:
        problems += describe(error, Config, source)
    else:
        problems += [f"{source.origin(where)}: {text}" for where, text in _contradictions(config, environ)]
    problems += misspelt_variables(environ, Config)
    if problems:
        raise ConfigError("\n".join(sorted(dict.fromkeys(problems), key=_line_of)))
    return config


def _line_of(problem: str) -> int:
    """The line a problem was written in, so that they are told in the order of the file."""
    line = re.match(r".*?:(\d+): ", problem)
    return int(line[1]) if line else sys.maxsize


def _drop_empty_sections(values: dict[str, Any], model: type[BaseModel]) -> None:
    """``window:`` with every key commented out means the defaults."""
    for key in list(values):
        section = section_model((key,), model)
        if section is not None and values[key] is None:
            del values[key]
        elif section is not None and isinstance(values[key], dict):
            _drop_empty_sections(values[key], section)


def _contradictions(config: Config, environ: Mapping[str, str]) -> Iterator[tuple[KeyPath, str]]:
    """What single values cannot tell: keys that do not go together."""
    baseline = config.baseline
    if baseline.minimum_samples > baseline.samples:
        yield (
            ("baseline", "minimum_samples"),
            (
                f"baseline.minimum_samples = {baseline.minimum_samples}: must be at most baseline.samples"
                f" (={baseline.samples}); it could never have enough"
            ),
        )
    if config.window.requests is not None and "window" not in config.drift.false_alarms:
        yield (
            ("window", "requests"),
            (
                f"window.requests = {config.window.requests}: windows that close by requests have no fixed"
                " length; write drift.false_alarms per windows, as in '1 per 8640 windows'"
            ),
        )
    if config.window.minimum_samples < config.drift.minimum:
        yield (
            ("window", "minimum_samples"),
            (
                f"window.minimum_samples = {config.window.minimum_samples}: must be at least drift.minimum"
                f" (={config.drift.minimum}); windows between the two would never be judged"
            ),
        )
    if config.state.text_retention < config.window.duration:
        yield (
            ("state", "text_retention"),
            (
                f"state.text_retention = {format_duration(config.state.text_retention)}: must be at least"
                f" window.duration (={format_duration(config.window.duration)}); texts would be gone before"
                " their window is judged"
            ),
        )
    yield from _addresses(config)
    try:
        check_exposure(config.ingest, read_token(config.ingest, environ))
    except ConfigError as error:
        yield ("ingest", "listen"), str(error)
    yield from _sources(config)


def _addresses(config: Config) -> Iterator[tuple[KeyPath, str]]:
    ingest, operations = config.ingest.listen, config.exporters.prometheus.listen
    if ingest == operations and not ingest.endswith(":0"):
        yield (
            ("ingest", "listen"),
            (
                f"ingest.listen = {ingest!r}: is the address of exporters.prometheus.listen too;"
                " choose another port"
            ),
        )


def _sources(config: Config) -> Iterator[tuple[KeyPath, str]]:
    baseline, uri = config.baseline, config.exporters.mlflow.tracking_uri
    if baseline.source == "file" and baseline.file is None:
        yield (
            ("baseline", "from"),
            (
                "baseline.from = 'file': needs baseline.file;"
                " name the file that `headwatch baseline build` wrote"
            ),
        )
    if baseline.source == "registry" and uri is None:
        yield (
            ("baseline", "from"),
            "baseline.from = 'registry': needs exporters.mlflow.tracking_uri; name the MLflow server",
        )
    if config.model.source.startswith("models:/") and uri is None:
        yield (
            ("model", "source"),
            (
                f"model.source = {config.model.source!r}: is in a model registry;"
                " name its server with exporters.mlflow.tracking_uri"
            ),
        )
    if uri is not None and re.search(r"://[^/@\s]*:[^/@\s]*@", uri):
        yield (
            ("exporters", "mlflow", "tracking_uri"),
            (
                "exporters.mlflow.tracking_uri: a password does not belong in this file; leave it out and set"
                " MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or use exporters.mlflow.token_file"
            ),
        )


def main(files: list[str]) -> int:
    """Say for each file whether it can be used; 0 if all can."""
    failed = 0
    for file in files:
        try:
            load_config(Path(file), os.environ)
        except ConfigError as error:
            print(error, file=sys.stderr)
            failed += 1
        else:
            print(f"{file}: ok")
    return 1 if failed else 0
