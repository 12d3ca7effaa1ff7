"""A SurrealDB server as the place that a record is copied to."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from vectadb_server.stores.copying import is_empty, travelling
from vectadb_server.stores.databases import Databases
from vectadb_server.stores.engine import insisted
from vectadb_server.stores.moves import move_of
from vectadb_server.stores.segments import META, check_version, schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vectadb_server.stores.moves import Move
    from vectadb_server.stores.remote import Address
    from vectadb_server.stores.segments import Segments


class CannotTake(Exception):
    """Nothing may be copied there; the text says why and what to do."""


@contextlib.asynccontextmanager
async def opened(address: Address) -> AsyncIterator[tuple[Databases, Move | None]]:
    """Open the record there, made if absent, whole or not; yield it with what it says of a copy into it.

    Raises:
        CannotTake: a server runs on it.
        StoreUnavailable: it cannot be reached, refuses us, or a newer version wrote it.
    """
    databases = Databases(address)
    try:
        async with databases.use(META) as meta:
            await insisted(meta, schema(META))
            move = await move_of(meta)
            if move is None or move.done:
                await check_version(meta, str(address))
            if await meta.one("SELECT VALUE id FROM lease WHERE until > time::millis(time::now())"):
                raise CannotTake(f"{address}: a VectaDB server runs on it. Next: stop it, or give another --database")
        yield databases, move
    finally:
        await databases.stop()


async def empty(databases: Databases) -> bool:
    """Return whether nothing is recorded there: no day, no key."""
    if await databases.days():
        return False
    async with databases.use(META) as meta:
        return all([await is_empty(meta, table) for table in travelling(META) if table != "schema"])


async def emptied(databases: Databases) -> None:
    """Remove all that is there."""
    for day in await databases.days():
        await databases.drop(day)
    async with databases.use(META) as meta:
        # What says that it is no whole record goes last.
        for table in sorted(travelling(META), key="schema".__eq__):
            await insisted(meta, f"DELETE {table} RETURN NONE")


async def settle(target: Segments, day: str, bounds: tuple[int, int] | None) -> None:
    """Have the day be there, and be asked for times within its bounds (microseconds) at least."""
    async with target.use(day, make=True):
        pass
    if bounds is not None:
        await target.widen(day, *bounds)
