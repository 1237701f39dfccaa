"""The operations endpoints: metrics, health, status, verdicts, reload. No sample text passes here."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from monitor.report.episode_data import EpisodeReport
from monitor.report.episode_page import episode_page

NO_REPORT = "no episode yet: a report is made when drift is found\n"
Render = Callable[[str], tuple[bytes, str]]


def build_operations_app(
    *,
    render: Render,
    status: Callable[[], dict[str, Any]],
    verdicts: Callable[[int], list[str]],
    ready: Callable[[], bool],
    reload: Callable[[], Awaitable[str | None]],
    report: Callable[[], str | None] = lambda: None,
) -> Starlette:
    """The app behind ``exporters.prometheus.listen``.

    ``render`` takes an Accept header and returns body and content type; ``reload`` returns what was
    wrong with the new configuration, or None. ``report`` returns the newest episode's report as JSON.
    """

    async def metrics(request: Request) -> Response:
        body, content_type = render(request.headers.get("accept", ""))
        return Response(body, headers={"Content-Type": content_type})

    async def healthy(_: Request) -> Response:
        return PlainTextResponse("headwatch is running\n")

    async def is_ready(_: Request) -> Response:
        if ready():
            return PlainTextResponse("headwatch is ready\n")
        return PlainTextResponse("headwatch is loading the model\n", status_code=503)

    async def show_status(_: Request) -> Response:
        return JSONResponse(status())

    async def show_verdicts(request: Request) -> Response:
        given = request.query_params.get("after", "-1")
        try:
            after = int(given)
        except ValueError:
            message = f"after = {given}: must be a window's index; leave it out for all\n"
            return PlainTextResponse(message, status_code=400)
        return JSONResponse({"verdicts": [json.loads(verdict) for verdict in verdicts(after)]})

    async def show_report(_: Request) -> Response:
        text = report()
        if text is None:
            return PlainTextResponse(NO_REPORT, status_code=404)
        return HTMLResponse(episode_page(EpisodeReport.from_json(json.loads(text))))

    async def show_report_data(_: Request) -> Response:
        text = report()
        if text is None:
            return PlainTextResponse(NO_REPORT, status_code=404)
        return Response(text, media_type="application/json")

    async def do_reload(_: Request) -> Response:
        problem = await reload()
        if problem is None:
            return PlainTextResponse("configuration reloaded\n")
        return PlainTextResponse(f"{problem}\n", status_code=400)

    return Starlette(
        routes=[
            Route("/metrics", metrics),
            Route("/-/healthy", healthy),
            Route("/-/ready", is_ready),
            Route("/-/reload", do_reload, methods=["POST"]),
            Route("/v1/status", show_status),
            Route("/v1/verdicts", show_verdicts),
            Route("/v1/report", show_report),
            Route("/v1/report.json", show_report_data),
        ]
    )
