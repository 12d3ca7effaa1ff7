r"""The log of the OpenAI Agents SDK: fixed words, a line each; with data, also blocks of several lines.

``Calling LLM …`` and ``LLM resp:`` are followed by JSON and end with an empty line. Chat Completions models print the
request as bare JSON, without the first of these. ``Tool x returned `` is followed by the result as it is, any number of
lines, without an end mark: it ends where the next line of the log begins. ``Tool x failed: `` has the arguments, the
error's text and a traceback. Ids of calls stand in replies and requests
alone; tokens are not told.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent import Event
from vectadb_agent_parsers import chat_messages, openai_agents_spans
from vectadb_agent_parsers.agent_events import bounded, call, finish, model_call, result, run, said
from vectadb_agent_parsers.agent_reply import content_text, json_or_text, literal_or_text
from vectadb_agent_parsers.foreign import is_foreign
from vectadb_agent_parsers.line_cutting import Step, cut_lines
from vectadb_agent_parsers.tracebacks import HEADING, is_cause, is_exception_line, raised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Piece

_NAME = r"([\w.\-]{1,200})"
_RUNNING = re.compile(
    r"(?:Running agent (?P<name>.{1,500}) \(turn (?P<turn>\d{1,9})\)"
    r"|Starting turn (?P<streamed_turn>\d{1,9}), current_agent=(?P<streamed>.{1,500}))\r?\n?"
)
_CALLED = re.compile(rf"Invoking (?:MCP )?tool {_NAME}(?: with input ([^\n]*))?\r?\n?")
_RETURNED = re.compile(rf"(?:MCP tool|Tool) {_NAME} (?:(completed)\.\r?\n?|returned ((?s:.*)))")
#: Of a call with data: its arguments as JSON, the error's text, any lines, and its traceback.
_BROKE = re.compile(rf"(?:MCP tool|Tool) {_NAME} failed(?:\r?\n?|: (\{{(?s:.*)))")
_CALLING = re.compile(r"Calling LLM(?: (\S{1,200}) with input:)?\r?\n?")
_REPLIED = ("LLM responded", "Received model response")
_TOLD = re.compile(
    r"(?:Creating trace(?: \S.* with id trace_\w+)?|Setting current trace(?:: (?:trace_\w+|no-op))?"
    r"|Tracing is disabled\. Not creating (?:trace|span) .{1,500}"
    r"|Resetting current trace|Creating span .{0,500}with id (?:None|span_\w+)"
    r"|(?:No|Using) conversation_id .{0,200}|Processing output item type=\w+ class=\w+|Tool call args: \[.*"
    r"|Turn \d{1,9} complete, next_step type=\w+)\r?\n?"
)
#: Where tracing is switched off, a run still says where it begins.
_UNTRACED = "Tracing is disabled. Not creating trace"
_STARTS = ("Running agent ", "Invoking ", "Calling LLM", "Creating ", "Setting current trace")
_MORE_STARTS = ("Resetting current trace", "No conversation_id", "Using conversation_id", "Processing output item")
_STREAMED_STARTS = ("Starting turn ", "Turn ", "Tracing is disabled. ")
_LETTERS = frozenset("RITMCSNUPL[")
#: What a request to a model is printed with, behind its messages.
_PARAMETERS = ("Tools:", "Stream:", "Tool choice:", "Response format:", "Previous response id:", "Conversation id:")
_BARE_REQUEST = "\nStream: "
_decode = msgspec.json.Decoder().decode
_prefix = json.JSONDecoder().raw_decode  # where a value ends only the standard library tells


def cut(text: str, state: Any) -> Sequence[Piece]:
    """Cut a record at the log's lines; see ``Parser.pieces``.

    ``state``: ``json``, ``closed`` behind a whole JSON value, ``result``; of a failure a tuple, see ``_in_failure``.
    """
    if state is None and text[:1] not in _LETTERS and text.find("\n", 0, -1) < 0:
        return ()
    return cut_lines(text, state, _step)


def events(text: str) -> list[Event] | None:
    """Make the events of one block; ``None`` if it is not of this log."""
    first = text[:1]
    if first not in _LETTERS:
        return None
    if first in "RS" and (found := _RUNNING.fullmatch(text)):
        # Where an agent is a tool of another, its end is not told: only that the other goes on with its next turn.
        turn = int(found["turn"] or found["streamed_turn"])
        name = found["name"] or found["streamed"]
        return [bounded(run("agent_start", name, turn=turn, resumes=turn > 1), "none")]
    if first == "I" and (found := _CALLED.fullmatch(text)):
        return [call(found[1], None if found[2] is None else json_or_text(found[2]))]
    if first in "TM" and (found := _RETURNED.fullmatch(text)):
        value = None if found[2] else literal_or_text((found[3] or "").removesuffix("\n"))
        return [result(value, found[1])]
    if first in "TM" and (found := _BROKE.fullmatch(text)):
        return [_failed(found[1], found[2] or "")]
    if first in "C[" and (request := _request(text)) is not None:
        asked = request.properties.get("gen_ai.input.messages")
        if type(asked) is list:
            # A request repeats all that was said: what it adds is the span's input.
            request.properties["gen_ai.input.messages"] = chat_messages.new(asked)
        return [*chat_messages.results(asked), request]
    if first == "L" and text.startswith("LLM resp:"):
        return _reply(text)
    if text.rstrip("\r\n") in _REPLIED:
        return [model_call("llm_end")]
    if _TOLD.fullmatch(text):
        if text.startswith(("Creating trace", _UNTRACED)):
            return [bounded(run("chain_start", "Agent workflow"), "next")]
        if text.startswith("Resetting"):
            return [bounded(run("chain_end", "Agent workflow"), "end")]
        return [said(text.strip())]
    return None


def _step(line: str, state: Any) -> Step | None:
    first = line[:1]
    if first in _LETTERS:
        words = line.rstrip("\r\n")
        if words == "LLM resp:" or (line.startswith("Calling LLM ") and _CALLING.fullmatch(line)):
            return Step("start", "json")
        if first in "TM" and state != "json" and (found := _RETURNED.fullmatch(line)):
            return Step("start", "result", closes=found[2] is not None)
        if first in "TM" and state != "json" and (found := _BROKE.fullmatch(line)):
            return Step("start", ("message", 0, 0), closes=found[2] is None)
        if _is_one_line(line, words):
            return Step("start", "line", closes=True)
    if first == "{" and openai_agents_spans.is_span(line):
        return Step("start", "line", closes=True)
    if state in (None, "closed") and line.rstrip("\r\n") == "[":
        return Step("start", "json")
    if state is None:
        return None
    if is_foreign(line):
        return None
    if state == "result":
        return Step("continue", "result")
    if type(state) is tuple:
        now = _in_failure(line, *state)
        return None if now is None else Step("continue", now)
    if not line.strip():
        return Step("continue", "json", closes=True)
    if line.rstrip("\r\n") in ("]", "}"):
        return Step("continue", "closed") if state == "json" else None
    return Step("continue", "json") if line.startswith(_PARAMETERS) or (state == "json" and first in " []{}") else None


def _in_failure(line: str, part: str, more: int, left: int) -> tuple[str, int, int] | None:
    """The state behind a further line of a failure, ``None`` if it is not of it.

    ``part``: ``message``, ``frames``, or ``raised`` behind the line that names the exception. The error's text stands
    before the traceback, with ``more`` lines than one, and again at its end, where ``left`` of them are to come.
    """
    if line.startswith(HEADING):
        return "frames", more, more
    if part == "message":
        return "message", more + 1, 0
    if part == "frames":
        return (
            ("frames", more, more) if line[0] in " \t" else ("raised", more, more) if is_exception_line(line) else None
        )
    if left:
        return "raised", more, left - 1
    return ("raised", more, 0) if not line.strip() or is_cause(line) else None


def _is_one_line(line: str, words: str) -> bool:
    if not line.startswith((*_STARTS, *_MORE_STARTS, *_STREAMED_STARTS, *_REPLIED)):
        return False
    return bool(
        words in _REPLIED
        or words == "Calling LLM"
        or _RUNNING.fullmatch(line)
        or _CALLED.fullmatch(line)
        or _TOLD.fullmatch(line)
    )


def _request(text: str) -> Event | None:
    head, _, rest = text.partition("\n")
    found = _CALLING.fullmatch(head) if text[0] == "C" else None
    if found is None and (text[0] == "C" or _BARE_REQUEST not in text):
        return None
    printed, _, _ = (rest if found is not None else text).partition("\nTools:")
    messages = json_or_text(printed.strip()) if printed.strip() else None
    request = model_call("llm_start", found[1] if found is not None else None)
    if messages:
        request.properties["gen_ai.input.messages"] = messages
    return request


def _reply(text: str) -> list[Event]:
    reply = json_or_text(text.partition("\n")[2].strip())
    items = reply if type(reply) is list else [reply]
    messages = [item for item in items if type(item) is dict]
    asked = [call for item in messages for call in ([item] if item.get("type") == "function_call" else _calls(item))]
    actions = [made for each in asked if (made := chat_messages.action(each)) is not None]
    words = "".join(content_text(item.get("content")) for item in messages if item.get("role") == "assistant")
    ended = model_call("llm_end", message=words)
    if reply:
        ended.properties["gen_ai.output.messages"] = reply
    return [ended, finish(words)] if words and not actions else [ended, *actions]


def _calls(message: dict[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    return calls if type(calls) is list else []


def _failed(tool: str, told: str) -> Event:
    """A tool has raised: without data that is all. What the model is told instead, its next request shows."""
    kind = raised(told)
    broke = result(None, tool, error=kind[0] if kind else None)
    broke.properties["error"] = True
    try:
        _, end = _prefix(told)
    except (ValueError, RecursionError):
        return broke
    broke.properties["gen_ai.tool.call.arguments"] = json_or_text(told[:end])
    broke.properties["error.message"] = told[end:].partition(HEADING)[0].strip()
    return broke
