"""``agentcore``: what an agent on Bedrock AgentCore leaves in CloudWatch: spans, and the words that go with them.

Spans (log group ``aws/spans``) are flat records, one when each span ends: ``traceId``, ``spanId``, ``parentSpanId``,
``name``, ``kind``, ``startTimeUnixNano``, ``endTimeUnixNano``, ``attributes`` as an object, ``status``. They are typed
by ``gen_ai.operation.name`` (Strands), ``openinference.span.kind`` or ``traceloop.span.kind`` (LangGraph and others);
any other span is a chain. AWS's distribution of OpenTelemetry (ADOT) takes the words out of them, into records of the
agent's own log group (stream ``otel-rt-logs``) that carry the span's id: these become ``message`` events with that
``span_id``, which the server reads into the span, in whichever order the two arrive. Where they are not split, the
words stand in the span's own ``events``.

What LangChain's instrumentations print stands in wrappings, which ``langchain_spans`` takes off.

The words of a tool's call say no name, those of a model no tokens: without its span a message is just a message. A
record of a log that stands in no span, or without a body of messages, is left to other parsers. Sources: "Set up
Strands Agents telemetry for AgentCore Evaluations" and "Spans, event records, and telemetry signals", AgentCore
developer guide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec

from vectadb_agent import Event, Parser
from vectadb_agent.errors import ParseError
from vectadb_agent_parsers import langchain_spans
from vectadb_agent_parsers.agent_events import block_of, call, model_call, result, run, tokens
from vectadb_agent_parsers.agent_reply import json_or_text
from vectadb_agent_parsers.fields import microseconds

if TYPE_CHECKING:
    from vectadb_agent import Block

_KIND_OF = {
    "invoke_agent": "agent",
    "execute_tool": "tool",
    "chat": "llm",
    "text_completion": "llm",
    "generate_content": "llm",
    "agent": "agent",
    "workflow": "agent",
    "tool": "tool",
    "llm": "llm",
}
_KINDS = ("gen_ai.operation.name", "openinference.span.kind", "traceloop.span.kind")
_INPUT = ("gen_ai.input.messages", "input.value", "traceloop.entity.input")
_OUTPUT = ("gen_ai.output.messages", "output.value", "traceloop.entity.output")
_MODEL = ("gen_ai.request.model", "gen_ai.response.model", "llm.model_name")
_TOKENS_IN = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt")
_TOKENS_OUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens", "llm.token_count.completion")
_decode = msgspec.json.Decoder().decode


class AgentCoreParser(Parser):
    """Spans and content records of Bedrock AgentCore."""

    name: ClassVar[str] = "agentcore"

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of one span, or of the words that belong to one.

        Raises:
            ParseError: it begins as such a record does, but is cut short or malformed.
        """
        text = block.text
        if not text.startswith("{") or '"spanId"' not in text or "imeUnixNano" not in text:
            return None
        try:
            record = _decode(text)
        except (ValueError, RecursionError) as error:
            raise ParseError(f"agentcore: looks like a span, but is no JSON: {error}") from error
        if _text(record.get("spanId")) is None or _text(record.get("traceId")) is None:
            return None
        attributes = _object(record.get("attributes"))
        if "startTimeUnixNano" in record and "endTimeUnixNano" in record:
            made = _of_span(record, attributes)
        else:
            made = _of_content(record)
        if not made:
            return None
        for event in made:
            event.trace_id = record["traceId"]
            event.session_id = _text(attributes.get("session.id"))
            event.properties["span_id"] = record["spanId"]
            if _text(record.get("parentSpanId")) is not None:
                event.properties["parent_span_id"] = record["parentSpanId"]
        return block_of("agentcore", text, made)


def _of_span(record: dict[str, Any], attributes: dict[str, Any]) -> list[Event]:
    words = _inline(record.get("events"))
    named = (attributes.get(key) for key in _KINDS)
    kind = next((_KIND_OF[each.lower()] for each in named if type(each) is str and each.lower() in _KIND_OF), "chain")
    name = _text(record.get("name"))
    given = _first(attributes, _INPUT, words.get("input"))
    returned = _first(attributes, _OUTPUT, words.get("output"))
    langchains = langchain_spans.is_langchains(record)
    agent = langchain_spans.agent_of(name, attributes) if langchains and kind == "chain" else None
    if agent is not None:
        kind, name = "agent", agent
    status = _object(record.get("status"))
    failed = str(status.get("code")).upper() in ("ERROR", "STATUS_CODE_ERROR", "2")
    if kind == "tool":
        tool = _text(attributes.get("gen_ai.tool.name")) or _text(attributes.get("tool.name")) or name or ""
        id_ = _text(attributes.get("gen_ai.tool.call.id"))
        arguments = attributes.get("gen_ai.tool.call.arguments", given)
        value = attributes.get("gen_ai.tool.call.result", returned)
        is_error = attributes.get("gen_ai.tool.status") == "error"
        if langchains:
            message = langchain_spans.tool_message(value) or {}
            id_ = id_ or _text(message.get("tool_call_id")) or langchain_spans.call_id(arguments)
            is_error = is_error or message.get("status") == "error"
            arguments, value = langchain_spans.value(arguments), langchain_spans.value(value)
        made = [call(tool, json_or_text(arguments), id_), result(_value(value), tool, id_)]
    else:
        is_error = False
        if langchains:
            given, returned = langchain_spans.value(given), langchain_spans.value(returned)
            if type(returned) is list:
                returned = returned[-1:]
        if kind == "llm":
            ended = model_call("llm_end", _text(_first(attributes, _MODEL, None)))
        else:
            ended = run(f"{kind}_end", _text(attributes.get("gen_ai.agent.name")) or name if kind == "agent" else name)
        made = [ended]
        ended.properties |= tokens(_first(attributes, _TOKENS_IN, None), _first(attributes, _TOKENS_OUT, None))
        if given is not None:
            ended.properties["gen_ai.input.messages"] = json_or_text(given)
        if returned is not None:
            ended.properties["gen_ai.output.messages"] = _value(returned)
    _when(made, record)
    last = made[-1].properties
    last["attributes"] = attributes
    if failed and _text(status.get("message")):
        last["error.message"] = status["message"]
    if failed or is_error:
        last["is_error"] = True
        last["error.type"] = _text(attributes.get("error.type")) or words.get("exception.type") or "error"
    return made


def _when(made: list[Event], record: dict[str, Any]) -> None:
    start, end = microseconds(record.get("startTimeUnixNano")), microseconds(record.get("endTimeUnixNano"))
    for event in made:
        event.timestamp = start if event.event_type == "tool_call" else end
    if start is not None and end is not None and end >= start:
        made[-1].properties["duration_ms"] = (end - start) / 1000


def _of_content(record: dict[str, Any]) -> list[Event]:
    """The words of a span: of a tool's its arguments and result, else what was asked and what was answered."""
    body = _object(record.get("body"))
    asked, answered = _messages(body.get("input")), _messages(body.get("output"))
    if not asked and not answered:
        return []
    told: dict[str, Any] = {}
    if langchain_spans.is_langchains(record):
        made = _of_langchains_content(asked, answered)
    elif asked and asked[-1]["role"] == "tool" and not any(each["role"] == "user" for each in asked):
        if asked[-1]["content"]:
            told["gen_ai.tool.call.arguments"] = json_or_text(asked[-1]["content"])
        if answered:
            told["gen_ai.tool.call.result"] = _value(answered[-1]["content"])
        if (id_ := asked[-1].get("id")) is not None:
            told["gen_ai.tool.call.id"] = id_
        made = [Event(event_type="message", properties={"role": "tool", **told})]
    else:
        made = []
        if asked:
            made.append(_message("user", asked, "gen_ai.input.messages"))
        if answered:
            made.append(_message("assistant", answered, "gen_ai.output.messages"))
    moment = microseconds(record.get("timeUnixNano")) or microseconds(record.get("observedTimeUnixNano"))
    for event in made:
        event.timestamp = moment
    return made


def _of_langchains_content(asked: list[dict[str, Any]], answered: list[dict[str, Any]]) -> list[Event]:
    """The words of one of LangChain's spans: the first of each side is what the span was given and returned."""
    given, returned = (side[0]["content"] if side else None for side in (asked, answered))
    message = langchain_spans.tool_message(returned)
    if message is not None or langchain_spans.is_given_to_tool(given):
        told: dict[str, Any] = {}
        if given is not None:
            told["gen_ai.tool.call.arguments"] = json_or_text(langchain_spans.value(given))
        if returned is not None:
            told["gen_ai.tool.call.result"] = langchain_spans.value(returned)
        id_ = langchain_spans.call_id(given) or _text((message or {}).get("tool_call_id"))
        if id_ is not None:
            told["gen_ai.tool.call.id"] = id_
        return [Event(event_type="message", properties={"role": "tool", **told})]
    made: list[Event] = []
    for role, printed, name in (
        ("user", given, "gen_ai.input.messages"),
        ("assistant", returned, "gen_ai.output.messages"),
    ):
        if printed is None:
            continue
        value = langchain_spans.value(printed)
        told_apart = type(value) is list and value != [] and type(value[-1]) is dict and "content" in value[-1]
        words = value if told_apart else [{"role": role, "content": value}]
        made.append(_message(role, words[-1:] if role == "assistant" else words, name))
        if not told_apart:
            made[-1].properties["input" if role == "user" else "output"] = json_or_text(value)
    return made


def _message(role: str, told: list[dict[str, Any]], name: str) -> Event:
    last = next((each for each in reversed(told) if each["role"] == role), told[-1])
    value = _value(last["content"])
    properties: dict[str, Any] = {"role": role, name: told}
    if type(value) is str and value:
        properties["message"] = value
    return Event(event_type="message", properties=properties)


def _messages(side: Any) -> list[dict[str, Any]]:
    """Messages as ``{role, content, id?}``; ADOT wraps a content once more, under ``content`` or ``message``."""
    listed = _object(side).get("messages")
    found: list[dict[str, Any]] = []
    for message in listed if type(listed) is list else ():
        if type(message) is not dict:
            continue
        role, content = str(message.get("role") or ""), message.get("content")
        inner = _object(content)
        wrapped = next((inner[key] for key in ("content", "message") if key in inner), content)
        each: dict[str, Any] = {"role": role, "content": wrapped}
        if _text(inner.get("id")) is not None:
            each["id"] = inner["id"]
        found.append(each)
    return found


def _inline(events: Any) -> dict[str, Any]:
    """The words in a span's own events, where they are not split from it."""
    words: dict[str, Any] = {}
    for event in events if type(events) is list else ():
        told = _object(_object(event).get("attributes"))
        name = _object(event).get("name")
        if name in ("gen_ai.user.message", "gen_ai.tool.message") and "content" in told:
            words["input"] = told["content"]
        elif name == "gen_ai.choice" and "message" in told:
            words["output"] = told["message"]
        elif name == "exception" and _text(told.get("exception.type")):
            words["exception.type"] = told["exception.type"]
    return words


def _value(content: Any) -> Any:
    """A content's value: the text of content blocks, printed as JSON, or the one ``json`` in them; else itself."""
    value = json_or_text(content)
    if type(value) is not list or not all(type(block) is dict for block in value):
        return content if type(content) is str else value
    if len(value) == 1 and "json" in value[0]:
        return value[0]["json"]
    if value and all(type(block.get("text")) is str for block in value):
        return "".join(block["text"] for block in value)
    words = "".join(block["text"] for block in value if type(block.get("text")) is str)
    return words or value


def _first(attributes: dict[str, Any], keys: tuple[str, ...], default: Any) -> Any:
    return next((attributes[key] for key in keys if attributes.get(key) is not None), default)


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _text(value: Any) -> str | None:
    return value if type(value) is str and value else None
