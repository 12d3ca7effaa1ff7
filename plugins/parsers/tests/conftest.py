from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from vectadb_agent import Block, LogRecord, LogStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectadb_agent import Event, Parser

settings.register_profile("parsers", derandomize=True, max_examples=60, deadline=None)
settings.load_profile("parsers")

STREAM = LogStream("aws", "1", "eu-west-1", "/aws/lambda/f", "s")


@pytest.fixture
def block() -> Callable[..., Block]:
    """Makes a block of the lines given."""

    def make(*lines: str) -> Block:
        records = tuple(LogRecord(STREAM, str(number), 0, line) for number, line in enumerate(lines))
        return Block(records, lines, ("0",) * len(lines))

    return make


@pytest.fixture
def parse_one(block: Callable[..., Block]) -> Callable[..., Event]:
    """Parses one text and returns its only event."""

    def one(parser: Parser, text: str) -> Event:
        events = parser.parse(block(text))
        assert events is not None
        assert len(events) == 1
        assert events[0].raw == text
        return events[0]

    return one


@pytest.fixture
def join() -> Callable[..., list[Any]]:
    """Joins records by core's own rules; returns the blocks in the order of their first record."""
    from vectadb_agent.join import Joiner

    def joined(parsers: list[Parser], *texts: str) -> list[Any]:
        joiner: Joiner[int] = Joiner(parsers)
        done = []
        for number, text in enumerate(texts):
            done += joiner.add(LogRecord(STREAM, str(number), number, text), number, 0)
        done += joiner.flush()
        return sorted(done, key=lambda each: (each.tags[0], int(each.block.parts[0])))

    return joined
