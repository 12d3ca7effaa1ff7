"""The tree of LlamaIndex's ``LlamaDebugHandler(print_trace_on_end=True)``: what was done, and how long it took.

It is printed when a trace ends, all at once. Names of tools, models, tokens and texts are not in it.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from vectadb_agent import Event
from vectadb_agent_parsers.agent_events import bounded, run, said

STARS = "*" * 10
TRACE = "Trace: "
#: Python before 3.11 prints an event's value, later ones the name of the enumeration's member.
ROW = re.compile(r"( *)\|_(?:CBEventType\.)?([A-Za-z_]{1,40}) -> ([\d.e+\-]{1,24}) seconds\r?\n?")
#: Steps that stand for something of their own, even where nothing is told of their inside.
_RUNS = frozenset(("query", "agent_step", "sub_question", "function_call", "synthesize"))


class _Row(NamedTuple):
    depth: int
    name: str
    took: dict[str, float]


def events(text: str) -> list[Event] | None:
    """Make the events of a tree, or of a row alone, as a logger writes it; ``None`` if it is neither."""
    lines = text.splitlines()
    rows = [row for row in map(_row, lines) if row is not None]
    if lines[0].rstrip() != STARS:
        return [_leaf(rows[0])] if len(lines) == 1 and rows else None
    if len(lines) < 2 or not lines[1].startswith(TRACE):
        return None
    trace = lines[1].removeprefix(TRACE).strip()
    made = [bounded(run("chain_start", trace), "start")]
    open_: list[_Row] = []
    for row, following in pairwise([*rows, None]):
        if row is None:
            break
        while open_ and open_[-1].depth >= row.depth:
            made.append(_ended(open_.pop()))
        has_children = following is not None and following.depth > row.depth
        if row.name in _RUNS or (has_children and row.name not in ("llm", "retrieve", "exception")):
            made.append(run("chain_start", row.name))
            open_.append(row)
        else:
            made.append(_leaf(row))
    made += [_ended(row) for row in reversed(open_)]
    return [*made, bounded(run("chain_end", trace), "end")]


def _row(line: str) -> _Row | None:
    found = ROW.fullmatch(line)
    if found is None:
        return None
    try:
        seconds = float(found[3])
    except ValueError:
        return None
    return _Row(len(found[1]), found[2].lower(), {"duration_ms": round(seconds * 1000, 3)})


def _ended(row: _Row) -> Event:
    return run("chain_end", row.name, **row.took)


def _leaf(row: _Row) -> Event:
    if row.name == "llm":
        return Event(event_type="llm_end", properties=dict(row.took))
    if row.name == "retrieve":
        return Event(event_type="retrieval", properties={"name": row.name, **row.took})
    if row.name == "exception":
        return Event(event_type="error", properties={"message": "an exception ended the trace", "level": "ERROR"})
    return said(row.name, **row.took)
