"""One MLflow server for all tests of what goes there; each uses an experiment of its own."""

from __future__ import annotations

import pytest

from tests.servers import running, start_mlflow


@pytest.fixture(scope="session")
def mlflow(tmp_path_factory):
    with running(start_mlflow(tmp_path_factory.mktemp("mlflow"))) as server:
        yield server
