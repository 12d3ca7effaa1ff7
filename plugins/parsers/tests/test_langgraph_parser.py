"""The langgraph parser on what messages print of themselves that the recordings lack."""

from __future__ import annotations

import pytest

from vectadb_agent_parsers import LangGraphParser

TITLE = "================================== Ai Message =================================="
CALLS = "Tool Calls:\n  {0} ({1})\n Call ID: {1}\n  Args:\n    query: {2}\n"


@pytest.mark.parametrize(
    "value",
    [
        *[7, 1.5, True, None, [], ["a", 1], {"a": {"b": None}}, {"it's": 1}, "Oslo", "", "a: b\nc"],
        *['{"a": 1}', '["a"]', "true", "null", "1.50", "007", "1e5", " 7", '"quoted"', "'quoted'"],
    ],
)
def test_arguments_that_pretty_print_shows_without_their_quotes(block, value):
    text = f"{TITLE}\n" + CALLS.format("search", "call_1", value)
    made = LangGraphParser(LangGraphParser.Config(type="langgraph")).parse(block(text))
    assert [event.properties.get("gen_ai.tool.call.arguments") for event in made or ()][-1] == {"query": value}


def test_calls_that_a_message_quotes_are_none(block):
    words = CALLS.format("fake", "call_0", "x") + "is what I am about to do."
    text = f"{TITLE}\n\n{words}\n" + CALLS.format("search", "call_1", "a")
    reply, *calls = LangGraphParser(LangGraphParser.Config(type="langgraph")).parse(block(text)) or ()
    assert reply.properties["message"] == words
    assert [event.properties["gen_ai.tool.name"] for event in calls] == ["search"]
