"""Spans of the OpenAI Agents SDK, exported as JSON: one object a line, printed when the span ends, inner before outer.

Each holds its own id and its parent's, so nesting needs no order. Models behind the Responses API are not named, nor is
their text told: ``response`` spans hold an id and the tokens used.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vectadb_agent import Event
from vectadb_agent_parsers.agent_events import bounded, call, model_call, result, run, said, tokens
from vectadb_agent_parsers.agent_reply import content_text, json_or_text, literal_or_text
from vectadb_agent_parsers.fields import microseconds

_decode = msgspec.json.Decoder().decode
_HEAD = 48


def is_span(text: str) -> bool:
    """Whether the text begins as an exported trace or span does."""
    return '"trace' in text[:_HEAD] and '"object"' in text[:_HEAD]


def events(text: str) -> list[Event] | None:
    """Make the events of one exported trace or span; ``None`` if it is something else."""
    if not is_span(text):
        return None
    try:
        exported = _decode(text)
    except (ValueError, RecursionError):
        return None
    id_, told = exported.get("id"), exported.get("span_data")
    if exported.get("object") == "trace" and type(id_) is str:
        begun = said(f"trace {exported.get('workflow_name')}", metadata=exported.get("metadata"))
        begun.trace_id = id_
        begun.session_id = _text(exported.get("group_id"))
        return [begun]
    if exported.get("object") != "trace.span" or type(id_) is not str or type(told) is not dict:
        return None
    made = _events(exported, told)
    start, end = microseconds(exported.get("started_at")), microseconds(exported.get("ended_at"))
    for event in made:
        event.trace_id = _text(exported.get("trace_id"))
        event.timestamp = start if event.event_type == "tool_call" else end
        event.properties["span_id"] = id_
        if type(exported.get("parent_id")) is str:
            event.properties["parent_span_id"] = exported["parent_id"]
    last = made[-1].properties
    if start is not None and end is not None:
        last["duration_ms"] = (end - start) / 1000
    error = exported.get("error")
    if type(error) is dict:
        last["error.message"] = str(error.get("message"))
        last["error"] = error
    return made


def _events(exported: dict[str, Any], told: dict[str, Any]) -> list[Event]:
    kind, name = told.get("type"), _text(told.get("name"))
    if kind == "function":
        returned = told.get("output")
        value = literal_or_text(returned) if type(returned) is str else returned
        return [call(name or "", json_or_text(told.get("input"))), result(value, name)]
    if kind in ("generation", "response"):
        usage = told.get("usage")
        used = usage if type(usage) is dict else {}
        output = told.get("output")
        words = "".join(content_text(item.get("content")) for item in _objects(output))
        ended = model_call("llm_end", _text(told.get("model")), words)
        ended.properties |= tokens(used.get("input_tokens"), used.get("output_tokens"))
        if told.get("input"):
            ended.properties["gen_ai.input.messages"] = told["input"]
        if output:
            ended.properties["gen_ai.output.messages"] = output
        if type(told.get("response_id")) is str:
            ended.properties["gen_ai.response.id"] = told["response_id"]
        return [ended]
    if kind == "agent":
        return [
            bounded(run("agent_end", name), "none")
        ]  # the trace's id is printed; the log around it may have windows
    data = told.get("data")
    if kind == "custom" and type(data) is dict:
        name = _text(data.get("name")) or (f"turn {data['turn']}" if "turn" in data else name)
    if kind == "handoff":
        name = f"handoff to {told.get('to_agent')}"
    return [run("chain_end", name or _text(kind), span_data=told)]


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if type(item) is dict] if type(value) is list else []


def _text(value: Any) -> str | None:
    return value if type(value) is str and value else None
