"""``llamaindex``: agents and workflows run with ``verbose=True``, and ``predict_and_call(…, verbose=True)``.

Seen in 0.14. Workflows print a line for each event, a Python repr cut after 200 characters: what is cut is marked
``truncated``. Models, tokens and the ends of agents are not printed. Before 0.14 agents printed ``=== Calling Function
===`` and the like, as ``predict_and_call`` does still; there a result has no end mark but what is printed next.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent import ComponentConfig, Event, Parser
from vectadb_agent_parsers.agent_events import block_of, call, finish, model_call, result, run, said
from vectadb_agent_parsers.agent_reply import json_or_text, literal_or_text
from vectadb_agent_parsers.foreign import is_foreign
from vectadb_agent_parsers.line_cutting import Step, cut_lines
from vectadb_agent_parsers.literals import NotALiteral, read_at
from vectadb_agent_parsers.tracebacks import HEADING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Block, Piece

_TICK = re.compile(r"\[(tick\] (?:add|publish): |result\] )([A-Z]\w{1,100})\(")
_STEP = re.compile(
    r"\[\w{1,100}(?::\d{1,9})?\] "
    r"(?:started from \w{1,100}|complete with (?:\w{1,100}|no result)|enqueued \(waiting.*)\r?\n?"
)
_MARKS = ("=== Calling Function ===", "=== Function Output ===", "=== LLM Response ===")
_CALLING = re.compile(r"Calling function: (\S{1,200}) with args: (.*)", re.DOTALL)
_ADDED = "Added user message to memory: "
_PRODUCED = re.compile(r"Step \w{1,100} produced event \w{1,100}\r?\n?")
_LETTERS = frozenset("[=AS")
_CUT = "..."
_decode = msgspec.json.Decoder().decode


class LlamaIndexParser(Parser):
    """Agents, their replies and tool calls, of LlamaIndex."""

    name = "llamaindex"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of a line of a workflow, or of a call or result."""
        text = block.text
        first = text[:1]
        made: list[Event] | None = None
        if first == "[" and (found := _TICK.match(text)):
            made = _tick(found[2], text.rstrip("\r\n"), ended=found[1].startswith("result"))
        elif first == "[" and _STEP.fullmatch(text):
            made = [said(text.strip())]
        elif first == "=" and text.startswith(_MARKS):
            made = _marked(text)
        elif text.startswith(_ADDED):
            made = [Event(event_type="query", properties={"message": text.removeprefix(_ADDED).strip()})]
        elif first == "S" and _PRODUCED.fullmatch(text):
            made = [said(text.strip())]
        return None if made is None else block_of("llamaindex", text, made)

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join a call's and a result's lines. ``state``: which of them is open."""
        if state is None and text[:1] not in _LETTERS:
            return ()
        return cut_lines(text, state, _step)


def _step(line: str, state: Any) -> Step | None:
    first = line[:1]
    if first == "=" and line.rstrip() in _MARKS:
        return Step("start", "call" if line.startswith(_MARKS[0]) else "text")
    if first == "[" and (_TICK.match(line) or _STEP.fullmatch(line)):
        return Step("start", True, closes=True)
    if first in "AS" and (line.startswith(_ADDED) or _PRODUCED.fullmatch(line)):
        return Step("start", True, closes=True)
    if state is None or is_foreign(line) or line.startswith(HEADING):
        return None
    if state == "call":
        return Step("continue", True, closes=True) if _CALLING.match(line) else None
    return Step("continue", "text") if state == "text" else None


def _marked(text: str) -> list[Event] | None:
    mark, _, body = text.partition("\n")
    body = body.removesuffix("\n")
    if mark.startswith(_MARKS[0]):
        found = _CALLING.match(body)
        return None if found is None else [call(found[1], json_or_text(found[2]))]
    if mark.startswith(_MARKS[1]):
        return [result(literal_or_text(body))]
    return [model_call("llm_end", message=body), finish(body)] if body else [model_call("llm_end")]


def _tick(kind: str, text: str, *, ended: bool) -> list[Event]:
    cut = text.endswith(_CUT)
    if ended:
        words, whole = _text(text)
        return [_cut(finish(words), whole), run("agent_end")] if words else [run("agent_end")]
    if kind == "ToolCall":
        return [_call(text)]
    if kind == "ToolCallResult":
        return [_result(text)]
    if kind == "AgentOutput":
        words, whole = _text(text)
        return [_cut(model_call("llm_end", message=words), whole or not words)]
    if kind == "AgentInput":
        name = _field(text, "current_agent_name")
        return [run("agent_start", name, resumes=True)] if type(name) is str else [said(text)]
    if kind == "AgentWorkflowStartEvent":
        asked = _field(text, "user_msg")
        if type(asked) is str:
            return [Event(event_type="query", properties={"message": asked})]
    return [_cut(said(text), not cut)]


def _call(text: str) -> Event:
    name, given = _field(text, "tool_name"), _field(text, "tool_kwargs")
    id_ = _field(text, "tool_id")
    made = call(name if type(name) is str else "", given, id_ if type(id_) is str else None)
    if given is None:
        _, _, printed = text.partition("tool_kwargs=")
        made.properties["gen_ai.tool.call.arguments"] = printed.removesuffix(_CUT)
    return _cut(made, given is not None)


def _result(text: str) -> Event:
    name, id_ = _field(text, "tool_name"), _field(text, "tool_id")
    _, told, output = text.partition("tool_output=")
    words, whole = _text(output) if told else ("", False)
    value = literal_or_text(words) if whole else words or None
    return _cut(result(value, name if type(name) is str else None, id_ if type(id_) is str else None), whole)


def _cut(event: Event, whole: bool) -> Event:
    if not whole:
        event.properties["truncated"] = True
    return event


def _field(text: str, name: str) -> Any:
    """The value of a keyword argument, ``None`` if it is not there whole. The first of its name: the outermost's."""
    at = text.find(f"{name}=")
    if at < 0:
        return None
    try:
        return read_at(text, at + len(name) + 1)[0]
    except NotALiteral:
        return None


_TEXT = re.compile(r"TextBlock\(block_type='text', text=")


def _text(text: str) -> tuple[str, bool]:
    """The text of a message's first block, as far as it is printed, and whether that is all of it."""
    found = _TEXT.search(text)
    if found is None:
        return "", False
    try:
        value, _ = read_at(text, found.end())
    except NotALiteral:
        printed = text[found.end() + 1 :].removesuffix(_CUT)
        # A cut may fall into an escape.
        whole = printed[:-1] if len(printed) - len(printed.rstrip("\\")) & 1 else printed
        quote = text[found.end() : found.end() + 1]
        try:
            value, _ = read_at(f"{quote}{whole}{quote}", 0)
        except NotALiteral:
            return whole, False
        return str(value), False
    return (value, True) if type(value) is str else ("", False)
