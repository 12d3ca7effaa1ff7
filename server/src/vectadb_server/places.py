"""Which of the calls that wait side by side a result is of, where it tells no more than its tool's place.

LangChain prints a tool's results in a colour that is the tool's place in its agent's list, some few in turn. So of one
agent, results of different places are never of one tool; and a pair that is beyond doubt tells its tool's place.
"""

from __future__ import annotations

from itertools import count, islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vectadb_server.nesting import Node


class Places:
    """The places of tools, by name, as far as results have told them."""

    def __init__(self, known: Mapping[str, int] | None = None) -> None:
        self.known = dict(known or {})
        self.guessed = False
        """Whether a call was chosen of whose tool nothing was known: then what is learnt later may tell better."""
        self._called: dict[Node | None, dict[str, None]] = {}

    def called(self, node: Node) -> None:
        """Note that its agent calls this tool."""
        self._called.setdefault(_agent(node), {})[node.name] = None

    def choose(self, waiting: Sequence[Node], place: int) -> Node:
        """Return the call of a tool at ``place``, of some that wait, the likelier first.

        If nothing is known of them, the agent's tools are taken to have been called for the first time in the order of
        its list.
        """
        for node in waiting:
            if self.known.get(node.name) == place:
                return node
        if len({name for node in waiting if node.frame is not None for name in node.frame.named}) == 1:
            self.known[waiting[0].name] = place  # beyond doubt: no other tool's call waited here, or has
            return waiting[0]
        self.guessed = True
        unknown = [node for node in waiting if node.name not in self.known]
        return next((node for node in unknown if self._likely(node) == place), (unknown or waiting)[0])

    def _likely(self, node: Node) -> int:
        tools = self._called[_agent(node)]
        taken = {self.known[name] for name in tools if name in self.known}
        free = (place for place in count() if place not in taken)
        before = [name for name in tools if name not in self.known].index(node.name)
        return next(islice(free, before, None))


def _agent(node: Node) -> Node | None:
    return None if node.frame is None else node.frame.agent
