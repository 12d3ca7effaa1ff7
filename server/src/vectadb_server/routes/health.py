"""``GET /health``, ``/health/ready`` and ``/metrics``: how the server is."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from vectadb_server import __version__
from vectadb_server.gauges import Gauges
from vectadb_server.metrics import CONTENT_TYPE
from vectadb_server.routes import docs
from vectadb_server.routes.enforce import caller_of
from vectadb_server.routes.replies import Alive, Engine, Engines, Ready, Warned
from vectadb_server.services import Services
from vectadb_server.stores.base import SearchUnavailable, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Coroutine

_TAGS = ["health"]
_PATIENCE = 2.0  # seconds that an engine is given to answer


@get(
    "/health",
    opt={"scope": "public"},
    security=[{}],
    tags=_TAGS,
    responses=docs.replies(Alive, "Alive", errors=(), public=True),
)
async def read_health() -> Response[Alive]:
    """Say whether the process answers."""
    return Response(Alive("ok", __version__))


@get(
    "/health/ready",
    opt={"scope": "public"},
    security=[{}],
    tags=_TAGS,
    responses=docs.replies(Ready, "Ready, or degraded", errors=(), public=True),
)
async def read_ready(
    request: Request[Any, Any, Any], services: NamedDependency[SkipValidation[Services]]
) -> Response[Ready]:
    """Say how each engine is; 503 where the record, without which nothing works, is away. Strangers learn no more.

    `warnings` name what the embedded store has nearly used up, and what to do; they change no status.
    """
    engines, warnings = await ask_engines(services), warned(services)
    down = engines.record.status != "ok"
    well = not down and engines.search.status == "ok" and engines.indexer.status == "ok"
    if caller_of(request) is None:
        warnings = []
        engines = Engines(*(Engine(each.status) for each in (engines.record, engines.search, engines.indexer)))
    ready = Ready("unavailable" if down else "ready" if well else "degraded", __version__, engines, warnings)
    return Response(ready, status_code=503 if down else 200, headers={"Retry-After": "1"} if down else {})


@get("/metrics", opt={"scope": "read", "bounded": False}, tags=_TAGS, media_type="text/plain")
async def read_metrics(services: NamedDependency[SkipValidation[Services]]) -> Response[bytes]:
    """Return the counts in Prometheus' text format."""
    services.metrics.horizon(services.horizon())
    try:
        async with asyncio.timeout(_PATIENCE):
            services.metrics.lag(await services.indexer.lag())
    except (StoreUnavailable, TimeoutError):
        services.metrics.no_lag()
    return Response(services.metrics.text(Gauges(services)), headers={"Content-Type": CONTENT_TYPE})


async def ask_engines(services: Services) -> Engines:
    """Ask each engine how it is, in bounded time."""
    return Engines(
        *await asyncio.gather(_asked(_record(services)), _asked(services.index.count()), _asked_indexer(services))
    )


def warned(services: Services) -> list[Warned]:
    """Return what is nearly used up."""
    full = services.vitals.capacity.warnings if services.vitals is not None else []
    return [Warned(use.of, round(use.ratio, 4), str(use)) for use in full]


async def _record(services: Services) -> None:
    """Raise what keeps the record from taking events: a full disk leaves reading."""
    await services.record.check()
    if services.space is not None:
        services.space.check()


async def _asked(question: Coroutine[Any, Any, object]) -> Engine:
    try:
        async with asyncio.timeout(_PATIENCE):
            await question
    except (StoreUnavailable, SearchUnavailable) as error:
        return Engine("unavailable", str(error))
    except TimeoutError:
        return Engine("unavailable", f"no answer within {_PATIENCE:g} s")
    return Engine("ok")


async def _asked_indexer(services: Services) -> Engine:
    try:
        async with asyncio.timeout(_PATIENCE):
            lag = await services.indexer.lag()
    except StoreUnavailable as error:
        return Engine("unavailable", str(error))
    except TimeoutError:
        return Engine("unavailable", f"no answer within {_PATIENCE:g} s")
    return Engine("ok", pending=lag.outbox + lag.stale_traces + lag.search, lag_seconds=round(lag.seconds, 3))


HANDLERS: list[Any] = [read_health, read_ready, read_metrics]
