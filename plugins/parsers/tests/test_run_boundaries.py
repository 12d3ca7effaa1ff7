"""Where frameworks' runs begin and end in a log stream, by what each really printed: ``agent_events.bounded``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vectadb_agent_parsers import AutoGenParser, LlamaIndexParser, OpenAIAgentsParser, vectadb_register_parsers

RECORDINGS = Path(__file__).parents[3] / "tests" / "recordings"
BY_NAME = {parser.name: parser for parser in vectadb_register_parsers()}


def boundaries(join: Any, name: str) -> str:
    """The boundaries of a recording in order, but for ``none``."""
    parser = BY_NAME[name.partition("/")[0]]
    used = parser(parser.Config(type=parser.name))
    read = json.loads((RECORDINGS / f"{name}.json").read_text())
    text = read["text"] if "text" in read else read["stdout"]
    blocks = join([used], *text.splitlines(keepends=True))
    found = [event.properties.get("run_boundary") for each in blocks for event in used.parse(each.block) or ()]
    return " ".join(each for each in found if each not in (None, "none"))


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("crewai/two_tasks", "start end"),
        ("llamaindex/several_tools", "start end"),
        ("llamaindex/workflow.steps", "start"),
        ("llamaindex/vector.tree", "start end start end"),
        ("llamaindex/functions_nested.verbose", "next call next call end end call end"),
        ("llamaindex/openai_several_tools.verbose", "next call end call end call end"),
        ("llamaindex/react_interrupted.verbose", "next call"),
        ("llamaindex/questions.verbose", "next call end call end call end"),
        ("llamaindex/router.verbose", "next"),
        ("openai_agents/nested_agent.debug", "next end"),
        ("openai_agents/tool_raises.data", "next end"),
        ("openai_agents/two_runs.spans", ""),
        ("langgraph/two_runs.debug", "next next"),
        ("langgraph/two_runs.pretty", "next next"),
        ("autogen/round_robin.events", "next"),
        ("autogen/two_runs.events", "next next"),
        ("autogen/nested_agent.events", "next call next end"),
        ("autogen/nested_agent.console", "next call next call end end call end"),
        ("autogen/summary.console", "next call end end"),
        ("langchain/lcel.verbose", "start start end start end end"),
        ("langchain/nested_raises.verbose", "start start"),
        ("langchain/nested_raises.debug", "next end"),
        ("langchain/two_runs_first_dies.debug", "next end next end"),
        ("langchain/create_agent_two_tools.debug", "next end"),
    ],
)
def test_where_runs_begin_and_end(join: Any, name: str, told: str) -> None:
    assert boundaries(join, name) == told


def test_agents_inside_a_run_are_no_runs(parse_one: Any) -> None:
    parser = OpenAIAgentsParser(OpenAIAgentsParser.Config(type="openai_agents"))
    assert parse_one(parser, "Running agent Order desk (turn 1)\n").properties["run_boundary"] == "none"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Tracing is disabled. Not creating trace Agent workflow\n", "next"),
        ("Tracing is disabled. Not creating span <agents.tracing.span_data.AgentSpanData object at 0x7c>\n", None),
        ("Setting current trace: no-op\n", None),
        ("Resetting current trace\n", "end"),
    ],
)
def test_a_run_without_tracing(parse_one: Any, line: str, told: str | None) -> None:
    parser = OpenAIAgentsParser(OpenAIAgentsParser.Config(type="openai_agents"))
    assert parse_one(parser, line).properties.get("run_boundary") == told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("[tick] add: AgentWorkflowStartEvent(user_msg='Hello', chat_history=None)\n", "start"),
        ("[tick] add: AgentWorkflowStartEvent(user_msg='Hel...\n", "start"),
        ("[parse_agent_output:0] complete with StopEvent\n", "end"),
        ("[parse_agent_output:0] complete with ToolCall\n", None),
        ("Running step init_run\n", "start"),
        ("Step init_run produced event AgentInput\n", "none"),
        ("Added user message to memory: Hello\n", "next"),
        ("Tool with name hammer not found, please double check.\n", "end"),
    ],
)
def test_workflows_and_chats_of_llamaindex(parse_one: Any, line: str, told: str | None) -> None:
    parser = LlamaIndexParser(LlamaIndexParser.Config(type="llamaindex"))
    assert parse_one(parser, line).properties.get("run_boundary") == told


@pytest.mark.parametrize(
    ("messages", "agent", "told"),
    [
        ([{"role": "system", "content": "s"}, {"role": "user", "content": "q"}], None, "next"),
        ([{"role": "user", "content": "q"}], "writer_x/x", None),
        ([{"role": "assistant", "content": "a"}, {"role": "user", "content": "and?"}], None, "next"),
        ([{"role": "assistant"}, {"role": "tool", "tool_call_id": "1", "content": "r"}], None, None),
    ],
)
def test_a_request_of_autogens_event_log(block: Any, messages: list[Any], agent: str | None, told: str | None) -> None:
    parser = AutoGenParser(AutoGenParser.Config(type="autogen"))
    members = {"type": "LLMCall", "messages": messages, "response": {"content": "x"}, "agent_id": agent}
    made = parser.parse(block(json.dumps(members)))
    assert made is not None
    assert made[0].properties.get("run_boundary") == told
    assert all("run_boundary" not in event.properties for event in made[1:])
