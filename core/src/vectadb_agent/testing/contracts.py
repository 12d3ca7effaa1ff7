"""What every component promises, as test suites that a plugin's author inherits. They need pytest.

Name the class and a few samples; ``pytest`` does the rest::

    class TestLogfmt(ParserContract):
        parser = Logfmt
        good = [("level=info msg=hi", [{"event_type": "log", "msg": "hi"}])]
        foreign = ["plain words"]
        malformed = ['level=info msg="open']

The suites run on asyncio, and are not asynchronous themselves: no plugin of pytest is needed.
"""

from __future__ import annotations

import contextlib
import copy
import random
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import msgspec
import pytest
from pydantic import ValidationError

from vectadb_agent.cases import Case, run
from vectadb_agent.components import (
    Batch,
    Component,
    ComponentConfig,
    Outcome,
    Parser,
    Processor,
    Sink,
    SinkConfig,
    Source,
)
from vectadb_agent.config import Pipeline as Settings
from vectadb_agent.errors import CheckError, ParseError
from vectadb_agent.join import Joined
from vectadb_agent.parsing import Parsing
from vectadb_agent.pipeline import Pipeline
from vectadb_agent.records import Block, Event, LogRecord, LogStream, id_maker
from vectadb_agent.sample import Chain, parse
from vectadb_agent.state import State
from vectadb_agent.testing.fakes import ListSource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from vectadb_agent.components import Checkpoint
    from vectadb_agent.records import Piece

PATIENCE = 30.0
"""Seconds after which something counts as hanging."""
_STREAM = LogStream("contract", "1", "test-1", "/contract", "one")
_ROUNDS = 300
_NOISE = (*"{}[]()\"'`:=,\\/ \n\r\t\0é✓", "\x1b[0m", "\x1b[32;1m\x1b[1;3m", "9" * 30, "null", "-1e999", "\u202e")


class ComponentContract:
    """What sources, parsers, processors and sinks have in common."""

    options: ClassVar[Mapping[str, Any]] = {}
    """Options that the component is made with, as in YAML."""

    def kind(self) -> type[Component]:
        """Return the class under test."""
        raise NotImplementedError

    def made(self) -> Any:
        """Return a new component with the options."""
        kind = self.kind()
        return kind(kind.Config.model_validate({"type": kind.name, **self.options}))

    def test_it_has_a_name_and_a_description(self) -> None:
        """``name`` is what YAML calls it; the docstring is its reference text."""
        kind = self.kind()
        assert isinstance(kind.name, str)
        assert kind.name, 'set name = "…", the type used in YAML'
        assert (kind.__doc__ or "").strip(), (
            f"{kind.__name__} wants a docstring: `vectadb-agent plugins show` prints it"
        )

    def test_its_options_are_strict_and_described(self) -> None:
        """Unknown options are refused; each known one has a docstring."""
        config = self.kind().Config
        assert issubclass(config, ComponentConfig)
        for name, field in config.model_fields.items():
            assert field.description, f"option {name!r} wants a docstring below it"
        with pytest.raises(ValidationError):
            config.model_validate({"type": self.kind().name, **self.options, "no_such_option": 1})

    def test_it_tells_figures_quickly(self) -> None:
        """They have Prometheus' names, and counters end in ``_total``."""
        for figure in self.made().figures():
            assert figure.name.replace("_", "").isalnum(), figure.name
            assert figure.name.endswith("_total") == (figure.kind == "counter"), figure.name


class ParserContract(ComponentContract):
    """What a parser promises: its own becomes events, the rest is left to others, and no text ever breaks it."""

    parser: ClassVar[type[Parser]]
    good: ClassVar[Sequence[tuple[str, Sequence[Mapping[str, Any]]]]] = ()
    """Texts, whose lines are records, and the events expected of them; only what is named is compared."""
    foreign: ClassVar[Sequence[str]] = ()
    """Texts that are not this parser's."""
    malformed: ClassVar[Sequence[str]] = ()
    """Texts that are, and of which nothing can be made: the parser raises ``ParseError``."""

    def kind(self) -> type[Parser]:
        """See :class:`ComponentContract`."""
        return self.parser

    def test_good_samples_become_the_events_expected(self) -> None:
        """As ``vectadb-agent test`` compares them."""
        assert self.good, "good: at least one sample is wanted"
        chain = Chain(self.made().members())
        for number, (text, expected) in enumerate(self.good):
            lines = text.split("\n")
            assert any(taken.parser for taken in parse(lines, chain)), f"good[{number}]: nobody took any of it"
            for outcome in run([Case(f"good[{number}]", 0, lines, [dict(each) for each in expected], chain)]):
                assert not outcome.problems, "\n".join([f"good[{number}]:", *outcome.problems])

    def test_foreign_samples_are_left_to_others(self) -> None:
        """``parse`` returns ``None``."""
        for number, text in enumerate(self.foreign):
            for member in self.made().members():
                assert member.parse(_block(text)) is None, f"foreign[{number}]: {member.name} took it"

    def test_malformed_samples_are_told_by_parse_error(self) -> None:
        """With words that say what is wrong."""
        for number, text in enumerate(self.malformed):
            with pytest.raises(ParseError) as caught:
                pytest.fail(f"malformed[{number}] became {[member.parse(_block(text)) for member in self._members()]}")
            assert str(caught.value), f"malformed[{number}]: the error says nothing"

    def test_the_same_text_gives_the_same_events_and_ids(self) -> None:
        """What was cut off in the middle is read and parsed again: it must be recognised."""
        for text, _ in self.good:
            block, again = _block(text), _block(text)
            one, other = (Parsing(self.made().members()).parse(_joined(each))[1] for each in (block, again))
            assert msgspec.json.encode([event.wire() for event in one]) == msgspec.json.encode(
                [event.wire() for event in other]
            )
            assert block == _block(text), "the block was changed"

    def test_any_text_is_parsed_or_refused(self) -> None:
        """Nothing but ``ParseError`` is raised, and what is made can be sent."""
        parsers = self._members()
        for text in _mutations([text for text, _ in self.good] + [*self.foreign, *self.malformed]):
            for parser in parsers:
                with contextlib.suppress(ParseError):
                    for event in parser.parse(_block(text)) or []:
                        msgspec.json.encode(event.properties)
                        assert event.event_type
                        assert event.timestamp is None or type(event.timestamp) is int

    def test_pieces_put_together_are_the_text_and_states_do_not_change(self) -> None:
        """A state is handed in again when a page is read again."""
        for parser in self._members():
            if type(parser).pieces is Parser.pieces:
                continue
            state: Any = None
            for text in _mutations([text for text, _ in self.good]):
                before = copy.deepcopy(state)
                pieces = parser.pieces(text, state)
                assert state == before, "the state was changed"
                assert not pieces or "".join(piece.text for piece in pieces) == text
                state = _after(pieces, state)

    def _members(self) -> list[Parser]:
        return [*self.made().members()]


class ProcessorContract(ComponentContract):
    """What a processor promises: the same event gives the same, and none breaks it."""

    processor: ClassVar[type[Processor]]
    good: ClassVar[Sequence[tuple[Mapping[str, Any], Mapping[str, Any] | None]]] = ()
    """Fields of an event, and those of what comes of it, as far as they are named; ``None``: it is left out."""

    def kind(self) -> type[Processor]:
        """See :class:`ComponentContract`."""
        return self.processor

    def test_good_samples_become_what_is_expected(self) -> None:
        """Field by field."""
        assert self.good, "good: at least one sample is wanted"
        for number, (given, expected) in enumerate(self.good):
            found = self.made().process(_event(given))
            if expected is None or found is None:
                assert found is expected, f"good[{number}] became {found}"
                continue
            for name, value in expected.items():
                assert getattr(found, name) == value, f"good[{number}].{name}"

    def test_the_same_event_gives_the_same(self) -> None:
        """Whatever went through before, also in another process."""
        one, other = self.made(), self.made()
        for given, _ in [*self.good, *reversed(self.good), *self.good]:
            assert one.process(_event(given)) == other.process(_event(given)) == one.process(_event(given))

    def test_any_event_passes_or_is_left_out(self) -> None:
        """Nothing is raised, and what is made can be sent."""
        processor = self.made()
        texts = [str(given.get("raw", "")) for given, _ in self.good]
        for text in _mutations(texts):
            properties = {"message": text, text[:20]: [text, {"deep": [None, True, 2**60, 1.5, text]}]}
            found = processor.process(_event({"raw": text, "properties": properties, "session_id": text[:40]}))
            if found is not None:
                msgspec.json.encode(found.properties)


class SourceContract(ComponentContract):
    """What a source promises: each record, at least once, from wherever it is resumed.

    :meth:`source` gives a new source over the same records, at least three. One that is pushed to overrides
    :meth:`push`, which is called while it is read.
    """

    def source(self) -> Source:
        """Return a new source over the same records."""
        raise NotImplementedError

    def broken(self) -> Source | None:
        """Return a source that cannot work, by its options: :meth:`Source.check` has to say so. ``None``: untested."""
        return None

    async def push(self, source: Source) -> None:
        """Bring the records to a source that others push to."""

    pushed: ClassVar[int | None] = None
    """How many records :meth:`push` brings; ``None``: the source fetches its records itself."""

    def kind(self) -> type[Component]:
        """See :class:`ComponentContract`."""
        return type(self.source())

    def made(self) -> Source:
        """See :class:`ComponentContract`."""
        return self.source()

    def test_a_full_read_delivers_every_record_under_an_id_of_its_own(self) -> None:
        """Ids are stable from one reading to the next, times are microseconds."""
        one, other = (anyio.run(self._all) for _ in range(2))
        records = [record for batch in one for record in batch.records]
        assert len(records) >= 3, "at least three records are wanted"
        ids = {_id(record): record for record in records}
        assert {_id(record): record.message for batch in other for record in batch.records} == {
            event_id: record.message for event_id, record in ids.items()
        }
        if not self.source().rereads:
            assert len(ids) == len(records), "two records have one id, or one came twice though `rereads` is false"
        for record in records:
            assert 10**14 < record.timestamp < 10**17, f"{record.timestamp} is no time in microseconds"
            assert record.stream.system
            assert record.log_id

    def test_resumed_anywhere_it_delivers_the_rest(self) -> None:
        """From each checkpoint, and from none: nothing is lost, and nothing twice where ``rereads`` is false."""
        batches = anyio.run(self._all)
        whole = {_id(record) for batch in batches for record in batch.records}
        for stop in range(len(batches)) if self.pushed is None else ():
            before, after = anyio.run(self._some, stop)
            rest = anyio.run(self._from, after)
            first = [_id(record) for batch in before if batch.partition in after for record in batch.records]
            second = [_id(record) for batch in rest for record in batch.records]
            assert {*first, *second} == whole, f"resumed behind batch {stop}: {len(whole - {*first, *second})} are lost"
            if not self.source().rereads:
                assert len(first) + len(second) == len(whole), f"resumed behind batch {stop}: some came twice"

    def test_checkpoints_are_json(self) -> None:
        """They go through the state file."""
        for batch in anyio.run(self._all):
            assert batch.partition
            assert batch.checkpoint is None or isinstance(batch.checkpoint, dict)
            assert msgspec.json.decode(msgspec.json.encode(batch.checkpoint)) == batch.checkpoint

    def test_it_can_be_stopped_in_the_middle(self) -> None:
        """By closing the iterator, and by cancelling whoever waits for it."""

        async def closed() -> None:
            with anyio.fail_after(PATIENCE):
                async with self.source() as source, anyio.create_task_group() as group:
                    group.start_soon(self.push, source)
                    async with contextlib.aclosing(source.read({})) as batches:
                        async for batch in batches:
                            batch.settle(Outcome(durable=True, delivered=len(batch.records)))
                            break
                    group.cancel_scope.cancel()

        async def cancelled() -> None:
            with anyio.fail_after(PATIENCE):
                async with self.source() as source, anyio.create_task_group() as group:

                    async def wait() -> None:
                        async with contextlib.aclosing(source.read({})) as batches:
                            async for _ in batches:
                                began.set()

                    began = anyio.Event()
                    group.start_soon(wait)
                    group.start_soon(self.push, source)
                    await began.wait()
                    group.cancel_scope.cancel()

        anyio.run(closed)
        anyio.run(cancelled)

    def test_check_tells(self) -> None:
        """What was found, or why it cannot work, in words."""
        anyio.run(_checked, self.source())
        broken = self.broken()
        if broken is not None:
            with pytest.raises(CheckError) as caught:
                anyio.run(_checked, broken)
            assert str(caught.value)

    async def _all(self) -> list[Batch]:
        return await self._from({})

    async def _from(self, after: Mapping[str, Checkpoint]) -> list[Batch]:
        return (await self._read(after, None))[0]

    async def _some(self, stop: int) -> tuple[list[Batch], dict[str, Checkpoint]]:
        return await self._read({}, stop)

    async def _read(
        self, after: Mapping[str, Checkpoint], most: int | None
    ) -> tuple[list[Batch], dict[str, Checkpoint]]:
        """Read to the end, or so many batches; return them and the checkpoints that would be saved then."""
        taken: list[Batch] = []
        saved = dict(after)
        if most == 0:
            return taken, saved
        with anyio.fail_after(PATIENCE):
            async with self.source() as source, anyio.create_task_group() as group:
                group.start_soon(self.push, source)
                drain = self.pushed is None
                async with contextlib.aclosing(source.read(after, drain=drain)) as batches:
                    async for batch in batches:
                        taken.append(batch)
                        if batch.checkpoint is not None:
                            saved[batch.partition] = batch.checkpoint
                        batch.settle(Outcome(durable=True, delivered=len(batch.records)))
                        count = sum(len(each.records) for each in taken)
                        if len(taken) == most or (self.pushed is not None and count >= self.pushed):
                            break
                group.cancel_scope.cancel()
        return taken, saved


class SinkContract(ComponentContract):
    """What a sink promises: what it has taken is there, also when it is asked twice, or the other side failed at first.

    :meth:`sink` gives a new sink on an empty other side, :meth:`stored` says what that holds.
    """

    _folder: Path

    def sink(self) -> Sink:
        """Return a new sink that writes to this test's own, empty other side."""
        raise NotImplementedError

    def stored(self) -> Sequence[str]:
        """Return the ids of the events on the other side, each as often as it is there."""
        raise NotImplementedError

    def fail(self, times: int) -> bool:
        """Have the other side fail so many times, in a way that passes. False: this sink has no such other side."""
        return False

    def refuse(self, event_id: str) -> bool:
        """Have the other side refuse this event for good. False: it never does."""
        return False

    @pytest.fixture(autouse=True)
    def _own_folder(self, tmp_path: Path) -> None:
        self._folder = tmp_path

    def kind(self) -> type[Component]:
        """See :class:`ComponentContract`."""
        return type(self.sink())

    def made(self) -> Sink:
        """See :class:`ComponentContract`."""
        return self.sink()

    def test_its_options_are_a_sinks(self) -> None:
        """The pipeline reads ``batch_size`` and the others off them."""
        assert issubclass(self.kind().Config, SinkConfig)

    def test_what_it_was_given_is_there_when_write_returns(self) -> None:
        """All of it, once."""
        events = _events(5)

        async def write() -> None:
            async with self.sink() as sink:
                result = await sink.write(events)
                assert not result.refused
                assert sorted(self.stored()) == sorted(event.event_id for event in events)

        anyio.run(write)

    def test_twice_is_once_where_it_says_so(self) -> None:
        """``idempotent``: a repeated event id changes nothing, also for a sink opened anew."""
        events = _events(4)

        async def write() -> None:
            for part in (events[:3], events[1:], events):
                async with self.sink() as sink:
                    await sink.write(part)

        idempotent = self.sink().idempotent
        anyio.run(write)
        stored = self.stored()
        assert {*stored} == {event.event_id for event in events}
        assert not idempotent or len(stored) == len(events), (
            "it says that it is idempotent, and an event is there twice"
        )

    def test_nothing_is_lost_to_failures_that_pass(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """In a pipeline, which tries again."""
        monkeypatch.setattr("vectadb_agent.delivery.FIRST_PAUSE", 0.01)
        if not self.fail(3):
            pytest.skip("this sink's other side does not fail in passing")
        self._shipped(7)
        assert {*self.stored()} == {event.event_id for event in _events(7)}

    def test_what_is_refused_for_good_harms_no_neighbour(self) -> None:
        """It goes to the quarantine, all else arrives."""
        events = _events(7)
        refused = events[3].event_id
        if not self.refuse(refused):
            pytest.skip("this sink's other side refuses nothing")
        quarantined = self._shipped(7)
        assert quarantined == [refused]
        assert {*self.stored()} == {event.event_id for event in events} - {refused}

    def test_check_tells(self) -> None:
        """What was found, in words."""
        anyio.run(_checked, self.sink())

    def _shipped(self, count: int) -> list[str]:
        """Ship records through a pipeline; return the ids of what ended in the quarantine."""
        sink = self.sink()
        source = ListSource([Batch(partition="/contract", records=_records(count))])
        settings = Settings("contract", None, source, (), ("sink",), 4_000_000)

        async def ship(state: State) -> None:
            with anyio.fail_after(PATIENCE):
                async with sink:
                    await Pipeline(settings, {"sink": sink}, state).run(anyio.Event(), drain=True)

        with State(self._folder / "state") as state:
            anyio.run(ship, state)
            return [entry.event_id for entry in state.kept.entries()]


async def _checked(component: Component) -> None:
    with anyio.fail_after(PATIENCE):
        async with component:
            found = await component.check()
    assert isinstance(found, list)
    assert all(isinstance(line, str) for line in found)


def _records(count: int) -> list[LogRecord]:
    return [LogRecord(_STREAM, f"{n:04}", 1_767_225_600_000_000 + n * 1_000_000, f"line {n} é") for n in range(count)]


def _events(count: int) -> list[Event]:
    """Events as a pipeline without parsers makes them."""
    parsing = Parsing(())
    return [parsing.events(_joined(Block((each,), (each.message,), ("0",))))[0] for each in _records(count)]


def _event(fields: Mapping[str, Any]) -> Event:
    text = str(fields.get("raw", "a line"))
    event = Event(raw=text, timestamp=1_767_225_600_000_000, block=_block(text))
    for name, value in fields.items():
        setattr(event, name, copy.deepcopy(value))
    return event


def _block(text: str) -> Block:
    lines = tuple(text.split("\n"))
    records = tuple(LogRecord(_STREAM, str(number), number, line) for number, line in enumerate(lines))
    return Block(records, lines, ("0",) * len(lines))


def _joined(block: Block) -> Joined[None]:
    return Joined(block, None, (None,) * len(block.records))


def _id(record: LogRecord) -> str:
    return id_maker(record.stream)(record.log_id, "0")


def _after(pieces: Sequence[Piece], state: Any) -> Any:
    """What core hands the parser next: the state of the block that is open then."""
    for piece in pieces:
        if piece.kind == "start" or (piece.kind == "continue" and state is not None):
            state = None if piece.closes else True if piece.state is None else piece.state
    return state


def _mutations(texts: Sequence[str]) -> list[str]:
    """Texts that look like the given ones, and noise; the same each time."""
    random_ = random.Random(0)
    seeds = [text for text in texts if text] or ["a line"]
    made = ["", *seeds]
    for _ in range(_ROUNDS):
        text = random_.choice(seeds)
        for _ in range(random_.randrange(1, 5)):
            at, cut = random_.randrange(len(text) + 1), random_.randrange(8)
            text = text[:at] + random_.choice([*_NOISE, "", random_.choice(seeds)]) + text[at + cut :]
        made.append(text)
    return made
