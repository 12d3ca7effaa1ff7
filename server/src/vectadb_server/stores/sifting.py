"""Chunks of a list whose filter no index answers: whole minutes, of which the counts say whether a look is worth it.

The engine filters rows in a fifth of the time that it takes to hand them over. It is not asked for so many of them in
their order, since SurrealDB 3.0 returns too few where a filter, an order and a limit meet: what bounds the work is how
many events the minutes hold. Where few of a minute's events are meant, those that the counts name are all that is
fetched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from vectadb_server.stores import minutes
from vectadb_server.stores.newest import MANY, Place, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from vectadb_server.stores.engine import Connection
    from vectadb_server.stores.newest import Listing
    from vectadb_server.stores.segments import Segments

T = TypeVar("T")

#: Where a minute holds so many times more events than those asked for, these are fetched by their ids.
RARE = 4

#: Rows that one chunk looks at, but for the last of its minutes. Of a minute that holds more it looks at a part.
ROWS = 5_000
#: Stretches of minutes that one chunk looks at.
RANGES = 60
#: How far back the counts are read at first, microseconds; then as far as seems needed, at most FURTHER times that.
BACK = 15 * 60_000_000
FURTHER = 8
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class _Look(NamedTuple):
    """Where a chunk looks: stretches of time, and events by id; ``reached``: where it ends, as of :class:`Chunks`."""

    ranges: list[Range]
    named: set[str]
    reached: Place | None


class ByMinute(Generic[T]):
    """Chunks of the minutes that hold events of an agent and of some types (``None`` and none: of any)."""

    def size(self, wanted: int, turn: int) -> int:
        """See :class:`~vectadb_server.stores.newest.Chunks`."""
        return wanted if self._exact else min(wanted << turn, MANY)

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
        # Whether the counts are of just what is asked for.
        self._exact = len(conditions) == (agent_id is not None) + bool(event_types)
        self._back = BACK
        key, where = listing.key, " AND ".join(conditions)
        select = f"SELECT VALUE [{listing.columns}] FROM"
        self._named = f"{select} array::distinct($named) WHERE id != NONE AND size > 0 AND {where}"
        self._sql = f"{select} {listing.source} WHERE {key} >= $from_{{0}} AND {key} <= $to_{{0}} AND {where}"

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
            look = await self._look(db, times, size)
            sql = [self._sql.format(number) for number in range(len(look.ranges))]
            values = dict(self._values)
            for number, each in enumerate(look.ranges):
                values |= {f"from_{number}": each.first, f"to_{number}": each.last}
            if look.named:
                sql.append(self._named)
                values["named"] = [self._listing.reference(name) for name in look.named]
            rows = [row for result in await db.run("; ".join(sql), values) for row in result] if sql else []
        found: dict[Place, T] = {}
        for row in rows:
            item = self._listing.read(row, day)
            place = self._listing.place(item)
            is_meant = times.first <= place.nus <= times.last and (after is None or place > after)
            if is_meant and self._keep(item):
                found[place] = item
        return sorted(found.items(), key=lambda each: each[0]), look.reached

    async def _look(self, db: Connection, times: Range, size: int) -> _Look:
        """Choose minutes, newest first."""
        newest, oldest = -times.first, -times.last
        since = max(oldest, newest - self._back)
        since -= since % minutes.MINUTE
        known = await minutes.numbers(db, since, newest + 1, self._agent_id, self._event_types)
        look = _Look([], set(), None)
        ranges = look.ranges
        rows = matches = 0
        for minute in known:
            if rows >= ROWS or len(ranges) >= RANGES or (self._counted and matches >= size):
                # The minutes before this one are looked at, whole.
                return look._replace(reached=Place(-minute.start - minutes.MINUTE, _LAST_ID))
            if minute.ours <= 0:
                continue
            matches += minute.ours
            if self._counted and minute.names is not None and minute.events > RARE * minute.ours:
                look.named.update(minute.names)
                rows += len(minute.names)
                continue
            end = -(minute.start + minutes.MINUTE - 1)
            if minute.events > ROWS:
                if rows:
                    return look._replace(reached=Place(end - 1, _LAST_ID))
                # As many as if its events came evenly.
                first = max(end, times.first)
                last = min(first + minutes.MINUTE * ROWS // minute.events, -minute.start, times.last)
                return _Look([Range(first, last)], set(), Place(last, _LAST_ID))
            rows += minute.events
            if ranges and ranges[-1].last + 1 == end:
                ranges[-1] = Range(ranges[-1].first, min(-minute.start, times.last))
            else:
                ranges.append(Range(max(end, times.first), min(-minute.start, times.last)))
        needed = FURTHER * self._back
        if self._counted and matches:
            needed = min(needed, self._back * (size - matches) * 5 // (4 * matches))
        self._back = max(BACK, needed)
        return look if since <= oldest else look._replace(reached=Place(-since, _LAST_ID))
