"""The wire: request bodies to :class:`~vectadb_server.model.Event`, and back to JSON for replies.

The specification is "Event, on the wire" in ``ARCHITECTURE.md``. One bad event never spoils its neighbours: each event
of a batch becomes an ``Event``, or an error that names the field, what was found and what would be right.

A body is decoded at once into typed structs where every event is ordinary. Else the events are cut apart and decoded
one by one, by the standard library where msgspec refuses, and the checks below judge what it read.

What clients may rely on:

- Unknown keys of an event go to its ``properties``, unknown keys of ``source`` to ``properties["source.<key>"]``.
  Where that name is taken, underscores are appended until it is free.
- Of duplicate keys in one JSON object the last wins. ``null`` means absent, and so does an empty id.
- A lone surrogate is kept as U+001A and its four hex digits (``escapes``). U+0000 is kept as it is in ``raw`` and
  ``properties``, and escaped likewise in the other fields.
"""

from __future__ import annotations

from math import isfinite
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from vectadb_server import ids
from vectadb_server.batches import BadRequest, cut, found
from vectadb_server.escapes import held, held_name, held_value, sendable, suspect
from vectadb_server.model import Event, Source
from vectadb_server.plain import read as read_plain
from vectadb_server.shapes import MAX_DEPTH, TIME, TOO_DEEP, Refused, WireBatch, WireEvent, WireSource, read_event
from vectadb_server.times import parse_rfc3339, rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from vectadb_server.plain import Plain

__all__ = [
    "SMALLER",
    "Among",
    "BadRequest",
    "Decoded",
    "EventError",
    "Options",
    "decode_batch",
    "decode_event",
    "encode_event",
    "sendable",
]

T = TypeVar("T")

MAX_EVENT_BYTES = 8 * 2**20
MAX_KEY_BYTES = 1024

_MIN_INT, _MAX_INT = -(2**63), 2**63 - 1


class EventError(msgspec.Struct):
    """Why the event at ``index`` of the batch was refused, for people to read."""

    index: int
    error: str


class Options(msgspec.Struct, frozen=True):
    """What the client wants done with its events; see ``ARCHITECTURE.md``."""

    auto_create_traces: bool = True
    generate_embeddings: bool = True
    extract_relationships: bool = True


class Among(msgspec.Struct):
    """Plain events, and at which indexes of their batch the other good ones are."""

    plain: Plain
    others: list[int]

    def merged(self, others: Sequence[T], plain: Sequence[T]) -> list[T]:
        """Return what there is for each of the other events and each plain one in the order of the batch."""
        if not others:
            return [*plain]
        numbered = zip([*self.others, *self.plain.indexes], [*others, *plain], strict=True)
        return [each for _, each in sorted(numbered, key=itemgetter(0))]

    def all(self, others: Sequence[Event]) -> list[Event]:
        """Return the others and, decoded after all, the plain events."""
        return self.merged(others, [_alone(piece, "event", None, 0, len(piece)) for piece in self.plain.pieces()])


class Decoded(msgspec.Struct):
    """A batch, sorted out: every index is in ``indexes``, of ``events`` and the plain ones, or in ``errors``."""

    events: list[Event]
    indexes: list[int]
    errors: list[EventError]
    options: Options
    among: Among | None = None


_batch = msgspec.json.Decoder(WireBatch)
_BOM = b"\xef\xbb\xbf"
_SHORTEN = "shorten raw or properties"
SMALLER = "Next: send them in smaller batches"


def decode_batch(
    body: bytes,
    *,
    idempotency_key: str | None = None,
    max_event_bytes: int = MAX_EVENT_BYTES,
    max_events: int | None = None,
    now: int | None = None,
) -> Decoded:
    """Decode the body of ``POST /api/v1/events/batch``: every event in it becomes an ``Event`` or an error.

    Given ``now``, microseconds since the epoch, plain events may become rows at once (:mod:`~vectadb_server.plain`).

    Events with neither ``event_id`` nor ``source.log_id`` take their ids from ``idempotency_key`` and their index, or
    get new ones without it. ``trace``, ``basis`` and ``created_at`` are left to others.

    Raises:
        BadRequest: the body is not JSON (400), holds no list ``events``, or its ``options`` are not what they should be
            (422), or there are more than ``max_events`` (413).
    """
    body = body.removeprefix(_BOM)
    plain = None if now is None else read_plain(body, now, max_event_bytes)
    items: Iterable[tuple[int, WireEvent | bytes]]
    if plain is not None:
        items, count, options, dirty = plain.left, plain.count, None, False
    else:
        given, options, dirty = _items(body, max_event_bytes)
        items, count = enumerate(given), len(given)
    if max_events is not None and count > max_events:
        raise BadRequest(413, "events", f"found {count:,}; expected at most {max_events:,}. {SMALLER}")
    decoded = Decoded([], [], [], _options(options))
    for index, item in items:
        try:
            if isinstance(item, WireEvent):
                event = _event(item, dirty, idempotency_key, index)
            else:
                event = _alone(item, f"events[{index}]", idempotency_key, index, max_event_bytes)
        except Refused as refused:
            decoded.errors.append(EventError(index, f"{refused.path(f'events[{index}]')}: {refused.message}"))
        else:
            decoded.events.append(event)
            decoded.indexes.append(index)
    if plain is not None:
        decoded.among = Among(plain, decoded.indexes)
        decoded.indexes = sorted([*decoded.indexes, *plain.indexes])
    return decoded


def decode_event(body: bytes, *, idempotency_key: str | None = None, max_event_bytes: int = MAX_EVENT_BYTES) -> Event:
    """Decode the body of ``POST /api/v1/events``, one event; the arguments are those of :func:`decode_batch`.

    Raises:
        BadRequest: the body is not JSON (400), too large (413), or not a valid event (422).
    """
    if len(body) > max_event_bytes:
        raise BadRequest(413, "event", f"found {len(body):,} bytes; expected at most {max_event_bytes:,}: {_SHORTEN}")
    try:
        return _alone(body.removeprefix(_BOM), "event", idempotency_key, 0, max_event_bytes)
    except Refused as refused:
        raise BadRequest(422, refused.path("event"), refused.message) from None


def _items(body: bytes, limit: int) -> tuple[Sequence[WireEvent | bytes], Any, bool]:
    """Return the events, decoded or cut apart, the options, and for decoded ones whether a text may need escaping."""
    if len(body) <= limit:
        try:
            batch = _batch.decode(body)
        except (ValueError, RecursionError):
            pass  # some event is unusual, or something is wrong: what, is found out one by one
        else:
            return batch.events, batch.options, suspect(body, strict=True)
    items, options = cut(body)
    return items, options, False


def _options(given: Any) -> Options:
    """Read ``options``; keys not known here are for newer servers, and ignored."""
    if given is None:
        return Options()
    if not isinstance(given, dict):
        raise BadRequest(422, "options", f"found {found(given)}; expected a JSON object")
    for name in Options.__struct_fields__:
        if not isinstance(given.get(name), bool | None):
            raise BadRequest(422, f"options.{name}", f"found {found(given[name])}; expected true or false")
    return Options(**{name: given[name] for name in Options.__struct_fields__ if given.get(name) is not None})


def _alone(encoded: bytes, path: str, key: str | None, index: int, limit: int) -> Event:
    """Decode one event that was cut out of its batch."""
    if len(encoded) > limit:
        raise Refused("", f"found {len(encoded):,} bytes; expected at most {limit:,}: {_SHORTEN}")
    return _event(read_event(encoded, path), suspect(encoded, strict=False), key, index)


def _event(wire: WireEvent, dirty: bool, key: str | None, index: int) -> Event:
    """Judge the meaning of an event whose types are right. ``dirty``: it may hold texts to be escaped."""
    if wire.timestamp is None:
        raise Refused(".timestamp", f"found nothing; expected {TIME}")
    timestamp = _moment(wire.timestamp, ".timestamp")
    properties = wire.properties
    if properties is None:
        properties = {}
    try:
        _check(properties, 1)
    except Refused as refused:
        refused.steps.append(".properties")
        raise
    source, record_ids = (None, None) if wire.source is None else _source(wire.source, dirty)
    event_id = record_ids[0] if record_ids else None
    if wire.event_id:
        event_id = _event_id(wire.event_id, event_id)
    elif event_id is None:
        event_id = _new_id(key, index)
    if record_ids is None:
        record_ids = [event_id]
    elif source is not None and "." in source.part:
        record_ids = []
    event = Event(
        event_id=event_id,
        timestamp=timestamp,
        event_type=wire.event_type or "log",
        properties=properties,
        raw=wire.raw,
        trace_id=wire.trace_id or None,
        request_id=wire.request_id or None,
        session_id=wire.session_id or None,
        agent_id=wire.agent_id or None,
        parent_event_id=wire.parent_event_id or None,
        source=source,
        record_ids=record_ids,
    )
    if dirty:
        event.properties = held_value(properties)
        event.raw = None if wire.raw is None else held(wire.raw)
        for name in ("event_type", "trace_id", "request_id", "session_id", "agent_id", "parent_event_id"):
            text = getattr(event, name)
            if text is not None:
                setattr(event, name, held_name(text))
    return event


def _check(value: Any, depth: int) -> None:
    """Refuse, with its path, what the engines or other clients could not hold."""
    if depth > MAX_DEPTH:
        raise Refused("", TOO_DEEP)
    for step, item in value.items() if type(value) is dict else enumerate(value):
        if type(step) is str and len(step) * 4 > MAX_KEY_BYTES:
            size = len(sendable(step).encode())
            if size > MAX_KEY_BYTES:
                raise Refused("", f"found a key of {size:,} bytes; expected at most {MAX_KEY_BYTES:,}")
        kind = type(item)
        if kind is str:  # first, since nearly all are
            continue
        if kind is dict or kind is list:
            try:
                _check(item, depth + 1)
            except Refused as refused:
                refused.steps.append(_step(step))
                raise
        elif kind is int:
            if not _MIN_INT <= item <= _MAX_INT:
                raise Refused(_step(step), f"found {found(item)}; expected at most 64 bits, signed: send it as text")
        elif kind is float and not isfinite(item):
            raise Refused(_step(step), f"found {found(item)}; expected a finite number, null, or text")


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return "." + sendable(key if len(key) <= 60 else f"{key[:59]}…")


def _moment(text: str, step: str) -> int:
    try:
        return parse_rfc3339(text)
    except ValueError as error:
        raise Refused(step, f"found {found(text)}: {error}") from None


def _source(wire: WireSource, dirty: bool) -> tuple[Source, list[str] | None]:
    """The source, and the ids it gives its records, head first: ``None`` where it has no ``log_id``."""
    part = "0" if wire.part is None or wire.part == "0" else wire.part  # the one text that is left out of rows
    log_ids, parts, timestamps = _block(wire, part)
    timestamp = None if wire.timestamp is None else _moment(wire.timestamp, ".source.timestamp")
    if timestamp is None and timestamps:
        timestamp = timestamps[0]
    system, account, region = wire.system or "", wire.account or "", wire.region or ""
    log_group, log_stream, log_id = wire.log_group or "", wire.log_stream or "", wire.log_id or ""
    source = Source(
        system=system,
        account=account,
        region=region,
        log_group=log_group,
        log_stream=log_stream,
        log_id=log_id,
        timestamp=timestamp,
        ingestion_time=None if wire.ingestion_time is None else _moment(wire.ingestion_time, ".source.ingestion_time"),
        part=part,
        log_ids=log_ids,
        timestamps=timestamps if log_ids else [],
        parts=parts,
        read_at=0 if wire.read_at is None else _moment(wire.read_at, ".source.read_at"),
    )
    record_ids = None
    if log_id:
        record_ids = [_record_id((system, account, region, log_group, log_stream, log_id, part))]
        for record in zip(log_ids[1:], parts[1:], strict=True):
            record_ids.append(_record_id((system, account, region, log_group, log_stream, *record)))
    if dirty:
        for name in ("system", "account", "region", "log_group", "log_stream", "log_id", "part"):
            setattr(source, name, held_name(getattr(source, name)))
        source.log_ids = [held_name(text) for text in log_ids]
        source.parts = [held_name(text) for text in parts]
    return source, record_ids


def _block(wire: WireSource, part: str) -> tuple[list[str], list[str], list[int]]:
    """The log ids, parts and times of a block's records; no ids and parts for a block of one."""
    if wire.log_ids is None and wire.timestamps is None and wire.parts is None:
        return [], [], []
    log_ids = wire.log_ids or []
    size = len(log_ids)
    if log_ids and log_ids[0] != (wire.log_id or ""):
        was = f"found {found(log_ids[0])}, and source.log_id is {found(wire.log_id)}"
        raise Refused(".source.log_ids[0]", f"{was}; expected the same: the block's first record")
    for name, given in (("timestamps", wire.timestamps), ("parts", wire.parts)):
        if given and len(given) != size:
            was = f"found {len(given):,}, and source.log_ids has {size:,}"
            raise Refused(f".source.{name}", f"{was}; expected one for each record of the block")
    # A block's further event has a part with a dot: "1.2" is of the block whose head is part "1".
    head = part.partition(".")[0]
    parts = wire.parts or [head, *["0"] * (size - 1)]
    if parts[0] != head:
        raise Refused(".source.parts[0]", f"found {found(parts[0])}; expected source.part, which is {found(part)}")
    for i, each in enumerate(parts):
        if "." in each:
            raise Refused(f".source.parts[{i}]", f"found {found(each)}; expected the number of a piece, without a dot")
    if size > 1 and len(set(zip(log_ids, parts, strict=True))) != size:
        raise Refused(".source.log_ids", "found one record (log id and part) twice; expected each record once")
    times = [_moment(text, f".source.timestamps[{i}]") for i, text in enumerate(wire.timestamps or [])]
    return (log_ids, parts, times) if size > 1 else ([], [], times)


def _record_id(names: tuple[str, ...]) -> str:
    try:
        return ids.uuid5(ids.EVENTS, names)
    except UnicodeEncodeError:
        return ids.uuid5(ids.EVENTS, [sendable(name) for name in names])


def _event_id(text: str, from_source: str | None) -> str:
    """The id that the client gave, normalised; it must agree with the one that its source makes, if that makes one."""
    if text == from_source:
        return text
    given = ids.read_uuid(text)
    if given is None:
        raise Refused(".event_id", f"found {found(text)}; expected a UUID, or nothing")
    if from_source is not None and given != from_source:
        raise Refused(
            ".event_id",
            f"found {given}, but source and its log_id make {from_source}; expected these to agree: omit one",
        )
    return given


def _new_id(key: str | None, index: int) -> str:
    if key:
        return ids.uuid5(ids.EVENTS, ["idempotency-key", key, str(index)])
    return ids.uuid7()


def encode_event(event: Event) -> dict[str, Any]:
    """Return the event as replies carry it, times as RFC 3339.

    ``trace_id`` is the id of the trace that the event belongs to and ``trace_basis`` says why; ``given_trace_id`` is
    the client's own, where it differs from that.
    """
    body: dict[str, Any] = {
        "event_id": event.event_id,
        "timestamp": rfc3339(event.timestamp),
        "event_type": event.event_type,
        "trace_id": event.trace,
        "trace_basis": event.basis,
        "request_id": event.request_id,
        "session_id": event.session_id,
        "agent_id": event.agent_id,
        "parent_event_id": event.parent_event_id,
        "properties": event.properties,
        "raw": event.raw,
        "source": None if event.source is None else _encode_source(event.source),
        "created_at": rfc3339(event.created_at),
    }
    if event.trace_id is not None and event.trace_id != event.trace:
        body["given_trace_id"] = event.trace_id
    return body


def _encode_source(source: Source) -> dict[str, Any]:
    body: dict[str, Any] = msgspec.to_builtins(source)
    for name in ("timestamp", "ingestion_time", "read_at"):
        if body.get(name) is not None:
            body[name] = rfc3339(body[name])
    if source.timestamps:
        body["timestamps"] = [rfc3339(at) for at in source.timestamps]
    return body
