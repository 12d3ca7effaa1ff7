"""A pipeline: records from its source, joined, parsed, delivered; and the checkpoint, once all that has arrived.

The order of things is the guarantee. A record is counted as read, then it is in flight until every required sink has
settled the block that holds it. A page of records settles when all its records have; of a partition's settled pages
only the unbroken run from the oldest on is saved as its checkpoint, together with what was delivered. So whatever is
cut off in the middle is read again, and what was delivered already is recognised.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from vectadb_agent.components import Outcome, SinkConfig
from vectadb_agent.delivery import Fate, Outlet, Overlap, Parcel
from vectadb_agent.errors import CheckError
from vectadb_agent.join import Joined, Joiner
from vectadb_agent.parsing import Parsing
from vectadb_agent.records import Block, LogRecord, sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vectadb_agent import config
    from vectadb_agent.components import Batch, Checkpoint, Sink
    from vectadb_agent.records import Event
    from vectadb_agent.state import State

logger = logging.getLogger("vectadb_agent.pipeline")

GRACE = 10.0
"""How long a stop waits for what was read to be delivered, seconds, where nothing else is said."""
CHUNK = 250
"""Records taken at once: between two chunks there must be room, and other tasks have their turn."""
OVERHEAD = 1_500
"""Bytes that a record in flight takes beside its text, about: its event, ids and bookkeeping."""


class Counts(msgspec.Struct):
    """What became of the records read. Each is in exactly one term, or in flight."""

    read: int = 0
    delivered: int = 0
    duplicate: int = 0
    filtered: int = 0
    quarantined: int = 0
    expired: int = 0

    @property
    def in_flight(self) -> int:
        """Records read whose fate is still open."""
        return self.read - self.delivered - self.duplicate - self.filtered - self.quarantined - self.expired


class _Page(msgspec.Struct):
    """A batch in flight. ``pending``: pieces of its records that are not settled, and one while it is being taken.

    ``torn``: the pipeline was stopped while taking it; it never settles, and is read again.
    """

    batch: Batch
    partition: _Partition
    pending: int = 1
    torn: bool = False
    delivered: int = 0
    duplicate: int = 0
    quarantined: int = 0
    expired: int = 0


class _Ticket(msgspec.Struct, frozen=True, gc=False):
    """Goes with each record through the joining: the page to settle, and the record's key in the ledger."""

    page: _Page
    key: bytes | None


class _Unsaved(msgspec.Struct):
    """What the next save of a partition writes."""

    checkpoint: Checkpoint | None = None
    delivered: list[tuple[int, bytes]] = []
    forget_before: int | None = None


@dataclass
class _Partition:
    name: str
    joiner: Joiner[_Ticket]
    pages: deque[_Page] = field(default_factory=deque)
    known: set[bytes] = field(default_factory=set)
    """Keys of records in flight, or delivered but not yet in the ledger."""
    unsaved: _Unsaved = field(default_factory=_Unsaved)
    dirty: bool = False
    ledger_end: int | None = None
    reports_progress: bool = False


class _Shipment(Parcel, gc=False):
    """A parcel with what is needed to settle it. ``waiting``: required sinks that have not settled it yet."""

    joined: Joined[_Ticket]
    waiting: int
    fates: list[Fate]
    unclaimed: set[int] | None = None


_WORST_FIRST: tuple[Fate, ...] = ("quarantined", "delivered", "expired", "duplicate")


class Pipeline:
    """Runs one configured pipeline. Its components must be open."""

    def __init__(
        self,
        settings: config.Pipeline,
        sinks: Mapping[str, Sink],
        state: State,
        *,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ) -> None:
        self.name = settings.name
        self.counts = Counts()
        self._settings = settings
        self._parsing = Parsing(settings.parsers, settings.agent_id, pipeline=settings.name)
        self._state = state
        self._clock = clock
        self._partitions: dict[str, _Partition] = {}
        self._outlets = [
            Outlet(
                name,
                sinks[name],
                settled=self._settled if sinks[name].config.required else _ignore,
                overlapping=self._overlapping if sinks[name].config.required else _ignore_overlap,
                quarantine=functools.partial(self._quarantine, name),
                failed=self._fail,
                most_bytes=settings.max_in_flight,
            )
            for name in settings.sinks
        ]
        self._required = sum(1 for outlet in self._outlets if _config(outlet.sink).required)
        self._reading: anyio.CancelScope | None = None
        self._failure: CheckError | None = None
        self._bytes = 0
        self._changed = anyio.Event()
        self._dirty = anyio.Event()
        self._held = anyio.Event()

    async def run(self, stop: anyio.Event, *, drain: bool = False, shutdown_timeout: float = GRACE) -> None:
        """Run until ``stop`` is set, or with ``drain`` until all that is visible now has been delivered.

        On a stop what was read is delivered for at most ``shutdown_timeout`` seconds; what is not by then is read again
        by the next run.

        Raises:
            CheckError: the source cannot work at all, or a sink never again.
        """
        async with anyio.create_task_group() as group:
            for outlet in self._outlets:
                group.start_soon(outlet.run)
            group.start_soon(self._save_when_dirty)
            group.start_soon(self._expire_blocks)
            group.start_soon(self._stop_reading, stop)
            try:
                await self._read(stop, drain=drain)
            except CheckError as error:
                self._fail(error)
            with anyio.CancelScope(shield=True):
                unhurried = drain and not stop.is_set() and self._failure is None
                await self._finish(stop, None if unhurried else shutdown_timeout)
            group.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _finish(self, stop: anyio.Event, grace: float | None) -> None:
        """Deliver what was read: within ``grace`` seconds, or, where that is ``None``, until a stop."""
        for partition in self._partitions.values():
            self._emit(partition.joiner.flush())
        for outlet in self._outlets:
            outlet.rush()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_after, stop, grace, scope)
                await self._until_settled()
                group.cancel_scope.cancel()
        await self._save()
        left = self.counts.in_flight
        if left:
            logger.warning(
                "stopped with records not yet delivered; the next run reads them again",
                extra={"pipeline": self.name, "records": left},
            )
        for partition in self._partitions.values():
            for page in partition.pages:
                page.batch.settle(_outcome(page, durable=False))

    async def _until_settled(self) -> None:
        while any(page.pending > page.torn for partition in self._partitions.values() for page in partition.pages):
            self._changed = anyio.Event()
            await self._changed.wait()

    # Reading

    async def _read(self, stop: anyio.Event, *, drain: bool) -> None:
        failures = 0
        while not stop.is_set() and self._failure is None:
            with anyio.CancelScope() as reading:
                self._reading = reading
                try:
                    after = await anyio.to_thread.run_sync(self._state.checkpoints, self.name)
                    async with contextlib.aclosing(self._settings.source.read(after, drain=drain)) as batches:
                        async for batch in batches:
                            failures = 0
                            await self._take(batch)
                except CheckError:
                    raise
                except Exception as error:
                    failures += 1
                    logger.exception(
                        "source failed; reading again from the checkpoint",
                        extra={"pipeline": self.name, "error": f"{type(error).__name__}: {error}"},
                    )
                    await anyio.sleep(random.uniform(0, min(60, 2**failures)))
                    continue
                return

    def _fail(self, error: CheckError) -> None:
        self._failure = self._failure or error
        if self._reading is not None:
            self._reading.cancel()

    async def _stop_reading(self, stop: anyio.Event) -> None:
        await stop.wait()
        if self._reading is not None:
            self._reading.cancel()

    async def _take(self, batch: Batch) -> None:
        """Take one batch in: wait for room, then join and parse its records and hand the events to the outlets."""
        partition = self._partitions.get(batch.partition)
        if partition is None:
            partition = await self._new_partition(batch.partition)
        page = _Page(batch, partition)
        fresh = await self._fresh(partition, page)
        partition.pages.append(page)
        page.torn = True
        for start in range(0, len(fresh), CHUNK):
            chunk = [(_clean(record), key) for record, key in fresh[start : start + CHUNK]]
            size = sum(len(record.message) for record, _ in chunk)
            await self._room_for(size + OVERHEAD * len(chunk))
            self.counts.read += len(chunk)
            self._bytes += size
            now = self._clock()
            for record, key in chunk:
                self._emit(partition.joiner.add(record, _Ticket(page, key), now))
            if len(partition.joiner):
                self._held.set()
            await anyio.lowlevel.checkpoint()
        page.torn = False
        if batch.read_through is not None:
            partition.reports_progress = True
            self._emit(partition.joiner.read_through(batch.read_through))
        page.pending -= 1
        self._advance(partition)

    async def _new_partition(self, name: str) -> _Partition:
        partition = _Partition(name, Joiner(self._settings.parsers, self._piece_taken))
        if self._settings.source.rereads:
            partition.ledger_end = await anyio.to_thread.run_sync(self._state.ledger_end, self.name, name)
        self._partitions[name] = partition
        return partition

    def _piece_taken(self, ticket: _Ticket) -> None:
        ticket.page.pending += 1
        self._bytes += OVERHEAD

    async def _room_for(self, size: int) -> None:
        most = self._settings.max_in_flight
        while self._bytes and self._bytes + size > most:
            joiners = [partition.joiner for partition in self._partitions.values()]
            held = sum(joiner.held_bytes + OVERHEAD * joiner.held_pieces for joiner in joiners)
            if held and held >= self._bytes - most // 2:
                # What fills the budget is blocks waiting for more lines, which cannot come while nobody reads.
                for partition in self._partitions.values():
                    self._emit(partition.joiner.flush())
                continue
            # While nobody reads no batch fills by itself.
            for outlet in self._outlets:
                outlet.rush()
            self._changed = anyio.Event()
            await self._changed.wait()
        for outlet in self._outlets:
            outlet.hurry = False

    async def _fresh(self, partition: _Partition, page: _Page) -> list[tuple[LogRecord, bytes | None]]:
        """Leave out the records that are in flight or were delivered before; they count as duplicates."""
        records = page.batch.records
        if not self._settings.source.rereads:
            return [(record, None) for record in records]
        keyed: list[tuple[LogRecord, bytes]] = []
        for record in records:
            event_id = self._parsing.id_maker(record.stream)(record.log_id, "0")
            keyed.append((record, bytes.fromhex(event_id.replace("-", ""))))
        delivered: set[bytes] = set()
        if keyed and partition.ledger_end is not None:
            first = min(record.timestamp for record in records)
            if first <= partition.ledger_end:
                last = max(record.timestamp for record in records)
                delivered = await anyio.to_thread.run_sync(
                    self._state.delivered, self.name, partition.name, first, last
                )
        fresh: list[tuple[LogRecord, bytes | None]] = []
        known = partition.known
        for record, key in keyed:
            if key in known or key in delivered:
                self.counts.read += 1
                self.counts.duplicate += 1
                page.duplicate += 1
            else:
                known.add(key)
                fresh.append((record, key))
        return fresh

    # Shipping

    def _emit(self, finished: Sequence[Joined[_Ticket]]) -> None:
        for joined in finished:
            events = self._parsing.events(joined)
            if events:
                size = sum(len(line) for line in joined.block.lines)
                self._ship(_Shipment(events, size, joined, self._required, []))
            else:
                self._settle(joined, "filtered")

    def _ship(self, shipment: _Shipment) -> None:
        for outlet in self._outlets:
            outlet.offer(shipment)
        if not self._required:
            self._settle(shipment.joined, "delivered")

    # Settling

    def _settled(self, parcel: Parcel, fate: Fate) -> None:
        assert isinstance(parcel, _Shipment)
        parcel.fates.append(fate)
        parcel.waiting -= 1
        if parcel.waiting:
            return
        if parcel.unclaimed is not None:
            self._hand_on(parcel, parcel.unclaimed)
        else:
            self._settle(parcel.joined, next(fate for fate in _WORST_FIRST if fate in parcel.fates))

    def _overlapping(self, overlap: Overlap) -> None:
        parcel = overlap.parcel
        assert isinstance(parcel, _Shipment)
        parcel.unclaimed = (parcel.unclaimed or set()) | set(overlap.unclaimed)
        self._settled(parcel, "duplicate")

    def _hand_on(self, shipment: _Shipment, unclaimed: set[int]) -> None:
        """Ship the records that a sink lacks by themselves; the block's others it holds already."""
        block, tags = shipment.joined.block, shipment.joined.tags
        singles = [Joined(_part_of(block, at), None, (tags[at],)) for at in range(len(block.records))]
        for at, single in enumerate(singles):
            if at in unclaimed:
                self._emit([single])
            else:
                self._settle(single, "duplicate")

    def _settle(self, joined: Joined[_Ticket], fate: str) -> None:
        """Note the fate of a block's records: count each once, by its first piece, and free what they held."""
        block = joined.block
        counts = self.counts
        touched: set[str] = set()
        for record, line, part, ticket in zip(block.records, block.lines, block.parts, joined.tags, strict=True):
            page = ticket.page
            page.pending -= 1
            touched.add(page.partition.name)
            self._bytes -= len(line) + OVERHEAD
            if part == "0":
                setattr(counts, fate, getattr(counts, fate) + 1)
                if fate != "filtered":
                    setattr(page, fate, getattr(page, fate) + 1)
                if ticket.key is not None:
                    page.partition.unsaved.delivered.append((record.timestamp, ticket.key))
        for name in touched:
            self._advance(self._partitions[name])

    def _advance(self, partition: _Partition) -> None:
        """Move the partition's checkpoint over its settled pages, oldest first."""
        while partition.pages and partition.pages[0].pending == 0:
            page = partition.pages.popleft()
            batch = page.batch
            if batch.checkpoint is not None:
                partition.unsaved.checkpoint = batch.checkpoint
            if batch.forget_before is not None:
                partition.unsaved.forget_before = batch.forget_before
            batch.settle(_outcome(page, durable=True))
            partition.dirty = True
        if partition.unsaved.delivered:
            partition.dirty = True
        if partition.dirty:
            self._dirty.set()
        self._changed.set()

    async def _save_when_dirty(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty = anyio.Event()
            await self._save()
            # Pages settle in bursts: one transaction for many.
            await anyio.sleep(0.1)

    async def _save(self) -> None:
        for partition in [partition for partition in self._partitions.values() if partition.dirty]:
            unsaved, partition.unsaved = partition.unsaved, _Unsaved()
            partition.dirty = False
            save = functools.partial(self._state.save, **msgspec.structs.asdict(unsaved))
            try:
                await anyio.to_thread.run_sync(save, self.name, partition.name)
            except Exception as error:
                # A full disk must not stop delivery: the older checkpoint stays good, and this one is tried again.
                logger.exception("cannot save the checkpoint", extra={"pipeline": self.name, "error": str(error)})
                newer = partition.unsaved
                partition.unsaved = _Unsaved(
                    newer.checkpoint or unsaved.checkpoint,
                    unsaved.delivered + newer.delivered,
                    newer.forget_before or unsaved.forget_before,
                )
                partition.dirty = True
                self._dirty.set()
                continue
            partition.known.difference_update(key for _, key in unsaved.delivered)
            if unsaved.delivered:
                latest = max(time_ for time_, _ in unsaved.delivered)
                partition.ledger_end = max(partition.ledger_end or latest, latest)

    async def _quarantine(self, sink: str, refused: Sequence[tuple[Event, str]]) -> None:
        for event, reason in refused:
            logger.error(
                "event refused for good; kept in the quarantine",
                extra={"pipeline": self.name, "sink": sink, "event_id": event.event_id, "error": reason},
            )
        rows = [(event.event_id, reason, event.wire()) for event, reason in refused]
        await anyio.to_thread.run_sync(self._state.quarantine, self.name, sink, rows)

    async def _expire_blocks(self) -> None:
        """Close blocks that were held for long enough, while there are any."""
        while True:
            await self._held.wait()
            await anyio.sleep(0.5)
            now = self._clock()
            for partition in self._partitions.values():
                self._emit(partition.joiner.expire(now, quiet=not partition.reports_progress))
            if not any(len(partition.joiner) for partition in self._partitions.values()):
                self._held = anyio.Event()


def _clean(record: LogRecord) -> LogRecord:
    message = sendable(record.message)
    if message is record.message:
        return record
    return LogRecord(record.stream, record.log_id, record.timestamp, message, record.ingestion_time)


def _part_of(block: Block, position: int) -> Block:
    return Block((block.records[position],), (block.lines[position],), (block.parts[position],))


def _outcome(page: _Page, *, durable: bool) -> Outcome:
    return Outcome(
        durable=durable,
        delivered=page.delivered,
        duplicate=page.duplicate,
        quarantined=page.quarantined,
        expired=page.expired,
    )


def _config(sink: Sink) -> SinkConfig:
    config: SinkConfig = sink.config
    return config


def _ignore(parcel: Parcel, fate: Fate) -> None:
    """Settle nothing: checkpoints do not wait for this sink."""


def _ignore_overlap(overlap: Overlap) -> None:
    """Ship nothing anew: checkpoints do not wait for this sink."""


async def _cancel_after(stop: anyio.Event, grace: float | None, scope: anyio.CancelScope) -> None:
    if grace is None:
        await stop.wait()
    await anyio.sleep(GRACE if grace is None else grace)
    scope.cancel()
