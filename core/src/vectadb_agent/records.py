"""What flows through a pipeline: records, blocks made of them, events made of those.

All times are integer microseconds since the Unix epoch, UTC. Structs rather than dataclasses: at 25,000 records a
second the cost of making one is what counts.
"""

from __future__ import annotations

import functools
import hashlib
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: UUIDv5 namespace of every event id made from a record (``tests/contract/event_ids.json`` holds test vectors).
NAMESPACE = bytes.fromhex("6f1d2a5c8c0b5c57a3de5b0d64f6b1a4")


class LogStream(msgspec.Struct, frozen=True):
    """Where records come from: one stream of one log group. Absent parts are empty strings."""

    system: str
    account: str
    region: str
    log_group: str
    log_stream: str


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """One raw log line as the source delivered it: the unit of delivery and of counting.

    ``log_id`` is unique within the stream and never changes; ``timestamp`` is the record's own time and
    ``ingestion_time`` when the source received it; ``message`` is verbatim.
    """

    stream: LogStream
    log_id: str
    timestamp: int
    message: str
    ingestion_time: int | None = None


class Piece(msgspec.Struct, frozen=True, gc=False):
    """A stretch of a record's text, as :meth:`Parser.pieces` cuts it.

    ``kind`` says what it is to the joining:

    - ``whole``: a block by itself; a block that is open stays open;
    - ``start``: opens a block (and thereby closes the open one);
    - ``continue``: goes on with the open block;
    - ``other``: none of this parser's business; the other parsers are asked, and an open block stays open.

    ``closes``: the block ends with this piece. ``state`` is what the parser is handed when it is asked about the next
    record while the block is open (``True`` where it is left ``None``).
    """

    text: str
    kind: Literal["whole", "start", "continue", "other"]
    closes: bool = False
    state: Any = None


class Block(msgspec.Struct):
    """Consecutive records of one stream, or pieces of them, that belong together. A single line is a block of one.

    ``lines[i]`` is the text taken from ``records[i]``; ``parts[i]`` is the number, as text, of that piece within its
    record (``"0"`` unless the record was cut).
    """

    records: tuple[LogRecord, ...]
    lines: tuple[str, ...]
    parts: tuple[str, ...]

    @property
    def head(self) -> LogRecord:
        """The first record; the block's event takes its id."""
        return self.records[0]

    @property
    def stream(self) -> LogStream:
        """The stream that all records of the block come from."""
        return self.records[0].stream

    @property
    def timestamp(self) -> int:
        """Time of the first record, microseconds."""
        return self.records[0].timestamp

    @property
    def text(self) -> str:
        """The verbatim text: see :func:`join_lines`."""
        return self.lines[0] if len(self.lines) == 1 else join_lines(self.lines)


class Event(msgspec.Struct, kw_only=True):
    """What a parser made of a block. The fields below ``raw`` are filled in by the pipeline: parsers leave them alone.

    ``timestamp``: the application's own time where the text carries one, at most a day ahead of the head record's, else
    ``None``: the head record's.
    ``event_type``: a word of the vocabulary (``tool_call``, ``llm_end``, ``error``, ``log`` …); free text is kept.
    ``properties``: names follow the OpenTelemetry GenAI conventions where one exists (``gen_ai.tool.name`` …).
    ``trace_id``, ``request_id``, ``session_id``, ``agent_id``: as printed in the text.
    ``raw``: the block's text; a block's further events carry none.
    ``read_at``: when the block's records were read anew (microseconds; a sweep, a repair, a backfill), else ``None``.
    Of two readings the later one has seen more: where they cut blocks differently, it wins.
    """

    event_type: str = "log"
    timestamp: int | None = None
    properties: dict[str, Any] = {}
    trace_id: str | None = None
    request_id: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    parent_event_id: str | None = None
    raw: str | None = None
    event_id: str = ""
    part: str = "0"
    block: Block | None = None
    read_at: int | None = None

    def wire(self) -> dict[str, Any]:
        """The event as VectaDB's HTTP API takes it: see "Event, on the wire" in ``ARCHITECTURE.md``.

        For sinks. The event must have come through a pipeline, which fills in ``event_id`` and ``block``.
        """
        body: dict[str, Any] = {"event_id": self.event_id, "event_type": self.event_type}
        if self.timestamp is not None:
            body["timestamp"] = rfc3339(self.timestamp)
        for name in ("trace_id", "request_id", "session_id", "agent_id", "parent_event_id", "raw"):
            value = getattr(self, name)
            if value is not None:
                body[name] = value
        body["properties"] = self.properties
        block = self.block
        if block is None:
            return body
        head, stream = block.records[0], block.records[0].stream
        source: dict[str, Any] = {
            "system": stream.system,
            "account": stream.account,
            "region": stream.region,
            "log_group": stream.log_group,
            "log_stream": stream.log_stream,
            "log_id": head.log_id,
            "timestamp": rfc3339(head.timestamp),
        }
        if head.ingestion_time is not None:
            source["ingestion_time"] = rfc3339(head.ingestion_time)
        if self.read_at is not None:
            source["read_at"] = rfc3339(self.read_at)
        if self.part != "0":
            source["part"] = self.part
        if len(block.records) > 1:
            source["log_ids"] = [record.log_id for record in block.records]
            source["timestamps"] = [rfc3339(record.timestamp) for record in block.records]
            if any(part != "0" for part in block.parts):
                source["parts"] = list(block.parts)
        body["source"] = source
        return body


def join_lines(lines: Sequence[str]) -> str:
    r"""One text from the pieces of a block: a ``\n`` goes between two, unless the former ends in one already.

    >>> join_lines(["a", "b\n", "c"])
    'a\nb\nc'
    """
    last = len(lines) - 1
    return "".join(line if i == last or line.endswith("\n") else line + "\n" for i, line in enumerate(lines))


def id_maker(stream: LogStream) -> Callable[[str, str], str]:
    """Return ``event_id(log_id, part)`` for the records of one stream.

    The id is the UUIDv5 of a JSON array of the seven strings system, account, region, log_group, log_stream, log_id,
    part: compact, UTF-8, so that any language makes the same. What the stream gives is hashed once.
    """
    encode = msgspec.json.encode
    prefix = encode([stream.system, stream.account, stream.region, stream.log_group, stream.log_stream])
    base = hashlib.sha1(NAMESPACE + prefix[:-1] + b",", usedforsecurity=False)

    def event_id(log_id: str, part: str = "0") -> str:
        digest = base.copy()
        digest.update(encode(log_id) + b"," + encode(part) + b"]")
        raw = bytearray(digest.digest()[:16])
        raw[6] = raw[6] & 0x0F | 0x50
        raw[8] = raw[8] & 0x3F | 0x80
        text = raw.hex()
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    return event_id


def record_hash(event_id: str) -> int:
    """One record's share of a digest: the first 128 bits of the SHA-256 of its id, as an unsigned integer."""
    return int.from_bytes(hashlib.sha256(event_id.encode()).digest()[:16], "big")


_UNSENDABLE = re.compile("[\ud800-\udfff\x1a]")


def sendable(text: str) -> str:
    r"""Text that UTF-8 can carry: a lone surrogate becomes U+001A and its four hex digits, and so does U+001A itself.

    Reversible, and the identity on almost every text. The server does the same with what other clients send.

    >>> sendable("a\ud800b")
    'a\x1ad800b'
    """
    if text.isascii() and "\x1a" not in text:
        return text
    return _UNSENDABLE.sub(lambda found: f"\x1a{ord(found[0]):04x}", text)


def rfc3339(us: int) -> str:
    """Microseconds since the epoch as RFC 3339, UTC, e.g. ``2026-01-01T00:00:00.000001Z``.

    Raises:
        OverflowError, ValueError: the year is not in 1…9999.
    """
    seconds, micros = divmod(us, 1_000_000)
    return f"{_second(seconds)}.{micros:06d}Z"


@functools.lru_cache(maxsize=4096)
def _second(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
