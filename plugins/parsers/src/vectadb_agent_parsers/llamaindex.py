"""``llamaindex``: agents, engines and workflows run with ``verbose=True``, and the debug handler's tree.

Seen in 0.10, 0.12 and 0.14. Since 0.14 workflows print a line for each event, a Python repr cut after 200 characters:
what is cut is marked ``truncated``. Before, agents printed marks and coloured ReAct steps. Models' names, tokens and
agents' ends are not printed; a ReAct step without its colours is taken for LangChain's, which prints the same words.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectadb_agent import ComponentConfig, Event, Parser
from vectadb_agent_parsers import llamaindex_tree as tree
from vectadb_agent_parsers import llamaindex_verbose as verbose
from vectadb_agent_parsers import llamaindex_workflow as workflow
from vectadb_agent_parsers.agent_events import block_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Block, Piece

_VERBOSE = frozenset("=>AGT\x1b")
_WORKFLOW = frozenset("[SR")
_TREE = frozenset(" |*")
_LETTERS = _VERBOSE | _WORKFLOW | {"*"}


class LlamaIndexParser(Parser):
    """Agents, their replies and tool calls, of LlamaIndex."""

    name = "llamaindex"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of a line of a workflow, a step, a call, a result, or a tree."""
        text = block.text
        first = text[:1]
        made: list[Event] | None = None
        if first in _VERBOSE:
            made = verbose.events(text)
        elif first in _WORKFLOW:
            made = workflow.events(text)
        elif first in _TREE and ("|_" in text or text.startswith(tree.STARS)):
            made = tree.events(text)
        return None if made is None else block_of("llamaindex", text, made)

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join the lines of what has several. ``state``: which of it is open."""
        if state is None and text[:1] not in _LETTERS:
            return ()
        return verbose.cut(text, state)
