"""The half of Bedrock's samples that is held out: by somebody who had not seen the parser; do not tune on it.

Record by record from AWS's documentation (``PAGES``), not by the machinery of the open half. Of records the order of
the members and ``inferenceRegion`` are those of examples on these pages and of a published record.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from documented import Documented

PAGES = {
    "Amazon Bedrock user guide, Monitor model invocation using CloudWatch Logs and Amazon S3": "2026-11",
    "Amazon Bedrock user guide, Call a tool with the Converse API": "2026-11",
    "Amazon Bedrock user guide, Anthropic Claude Messages API": "2026-11",
    "Amazon Bedrock user guide, Meta Llama models; Cohere Command R models; Amazon Titan Text models": "2026-11",
    "Amazon Nova user guide, Using the Invoke API; Request and response schema": "2026-11",
}
SONNET = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
HAIKU = "arn:aws:bedrock:eu-central-1:123456789012:inference-profile/eu.anthropic.claude-haiku-4-5-20251001-v1:0"
NOVA = "us.amazon.nova-pro-v1:0"
Records = list[tuple[str, set[str]]]


class Log:
    """The records of one scenario, some seconds apart, and what happened."""

    def __init__(self, name: str) -> None:
        self.seed = name.encode().hex()[:8].ljust(8, "0")
        self.told = Documented()
        self.records: Records = []

    def add(self, types: set[str], operation: str, model: str, **more: Any) -> None:
        """A record; ``more``: ``input``, ``output``, ``errorCode``, ``requestMetadata``, ..."""
        number = len(self.records) + 1
        record = {
            "timestamp": f"2026-05-04T06:{number // 6:02d}:{number % 6 * 10:02d}Z",
            "accountId": "123456789012",
            "identity": {"arn": "arn:aws:sts::123456789012:assumed-role/shop-agent-role/i-0abc"},
            "region": "eu-central-1",
            "requestId": f"{self.seed}-9c1d-4e8f-a111-{number:012x}",
            "operation": operation,
            "modelId": model,
            **more,
            "inferenceRegion": "eu-north-1",
            "schemaType": "ModelInvocationLog",
            "schemaVersion": "1.0",
        }
        self.records.append((json.dumps(record, ensure_ascii=False, separators=(",", ":")), types))


def body(side: str, value: Any, tokens: int | None, **more: Any) -> dict[str, Any]:
    """``input`` or ``output`` of a record."""
    told = {f"{side}ContentType": "application/json"}
    if value is not None:
        told |= {f"{side}BodyJson": value}
    return told | ({} if tokens is None else {f"{side}TokenCount": tokens}) | more


@dataclass
class Chat:
    """A conversation in blocks of Converse, which Nova's own bodies have too."""

    log: Log
    model: str = SONNET
    operation: str = "Converse"
    extra: dict[str, Any] = field(default_factory=dict)
    metadata: dict[str, str] | None = None
    messages: list[Any] = field(default_factory=list)
    results: bool = False

    def ask(self, *blocks: Any) -> None:
        self.messages.append({"role": "user", "content": [{"text": b} if isinstance(b, str) else b for b in blocks]})

    def request(self) -> dict[str, Any]:
        request: dict[str, Any] = {"messages": json.loads(json.dumps(self.messages)), **self.extra}
        return request

    def reply(self, tokens: tuple[int, int], *blocks: Any, stop: str | None = None) -> None:
        """The model answers; a block is a text or whole."""
        content = [{"text": block} if isinstance(block, str) else block for block in blocks]
        asks = any("toolUse" in block for block in content)
        message = {"role": "assistant", "content": content}
        usage = {"inputTokens": tokens[0], "outputTokens": tokens[1], "totalTokens": sum(tokens)}
        reply: dict[str, Any] = {
            "output": {"message": message},
            "stopReason": stop or ("tool_use" if asks else "end_turn"),
        }
        reply |= (
            {"usage": usage} if self.operation.startswith("Invoke") else {"metrics": {"latencyMs": 812}, "usage": usage}
        )
        types = {"llm_end", "tool_call" if asks else "agent_finish"} | ({"tool_result"} if self.results else set())
        cached = {"cacheReadInputTokenCount": 0, "cacheWriteInputTokenCount": 0}
        metadata = {} if self.metadata is None else {"requestMetadata": self.metadata}
        self.log.add(
            types, self.operation, self.model, input=body("input", self.request(), tokens[0], **cached),
            output=body("output", reply, tokens[1]), **metadata,
        )  # fmt: skip
        self.log.told.model(self.model, *tokens)
        self.messages.append(message)
        self.results = False
        if not asks:
            self.log.told.answer = "".join(block.get("text", "") for block in content)

    def fail(self, code: str) -> None:
        """The request is refused."""
        types = {"llm_end", "error"} | ({"tool_result"} if self.results else set())
        self.log.add(types, self.operation, self.model, errorCode=code, input=body("input", self.request(), None))
        self.log.told.model(self.model, None, None)

    def give(self, *results: dict[str, Any]) -> None:
        """The tools' results go back."""
        self.messages.append({"role": "user", "content": list(results)})
        self.results = True


def use(id_: str, name: str, arguments: Any) -> dict[str, Any]:
    """A block that asks for a call."""
    return {"toolUse": {"toolUseId": id_, "name": name, "input": arguments}}


def result(id_: str, block: Any, status: str | None = "success") -> dict[str, Any]:
    """A block that holds a result: a text, or ``{"json": ...}``; ``status`` may be left out."""
    told = {"toolUseId": id_, "content": [{"text": block} if isinstance(block, str) else block]}
    return {"toolResult": told | ({} if status is None else {"status": status})}


def nova_native(log: Log) -> None:
    """InvokeModel with Nova's own body: messages-v1, toolConfig, a result that is a JSON list, one without status"""
    spec = {"name": "list_invoices", "inputSchema": {"json": {"type": "object", "properties": {}}}}
    chat = Chat(log, NOVA, "InvokeModel", {
        "schemaVersion": "messages-v1",
        "system": [{"text": "Du bist eine Buchhalterin."}],
        "inferenceConfig": {"maxTokens": 300, "topK": 1},
        "toolConfig": {"tools": [{"toolSpec": spec}], "toolChoice": {"auto": {}}},
    })  # fmt: skip
    chat.ask("Welche Rechnungen sind offen – über 100 €?")
    asked = {"min_eur": 100, "paid": False, "tags": ["b2b", "größer"]}
    chat.reply((411, 52), "<thinking> I need the list. </thinking>", use("9f3b1c5e-77", "list_invoices", asked))
    rows = [{"no": "R-1/26", "eur": 120.5}, {"no": "R-2/26", "eur": 99999999999}]
    chat.give(result("9f3b1c5e-77", {"json": {"rows": rows}}, None))
    log.told.call("list_invoices", asked, {"rows": rows}, None, "9f3b1c5e-77")
    chat.reply((498, 33), use("0a-78", "send-reminder", {"no": "R-1/26"}))
    chat.give(result("0a-78", "sent: R-1/26\n", None))
    log.told.call("send-reminder", {"no": "R-1/26"}, "sent: R-1/26\n", None, "0a-78")
    chat.reply((530, 21), "Zwei: R-1/26 (gemahnt) und R-2/26.")


def other_bodies(log: Log) -> None:
    """Prompts of Llama, Cohere and Titan (streamed): three questions, no tools"""
    prompt = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nCapital of Sudan?<|eot_id|>"
    reply: Any = {
        "generation": "\n\nKhartoum.",
        "prompt_token_count": 15,
        "generation_token_count": 5,
        "stop_reason": "stop",
    }
    llama, cohere, titan = (
        "meta.llama3-1-70b-instruct-v1:0",
        "cohere.command-r-plus-v1:0",
        "amazon.titan-text-premier-v1:0",
    )
    done = {"llm_end", "agent_finish"}
    log.add(done, "InvokeModel", llama, input=body("input", {"prompt": prompt, "max_gen_len": 512}, 15), output=body("output", reply, 5))  # fmt: skip
    log.told.model(llama, 15, 5)
    asked = {"message": "Write a short joke about {braces}.", "chat_history": [], "max_tokens": 256}
    reply = {"text": 'They "opened" up.', "generation_id": "g-1", "finish_reason": "COMPLETE", "chat_history": []}
    log.add(done, "InvokeModel", cohere, input=body("input", asked, 9), output=body("output", reply, 7))
    log.told.model(cohere, 9, 7)
    asked = {"inputText": "User: Hello\n\nBot:", "textGenerationConfig": {"stopSequences": ["User:"], "temperature": 0}}
    chunk = {"index": 0, "totalOutputTextTokenCount": 11, "completionReason": "FINISH", "inputTextTokenCount": 7}
    reply = [
        {"outputText": " Hello! How can I assist", **chunk, "completionReason": None},
        {"outputText": " you today?", **chunk},
    ]
    log.add(
        done, "InvokeModelWithResponseStream", titan, input=body("input", asked, 7), output=body("output", reply, 11)
    )
    log.told.model(titan, 7, 11)
    log.told.answer = "Hello! How can I assist you today?"


def reasoning(log: Log) -> None:
    """ConverseStream with reasoning, cache points, a guarded text; two calls in one reply, results in the other order"""
    chat = Chat(log, operation="ConverseStream", extra={
        "system": [{"text": "You plan trips."}, {"cachePoint": {"type": "default"}}],
        "additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}},
        "guardrailConfig": {"guardrailIdentifier": "gr-1", "guardrailVersion": "1", "trace": "enabled"},
    })  # fmt: skip
    chat.ask(
        "Trains to København?",
        {"guardContent": {"text": {"text": "My card is 4111…"}}},
        {"cachePoint": {"type": "default"}},
    )
    thought = {"reasoningContent": {"reasoningText": {"text": 'Use toolUse: {"name": "fake"}?', "signature": "EqQB=="}}}
    trains, fares = {"to": "København", "via": None}, {"class": 2, "when": {"from": "08:00", "days": [1, 7]}}
    chat.reply(
        (1204, 180), thought, "Let me see.", use("tooluse_Aa-1", "trains", trains), use("tooluse_Aa-2", "fares", fares)
    )
    board = "| train | at |\n|---|---|\n| EC 398 | 08:53 |"
    chat.give(result("tooluse_Aa-2", '{"eur": 39.9}'), result("tooluse_Aa-1", board))
    log.told.call("trains", trains, board, None, "tooluse_Aa-1")
    log.told.call("fares", fares, '{"eur": 39.9}', None, "tooluse_Aa-2")
    hidden = {"reasoningContent": {"redactedContent": "RGVuIGVyIGhlbW1lbGln"}}
    chat.reply((1422, 61), hidden, "EC 398 at 08:53, 39.90 €.")


def chunks(log: Log) -> None:
    """InvokeModelWithResponseStream: chunks with thinking, pings, JSON cut inside escapes, metrics; an error result"""
    arguments = {"path": "C:\\neu\\é.txt", "lines": ["a\n", '"b"'], "dry": False}
    text = json.dumps(arguments)
    parts = [text[:12], text[12:13], text[13:30], text[30:]]
    head = {
        "id": "msg_bdrk_01X",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-5-20250929",
        "content": [],
    }
    ends = {
        "amazon-bedrock-invocationMetrics": {"inputTokenCount": 640, "outputTokenCount": 77, "invocationLatency": 2103}
    }
    reply: list[Any] = [
        {"type": "message_start", "message": {**head, "stop_reason": None, "usage": {"input_tokens": 640, "output_tokens": 4}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "Delete it?"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "Eq=="}},
        {"type": "content_block_stop", "index": 0},
        {"type": "ping"},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "toolu_bdrk_01Qz", "name": "write_file", "input": {}}},
        *({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": part}} for part in ["", *parts]),
        {"type": "content_block_stop", "index": 1},
        {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "toolu_bdrk_01Qy", "name": "whoami", "input": {}}},
        {"type": "content_block_stop", "index": 2},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": None}, "usage": {"output_tokens": 77}},
        {"type": "message_stop", **ends},
    ]  # fmt: skip
    asked: dict[str, Any] = {
        "anthropic_version": "bedrock-2023-05-31",
        "max_tokens": 2048,
        "system": "Careful.",
        "messages": [{"role": "user", "content": "Write the file."}],
    }
    log.add(
        {"llm_end", "tool_call"},
        "InvokeModelWithResponseStream",
        SONNET,
        input=body("input", asked, 640),
        output=body("output", reply, 77),
    )
    log.told.model(SONNET, 640, 77)
    content = [
        {"type": "thinking", "thinking": "Delete it?", "signature": "Eq=="},
        {"type": "tool_use", "id": "toolu_bdrk_01Qz", "name": "write_file", "input": arguments},
        {"type": "tool_use", "id": "toolu_bdrk_01Qy", "name": "whoami", "input": {}},
    ]
    results = [
        {"type": "tool_result", "tool_use_id": "toolu_bdrk_01Qz", "content": "EACCES: permission denied, open 'C:\\neu'", "is_error": True},
        {"type": "tool_result", "tool_use_id": "toolu_bdrk_01Qy", "content": "agent"},
    ]  # fmt: skip
    log.told.call("write_file", arguments, None, "EACCES: permission denied, open 'C:\\neu'", "toolu_bdrk_01Qz")
    log.told.call("whoami", {}, "agent", None, "toolu_bdrk_01Qy")
    more = [*asked["messages"], {"role": "assistant", "content": content}, {"role": "user", "content": results}]
    words = ["I may not ", "write th", "ere: “agent”."]
    reply = [
        {"type": "message_start", "message": {**head, "usage": {"input_tokens": 733, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}} for word in words),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 12}},
        {"type": "message_stop"},
    ]  # fmt: skip
    types = {"llm_end", "tool_result", "agent_finish"}
    log.add(
        types,
        "InvokeModelWithResponseStream",
        SONNET,
        input=body("input", {**asked, "messages": more}, 733),
        output=body("output", reply, 12),
    )
    log.told.model(SONNET, 733, 12)
    log.told.answer = "".join(words)


def without_bodies(log: Log) -> None:
    """Text is not delivered: counts alone; bodies in S3; an error with nothing but its code"""
    for sent, received in ((1, 8), (2345, 0)):
        log.add({"llm_end"}, "Converse", HAIKU, input=body("input", None, sent), output=body("output", None, received))
        log.told.model(HAIKU, sent, received)
    stored = "s3://logs/AWSLogs/123456789012/BedrockModelInvocationLogs/eu-central-1/2026/05/04/06/data/x_input.json.gz"
    log.add(
        {"llm_end"}, "InvokeModel", SONNET, input=body("input", None, 88_000, inputBodyS3Path=stored),
        output=body("output", None, 512, outputBodyS3Path=stored.replace("input", "output")),
    )  # fmt: skip
    log.told.model(SONNET, 88_000, 512)
    log.add({"llm_end", "error"}, "ConverseStream", HAIKU, errorCode="ResourceNotFoundException")
    log.told.model(HAIKU, None, None)


def gives_up(log: Log) -> None:
    """A result is an error, then the model is throttled twice and at last refuses: no answer"""
    chat = Chat(log, HAIKU, metadata=None)
    chat.ask("Refund order 7: 'now' {please}")
    chat.reply((77, 30), use("tooluse_r1", "refund", {"order": 7, "amount": 12.0}))
    chat.give(result("tooluse_r1", "Traceback (most recent call last):\n  ...\nValueError: amount: 12.0 > 10", "error"))
    log.told.call(
        "refund",
        {"order": 7, "amount": 12.0},
        None,
        "Traceback (most recent call last):\n  ...\nValueError: amount: 12.0 > 10",
        "tooluse_r1",
    )
    for code in ("ThrottlingException", "ThrottlingException", "ModelErrorException"):
        chat.fail(code)
    log.told.failed = True


def supervisor(log: Log) -> None:
    """An agent whose tool is another agent on another model: the inner conversation stands between"""
    tags = {"team": "shop", "run": "2f6e"}
    outer = Chat(log, extra={"system": [{"text": "You delegate."}]}, metadata=tags)
    inner = Chat(log, NOVA, extra={"system": [{"text": "You research."}]}, metadata=tags)
    outer.ask("When does A-7 arrive?")
    outer.reply((60, 25), "I ask.", use("tooluse_o1", "researcher", {"task": "A-7: arrival?"}))
    inner.ask("A-7: arrival?")
    inner.reply((40, 22), use("tooluse_i1", "track", {"sku": "A-7", "events": 2}))
    inner.give(result("tooluse_i1", {"json": {"at": "Malmö", "eta": None}}))
    inner.reply((95, 14), use("tooluse_i2", "track", {"sku": "A-7", "events": 2}))
    inner.give(result("tooluse_i2", {"json": {"at": "Malmö", "eta": "2026-05-06"}}))
    inner.reply((140, 9), "On 6 May.")
    outer.give(result("tooluse_o1", "On 6 May."))
    outer.reply((99, 12), "It arrives on 6 May.")
    log.told.call("researcher", {"task": "A-7: arrival?"}, "On 6 May.", None, "tooluse_o1")
    log.told.call("track", {"sku": "A-7", "events": 2}, {"at": "Malmö", "eta": None}, None, "tooluse_i1")
    log.told.call("track", {"sku": "A-7", "events": 2}, {"at": "Malmö", "eta": "2026-05-06"}, None, "tooluse_i2")


def sliding_window(log: Log) -> None:
    """The oldest messages are cut away on the way; the same question and the same call come twice"""
    chat = Chat(log)
    for turn in range(4):
        id_ = f"tooluse_w{turn}"
        chat.ask("Is it still raining?")
        chat.reply((200 + turn, 18), use(id_, "weather", {"city": "Bergen"}))
        chat.give(result(id_, f"rain, {turn} mm"))
        log.told.call("weather", {"city": "Bergen"}, f"rain, {turn} mm", None, id_)
        chat.reply((230 + turn, 6), f"Yes, {turn} mm.")
        del chat.messages[: 4 if turn else 0]


def unanswered(log: Log) -> None:
    """The process dies in the tool: a call is asked for, and no more is logged of it; another conversation follows"""
    chat = Chat(log)
    chat.ask("Export everything.")
    chat.reply((51, 20), "Exporting…", use("tooluse_x1", "export", {"format": "csv", "to": "s3://b/k?x={1}"}))
    log.told.call("export", {"format": "csv", "to": "s3://b/k?x={1}"}, None, None, "tooluse_x1")
    log.told.calls[-1]["printed"]["result"] = "absent"
    other = Chat(log, NOVA, "ConverseStream")
    other.ask("Good morning!")
    other.reply((7, 9), "Good morning. How can I help?")


def max_tokens(log: Log) -> None:
    """A reply ends at max_tokens within its text, the user says to go on; an embedding in between"""
    chat = Chat(log)
    chat.ask("Tell me a story.")
    chat.reply((12, 64), "Once upon a", stop="max_tokens")
    titan = "amazon.titan-embed-text-v2:0"
    vector = [round(0.01 * n - 0.3, 2) for n in range(64)]
    reply = {"embedding": vector, "inputTextTokenCount": 3}
    log.add(
        {"*"},
        "InvokeModel",
        titan,
        input=body("input", {"inputText": "Once upon"}, 3),
        output=body("output", reply, None),
    )
    log.told.model(titan, 3, None)
    log.told.models[-1]["printed"] = {"call": False, "tokens": False, "model": False}
    chat.ask("Go on.")
    chat.reply((83, 5), " time. The end.")


SCENARIOS: tuple[Callable[[Log], None], ...] = (
    nova_native, other_bodies, reasoning, chunks, without_bodies, gives_up,
    supervisor, sliding_window, unanswered, max_tokens,
)  # fmt: skip
