"""``GET /api/v1/traces`` and one trace with its spans."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter, SkipValidation

from vectadb_server import spans
from vectadb_server.model import Basis, SpanStatus
from vectadb_server.routes import docs
from vectadb_server.routes import queries as q
from vectadb_server.routes.errors import Refusal
from vectadb_server.routes.replies import TracePage, WholeTrace, event_reply, span_reply, trace_reply
from vectadb_server.services import Services
from vectadb_server.stores.base import TraceFilter

_TAGS = ["traces"]
_AT_ONCE = 500  # events whose spans are built in some milliseconds; more are built beside the event loop

_Status = Annotated[SpanStatus | None, QueryParameter(name="status", description="How the trace stands.")]
_Basis = Annotated[
    Basis | None,
    QueryParameter(name="basis", description="What makes it one. `time_window` is listed only if asked for."),
]


@get("/api/v1/traces", tags=_TAGS, responses=docs.replies(TracePage, "A page"))
async def list_traces(
    services: NamedDependency[SkipValidation[Services]],
    status: _Status = None,
    agent: q.AgentId = None,
    session: q.SessionId = None,
    basis: _Basis = None,
    since: q.Since = None,
    until: q.Until = None,
    limit: q.Limit = 50,
    cursor: q.After = None,
) -> Response[TracePage]:
    """List traces, newest start first. `since` and `until` are about their start."""
    now = services.now()
    where = TraceFilter(
        status=status,
        agent_id=agent or None,
        session_id=session or None,
        basis=basis,
        since=q.when("since", since, now),
        until=q.when("until", until, now),
    )
    traces = await services.record.traces(where, limit=limit + 1, after=q.read_cursor(cursor))
    following = None
    if len(traces) > limit:
        following = q.write_cursor(traces[limit - 1].start, traces[limit - 1].trace_id)
    return Response(TracePage([trace_reply(trace) for trace in traces[:limit]], following))


@get("/api/v1/traces/{trace_id:str}", tags=_TAGS, responses=docs.replies(WholeTrace, "The trace", errors=(404,)))
async def read_trace(
    services: NamedDependency[SkipValidation[Services]],
    trace_id: Annotated[str, PathParameter(description="Id of the trace; also one that a client gave.")],
) -> Response[WholeTrace]:
    """Read one trace: its summary, all its events by time, and its spans."""
    events = await services.record.trace_events(q.trace_named(trace_id) or "")
    if not events:
        raise Refusal(404, f"no trace {trace_id!r}. Next: GET /api/v1/traces lists those there are")
    now = services.now()
    if len(events) <= _AT_ONCE:
        summary, found = spans.build(events, now=now, prices=services.prices)
    else:
        summary, found = await asyncio.to_thread(spans.build, events, now=now, prices=services.prices)
    return Response(
        WholeTrace(trace_reply(summary), [event_reply(event) for event in events], [span_reply(span) for span in found])
    )


HANDLERS: list[Any] = [list_traces, read_trace]
