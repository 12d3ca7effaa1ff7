"""Chunks of a list whose filter no index answers: whole minutes, of which the counts say whether a look is worth it.

The engine filters rows in a fifth of the time that it takes to hand them over. It is not asked for so many of them in
their order, since SurrealDB 3.0 returns too few where a filter, an order and a limit meet: what bounds the work is how
many events the minutes hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from vectadb_server.stores import minutes
from vectadb_server.stores.newest import Place, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from vectadb_server.stores.engine import Connection
    from vectadb_server.stores.newest import Listing
    from vectadb_server.stores.segments import Segments

T = TypeVar("T")

#: Rows that one chunk looks at, but for the last of its minutes. Of a minute that holds more it looks at a part.
ROWS = 5_000
#: Stretches of minutes that one chunk looks at.
RANGES = 60
#: How far back the counts are read at first, microseconds; four times as far with each chunk.
BACK = 2 * 3_600_000_000
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class ByMinute(Generic[T]):
    """Chunks of the minutes that hold events of an agent and of some types (``None`` and none: of any)."""

    @property
    def least(self) -> int:
        """See :class:`~vectadb_server.stores.newest.Chunks`."""
        return 1

    def __init__(
        self,
        segments: Segments,
        listing: Listing[T],
        conditions: Sequence[str],
        values: dict[str, Any],
        keep: Callable[[T], bool],
        *,
        agent_id: str | None,
        event_types: Collection[str],
    ) -> None:
        self._segments, self._listing, self._values, self._keep = segments, listing, values, keep
        self._agent_id, self._event_types = agent_id, event_types
        self._counted = agent_id is not None or bool(event_types)
        self._back: dict[str, int] = {}
        key = listing.key
        self._sql = (
            f"SELECT VALUE [{listing.columns}] FROM {listing.source} "  # noqa: S608 - no values
            f"WHERE {key} >= $from_{{0}} AND {key} <= $to_{{0}} AND {' AND '.join(conditions)}"
        )

    async def chunk(
        self, day: str, times: Range, after: Place | None, size: int
    ) -> tuple[list[tuple[Place, T | None]], Place | None]:
        """See :class:`~vectadb_server.stores.newest.Chunks`."""
        if after is not None and after.id == _LAST_ID and after.nus == times.first:
            # The minute that begins at this place was looked at, whole; seen again, it might be all that a chunk sees.
            times = Range(times.first + 1, times.last)
            if times.first > times.last:
                return [], None
        async with self._segments.use(day) as db:
            ranges, reached = await self._ranges(db, day, times, size)
            sql = "; ".join(self._sql.format(number) for number in range(len(ranges)))
            bounds = {f"from_{number}": each.first for number, each in enumerate(ranges)}
            bounds |= {f"to_{number}": each.last for number, each in enumerate(ranges)}
            rows = [row for result in await db.run(sql, {**self._values, **bounds}) for row in result] if ranges else []
        found: list[tuple[Place, T | None]] = []
        for row in rows:
            item = self._listing.read(row, day)
            place = self._listing.place(item)
            if self._keep(item) and (after is None or place > after):
                found.append((place, item))
        return sorted(found, key=lambda each: each[0]), reached

    async def _ranges(self, db: Connection, day: str, times: Range, size: int) -> tuple[list[Range], Place | None]:
        """Choose minutes, newest first; return them as ranges, with the place up to which these are all that matter."""
        newest, oldest = -times.first, -times.last
        back = self._back.get(day, BACK)
        self._back[day] = 4 * back
        since = max(oldest, newest - back)
        since -= since % minutes.MINUTE
        known = await minutes.numbers(db, since, newest + 1, self._agent_id, self._event_types)
        ranges: list[Range] = []
        rows = matches = 0
        for minute, all_of_it, ours in known:
            if rows >= ROWS or len(ranges) >= RANGES or (self._counted and matches >= size):
                # The minutes before this one are looked at, whole.
                return ranges, Place(-minute - minutes.MINUTE, _LAST_ID)
            if ours <= 0:
                continue
            end = -(minute + minutes.MINUTE - 1)
            if all_of_it > ROWS:
                if ranges:
                    return ranges, Place(end - 1, _LAST_ID)
                # As many as if its events came evenly.
                first = max(end, times.first)
                last = min(first + minutes.MINUTE * ROWS // all_of_it, -minute, times.last)
                return [Range(first, last)], Place(last, _LAST_ID)
            rows, matches = rows + all_of_it, matches + ours
            if ranges and ranges[-1].last + 1 == end:
                ranges[-1] = Range(ranges[-1].first, min(-minute, times.last))
            else:
                ranges.append(Range(max(end, times.first), min(-minute, times.last)))
        return ranges, None if since <= oldest else Place(-since, _LAST_ID)
