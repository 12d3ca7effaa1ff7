"""``POST /api/v1/search``: by meaning, by words, or both."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request, Response, post
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from vectadb_server import search
from vectadb_server.routes import docs
from vectadb_server.routes import queries as q
from vectadb_server.routes.bodies import read_json
from vectadb_server.routes.errors import Refusal
from vectadb_server.routes.replies import Result, SearchReply, event_reply
from vectadb_server.services import Services
from vectadb_server.stores.base import Mode, SearchFilter

_MOST_QUERY = 10_000


class Filters(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """As the parameters of ``GET /api/v1/events``."""

    trace: str | None = None
    session: str | None = None
    agent: str | None = None
    type: str | None = None
    log_group: str | None = None
    log_stream: str | None = None
    since: str | None = None
    until: str | None = None


class SearchRequest(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What to look for."""

    query: Annotated[str, msgspec.Meta(max_length=_MOST_QUERY)]
    mode: Mode = "hybrid"
    filters: Filters | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=q.MAX_PAGE)] = 20


_request = msgspec.json.Decoder(SearchRequest)
_fields = ", ".join(SearchRequest.__struct_fields__)
_filters = ", ".join(Filters.__struct_fields__)


@post(
    "/api/v1/search",
    status_code=200,
    operation_class=docs.TakesSearch,
    tags=["search"],
    responses=docs.replies(
        SearchReply,
        "The best events, best first",
        {"results": [{"event": docs.EVENT_FOUND, "score": 0.83}]},
        errors=(400, 408, 413, 415, 422),
    ),
)
async def post_search(
    request: Request[Any, Any, Any], services: NamedDependency[SkipValidation[Services]]
) -> Response[SearchReply]:
    """Find the events that answer a query: by meaning (`semantic`), by words (`text`), or by both (`hybrid`)."""
    asked = _decode(await read_json(request, services.settings))
    where = _where(asked.filters or Filters(), services.now())
    found = await search.search(
        services.index, services.record, asked.query, mode=asked.mode, where=where, limit=asked.limit
    )
    return Response(SearchReply([Result(event_reply(each.event), each.score) for each in found]))


def _decode(body: bytes) -> SearchRequest:
    try:
        asked = _request.decode(body)
    except msgspec.ValidationError as error:
        text = f"{error}; expected an object with {_fields}, and among filters {_filters}"
        raise Refusal(422, text) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f'not JSON: {error}; expected {{"query": "…"}}', code="bad_request") from None
    if not asked.query.strip():
        raise Refusal(422, "query: found no text; expected what to look for")
    return asked


def _where(filters: Filters, now: int) -> SearchFilter:
    return SearchFilter(
        event_type=filters.type or None,
        agent_id=filters.agent or None,
        session_id=filters.session or None,
        trace=q.trace_named(filters.trace),
        log_group=filters.log_group or None,
        log_stream=filters.log_stream or None,
        since=q.when("filters.since", filters.since, now),
        until=q.when("filters.until", filters.until, now),
    )


HANDLERS: list[Any] = [post_search]
