"""A pipeline: records from its source, joined, parsed, delivered; and the checkpoint, once all that has arrived.

The order of things is the guarantee. A record is counted as read, then it is in flight until every required sink has
settled the block that holds it. A page of records settles when all its records have; of a lane's settled pages only the
unbroken run from the oldest on is saved as its checkpoint, together with what was delivered. So whatever is cut off in
the middle is read again, and what was delivered already is recognised.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread
import msgspec

from vectadb_agent.components import Batch, Figure, Outcome, SinkConfig
from vectadb_agent.delivery import Fate, Outlet, Overlap, Parcel
from vectadb_agent.errors import CheckError
from vectadb_agent.join import Joined, Joiner
from vectadb_agent.lanes import BEGIN, HEAD, SHAPE_UNKNOWN, Held, Lane, Page, Ticket, Unsaved
from vectadb_agent.parsing import Parsing
from vectadb_agent.records import Block, LogRecord, record_hash, sendable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from vectadb_agent import config
    from vectadb_agent.components import Sink
    from vectadb_agent.records import Event
    from vectadb_agent.state import State

logger = logging.getLogger("vectadb_agent.pipeline")

GRACE = 10.0
"""How long a stop waits for what was read to be delivered, seconds, where nothing else is said."""
CHUNK = 250
"""Records taken at once: between two chunks there must be room, and other tasks have their turn."""
OVERHEAD = 1_500
"""Bytes that a record in flight takes beside its text, about: its event, ids and bookkeeping."""
UNSAVED = 10_000
"""Most records of a lane that have arrived and are not in the ledger yet; 100 to 200 bytes each in memory."""
STUCK_AFTER = 120.0
"""Seconds without a settled record, though some are in flight, after which a pipeline counts as stuck."""
HOUR = 3_600_000_000
"""Microseconds."""


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


class _Shipment(Parcel, gc=False):
    """A parcel with what is needed to settle it. ``waiting``: required sinks that have not settled it yet."""

    joined: Joined[Ticket]
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
        self.source = settings.source
        self.state = state
        self.counts = Counts()
        self.lanes: dict[tuple[str, str], Lane] = {}
        """By partition and name."""
        self.required: list[Sink] = [sinks[name] for name in settings.sinks if _config(sinks[name]).required]
        self._settings = settings
        self._parsing = Parsing(settings.parsers, settings.agent_id, pipeline=settings.name)
        self._clock = clock
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
        self._idempotent = all(sinks[name].idempotent for name in settings.sinks)
        self._notes_unsent = self.source.seekable and any(sink.tells for sink in self.required)
        self._reading: anyio.CancelScope | None = None
        self._failure: CheckError | None = None
        self._source_error: str | None = None
        self._settled_at = time.monotonic()
        self._bytes = 0
        self._changed = anyio.Event()
        self._dirty = anyio.Event()
        self._held = anyio.Event()

    async def run(
        self,
        stop: anyio.Event,
        *,
        drain: bool = False,
        shutdown_timeout: float = GRACE,
        work: Callable[[], Awaitable[None]] | None = None,
        beside: Sequence[Callable[[], Awaitable[None]]] = (),
    ) -> None:
        """Run until ``stop`` is set, or with ``drain`` until all that is visible now has been delivered.

        On a stop what was read is delivered for at most ``shutdown_timeout`` seconds; what is not by then is read again
        by the next run. ``work``: what to do instead of reading the source, to its end; ``beside``: what else to do
        meanwhile. Both hand batches to :meth:`take`, and may be cancelled anywhere.

        Raises:
            CheckError: the source cannot work at all, or a sink never again.
        """
        async with anyio.create_task_group() as group:
            for outlet in self._outlets:
                group.start_soon(outlet.run)
            group.start_soon(self._save_when_dirty)
            group.start_soon(self._expire_blocks)
            group.start_soon(self._stop_reading, stop)
            side = anyio.CancelScope()
            for companion in beside:
                group.start_soon(_within, side, companion)
            try:
                if work is None:
                    await self._read(stop, drain=drain)
                else:
                    await self._do(work, stop)
            except CheckError as error:
                self._fail(error)
            side.cancel()
            with anyio.CancelScope(shield=True):
                unhurried = (drain or work is not None) and not stop.is_set() and self._failure is None
                await self._finish(stop, None if unhurried else shutdown_timeout)
            group.cancel_scope.cancel()
        if self._failure is not None:
            raise self._failure

    async def _finish(self, stop: anyio.Event, grace: float | None) -> None:
        """Deliver what was read: within ``grace`` seconds, or, where that is ``None``, until a stop."""
        for lane in self.lanes.values():
            if lane.is_head:
                self._emit(lane.joiner.flush())
            else:
                self._abandon(lane)
        for outlet in self._outlets:
            outlet.rush()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_after, stop, grace, scope)
                await self._until(lambda: all(map(_is_done, self.lanes.values())))
                group.cancel_scope.cancel()
        await self._save()
        left = sum(page.pending - page.torn for lane in self.lanes.values() if lane.is_head for page in lane.pages)
        if left:
            logger.warning(
                "stopped with records not yet delivered; the next run reads them again",
                extra={"pipeline": self.name, "records": left},
            )
        for lane in self.lanes.values():
            for page in lane.pages:
                page.batch.settle(_outcome(page, durable=False))

    def _abandon(self, lane: Lane) -> None:
        """Let go of blocks that a later reading would have completed: their pages are read again by the next run."""
        for joined in lane.joiner.flush():
            for line, ticket in zip(joined.block.lines, joined.tags, strict=True):
                self._bytes -= len(line) + OVERHEAD
                ticket.page.pending -= 1
                if not ticket.page.torn:
                    ticket.page.torn = True
                    ticket.page.pending += 1

    async def _until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            await self._changed.wait()

    def _note_change(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    # Reading

    async def _read(self, stop: anyio.Event, *, drain: bool) -> None:
        failures = 0
        while not stop.is_set() and self._failure is None:
            with anyio.CancelScope() as reading:
                self._reading = reading
                try:
                    after = await anyio.to_thread.run_sync(self.state.checkpoints, self.name)
                    async with contextlib.aclosing(self.source.read(after, drain=drain)) as batches:
                        async for batch in batches:
                            failures = 0
                            self._source_error = None
                            await self.take(await self.lane(batch.partition), batch)
                except CheckError:
                    raise
                except Exception as error:
                    failures += 1
                    self._source_error = f"{type(error).__name__}: {error}"
                    logger.exception(
                        "source failed; reading again from the checkpoint",
                        extra={"pipeline": self.name, "error": self._source_error},
                    )
                    await anyio.sleep(random.uniform(0, min(60, 2**failures)))
                    continue
                return

    async def _do(self, work: Callable[[], Awaitable[None]], stop: anyio.Event) -> None:
        if not stop.is_set():
            with anyio.CancelScope() as self._reading:
                await work()

    def _fail(self, error: CheckError) -> None:
        self._failure = self._failure or error
        if self._reading is not None:
            self._reading.cancel()

    async def _stop_reading(self, stop: anyio.Event) -> None:
        await stop.wait()
        if self._reading is not None:
            self._reading.cancel()

    async def lane(self, partition: str, name: str = HEAD, ships: Literal["new", "differing", "all"] = "new") -> Lane:
        """Return the partition's lane of that name, made when it is asked for first."""
        lane = self.lanes.get((partition, name))
        if lane is None:
            late_alone = name == HEAD and bool(self.source.sweep_ages)
            joiner: Joiner[Ticket] = Joiner(self._settings.parsers, self._piece_taken, set_late_aside=late_alone)
            lane = Lane(partition, name, joiner, ships)
            if name == HEAD and self.source.rereads:
                lane.ledger_end = await anyio.to_thread.run_sync(self.state.ledger_end, self.name, partition)
            lane = self.lanes.setdefault((partition, name), lane)
        return lane

    async def take(self, lane: Lane, batch: Batch, held: Held | None = None) -> None:
        """Take one batch in: wait for room, then join and parse its records and hand the events to the outlets.

        ``held``: of a batch that is read again, what was delivered of it.
        """
        page = Page(batch, lane, held)
        fresh = await self._fresh(lane, page) if lane.is_head else self._keyed(batch)
        lane.pages.append(page)
        page.torn = True
        for start in range(0, len(fresh), CHUNK):
            chunk = [(_clean(record), key) for record, key in fresh[start : start + CHUNK]]
            size = sum(len(record.message) for record, _ in chunk)
            await self._room_for(size + OVERHEAD * len(chunk))
            await self._until(lambda: len(lane.unsaved.delivered) + lane.saving < UNSAVED)
            self.counts.read += len(chunk)
            self._bytes += size
            now = self._clock()
            for record, key in chunk:
                self._emit(lane.joiner.add(record, Ticket(page, key), now))
            if len(lane.joiner):
                self._held.set()
            await anyio.lowlevel.checkpoint()
        page.torn = False
        # One block that waits for more lines holds up all later pages: they must not hold their records as well.
        page.batch = _without_records(batch)
        if batch.read_through is not None:
            lane.reports_progress = True
            self._emit(lane.joiner.read_through(batch.read_through))
        page.pending -= 1
        self._advance(lane)

    async def finish(self, lane: Lane) -> None:
        """Close the lane's open blocks and wait until all that it took is settled and saved; then forget the lane."""
        self._emit(lane.joiner.flush())
        await self._until(lambda: not lane.pages and not lane.dirty)
        del self.lanes[lane.partition, lane.name]

    def drop(self, lane: Lane) -> None:
        """Give up what the lane has read but not shipped; it is read again, by another lane of that name."""
        self._abandon(lane)
        del self.lanes[lane.partition, lane.name]

    def id_of(self, record: LogRecord, part: str = "0") -> str:
        """Return the event id of a record, or of a piece of it."""
        return self._parsing.id_maker(record.stream)(record.log_id, part)

    def events_of(self, joined: Joined[Any]) -> list[Event]:
        """Return the events that would be shipped of a block; nothing is shipped or counted."""
        return self._parsing.events(joined)

    def _keyed(self, batch: Batch) -> list[tuple[LogRecord, bytes | None]]:
        return [(record, key_of(self.id_of(record))) for record in batch.records]

    def _piece_taken(self, ticket: Ticket) -> None:
        ticket.pending += 1
        ticket.page.pending += 1
        self._bytes += OVERHEAD

    async def _room_for(self, size: int) -> None:
        most = self._settings.max_in_flight
        while self._bytes and self._bytes + size > most:
            joiners = [lane.joiner for lane in self.lanes.values()]
            held = sum(joiner.held_bytes + OVERHEAD * joiner.held_pieces for joiner in joiners)
            if held and held >= self._bytes - most // 2:
                # What fills the budget is blocks waiting for more lines, which cannot come while nobody reads.
                for joiner in joiners:
                    self._emit(joiner.flush())
                continue
            # While nobody reads no batch fills by itself.
            for outlet in self._outlets:
                outlet.rush()
            await self._changed.wait()
        for outlet in self._outlets:
            outlet.hurry = False

    async def _fresh(self, lane: Lane, page: Page) -> list[tuple[LogRecord, bytes | None]]:
        """Leave out the records that are in flight or were delivered before; they count as duplicates."""
        records = page.batch.records
        if not self.source.rereads:
            return [(record, None) for record in records]
        keyed = self._keyed(page.batch)
        delivered: Held = {}
        if keyed and lane.ledger_end is not None:
            first = min(record.timestamp for record in records)
            if first <= lane.ledger_end:
                last = max(record.timestamp for record in records)
                delivered = await anyio.to_thread.run_sync(self.state.delivered, self.name, lane.partition, first, last)
        fresh: list[tuple[LogRecord, bytes | None]] = []
        known = lane.known
        for record, key in keyed:
            if key is not None and (key in known or key in delivered):
                self.counts.read += 1
                self.counts.duplicate += 1
                page.duplicate += 1
            else:
                if key is not None:
                    known.add(key)
                fresh.append((record, key))
        return fresh

    # Shipping

    def _emit(self, finished: Sequence[Joined[Ticket]]) -> None:
        for joined in finished:
            lane = joined.tags[0].page.lane
            if lane.ships == "differing" and not self._differs(joined):
                continue
            self._ship(joined, lane.read_at)

    def _ship(self, joined: Joined[Ticket], read_at: int | None) -> None:
        events = self._parsing.events(joined)
        if not events:
            self._settle(joined, "filtered")
            return
        if read_at is not None:
            for event in events:
                event.read_at = read_at
        size = sum(len(line) for line in joined.block.lines)
        shipment = _Shipment(events, size, joined, len(self.required), [])
        for outlet in self._outlets:
            outlet.offer(shipment)
        if not self.required:
            self._settle(joined, "delivered")

    def _differs(self, joined: Joined[Ticket]) -> bool:
        """Whether a block that was read again is to be shipped as it is now. Where not, it is settled here."""
        block = joined.block
        missing: set[int] = set()
        reshaped = False
        for at, (record, part, ticket) in enumerate(zip(block.records, block.parts, joined.tags, strict=True)):
            held = ticket.page.held or {}
            whole = held.get(ticket.key) if ticket.key is not None else None
            size = whole if part == "0" or whole == SHAPE_UNKNOWN else held.get(key_of(self.id_of(record, part)))
            if size is None:
                missing.add(at)
            elif size not in (SHAPE_UNKNOWN, len(block.records) if at == 0 else 0):
                reshaped = True
        if self._idempotent and (missing or reshaped):
            return True
        if missing:
            # A sink that repeats what it is given again gets only what it never had.
            self._part(joined, missing)
        else:
            self._settle(joined, "duplicate", note=False)
        return False

    # Settling

    def _settled(self, parcel: Parcel, fate: Fate) -> None:
        assert isinstance(parcel, _Shipment)
        parcel.fates.append(fate)
        parcel.waiting -= 1
        if parcel.waiting:
            return
        if parcel.unclaimed is not None:
            self._part(parcel.joined, parcel.unclaimed)
        else:
            self._settle(parcel.joined, next(fate for fate in _WORST_FIRST if fate in parcel.fates))

    def _overlapping(self, overlap: Overlap) -> None:
        parcel = overlap.parcel
        assert isinstance(parcel, _Shipment)
        parcel.unclaimed = (parcel.unclaimed or set()) | set(overlap.unclaimed)
        self._settled(parcel, "duplicate")

    def _part(self, joined: Joined[Ticket], missing: set[int]) -> None:
        """Ship the records that a sink lacks by themselves; the block's others it holds already."""
        block, tags = joined.block, joined.tags
        for at in range(len(block.records)):
            single = Joined(_part_of(block, at), None, (tags[at],))
            if at in missing:
                self._ship(single, tags[at].page.lane.read_at)
            else:
                self._settle(single, "duplicate")

    def _settle(self, joined: Joined[Ticket], fate: str, *, note: bool = True) -> None:
        """Note the fate of a block's records: count each once, by its first piece, and free what they held."""
        block = joined.block
        counts = self.counts
        self._settled_at = time.monotonic()
        touched: dict[int, Lane] = {}
        size = len(block.records)
        for record, line, part, ticket in zip(block.records, block.lines, block.parts, joined.tags, strict=True):
            page = ticket.page
            lane = page.lane
            page.pending -= 1
            touched[id(lane)] = lane
            self._bytes -= len(line) + OVERHEAD
            ticket.pending -= 1
            if part == "0":
                setattr(counts, fate, getattr(counts, fate) + 1)
                if fate != "filtered":
                    setattr(page, fate, getattr(page, fate) + 1)
                if self._notes_unsent and fate in ("filtered", "quarantined"):
                    self._note_unsent(lane, page, record, ticket)
            if ticket.key is not None and note:
                self._note_delivered(lane, record, part, ticket, size)
            size = 0
        for lane in touched.values():
            self._advance(lane)

    def _note_delivered(self, lane: Lane, record: LogRecord, part: str, ticket: Ticket, size: int) -> None:
        """Enter the piece in the ledger, but not before all pieces of its record are settled."""
        assert ticket.key is not None
        row = (record.timestamp, ticket.key if part == "0" else key_of(self.id_of(record, part)), size)
        if ticket.pending:
            ticket.rows = [*(ticket.rows or ()), row]
            return
        if ticket.rows:
            lane.unsaved.delivered += ticket.rows
        lane.unsaved.delivered.append(row)

    def _note_unsent(self, lane: Lane, page: Page, record: LogRecord, ticket: Ticket) -> None:
        if page.held is not None and ticket.key in page.held:
            return
        hour = record.timestamp // HOUR * HOUR
        count, digest = lane.unsaved.unsent.get(hour, (0, 0))
        lane.unsaved.unsent[hour] = (count + 1, (digest + record_hash(self.id_of(record))) % 2**128)

    def _advance(self, lane: Lane) -> None:
        """Move the lane's checkpoint over its settled pages, oldest first."""
        unsaved = lane.unsaved
        while lane.pages and lane.pages[0].pending == 0:
            page = lane.pages.popleft()
            batch = page.batch
            if batch.checkpoint is not None:
                unsaved.checkpoint = lane.checkpoint = batch.checkpoint
            if batch.forget_before is not None:
                # Sweeps will ask the ledger: until they say how far back, nothing is forgotten.
                keep = lane.keep_from if self.source.sweep_ages else batch.forget_before
                unsaved.forget_before = None if keep is None else min(batch.forget_before, keep)
            if batch.read_through is not None:
                unsaved.read_through = batch.read_through
            if batch.read_from is not None:
                unsaved.begins = lane.begins = batch.read_from
            batch.settle(_outcome(page, durable=True))
            lane.dirty = True
        if unsaved.delivered or unsaved.unsent:
            lane.dirty = True
        if lane.dirty:
            self._dirty.set()
        self._note_change()

    async def _save_when_dirty(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty = anyio.Event()
            await self._save()
            # Pages settle in bursts: one transaction for many.
            await anyio.sleep(0.1)

    async def _save(self) -> None:
        for lane in [lane for lane in self.lanes.values() if lane.dirty]:
            unsaved, lane.unsaved = lane.unsaved, Unsaved()
            lane.saving = len(unsaved.delivered)
            try:
                await anyio.to_thread.run_sync(self._write, lane, unsaved)
            except Exception as error:
                # A full disk must not stop delivery: the older checkpoint stays good, and this one is tried again.
                logger.exception("cannot save the checkpoint", extra={"pipeline": self.name, "error": str(error)})
                lane.unsaved = _merged(unsaved, lane.unsaved)
                lane.saving = 0
                self._forget_some(lane)
                self._dirty.set()
                continue
            lane.saving = 0
            lane.dirty = bool(lane.unsaved != Unsaved())
            lane.known.difference_update(key for _, key, _ in unsaved.delivered)
            lane.saved_through = unsaved.read_through or lane.saved_through
            if unsaved.delivered:
                latest = max(row[0] for row in unsaved.delivered)
                lane.ledger_end = max(lane.ledger_end or latest, latest)
            self._note_change()

    def _forget_some(self, lane: Lane) -> None:
        """Keep the memory bounded while nothing can be saved: the ledger may forget, for the sinks know the ids."""
        rows = lane.unsaved.delivered
        if len(rows) >= UNSAVED // 2:
            lane.known.difference_update(key for _, key, _ in rows[: -UNSAVED // 4])
            del rows[: -UNSAVED // 4]
        self._note_change()

    def _write(self, lane: Lane, unsaved: Unsaved) -> None:
        """Save what a lane has to save. Run in a thread."""
        if unsaved.begins is not None:
            # Before the head's checkpoint, which tells that the partition is not new any more. A backfill may have
            # been there first, and have read from further back.
            begun = self.state.checkpoints(self.name, BEGIN).get(lane.partition, {})
            since = min(unsaved.begins, begun.get("since", unsaved.begins))
            self.state.save(self.name, lane.partition, lane=BEGIN, checkpoint={"since": since})
        self.state.save(
            self.name,
            lane.partition,
            lane=lane.name,
            checkpoint=unsaved.checkpoint,
            delivered=unsaved.delivered,
            forget_before=unsaved.forget_before,
            unsent=unsaved.unsent,
        )

    async def _quarantine(self, sink: str, parcel: Parcel, refused: Sequence[tuple[Event, str]]) -> None:
        """Keep what a sink refused for good; return when it is kept, however long a full disk takes to be mended."""
        assert isinstance(parcel, _Shipment)
        partition = parcel.joined.tags[0].page.lane.partition
        rows = [(event.event_id, reason, event.wire()) for event, reason in refused]
        keep = functools.partial(self.state.quarantine, self.name, sink, rows, partition=partition)
        for event, reason in refused:
            logger.error(
                "event refused for good; kept in the quarantine",
                extra={"pipeline": self.name, "sink": sink, "event_id": event.event_id, "error": reason},
            )
        pause = 1.0
        while True:
            try:
                await anyio.to_thread.run_sync(keep)
            except Exception as error:
                logger.exception("cannot write the quarantine", extra={"pipeline": self.name, "error": str(error)})
                await anyio.sleep(pause)
                pause = min(2 * pause, 60.0)
            else:
                return

    async def _expire_blocks(self) -> None:
        """Close blocks that were held for long enough, while there are any. Those read again wait for the next page."""
        while True:
            await self._held.wait()
            await anyio.sleep(0.5)
            now = self._clock()
            heads = [lane for lane in self.lanes.values() if lane.is_head]
            for lane in heads:
                self._emit(lane.joiner.expire(now, quiet=not lane.reports_progress))
            if not any(len(lane.joiner) for lane in heads):
                self._held = anyio.Event()

    # Telling

    def stuck(self) -> str | None:
        """Why the pipeline gets nowhere, in words for its operator; ``None`` where it does."""
        if self._source_error is not None:
            return f"the source fails: {self._source_error}"
        if (trouble := self.source.trouble()) is not None:
            return f"the source cannot read: {trouble}"
        quiet = time.monotonic() - self._settled_at
        waiting = any(page.pending for lane in self.lanes.values() for page in lane.pages)
        if not waiting or quiet < STUCK_AFTER:
            return None
        reasons = [f"sink {outlet.name}: {outlet.trouble}" for outlet in self._outlets if outlet.trouble]
        return f"nothing was delivered for {quiet:.0f} s: {'; '.join(reasons) or 'no sink says why'}"

    def figures(self) -> Iterator[Figure]:
        """Tell what the metrics show beside the counts."""
        yield Figure(
            "in_flight_bytes", "Bytes of records read and not settled, with what they take beside.", self._bytes
        )
        held = sum(len(lane.joiner) for lane in self.lanes.values())
        yield Figure("open_blocks", "Blocks that wait for more lines.", held)
        for parser, count in self._parsing.taken.items():
            labels = (("parser", parser or "none"),)
            yield Figure("parsed_blocks_total", "Blocks that each parser took.", count, "counter", labels)
        for outlet in self._outlets:
            for figure in outlet.figures():
                yield msgspec.structs.replace(figure, labels=(("sink", outlet.name), *figure.labels))


def key_of(event_id: str) -> bytes:
    """The 16 bytes of an id."""
    return bytes.fromhex(event_id.replace("-", ""))


def _without_records(batch: Batch) -> Batch:
    """What is left to know of a batch that was taken in; one that wants to be told its fate stays as it is."""
    return batch if type(batch).settle is not Batch.settle else msgspec.structs.replace(batch, records=())


def _is_done(lane: Lane) -> bool:
    return not any(page.pending > page.torn for page in lane.pages)


def _merged(older: Unsaved, newer: Unsaved) -> Unsaved:
    unsent = dict(older.unsent)
    for hour, (count, digest) in newer.unsent.items():
        before = unsent.get(hour, (0, 0))
        unsent[hour] = (before[0] + count, (before[1] + digest) % 2**128)
    return Unsaved(
        newer.checkpoint or older.checkpoint,
        older.delivered + newer.delivered,
        newer.forget_before or older.forget_before,
        newer.read_through or older.read_through,
        newer.begins or older.begins,
        unsent,
    )


def _clean(record: LogRecord) -> LogRecord:
    message = sendable(record.message)
    if message is record.message:
        return record
    return LogRecord(record.stream, record.log_id, record.timestamp, message, record.ingestion_time)


def _part_of(block: Block, position: int) -> Block:
    return Block((block.records[position],), (block.lines[position],), (block.parts[position],))


def _outcome(page: Page, *, durable: bool) -> Outcome:
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


async def _within(scope: anyio.CancelScope, work: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await work()
