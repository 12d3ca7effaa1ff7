"""Parsers that misbehave on hostile text: the text is kept, and no neighbour pays for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vectadb_agent import Block, ComponentConfig, Event, LogRecord, LogStream, Parser, Piece
from vectadb_agent.errors import ParseError
from vectadb_agent.join import Joined, Joiner
from vectadb_agent.parsing import Parsing

if TYPE_CHECKING:
    from collections.abc import Sequence

STREAM = LogStream("s", "", "", "g", "s")
TEXTS = ("", "\0", "\ud800", "a\x1ab", "\r\n", "{" * 10_000, "x" * 1_000_000, "\x1b[2J", "'; DELETE event; --")
FAILURES = (
    ValueError("\ud800"),
    RecursionError("deep"),
    MemoryError(),
    KeyError("\0"),
    ParseError("\x1b[2J"),
    StopIteration(),
)


class Raising(Parser):
    name = "raising"
    failure: Exception = ValueError()

    def parse(self, block: Block) -> list[Event] | None:
        raise self.failure


class Cutting(Parser):
    """Answers `pieces` with what it is told."""

    name = "cutting"

    def __init__(self, *answers: Sequence[Piece]) -> None:
        super().__init__(ComponentConfig(type="cutting"))
        self.answers = list(answers)

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        return self.answers.pop(0) if self.answers else ()


def joined_of(text: str) -> Joined[int]:
    return Joined(Block((LogRecord(STREAM, "1", 0, text),), (text,), ("0",)), None, (0,))


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_whatever_a_parser_raises_the_text_is_kept(failure: Exception) -> None:
    parser = Raising(ComponentConfig(type="raising"))
    parser.failure = failure
    for text in TEXTS:
        [event] = Parsing([parser]).events(joined_of(text))
        assert event.raw == text
        assert event.event_type == "log"
        assert event.properties["vectadb.parser"] == "raising"


LYING: tuple[tuple[Piece, ...], ...] = (
    (Piece("", "start"),),
    (Piece("other text", "whole"),),
    (Piece("ab", "start"), Piece("ab", "continue")),
    (Piece("a", "whole"),),
    (Piece("a", "other"), Piece("", "other"), Piece("", "start")),
    (Piece("ab", "continue"),),
    (Piece("a", "continue", closes=True), Piece("b", "start", closes=True)),
    (Piece("", "start"), Piece("ab", "start")),
)


@pytest.mark.parametrize("answer", LYING)
def test_whatever_pieces_a_parser_makes_the_length_of_the_text_is_kept(answer: tuple[Piece, ...]) -> None:
    joiner: Joiner[int] = Joiner([Cutting(answer, answer)])
    done = []
    for number in range(3):
        done += joiner.add(LogRecord(STREAM, str(number), number, "ab"), number, 0)
    done += joiner.flush()
    for number in range(3):
        texts = [
            text
            for each in done
            for record, text in zip(each.block.records, each.block.lines, strict=True)
            if record.log_id == str(number)
        ]
        assert "".join(texts) == "ab"
