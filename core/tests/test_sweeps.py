"""Sweeps: what became visible late is found, and blocks are in the end what they would have been at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_agent import Batch, Block, ComponentConfig, Event, LogRecord, LogStream, Parser, Piece
from vectadb_agent.config import Pipeline as Settings
from vectadb_agent.errors import CheckError
from vectadb_agent.pipeline import Pipeline
from vectadb_agent.settling import HOUR
from vectadb_agent.state import State
from vectadb_agent.sweeps import Sweeper
from vectadb_agent.testing.archive import ArchiveSource
from vectadb_agent.testing.fakes import MemorySink

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio
SECOND = 1_000_000
DAY = 24 * HOUR


class Bracketed(Parser):
    """``(`` opens a block, ``)`` ends it, lines in between belong to it; what starts with ``d`` is dropped."""

    name = "bracketed"

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        if text.startswith("("):
            return [Piece(text, "start", closes=text.endswith(")"))]
        if state is not None:
            return [Piece(text, "continue", closes=text.endswith(")"))]
        return ()

    def parse(self, block: Block) -> list[Event] | None:
        return [] if block.text.startswith("d") else None


def record(number: int, message: str, at: float, stream: str = "s") -> LogRecord:
    return LogRecord(LogStream("archive", "1", "eu", "/g", stream), str(number), int(at * SECOND), message)


class Run:
    """A pipeline with its sweeps, run for a while."""

    def __init__(self, source: ArchiveSource, state: State, sink: MemorySink, pause: float = 0.01) -> None:
        parser = Bracketed(ComponentConfig(type="bracketed"))
        self.source, self.sink = source, sink
        self.pipeline = Pipeline(Settings("p", None, source, (parser,), ("sink",), 4_000_000), {"sink": sink}, state)
        self.sweeper = Sweeper(self.pipeline, pause=pause)
        self.stop = anyio.Event()

    async def __aenter__(self) -> Run:
        self._group = anyio.create_task_group()
        await self._group.__aenter__()
        self._group.start_soon(self._run)
        return self

    async def _run(self) -> None:
        await self.pipeline.run(self.stop, beside=[self.sweeper.run])

    async def __aexit__(self, *error: Any) -> None:
        self.stop.set()
        await self._group.__aexit__(*error)

    async def swept(self, through: float) -> None:
        """Wait until every age is swept up to ``through`` seconds."""
        with anyio.fail_after(20):
            while True:
                done = [f.value for f in self.sweeper.figures() if f.name == "complete_through_seconds"]
                if done and min(done) >= through:
                    return
                await anyio.sleep(0.01)

    async def until(self, condition: Any) -> None:
        with anyio.fail_after(20):
            while True:
                if condition():
                    return
                await anyio.sleep(0.01)


def texts(sink: MemorySink) -> list[str]:
    return sorted(event.raw or "" for event in sink.events.values())


@pytest.fixture
def state(tmp_path: Path) -> Any:
    with State(tmp_path / "state") as opened:
        yield opened


async def test_a_record_visible_after_the_head_has_passed_is_shipped_by_the_first_sweep(state: State) -> None:
    source, sink = ArchiveSource(ages=[300]), MemorySink(batch_age="0s")
    source.put(record(1, "early", 10))
    async with Run(source, state, sink) as run:
        source.move_to(290 * SECOND)
        await run.until(lambda: texts(sink) == ["early"])
        source.put(record(2, "late", 11))
        source.move_to(2_000 * SECOND)
        await run.swept(1_000)
    assert texts(sink) == ["early", "late"]
    assert [len(write) for write in sink.writes] == [1, 1], "the sweep ships nothing that was delivered"
    counts = run.pipeline.counts
    assert (counts.read, counts.delivered, counts.in_flight) == (counts.duplicate + 2, 2, 0)


async def test_a_block_that_a_late_line_has_grown_is_shipped_again_as_it_should_have_been(state: State) -> None:
    source, sink = ArchiveSource(ages=[300]), MemorySink(batch_age="0s")
    source.put(record(1, "(a", 10), record(2, "b", 11), record(4, "d)", 13), record(5, "e", 14))
    async with Run(source, state, sink) as run:
        source.move_to(290 * SECOND)
        await run.until(lambda: texts(sink) == ["(a\nb\nd)", "e"])
        source.put(record(3, "c", 12))
        source.move_to(2_000 * SECOND)
        await run.swept(1_000)
    assert texts(sink) == ["(a\nb\nc\nd)", "e"]


async def test_a_late_first_line_takes_its_block_from_the_one_that_it_was_joined_to(state: State) -> None:
    source, sink = ArchiveSource(ages=[300]), MemorySink(batch_age="0s")
    source.put(record(1, "(a", 10), record(3, "b", 12), record(4, "c)", 13))
    async with Run(source, state, sink) as run:
        source.move_to(290 * SECOND)
        await run.until(lambda: texts(sink) == ["(a\nb\nc)"])
        source.put(record(2, "(x", 11))
        source.move_to(2_000 * SECOND)
        await run.swept(1_000)
    assert texts(sink) == ["(a", "(x\nb\nc)"]


async def test_a_block_that_is_open_at_the_end_of_a_stretch_goes_on_in_the_next(state: State) -> None:
    source, sink = ArchiveSource(ages=[300]), MemorySink(batch_age="0s")
    source.put(record(1, "(a", 199), record(2, "b)", 200.5))
    async with Run(source, state, sink) as run:
        source.move_to(290 * SECOND)
        await run.until(lambda: texts(sink) == ["(a\nb)"])
        source.move_to(500 * SECOND)
        await run.until(lambda: source.read_again == [(0, 200 * SECOND)])
        source.move_to(700 * SECOND)
        await run.swept(400)
    assert texts(sink) == ["(a\nb)"]
    assert len(sink.writes) == 1


async def test_after_a_day_the_sink_is_asked_and_only_an_hour_that_differs_is_compared(state: State) -> None:
    source, sink = ArchiveSource(ages=[24 * 3600.0]), MemorySink(batch_age="0s")
    source.put(*(record(n, f"m{n}", n * 600) for n in range(1, 18)))
    async with Run(source, state, sink) as run:
        source.move_to(3 * HOUR)
        await run.until(lambda: len(sink.events) == 17)
        source.put(record(99, "late", 4_000), record(98, "dropped", 4_001))
        source.move_to(3 * HOUR + DAY)
        await run.swept(3 * 3600)
        assert texts(sink) == sorted([*(f"m{n}" for n in range(1, 18)), "late"])
        looked = [(since // HOUR, until // HOUR) for since, until in source.read_again]
    assert (1, 2) in looked
    assert len(source.read_again) == 4, "each of the three hours once, the one that differs twice"
    assert run.pipeline.counts.filtered == 1


async def test_what_the_sink_has_lost_comes_back(state: State) -> None:
    source, sink = ArchiveSource(ages=[24 * 3600.0]), MemorySink(batch_age="0s")
    source.put(*(record(n, f"m{n}", n * 600) for n in range(1, 6)))
    async with Run(source, state, sink) as run:
        source.move_to(HOUR)
        await run.until(lambda: len(sink.events) == 5)
        lost = next(iter(sink.events))
        del sink.events[lost], sink.records[lost]
        source.move_to(HOUR + DAY)
        await run.swept(3600)
    assert texts(sink) == [f"m{n}" for n in range(1, 6)]


async def test_a_sweep_that_is_far_behind_goes_from_stretch_to_stretch_without_a_pause(state: State) -> None:
    source, sink = ArchiveSource(ages=[300]), MemorySink(batch_age="0s")
    for hour in range(40):
        source.put(record(hour, f"{hour}", hour * 3600 + 10))
    async with Run(source, state, sink, pause=1.0) as run:
        source.move_to(40 * HOUR)
        await run.swept(39 * 3600)  # one pause for each hour would take twice as long as it waits
    assert len(texts(sink)) == 40


async def test_a_sweep_goes_on_after_a_restart_where_it_was(state: State) -> None:
    source, sink = ArchiveSource(ages=[300]), MemorySink(batch_age="0s")
    source.put(record(1, "a", 10), record(2, "b", 900))
    async with Run(source, state, sink) as run:
        source.move_to(1_300 * SECOND)
        await run.swept(1_000)
    source.read_again.clear()
    source.put(record(3, "late", 1_010))
    async with Run(source, state, sink) as run:
        source.move_to(2_000 * SECOND)
        await run.swept(1_700)
    assert min(since for since, _ in source.read_again) >= 1_000 * SECOND
    assert texts(sink) == ["a", "b", "late"]


async def test_a_sink_that_repeats_what_it_is_given_gets_only_what_it_never_had(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MemorySink, "idempotent", False)
    source, sink = ArchiveSource(ages=[300]), MemorySink(batch_age="0s")
    source.put(record(1, "(a", 10), record(3, "c)", 12))
    async with Run(source, state, sink) as run:
        source.move_to(290 * SECOND)
        await run.until(lambda: texts(sink) == ["(a\nc)"])
        source.put(record(2, "b", 11))
        source.move_to(2_000 * SECOND)
        await run.swept(1_000)
    assert texts(sink) == ["(a\nc)", "b"]


@settings(max_examples=40, derandomize=True, deadline=None)
@given(
    lines=st.lists(st.sampled_from(["(a", "b", "c)", "x", "(y)", "d"]), min_size=1, max_size=14),
    late=st.lists(st.booleans(), min_size=14, max_size=14),
)
async def test_whatever_is_late_the_end_is_as_if_all_had_been_visible_at_once(
    lines: list[str], late: list[bool], tmp_path_factory: pytest.TempPathFactory
) -> None:
    records = [record(number, text, 10 + number / 10) for number, text in enumerate(lines)]
    ends = []
    for lateness in ([False] * len(records), late):
        source, sink = ArchiveSource(ages=[300]), MemorySink(batch_age="0s")
        with State(tmp_path_factory.mktemp("state")) as state:
            async with Run(source, state, sink) as run:
                source.put(*(one for one, is_late in zip(records, lateness, strict=False) if not is_late))
                source.put(record(1_000, "z", 1))
                source.move_to(290 * SECOND)
                await run.until(lambda run=run: run.pipeline.counts.read and not run.pipeline.counts.in_flight)
                source.put(*(one for one, is_late in zip(records, lateness, strict=False) if is_late))
                source.move_to(2_000 * SECOND)
                await run.swept(1_000)
        ends.append(texts(sink))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("tells", [True, False])
async def test_a_sweep_that_fails_is_tried_again_and_ships_once(
    tells: bool, state: State, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Breaks(ArchiveSource):
        """Reads the past again only at the third time."""

        errors: tuple[Exception, ...] = (CheckError("not now"), OSError("no network"))

        async def reread(self, partition: str, since: int, until: int) -> AsyncGenerator[Batch, None]:
            if self.errors:
                error, *left = self.errors
                self.errors = tuple(left)
                raise error
            async for batch in super().reread(partition, since, until):
                yield batch

    monkeypatch.setattr(MemorySink, "tells", tells)
    source, sink = Breaks(ages=[300]), MemorySink(batch_age="0s")
    source.put(record(1, "early", 10))
    async with Run(source, state, sink) as run:
        source.move_to(290 * SECOND)
        await run.until(lambda: texts(sink) == ["early"])
        source.put(record(2, "late", 11))
        source.move_to(2_000 * SECOND)
        for left in (1, 0):
            await run.until(lambda left=left: len(source.errors) == left)  # type: ignore[misc]
            await run.until(lambda: any(each.not_before > 0 for each in run.sweeper._followers.values()))
            for follower in run.sweeper._followers.values():
                follower.not_before = 0
        await run.swept(1_000)
    assert texts(sink) == ["early", "late"]
    told = [each.__dict__["error"] for each in caplog.records if each.message == "cannot sweep; trying again"]
    assert told == ["not now", "OSError: no network"]
