"""Components that stand in for the real ones in tests: a source from a list, sinks that remember, fail and refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from vectadb_agent.components import (
    Batch,
    Checkpoint,
    ComponentConfig,
    HeldRecord,
    Holding,
    Holdings,
    Result,
    Sink,
    SinkConfig,
    Source,
)
from vectadb_agent.errors import RetryableError
from vectadb_agent.records import LogStream, id_maker, record_hash

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping, Sequence

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
