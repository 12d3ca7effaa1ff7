from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vectadb_agent.errors import ParseError
from vectadb_agent_parsers import RegexParser


def parser(**options):
    return RegexParser(RegexParser.Config(type="regex", **options))


def test_groups_fill_fields_and_properties(parse_one):
    event = parse_one(
        parser(
            pattern=r"(?i)(?P<timestamp>\S+) \[(?P<level>\w+)\] tool (?P<tool>\w+) took (?P<ms>\d+)ms "
            r"args=(?P<args>\{.*\})( req (?P<request_id>\S+))?",
            event_type="tool_call",
            field_mapping={"tool": "gen_ai.tool.name", "args": "gen_ai.tool.call.arguments"},
            types={"ms": "int", "args": "json"},
        ),
        '> 2026-01-01T00:00:00Z [WARN] TOOL search took 12ms args={"q": "é"} session_id=s-1\n',
    )
    assert event.timestamp == 1_767_225_600_000_000
    assert event.event_type == "tool_call"
    assert (event.request_id, event.session_id) == (None, "s-1")
    assert event.properties == {
        "level": "WARNING",
        "gen_ai.tool.name": "search",
        "ms": 12,
        "gen_ai.tool.call.arguments": {"q": "é"},
    }


def test_the_level_makes_an_error(parse_one):
    assert parse_one(parser(pattern="(?P<level>ERROR|INFO)"), "an ERROR").event_type == "error"
    assert parse_one(parser(pattern="(?P<level>ERROR|INFO)"), "an INFO").event_type == "log"


def test_no_match_is_left_to_others(block):
    assert parser(pattern="^a$").parse(block("b")) is None
    assert parser(rules=[{"pattern": "^a$"}, {"pattern": "c"}]).parse(block("b")) is None


def test_the_first_rule_wins(parse_one):
    rules = [
        {"name": "call", "pattern": r"call (?P<message>\w+)", "event_type": "tool_call"},
        {"name": "any", "pattern": r"(?P<message>\w+)"},
    ]
    event = parse_one(parser(rules=rules), "call x")
    assert event.event_type == "tool_call"
    assert event.properties == {"message": "x", "rule": "call"}
    assert parse_one(parser(rules=rules), "coal y").properties == {"message": "coal", "rule": "any"}


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "-3", -3),
        ("float", "1e3", 1000.0),
        ("bool", "Yes", True),
        ("bool", "0", False),
        ("json", "[1]", [1]),
        ("timestamp", "1767225600", 1_767_225_600_000_000),
    ],
)
def test_types(parse_one, kind, text, value):
    assert parse_one(parser(pattern="v=(?P<v>.*)", types={"v": kind}), f"v={text}").properties == {"v": value}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        *(
            (kind, text)
            for kind in ("int", "float", "bool", "json", "timestamp")
            for text in ("x", "", "nan", "[" * 5000)
        ),
        *((kind, "1" * 5000) for kind in ("int", "bool", "timestamp", "float")),
    ],
)
def test_what_is_not_of_the_type_is_an_error(block, kind, text):
    with pytest.raises(ParseError, match=f"group v.*types.v: {kind}"):
        parser(pattern="v=(?P<v>.*)", types={"v": kind}).parse(block(f"v={text}"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pattern": "ab(?=c)"}, r"at character 2: lookahead \(\(\?=\), which RE2 does not support.*several rules"),
        ({"pattern": "(?<!c)a"}, "at character 0: lookbehind"),
        ({"pattern": r"(a)\1"}, "at character 3: a backreference"),
        ({"pattern": "(a"}, r"at character 2: missing \)"),
        ({"pattern": "a[b"}, r"at character 1: missing \]"),
        ({"pattern": "a**"}, "at character 1: bad repetition operator"),
        ({"rules": [{"pattern": "a"}, {"pattern": "b("}]}, r"rules\.1\.pattern\n.*at character 2"),
        ({}, "either pattern or rules"),
        ({"pattern": "a", "rules": [{"pattern": "b"}]}, "either pattern or rules"),
        ({"rules": [{"pattern": "a"}], "event_type": "log"}, "belong to each rule"),
        ({"pattern": "(?P<a>x)", "types": {"b": "int"}}, r"types\.b: the pattern has no group.*groups: a"),
        (
            {"pattern": "x", "field_mapping": {"b": "c"}},
            r"field_mapping\.b: the pattern has no group.*none; write one as",
        ),
    ],
)
def test_mistakes_in_the_configuration_are_explained(options, reason):
    with pytest.raises(ValidationError, match=f"(?s){reason}"):
        RegexParser.Config(type="regex", **options)


def test_a_nasty_pattern_takes_linear_time(block):
    assert parser(pattern="^(a+)+$").parse(block("a" * 50_000 + "b")) is None


def test_colour_codes_are_matched_verbatim(parse_one):
    text = "\x1b[32mdone\x1b[0m"
    assert parse_one(parser(pattern=r"\x1b\[32m(?P<word>\w+)"), text).properties == {"word": "done"}


@given(st.text())
def test_any_text(text):
    from vectadb_agent import Block, LogRecord, LogStream

    one = Block((LogRecord(LogStream("", "", "", "", ""), "0", 0, text),), (text,), ("0",))
    (event,) = parser(pattern=r"(?s)^(?P<all>.*)$").parse(one)
    assert event.raw == text
    assert len(event.properties["all"]) == len(text)
    assert parser(rules=[{"pattern": "x"}, {"pattern": "."}]).parse(one) is None or text.strip("\n")


@pytest.mark.parametrize(
    ("line", "event_type", "properties"),
    [
        (
            'INFO tool_call id=7 tool=search args={"query": "a b"}',
            "tool_call",
            {"gen_ai.tool.name": "search", "gen_ai.tool.call.arguments": '{"query": "a b"}'},
        ),
        ('tool call: name="look up"', "tool_call", {"gen_ai.tool.name": "look up"}),
        (
            "tool_result tool=search result=two days, or five",
            "tool_result",
            {"gen_ai.tool.name": "search", "gen_ai.tool.call.result": "two days, or five"},
        ),
        (
            "llm_call model=gpt-4o prompt_tokens=12 completion_tokens=3 took=1.2s",
            "llm_end",
            {
                "gen_ai.request.model": "gpt-4o",
                "gen_ai.usage.input_tokens": 12,
                "gen_ai.usage.output_tokens": 3,
            },
        ),
        (
            '10.0.0.1 - - [24/Nov/2026:12:00:00 +0000] "GET /orders/7 HTTP/1.1" 503 12 "-" "curl"',
            "log",
            {"http.response.status_code": 503, "url.path": "/orders/7", "client.address": "10.0.0.1"},
        ),
    ],
)
def test_rules_that_come_with_it(parse_one, line, event_type, properties):
    parser = RegexParser(RegexParser.Config(type="regex", extends=["key_value", "http_access"]))
    event = parse_one(parser, line)
    assert event.event_type == event_type
    assert properties.items() <= event.properties.items()


def test_ones_own_rules_come_before_those_they_extend(parse_one):
    rules = [{"name": "mine", "pattern": "tool_call tool=(?P<tool>hammer)", "event_type": "agent_action"}]
    parser = RegexParser(RegexParser.Config(type="regex", rules=rules, extends=["key_value"]))
    assert parse_one(parser, "tool_call tool=hammer").properties["rule"] == "mine"
    assert parse_one(parser, "tool_call tool=saw").properties["rule"] == "key_value tool_call"


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"extends": ["keyvalue"]}, r"no rules are named 'keyvalue' \(there are: key_value, http_access\)"),
        ({}, "there is nothing to look for"),
        ({"pattern": r"\(?=x(?=c)"}, r"at character 5: lookahead.*\n    \\\(\?=x\(\?=c\)\n         \^"),
        (
            {"pattern": "a" * 60 + "(?<=b)" + "c" * 60},
            r"at character 60: lookbehind.*\n    …a{40}\(\?<=b\)c{34}…\n {45}\^",
        ),
        ({"pattern": "a(b"}, r"at character 3: missing \).*\n    a\(b\n       \^"),
    ],
)
def test_a_mistake_is_pointed_at(options, told):
    with pytest.raises(ValueError, match=told):
        RegexParser.Config(type="regex", **options)


def test_it_tells_which_pattern_matched(block):
    parser = RegexParser(RegexParser.Config(type="regex", rules=[{"pattern": "a"}, {"pattern": "b+"}]))
    assert parser.explain(block("xbb")) == "pattern 2 of 2: b+"
    assert parser.explain(block("x")) == "none of its 2 patterns matches"


PIECES = ["a", "b", ".", "*", "+", "?", "(", ")", "(?:", "|", "[ab]", "[^a]", "{2,5}", r"\d", r"\s*", "^", "$", r"\b"]


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=12).map("".join), st.booleans())
def test_whatever_pattern_is_taken_runs_in_linear_time(pattern, several):
    """No assertion on time: what takes exponential time would be at it for ever."""
    try:
        options = {"rules": [{"pattern": pattern}, {"pattern": "zz"}]} if several else {"pattern": pattern}
        parser = RegexParser(RegexParser.Config(type="regex", **options))
    except ValueError:
        return
    parser._found("ab" * 5_000 + "c")
