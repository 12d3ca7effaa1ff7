from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent_cloudwatch.answers import EventPage, decode, page_of, take_over

text = st.text(st.characters(exclude_categories=()), max_size=20)  # lone surrogates too


def event(timestamp: int, message: str, log_id: str) -> dict[str, Any]:
    return {"timestamp": timestamp, "message": message, "eventId": log_id, "ingestionTime": 5, "logStreamName": "s"}


@given(st.lists(st.builds(event, st.integers(-(2**62), 2**62), text, text)), st.none() | text)
def test_a_page_arrives_verbatim(events: list[dict[str, Any]], token: str | None) -> None:
    answer = {"events": events, "nextToken": token, "searchedLogStreams": [{"x": 1}]}
    page = decode(json.dumps(answer).encode())
    assert [(e.timestamp, e.message, e.event_id) for e in page.events or ()] == [
        (e["timestamp"], e["message"], e["eventId"]) for e in events
    ]
    assert page.next_token == token
    assert page_of(answer) == page


def test_errors_are_left_to_botocore() -> None:
    for status, body in ((400, b'{"__type": "X"}'), (200, b"<html>"), (200, b"")):
        answer, custom = {"status_code": status, "body": body}, dict[str, Any]()
        take_over(response_dict=answer, customized_response_dict=custom)
        assert answer["body"] == body
        assert not custom


def test_a_page_is_taken_over_once() -> None:
    answer: dict[str, Any] = {"status_code": 200, "body": b'{"events": null}'}
    custom: dict[str, Any] = {}
    take_over(response_dict=answer, customized_response_dict=custom)
    assert answer["body"] == b"{}"
    assert page_of(custom) == EventPage()


@pytest.mark.parametrize("body", [b"[]", b'{"events": [{"message": "no time"}]}', b'{"events": [', b'{"events": 1}'])
def test_anything_else_is_no_page(body: bytes) -> None:
    with pytest.raises((ValueError, msgspec.ValidationError)):
        decode(body)
