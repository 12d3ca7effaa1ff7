"""The replies, as JSON has them. Times are RFC 3339; the field order is the order on the wire."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from vectadb_server.highlights import Highlight
from vectadb_server.ingest import Status
from vectadb_server.model import Basis, Kind, Span, SpanStatus, Tokens, Trace
from vectadb_server.outlines import Columns
from vectadb_server.times import rfc3339
from vectadb_server.wire import encode_event

if TYPE_CHECKING:
    from vectadb_server.model import Event


class ErrorReply(msgspec.Struct):
    """Every error: ``error`` for programs, ``message`` for people; the server's log has more under ``request_id``."""

    error: str
    message: str
    request_id: str


class Accepted(msgspec.Struct):
    """What became of one event. ``trace_id`` may change while the log lines around the event arrive."""

    event_id: str
    trace_id: str | None
    created_at: str
    status: Literal["accepted", "duplicate", "expired"]


class EventFailure(msgspec.Struct, omit_defaults=True):
    """Why the event at ``index`` of the request was not taken.

    ``code``: ``invalid`` (mend it), ``partial_overlap`` (send the records at the positions ``unclaimed`` of its
    ``source.log_ids`` by themselves) or ``busy``. ``retryable``: sending it again may help.
    """

    index: int
    error: str
    code: str | None = None
    retryable: bool = False
    unclaimed: list[int] | None = None


class BatchReply(msgspec.Struct):
    """What became of a batch. ``statuses`` is parallel to the request; ``event_ids`` are those held, in its order."""

    ingested: int
    duplicates: int
    expired: int
    failed: int
    event_ids: list[str]
    trace_ids: list[str]
    errors: list[EventFailure]
    statuses: list[Status]
    ingested_count: int
    failed_count: int


class SourceReply(msgspec.Struct, omit_defaults=True):
    """Where an event was logged; ``log_ids``, ``timestamps`` and ``parts`` for a block of several records."""

    system: str = ""
    account: str = ""
    region: str = ""
    log_group: str = ""
    log_stream: str = ""
    log_id: str = ""
    timestamp: str | None = None
    ingestion_time: str | None = None
    part: str = "0"
    log_ids: list[str] = []
    timestamps: list[str] = []
    parts: list[str] = []
    read_at: str | None = None


class EventReply(msgspec.Struct):
    """An event. ``given_trace_id`` is the client's own trace id, where the trace has another."""

    event_id: str
    timestamp: str
    event_type: str
    trace_id: str | None
    trace_basis: Basis
    request_id: str | None
    session_id: str | None
    agent_id: str | None
    parent_event_id: str | None
    properties: dict[str, Any]
    raw: str | None
    source: SourceReply | None
    created_at: str
    given_trace_id: str | msgspec.UnsetType = msgspec.UNSET


class EventPage(msgspec.Struct):
    """Events, newest first. ``next_cursor`` fetches the next page; ``null``: this is the last."""

    events: list[EventReply]
    next_cursor: str | None


class SpanReply(msgspec.Struct):
    """An interval in a trace. A tool's ``input`` and ``output`` are JSON where they parse as such."""

    span_id: str
    parent_span_id: str | None
    kind: Kind
    name: str
    start: str
    end: str | None
    duration_ms: float | None
    status: SpanStatus
    input: Any
    output: Any
    error: str | None
    model: str | None
    tokens: Tokens
    cost_usd: float | None
    event_ids: list[str]


class TraceReply(msgspec.Struct):
    """Summary of a trace. ``errors``, ``events``, ``spans``… are counts; ``tools``, ``models``: those called.

    ``agents``, ``sessions``: those of its events in the order of their first ones, of which ``agent_id`` and
    ``session_id`` are the first. ``event_types``, ``log_groups``: those of its events. At most 100 of each.
    """

    trace_id: str
    trace_basis: Basis
    name: str
    start: str
    end: str
    duration_ms: float
    status: SpanStatus
    agent_id: str | None
    session_id: str | None
    request_id: str | None
    events: int
    spans: int
    tool_calls: int
    llm_calls: int
    errors: int
    tokens: Tokens
    cost_usd: float | None
    input: str | None
    output: str | None
    first_error: str | None
    tools: list[str]
    models: list[str]
    agents: list[str]
    sessions: list[str]
    event_types: list[str]
    log_groups: list[str]


class TracePage(msgspec.Struct):
    """Summaries, newest start first."""

    traces: list[TraceReply]
    next_cursor: str | None


class OutlineReply(msgspec.Struct):
    """A trace's summary, and all its spans as columns, without what they were given and returned."""

    trace: TraceReply
    spans: Columns


class WholeTrace(msgspec.Struct):
    """One trace: its summary, its events by time, its spans in the order they begin."""

    trace: TraceReply
    events: list[EventReply]
    spans: list[SpanReply]


class Result(msgspec.Struct):
    """An event that answers the query; a larger score is a better one, comparable within one reply only.

    ``highlights`` show the pieces of the event in which the words stand, else the beginning of its text.
    """

    event: EventReply
    score: float
    highlights: list[Highlight]


class SearchReply(msgspec.Struct, omit_defaults=True):
    """The best answers, best first. ``notice``: in what way they are less than what was asked for."""

    results: list[Result]
    notice: str | None = None


class Latency(msgspec.Struct):
    """How long traces took, milliseconds; ``null`` where there were none."""

    p50: float | None
    p95: float | None
    max: float | None


class Share(msgspec.Struct):
    """What one tool, model or agent did: its calls, or the traces of an agent; ``errors``: those that failed."""

    name: str
    count: int
    errors: int
    tokens: Tokens
    cost_usd: float | None
    latency_ms: Latency


class Figures(msgspec.Struct):
    """Counts over a stretch of time; ``traces`` started in it, ``failed`` of them in vain; ``latency_ms`` is theirs.

    A quarter of an hour of a stream is no such trace; tokens, cost and ``models`` are of what was called in it, too.

    ``models``: what those traces called, the most called first, at most 100.
    """

    start: str
    events: int
    types: dict[str, int]
    errors: int
    traces: int
    failed: int
    tokens: Tokens
    latency_ms: Latency
    cost_usd: float | None
    models: list[Share]


class StatsReply(msgspec.Struct):
    """What happened from ``since`` to ``until``: in all, and for each stretch of ``bucket_seconds``.

    ``tools``, ``models``, ``agents``: of the traces that started then, by name, those of most calls first, at most 100.
    """

    since: str
    until: str
    bucket_seconds: float
    total: Figures
    buckets: list[Figures]
    tools: list[Share]
    models: list[Share]
    agents: list[Share]


class StartedReply(msgspec.Struct):
    """Traces that started from ``start`` on, for the length of a bucket; ``failed`` ended in an error."""

    start: str
    traces: int
    failed: int


class HistogramReply(msgspec.Struct):
    """The traces that a filter finds, by their start, and in all.

    They are counted from the newest on, for a few seconds: what is before ``complete_from`` may lack some.
    """

    since: str
    until: str
    bucket_seconds: float
    complete_from: str
    traces: int
    failed: int
    buckets: list[StartedReply]


class HourReply(msgspec.Struct):
    """The records of a log group, of one account and region, in one hour; ``digest``: 32 hexadecimal digits."""

    system: str
    account: str
    region: str
    log_group: str
    hour: str
    count: int
    digest: str


class DigestReply(msgspec.Struct):
    """Counts and digests of records. What is older than ``horizon`` is not kept; ``null``: everything is."""

    hours: list[HourReply]
    horizon: str | None


class RecordReply(msgspec.Struct):
    """A record that is held; ``timestamp`` is the record's own."""

    event_id: str
    log_stream: str
    log_id: str
    timestamp: str


class RecordsReply(msgspec.Struct):
    """A page of records."""

    records: list[RecordReply]
    next_cursor: str | None


class MissingReply(msgspec.Struct):
    """The ids of ``missing`` are not held, and would be taken; what is older than ``horizon`` would not."""

    missing: list[str]
    horizon: str | None


class Alive(msgspec.Struct):
    """The process answers."""

    status: Literal["ok"]
    version: str


class Engine(msgspec.Struct, omit_defaults=True):
    """How one engine is. ``pending`` and ``lag_seconds`` are the indexer's: steps to do, and age of the oldest."""

    status: Literal["ok", "unavailable"]
    error: str | None = None
    pending: int | None = None
    lag_seconds: float | None = None


class Engines(msgspec.Struct):
    """The engines by name."""

    record: Engine
    search: Engine
    indexer: Engine


class Warned(msgspec.Struct):
    """The part ``ratio`` of something is used up; ``message`` says what to do."""

    of: Literal["events", "day", "disk", "memory"]
    ratio: float
    message: str


class Ready(msgspec.Struct):
    """``ready``: all works. ``degraded``: events are taken and read, but search does not work or lags for good.

    ``unavailable`` (with status 503): the record does not work.
    """

    status: Literal["ready", "degraded", "unavailable"]
    version: str
    engines: Engines
    warnings: list[Warned]


def event_reply(event: Event) -> EventReply:
    """Return the event as replies carry it."""
    fields = encode_event(event)
    source = fields.pop("source")
    return EventReply(source=None if source is None else SourceReply(**source), **fields)


def span_reply(span: Span) -> SpanReply:
    """Return the span as replies carry it."""
    return SpanReply(
        span_id=span.span_id,
        parent_span_id=span.parent_span_id,
        kind=span.kind,
        name=span.name,
        start=rfc3339(span.start),
        end=None if span.end is None else rfc3339(span.end),
        duration_ms=None if span.end is None else (span.end - span.start) / 1000,
        status=span.status,
        input=span.input,
        output=span.output,
        error=span.error,
        model=span.model,
        tokens=span.tokens,
        cost_usd=span.cost_usd,
        event_ids=span.event_ids,
    )


def trace_reply(trace: Trace) -> TraceReply:
    """Return the summary as replies carry it."""
    return TraceReply(
        trace_id=trace.trace_id,
        trace_basis=trace.basis,
        name=trace.name,
        start=rfc3339(trace.start),
        end=rfc3339(trace.end),
        duration_ms=(trace.end - trace.start) / 1000,
        status=trace.status,
        agent_id=trace.agent_id,
        session_id=trace.session_id,
        request_id=trace.request_id,
        events=trace.events,
        spans=trace.spans,
        tool_calls=trace.tool_calls,
        llm_calls=trace.llm_calls,
        errors=trace.errors,
        tokens=trace.tokens,
        cost_usd=trace.cost_usd,
        input=trace.input,
        output=trace.output,
        first_error=trace.first_error,
        tools=[calls.name for calls in trace.calls if calls.kind == "tool"],
        models=[calls.name for calls in trace.calls if calls.kind == "llm"],
        agents=trace.agents,
        sessions=trace.sessions,
        event_types=trace.event_types,
        log_groups=trace.log_groups,
    )
