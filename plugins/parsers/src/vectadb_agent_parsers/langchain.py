"""``langchain``: what LangChain prints with ``verbose=True`` or ``set_debug(True)``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vectadb_agent import ComponentConfig, Parser
from vectadb_agent_parsers import langchain_debug, langchain_plain, langchain_verbose

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectadb_agent import Block, Event, Piece

_ESCAPE = "\x1b["
#: Beginnings that an uncoloured line of LangChain's may have, and the first letters of those, which are cheaper to see.
_STARTS = (*langchain_plain.STARTS, "Action ", "Prompt after formatting:", "[chain/", "[llm/", "[tool/")
_LETTERS = frozenset(start[0] for start in _STARTS)


class _Grammar(NamedTuple):
    """One of the formats: how a record is cut, and what a piece means."""

    cut: Callable[[str, Any], Sequence[Piece]]
    events: Callable[[str], list[Event] | None]


_DEBUG = _Grammar(langchain_debug.cut, langchain_debug.events)
_VERBOSE = _Grammar(langchain_verbose.cut, langchain_verbose.events)
_PLAIN = _Grammar(langchain_plain.cut, langchain_plain.events)


class LangChainParser(Parser):
    """Agents, chains, model and tool calls of LangChain, LangChain classic and ``create_agent``.

    Verbose output is cut at its colours; where a log set-up has stripped these, at its marker words. Every event has
    the property ``framework: langchain``. ``> Finished chain.`` has no name: it becomes an ``agent_end`` where an
    agent's last step stands right before it, else a ``chain_end``, with ``unnamed: true`` in either case; it ends what
    began last in the stream and has not ended yet.
    """

    name = "langchain"
    Config = ComponentConfig

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of one block: often several, such as a thought and the call that follows it."""
        text = block.text
        if not _may_be_ours(text):
            return None
        grammar = _grammar(text)
        texts = [piece.text for piece in grammar.cut(text, None) if piece.kind != "other"]
        made: list[Event] = []
        # One piece, which pieces() has cut, may end in text that it would not claim without what stood behind it.
        for piece in texts if len(texts) > 1 else [text]:
            made.extend(grammar.events(piece) or ())
        if not made:
            return None
        for event in made:
            event.properties = {"framework": "langchain", **event.properties}
        made[0].raw = text
        return made

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Cut a record at LangChain's delimiters, and join what it printed over several."""
        if state is None:
            return _grammar(text).cut(text, None) if _may_be_ours(text) else ()
        if state[0] == "debug":
            return langchain_debug.cut(text, state)
        if langchain_debug.has_head(text):
            return langchain_debug.cut(text, None)
        if state[0] == "plain" and _ESCAPE not in text:
            return langchain_plain.cut(text, state)
        return langchain_verbose.cut(text, None if state[0] == "plain" else state)


def _may_be_ours(text: str) -> bool:
    return _ESCAPE in text or (text[:1] in _LETTERS and text.startswith(_STARTS))


def _grammar(text: str) -> _Grammar:
    if langchain_debug.has_head(text):
        return _DEBUG
    if _ESCAPE in text or text.startswith("Prompt after formatting:"):
        return _VERBOSE
    return _PLAIN
