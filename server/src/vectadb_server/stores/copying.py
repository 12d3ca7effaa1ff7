"""Copies the rows of a database into another one, of whichever engine, and says by digest whether two hold the same.

What stands only for servers that run is left out: see :func:`travelling`. Rows are read in the order of their ids, a
bounded number of bytes at once; the source must not be written meanwhile, or what is written may be there or not.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vectadb_server.stores.engine import canonical, key_of, range_of
from vectadb_server.stores.segments import schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from vectadb_server.stores.engine import Connection

    Told: TypeAlias = Callable[[str, int], Awaitable[None]]

Row: TypeAlias = dict[str, Any]

#: Of servers that run on the record, and (`day`, `reindex`, `row_count`) of the engine and the index that it has.
_STAYING = frozenset({"bucket", "day", "dirty", "fence", "lease", "reindex", "row_count"})
#: Which index was filled from the record: of another place, another one is.
_STAYING_ROW = "schema", "index"

_DEFINED = re.compile(r"DEFINE TABLE IF NOT EXISTS (\w+)( TYPE RELATION)?")
_RELATIONS = frozenset(name for name, relation in _DEFINED.findall(schema("")) if relation)

_FEW, _MANY = 16, 200  # rows in a chunk: a remote engine takes the square of the time for more in one transaction
_CHUNK = 2**20  # bytes, about
_MODULUS = 2**128


class Mark(NamedTuple):
    """What a table holds: the number of rows, and the sum of their hashes modulo 2**128, in hexadecimal."""

    rows: int
    digest: str


def travelling(name: str) -> tuple[str, ...]:
    """Return the tables of a database (a day, or ``meta``) that are the record itself, in an order to copy them in.

    Relations come last: to replace a row removes its edges.
    """
    tables = [table for table, _ in _DEFINED.findall(schema(name)) if table not in _STAYING]
    return tuple(sorted(tables, key=_RELATIONS.__contains__))


class Chunk(NamedTuple):
    """Rows, and each as :func:`~.engine.canonical` writes it."""

    rows: list[Row]
    encoded: list[bytes]


async def copy(
    source: Connection, target: Connection, tables: Iterable[str], told: Told | None = None
) -> dict[str, Mark]:
    """Make the tables of ``target`` hold what those of ``source`` hold, and nothing else; return what that is.

    Done again it changes nothing, and after an interruption it writes only what is missing. ``told`` hears the name of
    a table and how many more of its rows are in place, chunk by chunk.

    Raises:
        StoreUnavailable: an engine does not answer; so far as it came, it came.
        Conflict: somebody else writes to ``target``.
    """
    marks: dict[str, Mark] = {}
    for table in tables:
        sums = Sums()
        fresh = not await target.one(f"SELECT VALUE id FROM {table} LIMIT 1")  # noqa: S608 - no values
        async for chunk in chunks(source, table):
            sums.add(chunk.encoded)
            await (insert(target, table, chunk.rows) if fresh else _replace(target, table, chunk))
            if told is not None:
                await told(table, len(chunk.rows))
        if not fresh:
            await _remove_others(source, target, table)
        marks[table] = sums.mark()
    return marks


async def fingerprint(db: Connection, tables: Iterable[str], told: Told | None = None) -> dict[str, Mark]:
    """Return what each table holds: two databases with the same marks hold the same rows, on whichever engines.

    Raises:
        StoreUnavailable: the engine does not answer.
    """
    marks: dict[str, Mark] = {}
    for table in tables:
        sums = Sums()
        async for chunk in chunks(db, table):
            sums.add(chunk.encoded)
            if told is not None:
                await told(table, len(chunk.rows))
        marks[table] = sums.mark()
    return marks


class Sums:
    """Adds up rows, in whichever order they come."""

    def __init__(self) -> None:
        self._rows = self._sum = 0

    def add(self, encoded: Iterable[bytes]) -> None:
        """Add rows as :func:`~.engine.canonical` writes them."""
        for row in encoded:
            self._rows += 1
            self._sum += int.from_bytes(hashlib.blake2b(row, digest_size=16).digest())

    def mark(self) -> Mark:
        """Return number and sum."""
        return Mark(self._rows, f"{self._sum % _MODULUS:032x}")


async def chunks(db: Connection, table: str) -> AsyncIterator[Chunk]:
    """Go through the rows of a table in the order of their ids, about a megabyte at once."""
    after, limit = None, _FEW
    while True:
        values = {"after": range_of(table, after), "limit": limit}
        found: list[Row] = await db.one("SELECT * FROM $after LIMIT $limit", values)
        rows = [row for row in found if (table, key_of(row["id"])) != _STAYING_ROW]
        if rows:
            chunk = Chunk(rows, [canonical(row) for row in rows])
            yield chunk
        if len(found) < limit:
            return
        after = key_of(found[-1]["id"])
        size = sum(map(len, chunk.encoded))
        limit = max(1, min(_MANY, 2 * limit, len(chunk.rows) * _CHUNK // size))


async def insert(db: Connection, table: str, rows: list[Row]) -> None:
    """Write rows that are not there.

    Raises:
        Conflict: one is there.
    """
    what = "RELATION INTO" if table in _RELATIONS else "INTO"
    await db.run(f"INSERT {what} {table} $rows RETURN NONE", {"rows": rows})


async def _replace(target: Connection, table: str, chunk: Chunk) -> None:
    """Write those rows that are not there as they are."""
    ids = [row["id"] for row in chunk.rows]
    found = await target.one("SELECT * FROM array::distinct($ids) WHERE id != NONE", {"ids": ids})
    same = {canonical(row) for row in found}
    missing = [row for row, encoded in zip(chunk.rows, chunk.encoded, strict=True) if encoded not in same]
    if missing:
        await target.run("DELETE $ids RETURN NONE", {"ids": [row["id"] for row in missing]})
        await insert(target, table, missing)


async def _remove_others(source: Connection, target: Connection, table: str) -> None:
    """Remove the rows of ``target`` that ``source`` has not."""
    async for chunk in chunks(target, table):
        ids = {canonical(row["id"]): row["id"] for row in chunk.rows}
        found = await source.one(
            "SELECT VALUE id FROM array::distinct($ids) WHERE id != NONE", {"ids": [*ids.values()]}
        )
        for known in found:
            ids.pop(canonical(known), None)
        if ids:
            await target.run("DELETE $ids RETURN NONE", {"ids": [*ids.values()]})
