"""The quarantine: bounded, never silent about what it gives up, and its events can be replayed as they were."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent import quarantine as kept
from vectadb_agent.components import Result
from vectadb_agent.errors import CheckError, PermanentError, RetryableError
from vectadb_agent.parsing import Parsing
from vectadb_agent.quarantine import records_of
from vectadb_agent.records import Block, Event, LogRecord, LogStream, id_maker, record_hash
from vectadb_agent.replay import Replayed, event_of, replay
from vectadb_agent.state import State
from vectadb_agent.testing.fakes import MemorySink

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

HOUR = 3_600_000_000
STREAM = LogStream("cloudwatch", "1", "eu", "/g", "s")
ID = id_maker(STREAM)


def event(number: int, records: int = 1, text: str = "line") -> Event:
    made = [LogRecord(STREAM, f"{number}-{i}", number * HOUR + i, f"{text} {i}") for i in range(records)]
    block = Block(tuple(made), tuple(record.message for record in made), ("0",) * records)
    return Event(event_id=ID(f"{number}-0", "0"), raw=block.text, block=block)


def refuse(state: State, *events: Event, reason: str = "no", partition: str | None = None) -> None:
    state.quarantine("p", "s", [(e.event_id, reason, e.wire()) for e in events], partition=partition)


def ids(state: State) -> list[str]:
    return [entry.event_id for entry in state.kept.entries()]


# Keeping


def test_an_entry_tells_why_and_which_records_it_holds(tmp_path: Path) -> None:
    block, single = event(1, records=3), event(2)
    with State(tmp_path) as state:
        refuse(state, block, single, reason="too deep")
    with State(tmp_path, exclusive=False) as state:
        first, second = state.kept.entries()
        assert (first.id, first.reason, first.tries, first.records, second.records) == (1, "too deep", 1, 3, 1)
        assert state.kept.entries(pipeline="q") == state.kept.entries(sink="t") == []
        one = state.kept.read(1)
        assert one is not None
        assert one.wire == block.wire()
        known = {ID(f"1-{i}", "0") for i in range(3)} | {single.event_id}
        assert state.quarantined("p", [*known, ID("9-0", "0")]) == known
        assert state.quarantined("q", known) == set()


def test_refused_again_it_keeps_its_number_and_age(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        refuse(state, event(1), event(2))
        (before, _) = state.kept.entries()
        refuse(state, event(1, records=2), reason="still not")
        (after, _) = state.kept.entries()
        assert (after.id, after.at, after.reason, after.tries, after.records) == (1, before.at, "still not", 2, 2)
        state.kept.drop(2)
        refuse(state, event(3))
        assert state.kept.read(2) is None  # a number never means another event
        assert ids(state) == [ID("1-0", "0"), ID("3-0", "0")]


def test_further_events_and_pieces_do_not_count_a_record_twice() -> None:
    block = Block(event(1, 2).block.records, ("a", "b"), ("1", "0"))  # type: ignore[union-attr]
    first, second = Parsing([], None, pipeline="p").finished([Event(), Event()], block)
    assert [(id_, counts) for id_, _, counts in records_of(first.wire())] == [
        (ID("1-0", "1"), False),
        (ID("1-1", "0"), True),
    ]
    assert records_of(second.wire()) == []


@pytest.mark.parametrize("value", [2**70, "\ud800", object(), {("a", 1): 2}, float("nan")])
def test_an_event_that_json_cannot_hold_is_kept_all_the_same(tmp_path: Path, value: object) -> None:
    with State(tmp_path) as state:
        odd = event(1)
        odd.properties = {"odd": value}
        refuse(state, odd, reason="cannot be written as JSON")
        one = state.kept.read(1)
        assert one is not None
        assert one.wire is not None
        assert one.wire["raw"] == odd.raw
        deep: dict[str, Any] = {}
        for _ in range(10_000):
            deep = {"a": deep}
        odd.properties, odd.raw = deep, "lone \udfff"
        refuse(state, odd)
        one = state.kept.read(1)
        assert one is not None
        assert one.wire is not None
        assert one.wire["raw"] == odd.raw
        assert "cannot be kept" in one.wire["properties"]["vectadb.quarantine"]


# Bounds


def test_quarantine_full_gives_up_the_oldest_by_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with State(tmp_path, quarantine_max=20_000) as state:
        for number in range(10):
            refuse(state, event(number, text="x" * 4000), reason=f"reason {number}")
        left = ids(state)
        assert left == [ID(f"{number}-0", "0") for number in range(10 - len(left), 10)]
        assert 2 <= len(left) < 5
        count, size = state.kept.totals()
        assert count == len(left)
        assert size <= 20_000
        given_up = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert [vars(record)["event_id"] for record in given_up] == [
            ID(f"{number}-0", "0") for number in range(10 - len(left))
        ]
        assert vars(given_up[0])["refused_because"] == "reason 0"
        assert "full" in given_up[0].getMessage()
        assert [msgspec.to_builtins(fallen) for fallen in state.kept.fallen()] == [
            {"pipeline": "p", "sink": "s", "why": "size", "count": 10 - len(left)}
        ]
        assert state.quarantined("p", [ID("0-0", "0"), left[0]]) == {left[0]}
        # The newest stays, however large it is.
        refuse(state, event(11, text="x" * 50_000))
        assert ids(state) == [ID("11-0", "0")]


def test_quarantine_full_by_number_of_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "KEEP_ROWS", 3)
    with State(tmp_path) as state:
        refuse(state, *(event(number) for number in range(5)))
        assert ids(state) == [ID(f"{number}-0", "0") for number in (2, 3, 4)]


def test_quarantine_expired_is_given_up_by_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with State(tmp_path, quarantine_keep=1000) as state:
        refuse(state, event(1))
        later = time.time_ns() + 600 * 10**9
        monkeypatch.setattr(time, "time_ns", lambda: later)
        refuse(state, event(2))
        assert ids(state) == [ID("1-0", "0"), ID("2-0", "0")]
    monkeypatch.setattr(time, "time_ns", lambda: later + 600 * 10**9)
    with State(tmp_path, exclusive=False) as state:
        state.save("p", "/g", checkpoint={})
        assert len(ids(state)) == 2  # whoever works beside the agent does not know its bounds
    assert not caplog.records
    with State(tmp_path, quarantine_keep=1000) as state:
        assert ids(state) == [ID("2-0", "0")]
        (said,) = caplog.records
        assert (said.levelno, vars(said)["event_id"]) == (logging.ERROR, ID("1-0", "0"))
        assert "too old" in said.getMessage()
        assert [(fallen.why, fallen.count) for fallen in state.kept.fallen()] == [("age", 1)]
        # While it runs it looks again now and then.
        monkeypatch.setattr(time, "time_ns", lambda: later + 2000 * 10**9)
        state.save("p", "/g", checkpoint={})
        assert len(ids(state)) == 1
        an_hour_on = time.monotonic() + kept.TIDY_EVERY
        monkeypatch.setattr(time, "monotonic", lambda: an_hour_on)
        state.save("p", "/g", checkpoint={})
        assert ids(state) == []


# The wire form, and back


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
LINES = st.lists(st.text("ab\n", max_size=4), min_size=1, max_size=4)
TIMES = st.integers(-(10**15), 4 * 10**15)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
OPTIONAL = st.none() | TEXT


@st.composite
def events(draw: st.DrawFn) -> Event:
    """One of the events that a pipeline makes of a block."""
    stream = LogStream(*(draw(TEXT) for _ in range(5)))
    lines = draw(LINES)
    records = tuple(LogRecord(stream, draw(TEXT), draw(TIMES), line, draw(st.none() | TIMES)) for line in lines)
    block = Block(records, tuple(lines), tuple(draw(st.sampled_from(["0", "0", "1", "12"])) for _ in lines))
    made = [
        Event(
            event_type=draw(TEXT),
            timestamp=draw(st.none() | TIMES),
            properties=draw(st.dictionaries(TEXT, JSON, max_size=3)),
            trace_id=draw(OPTIONAL),
            request_id=draw(OPTIONAL),
            session_id=draw(OPTIONAL),
            agent_id=draw(OPTIONAL),
            parent_event_id=draw(OPTIONAL),
            read_at=draw(st.none() | TIMES),
        )
        for _ in range(draw(st.integers(1, 2)))
    ]
    return Parsing([], draw(OPTIONAL), pipeline="p").finished(made, block)[-1]


@given(events())
def test_an_event_made_of_its_wire_form_is_written_the_same(first: Event) -> None:
    stored = kept.encoded(first.wire())
    again = event_of(kept.decoded(stored))
    assert msgspec.json.encode(again.wire()) == stored
    assert first.block is not None
    assert again.block is not None
    assert (again.part, again.event_id, again.raw) == (first.part, first.event_id, first.raw)
    assert again.block.parts == first.block.parts
    assert [record.log_id for record in again.block.records] == [record.log_id for record in first.block.records]
    assert len(again.block.lines) == len(first.block.lines)
    if first.raw is not None:
        assert again.block.text == first.block.text


@given(events())
def test_an_event_s_records_are_found_by_their_ids(first: Event) -> None:
    found = records_of(first.wire())
    assert first.block is not None
    if "." in first.part:
        assert found == []
    else:
        pairs = zip(first.block.records, first.block.parts, strict=True)
        make = id_maker(first.block.stream)
        assert found == [(make(record.log_id, part), record.timestamp, part == "0") for record, part in pairs]


# Replay


class Plan:
    """Does to a write what the test wants, and remembers it."""

    def __init__(self, answer: Callable[[Sequence[Event]], Result | None]) -> None:
        self.sink = MemorySink(answer)

    async def on(self, state: State, *, sinks: dict[str, Any] | None = None) -> dict[str, Replayed]:
        told: list[Replayed] = []
        entries = state.kept.entries()
        await replay(state.kept, {"s": self.sink} if sinks is None else sinks, entries, told.append)
        assert [one.id for one in told] != [] or not entries
        assert len({one.id for one in told}) == len(entries)
        return {one.event_id: one for one in told}


@pytest.mark.anyio
async def test_replay_takes_out_what_arrived_and_keeps_what_was_refused_again(tmp_path: Path) -> None:
    one, two, three, four, five, six = (event(number, records=2) for number in range(6))

    def answer(_: Sequence[Event]) -> Result:
        return Result(
            duplicate=[two.event_id],
            expired=[three.event_id],
            refused=[(four.event_id, "still too deep", False), (five.event_id, "later", True)],
            overlapping=[(six.event_id, [1])],
        )

    with State(tmp_path) as state:
        refuse(state, one, two, three, four, five, six)
        plan = Plan(answer)
        told = await plan.on(state)
        assert [told[e.event_id].fate for e in (one, two, three, four, five, six)] == [
            "delivered",
            "duplicate",
            "expired",
            "refused again",
            "cannot now",
            "refused again",
        ]
        assert plan.sink.events[one.event_id].wire() == one.wire()
        assert [(entry.event_id, entry.reason, entry.tries) for entry in state.kept.entries()] == [
            (four.event_id, "still too deep", 2),
            (five.event_id, "no", 1),
            (six.event_id, told[six.event_id].reason, 2),
        ]
        assert "audit --repair" in (told[six.event_id].reason or "")
        assert state.quarantined("p", [one.event_id, ID("0-1", "0"), four.event_id]) == {four.event_id}
        assert state.kept.fallen() == []


@pytest.mark.anyio
async def test_replay_finds_the_one_event_of_a_batch_that_cannot_be_taken(tmp_path: Path) -> None:
    bad = event(3)

    def answer(batch: Sequence[Event]) -> None:
        if bad.event_id in [e.event_id for e in batch]:
            raise PermanentError("422: not this one")

    with State(tmp_path) as state:
        refuse(state, *(event(number) for number in range(8)))
        told = await Plan(answer).on(state)
        assert [one.event_id for one in told.values() if one.fate != "delivered"] == [bad.event_id]
        assert [(entry.event_id, entry.reason) for entry in state.kept.entries()] == [
            (bad.event_id, "422: not this one")
        ]


@pytest.mark.anyio
@pytest.mark.parametrize("error", [RetryableError("down"), CheckError("no key"), RuntimeError("bug")])
async def test_replay_to_a_sink_that_takes_nothing_now_leaves_all_as_it_is(tmp_path: Path, error: Exception) -> None:
    def answer(_: Sequence[Event]) -> None:
        raise error

    with State(tmp_path) as state:
        refuse(state, *(event(number) for number in range(250)))
        before = state.kept.entries()
        plan = Plan(answer)
        told = await plan.on(state)
        assert {one.fate for one in told.values()} == {"cannot now"}
        assert all(str(error) in (one.reason or "") for one in told.values())
        assert len(plan.sink.writes) == 1  # it is not asked again and again
        assert state.kept.entries() == before
        told = await plan.on(state, sinks={"other": plan.sink})
        assert {one.reason for one in told.values()} == {"no sink 's' is configured (configured: other)"}


@pytest.mark.anyio
async def test_what_was_replayed_is_no_longer_counted_as_unsent(tmp_path: Path) -> None:
    one, two = event(1, records=2), event(2)
    every = [ID("1-0", "0"), ID("1-1", "0"), ID("2-0", "0")]
    with State(tmp_path) as state:
        refuse(state, one, two, partition="/g")
        tally = {HOUR: (5, sum(map(record_hash, every[:2])) + 7), 2 * HOUR: (1, record_hash(every[2]))}
        state.note_unsent("p", "/g", tally)
        await Plan(lambda _: Result(expired=[two.event_id])).on(state)
        # What expired was not stored: it stays unsent.
        assert state.unsent("p", "/g", 0, 9 * HOUR) == {HOUR: (3, 7), 2 * HOUR: (1, record_hash(every[2]))}


@pytest.mark.anyio
async def test_an_entry_that_was_replaced_while_it_was_replayed_stays(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        refuse(state, event(1))

        def answer(_: Sequence[Event]) -> None:
            refuse(state, event(1, records=3), reason="the larger block too")

        told = await Plan(answer).on(state)
        assert [one.fate for one in told.values()] == ["delivered"]
        (entry,) = state.kept.entries()
        assert (entry.records, entry.reason) == (3, "the larger block too")


@pytest.mark.anyio
async def test_an_entry_that_was_damaged_is_not_sent(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        refuse(state, event(1))
        assert state._db is not None
        state._db.execute("UPDATE quarantine SET event = CAST(replace(event, 'line', 'lime') AS BLOB)")
        plan = Plan(lambda _: None)
        told = await plan.on(state)
        assert "damaged" in (told[ID("1-0", "0")].reason or "")
        assert plan.sink.writes == []
