"""The server's data, free of HTTP and of any engine. All times are integer microseconds since the epoch, UTC."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Basis = Literal["trace_id", "request_id", "session_id", "invocation", "run", "time_window", "event", "none"]
"""Why an event belongs to its trace, strongest first.

``invocation`` and ``run`` are windows in the log stream (Lambda's START…END, an agent run); ``time_window`` is a
quarter of an hour of one agent or stream; ``none``: it has no trace.
"""

Kind = Literal["invocation", "agent", "chain", "llm", "tool", "retrieval"]
SpanStatus = Literal["ok", "error", "running", "interrupted"]

# Structs of which an ingest makes thousands at once say `gc=False`: they are trees, and the collector, looking for
# rings among them, took a fifth of the time.


class Source(msgspec.Struct, kw_only=True, omit_defaults=True, gc=False):
    """Where an event was logged, as on the wire, times in microseconds.

    ``log_ids``, ``timestamps`` and ``parts`` describe the records of a block of several, head first; they are empty for
    a block of one. Without ``timestamps`` every record is taken to be of the head's time. ``read_at``: when the reading
    of the log began that the event is of; 0 for the first one.
    """

    system: str = ""
    account: str = ""
    region: str = ""
    log_group: str = ""
    log_stream: str = ""
    log_id: str = ""
    timestamp: int | None = None
    ingestion_time: int | None = None
    part: str = "0"
    log_ids: list[str] = []
    timestamps: list[int] = []
    parts: list[str] = []
    read_at: int = 0

    def stream_key(self) -> str:
        """One text that names the stream among all streams."""
        return "\x1f".join((self.system, self.account, self.region, self.log_group, self.log_stream))


class Event(msgspec.Struct, kw_only=True, gc=False):
    """One event, validated and cleaned.

    ``record_ids``: ids of the rows of the block's records, head first: the head's is ``event_id`` itself. It is empty
    for a block's further event, whose part has a dot, e.g. ``0.1``.
    """

    event_id: str
    timestamp: int
    event_type: str = "log"
    properties: dict[str, Any] = {}
    raw: str | None = None
    trace_id: str | None = None
    request_id: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    parent_event_id: str | None = None
    source: Source | None = None
    record_ids: list[str] = []
    trace: str | None = None
    basis: Basis = "none"
    created_at: int = 0

    @property
    def recorded(self) -> int:
        """The record's time where the source tells it, else the event's own, microseconds: ``order[0]``."""
        source = self.source
        return self.timestamp if source is None or source.timestamp is None else source.timestamp

    @property
    def order(self) -> tuple[int, int, str, str]:
        """Sort key within a stream: record time, ingestion time, log id, part (DESIGN, "Vocabulary")."""
        source = self.source
        if source is None:
            return (self.timestamp, 0, self.event_id, "0")
        return (self.recorded, source.ingestion_time or 0, _counted(source.log_id), _counted(source.part))


def _counted(text: str) -> str:
    """Make numbers sort by their value: log ids count up (moto's ``9`` and ``10``), and so do parts (``0.10``)."""
    if text.isdigit():  # nearly all, and asked ten times of each event
        return text.rjust(20, "0")
    if "." in text and text.replace(".", "").isdigit():
        return ".".join(number.rjust(20, "0") for number in text.split("."))
    return text


class Tokens(msgspec.Struct):
    """Token counts; ``None`` where the log does not say."""

    input: int | None = None
    output: int | None = None


class Span(msgspec.Struct, kw_only=True):
    """An interval in a trace, rebuilt from its events. See DESIGN, "Server API"."""

    span_id: str
    parent_span_id: str | None
    kind: Kind
    name: str
    start: int
    end: int | None
    status: SpanStatus
    input: Any = None
    output: Any = None
    error: str | None = None
    model: str | None = None
    tokens: Tokens
    cost_usd: float | None = None
    event_ids: list[str]


class Calls(msgspec.Struct, kw_only=True):
    """The calls of one tool or model in a trace. ``durations``: of those that ended, microseconds, ascending."""

    kind: Literal["tool", "llm"]
    name: str
    count: int = 0
    errors: int = 0
    tokens: Tokens
    cost_usd: float | None = None
    durations: list[int] = []


class Trace(msgspec.Struct, kw_only=True):
    """Summary of one trace, recomputed from its events whenever they change.

    ``agents`` and ``sessions``: whose events it has, in the order of the first of each; ``agent_id`` and ``session_id``
    are the first. ``calls``: of each tool, then of each model. ``event_types`` and ``log_groups``: those of its events,
    by name.
    """

    trace_id: str
    basis: Basis
    start: int
    end: int
    status: SpanStatus
    name: str = ""
    agent_id: str | None = None
    session_id: str | None = None
    request_id: str | None = None
    events: int = 0
    spans: int = 0
    tool_calls: int = 0
    llm_calls: int = 0
    errors: int = 0
    tokens: Tokens
    input: str | None = None
    output: str | None = None
    first_error: str | None = None
    cost_usd: float | None = None
    calls: list[Calls] = []
    agents: list[str] = []
    sessions: list[str] = []
    event_types: list[str] = []
    log_groups: list[str] = []
