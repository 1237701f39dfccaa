"""Composition root of the sidecar: sockets, servers, scheduler, sinks, reload and shutdown.

The sockets are bound before the model loads, so that a taken port is said at once and traffic is
received from the first second. Everything that touches torch runs on one thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import logging
import signal
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvicorn
from apscheduler.events import EVENT_JOB_MAX_INSTANCES, JobEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler

from exporters.prometheus.metrics import HeadwatchCollector, build_registry, render
from monitor.config.configuration import Config, load_config
from monitor.cycle import jobs
from monitor.cycle.state import Cycle
from monitor.errors import ConfigError, HeadwatchError, StateError
from monitor.ingest.follow import JsonlFollower
from monitor.ingest.http import build_ingest_app
from monitor.ingest.intake import Intake
from monitor.live.reporting import REPORT
from monitor.sidecar.delivery import Delivery
from monitor.sidecar.jobs import JobBook
from monitor.sidecar.keys import word_privacy
from monitor.sidecar.operations import build_operations_app
from monitor.sidecar.sinks import build_sinks
from monitor.sidecar.snapshots import Observer
from monitor.sidecar.watching import build_cycle
from monitor.state.store import StateStore

log = logging.getLogger("headwatch.app")

RELOADABLE = ("schedule", "drift", "privacy")
GRACE_SECONDS = 20.0


class Sidecar:
    """One watched model from sockets to sinks; ``run`` returns after a signal, all state kept."""

    def __init__(self, config: Config, *, config_path: Path | None, environ: dict[str, str]) -> None:
        self.config = config
        self._config_path = config_path
        self._environ = environ
        self._stopping = threading.Event()
        self._stopped = asyncio.Event()
        self._torch = ThreadPoolExecutor(1, thread_name_prefix="torch")
        self._export = ThreadPoolExecutor(1, thread_name_prefix="export")
        self._jobs = JobBook(clock=time.time)
        self._scheduler = AsyncIOScheduler()
        self._followers: list[JsonlFollower] = []

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT."""
        config = self.config
        with contextlib.ExitStack() as stack:
            ingest_socket = stack.enter_context(bound("ingest.listen", config.ingest.listen))
            operations_socket = stack.enter_context(
                bound("exporters.prometheus.listen", config.exporters.prometheus.listen)
            )
            stack.enter_context(owned(Path(config.state.file)))
            # Text that expires between two rounds of maintenance must go in the earlier one.
            retention = max(60.0, config.state.text_retention - config.schedule.maintenance)
            self._store = StateStore(
                Path(config.state.file),
                settings=config.state.model_copy(update={"text_retention": retention}),
                window=config.window,
                clock=time.time,
            )
            stack.callback(self._store.close)
            self._intake = Intake(self._store, settings=config.ingest)
            stack.callback(self._intake.stop)
            self._observer = Observer(
                config=config,
                store=self._store,
                intake=self._intake,
                jobs=self._jobs,
                started=time.time(),
            )
            await self._serve(ingest_socket, operations_socket)

    async def _serve(self, ingest_socket: socket.socket, operations_socket: socket.socket) -> None:
        config = self.config
        collector = HeadwatchCollector(
            lambda: self._observer.snapshot(time.time()),
            top_heads=config.exporters.prometheus.top_heads,
            every_head=config.exporters.prometheus.every_head,
        )
        registry = build_registry(collector)
        operations = build_operations_app(
            render=lambda accept: render(registry, accept),
            status=lambda: self._observer.status(time.time(), self._links()),
            verdicts=self._store.verdicts,
            report=lambda: self._store.get_meta(REPORT),
            ready=lambda: self._observer.cycle is not None,
            reload=self._reload,
        )
        ingest = build_ingest_app(
            self._intake, config.ingest, id_factory=new_id, clock=time.time, environment=self._environ
        )
        servers = [QuietServer(app) for app in (ingest, operations)]
        self._handle_signals()
        tasks = [
            asyncio.create_task(server.serve(sockets=[bound_socket]))
            for server, bound_socket in zip(servers, (ingest_socket, operations_socket), strict=True)
        ]
        try:
            await self._start_watching()
            await self._stopped.wait()
        finally:
            await self._shut_down(servers, tasks)

    async def _start_watching(self) -> None:
        loop = asyncio.get_running_loop()
        starting = loop.run_in_executor(self._torch, self._build_cycle)
        stopped = asyncio.create_task(self._stopped.wait())
        waited: list[asyncio.Future[Any]] = [starting, stopped]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            return
        cycle = await starting
        stopped.cancel()
        delivery = Delivery(store=self._store, sinks=self._sinks.deliver, should_stop=self._stopping.is_set)
        self._observer.cycle, self._observer.delivery, self._observer.sinks = cycle, delivery, self._sinks
        self._followers = [
            JsonlFollower(
                path,
                store=self._store,
                counters=self._intake.counters,
                limits=self.config.ingest.limits,
                id_factory=new_id,
                clock=time.time,
                interval=self.config.schedule.follow,
            )
            for path in self.config.ingest.follow
        ]
        for follower in self._followers:
            follower.start()
        self._schedule(cycle, delivery)
        identity = cycle.analyser.model.identity
        log.info(
            "watching %s (%d layers x %d heads, tap: %s)",
            identity.name,
            identity.layers,
            identity.heads,
            cycle.analyser.model.tier,
        )

    def _build_cycle(self) -> Cycle:
        self._sinks = build_sinks(self.config)
        return build_cycle(self.config, self._store, self._sinks, should_stop=self._stopping.is_set)

    # --- jobs --------------------------------------------------------------------------------

    def _schedule(self, cycle: Cycle, delivery: Delivery) -> None:
        every = self.config.schedule
        due = {
            "profile": (functools.partial(jobs.run_profile, cycle), every.profile, self._torch),
            "evaluation": (functools.partial(jobs.run_evaluation, cycle), every.evaluation, self._torch),
            "attribution": (functools.partial(jobs.run_attribution, cycle), every.attribution, self._torch),
            "probe": (functools.partial(jobs.run_probe, cycle), every.probe, self._torch),
            "maintenance": (functools.partial(jobs.run_maintenance, cycle), every.maintenance, self._export),
            "export": (delivery.run, every.export, self._export),
        }
        if self._sinks.tidy is not None:
            tidy = functools.partial(self._tidy, self._sinks.tidy, cycle.analyser.model.identity.name)
            due["retention"] = (tidy, every.retention, self._export)
        for name, (job, seconds, executor) in due.items():
            # A sidecar that is restarted every night must not put the daily job off for ever.
            first = {"next_run_time": datetime.now(UTC)} if name == "retention" else {}
            self._scheduler.add_job(
                self._run_job,
                "interval",
                seconds=seconds,
                **first,
                args=(name, job, executor),
                id=name,
                coalesce=True,
                max_instances=1,
                misfire_grace_time=None,
            )
        self._scheduler.add_listener(self._note_skipped, EVENT_JOB_MAX_INSTANCES)
        self._scheduler.start()

    async def _run_job(self, name: str, job: Callable[[], None], executor: ThreadPoolExecutor) -> None:
        if self._stopping.is_set():
            return
        try:
            await asyncio.get_running_loop().run_in_executor(executor, self._jobs.run, name, job)
        except asyncio.CancelledError:
            # The scheduler lets go of its jobs as it shuts down; the thread itself is waited for.
            if not self._stopping.is_set():
                raise

    def _tidy(self, tidy: Callable[[str, float], int], model: str) -> None:
        deleted = tidy(model, time.time())
        if deleted:
            log.info("retention: %d runs of %s are in MLflow's trash; `mlflow gc` empties it", deleted, model)

    def _note_skipped(self, event: JobEvent) -> None:
        self._jobs.skipped(event.job_id)

    # --- reload and shutdown -----------------------------------------------------------------

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        loop.add_signal_handler(signal.SIGHUP, lambda: loop.create_task(self._reload()))

    def stop(self) -> None:
        """Begin to shut down; jobs end at their next batch."""
        self._stopping.set()
        self._stopped.set()

    async def _reload(self) -> str | None:
        try:
            await self._apply(
                load_config(self._config_path, self._environ) if self._config_path else self.config
            )
        except HeadwatchError as error:
            self._observer.reload_successful = False
            log.error("configuration not reloaded, the former one stays: %s", error)
            return str(error)
        self._observer.reload_successful, self._observer.reload_time = True, time.time()
        log.info("configuration reloaded")
        return None

    async def _apply(self, config: Config) -> None:
        before, after = dict(self.config), dict(config)
        fixed = [name for name in after if after[name] != before[name] and name not in RELOADABLE]
        if fixed:
            raise ConfigError(
                f"{', '.join(fixed)}: cannot change while running; restart headwatch"
                f" (a reload takes {', '.join(RELOADABLE)})"
            )
        cycle = self._observer.cycle
        if cycle is None:
            raise ConfigError("headwatch is still loading the model; reload once /-/ready says yes")
        # The section that names the model stays: an address of a registry was resolved to a folder.
        resolved = config.model_copy(update={"model": cycle.config.model})
        privacy = word_privacy(config.privacy, folder=Path(config.state.file).parent)
        await asyncio.get_running_loop().run_in_executor(self._torch, cycle.reconfigure, resolved, privacy)
        self.config = self._observer.config = config
        for job in self._scheduler.get_jobs():
            seconds = getattr(config.schedule, job.id)
            self._scheduler.reschedule_job(job.id, trigger="interval", seconds=seconds)

    async def _shut_down(self, servers: list[QuietServer], tasks: list[asyncio.Task[None]]) -> None:
        self._stopping.set()
        for server in servers:
            server.should_exit = True
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
        await asyncio.wait(tasks, timeout=GRACE_SECONDS)
        for follower in self._followers:
            await asyncio.to_thread(follower.stop)
        for executor in (self._torch, self._export):
            await asyncio.to_thread(executor.shutdown, True, cancel_futures=True)
        log.info("stopped; everything durable is in %s", self.config.state.file)

    def _links(self) -> dict[str, str | None]:
        return {
            "metrics": f"http://{self.config.exporters.prometheus.listen}/metrics",
            "mlflow_run": self._sinks.mlflow_url() if self._observer.cycle else None,
        }


class QuietServer(uvicorn.Server):
    """A uvicorn server that leaves signals to the sidecar, so that two can run in one process."""

    def __init__(self, app: object) -> None:
        super().__init__(
            uvicorn.Config(app, log_level="warning", access_log=False, lifespan="off")  # type: ignore[arg-type]
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Do nothing: the sidecar stops both servers itself."""
        yield


@contextlib.contextmanager
def bound(key: str, address: str) -> Iterator[socket.socket]:
    """A listening socket on ``host:port``, or a ConfigError that names the key."""
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound_socket = socket.socket(family, socket.SOCK_STREAM)
    bound_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    # asyncio does this only for sockets that it opened itself; without it answers wait 40 ms.
    bound_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        bound_socket.bind((host.strip("[]"), int(port)))
    except OSError as error:
        bound_socket.close()
        raise ConfigError(f"{key} = {address}: {error.strerror}; choose a free address") from None
    try:
        yield bound_socket
    finally:
        bound_socket.close()


@contextlib.contextmanager
def owned(state: Path) -> Iterator[None]:
    """The state file for this process alone: two sidecars would split one stream of evidence."""
    path = state.with_name(f"{state.name}.lock")
    try:
        file = path.open("w")
    except OSError as error:
        raise StateError(
            f"state.file = {state}: cannot be opened ({error.strerror});"
            " name a file in a folder that exists and that this user may write to"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateError(
                f"state.file = {state}: is locked by another process;"
                " stop that one, or give each headwatch a file of its own"
            ) from None
        yield


def new_id() -> str:
    """An id for a sample that came without one."""
    return uuid.uuid4().hex


def run(config: Config, *, config_path: Path | None, environ: dict[str, str]) -> None:
    """Run the sidecar in this process until it is told to stop."""

    async def main() -> None:
        await Sidecar(config, config_path=config_path, environ=environ).run()

    asyncio.run(main())
