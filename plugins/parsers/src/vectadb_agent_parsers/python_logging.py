"""``python_logging``: lines of the standard library's ``logging``, and tracebacks joined over their lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vectadb_agent import ComponentConfig, Event, Parser, Piece
from vectadb_agent_parsers.fields import ERROR_LEVELS, find_ids, level_name, microseconds
from vectadb_agent_parsers.tracebacks import HEADING, is_cause, is_exception_line, raised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Block

_LEVEL = r"(DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL|NOTSET)"
_TIME = r"(\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?)"
_NAME = r"([A-Za-z_][\w.\-]{0,199})"
#: Time, level, name and text, in the orders that are met: "time LEVEL name: text", "time - name - LEVEL - text".
_FORMS = (
    (re.compile(rf"{_TIME}[ \t]+\[?{_LEVEL}\]?[ \t]+(?:{_NAME}(?::\d+)?: )?"), (1, 2, 3)),
    (re.compile(rf"{_TIME} - {_NAME} - {_LEVEL} - "), (1, 3, 2)),
    (re.compile(rf"{_TIME} - {_LEVEL} - (?:{_NAME} - )?"), (1, 2, 3)),
    (re.compile(rf"\[{_TIME}\][ \t]+\[?{_LEVEL}\]?[ \t]+(?:(?:in )?{_NAME}: )?"), (1, 2, 3)),
    (re.compile(rf"()\b{_LEVEL}:{_NAME}:"), (1, 2, 3)),
)
_LEVEL_FIRST = ("DEBUG:", "INFO:", "WARNING:", "ERROR:", "CRITICAL:")
_CONTINUES_LINE = (HEADING, "  + Exception Group Traceback")
_DIGITS = frozenset("0123456789[")

#: What the open block waits for: a traceback behind an error's line; frames; a chained traceback.
_AFTER_LINE, _FRAMES, _RAISED, _LINKED = "line", "frames", "raised", "linked"


class PythonLoggingParser(Parser):
    """Lines of the usual ``logging`` formats, and tracebacks, chained ones too.

    A traceback behind an error's line is part of it. Times without a zone are taken for UTC. The lines of the traceback
    stay in the event's text; its type and message are ``error.type`` and ``error.message``.
    """

    name = "python_logging"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make one event of a log line or a traceback."""
        text = block.text
        event = _logged(text)
        if event is None:
            if not text.startswith(_CONTINUES_LINE):
                return None
            event = Event(event_type="error", properties={"level": "ERROR"})
        properties = event.properties
        exception = raised(text)
        if exception is not None:
            event.event_type = "error"
            properties["error.type"], properties["error.message"] = exception
            properties.setdefault("message", exception[1] or exception[0])
        find_ids(event, text)
        event.raw = text
        return [event]

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join a traceback's lines, behind the line that reports it where there is one."""
        if state is None:
            if text.startswith(_CONTINUES_LINE):
                return (Piece(text, "start", state=_after(text, _FRAMES)),)
            if _is_error_line(text):
                return (Piece(text, "start", state=_after(text, _AFTER_LINE)),)
            return ()
        now = _next(text, state)
        if now is not None:
            return (Piece(text, "continue", state=now),)
        if text.startswith(_CONTINUES_LINE) or _is_error_line(text):
            return (Piece(text, "start", state=_after(text, _FRAMES if text[0] in "T " else _AFTER_LINE)),)
        if state == _AFTER_LINE and _logged(text) is not None:
            return (Piece(text, "start", closes=True),)  # the error's line has no traceback: wait no longer
        return ()


def _next(line: str, state: str) -> str | None:
    """Return the state after ``line`` if the open block goes on with it."""
    if state == _AFTER_LINE:
        return _after(line, _FRAMES) if line.startswith(_CONTINUES_LINE) else None
    if state == _FRAMES:
        if line.startswith((" ", "\t", "\xa0")):
            return _FRAMES
        return _RAISED if is_exception_line(line) else None
    if state == _RAISED:
        # The blank line before the chain's next link. An exception's message may have more lines: those are not told
        # from what the program prints next, and left alone.
        return _RAISED if line.strip() == "" else _LINKED if is_cause(line) else None
    return _FRAMES if line.startswith(HEADING) else _LINKED if line.strip() == "" else None


def _after(text: str, state: str) -> str:
    """Return the state behind a record that may hold several lines, the first of which led to ``state``."""
    if text.find("\n", 0, -1) < 0:
        return state
    for line in text.rstrip("\n").split("\n")[1:]:
        state = _next(line, state) or state
    return state


def _is_error_line(text: str) -> bool:
    return ("ERROR" in text[:200] or "CRITICAL" in text[:200]) and (
        (event := _logged(text)) is not None and event.event_type == "error"
    )


def frame_end(text: str) -> int | None:
    """Where the message begins behind what a logger puts before it."""
    matched = _match(text)
    return None if matched is None else matched[0].end()


def frame(text: str) -> tuple[Event, int] | None:
    """Read what a logger puts before its message: an event of that alone, and where in ``text`` the message begins."""
    matched = _match(text)
    if matched is None:
        return None
    found, (time, level, name) = matched
    normal = level_name(found[level])
    properties: dict[str, Any] = {"level": normal or found[level]}
    if found[name]:
        properties["logger"] = found[name]
    event = Event(
        event_type="error" if normal in ERROR_LEVELS else "log",
        timestamp=microseconds(found[time]),
        properties=properties,
    )
    return event, found.end()


def _match(text: str) -> tuple[re.Match[str], tuple[int, int, int]] | None:
    if text[:1] not in _DIGITS and not text.startswith(_LEVEL_FIRST):
        return None
    return next(((found, order) for form, order in _FORMS if (found := form.match(text)) is not None), None)


def _logged(text: str) -> Event | None:
    framed = frame(text)
    if framed is None:
        return None
    event, begin = framed
    message = text[begin:]
    traceback = message.find("\n" + HEADING)
    event.properties["message"] = (message if traceback < 0 else message[:traceback]).rstrip("\r\n")
    return event
