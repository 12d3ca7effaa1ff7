"""Outlines of traces: all spans without what they were given and returned, as columns; those of large traces are kept.

To build the spans of a trace all its events are read, which takes seconds for tens of thousands. The indexer does so
anyway; what it built last is kept here, and handed out for as long as the summary that stands in the record is its own.
"""

from __future__ import annotations

import zlib
from collections import OrderedDict
from typing import TYPE_CHECKING

import msgspec

from vectadb_server.model import Kind, SpanStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_server.model import Span, Trace

#: Of fewer spans an outline is built as quickly as it is looked up.
LARGE = 1_000
#: Kept at most, all together, compressed; a span takes some 40 bytes.
MOST_BYTES = 16_000_000


class Columns(msgspec.Struct):
    """Spans in the order they begin, one a place in each list.

    ``parents`` are places; ``names`` are places in ``distinct_names``; ``starts_us`` count from the trace's start;
    ``more_event_ids``: of its events those beside the first, whose id is the span's.
    """

    span_ids: list[str]
    parents: list[int | None]
    kinds: list[Kind]
    distinct_names: list[str]
    names: list[int]
    starts_us: list[int]
    durations_us: list[int | None]
    statuses: list[SpanStatus]
    input_tokens: list[int | None]
    output_tokens: list[int | None]
    costs_usd: list[float | None]
    more_event_ids: list[list[str]]


def columns(trace: Trace, spans: Sequence[Span]) -> Columns:
    """Return the spans as columns."""
    places = {span.span_id: place for place, span in enumerate(spans)}
    names: dict[str, int] = {}
    return Columns(
        span_ids=[span.span_id for span in spans],
        parents=[None if span.parent_span_id is None else places.get(span.parent_span_id) for span in spans],
        kinds=[span.kind for span in spans],
        names=[names.setdefault(span.name, len(names)) for span in spans],
        distinct_names=list(names),
        starts_us=[span.start - trace.start for span in spans],
        durations_us=[None if span.end is None else span.end - span.start for span in spans],
        statuses=[span.status for span in spans],
        input_tokens=[span.tokens.input for span in spans],
        output_tokens=[span.tokens.output for span in spans],
        costs_usd=[span.cost_usd for span in spans],
        more_event_ids=[[id_ for id_ in span.event_ids if id_ != span.span_id] for span in spans],
    )


class Outlines:
    """Those of large traces that were built last, by trace, as compressed JSON."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._held: OrderedDict[str, tuple[Trace, bytes]] = OrderedDict()
        self._bytes = 0

    def keep(self, trace: Trace, spans: Sequence[Span]) -> None:
        """Keep what was built of the trace, in the place of what was before; nothing of a small one."""
        self.forget(trace.trace_id)
        if len(spans) < LARGE:
            return
        packed = zlib.compress(msgspec.json.encode(columns(trace, spans)), 1)
        self._held[trace.trace_id] = (trace, packed)
        self._bytes += len(packed)
        while self._bytes > self._most:
            self.forget(next(iter(self._held)))

    def of(self, trace: Trace) -> msgspec.Raw | None:
        """Return the outline that goes with this summary, encoded; ``None``: it is to be built."""
        held = self._held.get(trace.trace_id)
        if held is None or held[0] != trace:
            return None
        self._held.move_to_end(trace.trace_id)
        return msgspec.Raw(zlib.decompress(held[1]))

    def forget(self, trace_id: str) -> None:
        """Drop what is kept of the trace."""
        held = self._held.pop(trace_id, None)
        if held is not None:
            self._bytes -= len(held[1])
