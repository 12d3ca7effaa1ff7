"""What the properties of an event say, whichever of its names a client uses for it.

OpenTelemetry's GenAI names come first, then the aliases that clients use. Each function takes any event and never
raises: a property of an unfit type counts as absent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_server.model import Tokens

if TYPE_CHECKING:
    from vectadb_server.model import Event, Kind

#: ``event_type`` of an event that opens a span, and the kind of that span.
OPENS: dict[str, Kind] = {
    "invocation_start": "invocation",
    "agent_start": "agent",
    "chain_start": "chain",
    "llm_start": "llm",
    "tool_call": "tool",
}
#: ``event_type`` of an event that closes a span, and the kind of that span.
CLOSES: dict[str, Kind] = {
    "invocation_end": "invocation",
    "agent_end": "agent",
    "chain_end": "chain",
    "llm_end": "llm",
    "tool_result": "tool",
}

_CALL_ID = ("gen_ai.tool.call.id", "tool_call_id", "toolCallId", "tool_use_id", "toolUseId", "call_id")
_SPAN_ID = ("span_id", "spanId", "spanID")
_PARENT_SPAN_ID = ("parent_span_id", "parentSpanId", "parentSpanID")
_MODEL = ("gen_ai.request.model", "gen_ai.response.model", "model", "model_name", "model_id", "modelId")
_NAME: dict[str, tuple[str, ...]] = {
    "invocation": ("faas.name", "function_name", "functionName"),
    "agent": ("gen_ai.agent.name", "agent_name", "agent", "name"),
    "chain": ("name", "chain_name", "chain", "gen_ai.agent.name"),
    "llm": ("name", *_MODEL),
    "tool": ("gen_ai.tool.name", "tool_name", "toolName", "tool", "function_name", "name"),
    "retrieval": ("gen_ai.data_source.id", "retriever", "retriever_name", "name"),
}
_ASKED = ("input", "inputs", "query", "question", "prompt")
_SAID = ("output", "outputs", "response", "answer", "result")
_INPUT: dict[str, tuple[str, ...]] = {
    "invocation": ("input", "event", "payload"),
    "agent": ("gen_ai.input.messages", *_ASKED, "task", "messages"),
    "chain": ("gen_ai.input.messages", *_ASKED, "messages"),
    "llm": ("gen_ai.input.messages", "gen_ai.prompt", "prompts", *_ASKED, "messages"),
    "tool": ("gen_ai.tool.call.arguments", "tool_input", "tool_args", "arguments", "args", "input", "parameters"),
    "retrieval": ("gen_ai.retrieval.query.text", "query", "question", "input"),
}
_OUTPUT: dict[str, tuple[str, ...]] = {
    "invocation": ("output", "response", "result"),
    "agent": ("gen_ai.output.messages", *_SAID, "final_answer", "return_values"),
    "chain": ("gen_ai.output.messages", *_SAID),
    "llm": ("gen_ai.output.messages", "gen_ai.completion", "completion", *_SAID, "generations", "content", "text"),
    "tool": ("gen_ai.tool.call.result", "tool_output", "tool_result", "result", "output", "observation"),
    "retrieval": ("gen_ai.retrieval.documents", "documents", "results", "nodes", "output"),
}
_INPUT_TOKENS = (
    "gen_ai.usage.input_tokens",
    "gen_ai.usage.prompt_tokens",
    "input_tokens",
    "prompt_tokens",
    "inputTokens",
)
_OUTPUT_TOKENS = (
    "gen_ai.usage.output_tokens",
    "gen_ai.usage.completion_tokens",
    "output_tokens",
    "completion_tokens",
    "outputTokens",
)
_USAGE = ("usage", "token_usage", "usage_metadata", "models_usage")
_RESPONSE_ID = ("gen_ai.response.id", "response_id", "message_id", "id")
_CRUMB = re.compile(r"(?:chain|llm|chat_model|tool|prompt|parser|retriever|embedding):")
_DURATION_MS = ("duration_ms", "faas.duration_ms", "latency_ms", "elapsed_ms")
_ERROR_TYPE = ("error.type", "error_type", "errorType", "exception.type", "exception_name")
_ERROR_TEXT = ("error.message", "error_message", "errorMessage", "exception.message")
_ERROR_LEVELS = frozenset({"ERROR", "CRITICAL", "FATAL", "SEVERE"})
_ERROR_STATUS = frozenset({"error", "failed", "failure", "timeout"})
#: An event that tells of a failure has one of these in its type, or in the names or values of its properties.
FAILURE_WORDS = ("error", "exception", "critical", "fatal", "severe", "fail", "timeout")
#: Where a value is an object, the keys under which its text is found.
_TEXT_KEYS = ("input", "output", "query", "question", "answer", "content", "text", "message", "result", "parts")
_COLOUR = re.compile("\x1b\\[[0-9;]*m")
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[{}\[\]]', re.DOTALL)
_LONG_DIGITS = re.compile(r"\d{19}")
_MAX_NUMBER = 2**53
#: What is beyond is a mistake, and would put a trace's start outside of time, or a sum outside of 64 bits.
_LONGEST_MS = 366 * 86_400_000
_MOST_TOKENS = 10**12
#: Levels of JSON in a text that is taken apart: decoding and encoding it again recurse.
_DEEPEST = 200


class Failure(msgspec.Struct, frozen=True):
    """What went wrong, as text. ``hard``: an error that was reported as such, not just a line of that level."""

    text: str
    hard: bool


def call_id(event: Event) -> str | None:
    """Id that a tool's call and its result share."""
    return _text(event, _CALL_ID)


def span_id(event: Event) -> str | None:
    """Id of the span that the client itself put the event in."""
    return _text(event, _SPAN_ID)


def parent_span_id(event: Event) -> str | None:
    """Id of the span above that one, as the client says."""
    return _text(event, _PARENT_SPAN_ID)


def path(event: Event) -> list[str]:
    """Where in nested runs the event is, outermost first, as LangChain's debug output prints it.

    For example ``["chain:AgentExecutor", "tool:search"]``; empty if the event does not say.
    """
    value = event.properties.get("path")
    crumbs = value.split(" > ") if isinstance(value, str) else []
    return crumbs if all(_CRUMB.match(crumb) for crumb in crumbs) else []


def name(event: Event, kind: Kind) -> str:
    """Name of the agent, tool, model … where the event opens or closes a span of ``kind``; ``""`` if it has none."""
    return _text(event, _NAME[kind]) or ""


def resumes(event: Event) -> bool:
    """Whether an ``agent_start`` is but a sign that the agent runs, where a framework does not tell of its start."""
    return event.properties.get("resumes") is True


def is_agents_step(event: Event) -> bool:
    """Whether a ``chain_start`` is a step of an agent's: the chain right around it, whatever it is called, is one."""
    return event.properties.get("parent_kind") == "agent"


def is_alone(event: Event) -> bool:
    """Whether a ``tool_result`` is of a call that is not told: of none of those that wait for a result."""
    return event.properties.get("call_not_told") is True


def tool_place(event: Event) -> int | None:
    """Of a ``tool_result``, the place of its tool in the agent's list, modulo some number."""
    value = event.properties.get("tool_place")
    return value if type(value) is int else None


def model(event: Event) -> str | None:
    """Name of the language model."""
    return _text(event, _MODEL)


def given(event: Event, kind: Kind) -> Any:
    """What a span of ``kind`` was given: arguments, prompt, question; ``None`` if the event does not say."""
    return _first(event, _INPUT[kind])


def returned(event: Event, kind: Kind) -> Any:
    """What a span of ``kind`` came back with; ``None`` if the event does not say."""
    return _first(event, _OUTPUT[kind])


def role(event: Event) -> str:
    """Who speaks in a message: ``user``, ``assistant`` or ``""``."""
    return _role(event.properties.get("role"))


def message(event: Event) -> str:
    """The human text that the event carries beside its raw text; ``""`` if there is none."""
    value = event.properties.get("message")
    return as_text(value) if isinstance(value, str | dict | list) and value else ""


def body(event: Event) -> str:
    """The text a human would read in the event: its message, else its raw text without colours."""
    return message(event) or (_COLOUR.sub("", event.raw).strip() if isinstance(event.raw, str) else "")


def question(event: Event) -> str:
    """What a ``query`` asks."""
    return as_text(_first(event, _INPUT["retrieval"])) or body(event)


def answer(event: Event) -> str:
    """What an ``agent_finish`` answers."""
    return as_text(_first(event, _OUTPUT["agent"])) or body(event)


def usage(event: Event) -> Tokens:
    """Tokens that the event says were used."""
    tokens = Tokens(_count(event.properties, _INPUT_TOKENS), _count(event.properties, _OUTPUT_TOKENS))
    if tokens.input is None and tokens.output is None:
        for key in _USAGE:
            inner = event.properties.get(key)
            if isinstance(inner, dict):
                return Tokens(_count(inner, _INPUT_TOKENS), _count(inner, _OUTPUT_TOKENS))
    return tokens


def tool(event: Event) -> str | None:
    """Name of the tool that the event calls, announces, or has the result of."""
    return (name(event, "tool") or None) if event.event_type in ("tool_call", "tool_result", "agent_action") else None


def level(event: Event) -> str:
    """Its log level in capitals; ``""`` if it has none."""
    value = event.properties.get("level")
    return value.upper() if isinstance(value, str) else ""


def response_id(event: Event) -> str | None:
    """Id of the model's reply, the same wherever that reply is printed."""
    return _text(event, _RESPONSE_ID)


def duration(event: Event) -> int | None:
    """How long it took, microseconds; no more than a year."""
    for key in _DURATION_MS:
        if key in event.properties:
            ms = _number(event.properties[key])
            if ms is not None and ms <= _LONGEST_MS:
                return round(ms * 1000)
    return None


def is_report(event: Event) -> bool:
    """Whether it is the line after the end of an invocation that says what it took."""
    return "faas.duration_ms" in event.properties and event.event_type == "log"


def failure(event: Event) -> Failure | None:
    """Return what went wrong, if the event tells of a failure."""
    properties = event.properties
    type_ = _text(event, _ERROR_TYPE)
    level_ = level(event)
    error = properties.get("error")
    is_error = event.event_type == "error"
    status = _bad_status(event)
    stated = bool(error) and isinstance(error, str | dict | list | bool)
    if not (is_error or type_ or level_ in _ERROR_LEVELS or stated or status):
        return None
    text = _text(event, _ERROR_TEXT) or (as_text(error) if stated and error is not True else "")
    if not text and event.event_type == "tool_result":
        text = as_text(returned(event, "tool"))
    if not text and (is_report(event) or event.event_type == "invocation_end"):
        text = status
    if not text:
        # Of a traceback only the last line says what went wrong.
        lines = body(event).rstrip().splitlines() or [""]
        text = lines[-1].strip() if "Traceback (most recent call last)" in (event.raw or "") else "\n".join(lines)
    if type_ and type_ not in text:
        text = f"{type_}: {text}" if text else type_
    # A logged line of level ERROR may well have been dealt with; an error with a type or without a level was not.
    return Failure(text or "error", hard=is_error and (type_ is not None or not level_))


def as_text(value: Any) -> str:
    """A value in words: text as it is, an object's or a message list's own text where it has one, else its JSON."""
    return _said(value, 0).strip()


def parsed(value: Any) -> Any:
    """The JSON value that a text holds; whatever else it is, or nested too deeply, itself."""
    if not isinstance(value, str) or _is_deep(value):
        return value
    try:
        result = msgspec.json.decode(value)
        if _LONG_DIGITS.search(value):
            msgspec.json.encode(result)  # numbers that no reply of ours could carry stay text
    except (ValueError, RecursionError, OverflowError):
        return value
    return result


def _is_deep(text: str) -> bool:
    """Whether a text that may be JSON nests deeper than is good for a reply. Brackets inside its texts count not."""
    if text.count("[") + text.count("{") <= _DEEPEST:
        return False
    depth = 0
    for found in _MARKS.finditer(text):
        if found[0] in "[{":
            depth += 1
            if depth > _DEEPEST:
                return True
        elif found[0] in "]}":
            depth -= 1
    return False


def _bad_status(event: Event) -> str:
    """How an end says that what it ends has failed; ``""`` if it does not."""
    if event.event_type not in CLOSES and not is_report(event):
        return ""
    status = event.properties.get("faas.status", event.properties.get("status"))
    if isinstance(status, str) and status.lower() in _ERROR_STATUS:
        return status
    return "error" if event.properties.get("is_error") is True else ""


def _text(event: Event, keys: tuple[str, ...]) -> str | None:
    properties = event.properties
    for key in keys:
        if key not in properties:
            continue
        value = properties[key]
        if isinstance(value, str):
            if value and not value.isspace():
                return value
        elif isinstance(value, int) and not isinstance(value, bool):
            return str(value) if abs(value) < _MAX_NUMBER else None
    return None


def _first(event: Event, keys: tuple[str, ...]) -> Any:
    for key in keys:
        value = event.properties.get(key)
        if value is not None:
            return value
    return None


def _count(properties: dict[str, Any], keys: tuple[str, ...]) -> int | None:
    for key in keys:
        if key in properties:
            value = _number(properties[key])
            if value is not None and value <= _MOST_TOKENS:
                return int(value)
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if 0 <= value < _MAX_NUMBER else None


def _is_block(item: Any) -> bool:
    return isinstance(item, dict) and "role" not in item and item.get("type") != "tool_call"


def _role(value: Any) -> str:
    word = value.lower() if isinstance(value, str) else ""
    return {"human": "user", "user": "user", "ai": "assistant", "assistant": "assistant"}.get(word, "")


def _said(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if depth < 6:
        if isinstance(value, dict):
            if isinstance(value.get("messages"), list):
                return _said(value["messages"], depth + 1)
            for key in _TEXT_KEYS:
                inner = _said(value[key], depth + 1) if isinstance(value.get(key), str | dict | list) else ""
                if inner:
                    return inner
        elif isinstance(value, list) and value:
            blocks = [item.get("text", item.get("content")) for item in value if _is_block(item)]
            texts = [text for text in blocks if isinstance(text, str)]
            if texts:
                return "\n".join(texts)
            last = value[-1]
            if isinstance(last, dict | list) or len(value) == 1:
                return _said(last, depth + 1)
            if len(value) == 2 and isinstance(last, str) and isinstance(value[0], str) and _role(value[0]):
                return last
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return ""
