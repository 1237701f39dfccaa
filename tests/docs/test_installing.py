"""The examples of docs/installing.md fit the image, the endpoints and systemd."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "installing.md").read_text(encoding="utf-8")
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, flags=re.DOTALL)


def documents() -> list[dict[str, Any]]:
    return [document for block in blocks("yaml") for document in yaml.safe_load_all(block)]


def test_the_pod_runs_the_image_as_it_was_built():
    (pod,) = (document for document in documents() if "containers" in document)
    (container,) = pod["containers"]
    user = container["securityContext"]["runAsUser"]
    assert f"USER {user}:{pod['securityContext']['fsGroup']}\n" in DOCKERFILE
    assert 'CMD ["{}", "{}", "{}"]'.format(*container["args"]) in DOCKERFILE
    assert 'ENTRYPOINT ["headwatch"]' in DOCKERFILE
    assert "HEADWATCH_STATE__FILE=/state/" in DOCKERFILE
    assert {mount["name"] for mount in container["volumeMounts"]} == {
        volume["name"] for volume in pod["volumes"]
    }
    operations = (ROOT / "monitor" / "sidecar" / "operations.py").read_text(encoding="utf-8")
    for probe in ("readinessProbe", "livenessProbe"):
        assert f'Route("{container[probe]["httpGet"]["path"]}"' in operations


def test_what_kserve_logs_to_is_the_service():
    kinds = {document["kind"]: document for document in documents() if "kind" in document}
    service = kinds["Service"]
    logged_to = kinds["InferenceService"]["spec"]["predictor"]["logger"]["url"]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert logged_to == f"http://{service['metadata']['name']}:{ports['ingest']}/"
    assert re.findall(r"EXPOSE (.*)", DOCKERFILE)[1] == f"{ports['ingest']} {ports['metrics']}"


def test_systemd_takes_the_unit(tmp_path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("needs systemd-analyze")
    (unit,) = blocks("ini")
    file = tmp_path / "headwatch.service"
    # it looks whether the program is there
    file.write_text(unit.replace("/opt/headwatch/bin/headwatch", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
