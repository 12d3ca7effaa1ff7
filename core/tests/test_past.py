"""Audit and backfill, against a log that can be read again and a sink that tells what it holds."""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest

from vectadb_agent import Block, ComponentConfig, Event, LogRecord, LogStream, Parser, Piece, Result, reports
from vectadb_agent.audit import audit
from vectadb_agent.backfill import backfill
from vectadb_agent.config import AgentSettings, Configuration
from vectadb_agent.config import Pipeline as Settings
from vectadb_agent.errors import AbsentError, CheckError, PermanentError, UsageError
from vectadb_agent.host import Host
from vectadb_agent.pipeline import Pipeline
from vectadb_agent.records import rfc3339
from vectadb_agent.settling import HOUR
from vectadb_agent.state import State
from vectadb_agent.testing.archive import ArchiveSource
from vectadb_agent.testing.fakes import MemorySink

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from vectadb_agent import Batch

SECOND = 1_000_000


class Typed(Parser):
    """Every line is an event of the type ``kind``; what starts with ``d`` is dropped; ``(`` … ``)`` joins."""

    name = "typed"

    def __init__(self, kind: str = "message", *, joins: bool = True) -> None:
        super().__init__(ComponentConfig(type="typed"))
        self.kind, self.joins = kind, joins

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        if self.joins and text.startswith("("):
            return [Piece(text, "start")]
        return [Piece(text, "continue", closes=text.endswith(")"))] if state is not None else ()

    def parse(self, block: Block) -> list[Event] | None:
        return [] if block.text.startswith("d") else [Event(event_type=self.kind)]


def record(number: int, message: str, at: float) -> LogRecord:
    return LogRecord(LogStream("archive", "1", "eu", "/g", "s"), str(number), int(at * SECOND), message)


def configured(source: ArchiveSource, sink: MemorySink, parser: Parser | None = None) -> Configuration:
    settings = Settings("p", None, source, (parser or Typed(),), ("sink",), 4_000_000)
    return Configuration(AgentSettings(), (settings,), {"sink": sink}, Host())


def run(configuration: Configuration, state: State) -> Pipeline:
    pipeline = Pipeline(configuration.pipelines[0], configuration.sinks, state)
    anyio.run(lambda: pipeline.run(anyio.Event(), drain=True))
    return pipeline


@pytest.fixture
def state(tmp_path: Path) -> Any:
    with State(tmp_path / "state") as opened:
        yield opened


def filled(*texts: str, every: float = 600) -> ArchiveSource:
    source = ArchiveSource(time=3 * HOUR)
    source.put(*(record(number, text, 10 + number * every) for number, text in enumerate(texts)))
    return source


def test_an_audit_of_what_is_all_there_gives_the_certificate(state: State) -> None:
    source, sink = filled("a", "b", "dropped", "c"), MemorySink()
    run(configured(source, sink), state)
    (found,) = audit(configured(source, sink), state, 0, None)
    assert found.is_complete
    assert found.complete_through == found.until == rfc3339(3 * HOUR - 60 * SECOND)
    first = found.hours[0]
    assert (first.source, first.stored, first.filtered, first.missing, first.extra) == (4, 3, 1, 0, 0)
    kept = state.checkpoints("p", "audit")["/g"]
    assert (kept["since"], kept["through"]) == (0, 3 * HOUR - 60 * SECOND)


def test_an_audit_certifies_nothing_that_is_yet_to_come(state: State) -> None:
    source, sink = filled("a"), MemorySink()
    run(configured(source, sink), state)
    (found,) = audit(configured(source, sink), state, 0, 30 * HOUR)
    assert found.complete_through == found.until == rfc3339(3 * HOUR)


def test_an_audit_names_what_is_missing_and_repairs_just_that(state: State) -> None:
    source, sink = filled(*(f"m{n}" for n in range(12))), MemorySink()
    run(configured(source, sink), state)
    lost = [next(key for key, event in sink.events.items() if event.raw == text) for text in ("m3", "m9")]
    for key in lost:
        del sink.events[key], sink.records[key]
    (found,) = audit(configured(source, sink), state, 0, None)
    assert not found.is_complete
    assert found.complete_through is None, "the first hour lacks one"
    assert [[one.log_id for one in hour.named] for hour in found.hours] == [["3"], ["9"], []]
    assert sink.writes[1:] == []
    (found,) = audit(configured(source, sink), state, 0, None, repair=True)
    assert found.is_complete
    assert [hour.repaired for hour in found.hours] == [1, 1, 0]
    assert sink.writes[1:] == [[lost[0]], [lost[1]]]
    assert audit(configured(source, sink), state, 0, None)[0].is_complete


def test_an_audit_says_what_the_sink_holds_and_the_source_has_no_longer(state: State) -> None:
    source, sink = filled("a", "b"), MemorySink()
    run(configured(source, sink), state)
    shrunk = ArchiveSource(time=3 * HOUR)
    shrunk.put(record(0, "a", 10))
    (found,) = audit(configured(shrunk, sink), state, 0, None)
    assert found.is_complete
    assert [hour.extra for hour in found.hours] == [1, 0, 0]
    assert [[one.log_id for one in hour.named_extra] for hour in found.hours] == [["1"], [], []]
    assert "extra: s  1  1970-01-01T00:10:10" in reports.certificates([found])


def test_an_audit_counts_the_quarantined_apart(state: State) -> None:
    def refuse(events: Sequence[Event]) -> Result | None:
        if any(event.raw == "poison" for event in events):
            raise PermanentError("not this one")
        return None

    source, sink = filled("a", "poison", "b"), MemorySink(refuse)
    run(configured(source, sink), state)
    (found,) = audit(configured(source, sink), state, 0, None)
    assert found.is_complete
    assert (found.hours[0].stored, found.hours[0].quarantined) == (2, 1)


def test_an_audit_looks_no_further_back_than_the_first_reading(state: State) -> None:
    source, sink = filled("a", "b"), MemorySink()
    state.save("p", "/g", lane="begin", checkpoint={"since": 300 * SECOND})
    (found,) = audit(configured(source, sink), state, 0, None)
    assert found.since == rfc3339(300 * SECOND)
    assert f"backfill --since {rfc3339(0)}" in reports.certificates([found])
    assert sum(hour.source for hour in found.hours) == 1


def test_an_audit_of_a_partition_that_cannot_be_read_says_why_and_goes_on(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sink = filled("a"), MemorySink()
    source.put(LogRecord(LogStream("archive", "1", "eu", "/other", "s"), "1", 20, "x"))
    run(configured(source, sink), state)
    reread = source.reread

    async def denied(partition: str, since: int, until: int) -> AsyncGenerator[Batch, None]:
        if partition == "/g":
            raise CheckError("allow the IAM action logs:FilterLogEvents", fatal=False)
        async for batch in reread(partition, since, until):
            yield batch

    monkeypatch.setattr(source, "reread", denied)
    first, second = audit(configured(source, sink), state, 0, None)
    assert first.error == "allow the IAM action logs:FilterLogEvents"
    assert not first.is_complete
    assert second.is_complete


def test_a_backfill_ships_what_the_sinks_lack_and_nothing_else(state: State) -> None:
    source, sink = filled(*(f"m{n}" for n in range(12))), MemorySink()
    source.put(record(100, "(x", 3_590), record(101, "y)", 3_605))
    state.save("p", "/g", checkpoint={"time": 5_000 * SECOND})
    run(configured(source, sink), state)
    assert sorted(event.raw or "" for event in sink.events.values()) == ["m10", "m11", "m9"]
    (found,) = backfill(configured(source, sink), state, 0, 3 * HOUR, asked="x")
    assert found.finished
    texts = sorted(event.raw or "" for event in sink.events.values())
    assert texts == sorted(["(x\ny)", *(f"m{n}" for n in range(12))]), "also the block over the end of an hour"
    assert found.counts.in_flight == 0
    assert state.job("p", "backfill") is None
    assert not state.lanes("p", "backfill ")
    assert state.checkpoints("p", "begin")["/g"] == {"since": 0}


def test_a_backfill_that_was_cut_off_goes_on_where_each_slice_was(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, sink = filled(*(f"m{n}" for n in range(18)), every=590), MemorySink()
    source.page = 2
    reread = source.reread

    async def cut(partition: str, since: int, until: int) -> AsyncGenerator[Batch, None]:
        async for batch in reread(partition, since, until):
            if since > HOUR and batch.records[0].timestamp > 2 * HOUR:
                os.kill(os.getpid(), signal.SIGINT)
                await anyio.sleep_forever()
            yield batch

    with monkeypatch.context() as patch:
        patch.setattr(source, "reread", cut)
        (found,) = backfill(configured(source, sink), state, 0, 3 * HOUR, asked="x", parallel=1)
        assert not found.finished
    done = dict(state.lanes("p", "backfill "))
    assert done["/g", "backfill 0"] == {"at": HOUR}
    assert done["/g", f"backfill {HOUR}"] == {"at": 2 * HOUR}
    with pytest.raises(UsageError, match="unfinished: `x`"):
        backfill(configured(source, sink), state, 0, 3 * HOUR, asked="y")
    source.read_again.clear()
    (found,) = backfill(configured(source, sink), state, 5, 5, asked="x")
    assert found.finished
    assert min(since for since, _ in source.read_again) >= 2 * HOUR - 60 * SECOND, "slices that were done are not read"
    assert sorted(event.raw or "" for event in sink.events.values()) == sorted(f"m{n}" for n in range(18))


def test_a_reparse_ships_everything_as_the_parsers_are_now(state: State) -> None:
    source, sink = filled("(a", "b)", "c", every=1), MemorySink()
    run(configured(source, sink, Typed("wrong", joins=False)), state)
    assert [event.event_type for event in sink.events.values()] == ["wrong"] * 3
    backfill(configured(source, sink, Typed("right")), state, 0, HOUR, asked="x")
    assert [event.event_type for event in sink.events.values()] == ["wrong"] * 3, "all is there: nothing is shipped"
    backfill(configured(source, sink, Typed("right")), state, 0, HOUR, asked="x", reparse=True)
    assert sorted((event.raw, event.event_type) for event in sink.events.values()) == [
        ("(a\nb)", "right"),
        ("c", "right"),
    ]
    assert all(event.read_at for event in sink.events.values())


def test_an_audit_says_at_once_that_nobody_answers(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    source, sink = filled("a"), MemorySink()

    async def away() -> list[str]:
        raise CheckError("cannot connect. Is VectaDB running there?", fatal=False)

    monkeypatch.setattr(sink, "check", away)
    with pytest.raises(CheckError, match="Is VectaDB running there"):
        audit(configured(source, sink), state, 0, None)


def test_a_signal_ends_an_audit_that_waits(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    source, sink = filled("a"), MemorySink()

    async def hangs(*_: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        await anyio.sleep_forever()

    monkeypatch.setattr(sink, "holdings", hangs)
    assert audit(configured(source, sink), state, 0, None) == []


def test_a_backfill_of_a_partition_that_is_not_read_is_refused(state: State) -> None:
    source, sink = filled("a"), MemorySink()
    with pytest.raises(UsageError, match="/typo is not read by pipeline p"):
        backfill(configured(source, sink), state, 0, HOUR, asked="x", only=["/typo"])
    assert state.job("p", "backfill") is None


def test_a_group_that_is_asked_for_is_looked_for_in_every_pipeline(state: State) -> None:
    source, other, sink = filled("a"), ArchiveSource(time=3 * HOUR), MemorySink()
    other.put(msgspec.structs.replace(record(7, "b", 10), stream=LogStream("archive", "1", "eu", "/other", "s")))
    pipelines = tuple(
        Settings(name, None, each, (), ("sink",), 4_000_000) for name, each in (("p", source), ("q", other))
    )
    both = Configuration(AgentSettings(), pipelines, {"sink": sink}, Host())
    with pytest.raises(UsageError, match="/typo is not read by pipeline p, q; right would be one that is: /g, /other"):
        audit(both, state, 0, None, only=["/other", "/typo"])
    assert source.read_again == other.read_again == [], "nothing was started"
    (found,) = audit(both, state, 0, None, only=["/other"])
    assert (found.pipeline, found.partition) == ("q", "/other")
    (done,) = backfill(both, state, 0, HOUR, asked="x", only=["/other"])
    assert (done.pipeline, done.finished, done.counts.delivered) == ("q", True, 1)
    assert source.read_again == []


def test_a_partition_that_does_not_exist_is_told_at_once_and_settled(
    state: State, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vectadb_agent.backfill.ASK_AGAIN", 1e9)
    source, sink = filled("a", "b"), MemorySink()
    source.put(msgspec.structs.replace(record(7, "c", 10), stream=LogStream("archive", "1", "eu", "/typo", "s")))
    reread, asked = source.reread, []

    async def absent(partition: str, since: int, until: int) -> AsyncGenerator[Batch, None]:
        if partition == "/typo":
            asked.append(since)
            raise AbsentError("/typo: no log group /typo", fatal=False)
        async for batch in reread(partition, since, until):
            yield batch

    monkeypatch.setattr(source, "reread", absent)
    (found,) = backfill(configured(source, sink), state, 0, 3 * HOUR, asked="x", parallel=1)
    assert (found.finished, found.unread, found.counts.delivered) == (True, ["/typo: no log group /typo"], 2)
    assert len(asked) == 1, "not slice by slice"
    assert [r.getMessage() for r in caplog.records] == ["partition cannot be read; there is nothing of it to read"]
    assert state.job("p", "backfill") is None
    assert set(state.checkpoints("p", "begin")) == {"/g"}
    assert reports.summary(found).endswith("not read: /typo: no log group /typo")


def test_a_partition_that_may_not_be_read_is_told_at_once_and_tried_again(
    state: State, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vectadb_agent.backfill.ASK_AGAIN", 0)
    source, sink = filled("a"), MemorySink()

    async def denied(partition: str, since: int, until: int) -> AsyncGenerator[Batch, None]:
        raise CheckError("/g: allow the IAM action", fatal=False)
        yield

    monkeypatch.setattr(source, "reread", denied)
    (found,) = backfill(configured(source, sink), state, 0, 3 * HOUR, asked="x")
    assert (found.finished, found.unread) == (False, ["/g: allow the IAM action"])
    assert [r.getMessage() for r in caplog.records] == ["partition cannot be read; it is tried again"]


def test_a_slice_that_fails_is_read_again_and_one_that_always_does_is_named(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectadb_agent.backfill.ASK_AGAIN", 0)

    class Breaks(ArchiveSource):
        """The first hour fails once, the second always."""

        failed = 0

        async def reread(self, partition: str, since: int, until: int) -> AsyncGenerator[Batch, None]:
            first = since < HOUR // 2
            async for batch in super().reread(partition, since, until):
                yield batch
            self.failed += first
            if not first or self.failed == 1:
                raise OSError("cut off")

    source, sink = Breaks(time=2 * HOUR), MemorySink()
    source.put(*(record(number, f"m{number}", 10 + number * 600) for number in range(12)))
    (found,) = backfill(configured(source, sink), state, 0, 2 * HOUR, asked="b")
    assert (found.finished, found.unread) == (False, ["/g: cut off"])
    assert {event.raw for event in sink.events.values()} == {f"m{number}" for number in range(12)}
    assert "not finished: give it the same words" in reports.summary(found)
