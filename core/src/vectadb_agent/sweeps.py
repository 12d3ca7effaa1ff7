"""Sweeps: reading the past again at certain ages, to find what became visible late.

For each of the source's ``sweep_ages`` and each partition a lane follows the head at that distance. What it reads it
joins anew: a line that was late then stands where it belongs, and the block that has grown by it is shipped again.

While the ledger remembers (the first hours) it says what was delivered. Later the sinks do: an hour whose count and
digest are theirs is complete; else they are asked about its records one by one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec

from vectadb_agent.comparing import held_by_sinks, hour_is_complete, rereading
from vectadb_agent.components import Batch, Figure
from vectadb_agent.errors import CheckError
from vectadb_agent.join import HOLD
from vectadb_agent.lanes import BEGIN, HEAD, SHAPE_UNKNOWN
from vectadb_agent.settling import HOUR, key_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectadb_agent.lanes import Held, Lane
    from vectadb_agent.pipeline import Pipeline

logger = logging.getLogger("vectadb_agent.sweeps")

LEDGER_AGE = 2 * 3600
"""Seconds. At ages up to this one the ledger is asked, beyond it the sinks: it need not remember for longer."""
LANE = "sweep "
SECOND = 1_000_000


class _Follower(msgspec.Struct):
    """One partition's sweep of one age (seconds). ``through``: read up to here, microseconds; ``sure``: and settled."""

    partition: str
    age: float
    through: int
    sure: int
    not_before: float = 0.0
    """Monotonic time before which it is left alone, since its partition could not be read."""

    @property
    def lane(self) -> str:
        return f"{LANE}{self.age:g}"

    @property
    def by_ledger(self) -> bool:
        return self.age <= LEDGER_AGE

    @property
    def step(self) -> int:
        """Least stretch worth a request, microseconds: half the age, an hour at most."""
        return int(min(self.age / 2, 3600) * SECOND)


class Sweeper:
    """The sweeps of one pipeline; one stretch at a time, so that they never take more than a page or two of memory.

    ``pause``: seconds between two looks at what is due.
    """

    def __init__(self, pipeline: Pipeline, *, pause: float | None = None) -> None:
        self._pipeline = pipeline
        self._source = pipeline.source
        self._followers: dict[tuple[str, float], _Follower] = {}
        tells = any(sink.tells for sink in pipeline.required)
        self.ages = [age for age in pipeline.source.sweep_ages if age <= LEDGER_AGE or tells]
        self._pause = min(30.0, min(self.ages, default=0.0) / 10) if pause is None else pause
        self.swept = 0
        """Records read again."""
        left_out = [age for age in pipeline.source.sweep_ages if age not in self.ages]
        if left_out:
            logger.warning(
                "no sink of this pipeline can say what it holds: late records are looked for at the early ages only",
                extra={"pipeline": pipeline.name, "ages": self.ages, "left_out": left_out},
            )

    async def run(self) -> None:
        """Sweep for ever."""
        if not self.ages or not self._source.seekable:
            return
        saved = await anyio.to_thread.run_sync(self._pipeline.state.lanes, self._pipeline.name, LANE)
        begun = await anyio.to_thread.run_sync(self._pipeline.state.checkpoints, self._pipeline.name, BEGIN)
        while True:
            for lane in [lane for (_, name), lane in self._pipeline.lanes.items() if name == HEAD]:
                self._follow(lane, begun.get(lane.partition, {}).get("since"), saved)
            due = self._due()
            for follower in due:
                await self._sweep(follower)
            # Far behind, after a long lookback say, stretch follows stretch: with pauses two weeks would take hours.
            await anyio.sleep(0 if due else max(0.01, self._pause))

    def _follow(self, head: Lane, begun: int | None, saved: dict[tuple[str, str], dict[str, int]]) -> None:
        """Have a follower for each age; say what the ledger must remember for them."""
        begins = head.begins if head.begins is not None else begun
        if begins is None:
            # A state written before there were sweeps: what the head has read since then is all that is known.
            begins = head.begins = head.saved_through
        if begins is None:
            return
        keep = None
        for age in self.ages:
            follower = self._followers.get((head.partition, age))
            if follower is None:
                through = max(begins, saved.get((head.partition, f"{LANE}{age:g}"), {}).get("through", begins))
                follower = self._followers[head.partition, age] = _Follower(head.partition, age, through, through)
            if follower.by_ledger:
                keep = min(follower.through, keep or follower.through)
        head.keep_from = None if keep is None else keep - HOLD

    def _due(self) -> list[_Follower]:
        return [follower for follower in self._followers.values() if self._until(follower) is not None]

    def _until(self, follower: _Follower) -> int | None:
        """Where the next stretch ends; ``None``: it is too short yet."""
        head = self._pipeline.lanes.get((follower.partition, HEAD))
        if head is None or head.saved_through is None or anyio.current_time() < follower.not_before:
            return None
        until = min(self._source.now() - int(follower.age * SECOND), head.saved_through)
        if not follower.by_ledger:
            until = until // HOUR * HOUR
        until = min(until, follower.through // HOUR * HOUR + HOUR)
        # A stretch ends at the hour, however short it is then.
        ends_hour = until % HOUR == 0
        return until if until - follower.through >= (1 if ends_hour else follower.step) else None

    async def _sweep(self, follower: _Follower) -> None:
        """Sweep one stretch. What fails is tried again later: the stretch stays where it is."""
        until = self._until(follower)
        since = follower.through
        if until is None:
            return
        try:
            edge = await anyio.to_thread.run_sync(
                self._pipeline.state.ledger_edge, self._pipeline.name, follower.partition
            )
            tells = any(sink.tells for sink in self._pipeline.required)
            if follower.by_ledger and (edge is None or edge < since or not tells):
                await self._sweep_by_ledger(follower, since, until, edge)
            else:
                await self._sweep_by_sinks(follower, since, until)
        except CheckError as error:
            self._put_off(follower, str(error))
        except Exception as error:
            logger.exception("sweep failed", extra={"partition": follower.partition, "age": follower.age})
            self._put_off(follower, f"{type(error).__name__}: {error}")
        else:
            follower.through = until

    def _put_off(self, follower: _Follower, reason: str) -> None:
        lane = self._pipeline.lanes.get((follower.partition, follower.lane))
        if lane is not None:
            follower.sure = (lane.checkpoint or {}).get("through", follower.sure)
            self._pipeline.drop(lane)
        # What the lane held open is gone: read again from where all was settled.
        follower.through = follower.sure
        pause = min(300.0, max(10.0, follower.age / 2))
        follower.not_before = anyio.current_time() + pause
        logger.warning(
            "cannot sweep; trying again",
            extra={"partition": follower.partition, "age": follower.age, "error": reason, "pause_seconds": pause},
        )

    async def _sweep_by_ledger(self, follower: _Follower, since: int, until: int, edge: int | None) -> None:
        """Read on where the lane ended: blocks that are open at the end of a stretch go on in the next one.

        ``edge``: up to this time the ledger may have forgotten.
        """
        pipeline, partition = self._pipeline, follower.partition
        lane = await pipeline.lane(partition, follower.lane, "differing")
        lane.read_at = self._source.now()
        async with rereading(self._source, partition, since, until) as batches:
            async for batch in batches:
                self.swept += len(batch.records)
                held: Held = {}
                if batch.records:
                    times = [record.timestamp for record in batch.records]
                    held = await anyio.to_thread.run_sync(
                        pipeline.state.delivered, pipeline.name, partition, min(times), max(times)
                    )
                    if edge is not None and edge >= min(times):
                        # Forgotten, and no sink to ask: claim nothing and repeat nothing.
                        held = _with_forgotten(pipeline, batch, held, edge)
                await pipeline.take(lane, batch, held)
        end = Batch(partition=partition, records=(), checkpoint={"through": until}, read_through=until)
        await pipeline.take(lane, end, {})

    async def _sweep_by_sinks(self, follower: _Follower, since: int, until: int) -> None:
        pipeline, partition = self._pipeline, follower.partition
        lane = await pipeline.lane(partition, follower.lane, "differing")
        lane.read_at = self._source.now()
        hour = since // HOUR * HOUR
        if not await hour_is_complete(pipeline, partition, hour):
            logger.info(
                "an hour differs from what the sinks hold; comparing its records",
                extra={"pipeline": pipeline.name, "partition": partition, "hour_us": hour, "age": follower.age},
            )
            # Beyond its ends, for the blocks that reach over them.
            async with rereading(self._source, partition, since - HOLD, until + HOLD) as batches:
                async for batch in batches:
                    self.swept += len(batch.records)
                    await pipeline.take(lane, batch, await held_by_sinks(pipeline, batch))
        end = Batch(partition=partition, records=(), checkpoint={"through": until}, read_through=until + 2 * HOLD)
        await pipeline.take(lane, end, {})

    def figures(self) -> Iterator[Figure]:
        """Tell how far the sweeps are: everything dated before ``complete_through`` was compared at that age."""
        yield Figure("swept_records_total", "Records that sweeps read again.", self.swept, "counter")
        for follower in self._followers.values():
            lane = self._pipeline.lanes.get((follower.partition, follower.lane))
            sure = follower.sure if lane is None else (lane.checkpoint or {}).get("through", follower.sure)
            labels = (("partition", follower.partition), ("age", f"{follower.age:g}"))
            help_ = "Everything dated before this was read again at this age and has arrived; seconds since the epoch."
            yield Figure("complete_through_seconds", help_, sure / SECOND, labels=labels)


def _with_forgotten(pipeline: Pipeline, batch: Batch, held: Held, edge: int) -> Held:
    forgotten = {key_of(pipeline.id_of(record)): SHAPE_UNKNOWN for record in batch.records if record.timestamp <= edge}
    return {**forgotten, **held}
