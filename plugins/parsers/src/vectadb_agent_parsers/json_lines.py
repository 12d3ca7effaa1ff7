"""``json``: one JSON object a record, or one object pretty-printed over several."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
from pydantic import Field

from vectadb_agent import ComponentConfig, Event, Parser, Piece
from vectadb_agent.errors import ParseError
from vectadb_agent_parsers.fields import ERROR_LEVELS, EVENT_TYPES, dotted, level_name, microseconds, take_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Block

_TIMES = ("timestamp", "time", "@timestamp", "ts")
_LEVELS = ("level", "severity", "levelname", "log_level")
_MESSAGES = ("message", "msg", "event")
_TYPES = ("event_type", "type")
_TEXT_FIELDS = frozenset(("trace_id", "request_id", "session_id", "agent_id", "parent_event_id"))
_FIELDS = _TEXT_FIELDS | {"timestamp", "event_type"}

#: Begins as nothing but a JSON object does.
_MEMBER = re.compile(r'\s*\{\s*"(?:[^"\\]|\\.)*+"\s*+:')
#: A whole line of JSON. Possessive, so that a line that is none is left in one pass.
_LINE = re.compile(
    r'(?:\s*+(?:"(?:[^"\\\x00-\x1f]|\\.)*+"|[{}\[\],:]|-?[0-9][0-9.eE+\-]*+|true|false|null))*+\s*+', re.ASCII
)
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"|[{}\[\]]')
_decode = msgspec.json.Decoder().decode
_LARGEST = 2**63
_DEEPEST = 60


class JsonConfig(ComponentConfig):
    """Options of the ``json`` parser."""

    event_type: str | None = None
    """Type of every event. By default the object's own ``event_type`` or ``type`` where it is a word of the vocabulary,
    else ``error`` where the level is ERROR or worse, else ``log``."""
    field_mapping: dict[str, str] = Field(default_factory=dict)
    """Moves members, ``{from: to}``. ``from`` may be a dotted path into nested objects; ``to`` is a field of the event
    (``timestamp``, ``event_type``, ``trace_id``, ``request_id``, ``session_id``, ``agent_id``, ``parent_event_id``) or
    a property (``level``, ``message``, ``gen_ai.tool.name`` …)."""


class JsonParser(Parser):
    """A record that is one JSON object, also an object printed over several records.

    The time is taken from ``timestamp``, ``time``, ``@timestamp`` or ``ts``, the message from ``message``, ``msg`` or
    ``event``, ids from the usual keys. All other members are the event's properties, as they are. Other JSON (a number,
    a text, an array) is left to other parsers.
    """

    name = "json"
    Config = JsonConfig
    config: JsonConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make one event of the block's object.

        Raises:
            ParseError: the text begins as an object does, but is cut short or malformed.
        """
        text = block.text
        if not text.startswith("{") and not text[:80].lstrip().startswith("{"):
            return None
        try:
            members = _decode(text)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError) as error:
            if "trailing characters" in str(error) or not _MEMBER.match(text):
                return None
            raise ParseError(f"json: looks like a JSON object, but is none: {_reason(error)}") from error
        if not _is_storable(members, 1):
            members = {name: _storable(value, 2) for name, value in members.items()}
        event = event_of(members, self.config.field_mapping)
        if self.config.event_type is not None:
            event.event_type = self.config.event_type
        event.raw = text
        return [event]

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join the lines of a pretty-printed object. ``state``: the brackets that are open, as a text."""
        if state is None:
            if not text.startswith("{") and not text[:80].lstrip().startswith("{"):
                return ()
            if text.rstrip("\r\n").endswith("}") and text.find("\n", 0, -1) < 0:
                return ()  # whole on one line, or not ours
            state, kind = "", "start"
        else:
            # In an object, a line begins with a key or closes it: so a one-line JSON log in between is told apart.
            first = text.lstrip()[:1]
            if not first or (state[-1:] == "{" and first not in '"}'):
                return ()
            kind = "continue"
        if not _LINE.fullmatch(text):
            return ()
        open_ = list(state)
        for found in _MARKS.finditer(text):
            mark = found[0]
            if mark in "{[":
                open_.append(mark)
            elif mark in "}]":
                if not open_ or open_.pop() != ("{" if mark == "}" else "["):
                    return ()
                if not open_:
                    if text[found.end() :].strip():
                        return ()
                    return (Piece(text, "continue", closes=True),) if kind == "continue" else ()
        return (Piece(text, "start" if kind == "start" else "continue", state="".join(open_)),)


def _storable(value: Any, depth: int) -> Any:
    """Integers beyond 64 bits as text, since no record store holds them.

    Raises:
        ParseError: it is nested too deeply.
    """
    if depth > _DEEPEST:
        raise ParseError(f"json: nested deeper than {_DEEPEST} levels")
    if isinstance(value, dict):
        return {name: _storable(item, depth + 1) for name, item in value.items()}
    if isinstance(value, list):
        return [_storable(item, depth + 1) for item in value]
    return str(value) if type(value) is int and not -_LARGEST <= value < _LARGEST else value


def _is_storable(value: Any, depth: int) -> bool:
    """Say whether nothing needs to be changed, as is so of almost every log line."""
    if depth > _DEEPEST:
        return False
    for item in value.values() if isinstance(value, dict) else value:
        if type(item) is int:
            if not -_LARGEST <= item < _LARGEST:
                return False
        elif isinstance(item, dict | list) and not _is_storable(item, depth + 1):
            return False
    return True


def event_of(members: dict[str, Any], mapping: dict[str, str] | None = None) -> Event:
    """Make an event of a JSON object; what is not recognised stays in the properties. ``members`` is used up."""
    event = Event()
    named_type = False
    if mapping:
        named_type = _map(event, members, mapping)
    if event.timestamp is None:
        for key in _TIMES:
            if key in members:
                event.timestamp = microseconds(members[key])
                if event.timestamp is not None:
                    del members[key]
                    break
    for key in take_ids(event, members):
        members.pop(key, None)
    for key in _MESSAGES:
        if key in members:
            if key != "message" and (key == "msg" or type(members[key]) is str):
                members["message"] = members.pop(key)
            break
    level = None
    for key in _LEVELS:
        if key in members:
            level = level_name(members[key])
            if level is not None:
                if key != "level":
                    del members[key]
                members["level"] = level
                break
    if not named_type:
        event.event_type = "error" if level in ERROR_LEVELS else "log"
        for key in _TYPES:
            value = members.get(key)
            if type(value) is str and value in EVENT_TYPES:
                event.event_type = members.pop(key)
                break
    event.properties = members
    return event


def _map(event: Event, members: dict[str, Any], mapping: dict[str, str]) -> bool:
    """Move members as the user wants it; return whether the event's type was among them."""
    named_type = False
    for source, target in mapping.items():
        value = dotted(members, source)
        if value is None:
            continue
        if target == "timestamp":
            moment = microseconds(value)
            if moment is None:
                continue
            event.timestamp = moment
        elif target in _TEXT_FIELDS or target == "event_type":
            if type(value) not in (str, int) or value == "":
                continue
            setattr(event, target, str(value))
            named_type = named_type or target == "event_type"
        _remove(members, source)
        if target not in _FIELDS:
            members[target] = value
    return named_type


def _remove(members: dict[str, Any], path: str) -> None:
    """Remove the member at ``path``, and objects that are empty without it."""
    if path in members:
        del members[path]
        return
    holder, _, rest = path.partition(".")
    inner = members[holder]
    _remove(inner, rest)
    if not inner:
        del members[holder]


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeEncodeError):
        return f"character {error.start} is a lone surrogate"
    return str(error)
