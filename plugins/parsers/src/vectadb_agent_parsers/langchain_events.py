"""The events that LangChain's formats have in common."""

from __future__ import annotations

import re
from typing import Any

from vectadb_agent import Event
from vectadb_agent_parsers import literals
from vectadb_agent_parsers.agent_events import bounded
from vectadb_agent_parsers.agent_reply import Reply, content_text

INVALID_TOOL = " is not a valid tool, try one of ["
UNREADABLE = "_Exception"
_FIELD = re.compile(r" ?([a-z_]{1,40})=")


def is_agent(name: str) -> bool:
    """Whether a chain of this name is an agent's run."""
    return name == "LangGraph" or name.endswith("AgentExecutor")


def run_start(name: str, **properties: Any) -> Event:
    """A chain or an agent begins."""
    if is_agent(name):
        return Event(event_type="agent_start", properties={"gen_ai.agent.name": name, "name": name, **properties})
    return Event(event_type="chain_start", properties={"name": name, **properties})


def run_end(*, agent: bool = False) -> Event:
    """A chain or an agent ends that printed no name: the one that began last, in its stream, of those not yet ended."""
    return bounded(Event(event_type="agent_end" if agent else "chain_end", properties={"unnamed": True}), "end")


def reply_events(reply: Reply) -> list[Event]:
    """An agent's step: its thought, if it has one, and the tool that it calls."""
    events: list[Event] = []
    if reply.thought or reply.tool is None:
        events.append(Event(event_type="agent_thought", properties={"message": reply.thought}))
    if reply.tool is not None:
        events.append(call_event(reply.tool, reply.arguments))
    return events


def finish_events(reply: Reply) -> list[Event]:
    """An agent's last step: its thought, if it has one, and its answer, if it has one.

    An agent that was stopped, or hands on a tool's result as it is, ends with an empty step.
    """
    events = [Event(event_type="agent_thought", properties={"message": reply.thought})] if reply.thought else []
    if reply.answer:
        events.append(Event(event_type="agent_finish", properties={"message": reply.answer}))
    return events


def call_event(tool: str, arguments: Any) -> Event:
    """A tool is called."""
    properties = {"gen_ai.tool.name": tool, "gen_ai.tool.call.arguments": arguments}
    return Event(event_type="tool_call", properties=properties)


def result_event(result: str, tool: str | None = None) -> Event:
    """A tool has returned."""
    properties: dict[str, Any] = {} if tool is None else {"gen_ai.tool.name": tool}
    properties["gen_ai.tool.call.result"] = result
    return Event(event_type="tool_result", properties=properties)


def read_message(text: str, event: Event) -> None:
    """Take a tool message's ``repr`` (``content='…' name='…' tool_call_id='…'``) apart, if it is one."""
    if not text.startswith("content="):
        return
    fields: dict[str, Any] = {}
    at = 0
    try:
        while at < len(text):
            found = _FIELD.match(text, at)
            if found is None:
                return
            fields[found[1]], at = literals.read_at(text, found.end())
    except literals.NotALiteral:
        if "content" not in fields or "tool_call_id" not in fields:
            return
    if type(fields.get("tool_call_id")) is not str:
        return
    properties = event.properties
    properties["gen_ai.tool.call.result"] = content_text(fields["content"])
    properties["gen_ai.tool.call.id"] = fields["tool_call_id"]
    if type(fields.get("name")) is str:
        properties.setdefault("gen_ai.tool.name", fields["name"])
    if fields.get("status") == "error":
        properties["error.type"] = "ToolException"


def uncoloured_reply(reply: Reply, text: str) -> list[Event]:
    """What LangChain itself answers to a step: that there is no such tool, or that it could not read the step.

    The latter it treats as the call of a tool ``_Exception``, which gives its input back.
    """
    if reply.tool is None:
        result = result_event(text, UNREADABLE)
        result.properties["error.type"] = "OutputParserException"
        return [call_event(UNREADABLE, text), result]
    unknown, invalid, _ = text.partition(INVALID_TOOL)
    result = result_event(text, unknown if invalid else reply.tool)  # where several are called, not the last one's
    if invalid:
        result.properties["error.type"] = "InvalidTool"
    return [result]
