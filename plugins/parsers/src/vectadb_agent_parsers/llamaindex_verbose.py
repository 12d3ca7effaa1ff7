r"""LlamaIndex's ``verbose=True`` before 0.14: agents, engines, and ``predict_and_call`` to this day.

A ReAct agent's steps and an engine's sub-questions are coloured texts that end in a newline, so that the reset which
ends one is the first thing on the next line: ``␛[1;3;34mObservation: 3\n␛[0m> Running step …``. The rest has marks on
lines of their own, and mostly no end but what is printed next: an answer is the last ``=== LLM Response ===``, known by
what does not follow it. ``tests/recordings/README.md`` describes the grammar.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent import Event, Piece
from vectadb_agent_parsers import llamaindex_tree as tree
from vectadb_agent_parsers import llamaindex_workflow as workflow
from vectadb_agent_parsers.agent_events import bounded, call, finish, result, run, said
from vectadb_agent_parsers.agent_reply import json_or_text, literal_or_text
from vectadb_agent_parsers.foreign import is_foreign, is_lambdas
from vectadb_agent_parsers.line_cutting import Step, cut_lines
from vectadb_agent_parsers.tracebacks import HEADING

if TYPE_CHECKING:
    from collections.abc import Sequence

RESET = "\x1b[0m"
_COLOURED = re.compile(
    r"\x1b\[1;3;[\d;]{1,24}m"
    r"(?:(Thought|Observation): |(Selecting query engine) \d{1,6}: |\[([^\]\n]{1,200})\] ([QA]): )"
)
_CALL, _OUTPUT, _RESPONSE = "=== Calling Function ===", "=== Function Output ===", "=== LLM Response ==="
_CALLING = re.compile(r"Calling function: (\S{1,200}) with args: (.*)", re.DOTALL)
_GOT, _END = "Got output: ", "=" * 24
_ADDED = "Added user message to memory: "
_RUNNING = re.compile(r"> Running step \S{1,100}\. Step input: (.*)", re.DOTALL)
_GOES_ON = re.compile(r"\n> Running step \S{1,100}\. Step input: None\s*\Z")
_GENERATED = re.compile(r"Generated \d{1,9} sub questions\.\r?\n?")
_MISSING = re.compile(r"Tool with name (\S{1,200}) not found, please double check\.\s*(?:=+\s*)?")
_MALFORMED = "\nError in calling tool "
_INVALID, _FAILED = "InvalidTool", "ToolError"
#: How LlamaIndex itself begins the result of a tool that raised, or is not there.
_FAILURES = ("Encountered error: ", "Error: ")
_UNREADABLE = "Error: Could not parse output."
#: What prints ``> Running step``; the agent's own name is nowhere printed.
_RUNNER = "AgentRunner"
_decode = msgspec.json.Decoder().decode

#: What the open block is, and of a question how many lines it has had (or has left, where it is printed again).
_COLOUR, _TEXT, _REPLY, _CALLED, _ARGUMENTS, _GIVEN, _UNKNOWN, _ASKED, _AGAIN, _STARS, _TREE = range(11)


def cut(text: str, state: Any) -> Sequence[Piece]:
    """Cut one record. ``state``: what the open block is, and a number of lines."""
    if RESET not in text or (state is None and "\n" not in text[:-1]) or is_lambdas(text):
        return cut_lines(text, state, _step)
    made: list[Piece] = []
    # A coloured text ends behind the reset at a line's start, wherever in the record that is.
    for stretch in re.split(r"(?m)^(?=\x1b\[0m)", text):
        rest = stretch
        if state is not None and state[0] == _COLOUR and stretch.startswith(RESET):
            last = made.pop() if made and made[-1].kind != "other" else None
            before, kind = ("", "start" if made else "continue") if last is None else (last.text, last.kind)
            made.append(Piece(before + RESET, "continue" if kind == "continue" else "start", closes=True))
            state, rest = None, stretch.removeprefix(RESET)
        if not rest:
            continue
        found = cut_lines(rest, state, _step) or [Piece(rest, "other")]
        if found[-1].kind != "other":
            state = None if found[-1].closes else found[-1].state
        made += found
    return () if all(piece.kind == "other" for piece in made) else made


def _step(line: str, state: Any) -> Step | None:
    mode, count = state or (None, 0)
    if mode == _COLOUR:
        if _COLOURED.match(line):
            return Step("start", (_COLOUR, 0))
        return None if is_foreign(line) else Step("continue", state)
    began = _begun(line.removeprefix(RESET), mode, count)
    if began is not None or mode is None or is_foreign(line):
        return began
    if mode in (_ARGUMENTS, _GIVEN, _UNKNOWN) and line.rstrip() == _END:
        return Step("continue", state, closes=True)
    if mode == _CALLED:
        return _arguments_step(line)
    if mode in (_ARGUMENTS, _GIVEN):
        return Step("continue", state)
    if mode == _AGAIN:
        return Step("continue", (_AGAIN, count - 1), closes=count == 1)
    if mode == _STARS:
        return Step("continue", (_TREE, 0)) if line.startswith(tree.TRACE) else None
    if mode == _TREE:
        return Step("continue", state) if tree.ROW.fullmatch(line) else None
    if mode == _UNKNOWN or line.startswith(HEADING):
        return None
    return Step("continue", (mode, count + 1))


def _begun(line: str, mode: int | None, count: int) -> Step | None:
    """What a line is that says so itself."""
    first = line[:1]
    if first == "=":
        mark = line.rstrip()
        if mark == _CALL:
            return Step("continue" if mode == _REPLY else "start", (_CALLED, 0))
        if mark in (_OUTPUT, _RESPONSE):
            return Step("start", (_TEXT if mark == _OUTPUT else _REPLY, 0))
    elif first == "\x1b":
        return Step("start", (_COLOUR, 0)) if _COLOURED.match(line) else None
    elif first == ">":
        if found := _RUNNING.match(line):
            if found[1].strip() == "None":
                return Step("continue" if mode == _REPLY else "start", None, closes=True)
            return Step("start", (_ASKED, 1))
    elif first == "A":
        if line.startswith(_ADDED):
            if mode != _ASKED:
                return Step("start", None, closes=True)
            return Step("continue", (_AGAIN, count - 1), closes=count == 1)
    elif first == "G":
        if line.startswith(_GOT):
            return Step("start", (_GIVEN, 0))
        return Step("start", None, closes=True) if _GENERATED.fullmatch(line) else None
    elif first == "T":
        return Step("start", (_UNKNOWN, 0)) if _MISSING.fullmatch(line) else None
    elif first == "*":
        if line.rstrip() == tree.STARS:
            return Step("continue", None, closes=True) if mode == _TREE else Step("start", (_STARS, 0))
    elif workflow.is_line(line):
        return Step("start", None, closes=True)
    return None


def _arguments_step(line: str) -> Step | None:
    found = _CALLING.match(line)
    if found is None:
        return None
    try:
        _decode(found[2])
    except (ValueError, RecursionError):
        return Step("continue", (_ARGUMENTS, 0))  # they go on, or are no JSON, of which a message tells
    return Step("continue", None, closes=True)


def events(text: str) -> list[Event] | None:
    """Make the events of one block; ``None`` if it is none of these."""
    text = text.removeprefix(RESET)
    first = text[:1]
    if first == "\x1b":
        return _coloured(text)
    if first == "=":
        mark, _, body = text.partition("\n")
        return _marked(mark.rstrip(), body.removesuffix("\n"))
    if first == ">":
        found = _RUNNING.match(text)
        return None if found is None else _running(found[1])
    if first == "A" and text.startswith(_ADDED):
        return [bounded(_query(text.removeprefix(_ADDED).strip()), "next")]
    if first == "G":
        if text.startswith(_GOT):
            printed = text.removeprefix(_GOT).removesuffix("\n").removesuffix(_END).removesuffix("\n")
            return [_result(printed)]
        return [bounded(said(text.strip()), "next")] if _GENERATED.fullmatch(text) else None
    if first == "T" and (unknown := _MISSING.fullmatch(text)):
        return [bounded(result(text.partition("\n")[0], unknown[1], error=_INVALID), "end")]
    return None


def _query(question: str) -> Event:
    return Event(event_type="query", properties={"message": question})


def _running(printed: str) -> list[Event]:
    question = printed.partition(f"\n{_ADDED}")[0].strip()
    if question == "None":
        return [said("next step")]
    return [bounded(run("agent_start", _RUNNER, input=question), "next"), _query(question)]


def _ended() -> Event:
    # Of a run only where it starts is told: not all print an answer. What ends is a call, with all runs in it.
    return bounded(run("agent_end", _RUNNER), "none")


def _marked(mark: str, body: str) -> list[Event] | None:
    if mark == _CALL:
        return _called(body)
    if mark == _OUTPUT:
        return [_result(body)]
    return _response(body) if mark == _RESPONSE else None


def _called(printed: str) -> list[Event] | None:
    found = _CALLING.match(printed)
    if found is None:
        return None
    given, malformed, problem = found[2].partition(_MALFORMED)
    made = [_call(found[1], json_or_text(given.removesuffix("\n")))]
    if malformed:
        words = (malformed.lstrip() + problem).rstrip().removesuffix(_END).rstrip()
        made.append(bounded(result(words, found[1], error=_FAILED), "end"))
    return made


def _call(tool: str, arguments: Any) -> Event:
    return bounded(call(tool, arguments), "call")


def _result(printed: str, tool: str | None = None) -> Event:
    failed = _FAILED if printed.startswith(_FAILURES) else None
    return bounded(result(literal_or_text(printed), tool, error=failed), "end")


def _response(body: str) -> list[Event]:
    words, calls, printed = body.partition(f"\n{_CALL}\n")
    if calls:
        return [_thought(words), *(_called(printed) or ())]
    if going_on := _GOES_ON.search(f"\n{body}"):
        return [_thought(body[: max(going_on.start() - 1, 0)]), said("next step")]
    if not words.strip():
        return [_ended()]
    half = len(words) // 2
    # A program that prints the answer, as most do, has printed it twice.
    if len(words) % 2 and words[half] == "\n" and words[:half] == words[half + 1 :]:
        words = words[:half]
    return [finish(words), _ended()]


def _thought(words: str) -> Event:
    return Event(event_type="agent_thought", properties={"message": words})


def _coloured(text: str) -> list[Event] | None:
    found = _COLOURED.match(text)
    if found is None:
        return None
    body = text[found.end() :].removesuffix(RESET).removesuffix("\n")
    if found[1] == "Thought":
        return _react(body)
    if found[1]:
        if body.startswith(_UNREADABLE):
            return [said(body, level="WARNING")]
        return [_result(body)]
    if found[2]:
        return [bounded(said(text[text.index("m") + 1 :].removesuffix(RESET).strip()), "next")]
    return [_call(found[3], body)] if found[4] == "Q" else [_result(body, found[3])]


def _react(body: str) -> list[Event]:
    head, marked, printed = body.rpartition("\nAction Input: ")
    thought, acted, name = head.rpartition("\nAction: ")
    if marked and acted and "\n" not in name and "\n" not in printed:
        return [_thought(thought), _call(name, literal_or_text(printed))]
    thought, marked, answer = body.partition("\nAnswer: ")
    if marked:
        return [_thought(thought), finish(answer), _ended()]
    thought, marked, answer = body.partition("\nAnswer (Starts With): ")
    if not marked:
        return [_thought(body)]
    streamed = finish(answer.removesuffix(" ..."))
    streamed.properties["truncated"] = True
    return [_thought(thought), streamed, _ended()]
