"""Request bodies: their encoding, their size, how many of them may be in progress, and lists of records."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import msgspec
from litestar import Request
from zlib_ng import zlib_ng

from vectadb_server import ids
from vectadb_server.batches import TEXT, found, strict
from vectadb_server.routes.errors import Refusal, busy
from vectadb_server.times import parse_rfc3339
from vectadb_server.wire import SMALLER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectadb_server.metrics import Metrics
    from vectadb_server.settings import Settings

_GZIP = 31  # zlib's number for gzip's framing
_STEP = 1 << 18  # bytes decompressed at once
_NO_GZIP = cast("type[Exception]", zlib_ng.error)  # Its stub has an instance.
_FRAMING = 1 << 16  # bytes that gzip may add to what it cannot compress


class Admission:
    """Bounds the ingest requests in progress, and the bytes of their bodies: what is beyond is turned away at once."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._requests, self._bytes = settings.max_ingest_requests, settings.max_ingest_bytes
        # A body that is larger than the room for all is let in while it is alone.
        self._alone = settings.max_body
        self._metrics = metrics
        self._in_progress = 0
        self._held = 0
        metrics.limit("ingest_requests", self._requests, lambda: self._in_progress)
        metrics.limit("ingest_bytes", self._bytes, lambda: self._held)

    @contextmanager
    def place(self) -> Iterator[Held]:
        """Hold a place for one request, and the bytes that it takes.

        Raises:
            Refusal: 503, since all places are taken.
        """
        if self._in_progress >= self._requests:
            raise self._overloaded(f"{self._in_progress:,} ingest requests are in progress, as many as may be")
        self._in_progress += 1
        held = Held(self)
        try:
            yield held
        finally:
            self._in_progress -= 1
            self._held -= held.size
            self._metrics.bytes.inc(held.size)

    def grow(self, held: Held, size: int) -> None:
        """Take ``size`` bytes more for a request.

        Raises:
            Refusal: 503, since all bytes are taken.
        """
        others = self._held - held.size
        if self._held + size > self._bytes and not (others == 0 and held.size + size <= self._alone):
            raise self._overloaded(f"ingest requests in progress hold {others:,} bytes, as much as may be")
        self._held += size
        held.size += size

    def _overloaded(self, message: str) -> Refusal:
        return busy(f"{message}. Next: send this again in a second", code="overloaded")


class Held:
    """The bytes that one request holds."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.size = 0

    def grow(self, size: int) -> None:
        """Take ``size`` bytes more; see :meth:`Admission.grow`."""
        self._admission.grow(self, size)


async def read_json(
    request: Request[Any, Any, Any], settings: Settings, held: Held | None = None, *, limit: int | None = None
) -> bytes:
    """Return the body of a JSON request, decompressed; it has at most ``limit`` bytes (default: ``max_body``).

    Raises:
        Refusal: 400 where the compression is broken or the body incomplete, 408 where it does not arrive in time, 413
            where it is too large, 415 where it is of another kind, 503 where there is no room for it.
    """
    gzipped = _check_kind(request)
    limit = settings.max_body if limit is None else min(limit, settings.max_body)
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    inflate = _Inflate() if gzipped else None
    body = bytearray()
    received = 0
    try:
        async with asyncio.timeout(settings.body_timeout):
            more = True
            while more:
                message: Any = await request.receive()
                if message["type"] == "http.disconnect":
                    raise Refusal(400, "the connection ended before the body did")
                chunk, more = message.get("body", b""), message.get("more_body", False)
                received += len(chunk)
                if received > limit + _FRAMING:  # members that hold nothing could go on for ever
                    raise _too_large(limit)
                for piece in inflate.feed(chunk) if inflate is not None else (chunk,):
                    if held is not None:
                        held.grow(len(piece))
                    body += piece
                    if len(body) > limit:
                        raise _too_large(limit)
    except TimeoutError:
        text = f"the body did not arrive within {settings.body_timeout:g} s. Next: send less at once"
        raise Refusal(408, text, headers={"Connection": "close"}) from None
    if inflate is not None:
        inflate.end()
    return bytes(body)


def _check_kind(request: Request[Any, Any, Any]) -> bool:
    """Return whether the body is compressed with gzip; other kinds than JSON are refused."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind and kind != "application/json" and not (kind.startswith("application/") and kind.endswith("+json")):
        raise Refusal(415, f"found Content-Type {kind!r}; expected application/json")
    encoding = request.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        text = f"found Content-Encoding {encoding!r}; expected gzip, or none"
        raise Refusal(415, text, headers={"Accept-Encoding": "gzip"})
    return encoding.endswith("gzip")


class _Inflate:
    """Decompresses gzip, one member after the other, in steps: whoever takes them may stop in time."""

    def __init__(self) -> None:
        self._member = zlib_ng.decompressobj(_GZIP)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what ``data`` decompresses to, in bounded pieces."""
        while data:
            if self._member.eof:
                self._member = zlib_ng.decompressobj(_GZIP)
            self._begun = True
            try:
                piece = self._member.decompress(data, _STEP)
            except _NO_GZIP as error:
                raise Refusal(400, f"the body is not gzip, though Content-Encoding says so: {error}") from None
            data = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            if not piece and not data:
                return
            yield piece

    def end(self) -> None:
        """Make sure that nothing is missing."""
        if self._begun and not self._member.eof:
            raise Refusal(400, "the gzip body ends too early")


_TOLERABLE, _TOLERABLE_IF_CUT = 20, 40  # commas for each event that may be


def check_commas(body: bytes, most: int) -> None:
    """Refuse what can hold far more than ``most`` events before it is decoded: 16 MiB hold millions of tiny bad ones.

    What is no batch at all passes; decoding says what is wrong with it.

    Raises:
        Refusal: 413.
    """
    if body.count(b",") <= most * _TOLERABLE:
        return
    try:
        count = len(strict(body)[0])
    except (ValueError, RecursionError):
        # Not strict JSON: it is cut into events by a slow scan, in which commas in texts part nothing.
        if TEXT.sub(b"", body).count(b",") <= most * _TOLERABLE_IF_CUT:
            return
        text = "the body is not strict JSON, and too large to look for good events in it"
        raise Refusal(413, f"{text}. Next: mend it, or send it in smaller batches") from None
    if count > most:
        raise Refusal(413, f"events: found {count:,}; expected at most {most:,}. {SMALLER}")


MOST_RECORDS = 10_000


class NamedRecord(msgspec.Struct, gc=False):
    """A record by its id, ``given`` as the client spelt it, and its time, microseconds."""

    event_id: str
    given: str
    at: int


class _Record(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    event_id: str
    timestamp: str


class _Records(msgspec.Struct, forbid_unknown_fields=True):
    records: list[_Record]


_records = msgspec.json.Decoder(_Records)
_RECORDS_SHAPE = 'expected {"records": [{"event_id": "…", "timestamp": "…"}, …]}'


def read_records(body: bytes) -> list[NamedRecord]:
    """Read a list of records that a client asks about.

    Raises:
        Refusal: 400 where the body is not JSON, 422 where it is of another shape, 413 where the records are too many.
    """
    try:
        listed = _records.decode(body).records
    except msgspec.ValidationError as error:
        raise Refusal(422, f"{error}; {_RECORDS_SHAPE}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, f"not JSON: {error}; {_RECORDS_SHAPE}") from None
    if len(listed) > MOST_RECORDS:
        text = f"found {len(listed):,} records; expected at most {MOST_RECORDS:,}. Next: ask about them in parts"
        raise Refusal(413, text)
    return [_named(record, index) for index, record in enumerate(listed)]


def _named(record: _Record, index: int) -> NamedRecord:
    event_id = ids.read_uuid(record.event_id)
    if event_id is None:
        raise Refusal(422, f"records[{index}].event_id: found {found(record.event_id)}; expected a UUID")
    try:
        return NamedRecord(event_id, record.event_id, parse_rfc3339(record.timestamp))
    except ValueError as error:
        raise Refusal(422, f"records[{index}].timestamp: found {found(record.timestamp)}: {error}") from None


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the body is larger than {limit:,} bytes, decompressed. Next: send it in smaller parts")
