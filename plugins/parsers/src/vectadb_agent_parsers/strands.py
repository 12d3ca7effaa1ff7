r"""``strands``: what Strands Agents streams to the console (its default ``PrintingCallbackHandler``; seen in 1.62).

Printed are the model's words as they come, without a newline of their own, and ``\nTool #n: name\n`` for each call.
Arguments, results, model calls, tokens and the ends of runs are not printed, and cannot be known; of failures only
those are logged that ``@tool`` did not make a result of, unknown tools, and a failing model.
Nothing marks the words: with ``text: true`` every line that is nobody else's counts as the agent's, a tool's own prints
among them; and an answer that quotes ``Tool #1: x`` on a line of its own looks like a call.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vectadb_agent import ComponentConfig, Event, Parser
from vectadb_agent_parsers.agent_events import block_of, call
from vectadb_agent_parsers.foreign import is_foreign
from vectadb_agent_parsers.line_cutting import Step, cut_lines
from vectadb_agent_parsers.tracebacks import HEADING, is_cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Block, Piece

_LOGGED = "> | "  # stands in every line of the logger
_CALL = re.compile(r"Tool #(\d{1,9}): ([^\s:]{1,200})\r?\n?")
#: The logger ``strands``, where nobody has configured it. The cause follows as a traceback, but not of an unknown tool.
_FAILED = re.compile(
    r"(?:exception=<(?P<type>[^<>\n]{1,200})> \| event loop cycle failed"
    r"|tool_name=<(?P<tool>[^<>\n]{1,200})>(?:, available_tools=<.*>)?"
    r" \| (?:tool execution failed|failed to process tool|tool not found in registry))\r?\n?"
)


class StrandsConfig(ComponentConfig):
    """Options of the ``strands`` parser."""

    text: bool = True
    """Whether lines that no other parser knows are the agent's words. False: only calls and failures are."""


class StrandsParser(Parser):
    """Calls, and the agent's words between them, of agents built with Strands."""

    name = "strands"
    Config = StrandsConfig
    config: StrandsConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make the event of a call, or of the words before, between and after calls."""
        text = block.text
        called = _call(text)
        if called is not None:
            return block_of("strands", text, [call(called[1], number=int(called[0]))])
        failed = _failed(text)
        if failed is not None:
            return block_of("strands", text, [failed])
        if not self.config.text or not text.strip() or _is_elses(text):
            return None
        words = Event(event_type="message", properties={"role": "assistant", "message": text.strip()})
        return block_of("strands", text, [words])

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join the lines of the agent's words. ``state``: that such a block is open."""
        if self.config.text or "Tool #" in text or _LOGGED in text:
            return cut_lines(text, state, self._step)
        return ()

    def _step(self, line: str, state: Any) -> Step | None:
        if _call(line) or _failed(line):
            return Step("start", True, closes=True)
        if not self.config.text or _is_elses(line):
            return None
        if state is None:
            return Step("start", True) if line.strip() else None
        return Step("continue", True)


def _call(line: str) -> tuple[str, str] | None:
    found = _CALL.fullmatch(line) if line.startswith("Tool #") else None
    return None if found is None else (found[1], found[2])


def _failed(line: str) -> Event | None:
    found = _FAILED.fullmatch(line) if line.startswith(("exception=<", "tool_name=<")) else None
    if found is None:
        return None
    told = {"level": "ERROR", "message": line.strip()}
    told |= {"error.type": found["type"]} if found["type"] else {"gen_ai.tool.name": found["tool"]}
    return Event(event_type="error", properties=told)


def _is_elses(line: str) -> bool:
    return is_foreign(line) or line.startswith(HEADING) or is_cause(line)
