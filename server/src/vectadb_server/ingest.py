"""Ingest: takes validated events, answers for each what became of it once that is durable.

A batch is decided against the rows that are held (:mod:`~vectadb_server.blocks`), attributed with the boundaries known
so far, and written, one transaction for each day. Somebody else may write the same rows in between: the engine refuses
the transaction then, and everything is read and decided again. A crash between two days is healed when the batch comes
again, which it does, since nothing was answered: heads are written before the stubs of other days, so that a record is
never without a row.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from vectadb_server import blocks
from vectadb_server.arrivals import arriving, homeless
from vectadb_server.attribution import Boundaries, attribute, boundary_of, breaks_needed, explicit, needed
from vectadb_server.expiry import Expired
from vectadb_server.stores import minutes
from vectadb_server.stores.digests import Totals
from vectadb_server.stores.engine import Conflict
from vectadb_server.stores.rows import HeldRow, event_row, mark_of, marked, start_of, stub_row
from vectadb_server.stores.writes import Entry, Write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from vectadb_server.blocks import Key, Row, Verdict
    from vectadb_server.model import Event
    from vectadb_server.stores.minutes import Kind
    from vectadb_server.stores.surreal import SurrealStore
    from vectadb_server.wire import Options

Status = Literal["accepted", "duplicate", "expired", "failed"]

ATTEMPTS = 8
_STAGES = 3
_MOMENT = 0.1  # seconds


class Outcome(msgspec.Struct, gc=False):
    """What became of one event.

    ``code``: of a ``failed`` one, ``partial_overlap`` (final; ``unclaimed`` are the positions in ``source.log_ids`` of
    the records nobody holds: send those by themselves) or ``busy`` (send it again). ``trace_id`` is provisional: a
    window's boundary that arrives later may move the event.
    """

    event_id: str
    status: Status
    trace_id: str | None = None
    created_at: int = 0
    code: str | None = None
    unclaimed: list[int] = []
    error: str | None = None


async def _nothing() -> Expired:
    return Expired()


class Ingest:
    """The use case; one for each server. ``expired()`` says what is not taken any more."""

    def __init__(
        self, store: SurrealStore, *, expired: Callable[[], Awaitable[Expired]] = _nothing, parallel: int = 2
    ) -> None:
        self._store = store
        self._expired = expired
        self._slots = asyncio.Semaphore(parallel)
        self._full = 0.0  # when all slots were taken last
        self._busy: set[str] = set()
        self._freed = asyncio.Condition()

    def saturated(self) -> bool:
        """Whether as many batches as may be are being stored at once, or were a moment ago."""
        return self._slots.locked() or time.monotonic() - self._full < _MOMENT

    async def ingest(self, events: Sequence[Event], options: Options) -> list[Outcome]:
        """Store the events; the outcomes come in their order, when all that is accepted is durable.

        ``trace``, ``basis`` and ``created_at`` of the events are set.

        Raises:
            StoreUnavailable: nothing is known to be stored; send the same batch again.
        """
        now = time.time_ns() // 1000
        horizon = (await self._expired()).horizon.every
        outcomes = [Outcome(event.event_id, "expired", created_at=now) for event in events]
        taken = [index for index, event in enumerate(events) if event.recorded >= horizon]
        if not taken:
            return outcomes
        batch = [events[index] for index in taken]
        for event in batch:
            event.created_at = now
        async with self._alone(batch), self._slots:
            if self._slots.locked():
                self._full = time.monotonic()
            homes = await self._store.claim(homeless(batch))
            # Of an id that a client made up, the time that it came with first is what counts.
            gone = {event_id for event_id, day in homes.items() if start_of(day) < horizon}
            if gone:
                taken = [index for index in taken if events[index].event_id not in gone]
                batch = [events[index] for index in taken]
            rows = [arriving(event, homes) for event in batch]
            stored = await self._stored(batch, rows, options) if batch else []
        for index, outcome in zip(taken, stored, strict=True):
            outcomes[index] = outcome
        return outcomes

    @asynccontextmanager
    async def _alone(self, batch: Sequence[Event]) -> AsyncIterator[None]:
        """Batches of this process that share records go one after the other: cheaper than to collide."""
        claimed = {event_id for event in batch for event_id in (event.event_id, *event.record_ids)}
        async with self._freed:
            await self._freed.wait_for(lambda: self._busy.isdisjoint(claimed))
            self._busy |= claimed
        try:
            yield
        finally:
            # No `await` may fail here, or the records would stay claimed: so the set first, then the news.
            self._busy -= claimed
            async with self._freed:
                self._freed.notify_all()

    async def _stored(self, batch: Sequence[Event], rows: Sequence[Row], options: Options) -> list[Outcome]:
        # A single record is a duplicate or new, and inserting says which: mostly all are new, and nothing is read.
        simple = all(row.size == 1 and not row.is_extra for row in rows) and len({row.key for row in rows}) == len(rows)
        written: set[Key] = set()
        if simple:
            try:
                return await self._all_new(batch, rows, options, written)
            except Conflict:
                pass
        for attempt in range(ATTEMPTS):
            heads = {row.head for row in rows if row.head is not None}
            replacing = [row for row in rows if row.size > 1 or row.read_at]
            extras = await self._store.extras({key for row in replacing for key in row.records} | heads)
            asked = {key for row in rows for key in (row.key, *row.records)}
            held = await self._store.held(asked.union(heads, *extras.values()))
            table = blocks.Rows({key: found.row for key, found in held.items()}, extras)
            verdicts = table.place(rows)
            try:
                await self._write(_Plan(batch, rows, table, held, options), written)
            except Conflict:
                if attempt:
                    await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
                continue
            return [
                _outcome(event, row, verdict, held, written)
                for event, row, verdict in zip(batch, rows, verdicts, strict=True)
            ]
        text = f"other writers held the same records through {ATTEMPTS} attempts; send it again"
        return [
            Outcome(event.event_id, "failed", created_at=event.created_at, code="busy", error=text) for event in batch
        ]

    async def _all_new(
        self, batch: Sequence[Event], rows: Sequence[Row], options: Options, written: set[Key]
    ) -> list[Outcome]:
        """Store events of one record each as if none were held: it is what nearly every batch comes to.

        Raises:
            Conflict: some are held; ``written`` has those of the days that were stored all the same.
        """
        await self._attribute(batch, options)
        writes: dict[str, Write] = defaultdict(lambda: Write(entry=Entry()))
        digests: dict[str, Totals] = defaultdict(Totals)
        counts: dict[str, Counter[Kind]] = defaultdict(Counter)
        for event, row in zip(batch, rows, strict=True):
            day, event_id = row.key
            write = writes[day]
            write.insert.append(_inserted(event, row, write, options))
            digests[day].count(event_id, event, 0)
            counts[day][_kind(event)] += 1
        for day, write in writes.items():
            assert write.entry is not None
            write.entry.traces = list(dict.fromkeys(write.entry.traces))
            write.digest = digests[day].rows()
            write.minutes = minutes.rows(counts[day])
            await self._store.commit(day, write)
            written.update(row.key for row in rows if row.key[0] == day)
        return [Outcome(event.event_id, "accepted", event.trace, event.created_at) for event in batch]

    async def _write(self, plan: _Plan, written: set[Key]) -> None:
        if not plan.changed:
            return
        await self._attribute([plan.events[key] for key in plan.changed if key in plan.events], plan.options)
        for stage in plan.writes():
            for day, write in stage.items():
                await self._store.commit(day, write)
                written |= plan.written(day)

    async def _attribute(self, events: Sequence[Event], options: Options) -> None:
        own = [boundary for event in events if (boundary := boundary_of(event)) is not None]
        auto = options.auto_create_traces
        needs = needed(events) if auto else []
        known = [*await self._store.boundaries(needs), *own] if needs else own
        if breaks := breaks_needed(known):
            known = [*known, *await self._store.boundaries(breaks)]
        attribute(events, Boundaries(known), auto_create_traces=auto)


class _Plan:
    """What a batch does to the rows, as transactions."""

    def __init__(
        self,
        batch: Sequence[Event],
        rows: Sequence[Row],
        table: blocks.Rows,
        held: Mapping[Key, HeldRow],
        options: Options,
    ) -> None:
        self.options = options
        self.changed = table.changes()
        self.events = {key: batch[index] for key, index in table.winners().items()}
        self._records: dict[Key, tuple[Event, int]] = {}
        self._held = held
        self._extras = table.extras_changed()
        self._rests_on = table.rests_on()
        for event, row in zip(batch, rows, strict=True):
            for position, key in enumerate(row.records):
                now = self.changed.get(key)
                if now is not None and (row.key in {now.key, now.head}):
                    self._records[key] = (event, position)

    def written(self, day: str) -> set[Key]:
        """Keys of the events that the day's transaction stored."""
        return {key for key in self.changed if key[0] == day and key in self.events}

    def writes(self) -> list[dict[str, Write]]:
        """Return the transactions, in stages, so that a crash between two days leaves no record without its text.

        What goes with its head's day comes first, then the stubs of other days. Where a block of several days gives way
        to several others, its own row goes only when these are there.
        """
        stages: list[dict[str, Write]] = [defaultdict(Write) for _ in range(_STAGES)]
        entries: dict[tuple[int, str], Entry] = {}
        digests: dict[tuple[int, str], Totals] = defaultdict(Totals)
        counts: dict[tuple[int, str], Counter[Kind]] = defaultdict(Counter)
        for key, row in self.changed.items():
            day, stage = key[0], self._stage(key)
            write = stages[stage][day]
            entry = entries.setdefault((stage, day), Entry())
            before = self._held.get(key)
            if row is None:
                write.remove.append(key[1])
            elif row.is_stub:
                (write.insert if before is None else write.change).append(stub_row(row))
            else:
                write.entry = entry
                counts[stage, day][_kind(self.events[key])] += 1
                made = _inserted(self.events[key], row, write, self.options)
                (write.insert if before is None else write.change).append(made)
            if before is not None and before.row.size > 0:
                if before.kind is not None:
                    counts[stage, day][before.kind] -= 1
                if before.trace is not None:
                    entry.traces.append(before.trace)
                if row is None or row.is_stub:
                    entry.gone.append(key[1])
                if before.mark is not None:
                    boundary = marked(before.mark)
                    write.boundaries_gone.append(boundary)
                    entry.boundaries.append(boundary)
            elif before is None and key in self._records:
                digests[stage, day].count(key[1], *self._records[key])
        for head, versions in self._extras.items():
            write = stages[self._stage(head)][head[0]]
            write.extras[head[1]] = {key[1]: version for key, version in versions.items()}
        for row in self._rests_on:
            # Before anything is written in its day, and when it is written itself.
            first = [number for number, stage in enumerate(stages) if row.key[0] in stage][:1]
            own = [self._stage(row.key)] if row.key in self.changed else []
            for number in {*first, *own}:
                stages[number][row.key[0]].unchanged.append(self._held[row.key])
        for (stage, day), entry in entries.items():
            entry.traces = list(dict.fromkeys(entry.traces))
            write = stages[stage][day]
            write.digest = digests[stage, day].rows()
            write.minutes = minutes.rows(counts[stage, day])
            write.entry = entry if entry.events or entry.gone else None
        return [dict(stage) for stage in stages]

    def _stage(self, key: Key) -> int:
        row, before = self.changed.get(key), self._held.get(key)
        if row is None:  # an extra that goes, or a head that stays as it is
            gone = key in self.changed and before is not None and before.row.head
            return self._stage(gone) if gone else 0
        if row.is_extra and row.head is not None:
            return self._stage(row.head)
        late = int(before is not None and self._is_divided(before.row, row))
        if row.is_stub and row.head is not None:
            return max(late, self._stage(row.head) + (row.head[0] != key[0]))
        return late

    def _is_divided(self, before: Row, now: Row) -> bool:
        """Whether a block of several days gives way to one that does not hold all of it."""
        if all(record[0] == before.key[0] for record in before.records):
            return False
        block = now
        if now.is_stub and now.head is not None:
            block = self.changed.get(now.head) or self._held[now.head].row
        return not set(before.records) <= set(block.records)


def _kind(event: Event) -> Kind:
    return minutes.kind_of(event.timestamp, event.agent_id, event.event_type)


def _inserted(event: Event, row: Row, write: Write, options: Options) -> dict[str, Any]:
    """Return the event's row, having noted in ``write`` all else that its transaction does for it."""
    entry = write.entry
    assert entry is not None
    made = event_row(event, row, search=options.generate_embeddings, relate=options.extract_relationships)
    entry.events.append(row.key[1])
    if event.trace is not None:
        entry.traces.append(event.trace)
    at = event.timestamp
    write.least = at if write.least is None else min(write.least, at)
    write.most = at if write.most is None else max(write.most, at)
    if options.auto_create_traces and event.source is not None and explicit(event) is None:
        entry.weak.append(row.key[1])
        if event.agent_id and [event.source.stream_key(), event.agent_id] not in write.agents:
            write.agents.append([event.source.stream_key(), event.agent_id])
    boundary = boundary_of(event)
    if boundary is not None:
        made["mark"] = mark_of(boundary)
        write.boundaries.append(boundary)
        entry.boundaries.append(boundary)
    return made


def _outcome(event: Event, row: Row, verdict: Verdict, held: Mapping[Key, HeldRow], written: set[Key]) -> Outcome:
    made = Outcome(event.event_id, "accepted", event.trace, event.created_at)
    if verdict.status == "duplicate" and row.key not in written:
        found = held.get(row.key)
        made.status = "duplicate"
        if found is not None and found.row.is_stub and found.row.head is not None:
            found = held.get(found.row.head)
        made.trace_id = found.trace if found is not None else event.trace
    elif verdict.status == "overlap":
        made.status, made.code, made.trace_id = "failed", "partial_overlap", None
        made.unclaimed = list(verdict.unclaimed)
        made.error = (
            f"{len(verdict.unclaimed)} of the block's {row.size} records are not held yet, the others belong to blocks "
            "that reach beyond it; send the records at these positions of source.log_ids by themselves: "
            f"{', '.join(map(str, verdict.unclaimed[:20]))}"
        )
    return made
