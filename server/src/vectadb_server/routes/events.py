"""``GET /api/v1/events``, one event, and the digests that prove that all arrived."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, SkipValidation

from vectadb_server.routes import docs
from vectadb_server.routes import queries as q
from vectadb_server.routes.errors import Refusal
from vectadb_server.routes.replies import DigestReply, EventPage, EventReply, HourReply, event_reply
from vectadb_server.services import Services
from vectadb_server.stores.base import EventFilter
from vectadb_server.times import rfc3339

_TAGS = ["events"]
_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_MOST_DAYS = 366


@get(
    "/api/v1/events",
    tags=_TAGS,
    responses=docs.replies(EventPage, "A page", {"events": [docs.EVENT_FOUND], "next_cursor": docs.CURSOR}),
)
async def list_events(
    services: NamedDependency[SkipValidation[Services]],
    trace: q.TraceId = None,
    session: q.SessionId = None,
    agent: q.AgentId = None,
    event_type: q.EventType = None,
    log_group: q.LogGroup = None,
    log_stream: q.LogStream = None,
    since: q.Since = None,
    until: q.Until = None,
    limit: q.Limit = 100,
    cursor: q.After = None,
) -> Response[EventPage]:
    """List events, newest first. All filters given must hold."""
    now = services.now()
    where = EventFilter(
        trace=q.trace_named(trace),
        session_id=session or None,
        agent_id=agent or None,
        event_type=event_type or None,
        log_group=log_group or None,
        log_stream=log_stream or None,
        since=q.when("since", since, now),
        until=q.when("until", until, now),
    )
    # One more than asked for tells whether there is a next page.
    events = await services.record.events(where, limit=limit + 1, after=q.read_cursor(cursor))
    following = None
    if len(events) > limit:
        last = events[limit - 1]
        following = q.write_cursor(last.timestamp, last.event_id)
    return Response(EventPage([event_reply(event) for event in events[:limit]], following))


@get(
    "/api/v1/events/{event_id:str}",
    tags=_TAGS,
    responses=docs.replies(EventReply, "The event", docs.EVENT_FOUND, errors=(404,)),
)
async def read_event(
    services: NamedDependency[SkipValidation[Services]],
    event_id: Annotated[str, PathParameter(description="Id of the event, or of a record inside its block.")],
) -> Response[EventReply]:
    """Read one event."""
    event = await services.record.event(q.event_named(event_id))
    if event is None:
        raise Refusal(404, f"no event {event_id}")
    return Response(event_reply(event))


@get(
    "/api/v1/events/digest",
    tags=_TAGS,
    responses=docs.replies(DigestReply, "Counts and digests"),
)
async def read_digest(
    services: NamedDependency[SkipValidation[Services]],
    log_group: q.LogGroup = None,
    since: q.Since = None,
    until: q.Until = None,
) -> Response[DigestReply]:
    """Count the records of each log group and hour of `source.timestamp`, to compare with those of the log itself.

    `digest` is the sum, modulo 2^128, of the first 128 bits of the SHA-256 of each record's id. Hours are whole: those
    that begin from `since` on and before `until` (the last day by default).
    """
    now = services.now()
    start, end = q.span_of_time(since, until, now, back=_DAY)
    if end - start > _MOST_DAYS * _DAY:
        raise Refusal(400, f"since and until are more than {_MOST_DAYS} days apart", code="invalid_query")
    hours = await services.record.digest(log_group or None, start, end)
    horizon = services.horizon()
    return Response(
        DigestReply(
            [HourReply(hour.log_group, rfc3339(hour.hour), hour.count, f"{hour.digest:032x}") for hour in hours],
            rfc3339(horizon) if horizon else None,
        )
    )


HANDLERS: list[Any] = [list_events, read_event, read_digest]
