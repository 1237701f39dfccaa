"""The receiver: POST /v1/samples, CloudEvents on POST / and /v1/cloudevents, GET /-/healthy.

An answer means receipt: up to a second of it may be lost in a crash. With ``?durable=true`` the
answer waits until the samples are on disk.
"""

from __future__ import annotations

import asyncio
import hmac
import os
from collections.abc import Callable, Mapping
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from monitor.errors import PayloadError, StateError
from monitor.ingest.body import too_large
from monitor.ingest.cloudevents import read_event
from monitor.ingest.intake import Intake, Receipt
from monitor.ingest.payload import ANSWER_UNREADABLE, Reader, Reading, read_samples_body
from monitor.ingest.settings import IngestSettings, check_exposure, read_token

SHOWN_ERRORS = 10
DURABLE_TIMEOUT = 10.0
# Larger bodies are parsed beside the event loop, so that one sender does not hold up the others.
PARSED_AT_ONCE = 64 * 2**10
# How much of a body over the limit is read and thrown away, so that its sender hears the answer.
DRAINED_BODIES = 8
UNAUTHORIZED = {
    "error": "authorization: a valid bearer token is required; send 'Authorization: Bearer <token>'"
}
_STATUS = {"too_large": 413, "too_many_texts": 413, "text_too_long": 413}


def build_ingest_app(
    intake: Intake,
    settings: IngestSettings,
    *,
    id_factory: Callable[[], str],
    clock: Callable[[], float],
    environment: Mapping[str, str] | None = None,
) -> Starlette:
    """The ASGI application of the receiver.

    Raises ``ConfigError`` where the token cannot be read, or where it would listen for everyone.
    """
    token = read_token(settings, os.environ if environment is None else environment)
    check_exposure(settings, token)
    receiver = _Receiver(
        intake, settings, token, Reader(limits=settings.limits, new_id=id_factory, now=clock)
    )
    return Starlette(
        routes=[
            Route("/v1/samples", receiver.samples, methods=["POST"]),
            Route("/v1/cloudevents", receiver.events, methods=["POST"]),
            Route("/", receiver.events, methods=["POST"]),
            Route("/-/healthy", _healthy, methods=["GET"]),
        ]
    )


async def _healthy(_: Request) -> Response:
    return PlainTextResponse("ok\n")


class _Receiver:
    def __init__(self, intake: Intake, settings: IngestSettings, token: str | None, reader: Reader) -> None:
        self._intake = intake
        self._limit = settings.maximum_body
        self._expected = None if token is None else f"Bearer {token}".encode()
        self._reader = reader

    async def samples(self, request: Request) -> Response:
        """One sample, a list, NDJSON, or any known inference request body."""
        if not self._authorised(request):
            return self._unauthorised("http")
        durable = request.query_params.get("durable", "false")
        if durable not in ("true", "false"):
            return JSONResponse({"error": "durable: must be true or false"}, status_code=400)
        try:
            body = await _read_body(request, self._limit)
            reading = await _aside(len(body), lambda: read_samples_body(body, self._reader))
        except ClientDisconnect:
            return Response(status_code=400)
        except PayloadError as error:
            self._drop("http", {error.reason: 1})
            return _refusal(error)
        self._drop("http", reading.dropped)
        return await self._take(reading, durable=durable == "true")

    async def events(self, request: Request) -> Response:
        """A logged inference request or response: always 200, because its sender does not retry."""
        if not self._authorised(request):
            return self._unauthorised("cloudevents")
        try:
            body = await _read_body(request, self._limit)
            reading = await _aside(len(body), lambda: read_event(request.headers, body, self._reader))
        except ClientDisconnect:
            return Response(status_code=400)
        except PayloadError as error:
            self._drop("cloudevents", {error.reason: 1})
            dropped = {error.reason: 1}
            return JSONResponse({"accepted": 0, "dropped": dropped, "errors": [{"error": str(error)}]})
        self._drop("cloudevents", reading.dropped)
        receipt = self._intake.submit(reading.items, source="cloudevents")
        return JSONResponse(_summary(reading, receipt))

    async def _take(self, reading: Reading, *, durable: bool) -> Response:
        if not reading.items:
            status = _STATUS.get(reading.faults[0].error.reason, 400)
            return JSONResponse(_summary(reading, Receipt(accepted=0, refused=0)), status_code=status)
        receipt = self._intake.submit(reading.items, source="http", durable=durable)
        if durable and receipt.committed is None:
            return _unavailable("queue: is full; send the samples again later")
        if receipt.committed is not None:
            try:
                await asyncio.wait_for(asyncio.wrap_future(receipt.committed), DURABLE_TIMEOUT)
            except TimeoutError:
                return _unavailable(
                    "durable: the disk took too long; send the samples again under the same ids"
                )
            except StateError:
                return _unavailable("durable: the disk refused; send the samples again under the same ids")
        return JSONResponse(_summary(reading, receipt))

    def _authorised(self, request: Request) -> bool:
        if self._expected is None:
            return True
        given = request.headers.get("authorization", "").encode("latin-1")
        return hmac.compare_digest(given, self._expected)

    def _unauthorised(self, source: str) -> Response:
        self._drop(source, {"unauthorized": 1})
        return JSONResponse(UNAUTHORIZED, status_code=401, headers={"WWW-Authenticate": "Bearer"})

    def _drop(self, source: str, dropped: Mapping[str, int]) -> None:
        for reason, count in dropped.items():
            # A served answer is no sample: it is counted as lost, not as received.
            if reason != ANSWER_UNREADABLE:
                self._intake.counters.receive(source, count)
            self._intake.counters.drop(reason, count)


async def _read_body(request: Request, limit: int) -> bytes:
    """The body in memory, at most ``limit`` bytes of it; raises ``PayloadError`` for a larger one."""
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size <= limit:
            parts.append(part)
        elif size > DRAINED_BODIES * limit:
            break
    if size > limit:
        raise too_large(limit)
    return b"".join(parts)


async def _aside(size: int, read: Callable[[], Reading]) -> Reading:
    return read() if size <= PARSED_AT_ONCE else await asyncio.to_thread(read)


def _summary(reading: Reading, receipt: Receipt) -> dict[str, Any]:
    dropped = dict(reading.dropped)
    if receipt.refused:
        dropped["queue_full"] = receipt.refused
    shown = reading.faults[:SHOWN_ERRORS]
    return {
        "accepted": receipt.accepted,
        "dropped": dropped,
        "errors": [{"position": fault.position, "error": str(fault.error)} for fault in shown],
    }


def _refusal(error: PayloadError) -> Response:
    body = {"accepted": 0, "dropped": {error.reason: 1}, "errors": [{"error": str(error)}]}
    return JSONResponse(body, status_code=_STATUS.get(error.reason, 400))


def _unavailable(message: str) -> Response:
    return JSONResponse({"error": message}, status_code=503, headers={"Retry-After": "1"})
