"""What an error says where MLflow, or what stands before it, answers by something else than was asked for."""

from __future__ import annotations

import errno
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler

import pytest

from exporters.mlflow.connection import connect, export_errors
from exporters.mlflow.runs import MlflowRuns
from monitor.errors import ExportError
from tests.exporters.mlflow_records import baseline, files_of, runs_of, window
from tests.exporters.scenes import quiet
from tests.servers import serving, wait_for

FAILED = ", as when its disk is full or its database is away; see the server's log"


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """A server that gives the same answer to everything, as gateways do."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """The test reads the error."""

    with serving(Handler) as url:
        yield url


def said(uri: str) -> str:
    """The error of a first request to ``uri``, without what every such error begins with."""
    with pytest.raises(ExportError) as caught, export_errors(uri):
        connect(uri).get_experiment_by_name("headwatch")
    begin, _, rest = str(caught.value).partition(f"{uri}: ")
    assert begin == "exporters.mlflow.tracking_uri = "
    return rest


@pytest.mark.parametrize(
    "status, body, text",
    [
        (
            401,
            b"You are not authenticated.",
            (
                "the server refused the credentials (HTTP 401); check exporters.mlflow.token_file, "
                "or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
            ),
        ),
        (
            403,
            b"Permission denied",
            (
                "the server forbids this to the credentials it got (HTTP 403); "
                "give their user EDIT on the experiment and the registered model, or MANAGE for retention"
            ),
        ),
        (
            403,
            b"Invalid Host header - possible DNS rebinding attack detected",
            (
                "the server takes no requests by this host name (HTTP 403); "
                "start it with --allowed-hosts that names host and port of the address"
            ),
        ),
        (
            404,
            b"<html>Not found",
            "no MLflow answers at this address (HTTP 404); check the port and the path of the address",
        ),
        (
            413,
            b"<html>nginx",
            (
                "the way to the server lets no file of this size pass (HTTP 413); "
                "raise the limit of the proxy before it (nginx: client_max_body_size)"
            ),
        ),
        (418, b"<html>", "the server refused (HTTP 418)"),
        (500, b"<html>", f"the server failed (HTTP 500){FAILED}"),
        (503, b"<html>", f"the server failed (HTTP 503){FAILED}"),
    ],
)
def test_what_a_server_answers_is_told_with_what_helps(status: int, body: bytes, text: str) -> None:
    with answering(status, body) as uri:
        assert said(uri) == text


@pytest.mark.parametrize("port", [40139, 14031])
def test_a_port_with_401_or_403_in_its_number_is_not_taken_for_refused_credentials(port: int) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Bound and not listening: nobody else can answer there meanwhile.
        taken.bind(("127.0.0.1", port))
        assert said(f"http://127.0.0.1:{port}") == (
            "no answer from the server; check that it runs and that the address is right"
        )


def test_a_full_disk_on_this_side_is_not_blamed_on_the_server() -> None:
    with pytest.raises(ExportError) as caught, export_errors("http://mlflow:5000"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/tmp/headwatch-x/report.html")
    assert str(caught.value) == (
        "exporters.mlflow.tracking_uri = http://mlflow:5000: a file cannot be written on this side: "
        "[Errno 28] No space left on device: '/tmp/headwatch-x/report.html'; free space there, or set TMPDIR"
    )


def test_a_module_that_the_artifact_store_needs_is_named(mlflow, monkeypatch) -> None:
    connect(mlflow.url).create_experiment("direct", artifact_location="s3://bucket/direct")
    # As where it is not installed.
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(ExportError) as caught:
        MlflowRuns(tracking_uri=mlflow.url, experiment="direct", registry=False).deliver(baseline())
    assert str(caught.value) == (
        f"exporters.mlflow.tracking_uri = {mlflow.url}: MLflow needs the module boto3 on this side, "
        "to reach a store directly; let the server pass artifacts on (mlflow server "
        "--artifacts-destination, and a new experiment), or install boto3"
    )


def test_an_address_that_needs_the_full_mlflow_says_so() -> None:
    with pytest.raises(ExportError) as caught, export_errors("sqlite:///runs.db"):
        raise ModuleNotFoundError("No module named 'sqlalchemy'", name="sqlalchemy")
    assert str(caught.value) == (
        "exporters.mlflow.tracking_uri = sqlite:///runs.db: needs the full mlflow package, and mlflow-skinny "
        "is installed; give the http:// address of an MLflow server, or install mlflow"
    )


def test_a_deleted_experiment_is_named_and_nothing_is_lost_when_it_is_restored(mlflow) -> None:
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="trashed")
    sink.deliver(window(quiet(10)))
    client = connect(mlflow.url)
    own = client.get_experiment_by_name("trashed").experiment_id
    client.delete_experiment(own)
    # The first error tells of a run that the experiment took along.
    for _ in range(2):
        with pytest.raises(ExportError) as caught:
            sink.deliver(window(quiet(11)))
    assert str(caught.value) == (
        f"exporters.mlflow.experiment = trashed: is deleted on {mlflow.url}; "
        "restore it or choose another name"
    )
    client.restore_experiment(own)
    sink.deliver(window(quiet(11)))
    (day,) = runs_of(mlflow, "trashed", "day")
    points = client.get_metric_history(day.info.run_id, "window/samples")
    assert [point.step for point in points] == [10, 11]


def test_a_store_of_artifacts_that_cannot_be_written_is_told_and_its_evidence_arrives_later(mlflow) -> None:
    own = connect(mlflow.url).create_experiment("unwritable")
    # A file where the experiment's folder should be: not even root can write below it.
    store = mlflow.folder / "artifacts" / own
    store.parent.mkdir(exist_ok=True)
    store.write_text("")
    sink = MlflowRuns(tracking_uri=mlflow.url, experiment="unwritable", registry=False)
    with pytest.raises(ExportError) as caught:
        sink.deliver(baseline())
    assert str(caught.value) == (
        f"exporters.mlflow.tracking_uri = {mlflow.url}: the server failed (HTTP 500){FAILED}"
    )
    store.unlink()

    def arrives() -> bool:
        try:
            sink.deliver(baseline())
        except ExportError:  # the server may still drop the connection of the upload that failed
            return False
        return True

    wait_for("the evidence arrives", arrives, seconds=30)
    (run,) = runs_of(mlflow, "unwritable", "baseline")
    assert files_of(mlflow, run, "baseline") == ["baseline/baseline.headwatch"]
