"""How many traces started when, by the filters of their list: counted from the newest on, while there is time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

from vectadb_server.selection import is_trace
from vectadb_server.stores import conditions, newest, rows
from vectadb_server.stores.engine import key_of
from vectadb_server.stores.newest import ByIndex, Listing, Newest, Place, Range
from vectadb_server.stores.tallies import Histogram, StartedTraces

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_server.model import Trace
    from vectadb_server.stores.base import Cursor, TraceFilter
    from vectadb_server.stores.conditions import Traces
    from vectadb_server.stores.segments import Segments

#: Seconds after which what is older is left uncounted.
SECONDS = 3.0


class _Started(NamedTuple):
    place: Place
    failed: bool
    trace: Trace | None


async def count(
    segments: Segments,
    days: Sequence[tuple[str, tuple[int, int]]],
    where: TraceFilter,
    times: tuple[int, int, int],
) -> Histogram:
    """Count; ``days`` have the bounds of their traces' starts, ``times`` are as in a reader's ``trace_histogram``."""
    since, until, bucket = times
    found = [StartedTraces(start) for start in range(since, until, bucket)]
    last = until if where.until is None else min(until, where.until)
    first = since if where.since is None else max(since, where.since)
    at = conditions.traces_of(where)
    sql, values = conditions.of_traces(where, at)
    listing = _listing(where, at)
    chunks = ByIndex(segments, listing, sql, values, lambda each: each.trace is None or is_trace(each.trace, where))
    walk = Newest(days, listing.place, chunks)
    deadline = time.monotonic() + SECONDS
    after: Cursor | None = None
    while True:
        left = deadline - time.monotonic()
        page = await walk.page(Range(-last + 1, -first), limit=newest.MANY, after=after, seconds=left)
        for each in page.items:
            started = found[(-each.place.nus - since) // bucket]
            started.traces += 1
            started.failed += each.failed
        after = page.next
        if after is None:
            return Histogram(found, since)
        if time.monotonic() > deadline:
            return Histogram(found, after.us)


def _listing(where: TraceFilter, at: Traces) -> Listing[_Started]:
    """What is read of each trace: only columns where these tell whether it is meant."""
    whole = not where.of_columns

    def read(row: Sequence[Any], _day: str) -> _Started:
        place = Place(row[0], key_of(row[1]))
        return _Started(place, row[2] == "error", rows.trace({"body": row[3]}) if whole else None)

    def placed(started: _Started) -> Place:
        return started.place

    columns = f"nstart, {at.id}, {at.of}status" + (f", {at.of}body" if whole else "")
    return Listing(at.source, "nstart", columns, read, placed, at.reference, at.bound, at.id)
