"""The delivery contract of a pipeline: each record in exactly one term, checkpoints only behind what has arrived."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent import Batch, Block, ComponentConfig, Event, LogRecord, LogStream, Outcome, Parser, Piece, Result
from vectadb_agent.config import Pipeline as Settings
from vectadb_agent.errors import CheckError, ParseError, PermanentError, TooLargeError
from vectadb_agent.pipeline import STUCK_AFTER, Pipeline
from vectadb_agent.settling import OVERHEAD
from vectadb_agent.state import State
from vectadb_agent.testing.fakes import ListSource, MemorySink, failing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio
STREAM = LogStream("test", "1", "eu", "/g", "s")
OTHER = LogStream("test", "1", "eu", "/g", "other")


class Marked(Parser):
    """Lines that start with a letter mean something: d drop, e malformed, x crash, t two events, ( joins."""

    name = "marked"

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        if state is not None or text.startswith("("):
            return [Piece(text, "continue" if state is not None else "start", closes=text.endswith(")"))]
        return ()

    def parse(self, block: Block) -> list[Event] | None:
        text = block.text
        match text[:1]:
            case "d":
                return []
            case "e":
                raise ParseError("not like this")
            case "x":
                raise RuntimeError("a bug")
            case "t":
                return [Event(event_type="llm_end"), Event(event_type="tool_call")]
            case "(":
                return [Event(event_type="message")]
            case _:
                return None


def record(number: int, message: str) -> LogRecord:
    return LogRecord(STREAM, str(number), 1_000_000 * number, message)


def batches(messages: Sequence[str], size: int = 2, partition: str = "/g") -> list[Batch]:
    records = [record(number, message) for number, message in enumerate(messages)]
    return [Batch(partition=partition, records=records[at : at + size]) for at in range(0, len(records), size)]


def build(source: ListSource, state: State, *sinks: MemorySink, **more: Any) -> Pipeline:
    named = {f"sink{number}": sink for number, sink in enumerate(sinks)}
    settings = Settings("p", "agent-1", source, (Marked(ComponentConfig(type="m")),), tuple(named), 4_000_000)
    for name, value in more.items():
        object.__setattr__(settings, name, value)
    return Pipeline(settings, named, state)


async def run(source: ListSource, state: State, *sinks: MemorySink, **more: Any) -> Pipeline:
    pipeline = build(source, state, *sinks, **more)
    with anyio.fail_after(20):
        await pipeline.run(anyio.Event(), drain=True)
    return pipeline


@pytest.fixture
def state(tmp_path: Path) -> Any:
    with State(tmp_path / "state") as opened:
        yield opened


def raw(sink: MemorySink) -> list[str]:
    return [event.raw for event in sink.events.values() if event.raw is not None]


async def test_records_become_events_with_stable_ids_and_the_checkpoint_follows(state: State) -> None:
    sink = MemorySink()
    pipeline = await run(ListSource(batches(["a", "b", "c"])), state, sink)
    assert sorted(raw(sink)) == ["a", "b", "c"]
    assert {event.agent_id for event in sink.events.values()} == {"agent-1"}
    assert (pipeline.counts.read, pipeline.counts.delivered, pipeline.counts.in_flight) == (3, 3, 0)
    assert state.checkpoints("p") == {"/g": {"position": 1}}


async def test_one_block_may_give_several_events_and_only_the_first_carries_the_text(state: State) -> None:
    sink = MemorySink()
    await run(ListSource(batches(["two"])), state, sink)
    first, second = sink.events.values()
    assert (first.part, first.raw, second.part, second.raw) == ("0", "two", "0.1", None)
    assert first.event_id != second.event_id


async def test_dropped_malformed_and_crashing_texts_harm_no_neighbour(state: State) -> None:
    sink = MemorySink()
    pipeline = await run(ListSource(batches(["drop", "err", "xxx", "ok"])), state, sink)
    by_text = {event.raw: event for event in sink.events.values()}
    assert set(by_text) == {"err", "xxx", "ok"}
    assert by_text["err"].properties == {"vectadb.parser": "marked", "vectadb.parse_error": "not like this"}
    assert by_text["xxx"].properties["vectadb.parse_error"] == "RuntimeError: a bug"
    assert (pipeline.counts.filtered, pipeline.counts.delivered) == (1, 3)


async def test_a_record_read_again_is_passed_on_once_also_after_a_restart(state: State) -> None:
    sink = MemorySink()
    again = batches(["a", "b"]) + batches(["a", "b", "c"], size=3)
    pipeline = await run(ListSource(again), state, sink)
    assert (pipeline.counts.read, pipeline.counts.delivered, pipeline.counts.duplicate) == (5, 3, 2)
    restarted = await run(ListSource([*again, *batches(["a", "b", "c", "f"], size=4)]), state, sink)
    assert (restarted.counts.read, restarted.counts.delivered, restarted.counts.duplicate) == (4, 1, 3)
    assert sum(len(write) for write in sink.writes) == 4


async def test_a_failing_sink_is_tried_again_until_it_takes_the_batch(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectadb_agent.delivery.FIRST_PAUSE", 0.001)
    sink = MemorySink(failing(5), batch_size=1)
    pipeline = await run(ListSource(batches(["a", "b", "c", "f"])), state, sink)
    assert sorted(raw(sink)) == ["a", "b", "c", "f"]
    assert pipeline.counts.delivered == 4


async def test_a_sink_that_returns_nothing_has_taken_nothing(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectadb_agent.delivery.FIRST_PAUSE", 0.001)

    class Forgetful(MemorySink):
        async def write(self, events: Sequence[Event]) -> Any:
            return await super().write(events) if self.writes else self.writes.append([])

    sink = Forgetful()
    pipeline = await run(ListSource(batches(["a", "b"])), state, sink)
    assert sorted(raw(sink)) == ["a", "b"]
    assert pipeline.counts.delivered == 2


async def test_one_event_refused_for_good_goes_to_the_quarantine_and_delays_nobody(state: State) -> None:
    def plan(events: Sequence[Event]) -> Result | None:
        if any(event.raw == "poison" for event in events):
            raise PermanentError("cannot be")
        return None

    sink = MemorySink(plan)
    pipeline = await run(ListSource(batches(["a", "b", "poison", "c"], size=4)), state, sink)
    assert sorted(raw(sink)) == ["a", "b", "c"]
    assert (pipeline.counts.delivered, pipeline.counts.quarantined) == (3, 1)
    assert state.checkpoints("p") == {"/g": {"position": 0}}


async def test_a_batch_that_is_too_large_is_split(state: State) -> None:
    def plan(events: Sequence[Event]) -> Result | None:
        if len(events) > 1:
            raise TooLargeError("too large")
        return None

    sink = MemorySink(plan)
    pipeline = await run(ListSource(batches(list("abcfg"), size=5)), state, sink)
    assert pipeline.counts.delivered == 5


async def test_the_sink_s_verdict_on_each_event_is_counted(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectadb_agent.delivery.FIRST_PAUSE", 0.001)
    tries: list[str] = []

    def plan(events: Sequence[Event]) -> Result:
        by = {event.raw: event.event_id for event in events}
        tries.extend(text for text in by if text)
        refused = [(by["no"], "bad", False)] if "no" in by else []
        if "later" in by and tries.count("later") < 3:
            refused.append((by["later"], "busy", True))
        return Result(
            duplicate=[by[t] for t in ("held",) if t in by],
            expired=[by[t] for t in ("old",) if t in by],
            refused=refused,
        )

    counts = (
        await run(ListSource(batches(["no", "later", "held", "old", "fine"], size=5)), state, MemorySink(plan))
    ).counts
    assert (counts.quarantined, counts.delivered, counts.duplicate, counts.expired) == (1, 2, 1, 1)
    assert tries.count("later") == 3
    assert tries.count("fine") == 1


async def test_of_an_overlapping_block_the_unclaimed_records_are_shipped_by_themselves(state: State) -> None:
    def plan(events: Sequence[Event]) -> Result | None:
        blocks = [e.event_id for e in events if e.block is not None and len(e.block.records) > 1]
        return Result(overlapping=[(event_id, [1, 2]) for event_id in blocks])

    sink = MemorySink(plan)
    pipeline = await run(ListSource(batches(["(a", "b", "c)"], size=3)), state, sink)
    assert sorted(raw(sink)) == ["b", "c)"]
    assert (pipeline.counts.delivered, pipeline.counts.duplicate, pipeline.counts.in_flight) == (2, 1, 0)


async def test_a_held_record_holds_the_checkpoint_back(state: State) -> None:
    stop, sink = anyio.Event(), MemorySink(batch_age="0s")
    source = ListSource(batches(["a", "(b", "c", "f"], size=1), stay=True)
    pipeline = build(source, state, sink, clock=lambda: 0)
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: pipeline.run(stop, shutdown_timeout=0.0))
        with anyio.fail_after(10):
            while not state.checkpoints("p"):
                await anyio.lowlevel.checkpoint()
        assert state.checkpoints("p") == {"/g": {"position": 0}}
        stop.set()


async def test_a_stop_delivers_what_was_read_and_saves_it(state: State) -> None:
    stop, sink = anyio.Event(), MemorySink(batch_age="1h")
    source = ListSource(batches(["a", "b", "(c"]), stay=True)
    pipeline = build(source, state, sink)
    async with anyio.create_task_group() as group:
        group.start_soon(pipeline.run, stop)
        with anyio.fail_after(10):
            while source.delivered < 2 or pipeline.counts.read < 3:
                await anyio.lowlevel.checkpoint()
        assert sink.events == {}
        stop.set()
    assert sorted(raw(sink)) == ["(c", "a", "b"]
    assert state.checkpoints("p") == {"/g": {"position": 1}}


async def test_a_stop_does_not_wait_for_a_dead_sink_and_saves_no_checkpoint(state: State) -> None:
    settled: list[Outcome] = []

    class Watched(Batch):
        def settle(self, outcome: Outcome) -> None:
            settled.append(outcome)

    def down(events: Sequence[Event]) -> Result | None:
        raise ConnectionError("down")

    stop, sink = anyio.Event(), MemorySink(down)
    source = ListSource([Watched(partition="/g", records=[record(1, "a")])], stay=True)
    pipeline = build(source, state, sink)
    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: pipeline.run(stop, shutdown_timeout=0.01))
            while not sink.writes:
                await anyio.lowlevel.checkpoint()
            stop.set()
    assert state.checkpoints("p") == {}
    assert [outcome.durable for outcome in settled] == [False]
    assert pipeline.counts.in_flight == 1


async def test_a_slow_sink_slows_the_source(state: State) -> None:
    gate = anyio.Event()

    class Gated(MemorySink):
        async def write(self, events: Sequence[Event]) -> Result:
            await gate.wait()
            return await super().write(events)

    source = ListSource(batches(["a" * 60_000] * 50, size=1))
    sink = Gated()
    pipeline = build(source, state, sink, max_in_flight=200_000)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: pipeline.run(anyio.Event(), drain=True))
            await anyio.wait_all_tasks_blocked()
            while pipeline.counts.read < 3:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert pipeline.counts.read == 3
            gate.set()
    assert pipeline.counts.delivered == 50


async def test_open_blocks_that_fill_the_budget_are_closed_not_waited_for(state: State) -> None:
    sink = MemorySink()
    pipeline = await run(ListSource(batches(["(" + "a" * 90_000] * 20, size=1)), state, sink, max_in_flight=100_000)
    assert pipeline.counts.delivered == 20


async def test_a_source_that_breaks_is_read_again_from_the_checkpoint(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectadb_agent.pipeline.random.uniform", lambda low, high: 0.0)

    class Breaking(ListSource):
        broken = 0

        async def read(self, after: Any, *, drain: bool = False) -> Any:
            async for batch in super().read(after, drain=drain):
                yield batch
                if self.broken < 2:
                    self.broken += 1
                    raise OSError("gone")

    sink = MemorySink()
    pipeline = await run(Breaking(batches(["a", "b", "c"], size=1)), state, sink)
    assert sorted(raw(sink)) == ["a", "b", "c"]
    assert pipeline.counts.delivered == 3


async def test_a_source_that_cannot_work_ends_the_pipeline_with_its_words(state: State) -> None:
    class Refused(ListSource):
        async def read(self, after: Any, *, drain: bool = False) -> Any:
            raise CheckError("no credentials")
            yield

    with pytest.raises(CheckError, match="no credentials"):
        await run(Refused([]), state, MemorySink())


async def test_a_sink_that_is_not_required_may_be_down_for_ever(state: State) -> None:
    def down(events: Sequence[Event]) -> Result | None:
        raise ConnectionError("down")

    good, bad = MemorySink(), MemorySink(down, required=False)
    pipeline = await run(ListSource(batches(["a", "b"])), state, good, bad)
    assert sorted(raw(good)) == ["a", "b"]
    assert pipeline.counts.delivered == 2


async def test_lone_surrogates_travel_escaped(state: State) -> None:
    sink = MemorySink()
    await run(ListSource(batches(["a\ud800b"])), state, sink)
    assert raw(sink) == ["a\x1ad800b"]


@given(
    messages=st.lists(st.sampled_from(["a", "drop", "err", "xx", "two", "(", "b)", "poison"]), max_size=25),
    size=st.integers(1, 7),
    overlap=st.integers(0, 3),
)
def test_read_is_always_the_sum_of_its_terms_and_every_record_is_in_one_event(
    messages: list[str], size: int, overlap: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    def plan(events: Sequence[Event]) -> Result | None:
        if any(event.raw and "poison" in event.raw for event in events):
            raise PermanentError("cannot be")
        return None

    records = [record(number, message) for number, message in enumerate(messages)]
    plans = [
        Batch(partition="/g", records=records[max(0, at - overlap) : at + size]) for at in range(0, len(records), size)
    ]
    sink = MemorySink(plan, batch_size=3)
    with State(tmp_path_factory.mktemp("s") / "state") as state:

        async def main() -> Pipeline:
            return await run(ListSource(plans), state, sink)

        counts = anyio.run(main).counts
    assert counts.in_flight == 0
    assert counts.read == sum(len(plan_.records) for plan_ in plans)
    assert counts.delivered + counts.filtered + counts.quarantined == len(records)
    claimed = [
        (r.log_id, part)
        for event in sink.events.values()
        if event.block is not None and "." not in event.part
        for r, part in zip(event.block.records, event.block.parts, strict=True)
    ]
    assert len(claimed) == len(set(claimed)) == counts.delivered


async def test_a_sink_that_will_never_work_again_ends_the_pipeline(state: State) -> None:
    def gone(events: Sequence[Event]) -> Result | None:
        raise CheckError("the reader is gone")

    pipeline = build(ListSource(batches(["a"]), stay=True), state, MemorySink(gone))
    with anyio.fail_after(10), pytest.raises(CheckError, match="the reader is gone"):
        await pipeline.run(anyio.Event(), shutdown_timeout=0.01)
    assert state.checkpoints("p") == {}


async def test_a_page_larger_than_the_budget_is_taken_piece_by_piece_and_a_stop_leaves_it_for_the_next_run(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectadb_agent.pipeline.CHUNK", 5)
    gate = anyio.Event()

    class Gated(MemorySink):
        async def write(self, events: Sequence[Event]) -> Result:
            await gate.wait()
            return await super().write(events)

    messages = [f"m{number}" + "a" * 10_000 for number in range(60)]
    stop, sink = anyio.Event(), Gated()
    pipeline = build(ListSource(batches(messages, size=60)), state, sink, max_in_flight=200_000)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(pipeline.run, stop)
            while pipeline.counts.read < 15:
                await anyio.lowlevel.checkpoint()
            await anyio.wait_all_tasks_blocked()
            assert pipeline.counts.read < 60
            stop.set()
            gate.set()
    assert pipeline.counts.in_flight == 0
    assert state.checkpoints("p") == {}
    again = await run(ListSource(batches(messages, size=60)), state, sink)
    assert sorted(raw(sink)) == sorted(messages)
    assert again.counts.duplicate == pipeline.counts.delivered


async def test_a_pipeline_whose_source_cannot_read_is_stuck_and_says_why(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = ListSource([])
    pipeline = build(source, state, MemorySink())
    assert pipeline.stuck() is None
    monkeypatch.setattr(source, "trouble", lambda: "no call has succeeded for 90 s: no route to host")
    assert pipeline.stuck() == "the source cannot read: no call has succeeded for 90 s: no route to host"


async def test_an_idle_pipeline_is_stuck_only_when_what_it_took_at_last_is_not_settled_for_long(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline = build(ListSource([]), state, MemorySink())
    began = time.monotonic() + 100 * STUCK_AFTER
    now = [began]
    monkeypatch.setattr("vectadb_agent.pipeline.time", SimpleNamespace(monotonic=lambda: now[0], time_ns=time.time_ns))
    first, second = batches(["a", "b"], size=1)
    await pipeline.take(await pipeline.lane("/g"), first)
    assert pipeline.stuck() is None, "nothing was delivered for long, since there was nothing to deliver"
    now[0] = began + STUCK_AFTER - 1
    await pipeline.take(await pipeline.lane("/g"), second)
    assert pipeline.stuck() is None
    now[0] = began + STUCK_AFTER
    assert pipeline.stuck() == "nothing was delivered for 120 s: no sink says why"


class Halving(Parser):
    """A ``|`` ends one block and begins the next, within one line."""

    name = "halving"

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        first, bar, rest = text.partition("|")
        if not bar:
            return [Piece(text, "continue", closes=text.endswith("."))] if state is not None else ()
        return [Piece(first + bar, "whole"), Piece(rest, "start")]

    def parse(self, block: Block) -> list[Event] | None:
        return None


async def test_the_ledger_knows_a_record_only_when_all_its_pieces_have_arrived(state: State) -> None:
    source, sink = ListSource(batches(["a|b", "x"], size=1), stay=True), MemorySink(batch_age="0s")
    source.batches[0].read_through = source.batches[1].read_through = 0
    parser = Halving(ComponentConfig(type="halving"))
    pipeline = build(source, state, sink, parsers=(parser,))
    stop = anyio.Event()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(pipeline.run, stop)
            while True:
                if [event.raw for event in sink.events.values()] == ["a|"]:
                    break
                await anyio.sleep(0.005)
            lane = await pipeline.lane("/g")
            assert not lane.unsaved.delivered
            assert state.delivered("p", "/g", 0, 10_000_000) == {}, "its second piece waits for more lines"
            stop.set()
    assert sorted(event.raw or "" for event in sink.events.values()) == ["a|", "b\nx"]
    assert len(state.delivered("p", "/g", 0, 10_000_000)) == 3


async def test_what_arrives_faster_than_it_is_saved_waits_and_a_full_disk_makes_the_ledger_forget(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectadb_agent.saving.UNSAVED", 1_000)
    most = 0
    pipeline = build(ListSource(batches([f"m{n}" for n in range(6_000)], size=500)), state, MemorySink(batch_age="0s"))
    save = state.save

    def full(*arguments: Any, **options: Any) -> None:
        nonlocal most
        lane = pipeline.lanes["/g", ""]
        most = max(most, len(lane.unsaved.delivered) + lane.saving)
        if pipeline.counts.delivered < 5_000:
            raise OSError("no space left on device")
        save(*arguments, **options)

    monkeypatch.setattr(state, "save", full)
    with anyio.fail_after(30):
        await pipeline.run(anyio.Event(), drain=True)
    assert pipeline.counts.delivered == 6_000
    assert most <= 1_000 + 250 + 4_000_000 // OVERHEAD, "beyond it, what was in flight when it was reached"
    assert state.checkpoints("p")["/g"] == {"position": 11}


async def test_pages_behind_a_block_that_waits_for_lines_do_not_keep_their_records(state: State) -> None:
    source = ListSource(batches(["(open", *(f"m{n}" for n in range(20))], size=3), stay=True)
    pipeline = build(source, state, MemorySink(batch_age="0s"))
    for batch in source.batches:
        batch.read_through = 0
    first = source.batches[0]
    first.records = [msgspec.structs.replace(first.records[0], stream=OTHER), *first.records[1:]]
    stop = anyio.Event()
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(pipeline.run, stop)
            while True:
                if pipeline.counts.delivered == 20:
                    break
                await anyio.sleep(0.005)
            pages = pipeline.lanes["/g", ""].pages
            assert len(pages) == 7, "all wait for the first"
            assert not any(page.batch.records for page in pages)
            stop.set()
