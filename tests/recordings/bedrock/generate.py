"""Model invocation logs true to AWS's documentation: no package prints them, so scenario data makes both log and truth.

This is the open half, by the hand that wrote the parser; ``held_out.py`` is the other.

A scenario is a list of conversations: questions, the calls that the model asks for with what the tools return, the
answers. From it the records are written as the documentation shows them, and, apart from them, what happened.
Sources: docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html, …/conversation-inference-call.html,
…/model-parameters-anthropic-claude-messages.html, …/model-parameters-titan-text.html, as of 2025-11.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import held_out
from documented import Documented, write

CLAUDE, NOVA, TITAN = (
    "us.anthropic.claude-sonnet-4-20250514-v1:0",
    "amazon.nova-lite-v1:0",
    "amazon.titan-text-express-v1",
)
PAGES = {
    "Amazon Bedrock user guide, Monitor model invocation using CloudWatch Logs and Amazon S3": "2025-11",
    "Amazon Bedrock API reference, Converse": "2025-11",
    "Amazon Bedrock user guide, Anthropic Claude Messages API": "2025-11",
}


@dataclass
class Call:
    """A call of a tool: ``result`` is a text, or a JSON value; ``error`` is the text of a failure."""

    name: str
    arguments: Any
    result: Any = None
    error: str | None = None


@dataclass
class Turn:
    """One reply of the model: what it says, the calls it asks for, tokens (given, returned, read from the cache)."""

    says: str = ""
    calls: list[Call] = field(default_factory=list)
    tokens: tuple[int, int, int] = (100, 20, 0)
    #: The request fails so before it succeeds.
    fails_first: str | None = None


@dataclass
class Talk:
    """A conversation: each question is answered in turns, the last one without calls."""

    asked: list[tuple[Any, list[Turn]]]
    form: str = "converse"
    operation: str = "Converse"
    model: str = CLAUDE
    system: str | None = "You are a helpful assistant."
    metadata: dict[str, str] | None = None


class Log:
    """Writes the records of one scenario, with ids and times that grow."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.number = 0
        self.uses = 0
        self.told = Documented()

    def record(self, talk: Talk, request: Any, reply: Any, tokens: tuple[int, int, int], error: str | None) -> str:
        self.number += 1
        seed = sum(map(ord, self.name)) * 1000 + self.number
        record: dict[str, Any] = {
            "schemaType": "ModelInvocationLog",
            "schemaVersion": "1.0",
            "timestamp": f"2025-11-03T10:{self.number:02d}:07Z",
            "accountId": "123456789012",
            "identity": {"arn": "arn:aws:sts::123456789012:assumed-role/agent/session"},
            "region": "us-east-1",
            "requestId": f"{seed:08x}-5561-4431-93b8-06a8{self.number:08x}",
            "operation": talk.operation,
            "modelId": talk.model,
        }
        if error is not None:
            record["errorCode"] = error
        if request is not None:
            record["input"] = {"inputContentType": "application/json", "inputBodyJson": request}
            if error is None:
                record["input"] |= {
                    "inputTokenCount": tokens[0],
                    "cacheReadInputTokenCount": tokens[2],
                    "cacheWriteInputTokenCount": 0,
                }
        if reply is not None:
            record["output"] = {
                "outputContentType": "application/json",
                "outputBodyJson": reply,
                "outputTokenCount": tokens[1],
            }
        if talk.metadata is not None:
            record["requestMetadata"] = talk.metadata
        return json.dumps(record, ensure_ascii=False, separators=(",", ":"))

    def play(self, talk: Talk, *, forget_input: bool = False) -> list[tuple[str, set[str]]]:
        """The records of a conversation, each with the event types in it; the truth is noted on the way."""
        messages: list[dict[str, Any]] = []
        records: list[tuple[str, set[str]]] = []
        results = False
        for question, turns in talk.asked:
            messages.append({"role": "user", "content": _content(talk, question)})
            for turn in turns:
                types = {"llm_end"} | ({"tool_result"} if results else set())
                request = _request(talk, messages)
                if turn.fails_first is not None:
                    failed = self.record(talk, None if forget_input else request, None, (0, 0, 0), turn.fails_first)
                    records.append((failed, types | {"error"}))
                    self.told.model(talk.model, None, None)
                ids = [self._id(talk) for _ in turn.calls]
                message = _message(talk, turn, ids)
                records.append(
                    (
                        self.record(talk, request, _reply(talk, message, turn, ids), turn.tokens, None),
                        types | ({"tool_call"} if turn.calls else {"agent_finish"}),
                    )
                )
                self.told.model(talk.model, turn.tokens[0], turn.tokens[1])
                messages.append(message)
                for call, id_ in zip(turn.calls, ids, strict=True):
                    self.told.call(call.name, call.arguments, call.result, call.error, id_)
                results = bool(turn.calls)
                if results:
                    messages.append(
                        {
                            "role": "user",
                            "content": [_result(talk, *each) for each in zip(turn.calls, ids, strict=True)],
                        }
                    )
                else:
                    self.told.answer = turn.says
        return records

    def _id(self, talk: Talk) -> str:
        self.uses += 1
        head = "tooluse_" if talk.form == "converse" else "toolu_bdrk_01"
        return f"{head}{sum(map(ord, self.name)):06d}{self.uses:04d}qWErTy"


def _content(talk: Talk, question: Any) -> Any:
    if not isinstance(question, str):
        return question
    return [{"text": question}] if talk.form == "converse" else [{"type": "text", "text": question}]


def _request(talk: Talk, messages: list[dict[str, Any]]) -> Any:
    messages = json.loads(json.dumps(messages))
    if talk.form == "titan":
        return {"inputText": messages[-1]["content"][0]["text"], "textGenerationConfig": {"maxTokenCount": 512}}
    if talk.form == "converse":
        request: dict[str, Any] = {"messages": messages}
        if talk.system:
            request["system"] = [{"text": talk.system}]
        spec = {"name": "search", "description": "Search.", "inputSchema": {"json": {"type": "object"}}}
        return request | {"inferenceConfig": {"maxTokens": 1024}, "toolConfig": {"tools": [{"toolSpec": spec}]}}
    request = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 1024, "messages": messages}
    return request | ({"system": talk.system} if talk.system else {})


def _message(talk: Talk, turn: Turn, ids: list[str]) -> dict[str, Any]:
    if talk.form == "converse":
        words = [{"text": turn.says}] if turn.says else []
        asked = [
            {"toolUse": {"toolUseId": id_, "name": call.name, "input": call.arguments}}
            for call, id_ in zip(turn.calls, ids, strict=True)
        ]
        return {"role": "assistant", "content": words + asked}
    words = [{"type": "text", "text": turn.says}] if turn.says else []
    used = [
        {"type": "tool_use", "id": id_, "name": call.name, "input": call.arguments}
        for call, id_ in zip(turn.calls, ids, strict=True)
    ]
    return {"role": "assistant", "content": words + used}


def _reply(talk: Talk, message: dict[str, Any], turn: Turn, ids: list[str]) -> Any:
    stop = "tool_use" if ids else "end_turn"
    if talk.form == "titan":
        result = {"tokenCount": turn.tokens[1], "outputText": turn.says, "completionReason": "FINISH"}
        return {"inputTextTokenCount": turn.tokens[0], "results": [result]}
    if talk.form == "converse":
        usage = {"inputTokens": turn.tokens[0], "outputTokens": turn.tokens[1], "totalTokens": sum(turn.tokens[:2])}
        return {"output": {"message": message}, "stopReason": stop, "metrics": {"latencyMs": 1204}, "usage": usage}
    usage = {"input_tokens": turn.tokens[0], "output_tokens": turn.tokens[1]}
    whole = {"id": "msg_bdrk_01AbC", "type": "message", "role": "assistant", "model": "claude-sonnet-4-20250514"}
    if talk.operation == "InvokeModel":
        return whole | {"content": message["content"], "stop_reason": stop, "stop_sequence": None, "usage": usage}
    ended = {"stop_reason": stop, "stop_sequence": None}
    return [
        {"type": "message_start", "message": whole | {"content": [], "usage": usage | {"output_tokens": 1}}},
        *(chunk for index, block in enumerate(message["content"]) for chunk in _chunks(index, block)),
        {"type": "message_delta", "delta": ended, "usage": {"output_tokens": turn.tokens[1]}},
        {"type": "message_stop"},
    ]


def _chunks(index: int, block: dict[str, Any]) -> list[dict[str, Any]]:
    if block["type"] == "text":
        half = len(block["text"]) // 2
        start: dict[str, Any] = {"type": "text", "text": ""}
        deltas = [{"type": "text_delta", "text": text} for text in (block["text"][:half], block["text"][half:])]
    else:
        printed = json.dumps(block["input"])
        start = block | {"input": {}}
        deltas = [{"type": "input_json_delta", "partial_json": text} for text in ("", printed[:7], printed[7:])]
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def _result(talk: Talk, call: Call, id_: str) -> dict[str, Any]:
    value = call.error if call.error is not None else call.result
    failed = call.error is not None
    if talk.form == "converse":
        content = [{"text": value}] if isinstance(value, str) else [{"json": value}]
        return {"toolResult": {"toolUseId": id_, "content": content, "status": "error" if failed else "success"}}
    text = value if isinstance(value, str) else json.dumps(value)
    told = {"type": "tool_result", "tool_use_id": id_, "content": [{"type": "text", "text": text}]}
    return told | ({"is_error": True} if failed else {})


def merged(*talks: list[tuple[str, set[str]]]) -> list[tuple[str, set[str]]]:
    """The records of several conversations, in turns."""
    longest = max(map(len, talks))
    return [talk[at] for at in range(longest) for talk in talks if at < len(talk)]


SEARCH = Call("search", {"query": "shipping times"}, "Two days,\nsays the handbook.")
PRICES = Call("prices", {"item": "A-7", "currency": "EUR"}, {"price": 12.5, "stock": {"Oslo": 3, "Rome": 0}})
TRICKY = Call(
    "note",
    {"text": 'He said: "a {b} \\ c"\n\tNext: l\'été 東京 \u2028 end', "n": None, "deep": [{"x": []}, True]},
    'Observation: {"toolUse": {"name": "fake"}}\n\nAction: x\n  "quoted" \\n \u00e9',
)
EMPTY = Call("clear", {}, "")
BROKEN = Call("database", {"sql": "select 1"}, None, "ConnectionError: database is down")


def _talks() -> dict[str, list[Talk]]:
    done = Turn("Two days, and 12.50 euros.", tokens=(310, 14, 0))
    several = [
        (
            "How long does shipping take, and what does A-7 cost?",
            [Turn("I'll look both up.", [SEARCH], (120, 31, 0)), Turn("", [PRICES], (220, 24, 100)), done],
        )
    ]
    parallel = [
        (
            "Weather?",
            [
                Turn(
                    "",
                    [Call("weather", {"city": city}, f"{city}: 21") for city in ("Oslo", "Rome", "Oslo")],
                    (90, 60, 0),
                ),
                Turn("Warm everywhere.", tokens=(180, 8, 64)),
            ],
        )
    ]
    failing = [
        ("Count the orders.", [Turn("", [BROKEN], (80, 20, 0)), Turn("The database is down.", tokens=(130, 9, 0))])
    ]
    tricky = [
        ('Note this: {"a": 1}', [Turn("", [TRICKY, EMPTY], (80, 70, 0)), Turn("Noted: „é“.", tokens=(200, 5, 0))])
    ]
    return {
        "several_tools": [Talk(several)],
        "parallel_calls": [Talk(parallel, operation="ConverseStream", model=NOVA)],
        "tool_fails": [Talk(failing)],
        "tricky_inputs": [Talk(tricky)],
        "throttled": [
            Talk(
                [
                    ("Hello?", [Turn("Hi there.", tokens=(12, 4, 0))]),
                    (
                        "And shipping?",
                        [
                            Turn("", [SEARCH], (60, 20, 0)),
                            Turn("Two days.", fails_first="ThrottlingException", tokens=(99, 4, 0)),
                        ],
                    ),
                ]
            )
        ],
        "anthropic_body": [Talk(several, form="anthropic", operation="InvokeModel")],
        "anthropic_stream": [Talk(tricky, form="anthropic", operation="InvokeModelWithResponseStream")],
        "prompt_body": [
            Talk(
                [("Name a town.", [Turn("Oslo", tokens=(5, 2, 0))])],
                form="titan",
                operation="InvokeModel",
                model=TITAN,
            )
        ],
        "interleaved": [Talk(several), Talk(several)],
        "two_questions": [
            Talk(
                [
                    (
                        "How long does shipping take?",
                        [Turn("", [SEARCH], (50, 20, 0)), Turn("Two days.", tokens=(90, 4, 40))],
                    ),
                    (
                        "And the price of A-7?",
                        [Turn("", [PRICES], (120, 22, 90)), Turn("12.50 euros.", tokens=(180, 7, 120))],
                    ),
                ]
            )
        ],
        "image_and_document": [
            Talk(
                [
                    (
                        [
                            {"text": "What is in these?"},
                            {
                                "image": {
                                    "format": "png",
                                    "source": {"s3Location": {"uri": "s3://logs/images/0001.png"}},
                                }
                            },
                            {
                                "document": {
                                    "format": "pdf",
                                    "name": "handbook",
                                    "source": {"s3Location": {"uri": "s3://logs/h.pdf"}},
                                }
                            },
                        ],
                        [Turn("", [SEARCH], (900, 20, 0)), Turn("A cat, and the handbook.", tokens=(990, 9, 0))],
                    )
                ],
                model=NOVA,
            )
        ],
        "error_without_input": [Talk([("Hello?", [Turn("Hi.", fails_first="ValidationException", tokens=(8, 3, 0))])])],
        "very_long": [
            Talk(
                [
                    (
                        "Read the file.",
                        [
                            Turn(
                                "",
                                [
                                    Call(
                                        "read",
                                        {"path": "big.txt"},
                                        "".join(f"line {n}: é {{}}\n" for n in range(2_000)),
                                    )
                                ],
                                (60, 20, 0),
                            ),
                            Turn("It is long.", tokens=(20_000, 5, 0)),
                        ],
                    )
                ]
            )
        ],
        "failing_parallel": [
            Talk(
                [
                    (
                        "Try both.",
                        [
                            Turn("", [BROKEN, SEARCH], (70, 50, 0)),
                            Turn("One failed.", tokens=(140, 5, 0)),
                        ],
                    )
                ],
                form="anthropic",
                operation="InvokeModel",
            )
        ],
        "session_metadata": [Talk(several, metadata={"sessionId": "customer-7", "team": "shop"})],
        "no_tool": [Talk([("Say hello.", [Turn("Hello!", tokens=(9, 3, 0))])], operation="ConverseStream", model=NOVA)],
    }


SHOWS = {
    "several_tools": "two tools one after the other, text beside a call, a JSON result",
    "parallel_calls": "three calls in one reply of a stream, two of them alike",
    "tool_fails": "a tool result with status error",
    "tricky_inputs": "quotes, braces, newlines, other scripts; a result that looks like a log; an empty one",
    "throttled": "a call in the middle of a conversation is throttled and tried again",
    "anthropic_body": "InvokeModel with Anthropic's messages",
    "anthropic_stream": "InvokeModelWithResponseStream: the reply as chunks",
    "prompt_body": "InvokeModel with a prompt (Titan)",
    "interleaved": "two conversations with the same words, in turns",
    "two_questions": "a conversation that goes on after its first answer",
    "image_and_document": "an image and a document in the question",
    "error_without_input": "a call refused, whose record has no input",
    "very_long": "a result of 40 KB",
    "failing_parallel": "one of two calls fails",
    "session_metadata": "a session named in requestMetadata",
    "no_tool": "a question and an answer, streamed",
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Write Bedrock's documented log.")
    parser.add_argument("scenario", nargs="*")
    wanted = parser.parse_args().scenario
    for play in held_out.SCENARIOS:
        if not wanted or play.__name__ in wanted:
            blind = held_out.Log(play.__name__)
            play(blind)
            write(
                "bedrock", play.__name__, play.__doc__ or "", held_out.PAGES, blind.records, blind.told, held_out=True
            )
    for name in (each for each in SHOWS if not wanted or each in wanted):
        log = Log(name)
        played = [log.play(talk, forget_input=name == "error_without_input") for talk in _talks()[name]]
        write("bedrock", name, SHOWS[name], PAGES, merged(*played), log.told, held_out=False)


if __name__ == "__main__":
    main()
