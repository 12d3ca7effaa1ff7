"""The record in SurrealDB: what ingest and indexer write. Reading is in :mod:`~vectadb_server.stores.reading`."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import msgspec

from vectadb_server import ids
from vectadb_server.arrivals import arriving
from vectadb_server.attribution import INVOCATION_CAP, Boundary
from vectadb_server.stores import digests, rows, segments
from vectadb_server.stores.base import Cursor, EventFilter
from vectadb_server.stores.engine import key_of, record
from vectadb_server.stores.reading import Reading
from vectadb_server.stores.segments import META, MIN_FREE, Segments
from vectadb_server.stores.tail import Tail
from vectadb_server.stores.writes import entry, statements

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from vectadb_server.attribution import Need
    from vectadb_server.blocks import Key, Version
    from vectadb_server.model import Event
    from vectadb_server.stores.rows import HeldRow
    from vectadb_server.stores.writes import Entry, Write


_encode = msgspec.json.Encoder().encode
_PAGE = 1_000


class SurrealStore(Reading):
    """``store = await SurrealStore.open(data_dir)``; then ``await store.close()``."""

    def __init__(self, segments: Segments) -> None:
        super().__init__(segments)
        #: Days in which the indexer has something to do, and a signal that there is one.
        self.dirty: set[str] = set()
        self.changed = asyncio.Event()
        self.tail = Tail(segments)

    @classmethod
    async def open(cls, data_dir: Path, *, open_days: int = 8, min_free: int = MIN_FREE) -> Self:
        """Open the record under ``data_dir`` (made if absent) and lock it; leave ``min_free`` bytes on its disk.

        Raises:
            StoreUnavailable: another server has it, a newer version wrote it, or it cannot be written.
        """
        opened = Segments(data_dir / "record", limit=open_days, min_free=min_free)
        await opened.start()
        store = cls(opened)
        store.dirty.update(opened.days())
        try:
            await store._upgrade()
        except BaseException:
            await opened.stop()
            raise
        return store

    async def _upgrade(self) -> None:
        """Make of an older version's rows what they would be now. A crash in between repeats it."""
        async with self._segments.use(META) as meta:
            [version] = await meta.one("SELECT VALUE version FROM schema:digest") or [1]
        if version >= digests.VERSION:
            return
        totals: dict[str, digests.Totals] = {day: digests.Totals() for day in self._segments.days()}
        page: list[Event] = []
        while totals:
            last = Cursor(page[-1].timestamp, page[-1].event_id) if page else None
            page = await self.events(EventFilter(), limit=_PAGE, after=last)
            for event in page:
                for position, (day, record_id) in enumerate(arriving(event, {}).records):
                    if day in totals:
                        totals[day].count(record_id, event, position)
            if len(page) < _PAGE:
                break
        for day, total in totals.items():
            async with self._segments.use(day) as db:
                await digests.rewrite(db, total)
        async with self._segments.use(META) as meta:
            # From now on a program that knows only the older one must not open it.
            await meta.run(
                "UPSERT schema:record SET version = $record RETURN NONE; "
                "UPSERT schema:digest SET version = $digest RETURN NONE",
                {"record": segments.SCHEMA_VERSION, "digest": digests.VERSION},
            )

    @property
    def segments(self) -> Segments:
        """The databases, for modules beside this one."""
        return self._segments

    async def close(self) -> None:
        """Wait for what is under way, close every database and give the directory back."""
        await self._segments.stop()

    async def drop_day(self, day: str) -> None:
        """Forget everything of a day. Nothing may be ingested into it any more, nor its trace be read."""
        async with self._segments.use(META) as meta:
            await meta.run("DELETE home WHERE day = $day RETURN NONE", {"day": day})
            await meta.run(
                "UPDATE trace_days SET days = array::complement(days, [$day]) WHERE days CONTAINS $day RETURN NONE",
                {"day": day},
            )
            await meta.run("DELETE trace_days WHERE array::len(days) = 0 RETURN NONE")
        self.dirty.discard(day)
        self._bounds.pop(day, None)
        await self._segments.drop(day)

    # ---- ingest ----

    async def claim(self, days: Mapping[str, str]) -> dict[str, str]:
        """Say in which day to keep events whose day is no function of their id; return that of each.

        The first claim of an id wins, for ever.
        """
        if not days:
            return {}
        made = [{"id": UUID(event_id), "day": day} for event_id, day in days.items()]
        async with self._segments.use(META) as meta:
            new = await meta.one("INSERT IGNORE INTO home $rows RETURN VALUE id", {"rows": made})
            claimed = {str(key_of(found)) for found in new}
            others = [record("home", UUID(event_id)) for event_id in days if event_id not in claimed]
            if others:
                found = await meta.one("SELECT id, day FROM $ids", {"ids": others})
                return {**days, **{str(key_of(row["id"])): row["day"] for row in found}}
        return dict(days)

    async def held(self, keys: Iterable[Key]) -> dict[Key, HeldRow]:
        """Return the rows there are, and with them the heads of stubs and extras among them."""
        found = await self._held(keys)
        heads = {row.row.head for row in found.values() if row.row.head is not None}
        missing = [key for key in heads if key not in found]
        return {**found, **await self._held(missing)} if missing else found

    async def _held(self, keys: Iterable[Key]) -> dict[Key, HeldRow]:
        found: dict[Key, HeldRow] = {}
        for day, event_ids in _by_day(keys).items():
            async for row in self._rows(day, event_ids, rows.HELD):
                held = rows.held_row(row, day)
                found[held.row.key] = held
        return found

    async def extras(self, heads: Iterable[Key]) -> dict[Key, dict[Key, Version]]:
        """Return, for each head that has some, its extras and their versions."""
        found: dict[Key, dict[Key, Version]] = {}
        for day, event_ids in _by_day(heads).items():
            if day not in self._segments:
                continue
            refs = [record("extra", UUID(event_id)) for event_id in event_ids]
            async with self._segments.use(day) as db:
                for row in await db.one("SELECT id, sizes, readings FROM $ids", {"ids": refs}):
                    found[day, str(key_of(row["id"]))] = rows.extras(row, day)
        return found

    async def boundaries(self, needs: Sequence[Need]) -> list[Boundary]:
        """Return what is asked for, as :mod:`~vectadb_server.attribution` says; perhaps more."""
        by_day: dict[str, list[Need]] = defaultdict(list)
        for need in needs:
            first, last = need.from_us, need.to_us
            first -= INVOCATION_CAP if need.before else 0
            last += INVOCATION_CAP if need.after else 0
            for number in range(max(first, 0) // rows.DAY, max(last, 0) // rows.DAY + 1):
                by_day[rows.day_of(number * rows.DAY)].append(need)
        found: dict[tuple[Any, ...], Boundary] = {}
        known = set(self._segments.days())
        for day in by_day.keys() & known:
            sql: list[str] = []
            values: dict[str, Any] = {}
            for i, need in enumerate(by_day[day]):
                values |= {f"s{i}": need.stream_key, f"k{i}": need.kind, f"a{i}": need.from_us, f"b{i}": need.to_us + 1}
                sql.append(f"SELECT * FROM boundary:[$s{i}, $k{i}, $a{i}]..[$s{i}, $k{i}, $b{i}]")  # noqa: S608 - no values
                if need.before:
                    before = f"boundary:[$s{i}, $k{i}, NONE]..[$s{i}, $k{i}, $a{i}]"
                    sql.append(f"SELECT * FROM {before} ORDER BY id DESC LIMIT 1")  # noqa: S608 - no values
                if need.after:
                    sql.append(f"SELECT * FROM boundary:[$s{i}, $k{i}, $b{i}]..[$s{i}, $k{i}, ..] ORDER BY id LIMIT 1")  # noqa: S608 - no values
            async with self._segments.use(day) as db:
                for result in await db.run(";".join(sql), values):
                    for row in result:
                        made = rows.boundary(row)
                        found[made.stream_key, made.kind, *made.position] = made
        return list(found.values())

    async def commit(self, day: str, write: Write) -> None:
        """Do all of it, or nothing; return when it is durable.

        Raises:
            Conflict: a row to insert exists, or one that must be unchanged is not.
        """
        sql, values = statements(write)
        if write.least is not None and write.most is not None:
            await self._widen(day, write.least, write.most)
        try:
            async with self._segments.use(day) as db:
                await db.run(f"BEGIN; {'; '.join(sql)}; COMMIT;", values)
        finally:
            # Also when nobody waits any more for the reply: the commit goes on.
            if write.entry is not None:
                self.wake(day)

    def wake(self, day: str) -> None:
        """Tell the indexer that there is something to do."""
        self.dirty.add(day)
        self.changed.set()

    # ---- indexer ----

    async def outbox(self, day: str, limit: int) -> list[tuple[Any, Entry]]:
        """Return the oldest rows that are not applied yet, with their references."""
        async with self._segments.use(day) as db:
            found = await db.one("SELECT id, body FROM outbox ORDER BY id LIMIT $limit", {"limit": limit})
        return [(row["id"], entry(row["body"])) for row in found]

    async def unapplied(self, boundaries: Iterable[Boundary]) -> list[Boundary]:
        """Return those whose outbox row is still there, and perhaps some whose is not any more.

        A day's outbox is applied in the order of its ids, so that what is older than the oldest has been.
        """
        by_day: dict[str, list[Boundary]] = defaultdict(list)
        for boundary in boundaries:
            by_day[rows.day_of(boundary.order[0])].append(boundary)
        found: list[Boundary] = []
        for day, some in by_day.items():
            async with self._segments.use(day) as db:
                oldest = await db.one("SELECT VALUE id FROM outbox ORDER BY id LIMIT 1")
            found += [each for each in some if oldest and each.commit >= str(key_of(oldest[0]))]
        return found

    async def pending(self, day: str, limit: int) -> list[tuple[Any, list[str]]]:
        """Return the oldest lists of ids that the search index has not heard of yet, with their references."""
        async with self._segments.use(day) as db:
            found = await db.one("SELECT id, body FROM pending ORDER BY id LIMIT $limit", {"limit": limit})
        return [(row["id"], msgspec.json.decode(row["body"], type=list[str])) for row in found]

    async def forget_pending(self, day: str, refs: Sequence[Any]) -> None:
        """The search index has heard of these."""
        async with self._segments.use(day) as db:
            await db.run("DELETE $refs RETURN NONE", {"refs": list(refs)})

    async def waiting(self, day: str) -> tuple[int, int, int, float | None]:
        """Return how many rows each stage of the indexer has before it, and when the oldest was written, seconds."""
        async with self._segments.use(day) as db:
            outbox, stale, pending = await db.run(
                "SELECT VALUE id FROM outbox; SELECT VALUE id FROM stale; SELECT VALUE id FROM pending"
            )
        oldest = min((rows.written_at(ref) for ref in (*outbox, *pending)), default=None)
        return len(outbox), len(stale), len(pending), oldest

    async def agents_of(self, day: str, stream_key: str) -> list[str]:
        """Return the agents that weak events of the stream named that day."""
        async with self._segments.use(day) as db:
            found = await db.one("SELECT VALUE id FROM agent:[$s, NONE]..[$s, ..]", {"s": stream_key})
        return [key_of(ref)[1] for ref in found]

    async def weak_events(
        self, day: str, traces: Collection[str], stream_key: str, first: int, last: int
    ) -> list[rows.StoredEvent]:
        """Return the events of these traces that boundaries decide, of the stream and its time, both inclusive."""
        group, stream = stream_key.split("\x1f")[3:]
        found: list[rows.StoredEvent] = []
        asked = list(traces)
        async with self._segments.use(day) as db:
            for i in range(0, len(asked), 30):
                result = await db.one(
                    "SELECT * FROM event WHERE trace IN $traces AND stream = $stream AND grp = $grp "
                    "AND at >= $first AND at <= $last AND basis IN $weak",
                    {
                        "traces": asked[i : i + 30],
                        "stream": stream,
                        "grp": group,
                        "first": first,
                        "last": last,
                        "weak": list(rows.WEAK),
                    },
                )
                found += [rows.stored_event(row, day) for row in result]
        return [each for each in found if each.event.source and each.event.source.stream_key() == stream_key]

    async def span_days(self, day: str, traces: Collection[str]) -> None:
        """Note that the traces have events in the day."""
        refs = [record("trace_days", trace) for trace in traces]
        async with self._segments.use(META) as meta:
            known = await meta.one("SELECT id, days FROM $ids", {"ids": refs})
            new = [{"id": trace, "days": [day]} for trace in set(traces) - {key_of(row["id"]) for row in known}]
            more = [row["id"] for row in known if day not in row["days"]]
            if new:
                await meta.run("INSERT INTO trace_days $rows RETURN NONE", {"rows": new})
            if more:
                await meta.run("UPDATE $ids SET days += $day RETURN NONE", {"ids": more, "day": day})

    async def applied(
        self,
        day: str,
        refs: Sequence[Any],
        moved: Sequence[tuple[rows.StoredEvent, str | None]],
        traces: Collection[str],
        search: Collection[str],
    ) -> None:
        """Delete outbox rows and write what follows from them, in one transaction.

        ``moved``: events with their new trace, each with the old one; ``traces`` are to be recomputed; ``search`` are
        the ids that the index is to hear of.

        Raises:
            Conflict: somebody writes the same rows; do it again.
        """
        sql = ["DELETE $refs RETURN NONE"] if refs else []
        values: dict[str, Any] = {"refs": list(refs)}
        if moved:
            values["moved"] = [
                {
                    "id": rows.event_ref(new.key[1]),
                    "trace": new.event.trace,
                    "basis": new.event.basis,
                    "old": old,
                    "reading": 0 if new.event.source is None else new.event.source.read_at,
                }
                for new, old in moved
            ]
            sql.append(
                "FOR $m IN $moved { UPDATE $m.id SET trace = $m.trace, basis = $m.basis "
                "WHERE size > 0 AND trace = $m.old AND (reading ?? 0) = $m.reading RETURN NONE }"
            )
        if traces:
            values["stale"] = [{"id": trace, "version": ids.uuid7()} for trace in traces]
            sql.append("INSERT INTO stale $stale ON DUPLICATE KEY UPDATE version = $input.version RETURN NONE")
        if search:
            values["pending"] = [{"id": UUID(ids.uuid7()), "body": _encode(list(search)).decode()}]
            sql.append("INSERT INTO pending $pending RETURN NONE")
        if not sql:
            return
        async with self._segments.use(day) as db:
            await db.run(f"BEGIN; {'; '.join(sql)}; COMMIT;", values)

    async def stale(self, day: str) -> dict[str, str]:
        """Return the traces that are to be recomputed, each with the version of that wish."""
        async with self._segments.use(day) as db:
            return {key_of(row["id"]): row["version"] for row in await db.one("SELECT id, version FROM stale")}

    async def put_traces(
        self, day: str, summaries: Sequence[dict[str, Any]], gone: Sequence[str], done: Mapping[str, str]
    ) -> None:
        """Replace summaries with their edges, remove others, and drop the wishes in ``done`` if they are the same."""
        refs = [record("trace", row["id"]) for row in summaries] + [record("trace", trace) for trace in gone]
        async with self._segments.use(day) as db:
            found = await db.one("SELECT id, edges FROM $ids", {"ids": refs}) if refs else []
            before = {key_of(row["id"]): row["edges"] for row in found}
            made: list[dict[str, Any]] = []
            dropped: list[Any] = []
            for row in summaries:
                known = {tuple(edge) for edge in before.get(row["id"], ())}
                wanted = {tuple(edge) for edge in row["edges"]}
                made += [_edge(row["id"], *edge) for edge in wanted - known]
                dropped += [_edge_ref(row["id"], *edge) for edge in known - wanted]
            dropped += [_edge_ref(trace, *edge) for trace in gone for edge in before.get(trace, ())]
            sql = []
            if dropped:
                sql.append("DELETE $dropped RETURN NONE")
            if made:
                sql.append("INSERT RELATION IGNORE INTO causes $edges RETURN NONE")
            if summaries:
                sql.append("FOR $s IN $summaries { UPSERT $s.id REPLACE $s RETURN NONE }")
            if gone:
                sql.append("DELETE $gone RETURN NONE")
            if done:
                sql.append("FOR $d IN $done { DELETE $d.id WHERE version = $d.version RETURN NONE }")
            if sql:
                values = {
                    "edges": made,
                    "dropped": dropped,
                    "summaries": [{**row, "id": record("trace", row["id"])} for row in summaries],
                    "gone": [record("trace", trace) for trace in gone],
                    "done": [{"id": record("stale", trace), "version": version} for trace, version in done.items()],
                }
                await db.run(f"BEGIN; {'; '.join(sql)}; COMMIT;", values)

    async def compact(self, day: str, *, at_least: int = 200) -> None:
        """Add up the digest's deltas where there are many; readers see no difference."""
        async with self._segments.use(day) as db:
            await digests.compact(db, at_least)


def _edge(trace: str, cause: str, effect: str, kind: str) -> dict[str, Any]:
    return {"id": [trace, cause, effect], "in": rows.event_ref(cause), "out": rows.event_ref(effect), "kind": kind}


def _edge_ref(trace: str, cause: str, effect: str, _kind: str) -> Any:
    return record("causes", [trace, cause, effect])


def _by_day(keys: Iterable[Key]) -> dict[str, list[str]]:
    days: dict[str, list[str]] = defaultdict(list)
    for day, event_id in keys:
        days[day].append(event_id)
    return days
