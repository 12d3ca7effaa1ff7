"""What OpenAPI says beyond the signatures: bodies that the routes read raw, error replies, examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from litestar.enums import MediaType
from litestar.openapi import ResponseSpec
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import (
    Components,
    Example,
    OpenAPIFormat,
    OpenAPIMediaType,
    OpenAPIType,
    Operation,
    Reference,
    RequestBody,
    Schema,
    SecurityScheme,
)
from litestar.router import Router

from vectadb_server import __version__
from vectadb_server.reports import MOST_READINGS
from vectadb_server.routes.errors import not_found
from vectadb_server.routes.replies import ErrorReply
from vectadb_server.signins import COOKIE

if TYPE_CHECKING:
    from collections.abc import Mapping

EVENT: dict[str, Any] = {
    "timestamp": "2026-01-31T12:00:00.000Z",
    "event_type": "tool_call",
    "session_id": "s-17",
    "agent_id": "research-bot",
    "properties": {
        "gen_ai.tool.name": "search_web",
        "gen_ai.tool.call.id": "call_1",
        "gen_ai.tool.call.arguments": {"query": "weather in Kyiv"},
    },
    "raw": "Invoking: `search_web` with `{'query': 'weather in Kyiv'}`",
    "source": {
        "system": "cloudwatch",
        "account": "123456789012",
        "region": "eu-central-1",
        "log_group": "/aws/lambda/research-bot",
        "log_stream": "2026/01/31/[$LATEST]0123456789abcdef",
        "log_id": "38420000000000000000000000000000000000000000000000000000",
        "timestamp": "2026-01-31T12:00:00.000Z",
    },
}
# A place in a list: what a page's `next_cursor` looks like.
CURSOR = "WzE3Njk4NjA4MDAwMDAwMDAsIjBjOGMxYjNlLTNmMGEtNWY3ZS04ZDUzLTBkNmYzYzBmNGExMSJd"
BATCH: dict[str, Any] = {"events": [EVENT], "options": {"generate_embeddings": True}}
SEARCH: dict[str, Any] = {
    "query": "weather forecast",
    "mode": "hybrid",
    "filters": {"type": "tool_call", "since": "-7d"},
    "limit": 10,
}
RECORDS: dict[str, Any] = {
    "records": [{"event_id": "0c8c1b3e-3f0a-5f7e-8d53-0d6f3c0f4a11", "timestamp": "2026-01-31T12:00:00.000Z"}]
}
REPORT: dict[str, Any] = {
    "agent": "host-1:/var/lib/vectadb-agent",
    "version": "0.1.0",
    "reasons": [],
    "readings": [
        {
            "pipeline": "prod",
            "partition": "/aws/lambda/research-bot",
            "read_through": "2026-01-31T12:00:00.000Z",
            "complete_through": {"300": "2026-01-31T11:54:00.000Z"},
        }
    ],
}
KEY: dict[str, Any] = {"key": "vdb_0123456789ab_0123456789abcdefghijABCDEFGHIJ01"}
NEW_KEY: dict[str, Any] = {"name": "the agent in eu-central-1", "scopes": ["ingest"], "expires": "90d"}
EVENT_FOUND: dict[str, Any] = {
    "event_id": "0c8c1b3e-3f0a-5f7e-8d53-0d6f3c0f4a11",
    **{name: EVENT[name] for name in ("timestamp", "event_type")},
    "trace_id": "5b0f7c9e-7d0c-5a51-9b1a-6b1f0a1d2c3e",
    "trace_basis": "session_id",
    "request_id": "3f1c2d4e-5a6b-4c7d-8e9f-0a1b2c3d4e5f",
    **{name: EVENT[name] for name in ("session_id", "agent_id")},
    "parent_event_id": "9b1deb4d-3b7d-5bad-9bdd-2b0d7b3dcb6d",
    **{name: EVENT[name] for name in ("properties", "raw", "source")},
    "created_at": "2026-01-31T12:00:01.250000Z",
}

_TEXT, _OBJECT = OpenAPIType.STRING, OpenAPIType.OBJECT
_TIME = Schema(type=_TEXT, format=OpenAPIFormat.DATE_TIME)


def _name(text: str) -> Schema:
    return Schema(type=_TEXT, description=text)


_SOURCE = Schema(
    type=_OBJECT,
    description="Where the event was logged. With log_id, it makes the event's id.",
    properties={
        **{name: Schema(type=_TEXT) for name in ("system", "account", "region", "log_group", "log_stream", "part")},
        "log_id": _name("The id that the log system gave the record; of a block's first."),
        "timestamp": _TIME,
        "ingestion_time": _TIME,
        "log_ids": Schema(
            type=OpenAPIType.ARRAY, items=Schema(type=_TEXT), description="Of a block: its records, log_id first."
        ),
        "timestamps": Schema(
            type=OpenAPIType.ARRAY,
            items=_TIME,
            description="Of a block: its records' times, parallel to log_ids; omitted: that of the first.",
        ),
        "parts": Schema(type=OpenAPIType.ARRAY, items=Schema(type=_TEXT), description="Of a block: pieces of records."),
        "read_at": Schema(
            type=_TEXT,
            format=OpenAPIFormat.DATE_TIME,
            description="When the log was read again and this seen: it replaces what an earlier reading, or the first "
            "one (omitted), made of the same records. Blocks that replace one together belong in one batch.",
        ),
    },
)
_EVENT = Schema(
    type=_OBJECT,
    required=["timestamp"],
    description="One event. Unknown keys are kept among its properties.",
    properties={
        "timestamp": _TIME,
        "event_type": _name("Of the vocabulary (tool_call, llm_end, error…), or free text; log if omitted."),
        "properties": Schema(type=_OBJECT, additional_properties=True),
        "raw": _name("The verbatim text."),
        "event_id": Schema(type=_TEXT, format=OpenAPIFormat.UUID, description="Omitted: made from source, or new."),
        "trace_id": _name("Trace, in the client's words."),
        "request_id": _name("Request: Lambda's, for example."),
        "session_id": _name("Conversation."),
        "agent_id": _name("Agent."),
        "parent_event_id": _name("The event that caused this one."),
        "source": _SOURCE,
    },
    additional_properties=True,
)
_FLAG = Schema(type=OpenAPIType.BOOLEAN, default=True)
_BATCH = Schema(
    type=_OBJECT,
    required=["events"],
    properties={
        "events": Schema(type=OpenAPIType.ARRAY, items=_EVENT),
        "options": Schema(
            type=_OBJECT,
            properties={
                "auto_create_traces": _FLAG,
                "generate_embeddings": _FLAG,
                "extract_relationships": _FLAG,
            },
        ),
    },
)
_RECORDS = Schema(
    type=_OBJECT,
    required=["records"],
    additional_properties=False,
    properties={
        "records": Schema(
            type=OpenAPIType.ARRAY,
            max_items=10_000,
            items=Schema(
                type=_OBJECT,
                required=["event_id", "timestamp"],
                additional_properties=False,
                properties={"event_id": Schema(type=_TEXT, format=OpenAPIFormat.UUID), "timestamp": _TIME},
            ),
        )
    },
)
_RATE = Schema(type=OpenAPIType.NUMBER, minimum=0.001, maximum=1_000_000)
_NEW_KEY = Schema(
    type=_OBJECT,
    required=["name", "scopes"],
    additional_properties=False,
    properties={
        "name": Schema(type=_TEXT, min_length=1, max_length=100, description="For people."),
        "scopes": Schema(
            type=OpenAPIType.ARRAY, min_items=1, max_items=3, items=Schema(type=_TEXT, enum=["ingest", "read", "admin"])
        ),
        "expires": _name("RFC 3339, a date, or how long it holds: 12h, 30d, 4w; omitted: for ever."),
        "max_requests_per_second": _RATE,
        "max_events_per_second": _RATE,
    },
)
_KEY = Schema(
    type=_OBJECT,
    required=["key"],
    additional_properties=False,
    properties={"key": Schema(type=_TEXT, min_length=1, max_length=512, description="An API key.")},
)
_REPORT = Schema(
    type=_OBJECT,
    required=["agent", "version"],
    properties={
        "agent": _name("Tells agents apart."),
        "version": Schema(type=_TEXT),
        "reasons": Schema(type=OpenAPIType.ARRAY, items=Schema(type=_TEXT), description="Why it is not well."),
        "readings": Schema(
            type=OpenAPIType.ARRAY,
            max_items=MOST_READINGS,
            items=Schema(
                type=_OBJECT,
                required=["pipeline", "partition"],
                properties={
                    "pipeline": Schema(type=_TEXT),
                    "partition": _name("What is read: a log group."),
                    "read_through": Schema(one_of=[_TIME, Schema(type=OpenAPIType.NULL)]),
                    "complete_through": Schema(
                        type=_OBJECT,
                        additional_properties=_TIME,
                        description="By the age in seconds at which it was read again: nothing is missing before.",
                    ),
                },
            ),
        ),
    },
)
_FILTERS: dict[str, Reference | Schema] = {
    name: Schema(type=_TEXT)
    for name in ("trace", "session", "agent", "system", "log_group", "log_stream", "since", "until")
}
_FILTERS["type"] = Schema(one_of=[Schema(type=_TEXT), Schema(type=OpenAPIType.ARRAY, items=Schema(type=_TEXT))])
_SEARCH = Schema(
    type=_OBJECT,
    description="Either a query, or the id of an event that others are to be like.",
    one_of=[Schema(required=["query"]), Schema(required=["like"])],
    additional_properties=False,
    properties={
        "query": Schema(type=_TEXT, min_length=1, max_length=10_000),
        "like": Schema(type=_TEXT, format=OpenAPIFormat.UUID),
        "mode": Schema(type=_TEXT, enum=["hybrid", "semantic", "text"], default="hybrid"),
        "filters": Schema(type=_OBJECT, properties=_FILTERS, additional_properties=False),
        "limit": Schema(type=OpenAPIType.INTEGER, minimum=1, maximum=1000, default=20),
    },
)


def _takes(schema: Schema, example: Mapping[str, Any]) -> type[Operation]:
    body = RequestBody(
        required=True,
        content={"application/json": OpenAPIMediaType(schema=schema, examples={"one": Example(value=dict(example))})},
    )

    @dataclass
    class WithBody(Operation):
        def __post_init__(self) -> None:
            self.request_body = body

    return WithBody


TakesEvent = _takes(_EVENT, EVENT)
TakesBatch = _takes(_BATCH, BATCH)
TakesRecords = _takes(_RECORDS, RECORDS)
TakesSearch = _takes(_SEARCH, SEARCH)
TakesReport = _takes(_REPORT, REPORT)
TakesKey = _takes(_KEY, KEY)
TakesNewKey = _takes(_NEW_KEY, NEW_KEY)

_WHEN = {
    400: "The request is not what the route takes",
    401: "There are API keys, and the request carries none that holds",
    403: "The key lacks the scope that this needs, or a page of another site asks",
    404: "There is no such thing",
    408: "The body did not arrive in time",
    409: "It is being done already",
    413: "The body is too large, or holds too many events",
    415: "The body is not JSON, or compressed in another way than gzip",
    422: "The body is JSON, but not of the right shape",
    429: "The key has done as much as it may for now; Retry-After says when to come back",
    503: "Overloaded, or an engine is away; Retry-After says when to come back",
}


def replies(
    kind: Any,
    what: str,
    example: Any = None,
    *,
    errors: tuple[int, ...] = (400,),
    status: int = 200,
    public: bool = False,
) -> dict[int, ResponseSpec]:
    """Describe what a route answers: ``status`` with ``kind``, and the errors that its clients should expect."""
    examples = None if example is None else [Example(summary=what, value=example)]
    specs = {status: ResponseSpec(kind, generate_examples=False, description=what, examples=examples)}
    for error in (*errors, *(() if public else (401, 429)), 403, 503):
        specs[error] = ResponseSpec(ErrorReply, generate_examples=False, description=_WHEN[error])
    return specs


def listed(kind: Any, what: str, example: Any = None) -> dict[int, ResponseSpec]:
    """Describe what a list answers: as :func:`replies`; as NDJSON one item of ``kind`` a line."""
    return replies(kind, f"{what}; as `application/x-ndjson` all items, one a line", example)


def openapi() -> OpenAPIConfig:
    """Return what describes the API, served as JSON; nothing is loaded from elsewhere to show it."""
    return OpenAPIConfig(
        title="VectaDB",
        version=__version__,
        description="Takes agent events, groups them into traces, keeps and finds them.",
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(type="http", scheme="bearer", description="An API key."),
                "header": SecurityScheme(
                    type="apiKey", name="X-API-Key", security_scheme_in="header", description="An API key."
                ),
                "cookie": SecurityScheme(
                    type="apiKey", name=COOKIE, security_scheme_in="cookie", description="Of a sign-in with a key."
                ),
            }
        ),
        # One of them; none while there is no key.
        security=[{"bearer": []}, {"header": []}, {"cookie": []}, {}],
        render_plugins=[JsonRenderPlugin(media_type=MediaType.JSON)],
        openapi_router=Router(
            "/schema", route_handlers=[], include_in_schema=False, opt={"scope": "public"}, after_request=not_found
        ),
    )
