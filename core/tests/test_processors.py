"""Processors between parsers and sinks: what they leave out, change, and do not let through when they fail."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_agent import Block, ComponentConfig, Event, LogRecord, LogStream, Parser, Processor
from vectadb_agent.errors import ParseError, PermanentError
from vectadb_agent.join import Joined
from vectadb_agent.parsing import MOST_AHEAD, Parsing
from vectadb_agent.state import State
from vectadb_agent.testing.fakes import ListSource, MemorySink

from .test_pipeline import batches, run

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

pytestmark = pytest.mark.anyio
STREAM = LogStream("test", "1", "eu", "/g", "s")


class Doing(Processor):
    """Does with each event what it is told."""

    name = "doing"

    def __init__(self, do: Callable[[Event], Event | None]) -> None:
        super().__init__(ComponentConfig(type="doing"))
        self._do = do

    def process(self, event: Event) -> Event | None:
        return self._do(event)


class Three(Parser):
    name = "three"

    def parse(self, block: Block) -> list[Event] | None:
        return [Event(event_type=kind) for kind in ("llm_end", "tool_call", "message")]


def without(*types: str) -> Doing:
    return Doing(lambda event: None if event.event_type in types else event)


def shouting(event: Event) -> Event:
    event.raw = event.raw and event.raw.upper()
    return event


def fail(event: Event) -> Event:
    raise RuntimeError(f"cannot cope with {event.raw}")


def events(*processors: Processor, parsers: Sequence[Parser] = (Three(ComponentConfig(type="three")),)) -> list[Event]:
    record = LogRecord(STREAM, "1", 5, "secret words")
    parsing = Parsing(parsers, "agent-1", processors=processors)
    return parsing.events(Joined(Block((record,), ("secret words",), ("0",)), None, (None,)))


def told(found: Sequence[Event]) -> list[tuple[str, str, str | None]]:
    return [(event.event_type, event.part, event.raw) for event in found]


def test_the_text_and_the_records_id_go_on_with_the_first_event_that_is_left() -> None:
    whole = events()
    assert told(whole) == [("llm_end", "0", "secret words"), ("tool_call", "0.1", None), ("message", "0.2", None)]
    left = events(without("llm_end", "message"))
    assert told(left) == [("tool_call", "0", "secret words")]
    assert left[0].event_id == whole[0].event_id
    assert events(without("llm_end", "tool_call", "message")) == []


def test_processors_work_in_their_order() -> None:
    expected = [("tool_call", "0", "SECRET WORDS"), ("message", "0.1", None)]
    assert told(events(Doing(shouting), without("llm_end"))) == expected
    assert told(events(without("llm_end"), Doing(shouting))) == expected


def test_what_a_failing_processor_was_there_to_hide_is_told_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        found = events(Doing(fail))
    assert told(found) == [("log", "0", None), ("log", "0.1", None), ("log", "0.2", None)]
    assert found[0].properties == {"vectadb.processor": "doing", "vectadb.processor_error": "RuntimeError"}
    assert (found[0].timestamp, found[0].agent_id) == (5, "agent-1")
    assert "secret" not in str([event.wire() for event in found])
    assert len(caplog.records) == 3
    assert not any("secret" in str(vars(record)) for record in caplog.records)
    assert all(vars(record)["at"].startswith(__file__) for record in caplog.records)


@pytest.mark.parametrize(
    ("ahead", "taken"), [(-(10**15), True), (0, True), (MOST_AHEAD, True), (MOST_AHEAD + 1, False)]
)
def test_a_time_more_than_a_day_ahead_of_the_record_is_not_the_events(ahead: int, taken: bool) -> None:
    record = LogRecord(STREAM, "1", 2 * 10**15, "valid until 2199")
    block = Block((record,), (record.message,), ("0",))
    [event] = Parsing([]).finished([Event(timestamp=record.timestamp + ahead)], block)
    assert event.timestamp == record.timestamp + (ahead if taken else 0)


class Quoting(Parser):
    """Quotes the text in its errors, as some do."""

    name = "quoting"

    def __init__(self, error: type[Exception]) -> None:
        super().__init__(ComponentConfig(type="quoting"))
        self._error = error

    def parse(self, block: Block) -> list[Event] | None:
        raise self._error(f"cannot parse {block.text}")


@pytest.mark.parametrize("error", [ParseError, RuntimeError])
def test_what_a_parser_says_of_a_text_goes_through_the_processors_not_into_the_log(
    error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    def hide(event: Event) -> Event:
        event.raw, event.properties = None, dict.fromkeys(event.properties, "hidden")
        return event

    with caplog.at_level(logging.DEBUG):
        (event,) = events(Doing(hide), parsers=(Quoting(error),))
    assert event.properties == {"vectadb.parser": "hidden", "vectadb.parse_error": "hidden"}
    (line,) = caplog.records
    assert "secret" not in str(vars(line))
    assert line.exc_info is None or line.exc_info is False
    assert vars(line)["error"] == error.__name__
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        events(parsers=(Quoting(error),))
    assert "cannot parse secret words" in vars(caplog.records[0])["error"]


async def test_records_of_which_nothing_is_left_count_as_filtered(tmp_path: Path) -> None:
    sink = MemorySink()
    with State(tmp_path / "state") as state:
        drop = Doing(lambda event: None if event.raw in ("b", "c") else event)
        pipeline = await run(ListSource(batches(["a", "b", "c"])), state, sink, processors=(drop,))
    counts = pipeline.counts
    assert (counts.read, counts.delivered, counts.filtered, counts.in_flight) == (3, 1, 2, 0)
    told = {figure.name: (figure.value, dict(figure.labels)) for figure in pipeline.figures()}
    assert told["dropped_events_total"] == (2, {"processor": "doing"})
    assert told["withheld_events_total"] == (0, {"processor": "doing"})


async def test_the_quarantine_keeps_what_the_processors_made(tmp_path: Path) -> None:
    def refuse(_events: Any) -> None:
        raise PermanentError("not this one")

    def hide(event: Event) -> Event:
        event.raw = "[hidden]"
        return event

    with State(tmp_path / "state") as state:
        await run(ListSource(batches(["secret words"])), state, MemorySink(refuse), processors=(Doing(hide),))
        [entry] = state.kept.entries()
        kept = state.kept.read(entry.id)
        assert kept is not None
        assert kept.wire is not None
        assert kept.wire["raw"] == "[hidden]"
    assert not [path for path in (tmp_path / "state").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]
