from __future__ import annotations

import pytest

from vectadb_agent_parsers import FramedParser

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
