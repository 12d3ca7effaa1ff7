"""Which stretch of a group's time is read next. Pure decisions; all times are milliseconds since the epoch.

The invariant: every record that was visible when a slice was begun, and dated within it, has been read when its last
page has. With a record visible at most ``overlap`` after its own time, a slice that was begun at ``read_at`` is
complete but for its part after ``read_at - overlap``. So that is where the next slice starts.
"""

from __future__ import annotations

from dataclasses import dataclass

FUTURE = 2 * 3_600_000
"""How far ahead of its now AWS lets a record be dated."""

FIRST_SIZE = 60_000
_LEAST_SIZE = 1_000
MOST_SIZE = 86_400_000
_FEW_PAGES, _IDEAL_PAGES, _MANY_PAGES = 10, 25, 50
TOO_MANY_PAGES = 200
"""A slice of more pages is given up for a shorter one, so that progress is saved now and then."""


@dataclass(frozen=True, slots=True)
class Position:
    """How far a group has been read.

    ``watermark``: read up to here, never later than AWS's now: what a checkpoint holds. ``reached``: the end of the
    last slice. ``read_at``: AWS's now when that slice was begun. ``floor``: nothing before is wanted.
    """

    watermark: int
    reached: int
    read_at: int
    floor: int = 0

    @classmethod
    def resumed(cls, watermark: int) -> Position:
        """The position of a checkpoint. When its slice was begun nobody knows: the watermark is the earliest."""
        return cls(watermark, reached=watermark, read_at=watermark)

    @classmethod
    def fresh(cls, start: int) -> Position:
        """The position of a group never read, of which nothing before ``start`` is wanted."""
        return cls(start, reached=start, read_at=start, floor=start)

    @property
    def oldest_reread(self) -> int:
        """Later slices start here, less the overlap, or later; also after a restart from the watermark."""
        return min(self.watermark, self.reached, self.read_at)


@dataclass(frozen=True, slots=True)
class Slice:
    """A stretch of time, both ends included. ``head``: it reaches into the future, and nothing is left after it."""

    start: int
    end: int
    head: bool


def plan(position: Position, *, now: int, overlap: int, settle_max: int, size: int) -> Slice:
    """The slice to read next.

    Far behind, a stretch of ``size``, all of it older than ``settle_max``, so that nothing in it can still appear;
    else the head: everything up to two hours ahead of AWS's ``now``.
    """
    start = min(position.reached, position.read_at - overlap, now)
    start = max(start, min(position.floor, now), 0)
    if start + size <= now - settle_max:
        return Slice(start, start + size, head=False)
    return Slice(start, now + FUTURE, head=True)


def advance(position: Position, done: Slice, *, now: int) -> Position:
    """The position once ``done``, begun at AWS's ``now``, has been read to its last page."""
    watermark = max(position.watermark, min(done.end, now))
    return Position(watermark, reached=done.end, read_at=now, floor=position.floor)


def resize(size: int, pages: float) -> int:
    """The size of the next slice, given how many pages the last one of ``size`` had."""
    if _FEW_PAGES <= pages <= _MANY_PAGES:
        return size
    return _within(size * min(8.0, max(1 / 8, _IDEAL_PAGES / max(pages, 0.1))))


def shorten(size: int) -> int:
    """The size to try after a slice of ``size`` had too many pages, or could not be read to its end."""
    return _within(size / 8)


def _within(size: float) -> int:
    return int(min(MOST_SIZE, max(_LEAST_SIZE, size)))
