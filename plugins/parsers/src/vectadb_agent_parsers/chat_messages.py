"""Messages of chat models as OpenAI's API shapes them, which many frameworks log: replies, and results in requests.

A tool's result is often told nowhere but in the next request to the model. Those behind the last reply are new; each
has its call's id, so that one which was printed before counts once.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vectadb_agent import Event
from vectadb_agent_parsers.agent_events import result
from vectadb_agent_parsers.agent_reply import content_text, json_or_text, literal_or_text


class Reply(msgspec.Struct):
    """What a model replied: its words, and the calls it asks for, as ``agent_action`` events."""

    model: str | None = None
    text: str = ""
    actions: list[Event] = []


def reply(response: Any) -> Reply:
    """Read a chat completion, or AutoGen's own ``CreateResult``."""
    if type(response) is not dict:
        return Reply()
    choices = response.get("choices")
    choice = choices[0] if type(choices) is list and choices and type(choices[0]) is dict else {}
    message = choice.get("message")
    message = message if type(message) is dict else response
    asked = message.get("tool_calls")
    content = message.get("content")
    if type(content) is list and asked is None:
        asked = [each for each in content if type(each) is dict and "arguments" in each]
    actions = [made for each in (asked if type(asked) is list else ()) if (made := action(each)) is not None]
    model = response.get("model")
    return Reply(
        model if type(model) is str else None, "" if asked and type(content) is list else content_text(content), actions
    )


def action(asked: Any) -> Event | None:
    """The call that a model asks for: ``{"id", "function": {"name", "arguments"}}``, or flat."""
    if type(asked) is not dict:
        return None
    function = asked.get("function")
    function = function if type(function) is dict else asked
    name, id_ = function.get("name"), asked.get("call_id") or asked.get("id")
    if type(name) is not str:
        return None
    told = {"gen_ai.tool.name": name, "gen_ai.tool.call.arguments": json_or_text(function.get("arguments"))}
    if type(id_) is str:
        told["gen_ai.tool.call.id"] = id_
    return Event(event_type="agent_action", properties=told)


def new(messages: Any) -> list[dict[str, Any]]:
    """The messages of a request that no request before it had: those behind the model's last reply."""
    found: list[dict[str, Any]] = []
    for message in reversed(messages if type(messages) is list else []):
        if type(message) is not dict:
            continue
        if message.get("role") == "assistant" or message.get("type") == "function_call":
            break
        found.append(message)
    return found[::-1]


def results(messages: Any) -> list[Event]:
    """The results that a request tells for the first time."""
    found: list[Event] = []
    for message in new(messages):
        id_ = message.get("tool_call_id") or message.get("call_id")
        told = message.get("type") == "function_call_output" or message.get("role") == "tool"
        if told and type(id_) is str:
            value = message.get("output") if "output" in message else content_text(message.get("content"))
            found.append(result(literal_or_text(value) if type(value) is str else value, None, id_))
    return found
