r"""LangChain's ``set_debug(True)``: the format of ``ConsoleCallbackHandler``.

An entry is a line with a tag and a path of crumbs, ``[tool/end] [chain:AgentExecutor > tool:search] [45ms] Exiting Tool
run with output:``, and a payload: JSON with indent 2, a quoted but unescaped text of any number of lines, or a bare
``[outputs]``. ``tests/recordings/README.md`` describes the grammar.

Calls with named arguments are taken from the model's reply, which has their ids: LangChain prints no ``tool/start`` for
them (core 1.x), or one that repeats them as a Python ``repr`` (before): that becomes a ``log``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent import Event, Piece
from vectadb_agent_parsers import literals
from vectadb_agent_parsers.agent_events import bounded
from vectadb_agent_parsers.agent_reply import content_text, json_or_text, literal_or_text, read_reply
from vectadb_agent_parsers.foreign import is_foreign, logs_in, logs_with
from vectadb_agent_parsers.langchain_events import (
    INVALID_TOOL,
    call_event,
    is_agent,
    read_message,
    result_event,
    run_start,
)
from vectadb_agent_parsers.line_cutting import Step, cut_lines
from vectadb_agent_parsers.tracebacks import HEADING, raised

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent_parsers.foreign import Logs

_HEAD = re.compile(
    r"(?:\x1b\[[\d;]{1,12}m){0,3}\[(?P<kind>[a-z]{1,20})/(?P<what>start|end|error)\](?:\x1b\[0m)? (?:\x1b\[1m)?"
    r"\[(?P<path>[^\n]+?)\] (?:\[(?P<time>\d{1,12}(?:\.\d{1,9})?)(?P<unit>ms|s)\] )?(?:\x1b\[0m)?"
    r"(?:(?:Entering|Exiting) \w{1,20} run with (?:in|out)put|\w{1,20} run errored with error):[ \t\r]*\n?"
)
_COLOURED = re.compile(r"\x1b\[\d\d;1m\x1b\[1;3m\[[a-z]")
_NUMBERED = re.compile(r"\d+:")
_ERROR = re.compile(r"([A-Za-z_][\w.]{0,200})\(")
_TOKENS = {
    "prompt_tokens": "gen_ai.usage.input_tokens",
    "input_tokens": "gen_ai.usage.input_tokens",
    "completion_tokens": "gen_ai.usage.output_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
}
#: Nodes that the graphs of agents have, whatever the graph's own name is.
_STEPS_OF_AGENTS = frozenset(("model", "tools", "agent"))
_ENDS = frozenset(("chain_end", "agent_end", "llm_end", "tool_result"))
#: What the open entry's payload is. Of a text it is not known where it ends; in a quoted one, no end has been seen.
_JSON, _TEXT, _QUOTED = "json", "text", "quoted"


def is_head(text: str) -> bool:
    """Whether the text begins with an entry's first line."""
    return _HEAD.match(text) is not None


def has_head(text: str) -> bool:
    """Whether an entry begins at the text's start, or in the middle of a line, where a program left off printing."""
    return _HEAD.match(text) is not None or ("m\x1b[1;3m[" in text and _middle(text) > 0)


def cut(text: str, state: Any) -> Sequence[Piece]:
    """Cut one record. ``state``: ``debug`` and what the open entry's payload is."""
    pieces: list[Piece] = []
    while (middle := _middle(text)) > 0:
        before = cut_lines(text[:middle], state, _step) or [Piece(text[:middle], "other")]
        pieces += before
        if before[-1].kind != "other":
            state = None if before[-1].closes else before[-1].state
        text = text[middle:]
    rest = cut_lines(text, state, _step)
    if pieces and not rest:
        rest = [Piece(text, "other")]
    return [*pieces, *rest]


def _middle(text: str) -> int:
    """Where the first entry begins that stands behind something else on its line; 0 if none does."""
    found = _COLOURED.search(text, 1)
    while found is not None:
        if text[found.start() - 1] != "\n" and _HEAD.match(text, found.start()):
            return found.start()
        found = _COLOURED.search(text, found.end())
    return 0


def _step(line: str, state: Any) -> Step | None:
    head = _HEAD.match(line) if "] " in line else None
    if head is not None:
        return Step("start", ("debug", f"{head['kind']}/{head['what']}"))
    if state is None:
        return None
    payload = state[1]
    if payload == _JSON:
        # Every line of a JSON payload is indented, but for the last.
        if line.startswith("  "):
            return Step("continue", state)
        return Step("continue", state, closes=True) if line.startswith(("}", "]")) else None
    if payload == _QUOTED:
        _, _, odd, before = state
        logs = logs_with(line, before)
        return None if logs is None else Step("continue", _behind_quotes(line, logs, odd=odd))
    if is_foreign(line):
        return None
    if payload == _TEXT:
        return Step("continue", state)
    text = line.removeprefix("\x1b[0m").rstrip("\r\n")
    if text in ("{", "["):
        return Step("continue", ("debug", _JSON))
    if payload == "tool/error":
        return Step("continue", ("debug", _TEXT))
    if text.startswith('"') and payload in ("tool/start", "tool/end"):
        # A result may go on behind a quote, up to the next entry. Behind an input, what comes is rather what the tool
        # prints.
        behind = _behind_quotes(text, logs_in(text[1:]), odd=False)
        return Step("continue", behind, closes=payload == "tool/start" and behind[1] == _TEXT)
    return Step("continue", state, closes=True)


def _behind_quotes(line: str, logs: Logs, *, odd: bool) -> tuple[Any, ...]:
    """The state behind a line of a quoted text, which may have ended where its quotes come in pairs.

    ``odd``: whether an odd number of them stands before the line.
    """
    odd ^= line.count('"') % 2 == 1
    return ("debug", _QUOTED, odd, logs) if odd or not line.rstrip("\r\n").endswith('"') else ("debug", _TEXT)


def events(text: str) -> list[Event] | None:
    """Make the events of one entry; ``None`` if the text does not begin as an entry does."""
    head = _HEAD.match(text)
    if head is None:
        return None
    path = [_NUMBERED.sub("", crumb, count=1) if crumb[:1].isdigit() else crumb for crumb in head["path"].split(" > ")]
    kind, _, name = path[-1].partition(":")
    took = None if head["time"] is None else float(head["time"]) * (1000 if head["unit"] == "s" else 1)
    payload = text[head.end() :].removeprefix("\x1b[0m")
    what = head["what"]
    if what == "error":
        made = _failed(kind, name, payload)
    elif kind == "tool":
        made = _tool(name, path, payload, started=what == "start")
    elif kind == "llm":
        made = [_llm_start(payload)] if what == "start" else _llm_end(payload, path)
    else:
        made = _chain(kind, name, payload, started=what == "start")
    if len(path) == 1 and kind != "tool":  # of some tools no start is printed
        bounded(made[0], "next") if what == "start" else bounded(made[-1], "end")
    elif kind == "chain" and is_agent(name):
        bounded(made[-1], "none")
    elif kind == "chain" and what == "start" and name in _STEPS_OF_AGENTS and len(path) > 1:
        made[-1].properties["parent_kind"] = "agent"
    for event in made:
        properties: dict[str, Any] = {"path": " > ".join(path)}
        # A model's reply tells of calls: neither its name nor its duration are theirs.
        if kind != "llm" or event.event_type != "tool_call":
            properties["name"] = name
        if took is not None and event.event_type in _ENDS:
            properties["duration_ms"] = took
        event.properties = {**properties, **event.properties}
    return made


def _chain(kind: str, name: str, payload: str, *, started: bool) -> list[Event]:
    value = _json(payload)
    if kind != "chain":
        properties: dict[str, Any] = {"run_type": kind}
    else:
        properties = {}
    if value is not None:
        properties["input" if started else "output"] = value
    if started:
        return [run_start(name, **properties)]
    if kind != "chain" or not is_agent(name):
        return [Event(event_type="chain_end", properties=properties)]
    end = Event(event_type="agent_end", properties={"gen_ai.agent.name": name, **properties})
    answer = value.get("output") if type(value) is dict else None
    if answer is None:
        return [end]
    return [Event(event_type="agent_finish", properties={"message": _text_of(answer)}), end]


def _tool(name: str, path: list[str], payload: str, *, started: bool) -> list[Event]:
    text = _unquoted(payload)
    if started:
        arguments = text if text == "{}" else literal_or_text(text)
        event = call_event(name, arguments)
        if type(arguments) is dict and arguments.keys() != {"input"} and _is_told_by_reply(path):
            event.event_type = "log"
        return [event]
    event = result_event(text, name)
    read_message(text, event)
    if name == "invalid_tool" and INVALID_TOOL in text:
        event.properties["gen_ai.tool.name"] = text.partition(INVALID_TOOL)[0]
        event.properties["error.type"] = "InvalidTool"
    return [event]


def _is_told_by_reply(path: list[str]) -> bool:
    """Whether an agent, or LangGraph's node for tools, calls the tool: then the model's reply has told of the call."""
    caller = path[-2].partition(":")[2] if len(path) > 1 else ""
    return caller == "tools" or is_agent(caller)


def _llm_start(payload: str) -> Event:
    value = _json(payload)
    prompts = value.get("prompts") if type(value) is dict else None
    texts = [prompt for prompt in prompts if type(prompt) is str] if type(prompts) is list else []
    return Event(event_type="llm_start", properties={"gen_ai.prompt": "\n".join(texts)} if texts else {})


def _llm_end(payload: str, path: list[str]) -> list[Event]:
    value = _json(payload)
    value = value if type(value) is dict else {}
    properties: dict[str, Any] = {}
    event = Event(event_type="llm_end", properties=properties)
    generation = _member(_first(_first(value.get("generations"))))
    message = _member(_member(generation.get("message")).get("kwargs"))
    content = message.get("content", generation.get("text"))
    text = content_text(content) if content else _text_of(generation.get("text", ""))
    if text:
        properties["message"] = text
    response = _member(message.get("response_metadata"))
    output = _member(value.get("llm_output"))
    model = output.get("model_name") or response.get("model_name") or response.get("model_id")
    if type(model) is str:
        properties["gen_ai.request.model"] = model
    usage = _member(message.get("usage_metadata")) or _member(output.get("token_usage") or output.get("usage"))
    for key, name in _TOKENS.items():
        if type(usage.get(key)) is int:
            properties[name] = usage[key]
    reason = response.get("finish_reason") or response.get("stop_reason")
    if type(reason) is str:
        properties["gen_ai.response.finish_reasons"] = [reason]
    tool_calls = [call for call in _items(message.get("tool_calls")) if type(_member(call).get("name")) is str]
    function = _member(_member(message.get("additional_kwargs")).get("function_call"))
    if not tool_calls and type(function.get("name")) is str:  # OpenAI's functions, before there were tools
        tool_calls = [{"name": function["name"], "args": json_or_text(function.get("arguments") or {})}]
    parts = [{"type": "text", "content": text}] if text else []
    parts += [
        {"type": "tool_call", "id": call.get("id"), "name": call["name"], "arguments": call.get("args")}
        for call in tool_calls
    ]
    if parts:
        properties["gen_ai.output.messages"] = [{"role": "assistant", "parts": parts}]
    return [event, *_calls(tool_calls, text, executor="chain:AgentExecutor" in path)]


def _calls(tool_calls: list[dict[str, Any]], text: str, *, executor: bool) -> list[Event]:
    """Make the calls of a reply for which no ``tool/start`` with their arguments is printed."""
    made: list[Event] = []
    for call in tool_calls:
        arguments = call.get("args")
        # A lone "input" is printed when the tool starts, and "__arg1" too, which AgentExecutor hands on as text.
        if type(arguments) is dict and list(arguments) in ([["input"], ["__arg1"]] if executor else [["input"]]):
            continue
        event = call_event(call["name"], arguments)
        if type(call.get("id")) is str:
            event.properties["gen_ai.tool.call.id"] = call["id"]
        made.append(event)
    if not made and executor and '"action"' in text:
        reply = read_reply(text)
        if reply.tool is not None and type(reply.arguments) is dict:
            made.append(call_event(reply.tool, reply.arguments))
    return made


def _failed(kind: str, name: str, payload: str) -> list[Event]:
    """Make an error, and the end of what failed."""
    text = payload.strip()
    decoded = _json(text) if text.startswith('"') else None
    text = decoded if type(decoded) is str else text
    what, message = _exception(text)
    error = {"error.type": what, "error.message": message}
    if kind == "tool":
        end = Event(event_type="tool_result", properties={"gen_ai.tool.name": name, **error})
    elif kind == "llm":
        end = Event(event_type="llm_end", properties=error)
    elif is_agent(name):
        end = Event(event_type="agent_end", properties={"gen_ai.agent.name": name, **error})
    else:
        end = Event(event_type="chain_end", properties=error)
    return [Event(event_type="error", properties={"level": "ERROR", "message": message, **error}), end]


def _exception(text: str) -> tuple[str, str]:
    """Return type and message from ``Type('message')Traceback …``."""
    found = _ERROR.match(text)
    from_traceback = raised(text)
    if found is None:
        return from_traceback or ("Exception", text.partition(HEADING)[0])
    if found[1] != "KeyError":  # whose message is a repr itself
        try:
            value, end = literals.read_at(text, found.end())
        except literals.NotALiteral:
            pass
        else:
            if type(value) is str and text.startswith(")", end):
                return found[1], value
    if from_traceback is not None:
        return found[1], from_traceback[1]
    return found[1], text[found.end() :].partition(HEADING)[0].strip().removesuffix(")")


def _unquoted(payload: str) -> str:
    """Return what stands between the quotes of a tool's payload; the last quote that ends a line is the closing one."""
    text = payload.rstrip("\r\n")
    if not text.startswith('"') or len(text) < 2:
        return text
    if not text.endswith('"'):
        end = text.rfind('"\n')
        text = text[: end + 1] if end > 0 else text + '"'
    return text[1:-1]


def _json(payload: str) -> Any:
    try:
        return msgspec.json.decode(payload)
    except (ValueError, RecursionError):
        return None


def _member(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else {}


def _items(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _first(value: Any) -> Any:
    return value[0] if type(value) is list and value else None


def _text_of(value: Any) -> str:
    if type(value) is str:
        return value
    return content_text(value) or msgspec.json.encode(value).decode()
