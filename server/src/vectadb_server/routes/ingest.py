"""``POST /api/v1/events`` and ``/api/v1/events/batch``: events come in; 200 means that they are durable."""

from __future__ import annotations

from typing import Any

from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from vectadb_server.ingest import Outcome, Status
from vectadb_server.routes import docs
from vectadb_server.routes.bodies import Admission, check_commas, read_json
from vectadb_server.routes.enforce import spend_events
from vectadb_server.routes.errors import Refusal, busy
from vectadb_server.routes.replies import Accepted, BatchReply, EventFailure
from vectadb_server.services import Services
from vectadb_server.times import rfc3339
from vectadb_server.wire import Decoded, Options, decode_batch, decode_event

_MOST_KEY = 255
_TAGS = ["ingest"]


@post(
    "/api/v1/events",
    status_code=200,
    opt={"scope": "ingest"},
    operation_class=docs.TakesEvent,
    tags=_TAGS,
    responses=docs.replies(Accepted, "The event is durable", errors=(400, 408, 413, 415, 422)),
)
async def post_event(
    request: Request[Any, Any, Any],
    services: NamedDependency[SkipValidation[Services]],
    admission: NamedDependency[SkipValidation[Admission]],
) -> Response[Accepted]:
    """Take one event."""
    key = _idempotency_key(request)
    with admission.place() as held:
        body = await read_json(request, services.settings, held)
        event = decode_event(body, idempotency_key=key)
        await spend_events(services, request, 1)
        [outcome] = await services.taker.ingest([event], Options())
    services.metrics.count([outcome.status])
    if outcome.status == "failed":
        message = outcome.error or "the event was not taken"
        if outcome.code == "busy":
            raise busy(message, code="busy")
        raise Refusal(422, message, code=outcome.code, more={"unclaimed": outcome.unclaimed})
    return Response(
        Accepted(
            event_id=outcome.event_id,
            trace_id=outcome.trace_id,
            created_at=rfc3339(outcome.created_at or services.now()),
            status=outcome.status,
        )
    )


@post(
    "/api/v1/events/batch",
    status_code=200,
    opt={"scope": "ingest"},
    operation_class=docs.TakesBatch,
    tags=_TAGS,
    responses=docs.replies(BatchReply, "What became of each event", errors=(400, 408, 413, 415, 422)),
)
async def post_batch(
    request: Request[Any, Any, Any],
    services: NamedDependency[SkipValidation[Services]],
    admission: NamedDependency[SkipValidation[Admission]],
) -> Response[BatchReply]:
    """Take many events at once. The good ones are stored even where others are bad.

    The body may be compressed (`Content-Encoding: gzip`). Sending a batch again changes nothing: events are known by
    their ids, which come from `event_id`, else from `source`, else from the header `Idempotency-Key` and the place in
    the batch.
    """
    key = _idempotency_key(request)
    with admission.place() as held:
        body = await read_json(request, services.settings, held)
        most = services.settings.max_batch_events
        check_commas(body, most)
        decoded = decode_batch(body, idempotency_key=key, max_events=most, now=services.now())
        await spend_events(services, request, len(decoded.indexes))
        outcomes = (
            await services.taker.ingest(decoded.events, decoded.options, decoded.among) if decoded.indexes else []
        )
    reply = _batch_reply(decoded, outcomes)
    services.metrics.count(reply.statuses)
    return Response(reply)


def _batch_reply(decoded: Decoded, outcomes: list[Outcome]) -> BatchReply:
    statuses: list[Status] = ["failed"] * (len(decoded.indexes) + len(decoded.errors))
    errors = [EventFailure(index=bad.index, error=bad.error, code="invalid") for bad in decoded.errors]
    held: list[Outcome] = []
    for index, outcome in zip(decoded.indexes, outcomes, strict=True):
        statuses[index] = outcome.status
        if outcome.status == "failed":
            errors.append(_failure(index, outcome))
        elif outcome.status != "expired":
            held.append(outcome)
    failed = len(errors)
    ingested = statuses.count("accepted")
    return BatchReply(
        ingested=ingested,
        duplicates=statuses.count("duplicate"),
        expired=statuses.count("expired"),
        failed=failed,
        event_ids=[outcome.event_id for outcome in held],
        trace_ids=list(dict.fromkeys(outcome.trace_id for outcome in held if outcome.trace_id)),
        errors=sorted(errors, key=lambda error: error.index),
        statuses=statuses,
        ingested_count=ingested,
        failed_count=failed,
    )


def _failure(index: int, outcome: Outcome) -> EventFailure:
    overlap = outcome.code == "partial_overlap"
    return EventFailure(
        index=index,
        error=outcome.error or "the event was not taken",
        code=outcome.code,
        retryable=outcome.code == "busy",
        unclaimed=outcome.unclaimed if overlap else None,
    )


def _idempotency_key(request: Request[Any, Any, Any]) -> str | None:
    key: str | None = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= _MOST_KEY:
        message = f"Idempotency-Key: found {len(key):,} characters; expected 1 to {_MOST_KEY}"
        raise Refusal(400, message)
    return key


HANDLERS: list[Any] = [post_event, post_batch]
