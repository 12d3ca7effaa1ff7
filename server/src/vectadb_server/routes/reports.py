"""``/api/v1/agents/reports`` and ``/health/details``: how agents and server are, for people who look after them."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from vectadb_server import __version__
from vectadb_server.capacity import Of
from vectadb_server.reports import Reading, Report, ToldReport
from vectadb_server.routes import docs
from vectadb_server.routes.bodies import read_json
from vectadb_server.routes.errors import Refusal
from vectadb_server.routes.health import ask_engines, warned
from vectadb_server.routes.replies import Engines, Warned
from vectadb_server.services import Services
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.times import parse_rfc3339, rfc3339

_MOST_BODY = 2**20
_PATIENCE = 2.0


class Taken(msgspec.Struct):
    """The report is kept; ``at`` is the server's time."""

    at: str


class ReportReply(msgspec.Struct):
    """What an agent reported last, and when."""

    agent: str
    version: str
    at: str
    reasons: list[str]
    readings: list[Reading]


class UseReply(msgspec.Struct):
    """So much ``of`` something is ``used``, of at ``most`` so much: events, or bytes of disk and memory."""

    of: Of
    used: int
    most: int


class Details(msgspec.Struct):
    """How the server is. ``events``, ``days``: held, as far as they are counted; ``null``: nobody counts here.

    ``indexing_here``: this server indexes; else another one does. What is older than ``horizon`` is not kept.
    ``stored_bytes``: on disk, by store. ``agents``: what agents reported last; ``null``: that cannot be told now.
    """

    version: str
    engines: Engines
    indexing_here: bool
    search_documents: int
    events: int | None
    days: int | None
    horizon: str | None
    retain_seconds: float | None
    capacity: list[UseReply]
    warnings: list[Warned]
    stored_bytes: dict[str, int]
    free_bytes: int | None
    agents: list[ReportReply] | None


_report = msgspec.json.Decoder(Report)


@post(
    "/api/v1/agents/reports",
    status_code=200,
    opt={"scope": "ingest"},
    operation_class=docs.TakesReport,
    tags=["agents"],
    responses=docs.replies(Taken, "It is kept", errors=(400, 408, 413, 415, 422)),
)
async def post_report(
    request: Request[Any, Any, Any], services: NamedDependency[SkipValidation[Services]]
) -> Response[Taken]:
    """Say how an agent is doing, and how far it has read: `GET /health/details` shows what each agent said last.

    Of 200 agents the last report is kept, for a week.
    """
    body = await read_json(request, services.settings, limit=_MOST_BODY)
    try:
        report = _report.decode(body)
        for reading in report.readings:
            for text in filter(None, (reading.read_through, *reading.complete_through.values())):
                parse_rfc3339(text)
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise Refusal(422, str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal(400, f"not JSON: {error}") from None
    except ValueError as error:
        raise Refusal(422, f"readings: found a time that is none: {error}") from None
    now = services.now()
    if services.reports is not None:
        await services.reports.put(ToldReport(now, report))
    return Response(Taken(rfc3339(now)))


@get(
    "/health/details",
    opt={"scope": "read", "bounded": False},
    tags=["health"],
    responses=docs.replies(Details, "How the server is", errors=(401, 429)),
)
async def read_details(services: NamedDependency[SkipValidation[Services]]) -> Response[Details]:
    """Say how engines, indexer, capacity and retention are, and what agents reported last."""
    engines, agents = await asyncio.gather(ask_engines(services), _agents(services))
    vitals, horizon = services.vitals, services.horizon()
    figures = vitals.figures if vitals is not None else None
    uses = vitals.capacity.uses if vitals is not None else []
    rows = figures.rows if figures is not None and figures.counted else None
    return Response(
        Details(
            version=__version__,
            engines=engines,
            indexing_here=services.indexer.here,
            search_documents=vitals.search()["documents"] if vitals is not None else 0,
            events=None if rows is None else sum(rows.values()),
            days=None if rows is None else len(rows),
            horizon=rfc3339(horizon) if horizon else None,
            retain_seconds=None if services.settings.retain is None else services.settings.retain / 1_000_000,
            capacity=[UseReply(use.of, use.used, use.most) for use in uses],
            warnings=warned(services),
            stored_bytes=dict(figures.stored) if figures is not None else {},
            free_bytes=figures.free if figures is not None else None,
            agents=agents,
        )
    )


async def _agents(services: Services) -> list[ReportReply] | None:
    if services.reports is None:
        return []
    try:
        async with asyncio.timeout(_PATIENCE):
            told = await services.reports.all()
    except (StoreUnavailable, TimeoutError):
        return None
    return [
        ReportReply(each.report.agent, each.report.version, rfc3339(each.at), each.report.reasons, each.report.readings)
        for each in told
    ]


HANDLERS: list[Any] = [post_report, read_details]
