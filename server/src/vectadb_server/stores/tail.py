"""What was stored, in the order in which the indexer heard of it: kept for some minutes, for those who follow live.

Rows are numbered without a gap: a row is written only where the one before it is, and a second row of a number is
refused. So whoever has seen a number has seen all before it, however many servers there are and whatever their clocks
say. Only the indexer writes, of which there is one; ingest pays nothing.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from vectadb_server.stores.engine import Conflict, key_of
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_server.stores.segments import Segments

#: How long rows are kept, seconds, and of how many events.
KEPT_SECONDS, KEPT_EVENTS = 600.0, 200_000
#: Events in one row, at most.
ROW = 500
#: Rows among which a commit is looked for that comes again, since the indexer did not come to its end.
RECENT = 64
_PRUNE_EVERY = 64
_ROWS = "FROM tail:[$first]..=[$last]"


class TailRow(msgspec.Struct, frozen=True):
    """Events that became known together. ``keys``: ``(day, event_id)`` each."""

    number: int
    keys: list[tuple[str, str]]


class Tail:
    """The rows. ``news`` is set when this server has written one."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self.news = asyncio.Event()
        self._written = 0
        self._newest = 0  # that was seen

    async def append(self, day: str, commits: Sequence[tuple[UUID, Sequence[str]]]) -> None:
        """Add the events of commits, each named by its outbox row; those that were added before are left out."""
        while True:
            last, known, total = await self._end()
            new = [(commit, event_ids) for commit, event_ids in commits if commit not in known and event_ids]
            if not new:
                return
            rows: list[dict[str, Any]] = []
            event_ids = [event_id for _, some in new for event_id in some]
            for i in range(0, len(event_ids), ROW):
                part = event_ids[i : i + ROW]
                total += len(part)
                rows.append(
                    {
                        "id": [last + 1 + len(rows)],
                        "at": time.time_ns() // 1_000_000,
                        "day": day,
                        "total": total,
                        "ids": b"".join(UUID(event_id).bytes for event_id in part),
                        "commits": [],
                    }
                )
            rows[-1]["commits"] = [commit for commit, _ in new]
            try:
                async with self._segments.use(META) as meta:
                    await meta.run("INSERT INTO tail $rows RETURN NONE", {"rows": rows})
            except Conflict:
                continue  # Another indexer, which does not know yet that it is none any more.
            self._written += 1
            if self._written % _PRUNE_EVERY == 0:
                await self.prune()
            return

    async def prune(self) -> None:
        """Forget the oldest rows, where they are too old or too many."""
        last, _, total = await self._end()
        old = time.time_ns() // 1_000_000 - round(KEPT_SECONDS * 1000)
        async with self._segments.use(META) as meta:
            found = await meta.one(f"SELECT VALUE [id, at, total] {_ROWS} LIMIT 1000", {"first": 0, "last": last})
            gone = [
                ref for ref, at, count in found if key_of(ref)[0] < last and (at < old or count < total - KEPT_EVENTS)
            ]
            if gone:
                await meta.run("DELETE $gone RETURN NONE", {"gone": gone})

    async def last(self) -> int:
        """Return the number of the newest row, 0 if there never was one."""
        return (await self._end())[0]

    async def rows(self, number: int, limit: int) -> list[TailRow]:
        """Return rows from this number on. A first one that is greater says that some are forgotten."""
        sql = f"SELECT VALUE [id, day, ids] {_ROWS} LIMIT $limit"
        async with self._segments.use(META) as meta:
            # The engine reads a range to its end, whatever the limit; there is no gap but where rows are forgotten.
            found = await meta.one(sql, {"first": number, "last": number + limit - 1, "limit": limit})
            if not found:
                found = await meta.one(sql, {"first": number, "last": 2**62, "limit": limit})
        return [TailRow(key_of(ref)[0], [(day, event_id) for event_id in _unpacked(ids)]) for ref, day, ids in found]

    async def _end(self) -> tuple[int, set[UUID], int]:
        """Return the newest row's number, the newest commits, and how many events there were in all."""
        sql = f"SELECT VALUE [id, total, commits] {_ROWS}"
        async with self._segments.use(META) as meta:
            # Not all rows for the last few: numbers only grow.
            found: list[Any] = await meta.one(sql, {"first": max(self._newest - RECENT + 1, 0), "last": 2**62})
            if not found and self._newest:  # Somebody has put another record in its place.
                found = await meta.one(sql, {"first": 0, "last": 2**62})
        if not found:
            return 0, set(), 0
        self._newest = key_of(found[-1][0])[0]
        return self._newest, {commit for row in found[-RECENT:] for commit in row[2]}, found[-1][1]


def _unpacked(ids: bytes) -> list[str]:
    return [str(UUID(bytes=ids[i : i + 16])) for i in range(0, len(ids), 16)]
