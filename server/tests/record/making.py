"""Events to test with, in the shape that the wire gives them."""

from __future__ import annotations

from typing import Any

from vectadb_server import ids
from vectadb_server.model import Event, Source
from vectadb_server.wire import Options

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR
#: 2026-01-02T00:00:00Z
MIDNIGHT = 1_767_312_000 * SECOND
OPTIONS = Options()


def record_id(log_id: str, part: str = "0", stream: str = "stream", group: str = "/group") -> str:
    return ids.uuid5(ids.EVENTS, ["cloudwatch", "1", "us-east-1", group, stream, log_id, part])


def block(
    *records: tuple[str, int],
    stream: str = "stream",
    group: str = "/group",
    part: str = "0",
    read_at: int = 0,
    **fields: Any,
) -> Event:
    """An event of a block: ``(log_id, microseconds)`` each."""
    (head, at), several = records[0], len(records) > 1
    source = Source(
        system="cloudwatch",
        account="1",
        region="us-east-1",
        log_group=group,
        log_stream=stream,
        log_id=head,
        timestamp=at,
        part=part,
        log_ids=[log_id for log_id, _ in records] if several else [],
        timestamps=[us for _, us in records] if several else [],
        parts=[part.partition(".")[0], *["0"] * (len(records) - 1)] if several else [],
        read_at=read_at,
    )
    event_id = record_id(head, part, stream, group)
    others = [record_id(log_id, "0", stream, group) for log_id, _ in records[1:]]
    fields.setdefault("raw", "\n".join(log_id for log_id, _ in records))
    fields.setdefault("timestamp", at)
    return Event(event_id=event_id, source=source, record_ids=[] if "." in part else [event_id, *others], **fields)


def line(log_id: str, at: int, **fields: Any) -> Event:
    return block((log_id, at), **fields)


def posted(event_id: str, at: int, **fields: Any) -> Event:
    """An event whose id the client made up, without a source."""
    return Event(event_id=event_id, timestamp=at, record_ids=[event_id], **fields)
