"""``openai_agents``: the OpenAI Agents SDK, by its log (logger ``openai.agents`` at DEBUG) or by its exported spans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectadb_agent import ComponentConfig, Parser
from vectadb_agent_parsers import openai_agents_log, openai_agents_spans
from vectadb_agent_parsers.agent_events import block_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Block, Event, Piece


class OpenAIAgentsParser(Parser):
    """Agents, model and tool calls of the OpenAI Agents SDK (seen in 0.24).

    By default its log withholds data: calls have names, and nothing else. With ``OPENAI_AGENTS_DONT_LOG_MODEL_DATA=0``
    and ``OPENAI_AGENTS_DONT_LOG_TOOL_DATA=0`` it tells arguments, results and replies. Spans printed as JSON
    (``json.dumps(span.export())``) tell ids, tokens and times as well.
    """

    name = "openai_agents"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of a line, or of a call's or reply's block of lines."""
        text = block.text
        made = openai_agents_spans.events(text) if text[:1] == "{" else openai_agents_log.events(text)
        return None if made is None else block_of("openai_agents", text, made)

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join what the log prints over several lines. ``state``: what the open block is."""
        return openai_agents_log.cut(text, state)
