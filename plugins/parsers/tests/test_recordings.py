"""Every framework's own parser on what the framework really printed: see tests/recordings/README.md.

``make accuracy`` tells how much is right, with the server's spans; here stands what must not change: how records are
cut does not matter, every call that was printed is there, and what is known to be wrong is named.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from vectadb_agent import Event, LogRecord, LogStream
from vectadb_agent.join import Joiner
from vectadb_agent_parsers import literals, vectadb_register_parsers

RECORDINGS = Path(__file__).parents[3] / "tests" / "recordings"
STREAM = LogStream("aws", "1", "eu-west-1", "/g", "s")
BY_NAME = {parser.name: parser for parser in vectadb_register_parsers()}
FRAMEWORKS = sorted(name for name in BY_NAME if (RECORDINGS / name).is_dir() and name != "langchain")
NAMES = [
    f"{path.parent.name}/{path.stem}" for each in FRAMEWORKS for path in sorted((RECORDINGS / each).glob("*.json"))
]
#: Lines whose type no parser could tell, by recording: text that looks like the framework's, messages of exceptions
#: that go on over several lines, what a tool itself prints between the words of an agent.
KNOWN_WRONG = {
    "autogen/tricky_inputs.console": 1,
    "framed/openai_agents_tool_raises.lambda": 2,
    "framed/openai_agents_tool_raises.logging": 2,
    "langgraph/tool_raises.debug": 2,
    "langgraph/tool_raises.pretty": 2,
    "langgraph/tool_raises.updates": 2,
    "openai_agents/tool_raises.data": 2,
    "openai_agents/tool_raises.debug": 2,
    "openai_agents/tool_raises.spans": 2,
    "strands/marker_words": 1,
    "strands/model_fails": 3,
    "strands/two_runs": 1,
}
FOREIGN = "2026-01-01 00:00:00,123 INFO httpx: HTTP Request: POST https://x\n"


def recording(name: str) -> dict[str, Any]:
    return json.loads((RECORDINGS / f"{name}.json").read_text())


def parsers(framework: str) -> list[Any]:
    return [BY_NAME[name](BY_NAME[name].Config(type=name)) for name in (framework, "python_logging", "json")]


def parsed(framework: str, records: list[str]) -> list[tuple[Event, set[int]]]:
    """The events in order, each with the numbers of the records that its block is of."""
    used = parsers(framework)
    joiner: Joiner[int] = Joiner(used)
    done = [
        each
        for number, text in enumerate(records)
        for each in joiner.add(LogRecord(STREAM, str(number), number, text), number, 0)
    ]
    done = sorted([*done, *joiner.flush()], key=lambda each: (each.tags[0], int(each.block.parts[0])))
    found: list[tuple[Event, set[int]]] = []
    for each in done:
        asked = used if each.owner is None else [used[each.owner], *used]
        made = next((made for parser in asked if (made := parser.parse(each.block)) is not None), [Event()])
        found += [(event, set(each.tags)) for event in made]
    return found


def lines_of(text: str) -> list[str]:
    lines = [f"{line}\n" for line in text.split("\n")]
    return lines if lines[-1] != "\n" else lines[:-1]


def portrait(events: list[tuple[Event, set[int]]], framework: str) -> list[Any]:
    named = {"openai_agents"} if framework == "framed" else {framework}
    return [(event.event_type, event.properties) for event, _ in events if event.properties.get("framework") in named]


def value(printed: Any) -> Any:
    for read in (json.loads, literals.read):
        try:
            return read(printed)
        except (ValueError, TypeError):
            continue
    return printed.strip("\n") if isinstance(printed, str) else printed


@pytest.mark.parametrize("name", NAMES)
def test_lines_are_of_the_right_type(name: str) -> None:
    told = recording(name)
    texts = told["text"].split("\n")
    types: list[set[str]] = [set() for _ in texts]
    for event, numbers in parsed(name.partition("/")[0], [f"{line}\n" for line in texts]):
        for number in numbers:
            types[number].add(event.event_type)
    wrong = [
        (number, texts[number][:80], right)
        for number, right in enumerate(told["lines"])
        if "*" not in right and not types[number] & set(right)
    ]
    assert len(wrong) == KNOWN_WRONG.get(name, 0), wrong


# AgentCore logs what a call was given and returned in records of their own, which the server puts to its span.
@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("agentcore")])
def test_every_printed_call_is_there(name: str) -> None:
    framework, told = name.partition("/")[0], recording(name)
    events = [event for event, _ in parsed(framework, lines_of(told["text"]))]
    called = [event.properties for event in events if event.event_type in ("tool_call", "agent_action")]
    results = [event.properties for event in events if event.event_type == "tool_result"]
    for call in told["truth"]["calls"]:
        printed = call["printed"]
        if printed.get("name", "full") == "absent":
            continue
        named = [each for each in called if each.get("gen_ai.tool.name") == call["name"]]
        assert named, call
        if printed["arguments"] == "full":
            assert any(value(each.get("gen_ai.tool.call.arguments")) == value(call["arguments"]) for each in named), (
                call
            )
        if printed["result"] == "full" and call["result"] is not None:
            assert any(value(each.get("gen_ai.tool.call.result")) == value(call["result"]) for each in results), call


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(("strands", "powertools"))])
def test_records_without_their_newline_give_the_same_events(name: str) -> None:
    framework, text = name.partition("/")[0], recording(name)["text"]
    by_line = portrait(parsed(framework, lines_of(text)), framework)
    assert by_line == portrait(parsed(framework, [line.removesuffix("\n") for line in lines_of(text)]), framework)


#: Not of frames: a line that has one ends the message before, whatever that is.
@pytest.mark.parametrize("name", [n for n in NAMES if ("several" in n or "nested" in n) and not n.startswith("framed")])
def test_a_log_line_anywhere_changes_nothing(name: str) -> None:
    framework, text = name.partition("/")[0], recording(name)["text"]
    lines = lines_of(text)
    whole = portrait(parsed(framework, lines), framework)
    for at in range(1, len(lines), max(1, len(lines) // 12)):
        events = parsed(framework, [*lines[:at], FOREIGN, *lines[at:]])
        if framework != "strands":  # whose words are cut in two by it
            assert Counter(map(repr, portrait(events, framework))) == Counter(map(repr, whole)), lines[at]
        assert sum(event.properties.get("logger") == "httpx" for event, _ in events) == 1
