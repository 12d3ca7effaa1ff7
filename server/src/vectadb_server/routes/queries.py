"""Query parameters: what the routes have in common, and the refusal of those that nobody knows."""

from __future__ import annotations

import base64
import binascii
import difflib
import re
import uuid
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args

import msgspec
from litestar.params import QueryParameter

from vectadb_server.attribution import given_trace
from vectadb_server.model import Basis, SpanStatus
from vectadb_server.routes.errors import Refusal
from vectadb_server.stores.base import Cursor, EventFilter, TraceFilter
from vectadb_server.times import parse_when, rfc3339

if TYPE_CHECKING:
    from litestar.connection import ASGIConnection
    from litestar.handlers import BaseRouteHandler

MAX_PAGE = 1_000
STATUSES = get_args(SpanStatus)
BEYOND_ANY_TIME = 2**62  # microseconds
_LENGTH = re.compile(r"(\d{1,9})(ms|s|m|h|d)", re.ASCII)
_UNITS = {"ms": 1_000, "s": 1_000_000, "m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_MOST_LISTED = 100
T = TypeVar("T", bound=str)

_TIME = "RFC 3339, a date (its midnight, UTC), `now`, or a time before now: `-90s`, `-15m`, `-2h`, `-7d`, `-4w`."

TraceId = Annotated[str | None, QueryParameter(name="trace", description="Trace id; also one that a client gave.")]
SessionId = Annotated[str | None, QueryParameter(name="session", description="Session id.")]
AgentId = Annotated[str | None, QueryParameter(name="agent", description="Agent id.")]
EventTypes = Annotated[
    list[str] | None, QueryParameter(name="type", description="Event types, e.g. `tool_call,tool_result`.")
]
Levels = Annotated[list[str] | None, QueryParameter(name="level", description="Log levels, e.g. `warning,error`.")]
Tool = Annotated[str | None, QueryParameter(name="tool", description="Name of a tool that is called.")]
Model = Annotated[str | None, QueryParameter(name="model", description="Name of a language model that is called.")]
RequestId = Annotated[str | None, QueryParameter(name="request_id", description="Id of the request, as printed.")]
Text = Annotated[
    str | None, QueryParameter(name="q", description="Text that occurs in it, in letters of either case; no pattern.")
]
Failed = Annotated[bool | None, QueryParameter(name="error", description="Whether it tells of a failure.")]
Statuses = Annotated[
    list[str] | None, QueryParameter(name="status", description=f"How the trace stands: {', '.join(STATUSES)}.")
]
ActiveSince = Annotated[
    str | None,
    QueryParameter(
        name="active_since",
        description="That were going on at this time or later, whenever they began; with `until`: in between.",
    ),
]
MinDuration = Annotated[
    str | None, QueryParameter(name="min_duration", description="That took so long or longer: `500ms`, `30s`, `2m`.")
]
OfBasis = Annotated[
    Basis | None,
    QueryParameter(name="basis", description="What makes it one. `time_window` is listed only if asked for."),
]
Fields = Annotated[
    str | None,
    QueryParameter(
        name="fields",
        description="Only these fields of each item: a comma list of names, dotted for what is inside others.",
    ),
]
Format = Annotated[
    str | None,
    QueryParameter(
        name="format",
        description="`ndjson` (or `Accept: application/x-ndjson`): everything, one item a line, streamed; `limit` is "
        "then optional. `json`: a page.",
    ),
]
LogGroup = Annotated[str | None, QueryParameter(name="log_group", description="Log group.")]
LogStream = Annotated[str | None, QueryParameter(name="log_stream", description="Log stream.")]
Since = Annotated[str | None, QueryParameter(name="since", description=f"This time or later. {_TIME}")]
Until = Annotated[str | None, QueryParameter(name="until", description=f"Earlier than this time. {_TIME}")]
Began = Annotated[
    str | None, QueryParameter(name="since", description=f"Traces that began at this time or later. {_TIME}")
]
BeganBefore = Annotated[
    str | None, QueryParameter(name="until", description=f"Traces that began earlier than this time. {_TIME}")
]
Limit = Annotated[int | None, QueryParameter(name="limit", ge=1, le=MAX_PAGE, description="Most items in the reply.")]
After = Annotated[
    str | None,
    QueryParameter(
        name="cursor",
        description="`next_cursor` of the page before. What arrives meanwhile neither repeats nor hides anything; but "
        "a trace or session whose start a late event moves back may come once more. A page may be short, even empty, "
        "and have a `next_cursor`: looking any longer would have taken too long.",
    ),
]

_cursor = msgspec.json.Decoder(Cursor)


async def only_known(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """Refuse parameters that a route of the API does not have: a misspelt filter would find too much.

    A coroutine, though it waits for nothing: litestar runs other guards in a thread, for every request.

    Raises:
        Refusal: 400, naming those that it has.
    """
    if not connection.scope["query_string"] or not connection.scope["path"].startswith("/api/"):
        return
    fields = handler.parsed_fn_signature.parameters.values()
    asked = [field.kwarg_definition for field in fields if isinstance(field.kwarg_definition, QueryParameter)]
    known = [parameter.name for parameter in asked if parameter.name]
    several = {
        field.kwarg_definition.name
        for field in fields
        if isinstance(field.kwarg_definition, QueryParameter) and field.is_non_string_sequence
    }
    counts: dict[str, int] = {}
    for name, _ in connection.query_params.multi_items():
        counts[name] = counts.get(name, 0) + 1
    for name, count in counts.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            has = f"this route has {', '.join(known)}" if known else "this route has none"
            raise Refusal(400, f"unknown query parameter {name!r}; {has}.{meant}", code="invalid_query")
        if count > 1 and name not in several:
            raise Refusal(400, f"query parameter {name!r} is given {count} times; expected once", code="invalid_query")


def listed(name: str, values: list[str] | None) -> tuple[str, ...]:
    """Return the items of a parameter that may be repeated, or be a comma list; one without a comma is taken as it is.

    Raises:
        Refusal: 400, they are too many.
    """
    found = tuple(dict.fromkeys(item for value in values or () for item in _items(value)))
    if len(found) > _MOST_LISTED:
        text = f"{name}: found {len(found)} items; expected at most {_MOST_LISTED}"
        raise Refusal(400, text, code="invalid_query")
    return found


def _items(value: str) -> list[str]:
    if "," not in value:
        return [value] if value else []  # Types may be blank: clients may call them what they like.
    return [item for part in value.split(",") if (item := part.strip())]


def among(name: str, values: list[str] | None, known: tuple[T, ...]) -> tuple[T, ...]:
    """Return the items of a parameter as :func:`listed` does, where only these are possible.

    Raises:
        Refusal: 400, one is not among them.
    """
    found = tuple(item.strip() for item in listed(name, values))
    for item in found:
        if item not in known:
            text = f"{name}: found {item!r}; expected some of {', '.join(map(str, known))}"
            raise Refusal(400, text, code="invalid_query")
    return tuple(each for each in known if each in found)


def length(name: str, text: str) -> int:
    """Read a length of time; microseconds.

    Raises:
        Refusal: 400, it is none.
    """
    found = _LENGTH.fullmatch(text.strip())
    if found is None:
        raise Refusal(400, f"{name}: found {text!r}; expected a length like 500ms, 30s, 2m, 1h", code="invalid_query")
    return int(found[1]) * _UNITS[found[2]]


def when(name: str, text: str | None, now: int, default: int | None = None) -> int | None:
    """Read a time; microseconds.

    Raises:
        Refusal: 400, it is none.
    """
    if text is None or not text.strip():
        return default
    try:
        # In a query an unescaped + has become a space: 2026-01-01T00:00:00+02:00.
        return parse_when(text if "T" not in text else text.replace(" ", "+"), now)
    except ValueError as error:
        raise Refusal(400, f"{name}: found {text!r}: {error}", code="invalid_query") from None


def span_of_time(since: str | None, until: str | None, now: int, *, back: int) -> tuple[int, int]:
    """Read a stretch of time, by default the last ``back`` microseconds.

    Raises:
        Refusal: 400, one is no time, or the stretch is empty.
    """
    end = when("until", until, now, now)
    assert end is not None
    start = when("since", since, now, max(0, end - back))
    assert start is not None
    if start >= end:
        text = f"since ({since or rfc3339(start)}) is not before until ({until or 'now'})"
        raise Refusal(400, text, code="invalid_query")
    return start, end


SLASH = "\x1f"
"""Stands in a path for a slash within an id. No id holds the character itself (:func:`~.escapes.held_name`)."""


def in_path(text: str) -> str:
    """Return an id that stood in the path."""
    return text.replace(SLASH, "/")


def trace_named(text: str | None) -> str | None:
    """Return the id of the trace: for a client's own id, the one made of it."""
    return given_trace(text) if text else None


def event_named(text: str) -> str:
    """Return an event's id, normalised.

    Raises:
        Refusal: 404, it is no id, so that no event has it.
    """
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise Refusal(404, f"no event {text!r}: an event's id is a UUID") from None


def event_filter(
    now: int,
    *,
    trace: str | None,
    session: str | None,
    agent: str | None,
    types: list[str] | None,
    log_group: str | None,
    log_stream: str | None,
    since: str | None,
    until: str | None,
    request_id: str | None,
    levels: list[str] | None,
    error: bool | None,
    tool: str | None,
    model: str | None,
    text: str | None,
) -> EventFilter:
    """Return what the parameters of lists of events say; an empty one is not given.

    Raises:
        Refusal: 400, a time is none.
    """
    return EventFilter(
        trace=trace_named(trace),
        session_id=session or None,
        agent_id=agent or None,
        event_types=listed("type", types),
        log_group=log_group or None,
        log_stream=log_stream or None,
        since=when("since", since, now),
        until=when("until", until, now),
        request_id=request_id or None,
        levels=tuple(name.strip().upper() for name in listed("level", levels)),
        failed=error,
        tool=tool or None,
        model=model or None,
        text=text or None,
    )


def trace_filter(
    now: int,
    *,
    statuses: list[str] | None,
    agent: str | None,
    session: str | None,
    basis: Basis | None,
    since: str | None,
    until: str | None,
    active_since: str | None,
    request_id: str | None,
    tool: str | None,
    model: str | None,
    min_duration: str | None,
    error: bool | None,
    types: list[str] | None,
    log_group: str | None,
    text: str | None,
) -> TraceFilter:
    """Return what the parameters of lists of traces say; an empty one is not given.

    Raises:
        Refusal: 400, a time, length or status is none.
    """
    return TraceFilter(
        statuses=among("status", statuses, STATUSES),
        agent_id=agent or None,
        session_id=session or None,
        basis=basis,
        since=when("since", since, now),
        until=when("until", until, now),
        active_since=when("active_since", active_since, now),
        request_id=request_id or None,
        tool=tool or None,
        model=model or None,
        min_duration=length("min_duration", min_duration) if min_duration else None,
        failed=error,
        event_types=listed("type", types),
        log_group=log_group or None,
        text=text or None,
    )


def read_cursor(text: str | None) -> Cursor | None:
    """Read what :func:`write_cursor` wrote.

    Raises:
        Refusal: 400, it is something else.
    """
    if not text:
        return None
    try:
        found = _cursor.decode(base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True))
        # A forged one must not reach the engines, which hold 64 bits, and ids that are UUIDs.
        if abs(found.us) < BEYOND_ANY_TIME and found.id == str(uuid.UUID(found.id)):
            return found
    except (binascii.Error, ValueError):
        pass
    message = f"cursor: found {text[:200]!r}; expected the next_cursor of a page, as it was"
    raise Refusal(400, message, code="invalid_query")


def write_cursor(us: int, id_: str) -> str:
    """Return the opaque text that stands for the place after ``(us, id_)``."""
    return base64.urlsafe_b64encode(msgspec.json.encode(Cursor(us, id_))).decode().rstrip("=")
