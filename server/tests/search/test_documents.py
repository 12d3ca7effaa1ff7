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
