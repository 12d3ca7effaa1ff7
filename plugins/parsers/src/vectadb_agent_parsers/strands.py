r"""``strands``: what Strands Agents streams to the console (its default ``PrintingCallbackHandler``; seen in 1.62).

Printed are the model's words as they come, without a newline of their own, and ``\nTool #n: name\n`` for each call.
Arguments, results, failures of tools, model calls, tokens and the ends of runs are not printed, and cannot be known.
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

_CALL = re.compile(r"Tool #(\d{1,9}): ([^\s:]{1,200})\r?\n?")
#: The logger ``strands``, where nobody has configured it: the cause follows as a traceback.
_FAILED = re.compile(r"exception=<[^<>\n]{1,200}> \| event loop cycle failed\r?\n?")


class StrandsConfig(ComponentConfig):
    """Options of the ``strands`` parser."""

    text: bool = True
    """Whether lines that no other parser knows are the agent's words. False: calls alone are recognised."""


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
        if _FAILED.fullmatch(text):
            failed = Event(event_type="error", properties={"level": "ERROR", "message": text.strip()})
            return block_of("strands", text, [failed])
        if not self.config.text or not text.strip() or _is_elses(text):
            return None
        words = Event(event_type="message", properties={"role": "assistant", "message": text.strip()})
        return block_of("strands", text, [words])

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join the lines of the agent's words. ``state``: that such a block is open."""
        if text.startswith("Tool #") or self.config.text:
            return cut_lines(text, state, self._step)
        return ()

    def _step(self, line: str, state: Any) -> Step | None:
        if _call(line) or _FAILED.fullmatch(line):
            return Step("start", True, closes=True)
        if not self.config.text or _is_elses(line):
            return None
        if state is None:
            return Step("start", True) if line.strip() else None
        return Step("continue", True)


def _call(line: str) -> tuple[str, str] | None:
    found = _CALL.fullmatch(line) if line.startswith("Tool #") else None
    return None if found is None else (found[1], found[2])


def _is_elses(line: str) -> bool:
    return is_foreign(line) or line.startswith(HEADING) or is_cause(line)
