"""What a parser promises."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest

from vectadb_agent.cases import Case, run
from vectadb_agent.components import Parser
from vectadb_agent.errors import ParseError
from vectadb_agent.parsing import Parsing
from vectadb_agent.sample import Chain, parse
from vectadb_agent.testing.contracts.component import ComponentContract
from vectadb_agent.testing.contracts.samples import block_of, joined, mutations, state_after

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


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
                assert member.parse(block_of(text)) is None, f"foreign[{number}]: {member.name} took it"

    def test_malformed_samples_are_told_by_parse_error(self) -> None:
        """With words that say what is wrong."""
        for number, text in enumerate(self.malformed):
            with pytest.raises(ParseError) as caught:
                pytest.fail(
                    f"malformed[{number}] became {[member.parse(block_of(text)) for member in self._members()]}"
                )
            assert str(caught.value), f"malformed[{number}]: the error says nothing"

    def test_the_same_text_gives_the_same_events_and_ids(self) -> None:
        """What was cut off in the middle is read and parsed again: it must be recognised."""
        for text, _ in self.good:
            block, again = block_of(text), block_of(text)
            one, other = (Parsing(self.made().members()).parse(joined(each))[1] for each in (block, again))
            assert msgspec.json.encode([event.wire() for event in one]) == msgspec.json.encode(
                [event.wire() for event in other]
            )
            assert block == block_of(text), "the block was changed"

    def test_any_text_is_parsed_or_refused(self) -> None:
        """Nothing but ``ParseError`` is raised, and what is made can be sent."""
        parsers = self._members()
        for text in mutations([text for text, _ in self.good] + [*self.foreign, *self.malformed]):
            for parser in parsers:
                with contextlib.suppress(ParseError):
                    for event in parser.parse(block_of(text)) or []:
                        msgspec.json.encode(event.properties)
                        assert event.event_type
                        assert event.timestamp is None or type(event.timestamp) is int

    def test_pieces_put_together_are_the_text_and_states_do_not_change(self) -> None:
        """A state is handed in again when a page is read again."""
        for parser in self._members():
            if type(parser).pieces is Parser.pieces:
                continue
            state: Any = None
            for text in mutations([text for text, _ in self.good]):
                before = copy.deepcopy(state)
                pieces = parser.pieces(text, state)
                assert state == before, "the state was changed"
                assert not pieces or "".join(piece.text for piece in pieces) == text
                state = state_after(pieces, state)

    def _members(self) -> list[Parser]:
        return [*self.made().members()]
