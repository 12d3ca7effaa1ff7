"""The files of embedded databases as they are at one moment, while the engine goes on writing.

What the engine has put in order (sstables) it never changes: it is linked. The rest (log, manifest) it appends to or
replaces: of that the first so many bytes are copied, as many as there were. So a snapshot is what a crash at that
moment would have left, which the engine opens: every commit that was acknowledged is in it, and none is in part.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import connect
from vectadb_server.stores.segments import schema
from vectadb_server.stores.space import Space

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from vectadb_server.stores.engine import Connection

_TRIES = 100
_LOCK = "LOCK"  # the engine's, of a directory that it has open
_FINAL = "sstables/"


class Snapshot(msgspec.Struct):
    """A database as it was at one moment, in ``folder``. Of ``growing`` files only the first so many bytes count.

    ``least``: bytes to be left free on the disk.
    """

    name: str
    folder: str
    growing: dict[str, int]
    least: int

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Connection]:
        """Open it; it is gone at the end.

        Raises:
            StoreFull: there is no room for a copy of its log.
            CannotOpen: the engine cannot make sense of it.
        """
        # Closing it writes its log once more, put in order.
        Space(Path(self.folder), self.least).check(2 * sum(self.growing.values()))
        await asyncio.to_thread(self._cut)
        connection = await connect(f"surrealkv://{self.folder}", "vectadb", "record")
        try:
            await connection.run(schema(self.name))  # It may have been made by an older version.
            yield connection
        finally:
            await asyncio.shield(connection.close())
            await asyncio.to_thread(shutil.rmtree, self.folder, ignore_errors=True)

    def _cut(self) -> None:
        """Replace the links to what grows by copies of the first so many bytes."""
        for name, size in self.growing.items():
            path = Path(self.folder, name)
            copy, left = path.with_name(f"{path.name}.copy"), size
            with path.open("rb") as old, copy.open("wb") as new:
                while left and (some := old.read(min(left, 2**20))):
                    left -= new.write(some)
            copy.replace(path)


def taken(name: str, source: Path, target: Path, least: int) -> Snapshot:
    """Take a snapshot of the database in ``source``, without waiting for anybody: milliseconds.

    Raises:
        StoreUnavailable: the engine replaces files again and again, or the file system has no links.
    """
    for _ in range(_TRIES):
        shutil.rmtree(target, ignore_errors=True)
        try:
            before = _files(source)
            growing = _linked(source, target, before)
            # Files are made, replaced and removed, but never come back: so these were all there were, at one time.
            if _files(source) == before:
                return Snapshot(name, str(target), growing, least)
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreUnavailable(
                f"{target}: the files of the record cannot be linked there ({error.strerror}), so that a running "
                "server cannot be backed up. Next: stop it, and copy the data directory"
            ) from None
    raise StoreUnavailable(f"{source}: its files change all the time. Next: try again")


def _linked(source: Path, target: Path, files: Mapping[str, int]) -> dict[str, int]:
    """Link the files; return those that grow, with their present size."""
    growing: dict[str, int] = {}
    for folder in {os.path.dirname(name) for name in files}:  # noqa: PTH120 - many, in the event loop
        (target / folder).mkdir(parents=True, exist_ok=True)
    for name in files:
        os.link(source / name, target / name)
        if not name.startswith(_FINAL):
            growing[name] = os.stat(target / name).st_size  # noqa: PTH116
    return growing


def _files(folder: Path) -> dict[str, int]:
    """Inode of each file, by its path within the folder."""
    found: dict[str, int] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                found |= {f"{entry.name}/{name}": inode for name, inode in _files(folder / entry.name).items()}
            elif entry.name != _LOCK:
                found[entry.name] = entry.inode()
    return found
