"""``GET /api/v1/traces`` and one trace with its spans."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Annotated, Any

from litestar import Request, Response, delete, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation

from vectadb_server import spans
from vectadb_server.erasing import ErasedTrace
from vectadb_server.model import Event, Span, Trace
from vectadb_server.outlines import columns
from vectadb_server.routes import docs, lists
from vectadb_server.routes import queries as q
from vectadb_server.routes.errors import Refusal, busy
from vectadb_server.routes.replies import (
    OutlineReply,
    TracePage,
    TraceReply,
    WholeTrace,
    event_reply,
    span_reply,
    trace_reply,
)
from vectadb_server.services import Services
from vectadb_server.stores.engine import Conflict

_TAGS = ["traces"]
_AT_ONCE = 500  # events whose spans are built in some milliseconds; more are built beside the event loop


@get("/api/v1/traces", tags=_TAGS, opt={"scope": "read"}, responses=docs.listed(TracePage, "A page"))
async def list_traces(
    request: Request[Any, Any, Any],
    services: NamedDependency[SkipValidation[Services]],
    status: q.Statuses = None,
    agent: q.AgentId = None,
    session: q.SessionId = None,
    basis: q.OfBasis = None,
    since: q.Began = None,
    until: q.BeganBefore = None,
    active_since: q.ActiveSince = None,
    request_id: q.RequestId = None,
    tool: q.Tool = None,
    model: q.Model = None,
    min_duration: q.MinDuration = None,
    error: q.Failed = None,
    types: q.EventTypes = None,
    log_group: q.LogGroup = None,
    text: q.Text = None,
    fields: q.Fields = None,
    output: q.Format = None,
    limit: q.Limit = None,
    cursor: q.After = None,
) -> Response[TracePage]:
    """List traces, newest start first. All filters given must hold; `since` and `until` are about the start.

    What was going on from one time to another is listed by `active_since` and `until`.

    `type` and `log_group` are about its events: one is enough. `q` looks in what was asked, what was answered, and the
    first error.
    """
    where = q.trace_filter(
        services.now(),
        statuses=status,
        agent=agent,
        session=session,
        basis=basis,
        since=since,
        until=until,
        active_since=active_since,
        request_id=request_id,
        tool=tool,
        model=model,
        min_duration=min_duration,
        error=error,
        types=types,
        log_group=log_group,
        text=text,
    )
    return await lists.answer(
        request,
        services,
        lists.Shape("traces", TraceReply, fields, output, limit, usual=50),
        partial(services.record.trace_page, where),
        trace_reply,
        after=q.read_cursor(cursor),
        cursor=lambda place: q.write_cursor(place.us, place.id),
    )


@get(
    "/api/v1/traces/{trace_id:str}",
    tags=_TAGS,
    opt={"scope": "read"},
    responses=docs.replies(WholeTrace, "The trace", errors=(400, 404)),
)
async def read_trace(
    services: NamedDependency[SkipValidation[Services]],
    trace_id: Annotated[str, PathParameter(description="Id of the trace; also one that a client gave.")],
    fields: q.Fields = None,
) -> Response[WholeTrace]:
    """Read one trace: its summary, all its events by time, and its spans."""
    trace_id = q.in_path(trace_id)
    events, summary, found = await _built(services, q.trace_named(trace_id) or "", trace_id)
    whole = WholeTrace(
        trace_reply(summary), [event_reply(event) for event in events], [span_reply(span) for span in found]
    )
    return lists.shown(whole, fields)


@get(
    "/api/v1/traces/{trace_id:str}/outline",
    tags=_TAGS,
    opt={"scope": "read"},
    responses=docs.replies(OutlineReply, "The outline", errors=(400, 404)),
)
async def read_outline(
    services: NamedDependency[SkipValidation[Services]],
    trace_id: Annotated[str, PathParameter(description="Id of the trace; also one that a client gave.")],
) -> Response[Any]:
    """Read a trace's summary, and its spans as columns: quick for tens of thousands of them.

    Of a large trace it is what the indexer has seen, as in lists; events of the last seconds may be missing.
    """
    trace_id = q.in_path(trace_id)
    named = q.trace_named(trace_id) or ""
    summary = await services.record.trace(named)
    found = None if summary is None else services.outlines.of(summary)
    if summary is None or found is None:
        _, summary, made = await _built(services, named, trace_id)
        services.outlines.keep(summary, made)
        return Response(OutlineReply(trace_reply(summary), columns(summary, made)))
    # The form of an OutlineReply, of which the larger part is encoded already.
    return Response({"trace": trace_reply(summary), "spans": found})


async def _built(services: Services, named: str, asked: str) -> tuple[list[Event], Trace, list[Span]]:
    """Return the trace's events, its summary and its spans.

    Raises:
        Refusal: 404, there is no such trace.
    """
    events = await services.record.trace_events(named)
    if not events:
        services.outlines.forget(named)
        raise Refusal(404, f"no trace {asked!r}. Next: `vectadb traces`, or GET /api/v1/traces, lists those there are")
    now = services.now()
    if len(events) <= _AT_ONCE:
        return events, *spans.build(events, now=now, prices=services.prices)
    return events, *(await asyncio.to_thread(spans.build, events, now=now, prices=services.prices))


@delete(
    "/api/v1/traces/{trace_id:str}",
    tags=_TAGS,
    opt={"scope": "admin"},
    status_code=200,
    responses=docs.replies(ErasedTrace, "It is erased", errors=(400, 403, 404)),
)
async def delete_trace(
    services: NamedDependency[SkipValidation[Services]],
    trace_id: Annotated[str, PathParameter(description="Id of the trace; also one that a client gave.")],
) -> Response[ErasedTrace]:
    """Erase a trace with all its events, for good: what arrives for it later is answered `expired` and not kept.

    Its events are gone when this answers; lists of traces and search follow within seconds. A trace of the basis
    `time_window` is a quarter of an hour of a stream or agent: that is what is erased, and stays empty.
    """
    trace_id = q.in_path(trace_id)
    if services.eraser is None:
        raise Refusal(404, "this server has no record to erase from")
    try:
        erased = await services.eraser.trace(q.trace_named(trace_id) or "")
    except Conflict:
        raise busy("others write to this trace again and again. Next: it is erased within minutes; ask again") from None
    if erased is None:
        raise Refusal(
            404, f"no trace {trace_id!r}. Next: `vectadb traces`, or GET /api/v1/traces, lists those there are"
        )
    services.outlines.forget(erased.trace_id)
    return Response(erased)


HANDLERS: list[Any] = [list_traces, read_trace, read_outline, delete_trace]
