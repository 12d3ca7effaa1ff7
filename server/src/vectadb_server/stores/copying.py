"""Copies the rows of a database into another one, of whichever engine, and says by digest whether two hold the same.

What stands only for servers that run is left out: see :func:`travelling`. Rows are read in the order of their ids, a
bounded number of bytes at once; the source must not be written meanwhile, or what is written may be there or not.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from vectadb_server.stores.engine import canonical, key_of, range_of, record
from vectadb_server.stores.segments import schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator

    from vectadb_server.stores.engine import Connection

    Told: TypeAlias = Callable[[str, int], Awaitable[None]]

Row: TypeAlias = dict[str, Any]

#: Of servers that run on the record, and (`day`, `reindex`, `rewrite`, `row_count`) of the engine and the index it has.
_STAYING = frozenset(
    {"bucket", "day", "dirty", "fence", "lease", "reindex", "report", "rewrite", "row_count", "sign_in"}
)
#: Rows of `schema`: which index was filled from the record, and what is known of a move (:mod:`~.moves`).
_STAYING_ROWS = frozenset({"index", "moving"})

_DEFINED = re.compile(r"DEFINE TABLE IF NOT EXISTS (\w+)( TYPE RELATION)?")
_RELATIONS = frozenset(name for name, relation in _DEFINED.findall(schema("")) if relation)

_FEW, _MANY = 16, 200  # rows in a chunk: a remote engine takes the square of the time for more in one transaction
_CHUNK = 2**20  # bytes, about
_KEYS = 10_000  # read at once: to skip one takes the engine 2 µs, to read its row 50
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
        fresh = await is_empty(target, table)
        async for chunk in chunks(source, table):
            sums.add(chunk.encoded)
            await (insert(target, table, chunk.rows) if fresh else replace(target, table, chunk))
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
    start, limit = 0, _FEW
    while keys := await _keys(db, table, start):
        start += len(keys)
        while keys:
            first, last, keys = keys[0], keys[:limit][-1], keys[limit:]
            found = await db.one("SELECT * FROM $range", {"range": range_of(table, first, last)})
            rows = [row for row in found if _travels(table, key_of(row["id"]))]
            chunk = Chunk(rows, [canonical(row) for row in rows])
            yield chunk
            size = sum(map(len, chunk.encoded)) or 1
            limit = max(1, min(_MANY, 2 * limit, len(rows) * _CHUNK // size))


async def _keys(db: Connection, table: str, start: int) -> list[Any]:
    """Return some keys, in order, but so many first ones.

    Not those behind the last one that is known: a range with a limit is read to its end by the engine, each time.
    """
    found: list[Any] = await db.one(f"SELECT VALUE record::id(id) FROM {table} LIMIT {_KEYS} START {start}")  # noqa: S608 - no values
    return found


def _travels(table: str, key: Any) -> bool:
    return table != "schema" or key not in _STAYING_ROWS


async def is_empty(db: Connection, table: str) -> bool:
    """Return whether the table has no row."""
    return not await db.one(f"SELECT VALUE id FROM {table} LIMIT 1")  # noqa: S608 - no values


async def insert(db: Connection, table: str, rows: list[Row]) -> None:
    """Write rows that are not there.

    Raises:
        Conflict: one is there.
    """
    what = "RELATION INTO" if table in _RELATIONS else "INTO"
    await db.run(f"INSERT {what} {table} $rows RETURN NONE", {"rows": rows})


async def replace(target: Connection, table: str, chunk: Chunk) -> None:
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
    start = 0
    while keys := await _keys(target, table, start):
        others = {canonical(key): record(table, key) for key in keys if _travels(table, key)}
        for some in _batches([*others.values()]):
            for known in await source.one("SELECT VALUE id FROM array::distinct($ids) WHERE id != NONE", {"ids": some}):
                others.pop(canonical(key_of(known)), None)
        for some in _batches([*others.values()]):
            await target.run("DELETE $ids RETURN NONE", {"ids": some})
        start += len(keys) - len(others)


def _batches(refs: list[Any]) -> Iterator[list[Any]]:
    return (refs[i : i + _MANY] for i in range(0, len(refs), _MANY))
