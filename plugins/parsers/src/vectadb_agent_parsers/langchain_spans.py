"""What LangChain's instrumentations (OpenInference's, OpenTelemetry's) put into the attributes of spans.

OpenTelemetry's wraps everything: ``{"input_str": …, "inputs": …, "kwargs": …}``, ``{"outputs": …, "kwargs": …}``. Both
print messages in LangChain's own forms: ``{"lc": 1, "kwargs": {…}}``, ``{"type": "tool", "data": {…}}``. OpenInference
leaves the name away where a tool or a chain was given one text alone, and prints nothing of an empty object.
"""

from __future__ import annotations

from typing import Any

from vectadb_agent_parsers.agent_reply import content_text, json_or_text, literal_or_text

_WRAPPINGS = ("inputs", "outputs", "output")
_AROUND = frozenset(("tags", "metadata", "kwargs"))
_ROLES = {"human": "user", "ai": "assistant", "AIMessageChunk": "assistant"}


def is_langchains(record: dict[str, Any]) -> bool:
    """Whether the record is of one of these instrumentations."""
    scope = record.get("scope")
    name = scope.get("name") if type(scope) is dict else None
    return type(name) is str and name.endswith(".langchain")


def agent_of(name: str | None, attributes: dict[str, Any]) -> str | None:
    """The name of the agent whose whole run a chain is, if it is one's.

    The libraries have the same words for it as for its steps, but where it is the outermost. What tells is the name.
    """
    entity = attributes.get("traceloop.entity.name", name)
    metadata = json_or_text(attributes.get("metadata"))
    named = metadata.get("lc_agent_name") if type(metadata) is dict else None
    named = attributes.get("traceloop.association.properties.lc_agent_name", named)
    return entity if type(entity) is str and entity in ("LangGraph", named) else None


def value(printed: Any) -> Any:
    """What was given or returned, out of its wrappings: messages as ``[{role, content}]``, a tool's message alone."""
    inner = _unwrapped(printed)
    message = tool_message(inner)
    if message is not None:
        return content_text(message.get("content"))
    told = [each for each in map(_message, _messages(inner)) if each is not None]
    if told:
        return [_plain(message) for message in told]
    return literal_or_text(inner) if type(inner) is str else inner


def tool_message(printed: Any) -> dict[str, Any] | None:
    """The message that a tool has returned, with ``content`` and ``tool_call_id``; ``None`` if it is none."""
    message = _message(_unwrapped(printed))
    return message if message is not None and "tool_call_id" in message else None


def call_id(printed: Any) -> str | None:
    """The id of the call that a tool was given, where it was printed with what it was given."""
    wrapped = json_or_text(printed)
    around = wrapped.get("kwargs") if type(wrapped) is dict else None
    id_ = around.get("tool_call_id") if type(around) is dict else None
    return id_ if type(id_) is str else None


def is_given_to_tool(printed: Any) -> bool:
    """Whether it is what OpenTelemetry's prints of a tool's arguments."""
    wrapped = json_or_text(printed)
    return type(wrapped) is dict and "input_str" in wrapped


def _unwrapped(printed: Any) -> Any:
    wrapped = json_or_text(printed)
    if type(wrapped) is not dict:
        return wrapped
    if "input_str" in wrapped:
        return wrapped["input_str"] if wrapped.get("inputs") is None else wrapped["inputs"]
    for key in _WRAPPINGS:
        if key in wrapped and len(wrapped) > 1 and wrapped.keys() <= _AROUND | {key}:
            return wrapped[key]
    return wrapped


def _messages(inner: Any) -> list[Any]:
    """The messages of a graph's state, a node's update or a model's request or reply."""
    if type(inner) is list:
        updates = [each["update"] for each in inner if type(each) is dict and type(each.get("update")) is dict]
        return [message for update in updates for message in _messages(update)] if updates else inner
    if type(inner) is not dict:
        return []
    generations = inner.get("generations")
    while type(generations) is list and generations:
        generations = generations[0]
    if type(generations) is dict:
        return [generations.get("message") or {"role": "assistant", "content": generations.get("text")}]
    found = inner.get("messages")
    if type(found) is list and len(found) == 1 and type(found[0]) is list:
        return found[0]
    return found if type(found) is list else []


def _message(printed: Any) -> dict[str, Any] | None:
    if type(printed) is not dict:
        return None
    for key in ("kwargs", "data"):
        if type(printed.get(key)) is dict and ("lc" in printed or "type" in printed):
            printed = printed[key]
            break
    return printed if "content" in printed and ("type" in printed or "role" in printed) else None


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    role = message.get("role") or message.get("type")
    plain: dict[str, Any] = {"role": _ROLES.get(str(role), role), "content": content_text(message["content"])}
    if message.get("tool_calls"):
        plain["tool_calls"] = message["tool_calls"]
    return plain
