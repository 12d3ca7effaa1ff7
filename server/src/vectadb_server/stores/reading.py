"""Reads of the record, over all its days. Lists are merged from days whose times can matter, newest first."""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from vectadb_server.selection import is_event, is_trace
from vectadb_server.stores import conditions as conditions_of
from vectadb_server.stores import digests, figures, histogram, minutes, rows
from vectadb_server.stores.base import Cursor, DigestHour, HeldRecord, RecordReader, StoreUnavailable
from vectadb_server.stores.engine import key_of, record
from vectadb_server.stores.grouping import Groups
from vectadb_server.stores.newest import ByIndex, Listing, Newest, Place, Range
from vectadb_server.stores.segments import META
from vectadb_server.stores.sifting import ByMinute
from vectadb_server.stores.slices import slices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from vectadb_server.blocks import Key
    from vectadb_server.model import Event, Trace
    from vectadb_server.stores.base import EventFilter, Group, Grouping, LogGroup, Page, TraceFilter
    from vectadb_server.stores.newest import Chunks
    from vectadb_server.stores.segments import Segments
    from vectadb_server.stores.tallies import Histogram, Stats

_CHUNK = 500
_NEAR = 3_600_000_000
"""Microseconds: an agent's blocks, held open for a minute, are no longer. Of one that is, stubs tell."""
_OF_TRACES = f"SELECT {rows.WHOLE} FROM event WHERE trace IN $traces"  # noqa: S608 - no values


def _event(row: Sequence[Any], day: str) -> Event:
    found = rows.whole(row, day)
    assert found is not None  # no stub: the index of times has none
    return found.event


def _trace(row: Sequence[Any], _day: str) -> Trace:
    return rows.trace({"body": row[0]})


def _event_place(event: Event) -> Place:
    return Place(-event.timestamp, event.event_id)


def _trace_place(trace: Trace) -> Place:
    return Place(-trace.start, trace.trace_id)


_EVENTS = Listing("event WITH INDEX event_newest", "nus", rows.COLUMNS, _event, _event_place, rows.event_ref)
_EVENTS_OF_TRACE = _EVENTS._replace(source="event WITH INDEX event_trace", bound="trace = $the_trace")


class Reading(RecordReader):
    """The reading half of the store."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    async def event(self, event_id: str) -> Event | None:
        """See :class:`RecordReader`."""
        async with self._segments.use(META) as meta:
            home = await meta.one(
                "SELECT VALUE day FROM array::distinct($ids) WHERE id != NONE",
                {"ids": [record("home", UUID(event_id))]},
            )
        for day in home or reversed(await self._segments.days()):
            async for row in self._rows(day, [event_id], rows.WHOLE):
                if (stub := rows.stub(row)) is not None:
                    return next(iter(await self.events_of([stub[1]])), None)
                return _event(row, day)
        return None

    async def events_of(self, keys: Sequence[tuple[str, str]]) -> list[Event]:
        """See :class:`RecordReader`."""
        by_day: dict[str, list[str]] = defaultdict(list)
        for day, event_id in dict.fromkeys(keys):
            by_day[day].append(event_id)
        found = {each.key: each.event for day, ids in by_day.items() for each in await self.stored(day, ids)}
        return [found[key] for key in keys if key in found]

    async def stored(self, day: str, event_ids: Sequence[str]) -> list[rows.StoredEvent]:
        """Return those of the day's events that are held, in any order."""
        found = [rows.whole(row, day) async for row in self._rows(day, event_ids, rows.WHOLE)]
        return [each for each in found if each is not None]

    async def events(self, where: EventFilter, *, limit: int, after: Cursor | None = None) -> list[Event]:
        """See :class:`RecordReader`."""
        found: list[Event] = []
        while True:
            page = await self.event_page(where, limit=limit - len(found), after=after)
            found, after = [*found, *page.items], page.next
            if after is None or len(found) >= limit:
                return found

    async def event_page(self, where: EventFilter, *, limit: int, after: Cursor | None = None) -> Page[Event]:
        """See :class:`RecordReader`."""
        listing, among = _EVENTS, None
        conditions, values = conditions_of.of_events(where)
        if where.trace is not None:
            listing, among = _EVENTS_OF_TRACE, await self._trace_days(where.trace)
            values["the_trace"] = where.trace
        days = await self._newest_days(among)
        chunks: Chunks[Event]
        if conditions and where.trace is None:
            chunks = ByMinute(
                self._segments,
                listing,
                conditions,
                values,
                lambda event: is_event(event, where),
                agent_id=where.agent_id,
                event_types=where.event_types,
            )
        else:
            chunks = ByIndex(self._segments, listing, conditions, values, lambda event: is_event(event, where))
        search = Newest(days, _event_place, chunks)
        return await search.page(_range(where.since, where.until), limit=limit, after=after)

    async def trace(self, trace_id: str) -> Trace | None:
        """See :class:`RecordReader`."""
        for day in await self._trace_days(trace_id):
            if not await self._segments.has(day):
                continue
            async with self._segments.use(day) as db:
                found = await db.one(
                    "SELECT body FROM array::distinct($ids) WHERE id != NONE", {"ids": [record("trace", trace_id)]}
                )
            if found:
                return rows.trace(found[0])
        return None

    async def trace_events(self, trace_id: str) -> list[Event]:
        """See :class:`RecordReader`."""
        found = await self.stored_of_traces({trace_id: await self._trace_days(trace_id)})
        events = [each.event for each in found.get(trace_id, ())]
        return sorted(events, key=lambda event: (event.timestamp, event.event_id))

    async def stored_of_traces(self, days_of: dict[str, list[str]]) -> dict[str, list[rows.StoredEvent]]:
        """Return all events of the traces, each looked for in its days, in any order."""
        by_day: dict[str, list[str]] = defaultdict(list)
        for trace_id, days in days_of.items():
            for day in days:
                by_day[day].append(trace_id)
        known = set(await self._segments.days())
        found: dict[str, list[rows.StoredEvent]] = defaultdict(list)
        for day in sorted(by_day.keys() & known):
            async with self._segments.use(day) as db:
                for i in range(0, len(by_day[day]), 30):
                    traces = by_day[day][i : i + 30]
                    for number, row in enumerate(await db.one(_OF_TRACES, {"traces": traces})):
                        if number % 1_000 == 999:
                            await asyncio.sleep(0)  # Let requests in between: a trace may have tens of thousands.
                        if (each := rows.whole(row, day)) is not None and each.event.trace is not None:
                            found[each.event.trace].append(each)
        return found

    async def days_of_traces(self, traces: Collection[str]) -> dict[str, list[str]]:
        """Return the days in which the traces have, or had, events."""
        asked = [record("trace_days", trace) for trace in traces]
        async with self._segments.use(META) as meta:
            found = await meta.one("SELECT id, days FROM array::distinct($ids) WHERE id != NONE", {"ids": asked})
        return {key_of(row["id"]): sorted(set(row["days"])) for row in found}

    async def traces(self, where: TraceFilter, *, limit: int, after: Cursor | None = None) -> list[Trace]:
        """See :class:`RecordReader`."""
        found: list[Trace] = []
        while True:
            page = await self.trace_page(where, limit=limit - len(found), after=after)
            found, after = [*found, *page.items], page.next
            if after is None or len(found) >= limit:
                return found

    async def trace_page(self, where: TraceFilter, *, limit: int, after: Cursor | None = None) -> Page[Trace]:
        """See :class:`RecordReader`."""
        at = conditions_of.traces_of(where)
        conditions, values = conditions_of.of_traces(where, at)
        listing = Listing(at.source, "nstart", f"{at.of}body", _trace, _trace_place, at.reference, at.bound, at.id)
        chunks = ByIndex(self._segments, listing, conditions, values, lambda trace: is_trace(trace, where))
        search = Newest(await self._trace_bounds(), _trace_place, chunks)
        return await search.page(_range(where.since, where.until), limit=limit, after=after)

    async def trace_histogram(self, where: TraceFilter, since: int, until: int, bucket: int) -> Histogram:
        """See :class:`RecordReader`."""
        return await histogram.count(self._segments, await self._trace_bounds(), where, (since, until, bucket))

    async def groups(
        self, kind: Grouping, since: int, until: int, *, arrived: int, limit: int, after: Cursor | None = None
    ) -> Page[Group]:
        """See :class:`RecordReader`."""
        found = Groups(self._segments, await self._trace_bounds(), kind, _range(since, until), arrived)
        return await found.page(limit=limit, after=after)

    async def group(self, kind: Grouping, name: str, since: int, until: int) -> Group | None:
        """See :class:`RecordReader`."""
        found = Groups(self._segments, await self._trace_bounds(), kind, _range(since, until))
        return (await found.figures([name])).get(name)

    async def digest(
        self,
        log_group: str | None,
        since: int,
        until: int,
        *,
        system: str | None = None,
        account: str | None = None,
        region: str | None = None,
    ) -> list[DigestHour]:
        """See :class:`RecordReader`."""
        totals = digests.Totals()
        for day in await self._segments.days():
            start = rows.start_of(day)
            if start >= until or start + rows.DAY <= since:
                continue
            async with self._segments.use(day) as db:
                found = await digests.read(db, log_group)
            for _, where, count, total in found:
                origin = zip((system, account, region), (where.system, where.account, where.region), strict=True)
                if since <= where.hour < until and all(asked in (None, has) for asked, has in origin):
                    totals.add(where, count, total)
        return [
            DigestHour(where.log_group, where.hour, count, total, where.system, where.account, where.region)
            for where, count, total in totals.items()
        ]

    async def records(
        self, where: LogGroup, since: int, until: int, *, limit: int, after: Cursor | None = None
    ) -> tuple[list[HeldRecord], Cursor | None]:
        """See :class:`RecordReader`. A block stands in its head's day, which may be the one before or after."""
        found: list[HeldRecord] = []
        days = [day for day in await self._segments.days() if _is_near(rows.start_of(day), since, until)]
        for day in days:
            begins = rows.start_of(day)
            if after is not None and begins < after.us:  # Not by its day: one that a client made up may be none.
                continue
            start = after.id if after is not None and begins == after.us else ""
            async for page in self.pages(day, rows.WHOLE, _CHUNK, start):
                stored = [each.event for row in page if (each := rows.whole(row, day)) is not None]
                found += [held for event in stored for held in _records_of(event, where)]
                stubs = [stub for row in page if (stub := rows.stub(row)) is not None and stub[1][0] not in days]
                found += await self._records_of_far(stubs, where)
                found = [held for held in found if since <= held.timestamp < until]
                if len(found) >= limit:
                    return found, Cursor(begins, str(key_of(page[-1][0])))
        return found, None

    async def _records_of_far(self, stubs: Sequence[tuple[str, Key]], where: LogGroup) -> list[HeldRecord]:
        """Return the records of these stubs, whose blocks stand in days that nobody goes through."""
        names = {event_id for event_id, _ in stubs}
        blocks = await self.events_of([head for _, head in stubs])
        return [held for event in blocks for held in _records_of(event, where) if held.event_id in names]

    async def lacking(self, records: Sequence[tuple[str, int]]) -> set[int]:
        """See :class:`RecordReader`."""
        lacking = await self._lacking(dict(enumerate((rows.day_of(at), event_id) for event_id, at in records)))
        if not lacking:
            return set()
        # An id that a client made up may have come with another time before.
        homes = [record("home", UUID(event_id)) for event_id in {records[position][0] for position in lacking}]
        days: dict[str, str] = {}
        async with self._segments.use(META) as meta:
            for i in range(0, len(homes), _CHUNK):
                found = await meta.one(
                    "SELECT id, day FROM array::distinct($ids) WHERE id != NONE", {"ids": homes[i : i + _CHUNK]}
                )
                days |= {str(key_of(row["id"])): row["day"] for row in found}
        elsewhere = {position: (days[key[1]], key[1]) for position, key in lacking.items() if key[1] in days}
        return set(lacking) - set(elsewhere) | set(await self._lacking(elsewhere))

    async def _lacking(self, asked: Mapping[int, Key]) -> dict[int, Key]:
        by_day: dict[str, list[str]] = defaultdict(list)
        for day, event_id in asked.values():
            by_day[day].append(event_id)
        held = {
            (day, str(key_of(reference)))
            for day, event_ids in by_day.items()
            async for reference in self._rows(day, event_ids, "VALUE id")
        }
        return {position: key for position, key in asked.items() if key not in held}

    async def stats(
        self, since: int, until: int, bucket: int, *, agent_id: str | None = None, session_id: str | None = None
    ) -> Stats:
        """See :class:`RecordReader`."""
        return await figures.count(
            self._segments, await self._newest_days(), (since, until, bucket), agent_id, session_id
        )

    async def counts(self, day: str) -> Counter[minutes.Kind]:
        """Return how many events of each kind the day holds."""
        async with self._segments.use(day) as db:
            return await minutes.read(db, rows.LEAST, -rows.LEAST)

    async def pages(self, day: str, columns: str, wanted: int, after: str = "") -> AsyncIterator[list[Any]]:
        """Go through a day's rows in the order of their ids, after a given one, some ``wanted`` of them at once.

        It ends where somebody drops the day.
        """

        async def ask(sql: str, values: Mapping[str, Any]) -> Any:
            if not await self._segments.has(day):
                return []
            async with self._segments.use(day) as db:
                return await db.one(sql, values)

        async for page in slices(ask, "event", columns, wanted, after=after):
            yield page

    async def scan(self, day: str, wanted: int, after: str = "") -> AsyncIterator[list[rows.StoredEvent]]:
        """Go through all events of a day as :meth:`pages` does."""
        async for page in self.pages(day, rows.WHOLE, wanted, after):
            yield [each for each in (rows.whole(row, day) for row in page) if each is not None]

    async def summarised(self, day: str) -> dict[str, int]:
        """Return the traces whose summary is kept with this day, each with the number of events it counts."""
        async with self._segments.use(day) as db:
            return {trace.trace_id: trace.events for trace in map(rows.trace, await db.one("SELECT body FROM trace"))}

    async def erased(self, day: str) -> digests.Totals:
        """Return the day's records that are held and were erased."""
        async with self._segments.use(day) as db:
            return await digests.erased(db)

    async def ids_of_types(self, day: str, types: Collection[str]) -> AsyncIterator[list[str]]:
        """Go through the ids of the day's events of these types, some at once."""
        async for page in self.pages(day, "VALUE [id, size, type]", _CHUNK):
            yield [str(key_of(ref)) for ref, size, event_type in page if size and event_type in types]

    async def expired_types(self, day: str) -> set[str]:
        """Return the types whose events were erased in the day."""
        async with self._segments.use(day) as db:
            return {key_of(ref) for ref in await db.one("SELECT VALUE id FROM expired_type")}

    async def note_expired_types(self, day: str, types: Collection[str]) -> None:
        """Note that none of these types is left in the day."""
        async with self._segments.use(day) as db:
            rows_ = [{"id": name} for name in sorted(types)]
            await db.run("INSERT IGNORE INTO expired_type $rows RETURN NONE", {"rows": rows_})

    async def number_of_events(self, day: str) -> int:
        """Return how many events the day holds."""
        sql = "SELECT count() AS n FROM event WITH INDEX event_newest WHERE nus >= $first AND nus <= $last GROUP ALL"
        async with self._segments.use(day) as db:
            found = await db.one(sql, {"first": rows.LEAST, "last": -rows.LEAST})
        return int(found[0]["n"]) if found else 0

    async def days(self) -> list[str]:
        """See :class:`RecordReader`."""
        return await self._segments.days()

    async def check(self) -> None:
        """See :class:`RecordReader`."""
        async with self._segments.use(META) as meta:
            await meta.one("RETURN 1")

    async def _trace_days(self, trace_id: str) -> list[str]:
        return (await self.days_of_traces([trace_id])).get(trace_id, [])

    async def _rows(self, day: str, event_ids: Sequence[str], columns: str) -> AsyncIterator[Any]:
        """Rows by id. Never ``WHERE id IN``: that scans the table.

        Nor ``FROM $ids`` alone: SurrealDB 3.0.2 refuses it with some columns, and makes rows of ids that are not there.
        """
        if not await self._segments.has(day):
            return
        try:
            async with self._segments.use(day) as db:
                for i in range(0, len(event_ids), _CHUNK):
                    refs = [rows.event_ref(event_id) for event_id in event_ids[i : i + _CHUNK]]
                    sql = f"SELECT {columns} FROM array::distinct($ids) WHERE id != NONE"  # noqa: S608 - no values
                    for row in await db.one(sql, {"ids": refs}):
                        yield row
        except StoreUnavailable:
            if await self._segments.has(day):
                raise  # Else it was dropped meanwhile: nothing of it is there.

    async def _newest_days(self, among: Sequence[str] | None = None) -> list[tuple[str, tuple[int, int]]]:
        """Days that hold events, with their least and most event time, by the latter, descending."""
        known = await self._segments.bounds(among)
        return sorted(known.items(), key=lambda item: item[1][1], reverse=True)

    async def _trace_bounds(self) -> list[tuple[str, tuple[int, int]]]:
        """As :meth:`_newest_days`, for traces: one is kept with its first day, and starts no later than its last event.

        How early it starts, the events' times do not tell: a span's start may be reckoned from its end.
        """
        return [(day, (rows.LEAST, most)) for day, (_, most) in await self._newest_days()]


def _is_near(begins: int, since: int, until: int) -> bool:
    """Whether the blocks of the day that begins so are gone through for records of this time."""
    return since - _NEAR - rows.DAY < begins <= until + _NEAR


def _records_of(event: Event, where: LogGroup) -> list[HeldRecord]:
    """The whole records in an event's block, if that is of the log group."""
    source = event.source
    if source is None or where != (source.log_group, source.system, source.account, source.region):
        return []
    named = ((event_id, digests.whole_record(event, at)) for at, event_id in enumerate(event.record_ids))
    return [HeldRecord(event_id, source.log_stream, *held) for event_id, held in named if held is not None]


def _range(since: int | None, until: int | None) -> Range:
    return Range(
        -until + 1 if until is not None else rows.LEAST,
        -since if since is not None else -rows.LEAST,
    )
