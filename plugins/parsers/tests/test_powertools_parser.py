from __future__ import annotations

import json
from typing import Any

import pytest

from vectadb_agent_parsers import PowertoolsParser

PARSER = PowertoolsParser(PowertoolsParser.Config(type="powertools"))
LINE = {
    "level": "INFO",
    "location": "handler:106",
    "message": "looking up",
    "timestamp": "2026-11-24 07:38:05,609+0000",
    "service": "orders",
    "cold_start": True,
    "function_request_id": "8f5d1c3a-0000-4000-8000-000000000001",
    "correlation_id": "session-7",
}


def line(**changed: Any) -> str:
    return json.dumps(LINE | changed, separators=(",", ":"), ensure_ascii=False) + "\n"


def test_request_session_and_time(parse_one):
    event = parse_one(PARSER, line(order="A-7"))
    assert event.event_type == "log"
    assert (event.request_id, event.session_id) == (LINE["function_request_id"], "session-7")
    assert event.timestamp == 1_795_505_885_609_000
    assert event.properties["framework"] == "powertools"
    assert (event.properties["message"], event.properties["order"]) == ("looking up", "A-7")


@pytest.mark.parametrize("message", [{"a": [1, None]}, ["x", {"y": "été"}], "text", 7, ""])
def test_a_message_is_kept_as_it_is(parse_one, message):
    assert parse_one(PARSER, line(message=message)).properties["message"] == message


def test_an_exception_is_an_error_with_the_last_one_raised(parse_one):
    trace = (
        "Traceback (most recent call last):\n  File \"a.py\", line 1, in f\nKeyError: 'x'\n\n"
        "The above exception was the direct cause of the following exception:\n\n"
        'Traceback (most recent call last):\n  File "a.py", line 2, in g\nValueError: no such order'
    )
    event = parse_one(PARSER, line(level="ERROR", exception=trace, exception_name="ValueError"))
    assert event.event_type == "error"
    assert (event.properties["error.type"], event.properties["error.message"]) == ("ValueError", "no such order")
    assert event.properties["exception"] == trace
    assert parse_one(PARSER, line(exception=trace)).event_type == "error"


@pytest.mark.parametrize(
    "text",
    [
        '{"level":"INFO","message":"m","timestamp":"2026-01-01T00:00:00Z","service":"another logger\'s"}',
        '{"level":"INFO","message":"m","service":"s","location":"f:1"}',
        '{"level":"INFO","timestamp":"t","service":"s","location":"f:1"}',
        '{"level":"INFO","message":"cut short","service":"s","loca',
        '["level","service"]',
        'INFO {"level":"INFO","service":"s"}',
        "",
    ],
)
def test_other_lines_are_left_alone(block, text):
    assert PARSER.parse(block(text)) is None
