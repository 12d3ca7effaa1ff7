"""Joining: from records, one a printed line, to the blocks that the program printed.

A stream has at most one open block. The parser that opened it is asked first about the next record, then the others in
order; a record that nobody claims is a block by itself. What a parser calls ``other`` in the middle of its block goes
to the other parsers, and the block stays open.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from vectadb_agent.components import Parser
from vectadb_agent.records import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from vectadb_agent.records import LogRecord, LogStream, Piece

logger = logging.getLogger("vectadb_agent.join")

MAX_LINES = 2_000
MAX_BYTES = 1_000_000
QUIET = 2_000_000
"""A block that nothing was added to for so long ends, microseconds of stream time (or of wall clock)."""
HOLD = 60_000_000
"""Longest time that a record is held for a block to grow, microseconds of wall clock: it holds the checkpoint back."""

STREAMS = 10_000
"""Streams whose latest time is remembered, to recognise late records."""

Tag = TypeVar("Tag")


class Joined(msgspec.Struct, Generic[Tag], gc=False):
    """A finished block; the index of the parser that claimed it, if one did; and each record's tag."""

    block: Block
    owner: int | None
    tags: tuple[Tag, ...]


class _Open(msgspec.Struct):
    owner: int
    state: Any
    records: list[LogRecord]
    lines: list[str]
    parts: list[str]
    tags: list[Any]
    size: int
    latest: int
    opened: int
    touched: int


class _Cut(msgspec.Struct, gc=False):
    text: str
    kind: str
    closes: bool
    state: Any
    owner: int | None


class Joiner(Generic[Tag]):
    """Joins the records of one partition.

    Every text that goes in comes out in exactly one block, unaltered and in order within its stream. ``tag`` is
    whatever the caller wants to find beside the record again; ``taken(tag)`` is called once for each piece of it, as
    soon as that is known.

    With ``set_late_aside`` a record that is older than what its stream has brought already becomes a block by itself:
    where it belongs only a later reading can tell, which then finds no wrong block to undo.
    """

    def __init__(
        self,
        parsers: Sequence[Parser],
        taken: Callable[[Tag], None] = lambda tag: None,
        *,
        set_late_aside: bool = False,
    ) -> None:
        self._taken = taken
        self._latest: dict[LogStream, int] | None = {} if set_late_aside else None
        self._parsers = parsers
        self._cutters = [index for index, parser in enumerate(parsers) if type(parser).pieces is not Parser.pieces]
        self._open: dict[LogStream, _Open] = {}
        self.held_bytes = 0
        """Size of the text in open blocks, characters."""
        self.held_pieces = 0
        self.failed = 0
        """How often a parser raised where it was asked to cut a record."""

    def __len__(self) -> int:
        """Return the number of open blocks."""
        return len(self._open)

    def add(self, record: LogRecord, tag: Tag, now: int) -> list[Joined[Tag]]:
        """Take the next record of its stream; return the blocks that it finishes. ``now``: wall clock, microseconds."""
        if not self._cutters or (self._latest is not None and self._is_late(record, self._latest)):
            return [self._whole(record, record.message, "0", tag, None)]
        done: list[Joined[Tag]] = []
        open_ = self._open.get(record.stream)
        if open_ is not None and (len(open_.lines) >= MAX_LINES or open_.size + len(record.message) > MAX_BYTES):
            done.append(self._close(record.stream))
            open_ = None
        cuts = self._cut(record.message, open_)
        if len(cuts) == 1 and cuts[0].owner is None:
            done.append(self._whole(record, record.message, "0", tag, None))
            return done
        for number, cut in enumerate(cuts):
            open_ = self._open.get(record.stream)
            if cut.kind == "continue" and open_ is not None and open_.owner == cut.owner:
                self._append(open_, record, cut.text, str(number), tag, now)
                open_.state = True if cut.state is None else cut.state
                if cut.closes:
                    done.append(self._close(record.stream))
            elif cut.kind == "start" and not cut.closes and cut.owner is not None:
                if open_ is not None:
                    done.append(self._close(record.stream))
                state = True if cut.state is None else cut.state
                open_ = _Open(cut.owner, state, [], [], [], [], 0, record.timestamp, now, now)
                self._open[record.stream] = open_
                self._append(open_, record, cut.text, str(number), tag, now)
            else:
                if cut.kind == "start" and open_ is not None:
                    done.append(self._close(record.stream))
                done.append(self._whole(record, cut.text, str(number), tag, cut.owner))
        return done

    def read_through(self, time: int) -> list[Joined[Tag]]:
        """Close the blocks that were quiet before ``time``, up to which the partition has been read (microseconds)."""
        return self._close_where(stream for stream, open_ in self._open.items() if open_.latest + QUIET <= time)

    def expire(self, now: int, *, quiet: bool) -> list[Joined[Tag]]:
        """Close the blocks held for too long by the wall clock; with ``quiet`` also those not added to lately."""
        return self._close_where(
            stream
            for stream, open_ in self._open.items()
            if open_.opened + HOLD <= now or (quiet and open_.touched + QUIET <= now)
        )

    def flush(self) -> list[Joined[Tag]]:
        """Close every block as it stands."""
        return self._close_where(iter(tuple(self._open)))

    def _is_late(self, record: LogRecord, latest: dict[LogStream, int]) -> bool:
        if record.timestamp < latest.get(record.stream, record.timestamp):
            return True
        if record.stream not in latest and len(latest) >= STREAMS:
            del latest[next(iter(latest))]
        latest[record.stream] = record.timestamp
        return False

    def _close_where(self, streams: Iterator[LogStream]) -> list[Joined[Tag]]:
        return [self._close(stream) for stream in list(streams)]

    def _whole(self, record: LogRecord, text: str, part: str, tag: Tag, owner: int | None) -> Joined[Tag]:
        self._taken(tag)
        return Joined(Block((record,), (text,), (part,)), owner, (tag,))

    def _append(self, open_: _Open, record: LogRecord, text: str, part: str, tag: Tag, now: int) -> None:
        if open_.records and open_.records[-1] is record:
            open_.lines[-1] += text
        else:
            open_.records.append(record)
            open_.lines.append(text)
            open_.parts.append(part)
            open_.tags.append(tag)
            self.held_pieces += 1
            self._taken(tag)
        open_.size += len(text)
        self.held_bytes += len(text)
        open_.latest = max(open_.latest, record.timestamp)
        open_.touched = now

    def _close(self, stream: LogStream) -> Joined[Tag]:
        open_ = self._open.pop(stream)
        self.held_bytes -= open_.size
        self.held_pieces -= len(open_.tags)
        block = Block(tuple(open_.records), tuple(open_.lines), tuple(open_.parts))
        return Joined(block, open_.owner, tuple(open_.tags))

    def _cut(self, text: str, open_: _Open | None) -> list[_Cut]:
        if open_ is not None:
            pieces = self._pieces(open_.owner, text, open_.state)
            if pieces:
                return self._resolve(text, pieces, open_.owner, open_.owner)
        return self._ask(text, None if open_ is None else open_.owner, 0)

    def _ask(self, text: str, asked: int | None, start: int) -> list[_Cut]:
        """Ask the parsers from position ``start`` on, but not the one already ``asked``, about text without context."""
        for position in range(start, len(self._cutters)):
            index = self._cutters[position]
            if index == asked:
                continue
            pieces = self._pieces(index, text, None)
            if pieces:
                return self._resolve(text, pieces, index, asked, position + 1)
        return [_Cut(text, "whole", False, None, None)]

    def _pieces(self, index: int, text: str, state: Any) -> Sequence[Piece]:
        """Ask a parser. One that raises, which none should, has nothing to say of this text."""
        parser = self._parsers[index]
        try:
            return parser.pieces(text, state)
        except Exception:
            self.failed += 1
            if self.failed & (self.failed - 1) == 0:  # the 1st, 2nd, 4th, 8th …
                extra = {"parser": parser.name, "failures": self.failed, "text": text[:200]}
                logger.exception("parser failed to cut a record; it is left to the others", extra=extra)
            return ()

    def _resolve(self, text: str, pieces: Any, owner: int, asked: int | None, start: int = 0) -> list[_Cut]:
        if sum(len(piece.text) for piece in pieces) != len(text):
            # A parser that loses text must not: the record stays whole, and is somebody else's.
            return [_Cut(text, "whole", False, None, None)]
        cuts: list[_Cut] = []
        for piece in pieces:
            if piece.kind == "other":
                cuts.extend(self._ask(piece.text, asked if asked is not None else owner, start))
            else:
                cuts.append(_Cut(piece.text, piece.kind, piece.closes, piece.state, owner))
        return cuts
