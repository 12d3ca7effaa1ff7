"""What of an event can be searched for."""

from __future__ import annotations

from typing import Any

from vectadb_server.documents import document, text_of
from vectadb_server.model import Event
from vectadb_server.stores.rows import StoredEvent
from vectadb_server.words import terms


def event(**fields: Any) -> Event:
    return Event(event_id="0c8c1b3e-3f0a-5f7e-8d53-0d6f3c0f4a11", timestamp=1, **fields)


def test_a_long_traceback_is_found_by_its_error_which_it_names_last() -> None:
    raw = "Traceback (most recent call last):\n" + "  File somewhere\n" * 500 + "OrkaError: pangolin"
    said = text_of(event(event_type="error", raw=raw, properties={"error.type": "OrkaX"}))
    assert {"traceback", "orkaerror", "pangolin", "orkax"} <= set(terms(said))
    assert len(said) < 4_100


def test_what_an_event_is_stands_beside_its_words() -> None:
    asked = event(event_type="query", properties={"message": "weather in kyiv"})
    made = document(StoredEvent(("2026-01-01", asked.event_id), asked))
    assert made.text == "weather in kyiv"
    assert made.meaning == "the user asked\nweather in kyiv"
    plain = event(event_type="log", properties={"message": "weather in kyiv"})
    assert document(StoredEvent(("2026-01-01", plain.event_id), plain)).meaning == "weather in kyiv"


def test_what_else_stands_in_an_event_is_found_by_its_words() -> None:
    inner = {"customer": {"name": "panda", "tags": ["red", 7]}, "input": "x"}
    properties = {"message": "payment declined for long", "order_id": "giraffe", "n": 12, "t": 0.5, "tool_input": inner}
    found = event(event_type="log", properties=properties)
    made = document(StoredEvent(("2026-01-01", found.event_id), found))
    assert made.text == "payment declined for long"
    assert made.rest.split("\n") == ["giraffe", "12", "panda", "red", "7", "x"]
    assert "giraffe" not in made.meaning
    assert set(terms(made.words)) >= {"declined", "giraffe", "panda"}


def test_of_what_else_stands_in_an_event_there_is_no_end_but_this() -> None:
    deep: Any = "x" * 5_000
    for number in range(60):
        deep = {"a": [deep, f"value {number}"]}
    found = event(
        event_type="log", properties={"message": "m", "deep": deep, "more": [f"more {n}" for n in range(9_999)]}
    )
    made = document(StoredEvent(("2026-01-01", found.event_id), found))
    assert len(made.rest) == 1_000
