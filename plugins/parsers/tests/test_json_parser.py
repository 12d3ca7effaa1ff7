from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent.errors import ParseError
from vectadb_agent_parsers import JsonParser


def parser(**options):
    return JsonParser(JsonParser.Config(type="json", **options))


def test_an_object_becomes_an_event(parse_one):
    text = (
        '  {"time": "2026-01-01T00:00:00.5Z", "level": "warn", "msg": "slow", "trace_id": "t", "requestId": "r",'
        ' "thread_id": 7, "big": 123456789012345678901234567890, "f": 0.1, "nested": {"a": [1, null]},'
        ' "tool_name": "search"}\n'
    )
    event = parse_one(parser(), text)
    assert event.event_type == "log"
    assert event.timestamp == 1_767_225_600_500_000
    assert (event.trace_id, event.request_id, event.session_id) == ("t", "r", "7")
    assert event.properties == {
        "level": "WARNING",
        "message": "slow",
        "big": "123456789012345678901234567890",
        "f": 0.1,
        "nested": {"a": [1, None]},
        "tool_name": "search",
    }


@pytest.mark.parametrize(
    ("members", "event_type"),
    [
        ({"type": "tool_call"}, "tool_call"),
        ({"event_type": "llm_end", "type": "x"}, "llm_end"),
        ({"type": "platform.start"}, "log"),
        ({"level": "ERROR"}, "error"),
        ({"severity": "fatal"}, "error"),
        ({"level": 50}, "error"),
        ({"level": "INFO", "type": ["a"]}, "log"),
        ({}, "log"),
    ],
)
def test_the_type_of_the_event(parse_one, members, event_type):
    assert parse_one(parser(), json.dumps(members)).event_type == event_type


@pytest.mark.parametrize("key", ["timestamp", "time", "@timestamp", "ts"])
def test_every_time_key(parse_one, key):
    assert parse_one(parser(), json.dumps({key: 1_767_225_600})).timestamp == 1_767_225_600_000_000


def test_what_is_no_time_stays(parse_one):
    event = parse_one(parser(), '{"timestamp": "yesterday", "time": 1.5, "ts": "2026-01-01T00:00:00Z"}')
    assert event.timestamp == 1_767_225_600_000_000
    assert event.properties == {"timestamp": "yesterday", "time": 1.5}


def test_x_ray_roots_are_no_traces(parse_one):
    event = parse_one(parser(), '{"trace_id": "Root=1-2", "xray_trace_id": "1-3", "session": {"id": "s"}}')
    assert event.trace_id is None
    assert event.session_id == "s"
    assert event.properties == {"trace_id": "Root=1-2", "xray_trace_id": "1-3", "session": {"id": "s"}}


def test_field_mapping(parse_one):
    mapping = {
        "ctx.conv": "session_id",
        "ctx.tool.name": "gen_ai.tool.name",
        "kind": "event_type",
        "when": "timestamp",
        "gone": "x",
    }
    event = parse_one(
        parser(field_mapping=mapping),
        '{"ctx": {"conv": "c1", "tool": {"name": "search"}, "rest": 1}, "kind": "step", "when": 1767225600000}',
    )
    assert event.session_id == "c1"
    assert event.event_type == "step"
    assert event.timestamp == 1_767_225_600_000_000
    assert event.properties == {"ctx": {"rest": 1}, "gen_ai.tool.name": "search"}


def test_a_fixed_type_wins(parse_one):
    assert parse_one(parser(event_type="query"), '{"type": "tool_call"}').event_type == "query"


@pytest.mark.parametrize(
    "text", ["", "3", '"a"', "[1]", "null", "{not json}", "{", "{}x", '{"a": 1} took 3 ms', "{'a': 1}", '{"a", "b"}']
)
def test_what_is_not_an_object_is_left_to_others(block, text):
    assert parser().parse(block(text)) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "b": "cut sho', "truncated"),
        ('{"a": nan}', "invalid character"),
        ('{"a": "\ud800"}', "character 7 is a lone surrogate"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested too deeply"),
    ],
)
def test_a_malformed_object_is_an_error(block, text, reason):
    with pytest.raises(ParseError, match=reason):
        parser().parse(block(text))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text('ab{}[]",:\\\n ', max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(VALUES, st.sampled_from([1, 2, 4, "\t"]))
def test_a_pretty_printed_object_is_joined(value, indent):
    from vectadb_agent import LogRecord, LogStream
    from vectadb_agent.join import Joiner

    text = json.dumps({"data": value}, indent=indent, ensure_ascii=False)
    stream = LogStream("a", "b", "c", "d", "e")
    joiner = Joiner([parser()])
    done = []
    for number, line in enumerate(text.split("\n")):
        done += joiner.add(LogRecord(stream, str(number), 0, line + "\n"), None, 0)
    assert not len(joiner)
    assert [each.block.text for each in done] == [text + "\n"]
    (event,) = parser().parse(done[0].block)
    assert event.properties == {"data": value}


def test_other_lines_within_a_pretty_printed_object(join):
    blocks = join(
        [parser()],
        "{\n",
        '  "a": 1,\n',
        '{"level": "INFO"}\n',
        "[INFO] hello\n",
        '  "b": [\n',
        "    2\n",
        "  ]\n",
        "}\n",
    )
    assert [each.block.text for each in blocks] == [
        '{\n  "a": 1,\n  "b": [\n    2\n  ]\n}\n',
        '{"level": "INFO"}\n',
        "[INFO] hello\n",
    ]


def test_a_lone_brace_is_given_up(join, block):
    blocks = join([parser()], "{\n", "not json\n", "}\n")
    assert [each.block.text for each in blocks] == ["{\n}\n", "not json\n"]
    assert parser().parse(block("{\n")) is None


def test_numbers_and_depths_that_no_store_holds(block):
    parser = JsonParser(JsonParser.Config(type="json"))
    text = '{"id": 18446744073709551615, "small": 9223372036854775807, "inner": [{"n": -9223372036854775809}]}'
    [event] = parser.parse(block(text))
    assert event.properties == {
        "id": "18446744073709551615",
        "small": 9223372036854775807,
        "inner": [{"n": "-9223372036854775809"}],
    }
    deep = '{"a":' * 70 + "1" + "}" * 70
    with pytest.raises(ParseError, match="nested deeper than 60 levels"):
        parser.parse(block(deep))
