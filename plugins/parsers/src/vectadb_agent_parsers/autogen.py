"""``autogen``: AutoGen's event log (logger ``autogen_core.events``, JSON) and its console (``Console(stream)``).

Seen in 0.7. In the event log calls have no id of their own: the model's reply before and the messages of the next
request have it. Without a team ``agent_id`` is null, and whose call it is cannot be known. The console tells no model,
and tokens only with ``output_stats=True``; nothing ends a message there but the next header, a log line, a traceback or
a while of quiet, so that a text which looks like a header ends one too.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent import ComponentConfig, Event, Parser
from vectadb_agent_parsers import chat_messages
from vectadb_agent_parsers.agent_events import block_of, bounded, call, finish, model_call, result, run, said, tokens
from vectadb_agent_parsers.agent_reply import json_or_text, literal_or_text
from vectadb_agent_parsers.foreign import is_foreign
from vectadb_agent_parsers.line_cutting import Step, cut_lines
from vectadb_agent_parsers.literals import NotALiteral, read_objects
from vectadb_agent_parsers.tracebacks import HEADING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Block, Piece

_HEADER = re.compile(r"-{10} (?:([A-Z]\w{1,100}) \(([^()\n]{1,200})\)|(Summary)) -{10}\r?\n?")
_TOKENS = re.compile(r"\n\[Prompt tokens: (\d{1,12}), Completion tokens: (\d{1,12})\]\r?\n?\Z")
_TYPE = re.compile(
    r'"type": "(LLMCall|LLMStreamStart|LLMStreamEnd|LLMToolCall|ToolCall|Message\w*|AgentConstruction\w*)"'
)
_AGENT = re.compile(r"(.{1,200}?)_[0-9a-f]{8}-[0-9a-f\-]{27}(?:/|\Z)")
#: What is sent to a team by nobody in it: its run begins.
_FROM_OUTSIDE = {"kind": "MessageKind.DIRECT", "delivery_stage": "DeliveryStage.SEND"}
_decode = msgspec.json.Decoder().decode
_FAILED = "ToolError"


class AutoGenParser(Parser):
    """Model and tool calls, agents and messages of AutoGen, by its event log or its console."""

    name = "autogen"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of a line of the event log, or of one message on the console."""
        text = block.text
        if text[:1] == "{":
            made = _logged(text)
        else:
            made = _printed(text) if text.startswith("---------- ") else None
        return None if made is None else block_of("autogen", text, made)

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join the lines of the console's messages. ``state``: that one is open."""
        if state is None and "---------- " not in text:
            return ()
        return cut_lines(text, state, _step)


def _step(line: str, state: Any) -> Step | None:
    if line.startswith("---------- ") and _HEADER.fullmatch(line):
        return Step("start", True)
    if state is None or is_foreign(line) or _is_logged(line) or line.startswith(HEADING):
        return None
    return Step("continue", True)


def _is_logged(line: str) -> bool:
    return line[:1] == "{" and _TYPE.search(line) is not None


def _logged(text: str) -> list[Event] | None:
    if _TYPE.search(text) is None:
        return None
    try:
        members = _decode(text)
    except (ValueError, RecursionError):
        return None
    kind = members.get("type")
    agent = _agent_of(members.get("agent_id"))
    begun = [] if agent is None else [run("agent_start", agent, resumes=True)]
    if kind == "LLMCall" and type(members.get("messages")) is list:
        return _asked(members, [*begun, *_model_call(members)])
    if kind == "LLMStreamStart" and type(members.get("messages")) is list:
        return _asked(members, [*begun, *chat_messages.results(members["messages"]), model_call("llm_start")])
    if kind == "LLMStreamEnd" and type(members.get("response")) is dict:
        return [*begun, *_model_call(members)]
    if kind == "ToolCall" and type(members.get("tool_name")) is str:
        tool, returned = members["tool_name"], members.get("result")
        value = literal_or_text(returned) if type(returned) is str else returned
        # One line for both, once it has returned. The reply before has announced the call, and has its id.
        returned = result(value, tool, **{"gen_ai.tool.call.arguments": members.get("arguments")})
        return [*begun, bounded(returned, "end") if _runs_others(returned) else returned]
    if type(kind) is str and kind.startswith("Message") and ("sender" in members or "payload" in members):
        told = {name: members[name] for name in ("sender", "receiver", "kind", "delivery_stage") if members.get(name)}
        sent = said(f"{kind} from {members.get('sender')} to {members.get('receiver')}", **told)
        return [bounded(sent, "next") if told | _FROM_OUTSIDE == told and "sender" not in told else sent]
    return None


def _asked(members: dict[str, Any], made: list[Event]) -> list[Event]:
    """A request of an agent without a team begins a run where it is the user's: no result of a tool is new in it."""
    new = {message.get("role") for message in chat_messages.new(members["messages"])}
    if not members.get("agent_id") and "user" in new and "tool" not in new:
        bounded(made[0], "next")
    return made


def _runs_others(event: Event) -> bool:
    """Whether the tool is an agent or a team (``AgentTool``, ``TeamTool``): all it is told is its task."""
    arguments = event.properties.get("gen_ai.tool.call.arguments")
    return type(arguments) is dict and arguments.keys() == {"task"}


def _model_call(members: dict[str, Any]) -> list[Event]:
    asked = members.get("messages")
    reply = chat_messages.reply(members.get("response"))
    ended = model_call("llm_end", reply.model, reply.text)
    ended.properties |= tokens(members.get("prompt_tokens"), members.get("completion_tokens"))
    if added := chat_messages.new(asked):
        ended.properties["gen_ai.input.messages"] = added
    actions = [bounded(each, "call") if _runs_others(each) else each for each in reply.actions]
    made = [*chat_messages.results(asked), ended, *actions]
    return made if reply.actions or not reply.text else [*made, finish(reply.text)]


def _agent_of(agent_id: Any) -> str | None:
    """The agent's name in ``name_<team>/<team>``, whose id each team has anew."""
    if type(agent_id) is not str or not agent_id:
        return None
    found = _AGENT.match(agent_id)
    return found[1] if found else agent_id.partition("/")[0]


def _printed(text: str) -> list[Event] | None:
    header, _, body = text.partition("\n")
    found = _HEADER.fullmatch(header)
    if found is None:
        return None
    if found[3]:
        return [bounded(said(body.strip()), "end")]
    used = _TOKENS.search("\n" + body)
    if used:
        body = ("\n" + body)[1 : used.start()] if used.start() else ""
    kind, source = found[1], found[2]
    made = _message(kind, source, body.removesuffix("\n"))
    if used:
        made.insert(0, Event(event_type="llm_end", properties={**tokens(int(used[1]), int(used[2]))}))
    if source != "user":
        made.insert(0, run("agent_start", source, resumes=True))
    # Between the two an agent that is a tool says all that it says when it is run by itself.
    if kind == "ToolCallRequestEvent":
        bounded(made[0], "call")
    elif kind == "ToolCallExecutionEvent":
        bounded(made[-1], "end")
    elif source == "user" and made[-1].event_type == "query":
        bounded(made[0], "next")
    return made


def _message(kind: str, source: str, body: str) -> list[Event]:
    if kind == "ToolCallRequestEvent":
        return [call(each["name"], json_or_text(each.get("arguments")), each.get("id")) for each in _reprs(body)]
    if kind == "ToolCallExecutionEvent":
        return [
            result(
                literal_or_text(each["content"]) if type(each.get("content")) is str else each.get("content"),
                each.get("name"),
                each.get("call_id"),
                error=_FAILED if each.get("is_error") is True else None,
            )
            for each in _reprs(body)
        ]
    if kind == "ThoughtEvent":
        return [Event(event_type="agent_thought", properties={"message": body})]
    if kind in ("TextMessage", "MultiModalMessage") and source == "user":
        return [Event(event_type="query", properties={"message": body})]
    if kind in ("TextMessage", "ToolCallSummaryMessage", "StructuredMessage"):
        return [finish(body)]
    return [Event(event_type="message", properties={"message": body, "kind": kind})]


def _reprs(body: str) -> list[dict[str, Any]]:
    try:
        found = read_objects(body)
    except NotALiteral:
        return []
    return [each for each in found if type(each) is dict and type(each.get("name")) is str]
