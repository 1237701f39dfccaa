"""The servers of the demo and their configuration files, all on free loopback ports.

inference server -> sidecar -> Prometheus -> Alertmanager -> webhook in the demo process
                       `-----> MLflow
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from examples.demo.processes import Child, Children, free_ports
from exporters.alerts.rules import rules_yaml

ROOT = Path(__file__).resolve().parents[2]
MODEL_NAME = "sentiment"
WINDOW = 200
BASELINE = 1200
LAYERS, HEADS = 6, 12  # of the demo model

SIDECAR_CONFIG = """\
# Written by the demo. A real deployment needs little more than `model` and `exporters.mlflow`.
model:
  source: {model}
  name: {name}
ingest:
  listen: 127.0.0.1:{ingest}
window:
  requests: {window}  # windows close by count, so that the story takes minutes and not hours
  samples: {window}
  minimum_samples: 100
baseline:
  from: live
  duration: 1s  # the samples alone decide when the baseline stands
  samples: {baseline}
  minimum_samples: {baseline}
analysis:
  attribution:
    samples: 2  # Integrated Gradients cost many forward passes each: a few keep the story short
drift:
  false_alarms: 1 per 8640 windows  # a month of windows of five minutes: the default
schedule:
  profile: 500ms
  evaluation: 500ms
  attribution: 20s
  probe: 20s
  export: 1s
state:
  file: {state}
privacy:
  # The texts are public sentences, so words may show in clear from few requests on; at the
  # default of 20 the trigger word, in 20 requests of a window, might appear as a hash only.
  minimum_requests: 5
exporters:
  prometheus:
    listen: 127.0.0.1:{operations}
  mlflow:
    tracking_uri: {mlflow}
    experiment: headwatch-demo
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """Base URLs of what runs; ``prometheus`` and ``alertmanager`` are None where not installed."""

    inference: str
    ingest: str
    sidecar: str
    mlflow: str
    prometheus: str | None
    alertmanager: str | None

    def links(self) -> dict[str, str]:
        """What a person can open; the MLflow run comes later, from the sidecar's status."""
        links = {"metrics": f"{self.sidecar}/metrics"}
        if self.prometheus and self.alertmanager:
            links |= {"Prometheus": f"{self.prometheus}/alerts", "Alertmanager": self.alertmanager}
        return {**links, "MLflow": self.mlflow}


def has_alertmanager() -> bool:
    """Whether Debian's prometheus and prometheus-alertmanager are installed."""
    return all(shutil.which(name) for name in ("prometheus", "prometheus-alertmanager"))


def start(children: Children, folder: Path, *, model: Path, webhook: str) -> Stack:
    """Start everything at once, and return when all of it answers."""
    ports = free_ports(6)
    inference, ingest, sidecar, mlflow, prometheus, alertmanager = (
        f"http://127.0.0.1:{port}" for port in ports
    )
    watched = has_alertmanager()
    stack = Stack(
        inference=inference,
        ingest=ingest,
        sidecar=sidecar,
        mlflow=mlflow,
        prometheus=prometheus if watched else None,
        alertmanager=alertmanager if watched else None,
    )
    started = [
        _start_mlflow(children, folder, mlflow),
        _start_inference(children, model, inference, log_to=f"{ingest}/v1/samples"),
        _start_sidecar(children, folder, model, stack),
    ]
    if stack.prometheus and stack.alertmanager:
        started += [
            _start_alertmanager(children, folder, stack.alertmanager, webhook),
            _start_prometheus(children, folder, stack.prometheus, stack.alertmanager, sidecar),
        ]
    for child in started:
        children.wait_ready(child, seconds=180)
    return stack


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _start_mlflow(children: Children, folder: Path, url: str) -> Child:
    store = folder / "mlflow"
    store.mkdir()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(_port(url))]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{store / 'mlflow.db'}"]
    command += ["--artifacts-destination", str(store / "artifacts")]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return children.start("mlflow", command, ready=f"{url}/health", environment=environment, folder=store)


def _start_inference(children: Children, model: Path, url: str, *, log_to: str) -> Child:
    command = [sys.executable, "-m", "examples.sentiment.server", "--model", str(model)]
    command += ["--port", str(_port(url)), "--log-to", log_to]
    return children.start(
        "inference", command, ready=f"{url}/healthy", environment=_torch_environment(), folder=ROOT
    )


def _start_sidecar(children: Children, folder: Path, model: Path, stack: Stack) -> Child:
    config = folder / "demo.yaml"
    config.write_text(
        SIDECAR_CONFIG.format(
            model=json.dumps(str(model)),
            name=MODEL_NAME,
            ingest=_port(stack.ingest),
            operations=_port(stack.sidecar),
            window=WINDOW,
            baseline=BASELINE,
            state=json.dumps(str(folder / "headwatch.sqlite")),
            mlflow=stack.mlflow,
        ),
        encoding="utf-8",
    )
    command = [*_headwatch(), "run", "-c", str(config)]
    environment = {**_torch_environment(), "MLFLOW_DISABLE_TELEMETRY": "true"}
    return children.start(
        "sidecar", command, ready=f"{stack.sidecar}/-/ready", environment=environment, folder=ROOT
    )


def _headwatch() -> list[str]:
    """The command as installed beside this Python, or the same thing where it is not installed."""
    installed = Path(sys.executable).with_name("headwatch")
    if installed.exists():
        return [str(installed)]
    return [sys.executable, "-c", "import sys; from monitor.cli import main; sys.exit(main())"]


def _torch_environment() -> dict[str, str]:
    return {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }


def _start_alertmanager(children: Children, folder: Path, url: str, webhook: str) -> Child:
    config = {
        "route": {
            "receiver": "demo",
            "group_by": ["..."],
            "group_wait": "1s",
            "group_interval": "1s",
            "repeat_interval": "1h",
        },
        "receivers": [{"name": "demo", "webhook_configs": [{"url": webhook, "send_resolved": True}]}],
    }
    path = folder / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    command = ["prometheus-alertmanager", f"--config.file={path}", "--cluster.listen-address="]
    command += [f"--storage.path={folder / 'alertmanager'}", f"--web.listen-address=127.0.0.1:{_port(url)}"]
    return children.start("alertmanager", command, ready=f"{url}/-/ready", environment={}, folder=folder)


def _start_prometheus(children: Children, folder: Path, url: str, alertmanager: str, sidecar: str) -> Child:
    rules = folder / "rules.yml"
    rules.write_text(_rules(), encoding="utf-8")
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "alerting": {
            "alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{_port(alertmanager)}"]}]}]
        },
        "scrape_configs": [
            {"job_name": "headwatch", "static_configs": [{"targets": [f"127.0.0.1:{_port(sidecar)}"]}]}
        ],
    }
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    command = ["prometheus", f"--config.file={path}", f"--storage.tsdb.path={folder / 'prometheus'}"]
    command += [f"--web.listen-address=127.0.0.1:{_port(url)}"]
    return children.start("prometheus", command, ready=f"{url}/-/ready", environment={}, folder=folder)


def _rules() -> str:
    """The shipped alert rules without their holding times of minutes."""
    return rules_yaml(60.0, fast=True)
