"""``GET /api/v1/sessions``, one session, and ``GET /api/v1/agents``: traces, summed up."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, get
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter, SkipValidation

from vectadb_server.routes import docs, lists
from vectadb_server.routes import queries as q
from vectadb_server.routes.errors import Refusal
from vectadb_server.routes.replies import trace_reply
from vectadb_server.routes.replies_groups import (
    AgentPage,
    AgentReply,
    SessionPage,
    SessionReply,
    WholeSession,
    agent_reply,
    session_reply,
)
from vectadb_server.services import Services
from vectadb_server.stores.base import Cursor, TraceFilter

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectadb_server.stores.base import Group, Grouping, Page

_DAY = 86_400_000_000
_WEEK = 7 * _DAY
_LONGEST, _LONGEST_OF_ONE = 31 * _DAY, 366 * _DAY
_MOST = 200

_Limit = Annotated[int | None, QueryParameter(name="limit", ge=1, le=_MOST, description="Most items in the reply.")]
_Since = Annotated[
    str | None,
    QueryParameter(
        name="since", description="Traces that began at this time or later; by default a week before `until`."
    ),
]
_Until = Annotated[
    str | None, QueryParameter(name="until", description="Traces that began earlier than this time; by default now.")
]


class _Place(msgspec.Struct, frozen=True, array_like=True):
    """Where a page ended, and what the first one asked about."""

    us: int
    id: str
    since: int
    until: int
    arrived: int


_place = msgspec.json.Decoder(_Place)


@get("/api/v1/sessions", tags=["sessions"], opt={"scope": "read"}, responses=docs.listed(SessionPage, "A page"))
async def list_sessions(
    request: Request[Any, Any, Any],
    services: NamedDependency[SkipValidation[Services]],
    since: _Since = None,
    until: _Until = None,
    fields: q.Fields = None,
    output: q.Format = None,
    limit: _Limit = None,
    cursor: q.After = None,
) -> Response[SessionPage]:
    """List sessions with traces that started in a stretch of time of at most 31 days, the newest such start first.

    The figures are over those traces, as far as they are indexed. A cursor keeps the stretch of time that the first
    page was about.
    """
    shape = lists.Shape("sessions", SessionReply, fields, output, limit, usual=50)
    return await _list(request, services, "session", shape, session_reply, since, until, cursor)


@get("/api/v1/agents", tags=["agents"], opt={"scope": "read"}, responses=docs.listed(AgentPage, "A page"))
async def list_agents(
    request: Request[Any, Any, Any],
    services: NamedDependency[SkipValidation[Services]],
    since: _Since = None,
    until: _Until = None,
    fields: q.Fields = None,
    output: q.Format = None,
    limit: _Limit = None,
    cursor: q.After = None,
) -> Response[AgentPage]:
    """List agents with traces that started in a stretch of time of at most 31 days, the newest such start first.

    The figures are over those traces, as far as they are indexed. A cursor keeps the stretch of time that the first
    page was about.
    """
    shape = lists.Shape("agents", AgentReply, fields, output, limit, usual=50)
    return await _list(request, services, "agent", shape, agent_reply, since, until, cursor)


@get(
    "/api/v1/sessions/{session_id:str}",
    tags=["sessions"],
    opt={"scope": "read"},
    responses=docs.replies(WholeSession, "The session", errors=(400, 404)),
)
async def read_session(
    services: NamedDependency[SkipValidation[Services]],
    session_id: Annotated[str, PathParameter(description="Id of the session.")],
    since: _Since = None,
    until: _Until = None,
    fields: q.Fields = None,
    limit: _Limit = None,
    cursor: q.After = None,
) -> Response[WholeSession]:
    """Read one session: its figures, and a page of its traces, newest start first.

    Both are about traces that started in a stretch of time, by default the last 31 days, at most 366.
    """
    session_id = q.in_path(session_id)
    start, end = q.span_of_time(since, until, services.now(), back=_LONGEST)
    _bounded(start, end, _LONGEST_OF_ONE)
    group = await services.record.group("session", session_id, start, end)
    if group is None:
        text = f"no session {session_id!r} with traces from {since or '-31d'} to {until or 'now'}"
        raise Refusal(
            404,
            f"{text}. Next: ask for a longer time, or `vectadb sessions`, or GET /api/v1/sessions, for those there are",
        )
    where = TraceFilter(session_id=session_id, since=start, until=end)
    page = await services.record.trace_page(where, limit=limit or 50, after=q.read_cursor(cursor))
    following = None if page.next is None else q.write_cursor(page.next.us, page.next.id)
    whole = WholeSession(session_reply(group), [trace_reply(trace) for trace in page.items], following)
    return lists.shown(whole, fields)


async def _list(
    request: Request[Any, Any, Any],
    services: Services,
    kind: Grouping,
    shape: lists.Shape,
    reply: Callable[[Group], msgspec.Struct],
    since: str | None,
    until: str | None,
    cursor: str | None,
) -> Response[Any]:
    now = services.now()
    after = _read(cursor)
    if after is None:
        start, end = q.span_of_time(since, until, now, back=_WEEK)
        arrived = now
    else:
        start, end, arrived = after.since, after.until, after.arrived
    _bounded(start, end, _LONGEST)

    async def ask(*, limit: int, after: Cursor | None) -> Page[Group]:
        some = min(limit, _MOST)
        return await services.record.groups(kind, start, end, arrived=arrived, limit=some, after=after)

    def written(place: Cursor) -> str:
        made = msgspec.json.encode(_Place(place.us, place.id, start, end, arrived))
        return base64.urlsafe_b64encode(made).decode().rstrip("=")

    place = None if after is None else Cursor(after.us, after.id)
    return await lists.answer(request, services, shape, ask, reply, after=place, cursor=written)


def _bounded(start: int, end: int, most: int) -> None:
    if end - start > most:
        text = f"since and until are more than {most // _DAY} days apart. Next: ask for a shorter time"
        raise Refusal(400, text, code="invalid_query")


def _read(text: str | None) -> _Place | None:
    if not text:
        return None
    try:
        found = _place.decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
    except (binascii.Error, ValueError):
        found = None
    # A forged one must not reach the engines, which hold 64 bits.
    if found is None or not all(
        0 <= us < q.BEYOND_ANY_TIME for us in (found.us, found.since, found.until, found.arrived)
    ):
        message = f"cursor: found {text[:200]!r}; expected the next_cursor of a page, as it was"
        raise Refusal(400, message, code="invalid_query")
    return found


HANDLERS: list[Any] = [list_sessions, read_session, list_agents]
