"""Filters as conditions of a query: on columns, exact; on the rest, which is one JSON text, what must stand in it.

The latter let through a little too much, so that what they find is asked again (:mod:`~vectadb_server.selection`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectadb_server import vocabulary as vocab
from vectadb_server.selection import as_json

if TYPE_CHECKING:
    from vectadb_server.stores.base import EventFilter, TraceFilter

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
    made.contained("string::lowercase(body)", where.text)
    if where.levels:
        made.some("string::lowercase(body)", [f'"level":"{as_json(level.lower())}"' for level in where.levels])
    if where.failed:
        made.sql.append(_FAILED)
    return made.sql, made.values


def of_traces(where: TraceFilter) -> tuple[list[str], dict[str, Any]]:
    """Return the conditions and their parameters; times are the caller's."""
    made = _Conditions()
    made.among("status", where.statuses)
    made.equal("agent", where.agent_id)
    made.equal("session", where.session_id)
    if where.basis is None:
        made.sql.append("basis != 'time_window'")
    made.equal("basis", where.basis)
    for text in (where.request_id, where.tool, where.model, where.log_group):
        made.contained("body", text)
    if where.event_types:
        made.some("body", [f'"{as_json(name)}"' for name in where.event_types])
    made.contained("string::lowercase(body)", where.text)
    return made.sql, made.values


def index_of_traces(where: TraceFilter) -> tuple[str, str, dict[str, Any]]:
    """Return the table with the index by which few rows are looked at, and the condition and values that it needs."""
    for column, name in (("session", where.session_id), ("agent", where.agent_id)):
        if name is not None:
            return f"trace WITH INDEX trace_{column}", f"{column} = $the_name", {"the_name": name}
    return "trace WITH INDEX trace_newest", "", {}


class _Conditions:
    def __init__(self) -> None:
        self.sql: list[str] = []
        self.values: dict[str, Any] = {}

    def equal(self, column: str, value: str | None) -> None:
        if value is not None:
            self.sql.append(f"{column} = {self._put(value)}")

    def among(self, column: str, values: tuple[str, ...]) -> None:
        if values:
            self.sql.append(f"{column} IN {self._put(list(values))}")

    def contained(self, column: str, text: str | None) -> None:
        if text is not None:
            wanted = as_json(text if column == "body" else text.lower())
            self.sql.append(f"string::contains({column}, {self._put(wanted)})")

    def some(self, column: str, texts: list[str]) -> None:
        found = " OR ".join(f"string::contains({column}, {self._put(text)})" for text in texts)
        self.sql.append(f"({found})")

    def _put(self, value: Any) -> str:
        # The engine has variables of its own, `$session` among them: ours are numbered.
        name = f"v{len(self.values)}"
        self.values[name] = value
        return f"${name}"
