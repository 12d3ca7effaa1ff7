"""How many rows of events each day of the embedded record holds, without counting them at each question.

A day that is written to is counted again now and then, for at most a 250th of the time (a million rows take the engine
about a second); the count of one that nobody writes to any more is kept in ``meta`` until somebody does.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from vectadb_server.stores.engine import key_of, record
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectadb_server.stores.segments import Segments

#: A recount waits for so many times what the last one took, and at least so many seconds.
SHARE, LEAST = 250, 5.0
#: Seconds without a write after which a day's count is kept.
SETTLED = 600.0


class RowCounts:
    """Of a record that only this process writes."""

    def __init__(self, segments: Segments, clock: Callable[[], float] = time.monotonic) -> None:
        self._segments, self._clock = segments, clock
        #: By day; a day that is not here was not counted yet.
        self.by_day: dict[str, int] = {}
        self.complete = False
        self._kept: set[str] | None = None  # whose count stands in the record; `None`: not read yet
        self._written: set[str] = set()  # since they were counted
        self._counted: dict[str, float] = {}
        self._next = 0.0

    async def writing(self, day: str) -> None:
        """Note that rows of the day are about to change; :meth:`written` is called once they have.

        Raises:
            StoreUnavailable: the kept count cannot be taken back.
        """
        if self._kept is None or day in self._kept:
            await self._take_back(day)
        self.written(day)

    def written(self, day: str) -> None:
        """Note that rows of the day have changed, or may have."""
        self._written.add(day)

    async def refresh(self) -> None:
        """Count what is due.

        Raises:
            StoreUnavailable: the record does not answer.
        """
        days = set(await self._segments.days())
        if self._kept is None:
            await self._recall()
        for gone in self.by_day.keys() - days:
            del self.by_day[gone]
            self._written.discard(gone)
            await self._take_back(gone)
        for day in sorted(days, reverse=True):
            if day not in self.by_day:
                await asyncio.sleep(await self._count(day))  # Others come first.
            elif day in self._written:
                if self._clock() >= self._next:
                    took = await self._count(day)
                    self._next = self._clock() + max(LEAST, took * SHARE)
            elif self._clock() - self._counted.get(day, self._clock()) > SETTLED:
                await self._keep(day)
        self.complete = True

    async def _recall(self) -> None:
        async with self._segments.use(META) as meta:
            kept = {key_of(row["id"]): row["n"] for row in await meta.one("SELECT id, n FROM row_count")}
        self.by_day.update(kept)
        self._kept = kept.keys() - self._written

    async def _count(self, day: str) -> float:
        """Count the rows; return how many seconds that took."""
        began = self._clock()
        self._written.discard(day)  # What is written meanwhile is noted again.
        async with self._segments.use(day) as db:
            found = await db.one("SELECT count() AS n FROM event GROUP ALL")
        self.by_day[day] = found[0]["n"] if found else 0
        self._counted[day] = self._clock()
        return self._counted[day] - began

    async def _keep(self, day: str) -> None:
        values = {"ref": record("row_count", day), "n": self.by_day[day]}
        async with self._segments.use(META) as meta:
            await meta.run("UPSERT $ref SET n = $n RETURN NONE", values)
        if day in self._written:
            await self._take_back(day)
        elif self._kept is not None:
            self._kept.add(day)
            del self._counted[day]

    async def _take_back(self, day: str) -> None:
        async with self._segments.use(META) as meta:
            await meta.run("DELETE $ref RETURN NONE", {"ref": record("row_count", day)})
        if self._kept is not None:
            self._kept.discard(day)
