"""Components that stand in for the real ones in tests: a source from a list, sinks that remember, fail and refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio

from vectadb_agent.components import Batch, Checkpoint, ComponentConfig, Result, Sink, SinkConfig, Source
from vectadb_agent.errors import RetryableError

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
    """Keeps events by id. ``plan`` is called before each write and may raise or return a :class:`Result`."""

    name = "memory"
    idempotent = True

    def __init__(self, plan: Callable[[Sequence[Event]], Result | None] | None = None, **options: Any) -> None:
        super().__init__(SinkConfig(type="memory", **options))
        self.events: dict[str, Event] = {}
        self.writes: list[list[str]] = []
        """Ids of each write, also of the failed ones."""
        self._plan = plan

    async def write(self, events: Sequence[Event]) -> Result:
        """Keep what the plan does not refuse."""
        self.writes.append([event.event_id for event in events])
        await anyio.lowlevel.checkpoint()
        result = (self._plan(events) if self._plan else None) or Result()
        left_out = {event_id for event_id, _, _ in result.refused} | {event_id for event_id, _ in result.overlapping}
        repeated = [event.event_id for event in events if event.event_id in self.events]
        self.events.update((event.event_id, event) for event in events if event.event_id not in left_out)
        if repeated and not result.duplicate:
            return Result(
                duplicate=repeated, expired=result.expired, refused=result.refused, overlapping=result.overlapping
            )
        return result


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
