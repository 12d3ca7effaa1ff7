"""Moving the record of a data directory to a SurrealDB server: copied day by day, and compared by digest.

Broken off anywhere it goes on: what is equal already is not copied again. Until it is through no server starts on the
target; the directory stays as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from vectadb_server import ids
from vectadb_server.stores import moves
from vectadb_server.stores.copying import copy, fingerprint, travelling
from vectadb_server.stores.moves import Move
from vectadb_server.stores.segments import META
from vectadb_server.stores.targets import CannotTake, empty, opened, settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectadb_server.stores.copying import Mark
    from vectadb_server.stores.databases import Databases
    from vectadb_server.stores.directories import Directories
    from vectadb_server.stores.engine import Connection
    from vectadb_server.stores.remote import Address

    Told: TypeAlias = Callable[[str, "Stage", int], None]
    Marks: TypeAlias = dict[str, Mark]

Stage = Literal["comparing", "copying", "verifying"]


class NotEqual(Exception):
    """Target and source differ; the text says where and what to do."""


class Migrated(msgspec.Struct, kw_only=True):
    """What was moved. ``copied``: the databases that were not equal before; ``rows``: of all."""

    days: list[str]
    rows: int = 0
    copied: list[str] = []


async def migrate(source: Directories, address: Address, told: Told) -> Migrated:
    """Copy everything, and compare it. ``told`` hears of each row twice: as it is copied or compared, and verified.

    Raises:
        CannotTake: the target holds a record that is not of this migration, or a server runs on it.
        NotEqual: the target is not what was written; or it was migrated to before, and both have gone their own ways.
        StoreUnavailable: an engine does not answer; the same again goes on.
        Conflict: somebody else writes to the target.
    """
    identity = await _identity(source)
    async with opened(address) as (target, move):
        if move is None and not await empty(target):
            raise CannotTake(f"{address}: there is a record already. Next: give another --database or --namespace")
        if move is not None and (move.kind, move.source) != ("migration", identity):
            whose = "of another data directory" if move.kind == "migration" else "of a backup"
            raise CannotTake(
                f"{address}: the record there is a copy {whose}. Next: give another --database or --namespace"
            )
        done = move is not None and move.done
        if not done:
            async with target.use(META) as meta:
                await moves.note(meta, Move(kind="migration", source=identity))
        moved = await _everything(source, target, told, write=not done)
        if not done:
            async with target.use(META) as meta:
                await moves.note_lost_index(meta)
                await moves.note(meta, Move(kind="migration", source=identity, done=True))
    return moved


async def counted(source: Directories) -> int:
    """Return the number of rows there are to move."""
    total = 0
    for name in [META, *await source.days()]:
        async with source.use(name) as db:
            for table in travelling(name):
                found = await db.one(f"SELECT count() AS n FROM {table} GROUP ALL")  # noqa: S608 - no values
                total += found[0]["n"] if found else 0
    return total


async def _identity(source: Directories) -> str:
    """Return what tells this record from others, made where it has none."""
    async with source.use(META) as meta:
        found = await meta.one("SELECT VALUE value FROM schema:identity")
        if found:
            return str(found[0])
        made = ids.uuid7()
        await meta.run("UPSERT schema:identity SET value = $made RETURN NONE", {"made": made})
        return made


async def _everything(source: Directories, target: Databases, told: Told, *, write: bool) -> Migrated:
    days = await source.days()
    there = set(await target.days())
    moved = Migrated(days=days)
    for day in there.difference(days):  # Dropped by the source since the migration was broken off.
        if not write:
            raise _apart(day)
        await target.drop(day)
    for name in [*days, META]:
        async with source.use(name) as one:
            marks = await _same(one, target, name, told) if name == META or name in there else None
            if marks is None:
                if not write:
                    raise _apart(name)
                marks = await _copied(one, target, name, told)
                moved.copied.append(name)
        if name != META:
            await settle(target, name, (await source.bounds([name])).get(name))
        moved.rows += sum(mark.rows for mark in marks.values())
    return moved


async def _same(source: Connection, target: Databases, name: str, told: Told) -> Marks | None:
    """Return what a database holds, if it is the same on both sides."""
    told(name, "comparing", 0)
    tables = travelling(name)
    async with target.use(name) as db:
        found = await fingerprint(db, tables)
    marks = await fingerprint(source, tables)
    if found != marks:
        return None
    told(name, "comparing", 2 * sum(mark.rows for mark in marks.values()))
    return marks


async def _copied(source: Connection, target: Databases, name: str, told: Told) -> Marks:
    async def copying(_table: str, rows: int) -> None:
        told(name, "copying", rows)

    async def verifying(_table: str, rows: int) -> None:
        told(name, "verifying", rows)

    tables = travelling(name)
    async with target.use(name, make=True) as db:
        marks = await copy(source, db, tables, copying)
        found = await fingerprint(db, tables, verifying)
    for table in tables:
        if found[table] != marks[table]:
            raise NotEqual(
                f"{name}: the table {table} is not read as it was written: {found[table].rows:,} rows instead of "
                f"{marks[table].rows:,}, or others. Next: run it again; does anybody else write there?"
            )
    return marks


def _apart(name: str) -> NotEqual:
    return NotEqual(
        f"everything was migrated before, and {name} differs since: servers have written to one of them, or to both. "
        "Nothing was copied. Next: go on with the one that you use; to migrate again give another --database"
    )
