"""Making a record of a backup: in a data directory that has none, or on a SurrealDB server."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from typing import TYPE_CHECKING, Any

from vectadb_server import archive
from vectadb_server.archive import BadArchive
from vectadb_server.stores import copying
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.copying import travelling
from vectadb_server.stores.directories import Directories
from vectadb_server.stores.engine import unpacked
from vectadb_server.stores.moves import Move, note, note_lost_index
from vectadb_server.stores.segments import META, is_day
from vectadb_server.stores.space import sync, sync_tree
from vectadb_server.stores.targets import CannotTake, emptied, empty, opened, settle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from vectadb_server.archive import Manifest
    from vectadb_server.stores.copying import Row
    from vectadb_server.stores.databases import Databases
    from vectadb_server.stores.remote import Address
    from vectadb_server.stores.segments import Segments

    Told = Callable[[int], None]

_TEMPORARY = ".restoring"
_BATCH = 200  # rows in a transaction


@contextlib.asynccontextmanager
async def new_directory(data_dir: Path) -> AsyncIterator[Directories]:
    """Make a record that becomes that of ``data_dir`` at the end; nothing of it is left where it does not come to that.

    Raises:
        CannotTake: there is one already, or somebody else is restoring one there.
        OSError: the directory cannot be written.
    """
    with _beside(data_dir) as temporary:
        directories = Directories(temporary)
        await directories.start()
        try:
            yield directories
        finally:
            await directories.stop()
        _put(temporary, data_dir)


@contextlib.contextmanager
def _beside(data_dir: Path) -> Iterator[Path]:
    """Make room for a record beside that of ``data_dir``, which has none; what is still there at the end is removed."""
    record, room, new = data_dir / "record", data_dir / _TEMPORARY, not data_dir.exists()
    if record.exists() and any(record.iterdir()):
        raise CannotTake(f"{data_dir}: there is a record already. Next: give another --data-dir, or move it away")
    room.mkdir(parents=True, exist_ok=True)
    lock = os.open(room, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotTake(f"{data_dir}: another restore is under way there. Next: wait for its end") from None
        try:
            if (room / "record").exists():  # of one that was killed
                shutil.rmtree(room / "record")
            yield room / "record"
        finally:
            shutil.rmtree(room, ignore_errors=True)
            if new:
                with contextlib.suppress(OSError):
                    data_dir.rmdir()
    finally:
        os.close(lock)


def _put(made: Path, data_dir: Path) -> None:
    """Make it the record of the directory, durably."""
    sync_tree(made)
    try:
        made.rename(data_dir / "record")
    except OSError as error:
        raise CannotTake(f"{data_dir}: a record was begun there meanwhile ({error.strerror})") from None
    sync(data_dir)


@contextlib.asynccontextmanager
async def new_databases(address: Address) -> AsyncIterator[Databases]:
    """Make a record on a SurrealDB server; nothing of it is left where it does not come to its end.

    Raises:
        CannotTake: there is one already, or a server runs on it.
        StoreUnavailable: it cannot be reached.
    """
    async with opened(address) as (databases, move):
        if move is not None and move.kind == "restore" and not move.done:
            await emptied(databases)
        elif move is not None or not await empty(databases):
            raise CannotTake(f"{address}: there is a record already. Next: give another --database or --namespace")
        async with databases.use(META) as meta:
            await note(meta, Move(kind="restore"))
        try:
            yield databases
        except BaseException:
            with contextlib.suppress(StoreUnavailable):  # Then the next restore does it.
                await emptied(databases)
            raise
        async with databases.use(META) as meta:
            await note(meta, Move(kind="restore", done=True))


async def fill(target: Segments, file: Path, manifest: Manifest, told: Told = lambda rows: None) -> None:
    """Write all rows of the archive, and read them again; ``told`` hears of each row twice.

    Raises:
        BadArchive: the archive is not what it was when it was verified, or the engine gives something else back.
        StoreUnavailable: the engine failed.
    """
    bounds: dict[str, tuple[int, int]] = {}
    for part in archive.parts(file):
        rows = [unpacked(row) for row in part.rows]
        async with target.use(part.database, make=True) as db:
            fresh = await copying.is_empty(db, part.table)
            for i in range(0, len(rows), _BATCH):
                some = copying.Chunk(rows[i : i + _BATCH], part.rows[i : i + _BATCH])
                if part.database == META and not fresh:
                    await copying.replace(db, part.table, some)
                else:
                    await copying.insert(db, part.table, some.rows)
                told(len(some.rows))
        if part.table == "event":
            _widen(bounds, part.database, rows)
    for name, held in manifest.items():
        if is_day(name):
            await settle(target, name, bounds.get(name))
        async with target.use(name, make=True) as db:

            async def tell(_table: str, rows: int) -> None:
                told(rows)

            found = await copying.fingerprint(db, travelling(name), tell)
        if any(found[table] != mark for table, mark in held.items()):
            raise BadArchive(f"{name} is not read as it was written. Next: try again, and report it")
    async with target.use(META) as meta:
        await note_lost_index(meta)


def _widen(bounds: dict[str, tuple[int, int]], day: str, rows: list[Row]) -> None:
    times: list[Any] = [row["us"] for row in rows if "us" in row]
    if times:
        least, most = bounds.get(day, (times[0], times[0]))
        bounds[day] = min(least, *times), max(most, *times)
