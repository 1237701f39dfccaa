"""The arrows of the design, read from the imports themselves."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.conftest import LONGEST

ROOT = Path(__file__).parents[1]

# Everything may import these; they import nothing of ours but each other.
FOUNDATION = {
    "monitor",
    "monitor.errors",
    "monitor.settings",
    "monitor.records",
    "monitor.records.explanations",
    "monitor.records.samples",
    "monitor.records.features",
    "monitor.records.references",
    "monitor.records.verdicts",
    "monitor.records.outgoing",
    "monitor.records.statistic_names",
}

# The stages, each a folder or file; the right side names the other stages that it may import.
STAGES = {
    "monitor.ingest": set(),
    "monitor.sampling": set(),
    "monitor.state": {"monitor.sampling"},
    "monitor.replay": set(),
    "monitor.analysis": set(),
    "monitor.drift": set(),
    # it notes what can only be counted while the words are still there
    "monitor.baselines": {"monitor.drift"},
    "monitor.privacy": set(),
    "monitor.report": set(),
}

# Where the design gives a heavy package one owner.
OWNERS = {
    "transformers": ("monitor.replay",),
    "captum": ("monitor.analysis.tokens.attribution",),
    "mlflow": ("exporters.mlflow",),
    "prometheus_client": ("exporters.prometheus",),
    "apprise": ("exporters.notifications",),
    "apscheduler": ("monitor.app",),
    "uvicorn": ("monitor.app",),
    "starlette": ("monitor.ingest", "monitor.sidecar.operations", "monitor.app"),
    "sqlite3": ("monitor.state",),
    "matplotlib": ("monitor.report",),
    "typer": ("monitor.cli", "monitor.commands"),
    "yaml": ("monitor.config.source", "exporters.alerts.rules"),
    "torch": (
        "monitor.analysis",
        "monitor.reading",
        "monitor.replay",
    ),
}

LIGHT = ("monitor.cli", "monitor.config.configuration", "monitor.records")
HEAVY = ("torch", "transformers", "mlflow", "captum", "matplotlib", "scipy", "apprise", "uvicorn")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path for folder in ("monitor", "exporters") for path in (ROOT / folder).rglob("*.py")
}


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever the statement stands."""
    package = module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.rsplit(".", node.level - 1)[0] if node.level else ""
            source = ".".join(filter(None, (above, node.module)))
            for alias in node.names:
                whole = f"{source}.{alias.name}"
                yield whole if whole in MODULES else source


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(f"{package}.")


def stage_of(module: str) -> str | None:
    return next((stage for stage in STAGES if within(module, stage)), None)


def ours(path: Path) -> set[str]:
    return {name for name in imported(path) if name.partition(".")[0] in ("monitor", "exporters")}


@pytest.mark.parametrize("module", sorted(FOUNDATION))
def test_the_foundation_stands_on_nothing_of_ours(module):
    assert ours(MODULES[module]) <= FOUNDATION


@pytest.mark.parametrize("module", sorted(name for name in MODULES if stage_of(name)))
def test_a_stage_knows_the_records_and_no_other_stage(module):
    own = stage_of(module)
    foreign = {
        name
        for name in ours(MODULES[module]) - FOUNDATION
        if not within(name, own) and not any(within(name, other) for other in STAGES[own])
    }
    assert foreign == set()


@pytest.mark.parametrize("module", sorted(name for name in MODULES if within(name, "exporters")))
def test_an_exporter_knows_records_errors_and_other_exporters_only(module):
    allowed = ("monitor.records", "monitor.errors", "exporters")
    foreign = {name for name in ours(MODULES[module]) if not any(within(name, room) for room in allowed)}
    assert foreign == set()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nothing_but_the_top_imports_the_top(module):
    top = ("monitor.app", "monitor.cli", "monitor.commands")
    lower = {"monitor.sidecar.rehearsal"} if module == "monitor.commands.check" else set()
    if any(within(module, name) for name in top):
        return
    assert {name for name in ours(MODULES[module]) - lower if any(within(name, one) for one in top)} == set()


@pytest.mark.parametrize("package", OWNERS)
def test_a_heavy_package_has_one_owner(package):
    users = {name for name, path in MODULES.items() if any(within(used, package) for used in imported(path))}
    strangers = {name for name in users if not name.startswith(OWNERS[package])}
    assert strangers == set()


@pytest.mark.parametrize("package", OWNERS)
def test_every_owned_package_is_used(package):
    assert any(within(used, package) for path in MODULES.values() for used in imported(path))


@pytest.mark.parametrize("module", LIGHT)
def test_light_modules_load_nothing_heavy(module):
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "[]\n"


def test_packages_hold_their_docstring_and_nothing_else():
    filled = {
        name: len(body)
        for name, path in MODULES.items()
        if path.name == "__init__.py"
        and name not in ("monitor", "monitor.records")  # the one facade: records are one vocabulary
        and len(body := ast.parse(path.read_text(encoding="utf-8")).body) != 1
    }
    assert filled == {}


def test_no_module_is_named_for_nothing():
    empty_words = {"utils", "helpers", "manager", "base", "common", "misc"}
    assert [name for name in MODULES if name.rpartition(".")[2] in empty_words] == []


def test_every_test_file_that_is_to_come_first_is_there():
    assert [name for name in LONGEST if not (ROOT / name).is_file()] == []


def test_every_runtime_dependency_is_explained():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    names = set(map(_distribution, wanted))
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert sorted(name for name in names if f"`{name}`" not in text) == []


def test_every_dependency_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        wanted += extra
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0].lower().replace("_", "-") for line in lines if "==" in line}
    assert sorted({_distribution(one).lower() for one in wanted} - pinned) == []
    assert not [line for line in lines if " @ " in line or "+" in line.partition("#")[0]]


def _distribution(requirement: str) -> str:
    return Requirement(requirement).name
