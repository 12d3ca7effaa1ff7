"""A pipeline: records from its source, joined, parsed, delivered; and the checkpoint, once all that has arrived.

The order of things is the guarantee. A record is counted as read, then it is in flight until every required sink has
settled the block that holds it. A page of records settles when all its records have; of a lane's settled pages only the
unbroken run from the oldest on is saved as its checkpoint, together with what was delivered. So whatever is cut off in
the middle is read again, and what was delivered already is recognised.

Here records are taken in; ``shipping`` hands their blocks to the sinks, ``settling`` keeps the accounts and moves the
checkpoints, ``saving`` writes them.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from typing import TYPE_CHECKING, Any, Literal

import anyio
import anyio.to_thread
import msgspec

from vectadb_agent.components import Batch, Figure
from vectadb_agent.errors import CheckError
from vectadb_agent.join import Joined, Joiner
from vectadb_agent.lanes import HEAD, Held, Lane, Page, Ticket
from vectadb_agent.parsing import Parsing
from vectadb_agent.records import LogRecord, sendable
from vectadb_agent.saving import Saving
from vectadb_agent.settling import OVERHEAD, Settling, key_of, outcome
from vectadb_agent.shipping import Shipping
from vectadb_agent.tap import Tap

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
STUCK_AFTER = 120.0
"""Seconds in which some were in flight all the time and none was settled, after which a pipeline counts as stuck."""


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
        self.lanes: dict[tuple[str, str], Lane] = {}
        """By partition and name."""
        own = {name: sinks[name] for name in settings.sinks}
        self.required: list[Sink] = [sink for sink in own.values() if sink.config.required]
        self._settings = settings
        self._clock = clock
        self._parsing = Parsing(
            settings.parsers, settings.agent_id, processors=settings.processors, pipeline=settings.name
        )
        self._saving = Saving(settings.name, state, self.lanes, changed=self._note_change)
        notes_unsent = self.source.seekable and any(sink.tells for sink in self.required)
        self._settling = Settling(
            self.source, self._parsing, self._saving, notes_unsent=notes_unsent, changed=self._note_change
        )
        self.counts = self._settling.counts
        self.read_to_end = False
        """Whether the source came to its end by itself, as it does with ``drain`` where nothing stops it."""
        self.tap = Tap(settings.name, hides=bool(settings.processors))
        self._shipping = Shipping(
            settings.name,
            own,
            self._parsing,
            self._settling,
            state,
            most_bytes=settings.max_in_flight,
            failed=self._fail,
            tap=self.tap,
        )
        self._reading: anyio.CancelScope | None = None
        self._failure: CheckError | None = None
        self._source_error: str | None = None
        self._changed = anyio.Event()
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
            for outlet in self._shipping.outlets:
                group.start_soon(outlet.run)
            group.start_soon(self._saving.run)
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
                self._shipping.emit(lane.joiner.flush())
            else:
                self._settling.abandon(lane)
        self._shipping.rush()
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(_cancel_after, stop, grace, scope)
                await self._until(lambda: all(map(_is_done, self.lanes.values())))
                group.cancel_scope.cancel()
        await self._saving.save()
        left = sum(page.pending - page.torn for lane in self.lanes.values() if lane.is_head for page in lane.pages)
        if left:
            logger.warning(
                "stopped with records not yet delivered; the next run reads them again",
                extra={"pipeline": self.name, "records": left},
            )
        for lane in self.lanes.values():
            for page in lane.pages:
                page.batch.settle(outcome(page, durable=False))

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
                self.read_to_end = True
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
            joiner: Joiner[Ticket] = Joiner(
                self._settings.parsers, self._settling.piece_taken, set_late_aside=late_alone
            )
            lane = Lane(partition, name, joiner, ships)
            if name == HEAD and self.source.rereads:
                lane.ledger_end = await anyio.to_thread.run_sync(self.state.ledger_end, self.name, partition)
            lane = self.lanes.setdefault((partition, name), lane)
        return lane

    async def take(self, lane: Lane, batch: Batch, held: Held | None = None) -> None:
        """Take one batch in: wait for room, then join and parse its records and hand the events to the outlets.

        ``held``: of a batch that is read again, what was delivered of it.
        """
        page = Page(batch, lane, held, time.monotonic())
        fresh = await self._fresh(lane, page) if lane.is_head else self._keyed(batch)
        lane.pages.append(page)
        page.torn = True
        for start in range(0, len(fresh), CHUNK):
            chunk = [(_clean(record), key) for record, key in fresh[start : start + CHUNK]]
            size = sum(len(record.message) for record, _ in chunk)
            await self._room_for(size + OVERHEAD * len(chunk))
            await self._until(lambda: self._saving.has_room(lane))
            self.counts.read += len(chunk)
            self._settling.bytes += size
            now = self._clock()
            self.tap.read(record for record, _ in chunk)
            for record, key in chunk:
                self._shipping.emit(lane.joiner.add(record, Ticket(page, key), now))
            if len(lane.joiner):
                self._held.set()
            await anyio.lowlevel.checkpoint()
        page.torn = False
        # One block that waits for more lines holds up all later pages: they must not hold their records as well.
        page.batch = _without_records(batch)
        if batch.read_through is not None:
            lane.reports_progress = True
            self._shipping.emit(lane.joiner.read_through(batch.read_through))
        page.pending -= 1
        self._settling.advance(lane)

    async def finish(self, lane: Lane) -> None:
        """Close the lane's open blocks and wait until all that it took is settled and saved; then forget the lane."""
        self._shipping.emit(lane.joiner.flush())
        await self._until(lambda: not lane.pages and not lane.dirty)
        del self.lanes[lane.partition, lane.name]

    def drop(self, lane: Lane) -> None:
        """Give up what the lane has read but not shipped; it is read again, by another lane of that name."""
        self._settling.abandon(lane)
        del self.lanes[lane.partition, lane.name]

    def id_of(self, record: LogRecord, part: str = "0") -> str:
        """Return the event id of a record, or of a piece of it."""
        return self._parsing.id_of(record, part)

    def events_of(self, joined: Joined[Any]) -> list[Event]:
        """Return the events that would be shipped of a block; nothing is shipped or counted."""
        return self._parsing.events(joined)

    def _keyed(self, batch: Batch) -> list[tuple[LogRecord, bytes | None]]:
        return [(record, key_of(self.id_of(record))) for record in batch.records]

    async def _room_for(self, size: int) -> None:
        most = self._settings.max_in_flight
        while self._settling.bytes and self._settling.bytes + size > most:
            joiners = [lane.joiner for lane in self.lanes.values()]
            held = sum(joiner.held_bytes + OVERHEAD * joiner.held_pieces for joiner in joiners)
            if held and held >= self._settling.bytes - most // 2:
                # What fills the budget is blocks waiting for more lines, which cannot come while nobody reads.
                for joiner in joiners:
                    self._shipping.emit(joiner.flush())
                continue
            # While nobody reads no batch fills by itself.
            self._shipping.rush()
            await self._changed.wait()
        for outlet in self._shipping.outlets:
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

    async def _expire_blocks(self) -> None:
        """Close blocks that were held for long enough, while there are any. Those read again wait for the next page."""
        while True:
            await self._held.wait()
            await anyio.sleep(0.5)
            now = self._clock()
            heads = [lane for lane in self.lanes.values() if lane.is_head]
            for lane in heads:
                self._shipping.emit(lane.joiner.expire(now, quiet=not lane.reports_progress))
            if not any(len(lane.joiner) for lane in heads):
                self._held = anyio.Event()

    # Telling

    def stuck(self) -> str | None:
        """Why the pipeline gets nowhere, in words for its operator; ``None`` where it does."""
        if self._source_error is not None:
            return f"the source fails: {self._source_error}"
        if (trouble := self.source.trouble()) is not None:
            return f"the source cannot read: {trouble}"
        waiting = [page.taken_at for lane in self.lanes.values() for page in lane.pages if page.pending]
        # While there was nothing to deliver, that nothing was delivered says nothing.
        quiet = time.monotonic() - max(self._settling.latest, min(waiting)) if waiting else 0.0
        if quiet < STUCK_AFTER:
            return None
        reasons = [f"sink {outlet.name}: {outlet.trouble}" for outlet in self._shipping.outlets if outlet.trouble]
        return f"nothing was delivered for {quiet:.0f} s: {'; '.join(reasons) or 'no sink says why'}"

    def figures(self) -> Iterator[Figure]:
        """Tell what the metrics show beside the counts."""
        yield Figure(
            "in_flight_bytes",
            "Bytes of records read and not settled, with what they take beside.",
            self._settling.bytes,
        )
        held = sum(len(lane.joiner) for lane in self.lanes.values())
        yield Figure("open_blocks", "Blocks that wait for more lines.", held)
        for parser, count in self._parsing.taken.items():
            labels = (("parser", parser or "none"),)
            yield Figure("parsed_blocks_total", "Blocks that each parser took.", count, "counter", labels)
        for processor, count in self._parsing.left_out.items():
            labels = (("processor", processor),)
            yield Figure("dropped_events_total", "Events that each processor left out.", count, "counter", labels)
        for processor, count in self._parsing.withheld.items():
            labels = (("processor", processor),)
            text = "Events whose words a failing processor did not let through."
            yield Figure("withheld_events_total", text, count, "counter", labels)
        for outlet in self._shipping.outlets:
            for figure in outlet.figures():
                yield msgspec.structs.replace(figure, labels=(("sink", outlet.name), *figure.labels))


def _without_records(batch: Batch) -> Batch:
    """What is left to know of a batch that was taken in; one that wants to be told its fate stays as it is."""
    return batch if type(batch).settle is not Batch.settle else msgspec.structs.replace(batch, records=())


def _is_done(lane: Lane) -> bool:
    return not any(page.pending > page.torn for page in lane.pages)


def _clean(record: LogRecord) -> LogRecord:
    message = sendable(record.message)
    if message is record.message:
        return record
    return LogRecord(record.stream, record.log_id, record.timestamp, message, record.ingestion_time)


async def _cancel_after(stop: anyio.Event, grace: float | None, scope: anyio.CancelScope) -> None:
    if grace is None:
        await stop.wait()
    await anyio.sleep(GRACE if grace is None else grace)
    scope.cancel()


async def _within(scope: anyio.CancelScope, work: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await work()
