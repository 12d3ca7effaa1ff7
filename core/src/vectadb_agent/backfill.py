"""``vectadb-agent backfill``: reads a stretch of the past, in slices side by side, beside the live tail.

Each slice has its own checkpoint, so that a crash re-reads a page of each slice under way. A slice is read a minute
beyond its ends: a block that reaches over an end is then whole in one of the two, and where both ship it the larger
wins.
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
from vectadb_agent.comparing import held_by_sinks, rereading
from vectadb_agent.components import Batch
from vectadb_agent.errors import AbsentError, CheckError, UsageError
from vectadb_agent.join import HOLD
from vectadb_agent.lanes import BEGIN
from vectadb_agent.records import rfc3339
from vectadb_agent.settling import HOUR, key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from vectadb_agent import config
    from vectadb_agent.config import Configuration
    from vectadb_agent.lanes import Held
    from vectadb_agent.pipeline import Pipeline
    from vectadb_agent.settling import Counts
    from vectadb_agent.state import State

logger = logging.getLogger("vectadb_agent.backfill")

JOB = "backfill"
LANE = "backfill "
MOST_SLICES = 500
"""Of one partition; slices are as much longer than an hour as that takes."""
PARALLEL = 4
"""Slices read side by side, where nothing else is said."""
ASK_AGAIN = 30.0
"""Seconds after which a partition that could not be read is tried again, the first few times."""
TRIES = 3


class Plan(msgspec.Struct, frozen=True):
    """What is asked for. Times in microseconds. ``read_at``: when it was first asked for; it wins over older ones."""

    asked: str
    since: int
    until: int
    reparse: bool
    partitions: list[str]
    read_at: int
    slice: int


class Progress(msgspec.Struct):
    """How far a backfill is. ``done`` of ``total`` in seconds of log, all partitions together."""

    pipeline: str
    total: float
    done: float
    counts: Counts


class Summary(msgspec.Struct):
    """What a backfill did. ``unread``: what could not be read, and why. ``finished``: all of it is settled."""

    pipeline: str
    since: str
    until: str
    counts: Counts
    finished: bool
    unread: list[str] = []


def backfill(
    configuration: Configuration,
    state: State,
    since: int,
    until: int | None,
    *,
    asked: str,
    pipeline: str | None = None,
    only: Sequence[str] = (),
    reparse: bool = False,
    restart: bool = False,
    parallel: int = PARALLEL,
    progress: Callable[[Progress], None] = lambda progress: None,
) -> list[Summary]:
    """Ship what the source has of ``since``…``until`` (microseconds) and the sinks lack; with ``reparse`` everything.

    ``asked`` are the words it was asked in: one that was interrupted goes on when it is asked for in the same words.

    Raises:
        UsageError: another one is unfinished, or nothing can be read as asked.
        CheckError: the source or a sink cannot work at all.
    """
    found: list[Summary] = []

    async def work(stop: anyio.Event) -> None:
        for settings, names in await reading(chosen(configuration, pipeline), only):
            if not stop.is_set():
                start = functools.partial(_begin, state, settings, since, until, asked, reparse, restart)
                found.append(await _run(configuration, settings, state, start, names, parallel, progress, stop))

    # On a signal what was read is still delivered, for a while.
    anyio.run(functools.partial(until_signalled, work, cancel=False))
    return found


def _begin(
    state: State,
    settings: config.Pipeline,
    since: int,
    until: int | None,
    asked: str,
    reparse: bool,
    restart: bool,
    found: Sequence[str],
    now: int,
) -> Plan:
    """The plan of an unfinished backfill, or a new one."""
    kept = state.job(settings.name, JOB)
    if kept is not None and not restart:
        plan = msgspec.convert(kept, Plan)
        if plan.asked != asked:
            raise UsageError(
                f"a backfill of pipeline {settings.name} is unfinished: `{plan.asked}`. Give it the same words to go "
                "on with it, or --restart to give it up"
            )
        logger.warning(
            "going on with the backfill that was interrupted",
            extra={"pipeline": settings.name, "since": rfc3339(plan.since), "until": rfc3339(plan.until)},
        )
        return plan
    state.drop_lanes(settings.name, LANE)
    end = now if until is None else until
    if since >= end:
        raise UsageError(f"--since {rfc3339(since)} is not before --until {rfc3339(end)}")
    slice_ = max(HOUR, -(-(end - since) // MOST_SLICES // HOUR) * HOUR)
    plan = Plan(asked, since, end, reparse, list(found), now, slice_)
    state.save_job(settings.name, JOB, msgspec.to_builtins(plan))
    return plan


async def _run(
    configuration: Configuration,
    settings: config.Pipeline,
    state: State,
    start: Callable[[Sequence[str], int], Plan],
    names: Sequence[str],
    parallel: int,
    progress: Callable[[Progress], None],
    stop: anyio.Event,
) -> Summary:
    async with opened(configuration, settings, state) as pipeline:
        if not all(sink.idempotent for sink in pipeline.required) and not any(s.tells for s in pipeline.required):
            raise CheckError(
                f"pipeline {pipeline.name} ships to sinks that neither know what they hold nor take an event twice "
                "without repeating it: a backfill would repeat what was delivered"
            )
        plan = start(names or await pipeline.source.partitions(), time.time_ns() // 1000)
        work = _Work(pipeline, plan, parallel, progress)
        await work.load()
        await pipeline.run(stop, work=work.run)
        finished = not work.unread and all(work.is_done(slice_) for slice_ in work.slices)
        if finished:
            _extend(state, pipeline.name, plan, set(plan.partitions) - work.absent.keys())
            state.drop_lanes(pipeline.name, LANE)
            state.drop_job(pipeline.name, JOB)
        return Summary(
            pipeline.name, rfc3339(plan.since), rfc3339(plan.until), pipeline.counts, finished, work.not_read()
        )


def _extend(state: State, pipeline: str, plan: Plan, partitions: Collection[str]) -> None:
    """Note that the partitions are wanted from further back now: audits look there too."""
    begun = state.checkpoints(pipeline, BEGIN)
    for partition in partitions:
        since = begun.get(partition, {}).get("since")
        if since is None or plan.since < since <= plan.until:
            state.save(pipeline, partition, lane=BEGIN, checkpoint={"since": plan.since})


class _Slice(msgspec.Struct, frozen=True):
    partition: str
    start: int
    end: int

    @property
    def lane(self) -> str:
        return f"{LANE}{self.start}"


class _Work:
    """The slices of a plan, the oldest first, some of them side by side."""

    def __init__(self, pipeline: Pipeline, plan: Plan, parallel: int, progress: Callable[[Progress], None]) -> None:
        self._pipeline = pipeline
        self._plan = plan
        self._parallel = parallel
        self._progress = progress
        self._at: dict[_Slice, int] = {}
        self.slices = list(_slices(plan))
        self.unread: set[str] = set()
        self.absent: dict[str, str] = {}
        """The partitions that do not exist, with what was said of them."""
        self._told: set[str] = set()

    async def load(self) -> None:
        """Learn from the state how far each slice is."""
        state = self._pipeline.state
        saved = await anyio.to_thread.run_sync(state.lanes, self._pipeline.name, LANE)
        for slice_ in self.slices:
            self._at[slice_] = saved.get((slice_.partition, slice_.lane), {}).get("at", slice_.start)

    def is_done(self, slice_: _Slice) -> bool:
        """Whether all of the slice was read and settled."""
        return self._at[slice_] >= slice_.end

    async def run(self) -> None:
        """Read all slices that are not done."""
        waiting = iter([slice_ for slice_ in self.slices if not self.is_done(slice_)])

        async def work() -> None:
            for slice_ in waiting:
                if not self.is_done(slice_):  # nor found out to be absent meanwhile
                    await self._persist(slice_)

        self._tell()
        async with anyio.create_task_group() as group:
            for _ in range(self._parallel):
                group.start_soon(work)

    async def _persist(self, slice_: _Slice) -> None:
        for attempt in range(1, TRIES + 1):
            try:
                await self._read(slice_)
            except CheckError as error:
                failed: Exception = error
                self._say(slice_.partition, error)
            except Exception as error:
                failed = error
                logger.exception("slice failed", extra={"partition": slice_.partition, "start_us": slice_.start})
            else:
                return
            self._give_back(slice_)
            if isinstance(failed, AbsentError):
                self._settle(slice_.partition, failed)
                return
            if attempt == TRIES:
                self.unread.add(_line(slice_.partition, failed))
            else:
                await anyio.sleep(ASK_AGAIN)

    def not_read(self) -> list[str]:
        """What could not be read, and why."""
        return sorted(self.unread | set(self.absent.values()))

    def _settle(self, partition: str, error: AbsentError) -> None:
        """Nothing is left to do of a partition that does not exist."""
        self.absent[partition] = _line(partition, error)
        for slice_ in self.slices:
            if slice_.partition == partition:
                self._at[slice_] = slice_.end
        self._tell()

    def _say(self, partition: str, error: CheckError) -> None:
        """Say at once why nothing comes of a partition: somebody waits for it."""
        if partition not in self._told:
            self._told.add(partition)
            follows = "there is nothing of it to read" if isinstance(error, AbsentError) else "it is tried again"
            about = {"pipeline": self._pipeline.name, "partition": partition, "error": str(error)}
            logger.warning("partition cannot be read; %s", follows, extra=about)

    def _give_back(self, slice_: _Slice) -> None:
        """What was read of the slice and not settled is read again."""
        lane = self._pipeline.lanes.get((slice_.partition, slice_.lane))
        if lane is not None:
            self._at[slice_] = (lane.checkpoint or {}).get("at", slice_.start)
            self._pipeline.drop(lane)

    async def _read(self, slice_: _Slice) -> None:
        pipeline, plan = self._pipeline, self._plan
        lane = await pipeline.lane(slice_.partition, slice_.lane, "all" if plan.reparse else "differing")
        lane.read_at = plan.read_at
        async with rereading(pipeline.source, slice_.partition, self._at[slice_] - HOLD, slice_.end + HOLD) as batches:
            async for batch in batches:
                held = {} if plan.reparse else await self._held(slice_.partition, batch)
                at = max((record.timestamp for record in batch.records), default=slice_.start)
                batch.checkpoint = {"at": max(slice_.start, min(at, slice_.end - 1))}
                await pipeline.take(lane, batch, held)
                self._at[slice_] = max(self._at[slice_], batch.checkpoint["at"])
                self._tell()
        end = Batch(partition=slice_.partition, records=(), checkpoint={"at": slice_.end})
        await pipeline.take(lane, end, {})
        await pipeline.finish(lane)
        self._at[slice_] = slice_.end
        self._tell()

    async def _held(self, partition: str, batch: Batch) -> Held:
        pipeline = self._pipeline
        if any(sink.tells for sink in pipeline.required):
            return await held_by_sinks(pipeline, batch)
        if not batch.records:
            return {}
        times = [record.timestamp for record in batch.records]
        known = await anyio.to_thread.run_sync(
            pipeline.state.delivered, pipeline.name, partition, min(times), max(times)
        )
        ids = (key_of(pipeline.id_of(record)) for record in batch.records)
        return {key: known[key] for key in ids if key in known}

    def _tell(self) -> None:
        total = sum(slice_.end - slice_.start for slice_ in self.slices)
        done = sum(min(self._at[slice_], slice_.end) - slice_.start for slice_ in self.slices)
        self._progress(Progress(self._pipeline.name, total / 1e6, done / 1e6, self._pipeline.counts))


def _line(partition: str, error: Exception) -> str:
    return f"{partition}: {str(error).removeprefix(f'{partition}: ')}"


def _slices(plan: Plan) -> Iterator[_Slice]:
    for start in range(plan.since // plan.slice * plan.slice, plan.until, plan.slice):
        for partition in plan.partitions:
            yield _Slice(partition, max(start, plan.since), min(start + plan.slice, plan.until))
