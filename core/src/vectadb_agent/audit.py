"""``vectadb-agent audit``: proves, hour by hour, that what the source has is stored, and ships what is not.

In records, for each partition and hour: ``source = stored + expired + filtered + quarantined + missing``. What a sink
holds beyond that is *extra*: records that the source has no longer.
"""

from __future__ import annotations

import functools
import logging
import time
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from vectadb_agent.beside import chosen, opened, reading, until_signalled
from vectadb_agent.comparing import Total, held_by_sinks, holdings, missing, persist, rereading, totals
from vectadb_agent.errors import CheckError
from vectadb_agent.join import HOLD, Joiner
from vectadb_agent.lanes import BEGIN
from vectadb_agent.records import rfc3339
from vectadb_agent.settling import HOUR, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectadb_agent import config
    from vectadb_agent.config import Configuration
    from vectadb_agent.join import Joined
    from vectadb_agent.pipeline import Pipeline
    from vectadb_agent.records import LogRecord
    from vectadb_agent.state import State

logger = logging.getLogger("vectadb_agent.audit")

NAMED = 20
"""Missing records, and extra ones, that are named for each hour; all are counted."""
FRESH = 60_000_000
"""Microseconds: younger records may still be on their way, and are left out unless ``until`` says otherwise."""
LANE = "audit"


class Named(msgspec.Struct, frozen=True):
    """A record that one side has and the other has not."""

    log_stream: str
    log_id: str
    timestamp: str


class Hour(msgspec.Struct):
    """One hour of a partition, in records. ``named``: the first of the missing ones, ``named_extra`` of the extra."""

    hour: str
    source: int = 0
    stored: int = 0
    expired: int = 0
    filtered: int = 0
    quarantined: int = 0
    missing: int = 0
    extra: int = 0
    repaired: int = 0
    named: list[Named] = []
    named_extra: list[Named] = []


class Certificate(msgspec.Struct):
    """What was found of one partition. ``complete_through``: up to there nothing is missing; ``error``: why unknown.

    ``since`` is later than ``asked_since`` where the agent was not to read what is older.
    """

    pipeline: str
    partition: str
    asked_since: str
    since: str
    until: str
    complete_through: str | None = None
    hours: list[Hour] = []
    error: str | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is missing in all of the time asked for."""
        return self.error is None and not any(hour.missing for hour in self.hours)


def audit(
    configuration: Configuration,
    state: State,
    since: int,
    until: int | None,
    *,
    pipeline: str | None = None,
    only: Sequence[str] = (),
    repair: bool = False,
    progress: Callable[[str, str, float], None] = lambda pipeline, partition, part: None,
) -> list[Certificate]:
    """Compare source and sinks over ``since``…``until`` (microseconds); with ``repair`` ship what is missing.

    ``progress(pipeline, partition, part)`` is told how far it is, from 0 to 1. A signal ends it: what it has proved by
    then is returned.

    Raises:
        UsageError: there is nothing to audit as asked.
        CheckError: the source cannot work at all.
    """
    found: list[Certificate] = []
    asked = _Asked(since, until, repair, progress)

    async def work(stop: anyio.Event) -> None:
        for settings, names in await reading(chosen(configuration, pipeline), only):
            await _audit(configuration, settings, names, state, asked, stop, found)

    if not anyio.run(functools.partial(until_signalled, work, cancel=True)):
        logger.warning("interrupted: what follows is not all that was asked for")
    return found


class _Asked(msgspec.Struct, frozen=True):
    since: int
    until: int | None
    repair: bool
    progress: Callable[[str, str, float], None]


async def _audit(
    configuration: Configuration,
    settings: config.Pipeline,
    names: Sequence[str],
    state: State,
    asked: _Asked,
    stop: anyio.Event,
    certificates: list[Certificate],
) -> None:
    async with opened(configuration, settings, state) as pipeline:
        if not any(sink.tells for sink in pipeline.required):
            raise CheckError(
                f"pipeline {pipeline.name} has no required sink that can say what it holds (vectadb can): "
                "there is nothing to compare with"
            )
        for sink in pipeline.required:
            if sink.tells:
                # Somebody waits for this: where nobody answers, say so now instead of asking for ever.
                await sink.check()
        begun = state.checkpoints(pipeline.name, BEGIN)
        for partition in names or await pipeline.source.partitions():
            begin = begun.get(partition, {}).get("since", 0)
            certificates.append(await _partition(pipeline, settings, partition, begin, asked, stop))


async def _partition(
    pipeline: Pipeline, settings: config.Pipeline, partition: str, begin: int, asked: _Asked, stop: anyio.Event
) -> Certificate:
    # Before its first reading nothing was wanted of the partition.
    since = max(asked.since, begin)
    # Of what is yet to come nobody knows that it is complete.
    now = pipeline.source.now()
    until = now - FRESH if asked.until is None else min(asked.until, now)
    certificate = Certificate(
        pipeline.name, partition, rfc3339(asked.since), rfc3339(since), rfc3339(max(since, until))
    )
    through = since
    try:
        for hour in range(since // HOUR * HOUR, until, HOUR):
            first, last = max(hour, since), min(hour + HOUR, until)
            found = await _hour(pipeline, settings, partition, first, last)
            if asked.repair and found.missing:
                lacked = found.missing
                await _repair(pipeline, partition, first, last, stop)
                found = await _hour(pipeline, settings, partition, first, last)
                found.repaired = lacked - found.missing
            certificate.hours.append(found)
            if not found.missing and through == first:
                through = last
            asked.progress(pipeline.name, partition, (last - since) / (until - since))
    except CheckError as error:
        certificate.error = str(error)
    certificate.complete_through = rfc3339(through) if through > since else None
    await anyio.to_thread.run_sync(_save, pipeline, partition, since, through)
    return certificate


def _save(pipeline: Pipeline, partition: str, since: int, through: int) -> None:
    told = {"since": since, "through": through, "at": time.time_ns() // 1000}
    pipeline.state.save(pipeline.name, partition, lane=LANE, checkpoint=told)


async def _hour(pipeline: Pipeline, settings: config.Pipeline, partition: str, first: int, last: int) -> Hour:
    """Compare ``first``…``last``, which lie within one hour: as sums if it is a whole one, else record by record."""
    hour = first // HOUR * HOUR
    found = Hour(rfc3339(hour))
    whole = first == hour and last == hour + HOUR
    told = [await holdings(pipeline, sink, partition, hour, hour + 1) for sink in pipeline.required if sink.tells]
    horizon = max(horizon for _, horizon in told)
    held = [by_hour.get(hour, Total()) for by_hour, _ in told]
    if whole:
        total = (await totals(pipeline, partition, first, last)).get(hour, Total())
        if all(one == total for one in held):
            found.source = found.stored = total.count
            return found
    await _by_record(pipeline, settings, partition, first, last, horizon, found)
    found.stored = found.source - found.expired - found.filtered - found.quarantined - found.missing
    if whole:
        found.extra = max(0, max(one.count for one in held) - found.stored)
        if found.extra:
            await _name_extra(pipeline, partition, first, last, found)
    return found


async def _by_record(
    pipeline: Pipeline,
    settings: config.Pipeline,
    partition: str,
    first: int,
    last: int,
    horizon: int,
    found: Hour,
) -> None:
    """Ask the sinks about each record, and find out of those they lack why."""
    joiner: Joiner[bool] = Joiner(settings.parsers)
    lacking: list[Joined[bool]] = []

    def look(finished: list[Joined[bool]]) -> None:
        lacking.extend(joined for joined in finished if any(joined.tags))

    async with rereading(pipeline.source, partition, first - HOLD, last + HOLD) as batches:
        async for batch in batches:
            inside = [record for record in batch.records if first <= record.timestamp < last]
            ids = await missing(pipeline, inside)
            found.source += len(inside)
            found.expired += sum(1 for record in inside if record.timestamp < horizon)
            for record in batch.records:
                is_missing = first <= record.timestamp < last and pipeline.id_of(record) in ids
                look(joiner.add(record, is_missing, record.timestamp))
            await _classify(pipeline, lacking, found)
            lacking.clear()
    look(joiner.flush())
    await _classify(pipeline, lacking, found)


async def _classify(pipeline: Pipeline, lacking: Sequence[Joined[bool]], found: Hour) -> None:
    for joined in lacking:
        block = joined.block
        records: list[LogRecord] = [
            record
            for record, part, is_missing in zip(block.records, block.parts, joined.tags, strict=True)
            if is_missing and part == "0"
        ]
        events = pipeline.events_of(joined)
        ids = [event.event_id for event in events]
        if not events:
            found.filtered += len(records)
        elif await anyio.to_thread.run_sync(pipeline.state.quarantined, pipeline.name, ids):
            found.quarantined += len(records)
        else:
            found.missing += len(records)
            for record in records[: NAMED - len(found.named)]:
                found.named.append(Named(record.stream.log_stream, record.log_id, rfc3339(record.timestamp)))


async def _name_extra(pipeline: Pipeline, partition: str, first: int, last: int, found: Hour) -> None:
    """Name records that a sink holds and the source has no longer."""
    known: set[bytes] = set()
    async with rereading(pipeline.source, partition, first, last) as batches:
        async for batch in batches:
            known.update(key_of(pipeline.id_of(record)) for record in batch.records)
    origin = await pipeline.source.origin(partition)
    extra: dict[str, Named] = {}
    for sink in (sink for sink in pipeline.required if sink.tells):
        records, after = await persist(functools.partial(sink.held, origin, first, last))
        while True:
            for record in records:
                if key_of(record.event_id) not in known:
                    extra[record.event_id] = Named(record.log_stream, record.log_id, rfc3339(record.timestamp))
            if after is None or len(extra) >= NAMED:
                break
            records, after = await persist(functools.partial(sink.held, origin, first, last, after))
    found.named_extra = list(extra.values())[:NAMED]


async def _repair(pipeline: Pipeline, partition: str, first: int, last: int, stop: anyio.Event) -> None:
    """Ship the blocks of which something is missing, and wait until they are stored."""

    async def work() -> None:
        lane = await pipeline.lane(partition, LANE, "differing")
        lane.read_at = pipeline.source.now()
        async with rereading(pipeline.source, partition, first - HOLD, last + HOLD) as batches:
            async for batch in batches:
                await pipeline.take(lane, batch, await held_by_sinks(pipeline, batch))
        await pipeline.finish(lane)

    await pipeline.run(stop, work=work)
