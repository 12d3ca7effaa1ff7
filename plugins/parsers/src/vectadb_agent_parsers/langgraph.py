"""``langgraph``: graphs run with ``debug=True``, printed ``updates``, and messages printed by ``pretty_print()``.

Seen in 1.2. The first two are Python reprs, a line each, with ids and tokens. ``pretty_print`` tells neither model nor
tokens, prints arguments without their quotes, and nothing ends its last message. A run's start and end, the graph's
name and what happens in graphs inside a node's function are never printed.
"""

from __future__ import annotations

import re
from collections import deque
from typing import TYPE_CHECKING, Any

from vectadb_agent import ComponentConfig, Event, Parser
from vectadb_agent_parsers.agent_events import block_of, bounded, call, finish, model_call, result, run, said, tokens
from vectadb_agent_parsers.agent_reply import content_text, plain_content
from vectadb_agent_parsers.foreign import is_foreign
from vectadb_agent_parsers.line_cutting import Step, cut_lines
from vectadb_agent_parsers.literals import ARGUMENTS, CLASS, NotALiteral, read, read_objects
from vectadb_agent_parsers.tracebacks import HEADING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Block, Piece

_DEBUG = re.compile(
    r"(?:\x1b\[1m)?\[(values|updates|tasks|checkpoints|debug|messages|custom)\](?:\x1b\[0m)? ([{(].*)", re.DOTALL
)
_TITLE = re.compile(r"={10,40} (Human|Ai|Tool|System|Function|Chat|Remove) Message(?: Chunk)? ={10,40}\r?\n?")
_CALLS = re.compile(r"(?:\A|\n)Tool Calls:\n(?=  [^\n]{1,200} \([^()\n]{0,200}\)\n Call ID: )")
_CALL = re.compile(
    r"  ([^\n]{1,200}) \(([^()\n]{0,200})\)\n Call ID: [^\n]{0,200}\n(?:  Error: [^\n]*\n)?  Args:(?:\n|\Z)"
)
_ARGUMENT = re.compile(r"    ([^\s:]{1,200}): ?(.*)", re.DOTALL)
_AI, _TOOL, _HUMAN = "AIMessage", "ToolMessage", "HumanMessage"


class LangGraphParser(Parser):
    """Model and tool calls of LangGraph's graphs, as far as these print messages."""

    name = "langgraph"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of a state, an update, or a message."""
        text = block.text
        first = text[:1]
        made: list[Event] | None = None
        if first in "\x1b[" and (found := _DEBUG.match(text)):
            made = _debug(found[1], found[2])
        elif first == "{" and "Message(content=" in text:
            made = _update(text)
        elif first == "=" and _TITLE.match(text):
            made = _pretty(text)
        return None if made is None else block_of("langgraph", text, made)

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join the lines of ``pretty_print``. ``state``: that a message is open."""
        if state is None and "======= " not in text and not _is_debug(text):
            return ()
        return cut_lines(text, state, _step)


def _is_debug(line: str) -> bool:
    return line[:1] in ("\x1b", "[") and _DEBUG.match(line) is not None


def _step(line: str, state: Any) -> Step | None:
    if line.startswith("======") and _TITLE.fullmatch(line):
        return Step("start", True)
    if _is_debug(line):
        return Step("start", True, closes=True)
    if state is None or is_foreign(line) or line.startswith(HEADING):
        return None
    return Step("continue", True)


def _debug(kind: str, printed: str) -> list[Event] | None:
    if kind == "updates":
        return _update(printed) or [said("graph update")]
    if kind != "values":
        return [said(f"graph {kind}")]
    told = _objects(printed)
    messages = told.get("messages") if type(told) is dict else None
    last = messages[-1] if type(messages) is list and messages else None
    if type(last) is dict and last.get(CLASS) == _HUMAN:
        # What a graph is given is the first state that it prints; its name it does not tell.
        begun = bounded(run("agent_start", "LangGraph"), "next")
        return [begun, Event(event_type="query", properties={"message": _text(last)})]
    return [said("graph state")]


def _update(printed: str) -> list[Event] | None:
    told = _objects(printed.strip())
    if type(told) is not dict:
        return None
    made: list[Event] = []
    for node, update in told.items():
        states = update if type(update) is list else [update]
        for state in states:
            messages = state.get("messages") if type(state) is dict else None
            for message in messages if type(messages) is list else [messages]:
                if type(message) is dict and str(message.get(CLASS)).partition("Chunk")[0] in (_AI, _TOOL, _HUMAN):
                    made += _message(message, node)
    return made or None


def _message(message: dict[str, Any], node: Any) -> list[Event]:
    kind, told = message[CLASS], {"langgraph.node": node} if type(node) is str else {}
    if kind == _TOOL:
        failed = "ToolError" if message.get("status") == "error" else None
        content = message.get("content")
        value = content if type(content) is str else content_text(content) or content
        return [result(value, _name(message), message.get("tool_call_id"), error=failed, **told)]
    if kind == _HUMAN:
        return [Event(event_type="query", properties={"message": _text(message)} | told)]
    asked = message.get("tool_calls")
    calls = [each for each in asked if type(each) is dict] if type(asked) is list else []
    told_of, usage = message.get("response_metadata"), message.get("usage_metadata")
    model = told_of.get("model_name") if type(told_of) is dict else None
    words = _text(message)
    ended = model_call("llm_end", model if type(model) is str else None, words, **told)
    if type(usage) is dict:
        ended.properties |= tokens(usage.get("input_tokens"), usage.get("output_tokens"))
    made = [ended, *(call(str(each.get("name")), each.get("args"), each.get("id")) for each in calls)]
    return made if calls or not words else [*made, finish(words)]


def _name(message: dict[str, Any]) -> str | None:
    name = message.get("name")
    return name if type(name) is str else None


def _text(message: dict[str, Any]) -> str:
    content = message.get("content", (message.get(ARGUMENTS) or [""])[0])
    return content_text(content)


def _objects(printed: str) -> Any:
    try:
        return read_objects(printed)
    except NotALiteral:
        return None


def _pretty(text: str) -> list[Event] | None:
    title, _, body = text.partition("\n")
    found = _TITLE.fullmatch(title)
    if found is None:
        return None
    kind, name = found[1], None
    if body.startswith("Name: "):
        name, _, body = body[6:].partition("\n")
    body = body.removeprefix("\n").removesuffix("\n")
    if kind == "Tool":
        return [result(plain_content(body), name)]
    if kind == "Human":
        return [bounded(Event(event_type="query", properties={"message": body}), "next")]
    if kind != "Ai":
        return [Event(event_type="message", properties={"message": body})]
    asked = deque(_CALLS.finditer(body), maxlen=1)  # the message's own words may show others before
    calls = _calls(body[asked[0].end() :]) if asked else []
    words = plain_content(body[: asked[0].start()] if asked else body)
    begun = [run("agent_start", name, resumes=True)] if name else []
    made = [*begun, model_call("llm_end", message=words), *calls]
    return made if calls or not words else [*made, finish(words)]


def _calls(printed: str) -> list[Event]:
    heads = list(_CALL.finditer(printed))
    ends = [head.start() for head in heads[1:]] + [len(printed)]
    return [
        call(head[1], _arguments(printed[head.end() : end]), head[2] or None)
        for head, end in zip(heads, ends, strict=True)
    ]


def _arguments(printed: str) -> dict[str, Any]:
    """The arguments, ``    name: value`` each; a value goes on over lines that are no argument themselves."""
    texts: dict[str, str] = {}
    name = None
    for line in printed.removesuffix("\n").split("\n"):
        found = _ARGUMENT.fullmatch(line)
        if found:
            name = found[1]
            texts[name] = found[2]
        elif name is not None:
            texts[name] += f"\n{line}"
    return {name: _value(text) for name, text in texts.items()}


def _value(text: str) -> Any:
    """A value that was printed by ``str()``: a literal whose own text this is; whatever else was a text."""
    try:
        value = read(text)
    except NotALiteral:
        return text
    return value if str(value) == text else text
