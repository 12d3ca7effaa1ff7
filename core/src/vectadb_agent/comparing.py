"""Comparing what a source has with what the sinks hold, hour by hour and record by record."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING, Any

import anyio
import msgspec

from vectadb_agent.errors import RetryableError
from vectadb_agent.lanes import SHAPE_UNKNOWN
from vectadb_agent.records import record_hash
from vectadb_agent.settling import HOUR, key_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from vectadb_agent.components import Batch, Sink, Source
    from vectadb_agent.pipeline import Pipeline
    from vectadb_agent.records import LogRecord

logger = logging.getLogger("vectadb_agent.comparing")

ASKED_AT_ONCE = 10_000
"""Records that a sink is asked about in one question."""
LONGEST_PAUSE = 30.0


class Total(msgspec.Struct):
    """A number of records, and the sum of their hashes modulo 2**128."""

    count: int = 0
    digest: int = 0

    def add(self, event_id: str) -> None:
        """Count one more record."""
        self.count += 1
        self.digest = (self.digest + record_hash(event_id)) % 2**128

    def plus(self, count: int, digest: int) -> Total:
        """Return the sum of both."""
        return Total(self.count + count, (self.digest + digest) % 2**128)


async def persist(ask: Callable[[], Awaitable[Any]]) -> Any:
    """Ask a sink until it answers, with growing pauses; the log says why it takes so long."""
    wait = 0.5
    while True:
        try:
            return await ask()
        except RetryableError as error:
            logger.warning("a sink does not say what it holds; asking again", extra={"error": str(error)})
            await anyio.sleep(max(wait, error.retry_after or 0))
            wait = min(LONGEST_PAUSE, wait * 2)


@contextlib.asynccontextmanager
async def rereading(source: Source, partition: str, since: int, until: int) -> AsyncIterator[AsyncIterator[Batch]]:
    """The batches of :meth:`Source.reread`, closed on leaving."""
    async with contextlib.aclosing(source.reread(partition, since, until)) as batches:
        yield batches


async def missing(pipeline: Pipeline, records: Sequence[LogRecord]) -> set[str]:
    """The ids of the records that some required sink does not hold, of those sinks that can tell."""
    asked = [(pipeline.id_of(record), record.timestamp) for record in records]
    lacking: set[str] = set()
    for sink in pipeline.required:
        for start in range(0, len(asked) if sink.tells else 0, ASKED_AT_ONCE):
            part = asked[start : start + ASKED_AT_ONCE]
            lacking |= await persist(lambda sink=sink, part=part: sink.missing(part))  # type: ignore[misc]
    return lacking


async def held_by_sinks(pipeline: Pipeline, batch: Batch) -> dict[bytes, int]:
    """What the sinks say of a batch that is read again, as :meth:`Pipeline.take` wants it."""
    lacking = await missing(pipeline, batch.records)
    ids = (pipeline.id_of(record) for record in batch.records)
    return {key_of(event_id): SHAPE_UNKNOWN for event_id in ids if event_id not in lacking}


async def totals(pipeline: Pipeline, partition: str, since: int, until: int) -> dict[int, Total]:
    """Count the source's records by hour."""
    found: dict[int, Total] = {}
    async with rereading(pipeline.source, partition, since, until) as batches:
        async for batch in batches:
            for record in batch.records:
                hour = record.timestamp // HOUR * HOUR
                found.setdefault(hour, Total()).add(pipeline.id_of(record))
    return found


async def holdings(
    pipeline: Pipeline, sink: Sink, partition: str, since: int, until: int
) -> tuple[dict[int, Total], int]:
    """What a sink holds of the partition by hour, and the time before which it keeps nothing."""
    origin = await pipeline.source.origin(partition)
    told = await persist(lambda: sink.holdings(origin, since, until))
    return {held.hour: Total(held.count, held.digest) for held in told.hours}, told.horizon or 0


async def hour_is_complete(pipeline: Pipeline, partition: str, hour: int) -> bool:
    """Read an hour of the source and compare it, as a sum, with what the sinks hold and what was kept from them."""
    told = [await holdings(pipeline, sink, partition, hour, hour + 1) for sink in pipeline.required if sink.tells]
    if all(hour + HOUR <= horizon for _, horizon in told):
        return True
    found = (await totals(pipeline, partition, hour, hour + HOUR)).get(hour, Total())
    unsent = await anyio.to_thread.run_sync(pipeline.state.unsent, pipeline.name, partition, hour, hour)
    kept = unsent.get(hour, (0, 0))
    return all(found in (held.get(hour, Total()), held.get(hour, Total()).plus(*kept)) for held, _ in told)
