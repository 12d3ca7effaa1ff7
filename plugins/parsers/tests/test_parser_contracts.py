"""The suite that third-party parsers pass, on ours; ``test_parser_contract.py`` has harder texts."""

from __future__ import annotations

import pytest

from vectadb_agent.testing import ParserContract
from vectadb_agent_parsers import vectadb_register_parsers

SAMPLES = {
    "agentcore": '{"traceId": "6a2b", "spanId": "1f", "name": "execute_tool search", "startTimeUnixNano": '
    '1767225600000000000, "endTimeUnixNano": 1767225601000000000, "kind": "INTERNAL", "scope": {"name": '
    '"strands.telemetry.tracer"}, "attributes": {"gen_ai.operation.name": "execute_tool", '
    '"gen_ai.tool.name": "search"}}',
    "autogen": '{"type": "ToolCall", "tool_name": "add", "arguments": {"a": 1}, "result": "2", "agent_id": "math_1/x"}',
    "bedrock": '{"schemaType": "ModelInvocationLog", "schemaVersion": "1.0", "timestamp": "2026-01-01T00:00:00Z", '
    '"requestId": "r1", "operation": "Converse", "modelId": "m", "input": {"inputBodyJson": {"messages": []}, '
    '"inputTokenCount": 3}, "output": {"outputBodyJson": {}, "outputTokenCount": 4}}',
    "crewai": "╭── ✅ Agent Final Answer ──╮\n│  Agent: cook  │\n│  Final Answer:  │\n│  soup  │\n╰───╯",
    "json": '{"level": "error", "message": "no disk", "trace_id": "t1"}',
    "lambda": "START RequestId: 79b4f56e-95b1-4643-9700-2807f4e68189 Version: $LATEST",
    "langchain": "\x1b[1m> Entering new AgentExecutor chain...\x1b[0m",
    "langgraph": "================================== Ai Message ==================================\n\nhello",
    "llamaindex": "=== Calling Function ===\nCalling function: add with args: {}",
    "openai_agents": "Running agent A (turn 2)",
    "powertools": '{"level":"ERROR","location":"a:1","message":"b","timestamp":"2026-01-01 00:00:00,000+0000",'
    '"service":"s"}',
    "python_logging": "2026-01-01 00:00:00,123 - shop - ERROR - no disk",
    "regex": "id=7 ERROR",
    "strands": "Tool #1: search",
}
EXPECTED = {
    "agentcore": (
        {"event_type": "tool_call"},
        {"event_type": "tool_result"},
    ),
    "autogen": (
        {"event_type": "agent_start"},
        {"event_type": "tool_result"},
    ),
    "bedrock": ({"event_type": "llm_end"},),
    "crewai": (
        {"event_type": "agent_finish"},
        {"event_type": "agent_end"},
    ),
    "json": ({"event_type": "error", "trace_id": "t1"},),
    "lambda": ({"event_type": "invocation_start"},),
    "langchain": ({"event_type": "agent_start"},),
    "langgraph": (
        {"event_type": "llm_end"},
        {"event_type": "agent_finish"},
    ),
    "llamaindex": ({"event_type": "tool_call"},),
    "openai_agents": ({"event_type": "agent_start"},),
    "powertools": ({"event_type": "error"},),
    "python_logging": ({"event_type": "error", "message": "no disk"},),
    "regex": ({"event_type": "log", "n": "7"},),
    "strands": ({"event_type": "tool_call"},),
}
OPTIONS = {"regex": {"rules": [{"pattern": r"id=(?P<n>\d+)"}]}}


@pytest.fixture(params=sorted(set(SAMPLES)))
def suite(request: pytest.FixtureRequest) -> ParserContract:
    parsers = {parser.name: parser for parser in vectadb_register_parsers()}

    class Suite(ParserContract):
        parser = parsers[request.param]
        options = OPTIONS.get(request.param, {})
        good = ((SAMPLES[request.param], EXPECTED[request.param]),)
        foreign = () if request.param == "strands" else ("plain words of nobody",)  # its text is any words

    return Suite()


@pytest.mark.parametrize("test", [name for name in dir(ParserContract) if name.startswith("test_")])
def test_our_parsers_pass_the_suite(suite: ParserContract, test: str) -> None:
    assert suite.parser.name in SAMPLES
    getattr(suite, test)()
