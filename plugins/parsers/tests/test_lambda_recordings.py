"""Lambda's own records: as awslambdaric prints them and AWS documents them, alone and amid a framework's open block."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vectadb_agent_parsers import vectadb_register_parsers

RECORDINGS = Path(__file__).parents[3] / "tests" / "recordings"
BY_NAME = {parser.name: parser for parser in vectadb_register_parsers()}
NAMES = [
    f"{path.parent.name}/{path.stem}"
    for each in ("awslambdaric", "lambda_platform")
    for path in sorted((RECORDINGS / each).glob("*.json"))
]
REQUEST = "79b4f56e-95b1-4643-9700-2807f4e68189"
#: A line that opens a block of each format which has no mark for its end, and a line that goes on.
OPENINGS = {
    "autogen": ("---------- TextMessage (bot) ----------\n", "hello\n"),
    "langchain": ("\x1b[36;1m\x1b[1;3mresult\n", "more\n"),
    "langgraph": ("================================== Ai Message ==================================\n", "\n"),
    "llamaindex": ("=== Function Output ===\n", "two days\n"),
    "openai_agents": ("Tool search returned one\n", "two\n"),
}
_FRAMES = ["[ERROR] KeyError: 'x'", "Traceback (most recent call last):", '\xa0\xa0File "/var/task/a.py", line 3, in h']


def platform(kind: str, **record: Any) -> str:
    told = {"time": "2026-01-01T00:00:00Z", "type": kind, "record": {"requestId": REQUEST, **record}}
    return json.dumps(told, separators=(",", ":")) + "\n"


AMID = {
    "report": (platform("platform.report", status="success", metrics={"durationMs": 1.5}), "invocation_end"),
    "start": (platform("platform.start", version="1"), "invocation_start"),
    "runtimeDone": (platform("platform.runtimeDone", status="timeout"), "error"),
    "timeout": (f"2026-01-01T00:00:03.000Z {REQUEST} Task timed out after 3.01 seconds\n\n", "error"),
    "exit": (f"RequestId: {REQUEST} Error: Runtime exited with error: signal: killed\n", "error"),
    "raised": ("\r".join(_FRAMES) + "\n", "error"),
    "raised, framed": ("\n".join(_FRAMES) + "\n", "error"),
    "node": (f"2026-01-01T00:00:00.123Z\t{REQUEST}\tERROR\tboom\n", "error"),
}


def made(*names: str) -> list[Any]:
    return [member for name in names for member in BY_NAME[name](BY_NAME[name].Config(type=name)).members()]


def types_by_record(join: Any, parsers: list[Any], records: list[str]) -> list[list[str]]:
    found: list[list[str]] = [[] for _ in records]
    for each in join(parsers, *records):
        asked = parsers if each.owner is None else [parsers[each.owner]]
        events = next((events for parser in asked if (events := parser.parse(each.block)) is not None), [])
        for number in set(each.tags):
            found[number] += [event.event_type for event in events] or ["log"]
    return found


@pytest.mark.parametrize("by", [("lambda", "python_logging", "json"), ("auto",)], ids=["lambda", "auto"])
@pytest.mark.parametrize("name", NAMES)
def test_lines_are_of_the_right_type(join: Any, name: str, by: tuple[str, ...]) -> None:
    told = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    lines = told["text"].removesuffix("\n").split("\n") if told["text"] else []
    types = types_by_record(join, made(*by), [f"{line}\n" for line in lines])
    for line, right, taken in zip(lines, told["lines"], types, strict=True):
        assert "*" in right or set(taken) & set(right), (line[:100], right, taken)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("lambda_platform")])
def test_every_invocation_of_the_platform_has_a_start_and_an_end(parse_one: Any, name: str) -> None:
    told = json.loads((RECORDINGS / f"{name}.json").read_text(encoding="utf-8"))
    parser = made("lambda")[0]
    lines = [line for line in told["text"].splitlines() if line.startswith('{"time"')]
    events = [parse_one(parser, line) for line in lines]
    asked = [run["name"] for run in told["truth"]["runs"]]
    assert [event.request_id for event in events if event.event_type == "invocation_start"] == asked
    ends = [event for event in events if event.event_type == "invocation_end"]
    assert [event.request_id for event in ends] == asked
    failed = [run["error"] is not None for run in told["truth"]["runs"]]
    assert ["error.type" in event.properties for event in ends] == failed


@pytest.mark.parametrize("what", AMID)
@pytest.mark.parametrize("framework", OPENINGS)
def test_what_lambda_writes_is_not_taken_into_an_open_block(join: Any, framework: str, what: str) -> None:
    record, right = AMID[what]
    opening = OPENINGS[framework]
    for parsers in (made("lambda", framework, "python_logging", "json"), made("auto")):
        types = types_by_record(join, parsers, [*opening, record])
        assert types[-1] == [right]
        assert types[: len(opening)] == types_by_record(join, parsers, list(opening))


@pytest.mark.parametrize("end", ["platform.report", "platform.start"])
@pytest.mark.parametrize("framework", OPENINGS)
def test_the_platforms_boundaries_end_the_open_block(join: Any, framework: str, end: str) -> None:
    boundary = platform(end, status="success")
    blocks = join(made("lambda", framework), *OPENINGS[framework], boundary, "of the next\n")
    assert [each.block.text for each in blocks] == ["".join(OPENINGS[framework]), boundary, "of the next\n"]


def test_an_object_that_only_names_a_boundary_ends_nothing(join: Any) -> None:
    opening = OPENINGS["openai_agents"]
    look_alike = '{"note": "the \\"platform.report\\" of last week", "type": "platform.start"}\n'
    blocks = join(made("lambda", "openai_agents"), *opening, look_alike)
    assert [each.block.text for each in blocks] == ["".join(opening) + look_alike]


def test_what_the_platform_measures(parse_one: Any) -> None:
    parser = made("lambda")[0]
    root = {"type": "X-Amzn-Trace-Id", "value": "Root=1-62e900b2-710d;Parent=0efb;Sampled=1"}
    start = parse_one(parser, platform("platform.start", version="7", tracing=root))
    assert (start.properties["faas.version"], start.properties["xray_trace_id"]) == ("7", "1-62e900b2-710d")
    init = parse_one(parser, platform("platform.initReport", metrics={"durationMs": 125.33}))
    assert init.properties["faas.init_duration_ms"] == 125.33
    assert "faas.duration_ms" not in init.properties
    restore = parse_one(parser, platform("platform.restoreReport", metrics={"durationMs": 15.19}))
    assert restore.properties["faas.restore_duration_ms"] == 15.19
