"""AgentCore's spans and the words that go with them, on the documented samples and at their edges."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vectadb_agent import Block, Event, LogRecord, LogStream
from vectadb_agent.errors import ParseError
from vectadb_agent_parsers import langchain_spans
from vectadb_agent_parsers.agentcore import AgentCoreParser

SAMPLES = Path(__file__).parents[3] / "tests" / "recordings" / "agentcore"
NAMES = sorted(path.stem for path in SAMPLES.glob("*.json"))
STREAM = LogStream("aws", "1", "us-east-1", "aws/spans", "default")


def parsed(text: str) -> list[Event] | None:
    parser = AgentCoreParser(AgentCoreParser.Config(type="agentcore"))
    return parser.parse(Block((LogRecord(STREAM, "1", 0, text),), (text,), ("0",)))


def sample(name: str) -> tuple[dict[str, Any], list[list[Event]]]:
    told = json.loads((SAMPLES / f"{name}.json").read_text())
    return told, [parsed(line) or [] for line in told["text"].split("\n")[:-1]]


def test_there_are_samples():
    assert len(NAMES) >= 5


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_of_the_right_type(name: str) -> None:
    told, lines = sample(name)
    for right, made in zip(told["lines"], lines, strict=True):
        assert {event.event_type for event in made} <= set(right)
        assert made


@pytest.mark.parametrize("name", NAMES)
def test_calls_have_name_arguments_and_result(name: str) -> None:
    told, lines = sample(name)
    by_span: dict[str, dict[str, Any]] = {}
    for event in (event for made in lines for event in made):
        if event.event_type in ("tool_call", "tool_result") or event.properties.get("role") == "tool":
            by_span.setdefault(event.properties["span_id"], {}).update(event.properties)
    assert len(by_span) == len(told["truth"]["calls"])
    for call in told["truth"]["calls"]:
        (found,) = [
            each
            for each in by_span.values()
            if each["gen_ai.tool.name"] == call["name"] and call["id"] in (None, each.get("gen_ai.tool.call.id"))
        ]
        if call["printed"]["arguments"] == "full":
            assert found["gen_ai.tool.call.arguments"] == call["arguments"]
        value = call["error"] if call["error"] is not None else call["result"]
        if call["printed"]["result"] == "full":
            assert found["gen_ai.tool.call.result"] == value
        assert found.get("is_error", False) == (call["error"] is not None)


@pytest.mark.parametrize("name", NAMES)
def test_models_and_runs(name: str) -> None:
    told, lines = sample(name)
    events = [event for made in lines for event in made]
    models = [event.properties for event in events if event.event_type == "llm_end"]
    tokens = sorted((each["gen_ai.usage.input_tokens"], each["gen_ai.usage.output_tokens"]) for each in models)
    assert tokens == sorted((each["input_tokens"], each["output_tokens"]) for each in told["truth"]["models"])
    agents = [event.properties["gen_ai.agent.name"] for event in events if event.event_type == "agent_end"]
    # OpenTelemetry's instrumentation of LangGraph has two spans for a run.
    assert set(agents) == {run["name"] for run in told["truth"]["runs"]}
    assert len(agents) in (len(told["truth"]["runs"]), 2 * len(told["truth"]["runs"]))
    assert all(event.trace_id and event.session_id for event in events)


def test_a_span_that_failed():
    span = {
        "traceId": "t",
        "spanId": "s",
        "name": "chat",
        "startTimeUnixNano": 1_700_000_000_000_000_000,
        "endTimeUnixNano": 1_700_000_001_500_000_000,
        "attributes": {"gen_ai.operation.name": "chat"},
        "events": [{"name": "exception", "attributes": {"exception.type": "Throttled"}}],
        "status": {"code": "ERROR", "message": "too many"},
    }
    (event,) = parsed(json.dumps(span)) or []
    assert event.event_type == "llm_end"
    assert (event.properties["error.type"], event.properties["error.message"]) == ("Throttled", "too many")
    assert event.properties["duration_ms"] == 1500
    assert event.timestamp == 1_700_000_001_500_000


@pytest.mark.parametrize(
    "text",
    [
        "plain",
        '{"message": "spanId"}',
        '{"spanId": "s", "traceId": "t", "level": "INFO"}',
        '{"spanId": "s", "traceId": "t", "timeUnixNano": 1, "body": "just words"}',
        '{"spanId": 1, "traceId": "t", "startTimeUnixNano": 1, "endTimeUnixNano": 2}',
    ],
)
def test_what_is_no_span_is_refused(text: str) -> None:
    assert parsed(text) is None


def test_a_span_cut_short_is_malformed():
    with pytest.raises(ParseError, match="agentcore"):
        parsed('{"spanId": "s", "startTimeUnixNano": 1, "attributes": {')


@pytest.mark.parametrize(
    ("printed", "value"),
    [
        ("{'query': \"it's\"}", {"query": "it's"}),
        ('{"input_str": "{\'a\': 1}", "tags": [], "kwargs": {}}', {"a": 1}),
        ('{"output": "plain"}', {"output": "plain"}),  # a tool's own object
        ('{"output": "plain", "kwargs": {}}', "plain"),
        ('{"generations": [[{"text": "Yes."}]], "llm_output": null}', [{"role": "assistant", "content": "Yes."}]),
        ("not JSON", "not JSON"),
        (None, None),
    ],
)
def test_what_langchains_instrumentations_print(printed: Any, value: Any) -> None:
    assert langchain_spans.value(printed) == value
