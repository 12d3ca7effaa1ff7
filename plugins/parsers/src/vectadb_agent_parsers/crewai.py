"""``crewai``: the boxes that CrewAI draws with ``verbose=True`` (seen in 1.15).

On a pipe the console is 80 columns wide and wraps what is longer. That is undone here, as far as it can be told:
a line that ends where the next word would have fitted ended of itself, and several spaces at a wrap were one. Models,
tokens and ids of calls are not printed; a result is printed twice, of which the box ``Tool Output`` is the second.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent import ComponentConfig, Event, Parser
from vectadb_agent_parsers.agent_events import block_of, bounded, call, finish, result, run, said
from vectadb_agent_parsers.agent_reply import literal_or_text
from vectadb_agent_parsers.line_cutting import Step, cut_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Block, Piece

_TITLES = (
    "Crew Execution Started",
    "Crew Completion",
    "Crew Failure",
    "Task Started",
    "Task Completion",
    "Task Failure",
    "Agent Started",
    "Agent Final Answer",
    "Agent Error",
    "Tool Execution Started",
    "Tool Execution Completed",
    "Tool Error",
    "Tool Output",
)
#: A title may have an emoji before it and a count behind it.
_TOP = re.compile(r"╭─+ (?:[^\w\s│─]{1,8} )?(" + "|".join(_TITLES) + r")(?: \(#\d{1,9}\))? ─+╮\r?\n?")
_FRAME = 6
"""Columns that the box and its padding take from a line."""
_FIELD = re.compile(r"(Name|ID|Agent|Task|Tool|Args|Output|Error|Iteration|Attempt|Final Output|Final Answer): ?(.*)")
_decode = msgspec.json.Decoder().decode
_FAILED = "ToolError"


class CrewAIParser(Parser):
    """Crews, tasks, agents and tool calls of CrewAI, by the boxes on its console."""

    name = "crewai"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of one box."""
        text = block.text
        if not text.startswith("╭─"):
            return None
        lines = text.splitlines()
        top = _TOP.fullmatch(lines[0])
        if top is None:
            return None
        width = _columns(lines[0].rstrip()) - _FRAME
        inside = [line.rstrip()[1:-1].strip() and line.rstrip()[3:-1].rstrip() for line in lines[1:] if line[:1] == "│"]
        return block_of("crewai", text, _events(top[1], unwrapped(inside, width)))

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join the lines of a box. ``state``: that one is open."""
        if state is None and "╭─" not in text:
            return ()
        return cut_lines(text, state, _step)


def _step(line: str, state: Any) -> Step | None:
    if line.startswith("╭─"):
        return Step("start", True) if _TOP.fullmatch(line) else None
    if state is None:
        return None
    if line.startswith("│"):
        return Step("continue", True)
    return Step("continue", True, closes=True) if line.startswith("╰─") else None


def unwrapped(lines: list[str], width: int) -> str:
    """The text of a box, given its lines without frame and padding, and the columns that a line has."""
    text = ""
    room = width  # of the line before
    whole = ""
    for number, line in enumerate(lines):
        first = line.partition(" ")[0]
        if number == 0:
            joint = ""
        elif line and whole and room < _columns(first) + 1 and not line.startswith(" "):
            last = whole.rpartition(" ")[2]
            joint = "" if room <= 0 and _columns(last) + _columns(first) > width else " "
        else:
            joint = "\n"
        text += joint + line
        whole, room = line, width - _columns(line)
    return text.strip("\n")


def _events(title: str, text: str) -> list[Event]:
    fields = _fields(text)
    name = fields.get("Name") or fields.get("Agent")
    if title == "Crew Execution Started":
        return [bounded(run("chain_start", name, **{"crewai.id": fields.get("ID")}), "start")]
    if title.startswith("Crew "):
        return [bounded(_ended("chain_end", name, title, fields, output=fields.get("Final Output")), "end")]
    if title == "Task Started":
        return [run("chain_start", fields.get("Name"))]
    if title.startswith("Task "):
        return [_ended("chain_end", fields.get("Name"), title, fields)]
    if title == "Agent Started":
        return [bounded(run("agent_start", fields.get("Agent"), input=fields.get("Task")), "none")]
    if title == "Agent Final Answer":
        return [finish(fields.get("Final Answer", "")), bounded(run("agent_end", fields.get("Agent")), "none")]
    if title == "Agent Error":
        return [bounded(_ended("agent_end", fields.get("Agent"), title, fields), "none")]
    tool = fields.get("Tool")
    if title == "Tool Execution Started" and tool:
        return [call(tool, _arguments(fields.get("Args")))]
    if title == "Tool Execution Completed" and tool:
        return [result(literal_or_text(fields.get("Output", "")), tool)]
    if title == "Tool Error" and tool:
        return [result(None, tool, error=_FAILED, **{"error.message": fields.get("Error", "")})]
    return [said(text)]


def _ended(type_: str, name: str | None, title: str, fields: dict[str, str], output: str | None = None) -> Event:
    event = run(type_, name)
    if output is not None:
        event.properties["output"] = output
    if not title.endswith("Completion"):
        event.properties["error.type"] = title.replace(" ", "")
        event.properties["error.message"] = fields.get("Error", "")
    return event


def _fields(text: str) -> dict[str, str]:
    """The fields of a box. The last of those that may be long goes on to the end: nothing follows it."""
    fields: dict[str, str] = {}
    lines = text.split("\n")
    for number, line in enumerate(lines):
        found = _FIELD.match(line)
        if not found or found[1] in fields:
            continue
        rest = [found[2], *lines[number + 1 :]]
        if found[1] in ("Args", "Output", "Error", "Final Output"):
            fields[found[1]] = "\n".join(rest).rstrip("\n")
            break
        if found[1] == "Final Answer":
            fields[found[1]] = "\n".join(rest).strip("\n")
            break
        end = next((at for at, each in enumerate(rest) if at and (not each or _FIELD.match(each))), len(rest))
        fields[found[1]] = "\n".join(rest[:end])
    return fields


def _arguments(printed: str | None) -> Any:
    if printed is None:
        return None
    try:
        return _decode(printed)
    except (ValueError, RecursionError):
        return literal_or_text(printed)


def _columns(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(each) in "WF" for each in text)
    nothing = sum(unicodedata.combining(each) != 0 or each in "\u200d\ufe0f" for each in text)
    return len(text) + wide - nothing
