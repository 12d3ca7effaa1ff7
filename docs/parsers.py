"""The page ``parsers.md``: what each parser makes of real output, taken from the recordings of the tests."""

from __future__ import annotations

import json
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from docs.configuration import ours
from vectadb_agent.sample import Chain, parse

if TYPE_CHECKING:
    from collections.abc import Mapping

RECORDINGS = Path(__file__).parent.parent / "tests" / "recordings"
WIDTH = 118
"""Characters of a line of input that are shown; the parser gets all of it."""
VALUE = 60
"""Likewise, of a value in an event."""

HEAD = """\
# Parsers

<!-- Made of the code and the recordings by `make docs`; do not edit. -->

What goes in, as it lies in the log, and the events that come out. Options are in
[`configuration.md`](configuration.md#parsers); `auto` stands for all parsers below but `strands`, whose output carries
no mark. Long lines and values are cut here (`…`), `␛` is the escape character of colour codes. Every event carries its
block's text (`raw`), its time and its `source` besides. Try your own lines: `vectadb-agent parse --explain FILE`.
"""


class Example(NamedTuple):
    """Lines of a recording (``of``: framework, scenario, first line, end), or lines that stand here."""

    shows: str
    of: tuple[str, int, int] | None = None
    lines: tuple[str, ...] = ()
    options: Mapping[str, Any] = MappingProxyType({})


EXAMPLES: dict[str, Example] = {
    "langchain": Example("`AgentExecutor`, `verbose=True`.", ("langchain/react_two_tools.verbose", 2, 18)),
    "langgraph": Example("`message.pretty_print()`.", ("langgraph/several_tools.pretty", 0, 18)),
    "llamaindex": Example("An agent, `verbose=True`.", ("llamaindex/functions_several_tools.verbose", 6, 17)),
    "crewai": Example("A crew, `verbose=True`.", ("crewai/several_tools", 18, 45)),
    "autogen": Example("`Console(team.run_stream(…))`.", ("autogen/several_tools.console", 0, 8)),
    "openai_agents": Example("Exported spans.", ("openai_agents/several_tools.spans", 0, 4)),
    "framed": Example(
        "The OpenAI Agents SDK's messages behind Lambda's prefix.", ("framed/openai_agents_no_tool.lambda", 4, 16)
    ),
    "strands": Example("The console.", ("strands/several_tools", 0, 5)),
    "bedrock": Example("The model invocation log.", ("bedrock/several_tools", 0, 2)),
    "agentcore": Example("Spans and content records.", ("agentcore/several_tools", 0, 4)),
    "lambda": Example(
        "The platform's lines.",
        lines=(
            "START RequestId: 8f507cfc-1111-4e07-98b2-7e6c9aa0f7ad Version: $LATEST",
            "[INFO]\t2026-01-02T03:04:05.678Z\t8f507cfc-1111-4e07-98b2-7e6c9aa0f7ad\tlooking up order 17",
            "END RequestId: 8f507cfc-1111-4e07-98b2-7e6c9aa0f7ad",
            "REPORT RequestId: 8f507cfc-1111-4e07-98b2-7e6c9aa0f7ad\tDuration: 12.34 ms\tBilled Duration: 13 ms"
            "\tMemory Size: 128 MB\tMax Memory Used: 64 MB\t",
        ),
    ),
    "powertools": Example("AWS Lambda Powertools' logger.", ("powertools/levels", 2, 4)),
    "python_logging": Example(
        "A logger's line and a traceback.",
        lines=(
            "2026-01-02 03:04:05,678 ERROR shop.orders: order 17 failed",
            "Traceback (most recent call last):",
            '  File "/app/orders.py", line 12, in place',
            "    charge(order)",
            "ValueError: no such card",
        ),
    ),
    "json": Example(
        "One object a line.",
        lines=(
            '{"time": "2026-01-02T03:04:05Z", "level": "error", "msg": "no disk", "request_id": "r-7", "free": 0}',
            '{"event_type": "tool_call", "tool_name": "search", "tool_input": {"query": "a"}, "trace_id": "t-1"}',
        ),
    ),
    "regex": Example(
        "Your own pattern: `{type: regex, pattern: 'payment (?P<id>\\d+) (?P<state>\\w+)', types: {id: int}}`.",
        lines=("INFO payment 7 done",),
        options={"pattern": r"payment (?P<id>\d+) (?P<state>\w+)", "types": {"id": "int"}},
    ),
}


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(_section(name, example) for name, example in EXAMPLES.items())])


def _section(name: str, example: Example) -> str:
    component: Any = ours().components["parser"][name].component
    parser = component(component.Config(type=name, **example.options))
    lines = _lines(example)
    shown = "\n".join(_cut(line.replace("\x1b", "␛").replace("\t", "  "), WIDTH) for line in lines)
    events = "\n".join(
        json.dumps(_event(event.wire()), ensure_ascii=False)
        for taken in parse(lines, Chain([parser]))
        for event in taken.events
        if taken.parser is not None
    )
    about = " ".join((component.__doc__ or "").replace("``", "`").split())
    return f"## `{name}`\n\n{about}\n\n{example.shows}\n\n```text\n{shown}\n```\n\n```jsonl\n{events}\n```\n"


def _lines(example: Example) -> list[str]:
    if example.of is None:
        return list(example.lines)
    file, begin, end = example.of
    recording = json.loads((RECORDINGS / f"{file}.json").read_text(encoding="utf-8"))
    text: str = recording.get("text") or recording.get("stdout")
    return text.split("\n")[begin:end]


def _event(wire: dict[str, Any]) -> dict[str, Any]:
    ids = ("trace_id", "request_id", "session_id", "agent_id")
    return {
        "event_type": wire["event_type"],
        **{name: wire[name] for name in ids if wire.get(name)},
        **{name: _value(value) for name, value in wire["properties"].items()},
    }


def _value(value: Any) -> Any:
    if isinstance(value, str):
        return _cut(value, VALUE)
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= VALUE else _cut(text, VALUE)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
