"""LlamaIndex's workflows run with ``verbose=True``: since 0.14 a line for each event, before for each step."""

from __future__ import annotations

import re
from typing import Any

from vectadb_agent import Event
from vectadb_agent_parsers.agent_events import bounded, call, finish, model_call, result, run, said
from vectadb_agent_parsers.agent_reply import literal_or_text
from vectadb_agent_parsers.literals import NotALiteral, read_at

_TICK = re.compile(r"\[(tick\] (?:add|publish): |result\] )([A-Z]\w{1,100})\(")
_STEP = re.compile(
    r"\[\w{1,100}(?::\d{1,9})?\] "
    r"(?:started from \w{1,100}|complete with (?:\w{1,100}|no result)|enqueued \(waiting.*)\r?\n?"
)
#: Before 0.14. Of what runs, only the steps of an agent's workflow are known by name: "Running step x" is many's line.
_RUNNING = re.compile(
    r"Running step (?:init_run|setup_agent|run_agent_step|parse_agent_output|call_tool|aggregate_tool_results)\r?\n?"
)
_PRODUCED = re.compile(
    r"Step (\w{1,100}) produced (?:event (\w{1,100})|no event|an error, retry in [\d.]{1,20} seconds)\r?\n?"
)
_STOPPED, _BEGINS = "complete with StopEvent", "Running step init_run"
_CUT = "..."


def is_line(line: str) -> bool:
    """Whether the line is a workflow's."""
    first = line[:1]
    if first == "[":
        return _TICK.match(line) is not None or _STEP.fullmatch(line) is not None
    if first == "S":
        return line.startswith("Step ") and _PRODUCED.fullmatch(line) is not None
    return first == "R" and line.startswith("Running step ") and _RUNNING.fullmatch(line) is not None


def events(text: str) -> list[Event] | None:
    """Make the events of one line; ``None`` if it is not a workflow's."""
    if found := _TICK.match(text):
        return _tick(found[2], text.rstrip("\r\n"), ended=found[1].startswith("result"))
    if not is_line(text):
        return None
    if text.startswith("S"):
        return _produced(text)
    line = said(text.strip())
    if text.rstrip().endswith(_STOPPED):
        bounded(line, "end")
    elif text.rstrip() == _BEGINS:
        bounded(line, "start")
    return [line]


def _produced(text: str) -> list[Event]:
    found = _PRODUCED.fullmatch(text)
    step = () if found is None else found.groups()
    if step == ("init_run", "AgentInput"):
        return [bounded(run("agent_start"), "none")]
    if step == ("run_agent_step", "AgentOutput"):
        return [model_call("llm_end")]
    if step == ("parse_agent_output", "StopEvent"):
        return [run("agent_end")]
    return [said(text.strip())]


def _tick(kind: str, text: str, *, ended: bool) -> list[Event]:
    cut = text.endswith(_CUT)
    if ended:
        words, whole = _text(text)
        end = bounded(run("agent_end"), "none")  # a line of the run is still to come
        return [_cut(finish(words), whole), end] if words else [end]
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
            return [bounded(Event(event_type="query", properties={"message": asked}), "start")]
        return [bounded(_cut(said(text), not cut), "start")]
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
