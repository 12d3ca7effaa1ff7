"""What the tests of the processors share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from vectadb_agent import Block, Event, LogRecord, LogStream

Make = Callable[..., Event]


@pytest.fixture
def make() -> Make:
    """Makes an event of a text, as it comes from the parsers."""

    def made(text: str = "a line", *, group: str = "/ecs/shop", stream: str = "task-1", **fields: Any) -> Event:
        record = LogRecord(LogStream("cloudwatch", "1", "eu-west-1", group, stream), "1", 1, text)
        event = Event(raw=text, timestamp=1, block=Block((record,), (text,), ("0",)))
        for name, value in fields.items():
            setattr(event, name, value)
        return event

    return made
