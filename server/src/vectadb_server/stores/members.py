"""Which traces agents and sessions have events in: a row of each such pair, beside the trace's own, written with it.

A trace may have several of both, and an index over a list is none that the engine has with a time behind it.
Tables ``agent_trace`` and ``session_trace``: ``name``, the trace's ``nstart`` and ``arrived``, and ``of``, its row.
Their ids are ``[trace, name]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, get_args

from vectadb_server.stores.base import Grouping
from vectadb_server.stores.engine import record

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Between the parts of an id where it is one text: less than any character of either, so that both order alike.
_BETWEEN = "\x00"
#: Behind the names of all.
LAST = "\U0010ffff"


class Member(NamedTuple):
    """One row. ``nstart``: the negative of the trace's start; ``arrived``: when its first event did; microseconds."""

    kind: Grouping
    trace: str
    name: str
    nstart: int
    arrived: int

    @property
    def reference(self) -> Any:
        """The row's id."""
        return record(f"{self.kind}_trace", [self.trace, self.name])

    @property
    def row(self) -> dict[str, Any]:
        """The row, as it is written."""
        times = {"nstart": self.nstart, "arrived": self.arrived}
        return {"id": self.reference, "name": self.name, **times, "of": record("trace", self.trace)}


def of_trace(trace: str, row: Mapping[str, Any] | None) -> set[Member]:
    """Return what belongs to a trace whose row is this; ``None``: it has none."""
    if row is None:
        return set()
    return {
        Member(kind, trace, name, row["nstart"], row["arrived"] or 0)
        for kind in get_args(Grouping)
        for name in row[f"{kind}s"] or ()
    }


def id_text(key: Sequence[str]) -> str:
    """The key of a row as one text."""
    return _BETWEEN.join(key)


def behind(text: str) -> str:
    """The trace id behind which a list goes on after this :func:`id_text`: just before its own, if that has more."""
    trace, _, name = text.partition(_BETWEEN)
    return trace if name in ("", LAST) else trace[:-1]


def by_trace(kind: Grouping, name: str) -> Callable[[str], Any]:
    """Return what makes a reference of a trace's id: to its row of this agent or session."""
    return lambda trace: record(f"{kind}_trace", [trace, name])
