from __future__ import annotations

import pytest

from vectadb_agent_parsers import StrandsParser


def strands(**options):
    return StrandsParser(StrandsParser.Config(type="strands", **options))


def told(join, parser, *texts):
    """Type and text of each block's event, in the order of the records; what is not Strands' has the type ``None``."""
    found = []
    for each in join([parser], *texts):
        made = parser.parse(each.block) if each.owner is not None else None
        found += [(event.event_type, event.raw) for event in made] if made else [(None, each.block.text)]
    return found


def test_a_call_has_its_name_and_number(parse_one):
    called = parse_one(strands(), "Tool #12: get-weather\n")
    assert called.event_type == "tool_call"
    assert called.properties == {"framework": "strands", "gen_ai.tool.name": "get-weather", "number": 12}


def test_words_between_calls_are_the_agents_a_message_each(join):
    lines = ["Let me\n", "\n", "look.\n", "Tool #1: search\n", "\n", "Tool #2: lookup\n", "Two days."]
    assert told(join, strands(), *lines) == [
        ("message", "Let me\n\nlook.\n"),
        ("tool_call", "Tool #1: search\n"),
        (None, "\n"),
        ("tool_call", "Tool #2: lookup\n"),
        ("message", "Two days."),
    ]


def test_one_record_is_cut_where_lines_would_be(join):
    text = "Let me\nlook.\nTool #1: search\nTwo days."
    by_line = told(join, strands(), *text.splitlines(keepends=True))
    assert told(join, strands(), text) == by_line
    assert [kind for kind, _ in by_line] == ["message", "tool_call", "message"]


@pytest.mark.parametrize(
    "text", ["The answer is 42.\n", "Tool #1: two words\n", "Tool #: search\n", " Tool #1: search\n", "\n"]
)
def test_without_text_only_calls_and_failures_are_taken(join, text):
    parser = strands(text=False)
    lines = ["Before\n", text, "Tool #1: search\n", "tool_name=<search> | tool execution failed\n", "After"]
    assert told(join, parser, *lines) == [
        (None, "Before\n"),
        (None, text),
        ("tool_call", "Tool #1: search\n"),
        ("error", "tool_name=<search> | tool execution failed\n"),
        (None, "After"),
    ]
    assert [kind for kind, _ in told(join, parser, "".join(lines)) if kind] == ["tool_call", "error"]


def test_a_failing_model_is_an_error_of_its_type(parse_one):
    failed = parse_one(strands(text=False), "exception=<ThrottlingException> | event loop cycle failed\n")
    assert failed.event_type == "error"
    assert failed.properties["error.type"] == "ThrottlingException"
    assert failed.properties["level"] == "ERROR"


@pytest.mark.parametrize(
    "line",
    [
        "tool_name=<search> | tool execution failed\n",
        "tool_name=<search> | failed to process tool\n",
        "tool_name=<search>, available_tools=<['lookup', 'chatty']> | tool not found in registry",
    ],
)
def test_a_failing_tool_is_named(parse_one, line):
    failed = parse_one(strands(text=False), line)
    assert failed.event_type == "error"
    assert failed.properties["gen_ai.tool.name"] == "search"
    assert "error.type" not in failed.properties  # the traceback behind it tells that


@pytest.mark.parametrize(
    "line",
    [
        "2026-01-01 00:00:00,123 INFO httpx: HTTP Request: POST https://x\n",
        "[INFO]\t2026-01-01T00:00:00.123Z\t8f507cfc-1111-4e07-98b2-7e6c9aa0f7ad\tdone\n",
        "START RequestId: 8f507cfc-1111-4e07-98b2-7e6c9aa0f7ad Version: $LATEST\n",
        "Traceback (most recent call last):\n",
        "The above exception was the direct cause of the following exception:\n",
    ],
)
def test_lines_with_a_frame_of_their_own_are_not_the_agents(join, line):
    assert told(join, strands(), line) == [(None, line)]
    assert (None, line) in told(join, strands(), "One\n", line, "two\n")
