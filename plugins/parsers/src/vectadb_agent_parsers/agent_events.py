"""The events that all frameworks' formats have in common: a tool's call and result, a model's reply, a run's ends.

Where a log names no trace, the server takes one run in a log stream for one. The property ``run_boundary`` tells where
it begins and ends: :func:`bounded`.
"""

from __future__ import annotations

from typing import Any, Literal

from vectadb_agent import Event


def call(tool: str, arguments: Any = None, call_id: str | None = None, **properties: Any) -> Event:
    """A tool is called. ``arguments`` is ``None`` where they were not printed."""
    told: dict[str, Any] = {"gen_ai.tool.name": tool}
    if call_id is not None:
        told["gen_ai.tool.call.id"] = call_id
    if arguments is not None:
        told["gen_ai.tool.call.arguments"] = arguments
    return Event(event_type="tool_call", properties=told | properties)


def result(
    value: Any = None,
    tool: str | None = None,
    call_id: str | None = None,
    *,
    error: str | None = None,
    **properties: Any,
) -> Event:
    """A tool has returned. ``value`` is ``None`` where it was not printed; ``error``: what failed, if it did."""
    told: dict[str, Any] = {}
    if tool is not None:
        told["gen_ai.tool.name"] = tool
    if call_id is not None:
        told["gen_ai.tool.call.id"] = call_id
    if value is not None:
        told["gen_ai.tool.call.result"] = value
    if error is not None:
        told["error.type"] = error
    return Event(event_type="tool_result", properties=told | properties)


def model_call(type_: str, model: str | None = None, message: str | None = None, **properties: Any) -> Event:
    """A model is called (``llm_start``) or has replied (``llm_end``), ``message`` being what it said."""
    told: dict[str, Any] = {}
    if model is not None:
        told["gen_ai.request.model"] = model
    if message:
        told["message"] = message
    return Event(event_type=type_, properties=told | properties)


def tokens(given: Any, returned: Any) -> dict[str, int]:
    """The properties for a model's tokens, of whichever of the two is a number."""
    told = {"gen_ai.usage.input_tokens": given, "gen_ai.usage.output_tokens": returned}
    return {name: count for name, count in told.items() if type(count) is int}


def run(type_: str, name: str | None = None, **properties: Any) -> Event:
    """An agent or chain begins or ends: ``agent_start``, ``agent_end``, ``chain_start``, ``chain_end``."""
    told: dict[str, Any] = {}
    if name is not None:
        told["name"] = name
        if type_.startswith("agent"):
            told["gen_ai.agent.name"] = name
    return Event(event_type=type_, properties=told | properties)


def bounded(event: Event, boundary: Literal["start", "next", "call", "end", "none"]) -> Event:
    """Say what the event is to the run in its stream; without it ``agent_start`` starts one and ``agent_end`` ends it.

    ``start``: a whole run starts, perhaps inside another, and its ``end`` is printed unless it dies. ``next``: so it
    does, inside no other: the one before is over, whether or not its end was printed. ``call``: until its ``end`` all
    runs that start are part of this one. ``none``: of an agent's start or end, that the run is more than that agent.
    """
    event.properties["run_boundary"] = boundary
    return event


def finish(answer: str) -> Event:
    """An agent gives its final answer."""
    return Event(event_type="agent_finish", properties={"message": answer})


def said(text: str, **properties: Any) -> Event:
    """Something is told that is no step of an agent's by itself."""
    return Event(event_type="log", properties={"message": text, **properties})


def block_of(framework: str, text: str, events: list[Event]) -> list[Event]:
    """The events of one block, told where they come from; the first carries the block's text."""
    for event in events:
        event.properties = {"framework": framework, **event.properties}
    if events:
        events[0].raw = text
    return events
