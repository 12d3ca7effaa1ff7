"""What stands in for the real thing in tests: a source from a list, sinks, checkpoints, a clock."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from vectadb_agent.components import (
    Batch,
    Checkpoint,
    ComponentConfig,
    HeldRecord,
    Holding,
    Holdings,
    Outcome,
    Result,
    Sink,
    SinkConfig,
    Source,
)
from vectadb_agent.errors import RetryableError
from vectadb_agent.records import LogStream, id_maker, record_hash

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

    from vectadb_agent.records import Event


class ListSource(Source):
    """Delivers batches from a list, each with its position as checkpoint, then ends or waits.

    It resumes behind the last checkpoint that was saved, as a source must.
    """

    name = "list"

    def __init__(self, batches: Sequence[Batch], *, stay: bool = False) -> None:
        super().__init__(ComponentConfig(type="list"))
        self.batches = list(batches)
        self.stay = stay
        self.delivered = 0
        """Batches handed out over all reads."""

    async def read(self, after: Mapping[str, Checkpoint], *, drain: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield the batches whose partition has no later checkpoint."""
        for position, batch in enumerate(self.batches):
            saved = after.get(batch.partition, {}).get("position", -1)
            if position > saved:
                batch.checkpoint = {"position": position}
                self.delivered += 1
                yield batch
        if self.stay and not drain:
            await anyio.sleep_forever()


class MemorySink(Sink):
    """Keeps events by id. ``plan`` is called before each write and may raise or return a :class:`Result`.

    It can tell what it holds, record by record; ``records`` maps their ids to log group and time.
    """

    name = "memory"
    idempotent = True
    tells = True

    def __init__(self, plan: Callable[[Sequence[Event]], Result | None] | None = None, **options: Any) -> None:
        super().__init__(SinkConfig(type="memory", **options))
        self.events: dict[str, Event] = {}
        self.writes: list[list[str]] = []
        """Ids of each write, also of the failed ones."""
        self.records: dict[str, tuple[str, HeldRecord]] = {}
        """Log group and name of each record kept, by event id."""
        self._plan = plan

    async def write(self, events: Sequence[Event]) -> Result:
        """Keep what the plan does not refuse."""
        self.writes.append([event.event_id for event in events])
        await anyio.lowlevel.checkpoint()
        result = (self._plan(events) if self._plan else None) or Result()
        left_out = {event_id for event_id, _, _ in result.refused} | {event_id for event_id, _ in result.overlapping}
        repeated = [event.event_id for event in events if event.event_id in self.events]
        for event in events:
            if event.event_id not in left_out:
                self._keep(event)
        if repeated and not result.duplicate:
            return Result(
                duplicate=repeated, expired=result.expired, refused=result.refused, overlapping=result.overlapping
            )
        return result

    def _keep(self, event: Event) -> None:
        """Keep an event; one read later takes the place of those whose records it has."""
        block = event.block
        if block is None or event.part != block.parts[0]:
            self.events[event.event_id] = event
            return
        ids = [id_maker(block.stream)(r.log_id, part) for r, part in zip(block.records, block.parts, strict=True)]
        if event.read_at is not None or event.event_id not in self.records:
            for event_id in ids:
                self.events.pop(event_id, None)
            self.events[event.event_id] = event
        for event_id, record, part in zip(ids, block.records, block.parts, strict=True):
            if part == "0":
                named = HeldRecord(event_id, record.stream.log_stream, record.log_id, record.timestamp)
                self.records[event_id] = (record.stream.log_group, named)

    async def holdings(self, origin: LogStream, since: int, until: int) -> Holdings:
        """Count the records kept of the log group, by hour."""
        hours: dict[int, tuple[int, int]] = {}
        for event_id, (group, record) in self.records.items():
            hour = record.timestamp // 3_600_000_000 * 3_600_000_000
            if group == origin.log_group and since <= hour < until:
                count, digest = hours.get(hour, (0, 0))
                hours[hour] = (count + 1, (digest + record_hash(event_id)) % 2**128)
        return Holdings([Holding(hour, *total) for hour, total in sorted(hours.items())])

    async def held(
        self, origin: LogStream, since: int, until: int, after: str | None = None
    ) -> tuple[Sequence[HeldRecord], str | None]:
        """Name the records kept, one a page."""
        kept = [record for group, record in self.records.values() if group == origin.log_group]
        records = [record for record in kept if since <= record.timestamp < until]
        at = int(after or 0)
        return records[at : at + 1], str(at + 1) if at + 1 < len(records) else None

    async def missing(self, records: Sequence[tuple[str, int]]) -> set[str]:
        """Name the records that are not kept."""
        return {event_id for event_id, _ in records if event_id not in self.records}


def failing(times: int) -> Callable[[Sequence[Event]], Result | None]:
    """A plan for :class:`MemorySink`: the first writes fail in a way that may pass."""
    left = times

    def plan(events: Sequence[Event]) -> Result | None:
        nonlocal left
        if left > 0:
            left -= 1
            raise RetryableError("the fake sink is down", retry_after=0)
        return None

    return plan


class FlakySink(MemorySink):
    """A sink on a bad day, the same one for a seed; it keeps no event twice, and in the end it has all.

    A write fails with nothing taken, or with all of it taken and only the answer lost, or takes half and asks for the
    rest again; after three bad ones in a row comes a good one.
    """

    name = "flaky"

    def __init__(self, seed: int = 0, **options: Any) -> None:
        super().__init__(self._fate, **options)
        self._dice = random.Random(seed)
        self._bad = 0

    async def write(self, events: Sequence[Event]) -> Result:
        """Take the events, or some, or say that it did not.

        Raises:
            RetryableError: now and then.
        """
        result = await super().write(events)
        if self._bad and not result.refused:
            raise RetryableError("the fake sink took it, and its answer was lost", retry_after=0)
        return result

    def _fate(self, events: Sequence[Event]) -> Result | None:
        fate = "good" if self._bad == 3 else self._dice.choice(["down", "lost", "half", "good"])
        self._bad = 0 if fate == "good" else self._bad + 1
        if fate == "down":
            raise RetryableError("the fake sink is down", retry_after=0)
        if fate == "half" and len(events) > 1:
            return Result(refused=[(event.event_id, "not now", True) for event in events[len(events) // 2 :]])
        return None


class MemoryCheckpoints(Mapping[str, Checkpoint]):
    """What a pipeline would have saved, to resume a source from: ``source.read(checkpoints)``.

    As in the pipeline a partition's checkpoint moves only over an unbroken run of settled batches, and is what JSON
    makes of it.
    """

    def __init__(self, saved: Mapping[str, Checkpoint] | None = None) -> None:
        self._saved = dict(saved or {})
        self._open: dict[str, list[Batch]] = {}
        self._done: list[Batch] = []

    def take(self, batch: Batch) -> None:
        """Note a batch that will be settled later: until then no later one of its partition is saved."""
        self._open.setdefault(batch.partition, []).append(batch)

    def settle(self, batch: Batch, *, durable: bool = True) -> None:
        """Settle a batch, as the pipeline does; what is not durable is never passed by."""
        waiting = self._open.setdefault(batch.partition, [])
        if not any(each is batch for each in waiting):
            waiting.append(batch)
        batch.settle(Outcome(durable=durable, delivered=len(batch.records) if durable else 0))
        if durable:
            self._done.append(batch)
        while waiting and any(each is waiting[0] for each in self._done):
            first = waiting.pop(0)
            self._done = [each for each in self._done if each is not first]
            if first.checkpoint is not None:
                self._saved[first.partition] = msgspec.json.decode(msgspec.json.encode(first.checkpoint))

    def __getitem__(self, partition: str) -> Checkpoint:
        return self._saved[partition]

    def __iter__(self) -> Iterator[str]:
        return iter(self._saved)

    def __len__(self) -> int:
        return len(self._saved)


class FakeClock:
    """Time that passes when the test says so, or at once wherever somebody sleeps (``jumps``).

    Hand its methods to what is under test, or put them in the place of the real ones::

        monkeypatch.setattr("my_plugin.time.time", clock.time)
        monkeypatch.setattr("my_plugin.anyio.sleep", clock.sleep)
    """

    def __init__(self, now: float = 1_767_225_600.0, *, jumps: bool = True) -> None:
        self.slept: list[float] = []
        """How long, in seconds, each sleep was to be."""
        self._now = now
        self._jumps = jumps
        self._sleepers: list[tuple[float, anyio.Event]] = []

    def time(self) -> float:
        """The present, seconds since the epoch; as good a ``time.monotonic``."""
        return self._now

    def now(self) -> int:
        """The present in microseconds, as :meth:`vectadb_agent.Source.now`."""
        return round(self._now * 1_000_000)

    def advance(self, seconds: float) -> None:
        """Let time pass; whoever's sleep is over by then wakes."""
        self._now += seconds
        for over, woken in self._sleepers:
            if over <= self._now:
                woken.set()
        self._sleepers = [(over, woken) for over, woken in self._sleepers if over > self._now]

    async def sleep(self, seconds: float) -> None:
        """Sleep by this clock."""
        self.slept.append(seconds)
        if self._jumps or seconds <= 0:
            self.advance(max(0.0, seconds))
            await anyio.lowlevel.checkpoint()
            return
        woken = anyio.Event()
        self._sleepers.append((self._now + seconds, woken))
        await woken.wait()
