"""What a filter means: a text is looked for in what people read of an event, not in how it is stored."""

from __future__ import annotations

import pytest

from vectadb_server.selection import is_event
from vectadb_server.stores.base import EventFilter

from .making import MIDNIGHT, line

EVENT = line(
    "1",
    MIDNIGHT,
    raw="printed so",
    properties={"message": "tab\there", "order": {"Numbers": [1789, True, None, "Größe"]}, "empty": {}},
)


@pytest.mark.parametrize("text", ["PRINTED", "b\th", "here", "numbers", "1789", "true", "größe", "message", "tab"])
def test_a_text_is_found_wherever_it_stands(text: str) -> None:
    assert is_event(EVENT, EventFilter(text=text))


@pytest.mark.parametrize("text", ["there", "{", '":', ",", "[", "\\t", 'message":', "1789,true"])
def test_what_only_json_has_is_not_found(text: str) -> None:
    assert not is_event(EVENT, EventFilter(text=text))
