from __future__ import annotations

import logging
import traceback

import pytest

from vectadb_agent_parsers import PythonLoggingParser

PARSER = PythonLoggingParser(PythonLoggingParser.Config(type="python_logging"))
AT = 1_767_225_600_123_000


@pytest.mark.parametrize(
    ("text", "level", "logger", "message", "timestamp"),
    [
        ("2026-01-01 00:00:00,123 ERROR app.db: no rows\n", "ERROR", "app.db", "no rows", AT),
        ("2026-01-01 00:00:00,123 INFO no logger\n", "INFO", None, "no logger", AT),
        ("2026-01-01 00:00:00,123 [WARNING] app: x", "WARNING", "app", "x", AT),
        ("2026-01-01 00:00:00,123 - app.db - ERROR - no rows", "ERROR", "app.db", "no rows", AT),
        ("2026-01-01 00:00:00,123 - INFO - hello", "INFO", None, "hello", AT),
        ("[2026-01-01 00:00:00,123] ERROR in app: boom", "ERROR", "app", "boom", AT),
        ("CRITICAL:root:out of memory", "CRITICAL", "root", "out of memory", None),
    ],
)
def test_lines(parse_one, text, level, logger, message, timestamp):
    event = parse_one(PARSER, text)
    assert event.event_type == ("error" if level in ("ERROR", "CRITICAL") else "log")
    assert event.timestamp == timestamp
    assert event.properties.get("logger") == logger
    assert event.properties["level"] == level
    assert event.properties["message"] == message


@pytest.mark.parametrize(
    "form",
    [
        "%(asctime)s %(levelname)s %(name)s: %(message)s",
        logging.BASIC_FORMAT,
        "%(asctime)s - %(name)s - %(levelname)s - %(message)s",
    ],
)
def test_what_logging_itself_writes(join, form):
    try:
        {}["x"]
    except KeyError:
        import sys

        record = logging.LogRecord("app.db", logging.ERROR, __file__, 1, "lookup of %s", ("x",), sys.exc_info())
    lines = logging.Formatter(form).format(record).splitlines(keepends=True)
    blocks = join([PARSER], "before\n", *lines, "after\n")
    assert [each.owner for each in blocks] == [None, 0, None]
    (event,) = PARSER.parse(blocks[1].block)
    assert event.properties == {
        "level": "ERROR",
        "logger": "app.db",
        "message": "lookup of x",
        "error.type": "KeyError",
        "error.message": "'x'",
    }


def chained() -> str:
    """One exception from another, and a third while that is handled."""
    try:
        try:
            try:
                _ = {}["a"]
            except KeyError as error:
                raise ConnectionError("refused") from error
        except ConnectionError:
            raise ValueError("bad")  # noqa: B904 - the chain without a cause is meant
    except ValueError:
        return traceback.format_exc()


def test_chained_tracebacks_are_one_event(join):
    text = chained()
    assert text.count("Traceback") == 3
    blocks = join([PARSER], *text.splitlines(keepends=True), "next print\n")
    assert [each.owner for each in blocks] == [0, None]
    assert blocks[0].block.text == text
    (event,) = PARSER.parse(blocks[0].block)
    assert event.event_type == "error"
    assert (event.properties["error.type"], event.properties["message"]) == ("ValueError", "bad")


def test_two_tracebacks_are_two_events(join):
    lines = ["Traceback (most recent call last):\n", '  File "a.py", line 1, in f\n', "    x\n", "app.Broken: no\n"]
    blocks = join([PARSER], *lines, "ERROR:root:again\n", *lines, *lines)
    events = [PARSER.parse(each.block)[0] for each in blocks]
    assert [event.properties["error.type"] for event in events] == ["app.Broken"] * 3
    assert [event.properties["message"] for event in events] == ["no", "again", "no"]


def test_the_next_line_ends_the_wait_for_a_traceback():
    (error,) = PARSER.pieces("ERROR:root:no\n", None)
    assert (error.kind, error.closes) == ("start", False)
    (following,) = PARSER.pieces("INFO:root:yes\n", error.state)
    assert (following.kind, following.closes) == ("start", True)
    assert not PARSER.pieces("printed\n", error.state)


def test_other_lines_within_a_traceback(join):
    lines = ["Traceback (most recent call last):\n", '  File "a.py", line 1, in f\n', "    x\n", "KeyError: 1\n"]
    blocks = join([PARSER], *lines[:2], "[INFO]\tsomething\n", *lines[2:])
    assert [each.block.text for each in blocks] == ["".join(lines), "[INFO]\tsomething\n"]


def test_an_exception_group(parse_one):
    try:
        raise ExceptionGroup("many", [ValueError("one"), KeyError("two")])
    except ExceptionGroup:
        text = traceback.format_exc()
    event = parse_one(PARSER, text)
    assert event.event_type == "error"
    assert event.properties["error.type"] == "ExceptionGroup"
    assert event.properties["message"] == "many (2 sub-exceptions)"


@pytest.mark.parametrize(
    "text", ["", "hello", "2026-01-01 a day", "ERROR", "ERROR: x", "2026-01-01 00:00:00,123 hello", "Traceback"]
)
def test_other_lines_are_left_alone(block, text):
    assert PARSER.parse(block(text)) is None
    assert not PARSER.pieces(text, None)


def test_ids_in_the_text(parse_one):
    event = parse_one(
        PARSER, "2026-01-01 00:00:00,123 INFO app: done request_id=r-1 sessionId: 's 1' trace_id=Root=1-2"
    )
    assert (event.request_id, event.session_id, event.trace_id) == ("r-1", "s", None)
