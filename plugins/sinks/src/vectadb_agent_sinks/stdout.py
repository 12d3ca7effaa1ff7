"""The ``stdout`` sink: events to the console, as JSON lines or for people to read."""

from __future__ import annotations

import os
import select
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.to_thread
import msgspec

from vectadb_agent import Event, Result, Sink, SinkConfig
from vectadb_agent.errors import CheckError, RetryableError
from vectadb_agent_sinks.encoding import encode_events

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

MAX_MESSAGE = 200
"""Characters of the message that ``format: pretty`` shows."""


class StdoutConfig(SinkConfig):
    """Options of the ``stdout`` sink."""

    format: Literal["json", "pretty"] = "json"
    """``json``: an event a line, as VectaDB's API takes it. ``pretty``: time, type, trace and message, for people."""


class StdoutSink(Sink):
    """Writes events to standard output. At least once: a batch that failed half-way is written again."""

    name = "stdout"
    Config = StdoutConfig
    config: StdoutConfig

    def __init__(self, config: StdoutConfig) -> None:
        super().__init__(config)
        self._lock = anyio.Lock()
        self._fd = -1
        self._torn = False

    async def __aenter__(self) -> Self:
        """Let what was printed before go out first, since events bypass Python's buffer.

        Raises:
            CheckError: standard output is closed.
        """
        try:
            sys.stdout.flush()
            self._fd = sys.stdout.fileno()
        except (AttributeError, OSError, ValueError) as error:  # None or closed: the program was started without one
            raise CheckError("there is no standard output to write to: use the 'file' sink") from error
        return self

    async def write(self, events: Sequence[Event]) -> Result:
        """Write the events, each on a line of its own.

        Raises:
            CheckError: the reader of a pipe has gone: nothing can be written any more, now or later.
            RetryableError: standard output is a file on a disk that is full, or the like.
        """
        async with self._lock:
            try:
                return await anyio.to_thread.run_sync(self._put, events)
            except BrokenPipeError as error:
                raise CheckError("standard output was closed by its reader, so that no more can be written") from error
            except OSError as error:
                raise RetryableError(f"standard output: {error.strerror}") from error

    def _put(self, events: Sequence[Event]) -> Result:
        if self.config.format == "json":
            encoded = encode_events(events)
            data, result = encoded.ndjson(), Result(refused=encoded.refused)
        else:
            data, result = "".join(pretty(event) + "\n" for event in events).encode(), Result()
        rest = memoryview(b"\n" + data if self._torn else data)
        while rest:
            try:
                written = os.write(self._fd, rest)
            except BlockingIOError:  # whoever shares the terminal or pipe may have made it non-blocking
                select.select([], [self._fd], [])
                continue
            self._torn = rest[written - 1] != ord("\n")
            rest = rest[written:]
        return result


def pretty(event: Event) -> str:
    """One line for people: time (UTC), type, whose event it is, and the start of what it says.

    Control characters are left out, so that a log cannot steer the terminal.
    """
    us = event.timestamp if event.timestamp is not None else event.block.timestamp if event.block else None
    whose = event.trace_id or event.request_id or event.session_id or "-"
    if event.agent_id:
        whose += "/" + event.agent_id
    return f"{_clock(us)}  {_printable(event.event_type):<16}  {_printable(whose)}  {_message(event)}".rstrip()


def _clock(us: int | None) -> str:
    try:
        return f"{datetime.fromtimestamp((us or 0) // 1000 / 1000, UTC):%Y-%m-%d %H:%M:%S.%f}"[:23]
    except (OverflowError, ValueError, OSError):
        return f"{us} us"


def _message(event: Event) -> str:
    properties = event.properties
    tool = properties.get("gen_ai.tool.name")
    told = properties.get("gen_ai.tool.call.result", properties.get("gen_ai.tool.call.arguments"))
    if tool:
        text = f"{tool}: {_text(told)}" if told is not None else str(tool)
    else:
        text = _text(properties.get("message") or event.raw or "")
    lines = [line for line in map(_printable, text.splitlines()) if line]
    shown = lines[0] if lines else ""
    if len(shown) > MAX_MESSAGE:
        shown = shown[: MAX_MESSAGE - 1] + "…"
    return f"{shown}  (+{len(lines) - 1} lines)" if len(lines) > 1 else shown


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return repr(value)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).strip()
