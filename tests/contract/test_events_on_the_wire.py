"""What the agent sends, the server reads: the same event, under the same ids."""

import msgspec
import pytest

from vectadb_agent.records import Block, Event, LogRecord, LogStream, id_maker
from vectadb_server.wire import decode_batch, encode_event

STREAM = LogStream("cloudwatch", "123456789012", "eu-central-1", "/aws/lambda/f", "2026/01/31/[$LATEST]é")
T0 = 1_767_225_600_000_001
event_id = id_maker(STREAM)


def block_of(*pieces):
    records = tuple(
        LogRecord(STREAM, log_id, T0 + i * 1_000_000, f"line {i}", T0 + 5) for i, (log_id, _) in enumerate(pieces)
    )
    return Block(records, tuple(record.message for record in records), tuple(part for _, part in pieces))


def sent(block, part="0", **fields):
    event = Event(timestamp=T0, event_id=event_id(block.head.log_id, part), part=part, block=block, **fields)
    decoded = decode_batch(msgspec.json.encode({"events": [event.wire()]}))
    assert decoded.errors == []
    return decoded.events[0]


@pytest.mark.parametrize(
    ("pieces", "part", "rows"),
    [
        ([("a", "0")], "0", [("a", "0")]),
        ([("a", "1")], "1", [("a", "1")]),
        ([("a", "0"), ("b", "0")], "0", [("a", "0"), ("b", "0")]),
        ([("a", "1"), ("b", "0"), ("c", "0")], "1", [("a", "1"), ("b", "0"), ("c", "0")]),
        ([("a", "0"), ("b", "0")], "0.1", []),
        ([("a", "1"), ("b", "0")], "1.2", []),
        ([("a", "0")], "0.1", []),
    ],
)
def test_a_block_keeps_its_records(pieces, part, rows):
    event = sent(block_of(*pieces), part)
    assert event.event_id == event_id("a", part)
    assert event.record_ids == [event_id(*row) for row in rows]
    assert event.order[:3] == (T0, T0 + 5, "a")
    assert event.source.part == part
    many = pieces if len(pieces) > 1 else []
    assert list(zip(event.source.log_ids, event.source.parts, strict=True)) == many
    assert event.source.timestamps == [T0 + i * 1_000_000 for i in range(len(many))]


def test_when_it_was_read_again_arrives():
    block = block_of(("a", "0"), ("b", "0"))
    assert sent(block).source.read_at == 0
    event = sent(block, read_at=T0 + 7)
    assert event.source.read_at == T0 + 7
    assert encode_event(event)["source"]["read_at"] == "2026-01-01T00:00:00.000008Z"
    assert "read_at" not in encode_event(sent(block))["source"]


def test_every_field_arrives():
    fields = {
        "event_type": "tool_call",
        "properties": {"gen_ai.tool.name": "search", "deep": [{"a": None}]},
        "trace_id": "t",
        "request_id": "r",
        "session_id": "s",
        "agent_id": "bot",
        "parent_event_id": "p",
        "raw": "a\x1ad800b\0",
    }
    event = sent(block_of(("a", "0")), **fields)
    assert {name: getattr(event, name) for name in fields} == fields
    assert encode_event(event)["timestamp"] == "2026-01-01T00:00:00.000001Z"
