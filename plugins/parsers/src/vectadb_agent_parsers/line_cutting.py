"""Cutting a record line by line: for formats whose pieces begin at a line's start."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from vectadb_agent import Piece
from vectadb_agent_parsers.foreign import is_lambdas

if TYPE_CHECKING:
    from collections.abc import Callable


class Step(NamedTuple):
    """What one line is to its block; see ``Piece``."""

    kind: Literal["start", "continue"]
    state: Any
    closes: bool = False


def cut_lines(text: str, state: Any, step: Callable[[str, Any], Step | None]) -> list[Piece]:
    """Cut ``text`` by asking ``step(line, state)`` about each line; ``None`` from it means: not of this format.

    ``state`` is the open block's, ``None`` where none is open. Lines of one block become one piece. What goes on behind
    a foreign line within the record is a block of its own, since a record's part in a block is one stretch of its text.
    The result is empty if no line is of the format.
    """
    if text.find("\n", 0, -1) < 0:
        one = step(text, state)
        return [] if one is None else [Piece(text, one.kind, one.closes, one.state)]
    if is_lambdas(text):
        return []  # its further lines are not what goes on behind a foreign line
    begins: list[tuple[int, Step | None]] = []
    at = 0
    while at < len(text):
        end = text.find("\n", at) + 1 or len(text)
        now = step(text[at:end], state)
        last = begins[-1][1] if begins else None
        if now is not None and now.kind == "continue" and last is None and any(each for _, each in begins):
            now = Step("start", now.state, now.closes)
        if begins and now is None and last is None:
            pass
        elif begins and now is not None and last is not None and now.kind == "continue" and not last.closes:
            begins[-1] = (begins[-1][0], Step(last.kind, now.state, now.closes))
        else:
            begins.append((at, now))
        if now is not None:
            state = None if now.closes else now.state
        at = end
    if all(now is None for _, now in begins):
        return []
    ends = [begin for begin, _ in begins[1:]] + [len(text)]
    return [
        Piece(text[begin:end], "other") if now is None else Piece(text[begin:end], now.kind, now.closes, now.state)
        for (begin, now), end in zip(begins, ends, strict=True)
    ]
