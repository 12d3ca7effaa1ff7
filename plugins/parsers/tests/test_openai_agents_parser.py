from __future__ import annotations

import json

import msgspec
import pytest

from vectadb_agent_parsers import LambdaParser, OpenAIAgentsParser, PythonLoggingParser

PARSER = OpenAIAgentsParser(OpenAIAgentsParser.Config(type="openai_agents"))
LAMBDA = LambdaParser(LambdaParser.Config(type="lambda"))
LOGGING = PythonLoggingParser(PythonLoggingParser.Config(type="python_logging"))
REPLY = [
    "LLM resp:\n",
    "[\n",
    '  {"type": "function_call", "name": "search", "call_id": "call_1",\n',
    '   "arguments": "{\\"query\\": \\"a\\"}"}\n',
    "]\n",
    "\n",
]


def told(join, *texts, parsers=(PARSER,)):
    """Type and raw text of the events of each block; what is nobody's has the type ``None``."""
    found = []
    for each in join(list(parsers), *texts):
        asked = parsers if each.owner is None else [parsers[each.owner]]
        made = next((made for parser in asked if (made := parser.parse(each.block)) is not None), None)
        found += [(event.event_type, event.raw) for event in made] if made else [(None, each.block.text)]
    return found


def span(**told_):
    return json.dumps({"object": "trace.span", "id": "span_1", "trace_id": "trace_1", "parent_id": "span_0", **told_})


@pytest.mark.parametrize(
    ("line", "turn"),
    [
        ("Running agent Order desk (turn 1)\n", 1),
        ("Running agent Order desk (turn 2)\n", 2),
        ("Starting turn 2, current_agent=Order desk\n", 2),
    ],
)
def test_a_turn_begins_its_agent_or_goes_on_with_it(parse_one, line, turn):
    begun = parse_one(PARSER, line)
    assert begun.event_type == "agent_start"
    assert begun.properties["gen_ai.agent.name"] == "Order desk"
    assert (begun.properties["turn"], begun.properties["resumes"]) == (turn, turn > 1)


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("Invoking tool search\n", None),
        ('Invoking tool search with input {"query": "it\'s: {a}\\n"}\n', {"query": "it's: {a}\n"}),
        ("Invoking tool search with input \n", ""),
        ("Invoking tool search with input {broken\n", "{broken"),
        ('Invoking MCP tool search with input {"a": [1]}', {"a": [1]}),
    ],
)
def test_a_call_has_the_arguments_that_were_printed(parse_one, line, arguments):
    called = parse_one(PARSER, line)
    assert called.event_type == "tool_call"
    assert called.properties["gen_ai.tool.name"] == "search"
    assert called.properties.get("gen_ai.tool.call.arguments") == arguments


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Tool search completed.\n", None),
        ("Tool search returned \n", ""),
        ("Tool search returned one\n\n  two\n", "one\n\n  two"),
        ("Tool search returned {'a': [1, None]}\n", {"a": [1, None]}),
        ('Tool search returned {"a": 1}\n', '{"a": 1}'),
        ("MCP tool search returned x\n", "x"),
    ],
)
def test_a_result_is_what_was_printed_of_it(parse_one, text, value):
    returned = parse_one(PARSER, text)
    assert returned.event_type == "tool_result"
    assert returned.properties["gen_ai.tool.name"] == "search"
    assert returned.properties.get("gen_ai.tool.call.result") == value


def test_a_result_of_several_lines_ends_with_the_logs_next_line(join):
    assert told(join, "Tool a returned one\n", "\n", "two\n", "Tool b returned x\n", "Resetting current trace\n") == [
        ("tool_result", "Tool a returned one\n\ntwo\n"),
        ("tool_result", "Tool b returned x\n"),
        ("chain_end", "Resetting current trace\n"),
    ]


def test_a_tool_that_raises_is_a_result_with_its_error(join):
    failed = [
        'Tool search failed: {"query": "a}"} no such table\n',
        "host: db-1\n",
        "Traceback (most recent call last):\n",
        '  File "/var/task/a.py", line 1, in search\n',
        "ConnectionError: no such table\n",
        "host: db-1\n",
    ]
    others = ["what a program prints next\n", f"{span(span_data={'type': 'agent', 'name': 'A'})}\n"]
    blocks = join([PARSER, LOGGING], *failed, *others)
    assert [each.block.text for each in blocks] == ["".join(failed), *others]
    (event,) = PARSER.parse(blocks[0].block)
    assert event.event_type == "tool_result"
    assert event.properties == {
        "framework": "openai_agents",
        "gen_ai.tool.name": "search",
        "error.type": "ConnectionError",
        "error": True,
        "gen_ai.tool.call.arguments": {"query": "a}"},
        "error.message": "no such table\nhost: db-1",
    }


@pytest.mark.parametrize(
    "arguments", ["{", '{"a":' * 5_000, '{"a": "\\ud800"}', '{"a": NaN}', '{"a": ' + "9" * 5_000 + "}"]
)
def test_a_failure_with_odd_arguments_is_still_one(block, arguments):
    (failed,) = PARSER.parse(block(f"Tool search failed: {arguments} no such table\n"))
    assert failed.properties["error"] is True
    msgspec.json.encode(failed.properties)


def test_a_failure_with_a_cause_is_one_block(join):
    failed = [
        "Tool search failed: {} no such table\n",
        "Traceback (most recent call last):\n",
        '  File "/var/task/a.py", line 1, in search\n',
        "KeyError: 'orders'\n",
        "\n",
        "The above exception was the direct cause of the following exception:\n",
        "\n",
        "Traceback (most recent call last):\n",
        '  File "/var/task/a.py", line 3, in search\n',
        "ConnectionError: no such table\n",
    ]
    (block, after) = join([PARSER, LOGGING], *failed, "next\n")
    assert (block.block.text, after.block.text) == ("".join(failed), "next\n")
    (event,) = PARSER.parse(block.block)
    assert event.properties["error.type"] == "ConnectionError"


def test_a_span_ends_a_result(join):
    ended = f"{span(span_data={'type': 'agent', 'name': 'A'})}\n"
    found = told(join, "Tool a returned one\n", "two\n", ended, "{}\n")
    assert found == [("tool_result", "Tool a returned one\ntwo\n"), ("agent_end", ended), (None, "{}\n")]


def test_a_failure_without_data_tells_the_name(parse_one):
    failed = parse_one(PARSER, "Tool search failed\n")
    assert failed.event_type == "tool_result"
    assert failed.properties == {"framework": "openai_agents", "gen_ai.tool.name": "search", "error": True}


@pytest.mark.parametrize(
    "text", ["Tool search failed: timeout\n", "Tool shed completed\n", "Invoking tool\n", "Tool a b returned x\n"]
)
def test_what_only_resembles_the_log_is_refused(join, block, text):
    assert PARSER.parse(block(text)) is None
    assert told(join, text, "next\n") == [(None, text), (None, "next\n")]


def test_a_reply_asks_for_calls_by_their_ids(block):
    ended, action = PARSER.parse(block(*REPLY))
    assert ended.event_type == "llm_end"
    assert action.event_type == "agent_action"
    assert action.properties["gen_ai.tool.name"] == "search"
    assert action.properties["gen_ai.tool.call.id"] == "call_1"
    assert action.properties["gen_ai.tool.call.arguments"] == {"query": "a"}


def test_a_reply_without_calls_is_the_answer(block):
    text = json.dumps([{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "42"}]}])
    ended, finished = PARSER.parse(block("LLM resp:\n", text, "\n"))
    assert (ended.event_type, ended.properties["message"]) == ("llm_end", "42")
    assert (finished.event_type, finished.properties["message"]) == ("agent_finish", "42")


def test_a_request_tells_the_results_since_the_last_reply(block):
    asked = [
        {"type": "function_call_output", "call_id": "call_0", "output": "old"},
        {"role": "assistant", "content": "Hm."},
        {"type": "function_call", "call_id": "call_1", "name": "a", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "call_1", "output": "new"},
    ]
    text = f"Calling LLM gpt-x with input:\n{json.dumps(asked, indent=2)}\nTools:\n[]\nStream: False\n\n"
    returned, started = PARSER.parse(block(text))
    assert returned.properties["gen_ai.tool.call.id"] == "call_1"
    assert returned.properties["gen_ai.tool.call.result"] == "new"
    assert started.event_type == "llm_start"
    assert started.properties["gen_ai.request.model"] == "gpt-x"
    assert started.properties["gen_ai.input.messages"] == asked[3:]  # what the request before did not have


def test_a_bare_request_of_chat_completions_is_one_block(join):
    lines = ["[\n", '  {"role": "user", "content": "Go"}\n', "]\n", "Tools:\n", "[]\n", "Stream: False\n", "\n"]
    found = told(join, *lines, *REPLY)
    assert found[0] == ("llm_start", "".join(lines))
    assert found[1] == ("llm_end", "".join(REPLY))


def test_somebodys_own_array_ends_where_it_ends(join):
    array = ["[\n", "  1\n", "]\n"]
    for others in (["hello\n", "  indented\n"], ["  indented\n"], ["{}\n"]):
        assert told(join, *array, *others) == [(None, "".join(array)), *((None, line) for line in others)]
    assert told(join, *array, *array) == [(None, "".join(array))] * 2


def test_lines_of_others_leave_a_block_open(join):
    stray = "2026-01-01 00:00:00,123 INFO httpx: HTTP Request: POST https://x\n"
    for at in range(1, len(REPLY)):
        found = told(join, *REPLY[:at], stray, *REPLY[at:], parsers=(LAMBDA, PARSER, LOGGING))
        assert [raw for kind, raw in found if kind == "llm_end"] == ["".join(REPLY)]
        assert ("log", stray) in found


def test_one_record_is_cut_where_lines_would_be(join):
    lines = ["hello\n", "Invoking tool a with input {}\n", "Tool a returned x\n", "y\n", "Running agent A (turn 2)\n"]
    assert told(join, "".join(lines)) == told(join, *lines)


def test_a_function_span_is_a_call_and_its_result(block):
    data = {"type": "function", "name": "search", "input": '{"query": "ü"}', "output": "{'a': 1}"}
    times = {"started_at": "2026-11-24T07:41:15.391110+00:00", "ended_at": "2026-11-24T07:41:15.391944+00:00"}
    text = span(span_data=data, error=None, **times)
    called, returned = PARSER.parse(block(text))
    assert called.raw == text
    assert called.properties["gen_ai.tool.call.arguments"] == {"query": "ü"}
    assert returned.properties["gen_ai.tool.call.result"] == {"a": 1}
    assert returned.properties["duration_ms"] == pytest.approx(0.834)
    assert returned.timestamp - called.timestamp == 834
    for event in (called, returned):
        assert event.trace_id == "trace_1"
        assert (event.properties["span_id"], event.properties["parent_span_id"]) == ("span_1", "span_0")


def test_a_span_that_failed_tells_why(block):
    error = {"message": "Error running tool", "data": {"tool_name": "a", "error": "no such table"}}
    _, returned = PARSER.parse(
        block(span(span_data={"type": "function", "name": "a", "input": "", "output": None}, error=error))
    )
    assert returned.event_type == "tool_result"
    assert returned.properties["error"] == error
    assert "gen_ai.tool.call.result" not in returned.properties


@pytest.mark.parametrize("kind", ["generation", "response"])
def test_a_model_span_tells_its_tokens(parse_one, kind):
    data = {"type": kind, "model": "gpt-x", "usage": {"input_tokens": 3, "output_tokens": 2}, "response_id": "r"}
    ended = parse_one(PARSER, span(span_data=data))
    assert ended.event_type == "llm_end"
    assert ended.properties["gen_ai.usage.input_tokens"] == 3
    assert ended.properties["gen_ai.usage.output_tokens"] == 2
    assert ended.properties["gen_ai.request.model"] == "gpt-x"


def test_a_trace_names_its_session(parse_one):
    begun = parse_one(PARSER, '{"object": "trace", "id": "trace_1", "workflow_name": "W", "group_id": "thread-7"}')
    assert (begun.trace_id, begun.session_id) == ("trace_1", "thread-7")


@pytest.mark.parametrize(
    "text",
    [
        '{"object": "trace.span", "id": 1, "span_data": {}}',
        '{"object": "trace.span", "id": "s", "span_data": []}',
        '{"object": "trace"',
        '{"object": "chat.completion", "id": "trace"}',
        '{"message": "trace"}',
    ],
)
def test_other_objects_are_refused(block, text):
    assert PARSER.parse(block(text)) is None
