"""What log lines of every framework share: times, levels, and the keys that name a trace, a request or a session."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectadb_agent import Event

EVENT_TYPES = frozenset(
    (
        *("invocation_start", "invocation_end", "agent_start", "agent_end", "chain_start", "chain_end"),
        *("llm_start", "llm_end", "tool_call", "tool_result", "agent_action", "agent_thought", "agent_finish"),
        *("query", "retrieval", "message", "error", "log"),
    )
)
"""The vocabulary of ``event_type``."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NUMBER = re.compile(r"[0-9]{9,19}(?:\.[0-9]{1,9})?")

_LEVELS = {
    "trace": "TRACE",
    "debug": "DEBUG",
    "verbose": "DEBUG",
    "info": "INFO",
    "information": "INFO",
    "informational": "INFO",
    "notice": "INFO",
    "warn": "WARNING",
    "warning": "WARNING",
    "err": "ERROR",
    "error": "ERROR",
    "exception": "ERROR",
    "severe": "ERROR",
    "fatal": "CRITICAL",
    "critical": "CRITICAL",
    "crit": "CRITICAL",
    "alert": "CRITICAL",
    "emergency": "CRITICAL",
    "panic": "CRITICAL",
}
#: pino and bunyan write numbers.
_NUMBERED = {10: "TRACE", 20: "DEBUG", 30: "INFO", 40: "WARNING", 50: "ERROR", 60: "CRITICAL"}
ERROR_LEVELS = frozenset({"ERROR", "CRITICAL"})

_TRACE = ("trace_id", "traceId")
_REQUEST = ("requestId", "request_id", "function_request_id", "aws_request_id")
_SESSION = ("session_id", "sessionId", "session.id", "gen_ai.conversation.id", "thread_id", "correlation_id")
_AGENT = ("agent_id", "agentId")
ID_KEYS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("trace_id", _TRACE),
    ("request_id", _REQUEST),
    ("session_id", _SESSION),
    ("agent_id", _AGENT),
)
"""Field of the event, and the keys that fill it, the first present one winning."""

_FIELD_OF = {key: (field, rank) for field, keys in ID_KEYS for rank, key in enumerate(keys)}
_ID_IN_TEXT = re.compile(
    r"(?<![\w.\-])(" + "|".join(re.escape(key) for key in sorted(_FIELD_OF, key=len, reverse=True)) + r")"
    r"[\"']?\s{0,4}[=:]\s{0,4}[\"']?(?!Root=)([A-Za-z0-9][\w.:@/+\-]{0,199})"
)


def microseconds(value: object) -> int | None:
    """Return a time in microseconds since the epoch, or ``None`` where ``value`` is no time.

    Takes RFC 3339 and its common relatives (a space for the ``T``, a comma before the fraction, no zone: then UTC) and
    epoch numbers, also as text, whose size tells seconds, milliseconds, microseconds and nanoseconds apart. A number
    before 1973 is taken for something else, such as a duration.
    """
    if type(value) is str:
        if len(value) >= 16 and value[4:5] == "-" and value[7:8] == "-":
            return _iso(value)
        if _NUMBER.fullmatch(value):
            return _epoch(float(value) if "." in value else int(value))
        return None
    if type(value) is int:
        return _epoch(value)
    if type(value) is float and math.isfinite(value):
        return _epoch(value)
    return None


def _iso(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // _MICROSECOND
    except (ValueError, OverflowError):
        return None


def _epoch(value: float) -> int | None:
    for least, most, numerator, denominator in (
        (10**8, 10**11, 10**6, 1),
        (10**11, 10**14, 10**3, 1),
        (10**14, 10**17, 1, 1),
        (10**17, 10**19, 1, 1000),
    ):
        if least <= value < most:
            # Integers stay integers: a float would lose the microseconds of a nanosecond count.
            if isinstance(value, int):
                return value * numerator // denominator
            return round(value * numerator / denominator)
    return None


def level_name(value: object) -> str | None:
    """Return ``TRACE``, ``DEBUG``, ``INFO``, ``WARNING``, ``ERROR`` or ``CRITICAL``; ``None`` for anything unknown."""
    if type(value) is str:
        return _LEVELS.get(value.strip().lower()) if len(value) < 20 else None
    if type(value) is int:
        return _NUMBERED.get(value)
    return None


def take_ids(event: Event, members: Mapping[str, Any]) -> list[str]:
    """Fill the event's ids from the members of a JSON object; return the keys that were used.

    A dotted key is also looked for as nested objects. Text and integers are ids; all else is left alone.
    """
    used: list[str] = []
    for field, keys in ID_KEYS:
        for key in keys:
            value = members.get(key)
            if value is None and "." in key:
                value = dotted(members, key)
            if type(value) is int:
                value = str(value)
            if type(value) is str and value and not value.startswith("Root="):
                setattr(event, field, value)
                used.append(key)
                break
    return used


def dotted(members: Mapping[str, Any], path: str) -> Any:
    """Return what stands at ``path`` (``a.b``: first a member of that very name, else nested), or ``None``."""
    if path in members:
        return members[path]
    found: Any = members
    for name in path.split("."):
        if type(found) is not dict or name not in found:
            return None
        found = found[name]
    return found


def find_ids(event: Event, text: str) -> None:
    """Fill the event's ids from ``key=value``, ``key: value`` and JSON-quoted pairs in free text.

    An id that the event has already is kept. X-Ray's ``Root=…`` is no trace id.
    """
    if "_id" not in text and "Id" not in text and ".id" not in text:
        return
    best: dict[str, tuple[int, str]] = {}
    for key, value in _ID_IN_TEXT.findall(text):
        field, rank = _FIELD_OF[key]
        value = value.rstrip(".:/")
        if field not in best or rank < best[field][0]:
            best[field] = (rank, value)
    for field, (_, value) in best.items():
        if getattr(event, field) is None:
            setattr(event, field, value)
