"""Filters as conditions of a query: on columns, exact; on the rest, which is one JSON text, what must stand in it.

The latter let through a little too much, so that what they find is asked again (:mod:`~vectadb_server.selection`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from vectadb_server import vocabulary as vocab
from vectadb_server.selection import as_json, same_case
from vectadb_server.stores import members, rows

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vectadb_server.stores.base import EventFilter, Grouping, TraceFilter

_FAILED = f"(type = 'error' OR string::matches(body, /(?i){'|'.join(vocab.FAILURE_WORDS)}/))"


def of_events(where: EventFilter) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions and their parameters; ``trace`` and times are the caller's."""
    made = _Conditions()
    made.equal("session", where.session_id)
    made.equal("agent", where.agent_id)
    made.among("type", where.event_types)
    made.equal("grp", where.log_group)
    made.equal("stream", where.log_stream)
    for text in (where.request_id, where.tool, where.model):
        made.contained("body", text)
    made.said("body", where.text)
    if where.levels:
        # As `vocabulary.level` has it. Upper case does not always lower back: ß, ı.
        made.some("string::uppercase(body)", [f'"LEVEL":"{as_json(level).upper()}"' for level in where.levels])
    if where.failed:
        made.sql.append(_FAILED)
    return made.sql, made.values


class Traces(NamedTuple):
    """Where traces are looked for: ``source``, a table with the index by which few rows are looked at.

    ``of``: what leads from there to the trace's columns, ``id`` to its id, and ``reference`` from its id to the row.
    ``bound`` is the condition that the index needs beside the time, with its ``values``.
    """

    source: str = "trace WITH INDEX trace_newest"
    of: str = ""
    id: str = "id"
    reference: Callable[[str], Any] = rows.trace_ref
    bound: str = ""
    values: Mapping[str, Any] = {}


def traces_of(where: TraceFilter) -> Traces:
    """Return where to look for these traces."""
    asked: tuple[tuple[Grouping, str | None], ...] = (("session", where.session_id), ("agent", where.agent_id))
    for kind, name in asked:
        if name is not None:
            source = f"{kind}_trace WITH INDEX {kind}_trace_name"
            return Traces(source, "of.", "of", members.by_trace(kind, name), "name = $the_name", {"the_name": name})
    return Traces()


def of_traces(where: TraceFilter, at: Traces) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions beside those of ``at``, and the parameters of all; times are the caller's."""
    of = at.of
    made = _Conditions(at.values)
    made.among(f"{of}status", where.statuses)
    if where.session_id is not None:
        # Else the place says it: then it is the session, where both are asked for.
        made.holds(f"{of}agents", where.agent_id)
    if where.basis is None:
        made.sql.append(f"{of}basis != 'time_window'")
    made.equal(f"{of}basis", where.basis)
    for text in (where.request_id, where.tool, where.model, where.log_group):
        made.contained(f"{of}body", text)
    if where.event_types:
        made.some(f"{of}body", [f'"{as_json(name)}"' for name in where.event_types])
    made.said(f"{of}body", where.text)
    return made.sql, made.values


class _Conditions:
    def __init__(self, values: Mapping[str, Any] | None = None) -> None:
        self.sql: list[str] = []
        self.values: dict[str, Any] = dict(values or {})

    def equal(self, column: str, value: str | None) -> None:
        if value is not None:
            self.sql.append(f"{column} = {self._put(value)}")

    def holds(self, column: str, value: str | None) -> None:
        if value is not None:
            self.sql.append(f"{column} CONTAINS {self._put(value)}")

    def among(self, column: str, values: tuple[str, ...]) -> None:
        if values:
            self.sql.append(f"{column} IN {self._put(list(values))}")

    def contained(self, column: str, text: str | None) -> None:
        if text is not None:
            self.sql.append(f"string::contains({column}, {self._put(as_json(text))})")

    def said(self, column: str, text: str | None) -> None:
        """In letters of either case, made the same as :func:`~vectadb_server.selection.same_case` does."""
        if text is not None:
            lower = f"string::lowercase({column})"
            same = lower if text.isascii() else f"string::uppercase({lower})"
            self.some(same, [same_case(text)(as_json(text))])

    def some(self, column: str, texts: list[str]) -> None:
        found = " OR ".join(f"string::contains({column}, {self._put(text)})" for text in texts)
        self.sql.append(f"({found})")

    def _put(self, value: Any) -> str:
        # The engine has variables of its own, `$session` among them: ours are numbered.
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"${name}"
