"""``POST /api/v1/search``: by meaning, by words, or both; and what is like an event."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from litestar import Request, Response, get, post
from litestar.di import NamedDependency
from litestar.params import PathParameter, QueryParameter, SkipValidation

from vectadb_server import search
from vectadb_server.routes import docs
from vectadb_server.routes import queries as q
from vectadb_server.routes.bodies import read_json
from vectadb_server.routes.errors import Refusal
from vectadb_server.routes.replies import Result, SearchReply, event_reply
from vectadb_server.services import Services
from vectadb_server.stores.base import Mode, SearchFilter

if TYPE_CHECKING:
    from vectadb_server.model import Event

_MOST_QUERY = 10_000
_MOST_TYPES = 100

Similarity = Annotated[
    Mode, QueryParameter(name="mode", description="By meaning (`semantic`), by words (`text`), or both (`hybrid`).")
]


class Filters(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """As the parameters of ``GET /api/v1/events``; ``type`` may be a list, of which one must hold."""

    trace: str | None = None
    session: str | None = None
    agent: str | None = None
    type: str | Annotated[list[str], msgspec.Meta(max_length=_MOST_TYPES)] | None = None
    system: str | None = None
    log_group: str | None = None
    log_stream: str | None = None
    since: str | None = None
    until: str | None = None


class SearchRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to look for: a ``query``, or what is ``like`` the event of this id."""

    query: Annotated[str, msgspec.Meta(max_length=_MOST_QUERY)] | None = None
    like: str | None = None
    mode: Mode = "hybrid"
    filters: Filters | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=q.MAX_PAGE)] = 20


_request = msgspec.json.Decoder(SearchRequest)
_fields = ", ".join(SearchRequest.__struct_fields__)
_filters = ", ".join(Filters.__struct_fields__)
_EXAMPLE = {
    "results": [
        {
            "event": docs.EVENT_FOUND,
            "score": 0.83,
            "highlights": [
                {
                    "field": "raw",
                    "text": "Invoking: `search_web` with `{'query': 'weather in Kyiv'}`",
                    "ranges": [[36, 43], [47, 51]],
                }
            ],
        }
    ]
}


@post(
    "/api/v1/search",
    status_code=200,
    operation_class=docs.TakesSearch,
    tags=["search"],
    responses=docs.replies(SearchReply, "The best events, best first", _EXAMPLE, errors=(400, 404, 408, 413, 415, 422)),
    opt={"scope": "read"},
)
async def post_search(
    request: Request[Any, Any, Any], services: NamedDependency[SkipValidation[Services]]
) -> Response[SearchReply]:
    """Find the events that answer a query, or are `like` an event: by meaning (`semantic`), by words (`text`), or both.

    The best `limit` are all there is: there are no further pages. `highlights` show where the words stand.
    """
    asked = _decode(await read_json(request, services.settings))
    where = _where(asked.filters or Filters(), services.now())
    if asked.like is not None:
        event = await _event(services, asked.like)
        return await _similar(services, event, asked.mode, where, asked.limit)
    assert asked.query is not None
    answer = await search.search(
        services.index, services.record, asked.query, mode=asked.mode, where=where, limit=asked.limit
    )
    return _reply(answer)


@get(
    "/api/v1/events/{event_id:str}/similar",
    tags=["search"],
    responses=docs.replies(SearchReply, "The most similar events, best first", _EXAMPLE, errors=(400, 404)),
    opt={"scope": "read"},
)
async def get_similar(
    services: NamedDependency[SkipValidation[Services]],
    event_id: Annotated[str, PathParameter(description="Event id.")],
    mode: Similarity = "hybrid",
    limit: q.Limit = None,
    trace: q.TraceId = None,
    session: q.SessionId = None,
    agent: q.AgentId = None,
    event_type: q.EventTypes = None,
    log_group: q.LogGroup = None,
    log_stream: q.LogStream = None,
    since: q.Since = None,
    until: q.Until = None,
) -> Response[SearchReply]:
    """Find the events that are most like this one, without itself."""
    filters = Filters(
        trace=trace,
        session=session,
        agent=agent,
        type=list(q.listed("type", event_type)),
        log_group=log_group,
        log_stream=log_stream,
        since=since,
        until=until,
    )
    event = await _event(services, event_id)
    return await _similar(services, event, mode, _where(filters, services.now(), ""), limit or 20)


async def _event(services: Services, event_id: str) -> Event:
    event = await services.record.event(q.event_named(event_id))
    if event is None:
        raise Refusal(404, f"no event {event_id!r} is held")
    return event


async def _similar(
    services: Services, event: Event, mode: Mode, where: SearchFilter, limit: int
) -> Response[SearchReply]:
    return _reply(await search.similar(services.index, services.record, event, mode=mode, where=where, limit=limit))


def _reply(answer: search.Answer) -> Response[SearchReply]:
    results = [Result(event_reply(each.event), each.score, each.highlights) for each in answer.found]
    return Response(SearchReply(results, answer.notice))


def _decode(body: bytes) -> SearchRequest:
    try:
        asked = _request.decode(body)
    except msgspec.ValidationError as error:
        text = f"{error}; expected an object with {_fields}, and among filters {_filters}"
        raise Refusal(422, text) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f'not JSON: {error}; expected {{"query": "…"}}', code="bad_request") from None
    if (asked.query is None) == (asked.like is None):
        raise Refusal(422, "expected either query (what to look for) or like (an event's id), and not both")
    if asked.query is not None and not asked.query.strip():
        raise Refusal(422, "query: found no text; expected what to look for")
    return asked


def _where(filters: Filters, now: int, place: str = "filters.") -> SearchFilter:
    types = [filters.type] if isinstance(filters.type, str) else filters.type or []
    return SearchFilter(
        event_types=tuple(dict.fromkeys(name for name in types if name)),
        agent_id=filters.agent or None,
        session_id=filters.session or None,
        trace=q.trace_named(filters.trace),
        system=filters.system or None,
        log_group=filters.log_group or None,
        log_stream=filters.log_stream or None,
        since=q.when(f"{place}since", filters.since, now),
        until=q.when(f"{place}until", filters.until, now),
    )


HANDLERS: list[Any] = [post_search, get_similar]
