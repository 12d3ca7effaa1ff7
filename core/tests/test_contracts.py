"""The suites for plugin authors: components that keep the contract pass, and each way of breaking it is found."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from pydantic import ConfigDict

from vectadb_agent import (
    Batch,
    Block,
    ComponentConfig,
    Event,
    LogRecord,
    LogStream,
    Outcome,
    Parser,
    Piece,
    Processor,
    Result,
    Source,
)
from vectadb_agent.errors import CheckError, ParseError, PermanentError
from vectadb_agent.testing import (
    ListSource,
    MemorySink,
    ParserContract,
    ProcessorContract,
    SinkContract,
    SourceContract,
)
from vectadb_agent.testing.fakes import failing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STREAM = LogStream("test", "1", "eu", "/g", "s")


def batches() -> list[Batch]:
    return [
        Batch(partition=f"/g{n % 2}", records=[LogRecord(STREAM, f"{n}-{k}", 10**15 + n, "text") for k in range(n)])
        for n in range(5)
    ]


class Words(Parser):
    """Lines that begin with ``word``."""

    name = "words"

    def parse(self, block: Block) -> list[Event] | None:
        text = block.text
        if not text.startswith("word"):
            return None
        if text == "word":
            raise ParseError("which word?")
        return [Event(event_type="message", properties={"word": text.split()[-1]})]


class Brackets(Words):
    """Blocks in brackets."""

    name = "brackets"

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        if state is None and not text.startswith("word ["):
            return ()
        return [Piece(text, "start" if state is None else "continue", closes=text.endswith("]"), state=[1])]


class TestWords(ParserContract):
    parser = Words
    good = (("word one", [{"event_type": "message", "word": "one"}]),)
    foreign = ("other",)
    malformed = ("word",)


class TestBrackets(ParserContract):
    parser = Brackets
    good = (("word [\na\nb]\nnext", [{"event_type": "message", "word": "b]"}, {"event_type": "log", "raw": "next"}]),)


class Louder(Processor):
    """Says it louder, and leaves out whispers."""

    name = "louder"

    def process(self, event: Event) -> Event | None:
        if event.raw == "psst":
            return None
        event.raw = (event.raw or "").upper()
        return event


class TestLouder(ProcessorContract):
    processor = Louder
    good = (({"raw": "hello"}, {"raw": "HELLO"}), ({"raw": "psst"}, None))


class TestListSource(SourceContract):
    def source(self) -> ListSource:
        return ListSource(batches())

    def broken(self) -> ListSource:
        class Broken(ListSource):
            async def check(self) -> list[str]:
                raise CheckError("no list is there: give one")

        return Broken([])


class Mailbox(Source):
    """Takes what :meth:`post` brings, and answers once it is kept."""

    name = "mailbox"
    answers_early = False

    def __init__(self) -> None:
        super().__init__(ComponentConfig(type="mailbox"))

    async def __aenter__(self) -> Any:
        self._send, self._receive = anyio.create_memory_object_stream[Batch](1)
        return self

    async def post(self, number: int) -> None:
        answered, outcomes = anyio.Event(), list[Outcome]()

        class Letter(Batch):
            def settle(self, outcome: Outcome) -> None:
                outcomes.append(outcome)
                answered.set()

        await self._send.send(Letter(partition="box", records=[LogRecord(STREAM, str(number), 10**15, "text")]))
        if not self.answers_early:
            await answered.wait()
            if not outcomes[0].durable:
                raise ConnectionError("not kept")

    async def read(self, after: Any, *, drain: bool = False) -> Any:
        async for batch in self._receive:
            yield batch

    async def __aexit__(self, *_: object) -> None:
        self._send.close()
        self._receive.close()


class TestMailbox(SourceContract):
    pushed = 3

    def source(self) -> Mailbox:
        return Mailbox()

    async def push(self, source: Any) -> None:
        for number in range(3):
            await source.post(number)


class TestMemorySink(SinkContract):
    @pytest.fixture(autouse=True)
    def _memory(self) -> None:
        self.memory = MemorySink()

    def sink(self) -> MemorySink:
        return self.memory

    def stored(self) -> list[str]:
        return [*self.memory.events]

    def fail(self, times: int) -> bool:
        self.memory._plan = failing(times)
        return True

    def refuse(self, event_id: str) -> bool:
        def plan(events: Sequence[Event]) -> None:
            if any(event.event_id == event_id for event in events):
                raise PermanentError("not this one")

        self.memory._plan = plan
        return True


# ---- each way of breaking a contract ----


def refused(suite: Any, test: str, *arguments: Any) -> None:
    """Run one test of a suite, which must fail."""
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        getattr(suite, test)(*arguments)


def parser(parse: Callable[[Any, Block], Any], **more: Any) -> ParserContract:
    made = type("Bad", (Words,), {"__doc__": "Bad.", "name": "bad", "parse": parse, **more})
    samples = {"good": TestWords.good, "foreign": TestWords.foreign, "malformed": TestWords.malformed}
    return type("Suite", (ParserContract,), {"parser": made, **samples})()  # type: ignore[no-any-return]


def raises(_self: Any, block: Block) -> Any:
    return [Event(properties={"second": block.text.split()[1]})]


def grows(self: Any, block: Block) -> Any:
    block.lines = (*block.lines, "more")
    return Words.parse(self, block)


def guesses(self: Any, block: Block) -> Any:
    return [Event(properties={"word": random.random()})] if block.text.startswith("word ") else Words.parse(self, block)


def unsendable(_self: Any, _block: Block) -> Any:
    return [Event(properties={"object": object()})]


@pytest.mark.parametrize(
    ("parse", "test"),
    [
        (lambda self, block: [Event()], "test_good_samples_become_the_events_expected"),
        (lambda self, block: None, "test_good_samples_become_the_events_expected"),
        (lambda self, block: [Event()], "test_foreign_samples_are_left_to_others"),
        (lambda self, block: [Event()], "test_malformed_samples_are_told_by_parse_error"),
        (grows, "test_the_same_text_gives_the_same_events_and_ids"),
        (guesses, "test_the_same_text_gives_the_same_events_and_ids"),
    ],
)
def test_a_parser_that_breaks_its_contract_is_found(parse: Any, test: str) -> None:
    refused(parser(parse), test)


@pytest.mark.parametrize(("parse", "error"), [(raises, IndexError), (unsendable, TypeError)])
def test_a_parser_that_raises_or_makes_what_cannot_be_sent_is_found(parse: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        parser(parse).test_any_text_is_parsed_or_refused()


def test_pieces_that_lose_text_or_change_the_state_are_found() -> None:
    def shortened(_self: Any, text: str, state: Any) -> Any:
        return [Piece(text[1:], "whole")]

    def altered(_self: Any, text: str, state: Any) -> Any:
        if state is not None:
            state.append(1)
        return [Piece(text, "start", state=[1])]

    for pieces in (shortened, altered):
        refused(parser(Words.parse, pieces=pieces), "test_pieces_put_together_are_the_text_and_states_do_not_change")


def test_a_component_without_name_description_or_described_options_is_found() -> None:
    class Loose(ComponentConfig):
        model_config = ConfigDict(extra="ignore")

    class Undescribed(ComponentConfig):
        option: int = 1

    refused(parser(Words.parse, name=""), "test_it_has_a_name_and_a_description")
    refused(parser(Words.parse, __doc__=""), "test_it_has_a_name_and_a_description")
    refused(parser(Words.parse, Config=Loose), "test_its_options_are_strict_and_described")
    refused(parser(Words.parse, Config=Undescribed), "test_its_options_are_strict_and_described")


def source(kind: type[ListSource]) -> SourceContract:
    return type("Suite", (SourceContract,), {"source": lambda self: kind(batches())})()  # type: ignore[no-any-return]


def test_a_source_that_breaks_its_contract_is_found() -> None:
    class Skips(ListSource):
        """Resumes one batch too far."""

        async def read(self, after: Any, *, drain: bool = False) -> Any:
            ahead = {name: {"position": each["position"] + 2} for name, each in after.items()}
            async for batch in super().read(ahead, drain=drain):
                yield batch

    class Repeats(ListSource):
        """Says that it never repeats, and begins anew."""

        rereads = False

        async def read(self, after: Any, *, drain: bool = False) -> Any:
            async for batch in super().read({}, drain=drain):
                yield batch

    class Unstable(ListSource):
        """Makes up its ids."""

        async def read(self, after: Any, *, drain: bool = False) -> Any:
            async for batch in super().read(after, drain=drain):
                batch.records = [LogRecord(STREAM, str(random.random()), each.timestamp, "") for each in batch.records]
                yield batch

    class Milliseconds(ListSource):
        """Has the wrong unit."""

        async def read(self, after: Any, *, drain: bool = False) -> Any:
            async for batch in super().read(after, drain=drain):
                batch.records = [LogRecord(STREAM, each.log_id, 10**12, "") for each in batch.records]
                yield batch

    class Silent(ListSource):
        """Says nothing of what is wrong."""

        async def check(self) -> Any:
            return None

    refused(source(Skips), "test_resumed_anywhere_it_delivers_the_rest")
    refused(source(Repeats), "test_resumed_anywhere_it_delivers_the_rest")
    refused(source(Unstable), "test_a_full_read_delivers_every_record_under_an_id_of_its_own")
    refused(source(Milliseconds), "test_a_full_read_delivers_every_record_under_an_id_of_its_own")
    refused(source(Silent), "test_check_tells")


def test_a_source_that_answers_before_anything_is_kept_is_found() -> None:
    early = type("Early", (Mailbox,), {"__doc__": "Early.", "answers_early": True})
    suite = type("Suite", (TestMailbox,), {"source": lambda self: early()})
    refused(suite(), "test_whoever_pushes_is_not_told_that_all_is_well_before_it_is")


def test_a_sink_that_breaks_its_contract_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    class Twice(MemorySink):
        """Says that it is idempotent."""

        def __init__(self) -> None:
            super().__init__()
            self.log: list[str] = []

        async def write(self, events: Sequence[Event]) -> Any:
            self.log += [event.event_id for event in events]
            return await super().write(events)

    class Forgets(MemorySink):
        """Drops a batch that came in bad times."""

        async def write(self, events: Sequence[Event]) -> Any:
            try:
                return await super().write(events)
            except Exception:  # noqa: BLE001
                return Result()

    def suite(sink: MemorySink, stored: Callable[[], list[str]]) -> Any:
        made = type("Suite", (TestMemorySink,), {"stored": lambda self: stored()})()
        made.memory, made._folder = sink, tmp_path
        return made

    twice = Twice()
    refused(suite(twice, lambda: twice.log), "test_twice_is_once_where_it_says_so")
    refused(suite(MemorySink(), list), "test_what_it_was_given_is_there_when_write_returns")
    refused(suite(Forgets(), list), "test_what_is_refused_for_good_is_told")
    forgets = Forgets()
    refused(suite(forgets, lambda: [*forgets.events]), "test_nothing_is_lost_to_failures_that_pass", monkeypatch)
