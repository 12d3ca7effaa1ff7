"""What every parser of the package promises, on any text: see ``Parser`` in core."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent import Block, LogRecord, LogStream, Piece
from vectadb_agent.errors import ParseError
from vectadb_agent_parsers import vectadb_register_parsers

RECORDINGS = Path(__file__).parents[3] / "tests" / "recordings" / "langchain"
STREAM = LogStream("aws", "1", "eu-west-1", "/g", "s")


def all_parsers():
    options = {"regex": {"rules": [{"pattern": r"(?P<level>ERROR|INFO)"}, {"pattern": r"id=(?P<n>\d+)"}]}}
    made = [cls(cls.Config(type=cls.name, **options.get(cls.name, {}))) for cls in vectadb_register_parsers()]
    return [parser for parser in made if [*parser.members()] == [parser]]


PARSERS = all_parsers()
SAMPLES = [
    line
    for name in (
        "nested_raises.verbose",
        "react_parsing_errors.verbose",
        "tools_two_tools.debug",
        "zeroshot_two_tools.verbose",
    )
    for line in json.loads((RECORDINGS / f"{name}.json").read_text())["stdout"].splitlines(keepends=True)
] + [
    "[ERROR]\t2026-01-01T00:00:00.123Z\t79b4f56e-95b1-4643-9700-2807f4e68189\tTraceback (most recent call last):\n",
    "REPORT RequestId: 79b4f56e-95b1-4643-9700-2807f4e68189\tDuration: 3.5 ms\tBilled Duration: 4 ms\n",
    '{"type": "platform.report", "record": {"requestId": "x", "metrics": {"durationMs": 1}}}\n',
    '{"timestamp": 1767225600, "level": "error", "msg": {"a": []}}\n',
    "2026-01-01 00:00:00,123 - a - ERROR - b\n",
    "> Entering new LLMChain chain...\n",
    "Action Input: {\n",
    "Observation: x\n",
    "Invoking: `a` with `{'b': 1}`\n",
    "Final Answer: y\n",
    "Tool #1: search\n",
    "INFO:openai.agents:Invoking tool a\n",
    "[tick] add: ToolCallResult(tool_name='a', tool_kwargs={'b': 1}, tool_id='1', tool_output=ToolOutput(blocks=["
    "TextBlock(block_type='text', text='a\\n...\n",
    "[tick] add: ToolCall(tool_name='a', tool_kwargs={'b': 1}, tool_id='1')\n",
    "=== Calling Function ===\nCalling function: a with args: {}\n",
    "╭── 🔧 Tool Execution Started (#1) ──╮\n│  Tool: a  │\n│  Args: {'b': 1}  │\n╰───╯\n",
    "╭── ✅ Agent Final Answer ──╮\n│  Agent: a  │\n│  Final Answer:  │\n",
    '{"schemaType": "ModelInvocationLog", "modelId": "a", "input": {"inputBodyJson": {"messages": [{"role": "user", '
    '"content": [{"toolResult": {"content": [{"json": 1}]}}]}]}}, "output": {"outputBodyJson": {"output": {}}}}\n',
    "\x1b[1m[values]\x1b[0m {'messages': [HumanMessage(content='a', id='1')]}\n",
    "{'agent': {'messages': [AIMessage(content='a', tool_calls=[{'name': 'b', 'args': {}}], usage_metadata={})]}}\n",
    "================================== Ai Message ==================================\nTool Calls:\n  a (1)\n",
    "---------- ToolCallRequestEvent (a) ----------\n[FunctionCall(id='1', arguments='{}', name='b')]\n",
    '{"type": "ToolCall", "tool_name": "a", "arguments": {}, "result": "{\'b\': 1}", "agent_id": "x_y/z"}\n',
    '{"type": "LLMCall", "messages": [{"role": "tool", "tool_call_id": "1"}], "response": {"choices": [{}]}}\n',
    "Running agent A (turn 2)\n",
    'Invoking tool a with input {"b": 1}\n',
    "Tool a returned {'b': [1]}\n",
    'LLM resp:\n[{"type": "function_call", "name": "a", "arguments": "{}"}]\n',
    '{"object": "trace.span", "id": "s", "trace_id": "t", "span_data": {"type": "function", "name": "a"}}\n',
    '{"level":"ERROR","location":"a:1","message":{"b":1},"timestamp":"x","service":"s","exception":"Traceback"}\n',
]
FRAGMENTS = [
    "\x1b[0m",
    "\x1b[32;1m\x1b[1;3m",
    "\x1b[36;1m\x1b[1;3m",
    "\x1b[1m",
    "\x1b[",
    "`",
    '"',
    "{",
    "}",
    "\n",
    "\r",
    "\ud800",
    "\0",
    "é",
    "1" * 30,
]


@st.composite
def mutated(draw):
    line = draw(st.sampled_from(SAMPLES))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(line)))
        cut = draw(st.integers(0, 12))
        line = line[:at] + draw(st.sampled_from([*FRAGMENTS, "", *SAMPLES])) + line[at + cut :]
    return line


TEXTS = st.one_of(st.text(), mutated(), st.lists(st.sampled_from([*FRAGMENTS, *SAMPLES]), max_size=8).map("".join))


def block_of(lines):
    records = tuple(LogRecord(STREAM, str(number), 0, line) for number, line in enumerate(lines))
    return Block(records, tuple(lines), ("0",) * len(lines))


def parsed(parser, block):
    try:
        return parser.parse(block)
    except ParseError as error:
        return str(error)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@given(lines=st.lists(TEXTS, min_size=1, max_size=6))
def test_any_text_is_parsed_or_refused_by_parse_error(parser, lines):
    block = block_of(lines)
    events = parsed(parser, block)
    assert events == parsed(all_parsers()[PARSERS.index(parser)], block_of(lines))
    if isinstance(events, list):
        for number, event in enumerate(events):
            assert event.raw == (block.text if number == 0 else None)
            assert event.event_type
            assert event.timestamp is None or type(event.timestamp) is int
            for name in ("trace_id", "request_id", "session_id", "agent_id"):
                assert getattr(event, name) is None or type(getattr(event, name)) is str
            json.dumps(event.properties)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@given(lines=st.lists(TEXTS, min_size=1, max_size=12))
def test_pieces_put_together_are_the_text(parser, lines):
    state = None
    for line in lines:
        pieces = parser.pieces(line, state)
        assert [*pieces] == [*parser.pieces(line, state)]
        if pieces:
            assert "".join(piece.text for piece in pieces) == line
            assert all(piece.text for piece in pieces) or not line
        state = after(pieces, state)


def after(pieces: list[Piece], state):
    """What core hands the parser next: the state of the block that is open then."""
    for piece in pieces:
        if piece.kind == "start" or (piece.kind == "continue" and state is not None):
            state = None if piece.closes else True if piece.state is None else piece.state
    return state


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@given(lines=st.lists(TEXTS, min_size=1, max_size=12))
def test_states_do_not_change(parser, lines):
    """A state is handed in again when a page is read again: it must not be altered."""
    state = None
    for line in lines:
        before = repr(state)
        state_now = after(parser.pieces(line, state), state)
        assert repr(state) == before
        state = state_now


HEADING = "Traceback (most recent call last):\n"
HOSTILE = {
    "spaces": " ",
    "braces": "{",
    "brackets": '{"a":[',
    "quotes": '{"a":"\\',
    "escapes": "\x1b[",
    "resets": "\x1b[0m",
    "starts": "\x1b[32;1m\x1b[1;3m",
    "entering": "\x1b[1m> Entering new ",
    "action": "Action: ",
    "action inputs": "Action Input",
    "digits": "1",
    "heads": "[chain/start] [",
    "backticks": "\nInvoking: `a` with `",
    "fences": '```json {"action"',
    "tracebacks": HEADING,
    "keys": "session_id",
    "numbers": "1.e+-",
    "levels": "2026-01-01 00:00:00,1",
    "thought": "Thought:\n",
    "tabs": "[ERROR]\t2026-01-01T00",
    "headers": "---------- A (",
    "stats": "\n[Prompt tokens: 1",
    "objects": "[A(b=",
    "opaque": "<a <b ",
    "returned": "Tool a returned ",
    "calling": "Calling LLM a with input:\n",
}


PREFIXES = [
    "",
    "{",
    "\x1b[32;1m\x1b[1;3m",
    '[tool/end] [a] Exiting Tool run with output:\n"',
    HEADING,
    "---------- ToolCallRequestEvent (a) ----------\n",
]


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@pytest.mark.parametrize("name", HOSTILE)
def test_time_is_linear(parser, name):
    """No assertion: what takes quadratic time would be at it for hours."""
    for prefix in PREFIXES:
        text = prefix + HOSTILE[name] * (200_000 // len(HOSTILE[name]))
        state = after(parser.pieces(text, None), None)
        parser.pieces(text, state)
        parsed(parser, block_of([text]))


def test_every_parser_describes_its_options():
    for parser in PARSERS:
        schema = parser.Config.model_json_schema()
        for name, field in schema["properties"].items():
            assert field.get("description"), f"{parser.name}.{name}"


def test_events_can_be_sent():
    for parser in PARSERS:
        for line in SAMPLES:
            events = parsed(parser, block_of([line]))
            if isinstance(events, list):
                msgspec.json.encode([event.properties for event in events])


def test_the_hook_brings_every_parser_by_its_name():
    brought = vectadb_register_parsers()
    assert [parser.name for parser in brought] == [
        "agentcore",
        "auto",
        "autogen",
        "bedrock",
        "crewai",
        "framed",
        "json",
        "lambda",
        "langchain",
        "langgraph",
        "llamaindex",
        "openai_agents",
        "powertools",
        "python_logging",
        "regex",
        "strands",
    ]
    assert all(parser.__doc__ for parser in brought)
