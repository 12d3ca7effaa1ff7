"""The server's own log, on standard error: JSON lines, or, on a terminal, lines for people."""

from __future__ import annotations

import logging
import os
import sys
import time
from contextvars import ContextVar
from typing import TYPE_CHECKING, TextIO

import msgspec

from vectadb_server import keys

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Id of the request that the present task works on; every line written meanwhile carries it.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
#: Id of the trace (OpenTelemetry's, of the servers) that the request is part of, in hexadecimal.
trace_id: ContextVar[str | None] = ContextVar("trace_id", default=None)

_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_COLOURS = {"DEBUG": "2", "INFO": "36", "WARNING": "33", "ERROR": "31", "CRITICAL": "31;1"}


class JsonLines(logging.Formatter):
    """One JSON object a line: ``time`` (RFC 3339), ``level``, ``logger``, ``message``, and what the call gave."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line = {
            "time": _time(record, "%Y-%m-%dT%H:%M:%S") + "Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        try:
            return msgspec.json.encode(line, enc_hook=str).decode()
        except ValueError:  # text that UTF-8 cannot carry
            fit = {key: str(value).encode("utf-8", "backslashreplace").decode() for key, value in line.items()}
            return msgspec.json.encode(fit).decode()


class ForPeople(logging.Formatter):
    """``14:03:07.120 warning  message  (key=value …)``, coloured where ``colour`` is true."""

    def __init__(self, *, colour: bool) -> None:
        super().__init__()
        self._colour = colour

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line, and its traceback below it."""
        level = f"{record.levelname.lower():<8}"
        if self._colour:
            level = f"\x1b[{_COLOURS.get(record.levelname, '0')}m{level}\x1b[0m"
        extra = "  ".join(f"{key}={value}" for key, value in _extra(record).items())
        text = printable(f"{record.getMessage()}  ({extra})" if extra else record.getMessage())
        text = f"{_time(record, '%H:%M:%S')} {level} {text}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class Without(logging.Formatter):
    """Another formatter, whose lines tell no API key, whatever was logged: neither ours nor ``hidden`` texts."""

    def __init__(self, formatter: logging.Formatter, hidden: Sequence[str] = ()) -> None:
        super().__init__()
        self._formatter, self._hidden = formatter, [text for text in hidden if text]

    def format(self, record: logging.LogRecord) -> str:
        """Return the other's line, without."""
        line = keys.IN_TEXT.sub(r"vdb_\1_…", self._formatter.format(record))
        for text in self._hidden:
            line = line.replace(text, "…")
        return line


def printable(text: str) -> str:
    """``text`` without control characters, which could rule the terminal: each becomes its escape, as in source."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def set_up(level: str, stream: TextIO | None = None, *, json: bool = False, hidden: Sequence[str] = ()) -> None:
    """Send all logging to ``stream`` (default: standard error), in the form that suits it, without ``hidden`` texts.

    ``json``: in JSON lines even on a terminal.
    """
    target = sys.stderr if stream is None else stream
    handler = logging.StreamHandler(target)
    people = target.isatty() and not json
    form: logging.Formatter = ForPeople(colour="NO_COLOR" not in os.environ) if people else JsonLines()
    handler.setFormatter(Without(form, hidden))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    logging.getLogger("vectadb_server").setLevel(level.upper())
    # It reports what clients do wrong on the wire; that is theirs to know.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)


def _time(record: logging.LogRecord, form: str) -> str:
    return f"{time.strftime(form, time.gmtime(record.created))}.{int(record.msecs):03d}"


def _extra(record: logging.LogRecord) -> dict[str, object]:
    extra = {key: value for key, value in vars(record).items() if key not in _STANDARD}
    for current in (request_id, trace_id):
        if (value := current.get()) is not None:
            extra.setdefault(current.name, value)
    return extra
