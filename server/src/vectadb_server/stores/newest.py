"""Newest-first lists over several days, in bounded time: rows are looked at in chunks until the page is full.

A chunk is so many rows of the index, not so many that fit the filter, and says how far it came. So a filter that hardly
any row fits costs a short page instead of a long wait.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar

from vectadb_server.stores.base import Cursor, Page
from vectadb_server.stores.engine import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectadb_server.stores.segments import Segments

T = TypeVar("T")

#: Seconds after which a page ends short. A chunk more may be under way.
SECONDS = 1.0
FEW, MANY = 100, 1_000
"""Rows in the first chunk, at least, and in the largest."""
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class Place(NamedTuple):
    """Where a row stands in the list: by negative time, then id."""

    nus: int
    id: str


class Listing(NamedTuple, Generic[T]):
    """What is listed.

    ``source``: table and index; ``key``: the column of negative times, microseconds; ``columns``: what ``read`` makes
    an item of, with the day; ``place`` of an item; ``reference`` to the row of a place's id. ``bound``: a condition
    that the index needs beside the time. ``id``: the column with a reference to what is listed, where that is not the
    row.
    """

    source: str
    key: str
    columns: str
    read: Callable[[Sequence[Any], str], T]
    place: Callable[[T], Place]
    reference: Callable[[str], Any]
    bound: str = ""
    id: str = "id"


class Range(NamedTuple):
    """Negative times, both inclusive."""

    first: int
    last: int


class Chunks(Protocol[T]):
    """Where a page's items come from."""

    def size(self, wanted: int, turn: int) -> int:
        """How many are asked for where ``wanted`` are still wanted, the first time (0) or again."""
        ...

    async def chunk(
        self, day: str, times: Range, after: Place | None, size: int
    ) -> tuple[list[tuple[Place, T | None]], Place | None]:
        """Look for some ``size`` items of a day in this time, behind a place: newest first.

        Returns items, with their places (``None``: nothing is listed there), and up to where these are all there is;
        ``None``: to the end of the time.
        """
        ...


class Newest(Generic[T]):
    """One request for a page. ``days``: with their least and most time, by the latter, descending."""

    def __init__(
        self, days: Sequence[tuple[str, tuple[int, int]]], place: Callable[[T], Place], chunks: Chunks[T]
    ) -> None:
        self._days, self._place, self._chunks = days, place, chunks

    async def page(self, times: Range, *, limit: int, after: Cursor | None, seconds: float | None = None) -> Page[T]:
        """Return at most ``limit`` items after a place; after ``seconds`` (:data:`SECONDS`) what there is by then."""
        if limit < 1:
            return Page([], after)
        if times.first > times.last or (after is not None and -after.us > times.last):
            return Page([], None)
        until = time.monotonic() + (SECONDS if seconds is None else seconds)
        place = Place(-after.us, after.id) if after is not None else None
        items: list[T] = []
        turn = 0
        while True:
            chunk = self._chunks.size(limit + 1 - len(items), turn)
            found, frontier = await self._round(times, place, chunk, until)
            items += found
            if len(items) > limit:
                last = self._place(items[limit - 1])
                return Page(items[:limit], Cursor(-last.nus, last.id))
            if frontier is None:
                return Page(items, None)
            if len(items) == limit or time.monotonic() > until:
                return Page(items, Cursor(-frontier.nus, frontier.id))
            place, turn = frontier, turn + 1

    async def _round(self, times: Range, after: Place | None, chunk: int, until: float) -> tuple[list[T], Place | None]:
        """Look at a chunk of each day; return what is found, and up to where that is all there is."""
        first = max(times.first, after.nus) if after is not None else times.first
        frontier: Place | None = None
        looked = False
        found: list[tuple[Place, T | None]] = []
        for day, (least, most) in self._days:
            if -most > times.last or (frontier is not None and -most > frontier.nus):
                break
            if -least < first:
                continue
            before = Place(-most - 1, _LAST_ID)
            if looked and time.monotonic() > until and (after is None or before > after):
                # Days may have to be opened first. What is newer than all of this one's rows is complete.
                frontier = before if frontier is None else min(frontier, before)
                break
            looked = True
            times_of_day = Range(max(first, -most), min(times.last, -least))
            rows, reached = await self._chunks.chunk(day, times_of_day, after, chunk)
            if reached is not None:
                frontier = reached if frontier is None else min(frontier, reached)
            found += rows
        found.sort(key=lambda each: each[0])
        items = [item for place, item in found if item is not None and (frontier is None or place <= frontier)]
        return items, frontier


class ByIndex(Generic[T]):
    """Chunks of so many rows of an index. Those that do not fit the filter say only where they stand."""

    def size(self, wanted: int, turn: int) -> int:
        """See :class:`Chunks`."""
        return max(wanted, min(FEW << turn, MANY))

    def __init__(
        self,
        segments: Segments,
        listing: Listing[T],
        conditions: Sequence[str],
        values: dict[str, Any],
        keep: Callable[[T], bool] | None,
    ) -> None:
        self._segments, self._listing, self._values, self._keep = segments, listing, values, keep
        wanted, key = f"[{listing.columns}]", listing.key
        self._filtered = bool(conditions)
        what = (
            f"IF {' AND '.join(conditions)} {{ {wanted} }} ELSE {{ [{key}, {listing.id}] }}" if conditions else wanted
        )
        bound = f"{listing.bound} AND " if listing.bound else ""
        # In two, since SurrealDB 3.0 orders only by what is selected.
        start = f"SELECT VALUE row FROM (SELECT {key}, id, {what} AS row FROM {listing.source} WHERE {bound}"  # noqa: S608 - no values
        end = f"ORDER BY {key}, id LIMIT $chunk)"
        self._at = f"{start}{key} = $tie AND id > $tie_id {end}"
        self._from = f"{start}{key} >= $from AND {key} <= $to {end}"

    async def chunk(
        self, day: str, times: Range, after: Place | None, size: int
    ) -> tuple[list[tuple[Place, T | None]], Place | None]:
        """See :class:`Chunks`."""
        values = {**self._values, "from": times.first, "to": times.last, "chunk": size}
        sql = self._from
        if after is not None and after.nus == times.first:
            # What has the same time is asked for by itself: a condition on the id would hide from the engine that the
            # index has the order already.
            values |= {"tie": after.nus, "tie_id": self._listing.reference(after.id), "from": times.first + 1}
            sql = f"{self._at}; {self._from}" if times.first < times.last else self._at
        async with self._segments.use(day) as db:
            rows = [row for result in await db.run(sql, values) for row in result][:size]
        found = [self._read(row, day) for row in rows]
        return found, found[-1][0] if len(found) == size else None

    def _read(self, row: Sequence[Any], day: str) -> tuple[Place, T | None]:
        if self._filtered and len(row) == 2:
            return Place(row[0], str(key_of(row[1]))), None
        item = self._listing.read(row, day)
        kept = self._keep is None or self._keep(item)
        return self._listing.place(item), item if kept else None
