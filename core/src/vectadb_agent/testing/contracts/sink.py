"""What a sink promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import msgspec
import pytest

from vectadb_agent.components import Batch, Component, Sink, SinkConfig
from vectadb_agent.config import Pipeline as Settings
from vectadb_agent.errors import PermanentError
from vectadb_agent.pipeline import Pipeline
from vectadb_agent.state import State
from vectadb_agent.testing.contracts.component import PATIENCE, ComponentContract, checked
from vectadb_agent.testing.contracts.samples import STREAM, log_records, made_events
from vectadb_agent.testing.fakes import ListSource

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vectadb_agent.records import Event, LogStream


class SinkContract(ComponentContract):
    """What a sink promises: what it has taken is there, also when it is asked twice, or the other side failed at first.

    :meth:`sink` gives a new sink, :meth:`stored` says what its other side holds of :attr:`log_stream`.
    """

    _folder: Path
    """This test's own."""

    @property
    def log_stream(self) -> str:
        """Whose events this test writes; tests that share another side tell theirs by it."""
        return self._folder.name

    def sink(self) -> Sink:
        """Return a new sink that writes to an other side that holds nothing of this test's stream."""
        raise NotImplementedError

    def stored(self) -> Sequence[str]:
        """Return the ids of this test's events on the other side, each as often as it is there."""
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
        events = self._events(5)

        async def write() -> None:
            async with self.sink() as sink:
                result = await sink.write(events)
                assert not result.refused
                assert sorted(self.stored()) == sorted(event.event_id for event in events)

        anyio.run(write)

    def test_twice_is_once_where_it_says_so(self) -> None:
        """``idempotent``: a repeated event id changes nothing, also for a sink opened anew."""
        events = self._events(4)

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
        assert {*self.stored()} == {event.event_id for event in self._events(7)}

    def test_what_is_refused_for_good_harms_no_neighbour(self) -> None:
        """It goes to the quarantine, all else arrives."""
        events = self._events(7)
        refused = events[3].event_id
        if not self.refuse(refused):
            pytest.skip("this sink's other side refuses nothing")
        quarantined = self._shipped(7)
        assert quarantined == [refused]
        assert {*self.stored()} == {event.event_id for event in events} - {refused}

    def test_what_is_refused_for_good_is_told(self) -> None:
        """By ``PermanentError`` for the whole batch, or by name: then the others of the batch are taken."""
        events = self._events(3)
        refused = events[1].event_id
        if not self.refuse(refused):
            pytest.skip("this sink's other side refuses nothing")

        async def write() -> None:
            async with self.sink() as sink:
                for batch in (events[1:2], events):
                    result = None
                    try:
                        result = await sink.write(batch)
                    except PermanentError as error:
                        reasons = {refused: str(error)}
                    if result is not None:
                        reasons = {event_id: reason for event_id, reason, retryable in result.refused if not retryable}
                        assert {*self.stored()} >= {event.event_id for event in batch} - {refused}
                    assert [*reasons] == [refused], "Result.refused names what was refused for good, and nothing else"
                    assert reasons[refused], "it is not said why"
                assert refused not in self.stored()

        anyio.run(write)

    def test_check_tells(self) -> None:
        """What was found, in words."""
        anyio.run(checked, self.sink())

    @property
    def _stream(self) -> LogStream:
        return msgspec.structs.replace(STREAM, log_stream=self.log_stream)

    def _events(self, count: int) -> list[Event]:
        return made_events(count, self._stream)

    def _shipped(self, count: int) -> list[str]:
        """Ship records through a pipeline; return the ids of what ended in the quarantine."""
        sink = self.sink()
        source = ListSource([Batch(partition="/contract", records=log_records(count, self._stream))])
        settings = Settings("contract", None, source, (), ("sink",), 4_000_000)

        async def ship(state: State) -> None:
            with anyio.fail_after(PATIENCE):
                async with sink:
                    await Pipeline(settings, {"sink": sink}, state).run(anyio.Event(), drain=True)

        with State(self._folder / "state") as state:
            anyio.run(ship, state)
            return [entry.event_id for entry in state.kept.entries()]
