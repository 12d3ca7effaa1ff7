"""LangChain's verbose format without its colours, as log set-ups that strip them leave it.

Without colours only what has a marker can be told apart: ``Action:``, ``Action Input:``, ``Observation:``,
``Thought:``, ``Final Answer:``, ``Invoking:`` and the lines of chains. A result that has no ``Observation:`` before it
is left to other parsers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vectadb_agent import Event
from vectadb_agent_parsers.agent_events import bounded
from vectadb_agent_parsers.agent_reply import read_finish, read_reply
from vectadb_agent_parsers.foreign import is_foreign
from vectadb_agent_parsers.langchain_events import finish_events, reply_events, result_event, run_end, run_start
from vectadb_agent_parsers.line_cutting import Step, cut_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Piece

STARTS = (
    "> Entering new ",
    "> Finished chain.",
    "Thought:",
    "Action:",
    "Action Input:",
    "Observation:",
    "Final Answer:",
    "Invoking: `",
)
_ENTERING = re.compile(r"> Entering new ([^\n]*) chain\.\.\.\s*")
_ACTION = re.compile(r"Action(?: \d+)?:")
_INPUT = re.compile(r"Action(?: \d+)? Input(?: \d+)?:")
_INVOKING = re.compile(r"Invoking: `[^`\n]+` with `")
_OBSERVATION, _FINAL, _FINISHED = "Observation:", "Final Answer:", "> Finished chain."


def cut(text: str, state: Any) -> Sequence[Piece]:
    """Cut one record. ``state``: ``plain`` and which marker the open block has had last."""
    return cut_lines(text, state, _step)


def _step(line: str, state: Any) -> Step | None:
    open_ = None if state is None else state[1]
    if line.startswith("> "):
        if line.rstrip() == _FINISHED:
            return Step("continue" if open_ == "final" else "start", None, closes=True)
        return Step("start", None, closes=True) if _ENTERING.fullmatch(line) else None
    if line.startswith("Thought:"):
        return Step("start", ("plain", "thought"))
    if line.startswith(_OBSERVATION):
        return Step("start", ("plain", "observation"))
    if line.startswith(_FINAL):
        return Step("continue" if open_ == "thought" else "start", ("plain", "final"))
    if line.startswith("Action"):
        if _INPUT.match(line):
            return Step("continue", ("plain", "input")) if open_ == "action" else None
        if _ACTION.match(line):
            return Step("continue" if open_ == "thought" else "start", ("plain", "action"))
    if line.startswith("Invoking: `") and _INVOKING.match(line):
        return Step("start", ("plain", "invoking"))
    if open_ == "invoking" and line.startswith("responded: "):
        return Step("continue", ("plain", "responded"))
    if open_ in ("observation", "final") and not is_foreign(line):
        return Step("continue", state)
    return None


def events(text: str) -> list[Event] | None:
    """Make the events of one piece; ``None`` if it is none."""
    if text.startswith("> "):
        found = _ENTERING.fullmatch(text)
        if found is not None:
            return [bounded(run_start(found[1]), "start")]
        return [run_end()] if text.rstrip() == _FINISHED else None
    if text.startswith(_OBSERVATION):
        return [result_event(text.removeprefix(_OBSERVATION).removeprefix(" ").removesuffix("\n"))]
    if text.startswith("Invoking: `"):
        return reply_events(read_reply("\n" + text))
    if _FINAL in text:
        answer = text.rstrip()
        ended = answer.endswith("\n" + _FINISHED)
        events = finish_events(read_finish(answer.removesuffix(_FINISHED) if ended else answer))
        return [*events, run_end(agent=True)] if ended else events
    if not text.startswith(("Thought:", "Action")):
        return None
    reply = read_reply(text.removesuffix("\n"))
    # "Action: …" alone is many a program's line.
    return None if reply.tool is None and text.startswith("Action") else reply_events(reply)
