"""Reads of the record, over all its days. Lists are merged from days whose times can matter, newest first."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any
from uuid import UUID

from vectadb_server.stores import digests, rows
from vectadb_server.stores.base import Cursor, DigestHour, HeldRecord, RecordReader, StatsBucket
from vectadb_server.stores.engine import key_of, record
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Mapping, Sequence

    from vectadb_server.blocks import Key
    from vectadb_server.model import Event, Source, Trace
    from vectadb_server.stores.base import EventFilter, LogGroup, TraceFilter
    from vectadb_server.stores.segments import Segments

_CHUNK = 500
_NEAR = 3_600_000_000
"""Microseconds: a block's records are no further apart; it is held open for a minute."""
_FILTERS = {
    "trace": "trace",
    "session_id": "session",
    "agent_id": "agent",
    "event_type": "type",
    "log_group": "grp",
    "log_stream": "stream",
}
_OF_TRACES = f"SELECT {rows.WHOLE} FROM event WHERE trace IN $traces"  # noqa: S608 - no values
_TRACE_FILTERS = {"status": "status", "agent_id": "agent", "session_id": "session", "basis": "basis"}


class Reading(RecordReader):
    """The reading half of the store."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        # Least and most event time of each day: a day's events may carry any time the application liked.
        self._bounds: dict[str, tuple[int, int] | None] = {}

    async def event(self, event_id: str) -> Event | None:
        """See :class:`RecordReader`."""
        async with self._segments.use(META) as meta:
            home = await meta.one("SELECT VALUE day FROM $ids", {"ids": [record("home", UUID(event_id))]})
        for day in home or reversed(self._segments.days()):
            async for row in self._rows(day, [event_id], "*"):
                if row["size"] > 0:
                    return rows.stored_event(row, day).event
                day, event_id = rows.unpacked(row["head"])
                found = await self.events_of([(day, event_id)])
                return found[0] if found else None
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
        conditions, values = ["nus >= $from", "nus <= $to"], _values(limit=limit)
        first = -where.until + 1 if where.until is not None else rows.LEAST
        last = -where.since if where.since is not None else -rows.LEAST
        for name, column in _FILTERS.items():
            value = getattr(where, name)
            if value is not None:
                # Prefixed: the engine has variables of its own, `$session` among them.
                conditions.append(f"{column} = $the_{column}")
                values[f"the_{column}"] = value
        if after is not None:
            first = max(first, -after.us)
            conditions.append("(nus > $after OR id > $id)")
            values |= {"after": -after.us, "id": rows.event_ref(after.id)}
        if first > last or limit < 1:
            return []
        values |= {"from": first, "to": last}
        hint = "WITH INDEX event_trace" if where.trace is not None else "WITH INDEX event_newest"
        sql = f"SELECT * FROM event {hint} WHERE {' AND '.join(conditions)} ORDER BY nus, id LIMIT $limit"  # noqa: S608 - no values
        days = await self._trace_days(where.trace) if where.trace is not None else None
        page: list[Event] = []
        for day, (least, most) in await self._newest_days(days):
            if least > -first or most < -last:
                continue
            if len(page) == limit and most < page[-1].timestamp:
                break
            async with self._segments.use(day) as db:
                page += [rows.stored_event(row, day).event for row in await db.one(sql, values)]
            page.sort(key=lambda event: (-event.timestamp, event.event_id))
            del page[limit:]
        return page

    async def trace(self, trace_id: str) -> Trace | None:
        """See :class:`RecordReader`."""
        for day in await self._trace_days(trace_id):
            async with self._segments.use(day) as db:
                found = await db.one("SELECT body FROM $ids", {"ids": [record("trace", trace_id)]})
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
        known = set(self._segments.days())
        found: dict[str, list[rows.StoredEvent]] = defaultdict(list)
        for day in sorted(by_day.keys() & known):
            async with self._segments.use(day) as db:
                for i in range(0, len(by_day[day]), 30):
                    traces = by_day[day][i : i + 30]
                    for row in await db.one(_OF_TRACES, {"traces": traces}):
                        if (each := rows.whole(row, day)) is not None and each.event.trace is not None:
                            found[each.event.trace].append(each)
        return found

    async def days_of_traces(self, traces: Collection[str]) -> dict[str, list[str]]:
        """Return the days in which the traces have, or had, events."""
        asked = [record("trace_days", trace) for trace in traces]
        async with self._segments.use(META) as meta:
            found = await meta.one("SELECT id, days FROM $ids", {"ids": asked})
        return {key_of(row["id"]): sorted(row["days"]) for row in found}

    async def traces(self, where: TraceFilter, *, limit: int, after: Cursor | None = None) -> list[Trace]:
        """See :class:`RecordReader`."""
        conditions, values = ["nstart >= $from", "nstart <= $to"], _values(limit=limit)
        first = -where.until + 1 if where.until is not None else rows.LEAST
        last = -where.since if where.since is not None else -rows.LEAST
        for name, column in _TRACE_FILTERS.items():
            value = getattr(where, name)
            if value is not None:
                # Prefixed: the engine has variables of its own, `$session` among them.
                conditions.append(f"{column} = $the_{column}")
                values[f"the_{column}"] = value
        if where.basis is None:
            conditions.append("basis != 'time_window'")
        if after is not None:
            first = max(first, -after.us)
            conditions.append("(nstart > $after OR id > $id)")
            values |= {"after": -after.us, "id": record("trace", after.id)}
        if first > last or limit < 1:
            return []
        values |= {"from": first, "to": last}
        where_sql = " AND ".join(conditions)
        sql = f"SELECT * FROM trace WITH INDEX trace_newest WHERE {where_sql} ORDER BY nstart, id LIMIT $limit"  # noqa: S608 - no values
        page: list[Trace] = []
        for day, (_, most) in await self._newest_days():
            # A trace is kept with its first day and starts no later than the latest event in it.
            if most < -last or (len(page) == limit and most < page[-1].start):
                break
            async with self._segments.use(day) as db:
                page += [rows.trace(row) for row in await db.one(sql, values)]
            page.sort(key=lambda trace: (-trace.start, trace.trace_id))
            del page[limit:]
        return page

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
        for day in self._segments.days():
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
        first = rows.day_of(since - _NEAR) if after is None else rows.day_of(after.us)
        for day in self._segments.days():
            if not first <= day <= rows.day_of(until + _NEAR):
                continue
            start = after.id if after is not None and day == rows.day_of(after.us) else ""
            async for stored in self.scan(day, _CHUNK, start):
                for each in stored:
                    source = each.event.source
                    if source is not None and where == (
                        source.log_group,
                        source.system,
                        source.account,
                        source.region,
                    ):
                        found += [held for held in _records_of(each.event, source) if since <= held.timestamp < until]
                if len(found) >= limit and stored:
                    return found, Cursor(rows.start_of(day), stored[-1].event.event_id)
        return found, None

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
                found = await meta.one("SELECT id, day FROM $ids", {"ids": homes[i : i + _CHUNK]})
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

    async def stats(self, since: int, until: int, bucket: int) -> list[StatsBucket]:
        """See :class:`RecordReader`."""
        buckets = [StatsBucket(start, 0, {}, 0, 0, 0, 0, 0, []) for start in range(since, until, bucket)]
        if not buckets:
            return []
        values = {"from": -until + 1, "to": -since, "since": since, "bucket": bucket}
        types: list[Counter[str]] = [Counter() for _ in buckets]
        for day, (least, most) in await self._newest_days():
            if least >= until or most < since:
                continue
            async with self._segments.use(day) as db:
                counted = await db.one(
                    "SELECT type, math::floor((us - $since) / $bucket) AS slot, count() AS n FROM event "
                    "WITH INDEX event_newest WHERE nus >= $from AND nus <= $to GROUP BY slot, type",
                    values,
                )
                summaries = await db.one(
                    "SELECT * FROM trace WITH INDEX trace_newest WHERE nstart >= $from AND nstart <= $to", values
                )
            for row in counted:
                types[int(row["slot"])][row["type"]] += row["n"]
            for row in summaries:
                _count(buckets, rows.trace(row), since, bucket)
        for each, counts in zip(buckets, types, strict=True):
            each.types = dict(sorted(counts.items()))
            each.events, each.errors = counts.total(), counts["error"]
            each.durations.sort()
        return buckets

    async def page(self, day: str, columns: str, after: str, limit: int) -> list[Any]:
        """Return rows of a day in the order of their ids, after a given one (none: ``""``); at most so many."""
        # The id is one of ours, a UUID: parameters are not possible in a range of them.
        first = f"event:u'{after}'>.." if after else "event"
        async with self._segments.use(day) as db:
            found: list[Any] = await db.one(f"SELECT {columns} FROM {first} LIMIT {limit}")  # noqa: S608 - no values
        return found

    async def scan(self, day: str, limit: int, after: str = "") -> AsyncIterator[list[rows.StoredEvent]]:
        """Go through all events of a day in the order of their ids, after a given one; at most so many at once."""
        while day in self._segments and (found := await self.page(day, rows.WHOLE, after, limit)):
            after = str(key_of(found[-1][0]))
            yield [each for each in (rows.whole(row, day) for row in found) if each is not None]

    async def summarised(self, day: str) -> dict[str, int]:
        """Return the traces whose summary is kept with this day, each with the number of events it counts."""
        async with self._segments.use(day) as db:
            return {trace.trace_id: trace.events for trace in map(rows.trace, await db.one("SELECT body FROM trace"))}

    async def days(self) -> list[str]:
        """See :class:`RecordReader`."""
        return self._segments.days()

    async def check(self) -> None:
        """See :class:`RecordReader`."""
        async with self._segments.use(META) as meta:
            await meta.one("RETURN 1")

    async def _trace_days(self, trace_id: str) -> list[str]:
        return (await self.days_of_traces([trace_id])).get(trace_id, [])

    async def _rows(self, day: str, event_ids: Sequence[str], columns: str) -> AsyncIterator[Any]:
        """Rows by id. Never ``WHERE id IN``: that scans the table."""
        if day not in self._segments:
            return
        async with self._segments.use(day) as db:
            for i in range(0, len(event_ids), _CHUNK):
                refs = [rows.event_ref(event_id) for event_id in event_ids[i : i + _CHUNK]]
                for row in await db.one(f"SELECT {columns} FROM $ids", {"ids": refs}):  # noqa: S608 - no values
                    yield row

    async def _newest_days(self, among: Sequence[str] | None = None) -> list[tuple[str, tuple[int, int]]]:
        """Days that hold events, with their least and most event time, by the latter, descending."""
        days = [day for day in self._segments.days() if among is None or day in among]
        bounds = [(day, await self._bounds_of(day)) for day in days]
        known = [(day, found) for day, found in bounds if found is not None]
        return sorted(known, key=lambda item: item[1][1], reverse=True)

    async def _bounds_of(self, day: str) -> tuple[int, int] | None:
        if day not in self._bounds:
            where = f"WITH INDEX event_newest WHERE nus >= {rows.LEAST} AND nus <= {-rows.LEAST} ORDER BY nus"
            async with self._segments.use(day) as db:
                first, last = await db.run(
                    f"SELECT VALUE nus FROM event {where} LIMIT 1; SELECT VALUE nus FROM event {where} DESC LIMIT 1"  # noqa: S608 - no values
                )
            # While it was read, a commit may have said more.
            self._bounds.setdefault(day, (-last[0], -first[0]) if first else None)
        return self._bounds[day]

    async def _widen(self, day: str, least: int, most: int) -> None:
        known = await self._bounds_of(day)
        self._bounds[day] = (least, most) if known is None else (min(known[0], least), max(known[1], most))


def _records_of(event: Event, source: Source) -> list[HeldRecord]:
    """The whole records in an event's block."""
    named = ((event_id, digests.whole_record(event, at)) for at, event_id in enumerate(event.record_ids))
    return [HeldRecord(event_id, source.log_stream, *held) for event_id, held in named if held is not None]


def _values(**values: Any) -> dict[str, Any]:
    return values


def _count(buckets: list[StatsBucket], trace: Trace, since: int, bucket: int) -> None:
    each = buckets[(trace.start - since) // bucket]
    each.traces += 1
    each.failed += trace.status == "error"
    each.input_tokens += trace.tokens.input or 0
    each.output_tokens += trace.tokens.output or 0
    if trace.status in ("ok", "error"):
        each.durations.append(trace.end - trace.start)
