"""``GET /api/v1/events``, one event, and what proves that all arrived: digests, and the ids that are missing."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any

from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter, SkipValidation

from vectadb_server.routes import docs, lists
from vectadb_server.routes import queries as q
from vectadb_server.routes.bodies import read_json, read_records
from vectadb_server.routes.errors import Refusal
from vectadb_server.routes.replies import (
    DigestReply,
    EventPage,
    EventReply,
    HourReply,
    MissingReply,
    RecordReply,
    RecordsReply,
    event_reply,
)
from vectadb_server.services import Services
from vectadb_server.stores.base import LogGroup
from vectadb_server.times import rfc3339

_TAGS = ["events"]
_HOUR = 3_600_000_000
_DAY = 24 * _HOUR
_MOST_DAYS = 366
_RECORDS = 5_000  # in a page, about

_System = Annotated[str | None, QueryParameter(name="system", description="Log system, e.g. `cloudwatch`.")]
_Account = Annotated[str | None, QueryParameter(name="account", description="Account of the log group.")]
_Region = Annotated[str | None, QueryParameter(name="region", description="Region of the log group.")]


@get(
    "/api/v1/events",
    opt={"scope": "read"},
    tags=_TAGS,
    responses=docs.listed(EventPage, "A page", {"events": [docs.EVENT_FOUND], "next_cursor": docs.CURSOR}),
)
async def list_events(
    request: Request[Any, Any, Any],
    services: NamedDependency[SkipValidation[Services]],
    trace: q.TraceId = None,
    session: q.SessionId = None,
    agent: q.AgentId = None,
    event_type: q.EventTypes = None,
    log_group: q.LogGroup = None,
    log_stream: q.LogStream = None,
    since: q.Since = None,
    until: q.Until = None,
    request_id: q.RequestId = None,
    level: q.Levels = None,
    error: q.Failed = None,
    tool: q.Tool = None,
    model: q.Model = None,
    text: q.Text = None,
    fields: q.Fields = None,
    output: q.Format = None,
    limit: q.Limit = None,
    cursor: q.After = None,
) -> Response[EventPage]:
    """List events, newest first. All filters given must hold."""
    where = q.event_filter(
        services.now(),
        trace=trace,
        session=session,
        agent=agent,
        types=event_type,
        log_group=log_group,
        log_stream=log_stream,
        since=since,
        until=until,
        request_id=request_id,
        levels=level,
        error=error,
        tool=tool,
        model=model,
        text=text,
    )
    return await lists.answer(
        request,
        services,
        lists.Shape("events", EventReply, fields, output, limit, usual=100),
        partial(services.record.event_page, where),
        event_reply,
        after=q.read_cursor(cursor),
        cursor=lambda place: q.write_cursor(place.us, place.id),
    )


@get(
    "/api/v1/events/{event_id:str}",
    opt={"scope": "read"},
    tags=_TAGS,
    responses=docs.replies(EventReply, "The event", docs.EVENT_FOUND, errors=(400, 404)),
)
async def read_event(
    services: NamedDependency[SkipValidation[Services]],
    event_id: Annotated[str, PathParameter(description="Id of the event, or of a record inside its block.")],
    fields: q.Fields = None,
) -> Response[EventReply]:
    """Read one event."""
    event = await services.record.event(q.event_named(event_id))
    if event is None:
        raise Refusal(404, f"no event {event_id}")
    return lists.shown(event_reply(event), fields)


@get(
    "/api/v1/events/digest",
    opt={"scope": ("ingest", "read")},
    tags=_TAGS,
    responses=docs.replies(DigestReply, "Counts and digests"),
)
async def read_digest(
    services: NamedDependency[SkipValidation[Services]],
    system: _System = None,
    account: _Account = None,
    region: _Region = None,
    log_group: q.LogGroup = None,
    since: q.Since = None,
    until: q.Until = None,
) -> Response[DigestReply]:
    """Count the records of each log group and hour of `source.timestamp`, to compare with those of the log itself.

    Groups of one name in two systems, accounts or regions are counted apart.
    `digest` is the sum, modulo 2^128, of the first 128 bits of the SHA-256 of each record's id. Hours are whole: those
    that begin from `since` on and before `until` (the last day by default).
    """
    now = services.now()
    start, end = q.span_of_time(since, until, now, back=_DAY)
    if end - start > _MOST_DAYS * _DAY:
        raise Refusal(400, f"since and until are more than {_MOST_DAYS} days apart", code="invalid_query")
    found = await services.record.digest(
        log_group or None, start, end, system=system or None, account=account or None, region=region or None
    )
    hours = [
        HourReply(
            system=hour.system,
            account=hour.account,
            region=hour.region,
            log_group=hour.log_group,
            hour=rfc3339(hour.hour),
            count=hour.count,
            digest=f"{hour.digest:032x}",
        )
        for hour in found
    ]
    return Response(DigestReply(hours, _horizon(services)))


@get(
    "/api/v1/events/records",
    opt={"scope": ("ingest", "read")},
    tags=_TAGS,
    responses=docs.replies(RecordsReply, "A page, in no order"),
)
async def list_records(
    services: NamedDependency[SkipValidation[Services]],
    system: _System = None,
    account: _Account = None,
    region: _Region = None,
    log_group: q.LogGroup = None,
    since: q.Since = None,
    until: q.Until = None,
    cursor: q.After = None,
) -> Response[RecordsReply]:
    """List the records held of one log group by `source.timestamp`: what a digest that differs is made of.

    All four names of the log group count; one that is left out is empty. `since` and `until` (by default the last hour)
    are at most a day apart.
    """
    start, end = q.span_of_time(since, until, services.now(), back=_HOUR)
    if end - start > _DAY:
        raise Refusal(400, "since and until are more than a day apart", code="invalid_query")
    where = LogGroup(log_group or "", system or "", account or "", region or "")
    found, after = await services.record.records(where, start, end, limit=_RECORDS, after=q.read_cursor(cursor))
    records = [RecordReply(each.event_id, each.log_stream, each.log_id, rfc3339(each.timestamp)) for each in found]
    return Response(RecordsReply(records, None if after is None else q.write_cursor(after.us, after.id)))


@post(
    "/api/v1/events/missing",
    opt={"scope": ("ingest", "read")},
    status_code=200,
    operation_class=docs.TakesRecords,
    tags=_TAGS,
    responses=docs.replies(
        MissingReply,
        "The ids of those that are missing, in the order asked",
        {"missing": [docs.RECORDS["records"][0]["event_id"]], "horizon": "2025-11-02T12:00:00.000000Z"},
        errors=(400, 408, 413, 415, 422),
    ),
)
async def find_missing(
    request: Request[Any, Any, Any], services: NamedDependency[SkipValidation[Services]]
) -> Response[MissingReply]:
    """Say which of up to 10,000 records are not held, each named by its id and the record's time.

    A record is held as an event, or inside the block of another. `timestamp` is the record's (`source.timestamp`), not
    the application's. Records older than the horizon are not missing: they would not be taken.
    """
    records = read_records(await read_json(request, services.settings))
    horizon = services.horizon()
    wanted = [record for record in records if record.at >= horizon]
    lacking = await services.record.lacking([(record.event_id, record.at) for record in wanted])
    missing = [record.given for position, record in enumerate(wanted) if position in lacking]
    return Response(MissingReply(list(dict.fromkeys(missing)), _horizon(services)))


def _horizon(services: Services) -> str | None:
    horizon = services.horizon()
    return rfc3339(horizon) if horizon else None


HANDLERS: list[Any] = [list_events, read_event, read_digest, list_records, find_missing]
