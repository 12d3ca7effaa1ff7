"""Bedrock's model invocation log: which calls are one conversation, what each tells, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vectadb_agent import Block, LogRecord, LogStream
from vectadb_agent_parsers.bedrock import BedrockParser

SAMPLES = Path(__file__).parents[3] / "tests" / "recordings" / "bedrock"
STREAM = LogStream("aws", "1", "us-east-1", "/bedrock", "aws/bedrock/modelinvocations")
ASK = {"role": "user", "content": [{"text": "How long?"}]}


def use(id_: str, says: str = "") -> dict[str, Any]:
    words = [{"text": says}] if says else []
    return {"role": "assistant", "content": [*words, {"toolUse": {"toolUseId": id_, "name": "search", "input": {}}}]}


def returned(id_: str, *content: dict[str, Any], status: str = "success") -> dict[str, Any]:
    return {"role": "user", "content": [{"toolResult": {"toolUseId": id_, "content": [*content], "status": status}}]}


def say(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": [{"text": text}]}


def events(messages: list[Any] | None, reply: dict[str, Any] | None = None, **more: Any) -> Any:
    record: dict[str, Any] = {
        "schemaType": "ModelInvocationLog",
        "timestamp": "2026-01-01T00:00:01Z",
        "requestId": "r-1",
        "operation": "Converse",
        "modelId": "m",
    }
    if messages is not None:
        record["input"] = {"inputBodyJson": {"messages": messages}, "inputTokenCount": 7, "cacheReadInputTokenCount": 5}
    if reply is not None:
        record["output"] = {"outputBodyJson": {"output": {"message": reply}}, "outputTokenCount": 3}
    text = json.dumps(record | more)
    return BedrockParser(BedrockParser.Config(type="bedrock")).parse(
        Block((LogRecord(STREAM, "1", 0, text),), (text,), ("0",))
    )


def session(*args: Any, **more: Any) -> str | None:
    (found,) = {event.session_id for event in events(*args, **more)}
    return found


def test_each_call_of_a_conversation_tells_the_same_session():
    first = session([ASK], use("t1"))
    history = [ASK, use("t1"), returned("t1", {"text": "2 days"})]
    assert first is not None
    assert session(history, say("Two days.")) == first
    assert session([*history, say("Two days."), ASK], use("t2")) == first
    assert session(history, errorCode="ThrottlingException") == first


def test_words_beside_a_first_call_may_be_dropped_later():
    assert session([ASK], use("t1", "I look.")) == session([ASK, use("t1"), returned("t1")], say("Two."))


def test_equal_openings_are_told_apart_by_the_first_reply():
    assert session([ASK], use("t1")) != session([ASK], use("t2"))
    assert session([ASK], say("Two.")) != session([ASK], say("Three."))
    assert session([ASK], say("Two.")) == session([ASK, say("Two.\n"), ASK], say("x"))


def test_first_calls_that_failed_are_together_and_apart_from_the_retry():
    failed = session([ASK], errorCode="ThrottlingException")
    assert failed == session([ASK], errorCode="ModelTimeoutException")
    assert failed != session([ASK], use("t1"))


def test_without_messages_the_call_is_a_request_of_its_own():
    (event,) = events(None, errorCode="ValidationException")
    assert (event.session_id, event.request_id) == (None, "r-1")
    assert event.properties["error.type"] == "ValidationException"
    kept = {"inputBodyS3Path": "s3://b/k", "inputTokenCount": 90}
    event, *_ = events(None, say("Hi."), input=kept)
    assert (event.session_id, event.request_id) == (None, "r-1")
    assert event.properties["inputBodyS3Path"] == "s3://b/k"
    assert event.properties["gen_ai.usage.input_tokens"] == 90


def test_metadata_that_names_a_session_counts():
    assert session([ASK], say("Hi."), requestMetadata={"sessionId": "s-7", "team": "x"}) == "s-7"
    assert session([ASK], say("Hi."), requestMetadata={"team": "x"}) == session([ASK], say("Hi."))


def test_only_results_behind_the_last_reply_are_told():
    history = [
        ASK,
        use("t1"),
        returned("t1", {"json": {"days": 2}}),
        use("t2"),
        returned("t2", {"text": "no"}, status="error"),
    ]
    results = [event for event in events(history, say("Two.")) if event.event_type == "tool_result"]
    assert [event.properties["gen_ai.tool.call.id"] for event in results] == ["t2"]
    assert results[0].properties["gen_ai.tool.call.result"] == "no"
    assert results[0].properties["is_error"] is True


def test_tokens_of_the_cache():
    ended = next(event for event in events([ASK], say("Hi.")) if event.event_type == "llm_end")
    assert ended.properties["gen_ai.usage.input_tokens"] == 7
    assert ended.properties["gen_ai.usage.cache_read.input_tokens"] == 5
    assert ended.properties["gen_ai.input.messages"] == [ASK]


def test_other_json_is_refused():
    assert events([ASK], say("x"), schemaType="Other") is None
    assert events([ASK], say("x"), schemaType="Other", note="ModelInvocationLog") is None


def bodies(asked: dict[str, Any], replied: Any) -> Any:
    return events(None, input={"inputBodyJson": asked}, output={"outputBodyJson": replied})


@pytest.mark.parametrize(
    ("asked", "replied"),
    [
        ({"inputText": "Hi"}, {"inputTextTokenCount": 1, "results": [{"outputText": "Oslo", "tokenCount": 2}]}),
        ({"prompt": "Hi"}, {"generation": "Oslo", "stop_reason": "stop"}),
        ({"prompt": "Hi"}, {"outputs": [{"text": "Oslo", "stop_reason": "stop"}]}),
        ({"prompt": "Hi"}, {"generations": [{"text": "Oslo"}]}),
        ({"prompt": "Hi"}, [{"generation": "Os"}, {"generation": "lo"}]),
        ({"messages": [{"role": "user", "content": "Hi"}]}, {"choices": [{"message": {"content": "Oslo"}}]}),
        ({"messages": [{"role": "user", "content": "Hi"}]}, {"content": [{"type": "text", "text": "Oslo"}]}),
    ],
)
def test_bodies_of_other_models(asked, replied):
    made = {event.event_type: event.properties for event in bodies(asked, replied)}
    assert made["agent_finish"]["message"] == "Oslo"
    assert made["query"]["message"] == "Hi"


@pytest.mark.parametrize("name", sorted(path.stem for path in SAMPLES.glob("*.json")))
def test_each_conversation_of_a_sample_is_one_session(name: str) -> None:
    """Told by the ids of calls, which a conversation's later records repeat, and by nothing that a parser makes."""
    parser = BedrockParser(BedrockParser.Config(type="bedrock"))
    of_call: dict[str, set[str | None]] = {}
    told = json.loads((SAMPLES / f"{name}.json").read_text())
    for line in told["text"].split("\n")[:-1]:
        made = parser.parse(Block((LogRecord(STREAM, "1", 0, line),), (line,), ("0",))) or []
        for call in told["truth"]["calls"]:
            if call["id"] in line:
                of_call.setdefault(call["id"], set()).update(event.session_id for event in made)
    assert all(len(sessions) == 1 for sessions in of_call.values())
    assert len({session for sessions in of_call.values() for session in sessions}) == (
        2 if name == "interleaved" else 1 if of_call else 0
    )
