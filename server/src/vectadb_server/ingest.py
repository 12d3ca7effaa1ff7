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
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Literal

import msgspec

from vectadb_server import blocks
from vectadb_server.arrivals import arriving, homeless
from vectadb_server.attribution import Boundaries, attribute, boundary_of, breaks_needed, needed
from vectadb_server.expiry import nothing_expired
from vectadb_server.planning import Plan, all_new
from vectadb_server.stores import tombstones
from vectadb_server.stores.engine import Conflict
from vectadb_server.stores.rows import start_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence

    from vectadb_server.blocks import Key, Row, Verdict
    from vectadb_server.expiry import Expired
    from vectadb_server.model import Event
    from vectadb_server.plain import Plain
    from vectadb_server.stores.rows import HeldRow
    from vectadb_server.stores.surreal import SurrealStore
    from vectadb_server.wire import Among, Options

Status = Literal["accepted", "duplicate", "expired", "failed"]

ATTEMPTS = 8
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


class Ingest:
    """The use case; one for each server. ``expired()`` says what is not taken any more."""

    def __init__(
        self, store: SurrealStore, *, expired: Callable[[], Awaitable[Expired]] = nothing_expired, parallel: int = 2
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

    async def ingest(self, events: Sequence[Event], options: Options, among: Among | None = None) -> list[Outcome]:
        """Store the events, and the plain ones that they are among; the outcomes come in the order of the batch.

        They come when all that is accepted is durable. ``trace``, ``basis`` and ``created_at`` of the events are set.

        Raises:
            StoreUnavailable: nothing is known to be stored; send the same batch again.
        """
        written: set[Key] = set()
        outcomes = await self._ingest(events, options, among, written)
        if outcomes is None:
            assert among is not None
            outcomes = await self._ingest(among.all(events), options, None, written)
            assert outcomes is not None
        return outcomes

    async def _ingest(
        self, events: Sequence[Event], options: Options, among: Among | None, written: set[Key]
    ) -> list[Outcome] | None:
        """As :meth:`ingest`; ``None``: the plain events are to come as events, since not all is new, single and kept.

        ``written``: what was stored of this batch, all the same.
        """
        now = time.time_ns() // 1000
        expired = await self._expired()
        horizon = expired.horizon.every
        if among is not None and not _all_taken(among.plain, expired):
            return None
        outcomes = [Outcome(event.event_id, "expired", created_at=now) for event in events]
        taken = [index for index, event in enumerate(events) if event.recorded >= horizon]
        if not taken and among is None:
            return outcomes
        batch = [events[index] for index in taken]
        for event in batch:
            event.created_at = now
        plain = None if among is None else among.plain
        async with self._alone(batch, plain), self._slots:
            if self._slots.locked():
                self._full = time.monotonic()
            homes = await self._store.claim(homeless(batch))
            # Of an id that a client made up, the time that it came with first is what counts.
            gone = {event_id for event_id, day in homes.items() if start_of(day) < horizon}
            if gone:
                taken = [index for index in taken if events[index].event_id not in gone]
                batch = [events[index] for index in taken]
            rows = [arriving(event, homes) for event in batch]
            if buried := await self._to_bury(batch, rows, expired, options):
                # They come last: what others of the batch hold, they leave.
                order = sorted(range(len(batch)), key=buried.__contains__)
                taken = [taken[index] for index in order]
                batch, rows = [batch[index] for index in order], [rows[index] for index in order]
            stored = None if buried else await self._all_new(batch, rows, options, plain, written)
            if stored is None:
                if among is not None:
                    return None
                stored = await self._placed(batch, rows, options, len(batch) - len(buried), written)
        for index, outcome in zip(taken, stored, strict=True):
            outcomes[index] = outcome
        if among is None:
            return outcomes
        named = zip(among.plain.ids, among.plain.traces, strict=True)
        made = [Outcome(event_id, "accepted", trace, among.plain.now) for event_id, trace in named]
        return among.merged(outcomes, made)

    @asynccontextmanager
    async def _alone(self, batch: Sequence[Event], plain: Plain | None) -> AsyncIterator[None]:
        """Batches of this process that share records go one after the other: cheaper than to collide."""
        claimed = {event_id for event in batch for event_id in (event.event_id, *event.record_ids)}
        if plain is not None:
            claimed.update(plain.ids)
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

    async def _to_bury(
        self, batch: Sequence[Event], rows: Sequence[Row], expired: Expired, options: Options
    ) -> set[int]:
        """Return which of the events belong to an erased trace, or are of a type that is kept for shorter."""
        found: set[int] = set()
        if expired.horizon.types:
            kept_from = expired.horizon.of
            found = {index for index, event in enumerate(batch) if event.recorded < kept_from(event.event_type)}
        if not expired.erased:
            return found
        await self._attribute(batch, options)
        days: dict[str, set[str]] = defaultdict(set)
        for index, (event, row) in enumerate(zip(batch, rows, strict=True)):
            if event.trace is not None and event.trace in expired.erased:
                found.add(index)
                if row.key[0] not in expired.erased[event.trace]:
                    days[event.trace].add(row.key[0])
        await tombstones.extend(self._store.segments, days)
        return found

    async def _placed(
        self, batch: Sequence[Event], rows: Sequence[Row], options: Options, standing: int, written: set[Key]
    ) -> list[Outcome]:
        """Store the first ``standing`` of the events; what the others would have taken is held from now on."""
        for attempt in range(ATTEMPTS):
            heads = {row.head for row in rows if row.head is not None}
            replacing = [row for row in rows if row.size > 1 or row.read_at]
            extras = await self._store.extras({key for row in replacing for key in row.records} | heads)
            asked = {key for row in rows for key in (row.key, *row.records)}
            held = await self._store.held(asked.union(heads, *extras.values()))
            table = blocks.Rows({key: found.row for key, found in held.items()}, extras)
            verdicts = [*table.place(rows[:standing]), *table.bury(rows[standing:])]
            plan = Plan(batch, rows, table, held, options, standing)
            try:
                await self._write(plan, written)
            except Conflict:
                if attempt:
                    await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
                continue
            outcomes = []
            for index, (event, row, verdict) in enumerate(zip(batch, rows, verdicts, strict=True)):
                if index >= standing and (verdict.status != "duplicate" or plan.buries(row.key)):
                    outcomes.append(Outcome(event.event_id, "expired", created_at=event.created_at))
                    continue
                outcomes.append(_outcome(event, row, verdict, held, written))
                written.discard(row.key)  # The same event once more is one too many.
            return outcomes
        text = f"other writers held the same records through {ATTEMPTS} attempts; send it again"
        return [
            Outcome(event.event_id, "failed", created_at=event.created_at, code="busy", error=text) for event in batch
        ]

    async def _all_new(
        self,
        batch: Sequence[Event],
        rows: Sequence[Row],
        options: Options,
        plain: Plain | None,
        written: set[Key],
    ) -> list[Outcome] | None:
        """Store events of one record each as if none were held: it is what nearly every batch comes to.

        A single record is a duplicate or new, and inserting says which. ``None``: not all are single and new;
        ``written`` has those of the days that were stored all the same.
        """
        ids = [*(row.key[1] for row in rows), *(() if plain is None else plain.ids)]
        if any(row.size != 1 or row.is_extra for row in rows) or len(set(ids)) < len(ids):
            return None
        await self._attribute(batch, options)
        writes = all_new(batch, rows, options, plain)
        try:
            for day, write in writes.items():
                await self._store.commit(day, write)
                if len(writes) > 1 and write.entry is not None:
                    written.update((day, event_id) for event_id in write.entry.events)
        except Conflict:
            return None
        return [Outcome(event.event_id, "accepted", event.trace, event.created_at) for event in batch]

    async def _write(self, plan: Plan, written: set[Key]) -> None:
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
        known = [*await self._store.boundaries(needs, settled=False), *own] if needs else own
        if breaks := breaks_needed(known):
            known = [*known, *await self._store.boundaries(breaks, settled=False)]
        attribute(events, Boundaries(known), auto_create_traces=auto)


def _all_taken(plain: Plain, expired: Expired) -> bool:
    """Whether nothing that is over can be among them."""
    horizon = expired.horizon
    return plain.recorded >= horizon.every and not horizon.types and expired.erased.keys().isdisjoint(plain.traces)


def _outcome(event: Event, row: Row, verdict: Verdict, held: Mapping[Key, HeldRow], written: set[Key]) -> Outcome:
    made = Outcome(event.event_id, "accepted", event.trace, event.created_at)
    if verdict.status == "duplicate" and row.key not in written:
        found = held.get(row.key)
        made.status = "duplicate"
        if found is not None and found.row.head == blocks.ERASED:
            made.status, made.trace_id = "expired", None
            return made
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
