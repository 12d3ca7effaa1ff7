"""``GET /api/v1/events/stream``: events as they become known, as server-sent events."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, get
from litestar.di import NamedDependency
from litestar.openapi import ResponseSpec
from litestar.openapi.spec import Example
from litestar.params import QueryParameter, SkipValidation
from litestar.response import Stream

from vectadb_server.following import Note, Place, TooMany, read_place
from vectadb_server.routes import docs, heads
from vectadb_server.routes import queries as q
from vectadb_server.routes.enforce import still_in
from vectadb_server.routes.errors import Refusal, busy
from vectadb_server.routes.fields import Fields
from vectadb_server.routes.replies import EventReply, event_reply
from vectadb_server.services import Services
from vectadb_server.stores.base import EventFilter, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from vectadb_server.following import Following

_log = logging.getLogger(__name__)

_RETRY = b"retry: 1000\n"  # milliseconds after which a client that lost its connection comes back
_EXAMPLE = 'id: 17.1\ndata: {"event_id": "0c8c1b3e-3f0a-5f7e-8d53-0d6f3c0f4a11", "event_type": "tool_call"}\n\n'
_encode = msgspec.json.Encoder().encode

_LastId = Annotated[
    str | None,
    QueryParameter(
        name="last_event_id", description="Resume after this `id`; the header `Last-Event-ID`, if given, goes before."
    ),
]
_REPLIES = {
    **docs.replies(EventReply, "", errors=(400,)),
    200: ResponseSpec(
        str,
        generate_examples=False,
        media_type="text/event-stream",
        description="For each event an `id` and, as `data`, the event as JSON. `event: gap`: what lies between the "
        "`id` before and this one is not known any more. A comment every 15 s says that the server is there.",
        examples=[Example(summary="An event", value=_EXAMPLE)],
    ),
}


@get("/api/v1/events/stream", tags=["events"], opt={"scope": "read"}, responses=_REPLIES)
async def stream_events(
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
    last_id: _LastId = None,
) -> Stream:
    """Follow events as they become known, in the order in which they do, whatever their times: `tail -f`.

    A client that comes back with the last `id` misses nothing of about ten minutes, on whichever server it does. An
    event whose text has grown comes again, under its own `event_id`. It ends with the key that it was asked for with.
    """
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
    chosen = Fields(fields, EventReply) if fields else None
    place = _place(request.headers.get("last-event-id") or last_id)
    if services.following is None:
        raise busy("events cannot be followed on this server")
    if heads.alone(request):
        return _streamed(heads.nothing())
    frames = _frames(services.following, where, place, chosen)
    try:
        # What is refused is refused with a status.
        first = await anext(frames)
    except TooMany as error_:
        raise busy(f"{error_}. Next: come back later, or raise VECTADB_MAX_FOLLOWERS") from None

    async def all_of_them() -> AsyncIterator[bytes]:
        try:
            yield first
            async for frame in frames:
                if not await still_in(services, request):
                    return
                yield frame
                # That the client has gone is told to the event loop, which many frames in a row would not let run.
                await asyncio.sleep(0)
        finally:
            await frames.aclose()

    return _streamed(all_of_them())


def _streamed(frames: AsyncIterator[bytes]) -> Stream:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return Stream(frames, media_type="text/event-stream", headers=headers)


def _place(text: str | None) -> Place | None:
    if not text:
        return None
    try:
        return read_place(text)
    except ValueError as error:
        raise Refusal(400, f"Last-Event-ID: {error}", code="invalid_query") from None


async def _frames(
    following: Following, where: EventFilter, place: Place | None, chosen: Fields | None
) -> AsyncGenerator[bytes, None]:
    async with following.joined():
        before = _RETRY
        try:
            async for note in following.follow(where, place):
                yield before + _frame(note, chosen)
                before = b""
        except StoreUnavailable as error:
            # The client comes back, and then hears why with a status.
            _log.warning("a follower is sent away: %s", error)


def _frame(note: Note, chosen: Fields | None) -> bytes:
    head = b"id: %s\n" % str(note.place).encode()
    if note.event is not None:
        reply = event_reply(note.event)
        return b"%sdata: %s\n\n" % (head, _encode(chosen.of(reply) if chosen is not None else reply))
    if note.kind == "gap":
        return b"event: gap\n%sdata: {}\n\n" % head
    # An id without data is noted by the client, and nothing else happens.
    return b": alive\n%s\n" % head


HANDLERS: list[Any] = [stream_events]
