"""``bedrock``: the model invocation log of Amazon Bedrock, a JSON object for each call of a model.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-invocation-logging.html tells the envelope; the bodies are
those of the Converse and InvokeModel APIs. A tool's result stands in the next request alone: the results behind the
last reply of a request are new.

``requestId`` is another one for each call, so it cannot tell which calls belong together. The messages can: a request
holds all that was said before. So the conversation's id is a digest of its messages up to the model's first reply,
which its first call knows from its output and all others from their input; each record tells by itself where it
belongs, in whichever order they come. Of a first reply that calls tools the ids of the calls count alone: they are
random, so that conversations with equal beginnings are two, and a program may drop the words beside them. The system's
prompt and the model do not count: they change within a conversation. It follows that

- conversations whose beginnings *and* first replies are the same, without a call, are taken for one;
- one whose old messages are dropped or rewritten (a sliding window, a summary) goes on as another;
- examples which a program puts before each question make all its conversations one;
- a first call that failed, or whose reply was kept in S3 for its size, is known by its beginning alone: with others
  like it, and apart from the conversation that its repetition begins;
- a request that was not logged or kept in S3 is told of no conversation: its call is a trace by its ``requestId``.

Where ``requestMetadata`` holds an id of a session, a request or a trace, that is taken instead.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent import ComponentConfig, Event, Parser
from vectadb_agent_parsers.agent_events import block_of, call, finish, model_call, result, tokens
from vectadb_agent_parsers.bedrock_bodies import Message, reply_of, said_before
from vectadb_agent_parsers.fields import microseconds, take_ids

if TYPE_CHECKING:
    from vectadb_agent import Block

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder(order="sorted").encode
_CACHE = (
    ("gen_ai.usage.cache_read.input_tokens", "cacheReadInputTokenCount"),
    ("gen_ai.usage.cache_creation.input_tokens", "cacheWriteInputTokenCount"),
)


class BedrockParser(Parser):
    """Calls of models, with their conversation, tokens, and the tools that they ask for."""

    name = "bedrock"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of one call: new results of tools, the reply, and what it asks for or answers."""
        text = block.text
        if text[:1] != "{" or '"ModelInvocationLog"' not in text:
            return None
        try:
            members = _decode(text)
        except (ValueError, RecursionError):
            return None  # the json parser says what is wrong with it
        if members.get("schemaType") != "ModelInvocationLog":
            return None
        return block_of("bedrock", text, _events(members))


def _events(members: dict[str, Any]) -> list[Event]:
    given, returned = _object(members.get("input")), _object(members.get("output"))
    asked = said_before(given.get("inputBodyJson"))
    reply = reply_of(returned.get("outputBodyJson"))
    made: list[Event] = []
    new = asked[_last_reply(asked) + 1 :]
    for message in new:
        for each in message.results:
            made.append(result(each.value, None, each.id))
            if each.failed:
                made[-1].properties["is_error"] = True
        if message.role == "user" and message.text:
            made.append(Event(event_type="query", properties={"message": message.text}))
    ended = _ended(members, given, returned, reply)
    if new:
        # What was said before stands in the records of the calls before, and in ``raw``.
        ended.properties["gen_ai.input.messages"] = _messages(given.get("inputBodyJson"), len(new))
    made += [ended, *(call(each.name, each.input, each.id) for each in reply.calls)]
    if reply.text and not reply.calls:
        made.append(finish(reply.text))
    session, metadata = _session(asked, reply), _object(members.get("requestMetadata"))
    time = microseconds(members.get("timestamp"))
    for event in made:
        event.timestamp = time
        if not take_ids(event, metadata):
            event.session_id = session
            if session is None and type(members.get("requestId")) is str:
                event.request_id = members["requestId"]
    return made


def _ended(members: dict[str, Any], given: dict[str, Any], returned: dict[str, Any], reply: Message) -> Event:
    model = members.get("modelId")
    ended = model_call("llm_end", model if type(model) is str else None, reply.text)
    properties = ended.properties
    properties |= tokens(
        _number(given.get("inputTokenCount"), reply.input_tokens),
        _number(returned.get("outputTokenCount"), reply.output_tokens),
    )
    properties |= {name: given[key] for name, key in _CACHE if type(given.get(key)) is int}
    for name, key in (("aws.request_id", "requestId"), ("gen_ai.operation.name", "operation"), ("region", "region")):
        if type(members.get(key)) is str:
            properties[name] = members[key]
    if reply.latency_ms is not None:
        properties["duration_ms"] = reply.latency_ms
    if reply.stop_reason is not None:
        properties["gen_ai.response.finish_reasons"] = [reply.stop_reason]
    if type(members.get("errorCode")) is str:
        properties["error.type"] = members["errorCode"]
        properties["level"] = "ERROR"
    for side, body in (("inputBodyS3Path", given), ("outputBodyS3Path", returned)):
        if type(body.get(side)) is str:
            properties[side] = body[side]
    return ended


def _session(asked: list[Message], reply: Message) -> str | None:
    if not asked:
        return None
    at = next((number for number, message in enumerate(asked) if message.role == "assistant"), len(asked))
    first = asked[at] if at < len(asked) else reply
    # An empty reply is that of a call which failed, or whose reply is not in the record.
    ids = [each.id or each.name for each in first.calls] or [" ".join(first.text.split())]
    opening = [[message.role, " ".join(message.text.split()), len(message.results)] for message in asked[:at]]
    return "bedrock-" + hashlib.sha256(_encode([opening, ids])).hexdigest()[:32]


def _messages(body: Any, last: int) -> Any:
    """The last messages of a request as they are logged; its prompt, where it is a bare one."""
    listed = _object(body).get("messages")
    return listed[-last:] if type(listed) is list else [{"role": "user", "content": said_before(body)[-1].text}]


def _last_reply(asked: list[Message]) -> int:
    return max((number for number, message in enumerate(asked) if message.role == "assistant"), default=-1)


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _number(value: Any, otherwise: int | None) -> int | None:
    return value if type(value) is int else otherwise
