from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_agent_parsers import FramedParser, vectadb_register_parsers

if TYPE_CHECKING:
    from vectadb_agent import Parser

RECORDINGS = Path(__file__).parents[3] / "tests" / "recordings"
REQUEST = "8f507cfc-1111-4e07-98b2-7e6c9aa0f7ad"
FRAMES = {
    "lambda": f"[DEBUG]\t2026-01-01T00:00:00.123Z\t{REQUEST}\t",
    "asctime": "2026-01-01 00:00:00,123 DEBUG openai.agents: ",
    "dashes": "2026-01-01 00:00:00,123 - openai.agents - DEBUG - ",
    "basic": "DEBUG:openai.agents:",
}
LINES = {
    'Invoking tool search with input {"query": "a"}': ("tool_call", {"gen_ai.tool.call.arguments": {"query": "a"}}),
    "Tool search completed.": ("tool_result", {"gen_ai.tool.name": "search"}),
    "Running agent Support (turn 1)": ("agent_start", {"gen_ai.agent.name": "Support"}),
    '{"type": "ToolCall", "tool_name": "t", "arguments": {"a": 1}, "result": "r", "agent_id": null}': (
        "tool_result",
        {"gen_ai.tool.call.result": "r", "gen_ai.tool.call.arguments": {"a": 1}},
    ),
    "[tick] add: ToolCall(tool_name='t', tool_kwargs={'a': 1}, tool_id='1')": (
        "tool_call",
        {"gen_ai.tool.call.id": "1"},
    ),
}
ERROR = "2026-01-01 00:00:00,123 ERROR app: it broke\n"
TRACEBACK = ("Traceback (most recent call last):\n", '  File "a.py", line 1, in f\n', "KeyError: 'x'\n")


@pytest.fixture
def parser():
    return FramedParser(FramedParser.Config(type="framed"))


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("line", LINES)
def test_a_line_in_a_frame_is_the_frameworks_with_the_frames_time_and_request(parser, parse_one, frame, line):
    event = parse_one(parser, f"{FRAMES[frame]}{line}\n")
    event_type, properties = LINES[line]
    assert event.event_type == event_type
    assert properties.items() <= event.properties.items()
    assert event.properties["level"] == "DEBUG"
    assert event.request_id == (REQUEST if frame == "lambda" else None)
    assert (event.timestamp == 1_767_225_600_123_000) is (frame != "basic")


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("line", ["Tool box opened", "Running agents now", '{"type": "ToolCall"}', "two [tick] tock"])
def test_other_messages_stay_with_the_frames_own_parser(parser, block, frame, line):
    assert parser.parse(block(f"{FRAMES[frame]}{line}\n")) is None


def test_a_line_without_a_frame_is_the_frameworks_own_parsers(parser, block):
    assert all(parser.parse(block(f"{line}\n")) is None for line in LINES)


def family(name: str) -> Parser:
    (cls,) = (cls for cls in vectadb_register_parsers() if cls.name == name)
    return cls(cls.Config(type=name))


def recordings() -> list[str]:
    """Those of which each piece can be a message of its own: of LangChain the debug form, without frames in results."""
    folders = [RECORDINGS / name for name in ("autogen", "crewai", "langgraph", "llamaindex", "openai_agents")]
    found = [path for folder in folders for path in sorted(folder.glob("*.json"))]
    found += [
        path for path in sorted((RECORDINGS / "langchain").glob("*.debug.json")) if "log_results" not in path.name
    ]
    return [path.relative_to(RECORDINGS).with_suffix("").as_posix() for path in found]


def events_of(parsers: list[Parser], blocks: list[Any]) -> list[tuple[Any, ...]]:
    """The events of frameworks' blocks, without what only a frame tells."""
    found = []
    for each in blocks:
        asked = parsers if each.owner is None else [parsers[each.owner], *parsers]
        made = next((made for parser in asked if (made := parser.parse(each.block)) is not None), [])
        for event in made:
            told = {name: value for name, value in event.properties.items() if name not in ("level", "logger")}
            if "framework" in told:
                found.append((event.event_type, told))
    return found


@pytest.mark.parametrize(("name", "frame"), list(zip(recordings(), itertools.cycle(FRAMES))))
def test_messages_of_several_lines_give_the_same_events_in_a_frame(join, name, frame):
    framework = name.partition("/")[0]
    told = json.loads((RECORDINGS / f"{name}.json").read_text())
    lines = [f"{line}\n" for line in told.get("text", told.get("stdout")).split("\n")]
    bare = [family(framework)]
    blocks = [each for each in join(bare, *lines) if bare[0].parse(each.block) is not None]
    logged = [line for each in blocks for line in (FRAMES[frame] + each.block.lines[0], *each.block.lines[1:])]
    used = [family(name) for name in ("framed", "lambda", "python_logging", "json")]
    framed = join(used, *logged)
    assert events_of(used, framed) == events_of(bare, blocks)
    assert [line for each in framed for line in each.block.lines] == logged


@pytest.mark.parametrize("frame", FRAMES)
def test_a_message_in_one_record_is_as_in_many(parser, parse_one, join, frame):
    message = f"{FRAMES[frame]}Tool search returned one\ntwo\n\nTraceback (most recent call last):\n  none\n"
    event = parse_one(parser, message)
    assert event.properties["gen_ai.tool.call.result"] == "one\ntwo\n\nTraceback (most recent call last):\n  none"
    (block,) = join([parser], *message.splitlines(keepends=True))
    assert block.block.text == message


@pytest.mark.parametrize("frame", FRAMES)
def test_a_message_ends_where_the_next_begins_whosever_that_is(join, frame):
    used = [family(name) for name in ("framed", "lambda", "python_logging", "json")]
    ours = [f"{FRAMES[frame]}Tool search returned one\n", "two\n"]
    other = FRAMES[frame].replace("DEBUG", "INFO") + "ordinary\n"
    blocks = join(used, *ours, other, "of nobody\n", *ours, ERROR, *TRACEBACK, "of nobody\n")
    assert [list(each.block.lines) for each in blocks] == [
        ours,
        [other],
        ["of nobody\n"],
        ours,
        [ERROR, *TRACEBACK],
        ["of nobody\n"],
    ]


@pytest.mark.parametrize("line", ["", "\n", "text\n", "  {\n", "]\n", "│ text │\n", "Tool search returned it\n"])
def test_what_has_no_frame_opens_nothing(parser, line):
    assert parser.pieces(line, None) == ()
