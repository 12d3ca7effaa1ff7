from __future__ import annotations

import json
from typing import Any

import pytest

from vectadb_agent_parsers import AutoGenParser

PARSER = AutoGenParser(AutoGenParser.Config(type="autogen"))
AGENT = "support_1b2c3d4e-0000-4000-8000-000000000001/1b2c3d4e-0000-4000-8000-000000000001"


def told(block: Any, text: str) -> list[tuple[str, dict[str, Any]]]:
    events = PARSER.parse(block(text))
    assert events is not None
    return [(event.event_type, event.properties) for event in events]


def test_a_tool_call_of_the_event_log_is_its_result_with_its_arguments(block):
    members = {"type": "ToolCall", "tool_name": "search", "arguments": {"query": "a"}, "result": "{'n': 1}"}
    (begun, agent), (kind, found) = told(block, json.dumps(members | {"agent_id": AGENT}))
    assert (begun, agent["gen_ai.agent.name"], agent["resumes"]) == ("agent_start", "support", True)
    assert kind == "tool_result"
    assert found["gen_ai.tool.name"] == "search"
    assert found["gen_ai.tool.call.arguments"] == {"query": "a"}
    assert [kind for kind, _ in told(block, json.dumps(members | {"agent_id": None}))] == ["tool_result"]


def test_a_model_call_brings_tokens_and_the_calls_that_it_asks_for(block):
    function = {"name": "search", "arguments": '{"query": "a"}'}
    message = {"role": "assistant", "content": None, "tool_calls": [{"id": "call_1", "function": function}]}
    response = {"model": "gpt-x", "choices": [{"message": message}]}
    members = {"type": "LLMCall", "messages": [{"role": "user", "content": "q"}], "response": response}
    events = told(block, json.dumps(members | {"prompt_tokens": 11, "completion_tokens": 3, "agent_id": None}))
    assert [kind for kind, _ in events] == ["llm_end", "agent_action"]
    ended, action = (found for _, found in events)
    assert (ended["gen_ai.usage.input_tokens"], ended["gen_ai.usage.output_tokens"]) == (11, 3)
    assert (action["gen_ai.tool.call.id"], action["gen_ai.tool.call.arguments"]) == ("call_1", {"query": "a"})


def test_calls_and_results_on_the_console(block):
    first = """FunctionCall(id='1', arguments='{"q": "it\\'s"}', name='a')"""
    asked = f"[{first}, FunctionCall(id='2', arguments='', name='b')]"
    events = told(block, f"---------- ToolCallRequestEvent (bot) ----------\n{asked}\n")[1:]
    assert [(kind, found["gen_ai.tool.name"], found["gen_ai.tool.call.id"]) for kind, found in events] == [
        ("tool_call", "a", "1"),
        ("tool_call", "b", "2"),
    ]
    assert events[0][1]["gen_ai.tool.call.arguments"] == {"q": "it's"}
    returned = "[FunctionExecutionResult(content='down', name='a', call_id='1', is_error=True)]"
    [(kind, found)] = told(block, f"---------- ToolCallExecutionEvent (bot) ----------\n{returned}\n")[1:]
    assert (kind, found["gen_ai.tool.call.result"], found["gen_ai.tool.call.id"]) == ("tool_result", "down", "1")
    assert found["error.type"] == "ToolError"


def test_a_message_keeps_its_lines_and_gives_up_its_tokens(block):
    text = "---------- TextMessage (bot) ----------\nTwo days.\n\n  More.\n[Prompt tokens: 5, Completion tokens: 2]\n"
    _, ended, answer = told(block, text)
    assert (ended[0], ended[1]["gen_ai.usage.input_tokens"]) == ("llm_end", 5)
    assert (answer[0], answer[1]["message"]) == ("agent_finish", "Two days.\n\n  More.")


def test_what_the_user_says_is_a_query(block):
    [(kind, found)] = told(block, "---------- TextMessage (user) ----------\nhow long?\n")
    assert (kind, found["message"]) == ("query", "how long?")


def test_a_header_ends_the_message_before_it(join):
    first, second = "---------- TextMessage (user) ----------\n", "---------- TextMessage (bot) ----------\n"
    blocks = join([PARSER], first, "one\n", "two\n", second, "three\n")
    assert [each.block.text for each in blocks] == [f"{first}one\ntwo\n", f"{second}three\n"]


@pytest.mark.parametrize(
    "text",
    [
        "---------- not a header\n",
        "---------- TextMessage (bot) ---------\n",
        '{"type": "ToolCall", "name": "another\'s"}',
        '{"type": "LLMCall", "messages": "no list"}',
        '{"type": "ToolCall", "tool_name": "cut',
        '{"type": "Message", "text": "a chat application\'s"}',
        "plain",
        "",
    ],
)
def test_other_lines_are_left_alone(block, text):
    assert PARSER.parse(block(text)) is None
