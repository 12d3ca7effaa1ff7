"""An event's JSON to a typed struct: the types are right then, its meaning is not looked at yet."""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from vectadb_server.batches import found, tolerant
from vectadb_server.escapes import free_key

MAX_DEPTH = 64
MAX_NAME = 1024
MAX_BLOCK = 5_000

TIME = 'RFC 3339 text, e.g. "2026-01-31T12:00:00.000Z"'
TOO_DEEP = f"found nesting of over {MAX_DEPTH} levels; expected less: send what is inside as text"

_Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
_Moment = Annotated[str, msgspec.Meta(max_length=64)]
_Names = Annotated[list[_Name], msgspec.Meta(max_length=MAX_BLOCK)]
_Moments = Annotated[list[_Moment], msgspec.Meta(max_length=MAX_BLOCK)]


class WireSource(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The key ``source`` of an event; ``null`` and an absent key are the same."""

    system: _Name | None = None
    account: _Name | None = None
    region: _Name | None = None
    log_group: _Name | None = None
    log_stream: _Name | None = None
    log_id: _Name | None = None
    timestamp: _Moment | None = None
    ingestion_time: _Moment | None = None
    part: _Name | None = None
    log_ids: _Names | None = None
    timestamps: _Moments | None = None
    parts: _Names | None = None
    read_at: _Moment | None = None


class WireEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event; ``null`` and an absent key are the same."""

    timestamp: _Moment | None = None
    event_type: _Name | None = None
    properties: dict[str, Any] | None = None
    raw: str | None = None
    event_id: _Name | None = None
    trace_id: _Name | None = None
    request_id: _Name | None = None
    session_id: _Name | None = None
    agent_id: _Name | None = None
    parent_event_id: _Name | None = None
    source: WireSource | None = None


class WireBatch(msgspec.Struct):
    """The body of a batch. Keys that are not known here are for newer servers, and ignored."""

    events: list[WireEvent]
    options: Any = None


_EVENT_KEYS = frozenset(WireEvent.__struct_fields__)
_SOURCE_KEYS = frozenset(WireSource.__struct_fields__)
_EXPECTED = {
    "": "an event: a JSON object",
    "timestamp": TIME,
    "properties": "a JSON object",
    "raw": "text",
    "source": "a JSON object",
    "source.timestamp": TIME,
    "source.ingestion_time": TIME,
    "source.read_at": TIME,
    "source.log_ids": f"an array of at most {MAX_BLOCK:,} texts",
    "source.timestamps": f"an array of at most {MAX_BLOCK:,} texts, each {TIME}",
    "source.parts": f"an array of at most {MAX_BLOCK:,} texts",
}

_event = msgspec.json.Decoder(WireEvent)
_any = msgspec.json.Decoder()
_WHERE = re.compile(r" - at `\$\.?(.*)`$")


class Refused(Exception):
    """One event is refused. ``steps`` lead to the place, innermost first; ``message`` says found and expected."""

    def __init__(self, step: str, message: str) -> None:
        super().__init__(message)
        self.steps = [step]
        self.message = message

    def path(self, root: str) -> str:
        """Where it is, from ``root`` on; shortened in the middle."""
        path = root + "".join(reversed(self.steps))
        return path if len(path) <= 200 else f"{path[:160]}…{path[-39:]}"


def read_event(encoded: bytes, path: str) -> WireEvent:
    """Decode one event's JSON by itself; unknown keys are folded into its properties.

    ``path`` names the event in errors.

    Raises:
        Refused: it is JSON, but not of the right types.
        BadRequest: it is not even JSON.
    """
    try:
        return _event.decode(encoded)
    except (ValueError, RecursionError):
        pass  # something in it is unusual; below we see what
    try:
        value = _any.decode(encoded)
    except (ValueError, RecursionError):
        try:
            value = tolerant(encoded, path)
        except RecursionError:
            raise Refused("", TOO_DEEP) from None
        except UnicodeDecodeError as error:
            raise Refused("", f"found bytes that are not UTF-8, from its byte {error.start}; expected UTF-8") from None
    return _convert(_fold(value))


def _fold(value: Any) -> Any:
    """Move the unknown keys of an event and its source to its properties. What is no event is returned as it is."""
    if not isinstance(value, dict):
        return value
    event = {name: item for name, item in value.items() if name in _EVENT_KEYS}
    unknown = {name: item for name, item in value.items() if name not in _EVENT_KEYS}
    source = event.get("source")
    if isinstance(source, dict):
        event["source"] = {name: item for name, item in source.items() if name in _SOURCE_KEYS}
        for name, item in source.items():
            if name not in _SOURCE_KEYS:
                unknown[free_key(f"source.{name}", unknown)] = item
    properties = event.get("properties")
    if unknown and isinstance(properties, dict | None):
        event["properties"] = merged = dict(properties or {})
        for name, item in unknown.items():
            merged[free_key(name, merged)] = item
    return event


def _convert(value: Any) -> WireEvent:
    try:
        return msgspec.convert(value, WireEvent)
    except msgspec.ValidationError as error:
        where = _WHERE.search(str(error))
        path = where[1] if where else ""
        for step in re.findall(r"\w+", path):
            value = value[int(step) if isinstance(value, list) else step]
        times = path.startswith("source.timestamps[")
        expected = TIME if times else _EXPECTED.get(path, f"text of at most {MAX_NAME:,} characters")
        raise Refused(path and f".{path}", f"found {found(value)}; expected {expected}") from None
