"""Events as rows and back.

What is looked for is a column; the rest of an event is one JSON text, which costs half of what columns cost, and which
takes what a column would not (nesting, NUL).
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from vectadb_server.attribution import Boundary
from vectadb_server.blocks import Key, Row, Version
from vectadb_server.model import Basis, Event, Source, Trace
from vectadb_server.stores.engine import identity, key_of, record
from vectadb_server.stores.minutes import Kind, kind_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HOUR = 3_600_000_000
DAY = 24 * HOUR
#: Below every time there is: rows without a time sort before this.
LEAST = -(2**62)


class _Body(msgspec.Struct, omit_defaults=True):
    properties: dict[str, Any] = {}
    raw: str | None = None
    trace_id: str | None = None
    request_id: str | None = None
    parent_event_id: str | None = None
    source: Source | None = None
    created_at: int = 0


class StoredEvent(msgspec.Struct):
    """An event with what only the server knows of it. ``search`` and ``relate``: its place in index and graph."""

    key: Key
    event: Event
    search: bool = True
    relate: bool = True


class HeldRow(msgspec.Struct, frozen=True):
    """A row as it was read: what the block rule asks for, its trace and, of a boundary, that one's row key.

    ``kind``: what an event counts as.
    """

    row: Row
    trace: str | None = None
    mark: tuple[Any, ...] | None = None
    kind: Kind | None = None


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(_Body).decode
_decode_trace = msgspec.json.Decoder(Trace).decode


def day_of(us: int) -> str:
    """UTC day of a time, ``YYYY-MM-DD``."""
    return _day(us // DAY)


@lru_cache(4096)
def _day(number: int) -> str:
    return f"{datetime.fromtimestamp(number * 86_400, UTC):%Y-%m-%d}"


def start_of(day: str) -> int:
    """Undo :func:`day_of`: the day's first microsecond."""
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1_000_000


def packed(key: Key) -> str:
    """One text of a key: the day's ten characters, then the id."""
    return key[0] + key[1]


def unpacked(text: str) -> Key:
    """Undo :func:`packed`."""
    return text[:10], text[10:]


def event_row(event: Event, row: Row, *, search: bool, relate: bool) -> dict[str, Any]:
    """Return the row of an event. Columns whose value is the common one are left out; none is ``None``."""
    source = event.source
    made: dict[str, Any] = {
        "id": identity(row.key[1]),
        "us": event.timestamp,
        "nus": -event.timestamp,
        "at": event.recorded,
        "basis": event.basis,
        "type": event.event_type,
        "size": row.size,
        "body": _encode(
            _Body(
                properties=event.properties,
                raw=event.raw,
                trace_id=event.trace_id,
                request_id=event.request_id,
                parent_event_id=event.parent_event_id,
                source=source,
                created_at=event.created_at,
            )
        ).decode(),
    }
    if event.trace is not None:
        made["trace"] = event.trace
    if event.agent_id is not None:
        made["agent"] = event.agent_id
    if event.session_id is not None:
        made["session"] = event.session_id
    if source is not None:
        made["grp"] = source.log_group
        made["stream"] = source.log_stream
    if len(row.records) > 1:
        made["records"] = [packed(key) for key in row.records]
    if row.head is not None:
        made["head"] = packed(row.head)
    if row.read_at:
        made["reading"] = row.read_at
    if not search:
        made["searchable"] = False
    if not relate:
        made["relatable"] = False
    return made


def stub_row(row: Row) -> dict[str, Any]:
    """Return the row of a record that is inside a block of another."""
    assert row.head is not None
    return {"id": identity(row.key[1]), "size": 0, "head": packed(row.head)}


def extras_row(head: str, versions: Mapping[str, Version]) -> dict[str, Any]:
    """Return the row that names a head's extras; of the first reading they have only a size."""
    made: dict[str, Any] = {
        "id": record("extra", UUID(head)),
        "sizes": {event_id: size for event_id, (_, size) in versions.items()},
    }
    readings = {event_id: read_at for event_id, (read_at, _) in versions.items() if read_at}
    if readings:
        made["readings"] = readings
    return made


def extras(found: Mapping[str, Any], day: str) -> dict[Key, Version]:
    """Undo :func:`extras_row`."""
    readings = found.get("readings") or {}
    return {(day, event_id): (readings.get(event_id, 0), size) for event_id, size in found["sizes"].items()}


def held_row(found: Mapping[str, Any], day: str) -> HeldRow:
    """Undo :func:`event_row` and :func:`stub_row` as far as the block rule asks; of ``HELD`` columns."""
    key = (day, str(key_of(found["id"])))
    head, records = found.get("head"), found.get("records")
    size: int = found["size"]
    if records:
        keys = tuple(unpacked(text) for text in records)
    else:
        keys = () if head else (key,)
    mark = found.get("mark")
    read_at = found.get("reading") or 0
    row = Row(key=key, records=keys, head=unpacked(head) if head else None, size=size, read_at=read_at)
    kind = kind_of(found["us"], found.get("agent"), found["type"]) if size else None
    return HeldRow(row, found.get("trace"), None if mark is None else tuple(mark), kind)


HELD = "id, size, head, records, trace, mark, reading, us, agent, type"
COLUMNS = "id, us, type, session, agent, trace, basis, body, size, head, records, searchable, relatable"
#: What :func:`whole` undoes: without the names of the columns in every row, reading takes two thirds of the time.
WHOLE = f"VALUE [{COLUMNS}]"


def whole(values: Sequence[Any], day: str) -> StoredEvent | None:
    """Undo :func:`event_row`, of ``WHOLE`` columns; ``None`` for a stub."""
    reference, us, event_type, session, agent, trace, basis, body, size, head, records, searchable, relatable = values
    if not size:
        return None
    event_id = str(key_of(reference))
    if records:
        record_ids = [unpacked(text)[1] for text in records]
    else:
        record_ids = [] if head else [event_id]
    rest = _decode(body)
    event = Event(
        event_id=event_id,
        timestamp=us,
        event_type=event_type,
        properties=rest.properties,
        raw=rest.raw,
        trace_id=rest.trace_id,
        request_id=rest.request_id,
        session_id=session,
        agent_id=agent,
        parent_event_id=rest.parent_event_id,
        source=rest.source,
        record_ids=record_ids,
        trace=trace,
        basis=basis,
        created_at=rest.created_at,
    )
    return StoredEvent((day, event_id), event, searchable is not False, relatable is not False)


def stub(values: Sequence[Any]) -> tuple[str, Key] | None:
    """Return of ``WHOLE`` columns a stub's id and its head; ``None`` for an event."""
    reference, *_, size, head, _, _, _ = values
    return None if size else (str(key_of(reference)), unpacked(head))


def boundary_row(boundary: Boundary, commit: str) -> dict[str, Any]:
    """Return the row of a boundary; its id is an array, so that a stream's boundaries are one range."""
    made = {"id": boundary_key(boundary), "start": boundary.start, "trace": boundary.trace, "commit": commit}
    if not boundary.ends:
        made["ends"] = False
    if boundary.name:
        made["name"] = boundary.name
    if boundary.request_id is not None:
        made["request"] = boundary.request_id
    return made


def boundary_key(boundary: Boundary) -> list[Any]:
    """Return what identifies the boundary's row."""
    return [boundary.stream_key, boundary.kind, *boundary.order, boundary.event_id]


def boundary(found: Mapping[str, Any]) -> Boundary:
    """Undo :func:`boundary_row`."""
    stream_key, kind, us, ingestion, log_id, part, event_id = key_of(found["id"])
    return Boundary(
        stream_key=stream_key,
        order=(us, ingestion, log_id, part),
        kind=kind,
        start=found["start"],
        event_id=event_id,
        trace=found["trace"],
        ends=found.get("ends", True),
        name=found.get("name") or "",
        request_id=found.get("request"),
        commit=found.get("commit") or "",
    )


def mark_of(boundary: Boundary) -> list[Any]:
    """Return what an event's row keeps of the boundary that the event is: enough to take it away again."""
    return [*boundary_key(boundary), boundary.start, boundary.trace, boundary.ends]


def marked(mark: Sequence[Any]) -> Boundary:
    """Undo :func:`mark_of`."""
    stream_key, kind, us, ingestion, log_id, part, event_id, start, trace_id, *more = mark
    return Boundary(
        stream_key=stream_key,
        order=(us, ingestion, log_id, part),
        kind=kind,
        start=start,
        event_id=event_id,
        trace=trace_id,
        ends=more[0] if more else True,  # Marks of the first versions do not say.
    )


def trace_row(trace: Trace, edges: Sequence[tuple[str, str, str]], arrived: int) -> dict[str, Any]:
    """Return the row of a summary; ``edges`` are those written for it; ``arrived``: when its first event did."""
    return {
        "id": trace.trace_id,
        "nstart": -trace.start,
        "status": trace.status,
        "agents": trace.agents,
        "sessions": trace.sessions,
        "basis": trace.basis,
        "arrived": arrived,
        "edges": [list(edge) for edge in edges],
        "body": _encode(trace).decode(),
    }


def trace(found: Mapping[str, Any]) -> Trace:
    """Undo :func:`trace_row`. Summaries of before version 3 told the first agent and session only."""
    made = _decode_trace(found["body"])
    made.agents = made.agents or [name for name in (made.agent_id,) if name]
    made.sessions = made.sessions or [name for name in (made.session_id,) if name]
    return made


def written_at(reference: Any) -> float:
    """When a row whose key is a UUIDv7 was written, seconds since the epoch."""
    return float(key_of(reference).int >> 80) / 1000


def event_ref(event_id: str) -> Any:
    """Return the reference to an event's row."""
    return record("event", identity(event_id))


def trace_ref(trace_id: str) -> Any:
    """Return the reference to a summary's row."""
    return record("trace", trace_id)


WEAK: tuple[Basis, ...] = ("invocation", "run", "time_window", "event")
"""Why an event is in its trace where boundaries may move it to another."""
