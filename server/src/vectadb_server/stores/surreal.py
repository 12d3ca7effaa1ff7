"""The record in SurrealDB: what ingest writes. Beside it: :mod:`~.reading`, and the indexer's :mod:`~.worklists`."""

from __future__ import annotations

from collections import Counter, defaultdict
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import msgspec

from vectadb_server import ids, tracing
from vectadb_server.arrivals import arriving
from vectadb_server.attribution import INVOCATION_CAP
from vectadb_server.blocks import ERASED
from vectadb_server.stores import digests, members, minutes, rows, segments
from vectadb_server.stores.base import Cursor, EventFilter, StoreUnavailable
from vectadb_server.stores.boundaries import Kept, read_anew
from vectadb_server.stores.databases import Databases
from vectadb_server.stores.directories import MEMORY, Directories
from vectadb_server.stores.engine import insisted, key_of, record
from vectadb_server.stores.forgetting import forget_homes, forget_trace_days
from vectadb_server.stores.rowcounts import RowCounts
from vectadb_server.stores.segments import META, MIN_FREE
from vectadb_server.stores.worklists import AT_ONCE, WorkLists
from vectadb_server.stores.writes import Entry, Write, statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from vectadb_server.attribution import Boundary, Need
    from vectadb_server.blocks import Key, Version
    from vectadb_server.model import Event
    from vectadb_server.stores.boundaries import Place
    from vectadb_server.stores.remote import Address
    from vectadb_server.stores.rows import HeldRow
    from vectadb_server.stores.segments import Segments


_encode = msgspec.json.Encoder().encode
_PAGE = 1_000
_FEW = 200  # rows written in one transaction: a remote engine takes the square of the time for more
#: Of what a trace's summary holds: 2 since it has the types and log groups of the trace's events, 3 since it has all of
#: its agents and sessions.
SUMMARY_VERSION = 3


_UPGRADE_TRACES = """\
FOR $r IN $rows {
    UPDATE $r.id SET agents = $r.agents, sessions = $r.sessions, agent = NONE, session = NONE RETURN NONE
};
FOR $m IN $members { UPSERT $m.id REPLACE $m RETURN NONE };
INSERT IGNORE INTO stale $stale RETURN NONE"""


def _upgraded(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the values of :data:`_UPGRADE_TRACES` for rows of any version."""
    traces: list[dict[str, Any]] = []
    for row in found:
        first = {f"{kind}s": [row[kind]] if row.get(kind) else [] for kind in ("agent", "session")}
        traces.append({**row, **first} if row.get("agents") is None else row)
    return {
        "rows": traces,
        "members": [member.row for row in traces for member in members.of_trace(key_of(row["id"]), row)],
        "stale": [{"id": key_of(row["id"]), "version": ids.uuid7()} for row in traces],
    }


class SurrealStore(WorkLists):
    """``store = await SurrealStore.open(data_dir)``; then ``await store.close()``."""

    #: Of the embedded record; of a shared one nobody counts.
    row_counts: RowCounts | None = None
    _kept: Kept | None = None

    @classmethod
    async def open(cls, data_dir: Path, *, open_days: int = 8, min_free: int = MIN_FREE, memory: int = MEMORY) -> Self:
        """Open the record under ``data_dir`` (made if absent) and lock it; leave ``min_free`` bytes on its disk.

        Days that nobody uses are closed where this process has more than ``memory`` bytes that no file backs.

        Raises:
            StoreUnavailable: another server has it, a newer version wrote it, or it cannot be written.
        """
        opened = Directories(data_dir / "record", limit=open_days, min_free=min_free, memory=memory)
        await opened.start()
        return await cls._opened(opened)

    @classmethod
    async def remote(cls, address: Address) -> Self:
        """Open the record on a SurrealDB server, made if absent; other servers may use it at the same time.

        Raises:
            StoreUnavailable: it cannot be reached, refuses us, or a newer version wrote the record.
        """
        opened = Databases(address)
        await opened.start()
        return await cls._opened(opened)

    @classmethod
    async def _opened(cls, opened: Segments) -> Self:
        store = cls(opened)
        if not opened.shared:
            store.row_counts, store._kept = RowCounts(opened), Kept()
        store.dirty.update(await opened.days())
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
            [counted] = await meta.one("SELECT VALUE version FROM schema:minute") or [0]
            [summed] = await meta.one("SELECT VALUE version FROM schema:summary") or [1]
        if version < digests.VERSION:
            await self._upgrade_digests()
        if counted < minutes.VERSION:
            await self._upgrade_minutes()
        if summed < SUMMARY_VERSION:
            await self._upgrade_summaries()

    async def _upgrade_summaries(self) -> None:
        """Have the indexer sum up every trace once more; until it has, they are found by what their rows knew."""
        for day in await self._segments.days():
            async with self._segments.use(day) as db:
                for index in ("trace_agent", "trace_session"):
                    await insisted(db, f"REMOVE INDEX IF EXISTS {index} ON trace")
                found = await db.one("SELECT id, nstart, arrived, agent, agents, session, sessions FROM trace")
                for i in range(0, len(found), _FEW):
                    await insisted(db, _UPGRADE_TRACES, _upgraded(found[i : i + _FEW]))
        await self._note_upgrade("summary", SUMMARY_VERSION)

    async def _upgrade_minutes(self) -> None:
        for day in await self._segments.days():
            counts = Counter[minutes.Kind]()
            async for stored in self.scan(day, _PAGE):
                counts.update(
                    minutes.kind_of(each.event.timestamp, each.event.agent_id, each.event.event_type) for each in stored
                )
            async with self._segments.use(day) as db:
                await minutes.rewrite(db, counts)
        await self._note_upgrade("minute", minutes.VERSION)

    async def _upgrade_digests(self) -> None:
        totals: dict[str, digests.Totals] = {day: digests.Totals() for day in await self._segments.days()}
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
        await self._note_upgrade("digest", digests.VERSION)

    async def _note_upgrade(self, what: str, version: int) -> None:
        """Note a new version of some rows: from now on a program that knows only the older one must not open it."""
        async with self._segments.use(META) as meta:
            await insisted(
                meta,
                "UPSERT schema:record SET version = $record RETURN NONE; "
                "UPSERT $what SET version = $version RETURN NONE",
                {"record": segments.SCHEMA_VERSION, "what": record("schema", what), "version": version},
            )

    @property
    def segments(self) -> Segments:
        """The databases, for modules beside this one."""
        return self._segments

    async def close(self) -> None:
        """Wait for what is under way, close every database and give the directory back."""
        await self._segments.stop()

    async def drop_day(self, day: str) -> int:
        """Remove a day with all its events and what was made of them; return the bytes that this gives back.

        What ``meta`` says of it stays; see :meth:`forget_before`.

        Raises:
            StoreUnavailable: somebody goes on using it, or the store does not answer.
        """
        self.dirty.discard(day)
        freed = await self._segments.drop(day)
        async with self._segments.use(META) as meta:
            await insisted(meta, "DELETE $ref RETURN NONE", {"ref": record("dirty", day)})
        return freed

    async def note_erased(self, days: Iterable[str]) -> None:
        """Note that something is erased in these days, whose space is to be given back."""
        async with self._segments.use(META) as meta:
            await insisted(
                meta, "INSERT IGNORE INTO rewrite $rows RETURN NONE", {"rows": [{"id": day} for day in days]}
            )

    async def give_back(self) -> dict[str, int]:
        """Give back the space of what was erased, where nobody writes now; return the bytes, by day.

        Raises:
            StoreUnavailable: it is not possible now; what was noted stays.
        """
        async with self._segments.use(META) as meta:
            noted = [key_of(ref) for ref in await meta.one("SELECT VALUE id FROM rewrite")]
        freed: dict[str, int] = {}
        in_use: StoreUnavailable | None = None
        for day in noted:
            if await self._segments.has(day):
                try:
                    given = await self._segments.rewrite(day)
                except StoreUnavailable as error:  # The others need not wait for this one.
                    in_use, given = error, None
                if given is None:
                    continue
                freed[day] = given
            async with self._segments.use(META) as meta:
                await insisted(meta, "DELETE $ref RETURN NONE", {"ref": record("rewrite", day)})
        if in_use is not None and not freed:
            raise in_use
        return freed

    async def forget_before(self, day: str) -> None:
        """Forget what ``meta`` says of days before this one, and have summaries made anew of traces that go on."""

        async def again(first: str, traces: list[str]) -> None:
            await self.commit(first, Write(entry=Entry(traces=traces, again=True)))

        await forget_homes(self._segments, day)
        await forget_trace_days(self._segments, day, again)

    # ---- ingest ----

    async def claim(self, days: Mapping[str, str]) -> dict[str, str]:
        """Say in which day to keep events whose day is no function of their id; return that of each.

        The first claim of an id wins, for ever.
        """
        if not days:
            return {}
        made = [{"id": UUID(event_id), "day": day} for event_id, day in days.items()]
        async with self._segments.use(META) as meta:
            [new] = await insisted(meta, "INSERT IGNORE INTO home $rows RETURN VALUE id", {"rows": made})
            claimed = {str(key_of(found)) for found in new}
            others = [record("home", UUID(event_id)) for event_id in days if event_id not in claimed]
            if others:
                found = await meta.one("SELECT id, day FROM array::distinct($ids) WHERE id != NONE", {"ids": others})
                return {**days, **{str(key_of(row["id"])): row["day"] for row in found}}
        return dict(days)

    async def held(self, keys: Iterable[Key]) -> dict[Key, HeldRow]:
        """Return the rows there are, and with them the heads of stubs and extras among them."""
        found = await self._held(keys)
        heads = {row.row.head for row in found.values() if row.row.head is not None}
        missing = [key for key in heads if key not in found and key != ERASED]
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
            if not await self._segments.has(day):
                continue
            refs = [record("extra", UUID(event_id)) for event_id in event_ids]
            async with self._segments.use(day) as db:
                for row in await db.one(
                    "SELECT id, sizes, readings FROM array::distinct($ids) WHERE id != NONE", {"ids": refs}
                ):
                    found[day, str(key_of(row["id"]))] = rows.extras(row, day)
        return found

    async def boundaries(self, needs: Sequence[Need], *, settled: bool = True) -> list[Boundary]:
        """Return what is asked for, as :mod:`~vectadb_server.attribution` says; perhaps more, and some twice.

        Unless ``settled``, those of transactions of which nobody has heard yet how they ended may be missing, also
        where they can be seen.
        """
        by_day: dict[str, list[Need]] = defaultdict(list)
        for need in needs:
            first, last = need.from_us, need.to_us
            first -= INVOCATION_CAP if need.before else 0
            last += INVOCATION_CAP if need.after else 0
            for number in range(max(first, 0) // rows.DAY, max(last, 0) // rows.DAY + 1):
                by_day[rows.day_of(number * rows.DAY)].append(need)
        found: list[Boundary] = []
        known = set(await self._segments.days())
        if self._kept is not None:
            self._kept.only(known)
        for day in by_day.keys() & known:
            read = partial(self._read_boundaries, day)
            if self._kept is not None:
                found += await self._kept.find(day, by_day[day], read, settled=settled)
            else:
                found += await read_anew(by_day[day], read)
        return found

    async def _read_boundaries(self, day: str, query: str, places: Sequence[Place]) -> list[list[Boundary]]:
        found: list[list[Boundary]] = []
        async with self._segments.use(day) as db:
            for i in range(0, len(places), AT_ONCE):
                some = [list(each) for each in places[i : i + AT_ONCE]]
                found += [[rows.boundary(row) for row in result] for result in await db.one(query, {"places": some})]
        return found

    async def commit(self, day: str, write: Write) -> None:
        """Do all of it, or nothing; return when it is durable.

        Raises:
            Conflict: a row to insert exists, or one that must be unchanged is not.
        """
        sql, values = statements(write)
        if write.least is not None and write.most is not None:
            await self._segments.widen(day, write.least, write.most)
        counts = self.row_counts if write.inserted or write.remove else None
        if counts is not None:
            await counts.writing(day)
        said: dict[str, tracing.Attribute] = {"db.system.name": "surrealdb", "db.namespace": day}
        said["db.operation.batch.size"] = write.inserted
        try:
            with tracing.span("record commit", said, kind="client"), self._marking(day, write, values):
                async with self._segments.use(day, make=True) as db:
                    await db.run(f"BEGIN; {'; '.join(sql)}; COMMIT;", values)
        finally:
            # Also when nobody waits any more for the reply: the commit goes on.
            if counts is not None:
                counts.written(day)
            if write.entry is not None:
                self.wake(day)

    @contextmanager
    def _marking(self, day: str, write: Write, values: Mapping[str, Any]) -> Iterator[None]:
        """Note around a transaction what it does to boundaries."""
        if self._kept is None or not (write.boundaries or write.boundaries_gone or write.nameless):
            yield
            return
        added = [rows.boundary({**row, "id": record("boundary", row["id"])}) for row in values.get("marks", ())]
        with self._kept.writing(day, added, [*write.boundaries_gone, *write.nameless]):
            yield


def _by_day(keys: Iterable[Key]) -> dict[str, list[str]]:
    days: dict[str, list[str]] = defaultdict(list)
    for day, event_id in keys:
        days[day].append(event_id)
    return days
