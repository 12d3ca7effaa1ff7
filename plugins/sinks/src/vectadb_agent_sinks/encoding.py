"""Events as JSON: what all sinks of this package have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

try:  # The same function, four times as fast; not made for every machine.
    from isal.isal_zlib import compress as _compress
except ImportError:
    from zlib import compress as _compress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Event

_encode = msgspec.json.Encoder().encode

_LONG_EVENTS = 200
_LONG_CHARS = 256 * 1024


class Encoded(msgspec.Struct):
    """A batch as JSON: ``lines[i]`` is the event ``events[i]``. ``refused`` is as in :class:`vectadb_agent.Result`."""

    events: list[Event]
    lines: list[bytes]
    refused: list[tuple[str, str, bool]]

    def ndjson(self) -> bytes:
        """The events, a line each, the last one ended too; empty if there are none."""
        return b"\n".join([*self.lines, b""]) if self.lines else b""


def encode_events(events: Sequence[Event]) -> Encoded:
    """Encode each event by itself, so that one which is not expressible as JSON is refused without its batch."""
    encoded = Encoded([], [], [])
    for event in events:
        try:
            line = _encode(event.wire())
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            reason = f"the event cannot be written as JSON: {type(error).__name__}: {error}"
            encoded.refused.append((event.event_id, reason, False))
        else:
            encoded.events.append(event)
            encoded.lines.append(line)
    return encoded


def takes_long(events: Sequence[Event]) -> bool:
    """Whether to encode in a thread: it would hold the event loop for more than about 5 ms."""
    return len(events) > _LONG_EVENTS or sum(len(event.raw or "") for event in events) > _LONG_CHARS


def gzipped(data: bytes) -> bytes:
    """The data in gzip's form, packed quickly rather than tightly: events shrink to about a fifth."""
    return _compress(data, 1, 31)  # level 6 would take 2.5 times as long; 31 asks for gzip's header
