"""What ingest writes in one transaction, and the statements that do it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import msgspec

from vectadb_server import ids
from vectadb_server.attribution import Boundary
from vectadb_server.blocks import Version
from vectadb_server.stores import rows
from vectadb_server.stores.engine import Encoded, Rows, record
from vectadb_server.stores.rows import HeldRow


class Entry(msgspec.Struct, omit_defaults=True):
    """What a commit tells the indexer, of one day.

    ``events``: new or changed; ``gone``: no longer events; ``weak``: those of ``events`` whose trace boundaries decide;
    ``traces``: whose events changed; ``boundaries``: that were added or removed. ``again``: nothing of it is new; what
    was made of the events is made anew.
    """

    events: list[str] = []
    gone: list[str] = []
    weak: list[str] = []
    traces: list[str] = []
    boundaries: list[Boundary] = []
    again: bool = False


class Write(msgspec.Struct):
    """One transaction in one day. ``unchanged``: rows that must still be as they were read.

    ``encoded``: rows to insert, as ``insert``, that the engine's form is made of already.

    ``nameless``: boundaries that stay where they are and lose what people read. ``erased``: of the records in the
    digest, those that no event tells of any more.
    """

    insert: list[dict[str, Any]] = []
    encoded: Encoded | None = None
    change: list[dict[str, Any]] = []
    remove: list[str] = []
    unchanged: list[HeldRow] = []
    extras: dict[str, dict[str, Version]] = {}
    boundaries: list[Boundary] = []
    boundaries_gone: list[Boundary] = []
    nameless: list[Boundary] = []
    digest: list[dict[str, Any]] = []
    erased: list[dict[str, Any]] = []
    minutes: list[dict[str, Any]] = []
    agents: list[list[str]] = []
    entry: Entry | None = None
    least: int | None = None
    most: int | None = None

    @property
    def inserted(self) -> int:
        """How many rows are inserted."""
        return len(self.insert) + (0 if self.encoded is None else self.encoded.count)


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Entry).decode


def entry(body: str) -> Entry:
    """Return the entry of an outbox row."""
    return _decode(body)


def statements(write: Write) -> tuple[list[str], dict[str, Any]]:
    """Return the statements of the transaction, and their parameters."""
    sql: list[str] = []
    values: dict[str, Any] = {}

    def add(statement: str, name: str, value: Any) -> None:
        if value:
            sql.append(statement)
            values[name] = value

    if write.unchanged:
        sql.append(
            "LET $now = (SELECT VALUE [id, size, head ?? '', trace ?? '', reading ?? 0] FROM $read); "
            "IF $now != $seen { THROW 'changed' }"
        )
        values["read"] = [rows.event_ref(held.row.key[1]) for held in write.unchanged]
        values["seen"] = [
            [
                rows.event_ref(row.key[1]),
                row.size,
                rows.packed(row.head) if row.head else "",
                held.trace or "",
                row.read_at,
            ]
            for held in write.unchanged
            for row in (held.row,)
        ]
    add("INSERT INTO event $insert RETURN NONE", "insert", Rows(write.insert))
    add("INSERT INTO event $encoded RETURN NONE", "encoded", write.encoded)
    changes = [{**row, "id": record("event", row["id"])} for row in write.change]
    add("FOR $c IN $change { UPSERT $c.id REPLACE $c RETURN NONE }", "change", changes)
    add("DELETE $remove RETURN NONE", "remove", [rows.event_ref(event_id) for event_id in write.remove])
    extras = [rows.extras_row(head, versions) for head, versions in write.extras.items()]
    add("FOR $e IN $extras { UPSERT $e.id REPLACE $e RETURN NONE }", "extras", extras)
    add(
        "DELETE $unmark RETURN NONE",
        "unmark",
        [record("boundary", rows.boundary_key(boundary)) for boundary in write.boundaries_gone],
    )
    outbox_id = ids.uuid7()
    marks = [rows.boundary_row(boundary, outbox_id) for boundary in write.boundaries]
    add("INSERT IGNORE INTO boundary $marks RETURN NONE", "marks", marks)
    names = [record("boundary", rows.boundary_key(boundary)) for boundary in write.nameless]
    add("UPDATE $nameless UNSET name, request RETURN NONE", "nameless", names)
    add("INSERT INTO erased $erased RETURN NONE", "erased", write.erased)
    add("INSERT INTO digest $digest RETURN NONE", "digest", write.digest)
    add("INSERT INTO minute $minutes RETURN NONE", "minutes", write.minutes)
    add("INSERT IGNORE INTO agent $agents RETURN NONE", "agents", [{"id": key} for key in write.agents])
    if write.entry is not None:
        row = {"id": UUID(outbox_id), "body": _encode(write.entry).decode()}
        add("INSERT INTO outbox $outbox RETURN NONE", "outbox", [row])
    return sql, values
