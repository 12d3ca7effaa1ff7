"""What the bodies of Bedrock's requests and replies say: Converse's, Anthropic's messages, plain texts of others."""

from __future__ import annotations

from typing import Any

import msgspec


class Called(msgspec.Struct):
    """A tool that a model asks for."""

    name: str
    input: Any
    id: str | None = None


class Returned(msgspec.Struct):
    """What a tool returned: text, or JSON."""

    value: Any
    id: str | None = None
    failed: bool = False


class Message(msgspec.Struct):
    """A message, or a model's reply with what is told beside it."""

    role: str = ""
    text: str = ""
    calls: list[Called] = []
    results: list[Returned] = []
    input_tokens: int | None = None
    output_tokens: int | None = None
    latency_ms: float | None = None
    stop_reason: str | None = None


def said_before(body: Any) -> list[Message]:
    """The messages of a request; a bare prompt is one of a user."""
    if type(body) is not dict:
        return []
    messages = body.get("messages")
    if type(messages) is list:
        return [_message(each.get("role"), each.get("content")) for each in messages if type(each) is dict]
    for key in ("prompt", "inputText"):
        if type(body.get(key)) is str:
            return [Message("user", body[key])]
    return []


def reply_of(body: Any) -> Message:
    """A reply, whether it came whole or as a list of the chunks of a stream."""
    if type(body) is list:
        return _of_chunks([each for each in body if type(each) is dict])
    if type(body) is not dict:
        return Message()
    inside = body.get("output")
    told = inside.get("message") if type(inside) is dict else body
    told = told if type(told) is dict else {}
    reply = _message(told.get("role") or "assistant", told.get("content"))
    reply.text = reply.text or _generated(body)
    _usage(reply, body.get("usage"))
    metrics = body.get("metrics")
    if type(metrics) is dict and type(metrics.get("latencyMs")) in (int, float):
        reply.latency_ms = metrics["latencyMs"]
    stop = body.get("stopReason") or body.get("stop_reason")
    reply.stop_reason = stop if type(stop) is str else None
    return reply


def _generated(body: dict[str, Any]) -> str:
    """The text of models that are no chat models: Titan, Llama, Mistral, Cohere; of OpenAI's replies the words."""
    for key in ("generation", "completion", "outputText"):
        if type(body.get(key)) is str:
            return str(body[key])
    texts = [
        each.get(key)
        for listed in ("results", "outputs", "generations", "choices")
        for each in _dicts(body.get(listed))
        for key in ("outputText", "text")
    ]
    for choice in _dicts(body.get("choices")):
        said = choice.get("message")
        texts.append(said.get("content") if type(said) is dict else None)
    return "".join(text for text in texts if type(text) is str)


def _message(role: Any, content: Any) -> Message:
    message = Message(role if type(role) is str else "")
    if type(content) is str:
        message.text = content
        return message
    texts: list[str] = []
    for block in content if type(content) is list else ():
        if type(block) is not dict:
            continue
        if type(block.get("text")) is str:
            texts.append(block["text"])
            continue
        use = block.get("toolUse") or (block if block.get("type") == "tool_use" else None)
        if type(use) is dict:
            id_ = use.get("toolUseId") or use.get("id")
            message.calls.append(Called(str(use.get("name")), use.get("input"), id_ if type(id_) is str else None))
        else:
            told = block.get("toolResult") or (block if block.get("type") == "tool_result" else None)
            if type(told) is dict:
                message.results.append(_returned(told))
    message.text = "\n".join(texts)
    return message


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [each for each in value if type(each) is dict] if type(value) is list else []


def _returned(told: dict[str, Any]) -> Returned:
    content = told.get("content")
    parts = content if type(content) is list else [content]
    values = [each.get("json", each.get("text")) if type(each) is dict else each for each in parts]
    values = [value for value in values if value is not None]
    value: Any = ""
    if len(values) == 1:
        value = values[0]
    elif values:
        texts = [each for each in values if type(each) is str]
        value = "\n".join(texts) if len(texts) == len(values) else values
    id_ = told.get("toolUseId") or told.get("tool_use_id")
    failed = told.get("status") == "error" or told.get("is_error") is True
    return Returned(value, id_ if type(id_) is str else None, failed)


def _usage(reply: Message, usage: Any) -> None:
    if type(usage) is not dict:
        return
    for given in ("inputTokens", "input_tokens"):
        if type(usage.get(given)) is int:
            reply.input_tokens = usage[given]
    for returned in ("outputTokens", "output_tokens"):
        if type(usage.get(returned)) is int:
            reply.output_tokens = usage[returned]


def _of_chunks(chunks: list[dict[str, Any]]) -> Message:
    """Put a stream together: Anthropic's events, or texts in ``generation`` or ``outputText``."""
    reply = Message("assistant")
    texts: list[str] = []
    arguments: list[str] = []
    for chunk in chunks:
        start, delta = chunk.get("content_block"), chunk.get("delta")
        if type(start) is dict and start.get("type") == "tool_use":
            id_ = start.get("id")
            reply.calls.append(Called(str(start.get("name")), None, id_ if type(id_) is str else None))
            arguments.append("")
        if type(delta) is dict:
            if type(delta.get("text")) is str:
                texts.append(delta["text"])
            if type(delta.get("partial_json")) is str and arguments:
                arguments[-1] += delta["partial_json"]
            if type(delta.get("stop_reason")) is str:
                reply.stop_reason = delta["stop_reason"]
        opened = chunk.get("message")
        _usage(reply, opened.get("usage") if type(opened) is dict else None)
        _usage(reply, chunk.get("usage"))
        texts.append(_generated(chunk))
    for asked, given in zip(reply.calls, arguments, strict=True):
        try:
            asked.input = msgspec.json.decode(given) if given else {}
        except (ValueError, RecursionError):
            asked.input = given
    reply.text = "".join(texts)
    return reply
