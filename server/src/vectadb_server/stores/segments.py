"""Where the record's rows live: one database for each UTC day, and one, ``meta``, for what has no day.

Days are opened when they are needed and closed when they have been idle the longest, so that memory follows the days
in use, and a day that is over the horizon can be dropped as a whole.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shutil
from typing import IO, TYPE_CHECKING

from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import Connection, connect, log_size
from vectadb_server.stores.space import Space

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SCHEMA_VERSION = 2
META = "meta"
#: Bytes left free on the disk, unless the settings say otherwise.
MIN_FREE = 256 * 2**20

_DAY = re.compile(r"\d{4}-\d\d-\d\d")

# Columns that are indexed are integers and texts, never datetimes. `nus` is the negative of `us`: newest-first lists
# are then ascending scans. A stub is a row of `event` with `head` and without `us`, so that one key holds one row.
_DAY_SCHEMA = """
DEFINE TABLE IF NOT EXISTS event SCHEMALESS;
DEFINE TABLE IF NOT EXISTS extra SCHEMALESS;
DEFINE TABLE IF NOT EXISTS agent SCHEMALESS;
DEFINE TABLE IF NOT EXISTS boundary SCHEMALESS;
DEFINE TABLE IF NOT EXISTS digest SCHEMALESS;
DEFINE TABLE IF NOT EXISTS outbox SCHEMALESS;
DEFINE TABLE IF NOT EXISTS stale SCHEMALESS;
DEFINE TABLE IF NOT EXISTS pending SCHEMALESS;
DEFINE TABLE IF NOT EXISTS trace SCHEMALESS;
DEFINE TABLE IF NOT EXISTS causes TYPE RELATION SCHEMALESS;
DEFINE INDEX IF NOT EXISTS event_trace ON event FIELDS trace, us;
DEFINE INDEX IF NOT EXISTS event_newest ON event FIELDS nus;
DEFINE INDEX IF NOT EXISTS trace_newest ON trace FIELDS nstart;
DEFINE INDEX IF NOT EXISTS trace_session ON trace FIELDS session, nstart;
DEFINE INDEX IF NOT EXISTS trace_agent ON trace FIELDS agent, nstart;
"""
_META_SCHEMA = """
DEFINE TABLE IF NOT EXISTS schema SCHEMALESS;
DEFINE TABLE IF NOT EXISTS home SCHEMALESS;
DEFINE TABLE IF NOT EXISTS trace_days SCHEMALESS;
DEFINE TABLE IF NOT EXISTS reindex SCHEMALESS;
DEFINE TABLE IF NOT EXISTS tail SCHEMALESS;
"""


class Segments:
    """The open databases. At most ``limit`` days stay open while nobody uses them."""

    def __init__(self, root: Path, *, limit: int = 8, min_free: int = MIN_FREE) -> None:
        self._root = root
        self._limit = limit
        self._space = Space(root, min_free)
        # Days are dropped to make room, which is noted in `meta`: so that is written for longer than the others.
        self._meta_space = Space(root, min_free // 4)
        self._lock_file: IO[str] | None = None
        self._open: dict[str, Connection] = {}  # least recently used first
        self._users: dict[str, int] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._days: set[str] = set()

    async def start(self) -> None:
        """Take the data directory and open ``meta``.

        Raises:
            StoreUnavailable: another server has it, a newer version wrote it, or it cannot be written.
        """
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._lock()
            self._days = {path.name for path in self._root.iterdir() if _DAY.fullmatch(path.name)}
            async with self.use(META) as meta:
                await self._check_version(meta)
        except OSError as error:
            self._unlock()
            raise StoreUnavailable(
                f"{self._root}: cannot be written ({error.strerror}); give another --data-dir"
            ) from None
        except StoreUnavailable:
            await self.stop()
            raise

    def days(self) -> list[str]:
        """Return the days that have a database, ascending."""
        return sorted(self._days)

    def __contains__(self, day: str) -> bool:
        return day in self._days

    @contextlib.asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[Connection]:
        """Lend the database of a day, made if absent; it stays open for as long as it is lent."""
        self._users[name] = self._users.get(name, 0) + 1
        try:
            async with self._turns.setdefault(name, asyncio.Lock()):
                connection = self._open.pop(name, None) or await self._connect(name)
                self._open[name] = connection
            yield connection
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]
            if len(self._open) > self._limit + 1:
                await asyncio.shield(self._close_idle())

    async def drop(self, day: str) -> None:
        """Remove a day with everything in it and give the space back. Nobody may be using it."""
        async with self._turns.setdefault(day, asyncio.Lock()):
            connection = self._open.pop(day, None)
            if connection is not None:
                await connection.close()
            self._days.discard(day)
            await asyncio.to_thread(shutil.rmtree, self._root / day, ignore_errors=True)

    async def stop(self) -> None:
        """Close all and give the directory back."""
        for name in list(self._open):
            await self._open.pop(name).close()
        self._unlock()

    async def _connect(self, name: str) -> Connection:
        known = (self._root / name).exists()
        space = self._meta_space if name == META else self._space
        connection = await connect(f"surrealkv://{self._root / name}", "vectadb", "record", space)
        try:
            if not known or space.free() >= space.least:  # On a full disk what there is can still be read.
                await connection.run(_META_SCHEMA if name == META else _DAY_SCHEMA)
        except BaseException:
            await connection.close()
            raise
        if name != META:
            self._days.add(name)
        return connection

    async def _close_idle(self) -> None:
        for name in list(self._open):
            if len(self._open) <= self._limit + 1:
                return
            async with self._turns[name]:
                # What is closed may not be opened again on a full disk: rather more memory than that.
                if self._space.free() < self._space.least + log_size(self._root / name):
                    return
                if name != META and name not in self._users and name in self._open:
                    await self._open.pop(name).close()

    async def _check_version(self, meta: Connection) -> None:
        rows = await meta.one("SELECT VALUE version FROM schema:record")
        if not rows:
            await meta.run("CREATE schema:record SET version = $version RETURN NONE", {"version": SCHEMA_VERSION})
        elif rows[0] > SCHEMA_VERSION:
            raise StoreUnavailable(
                f"{self._root}: written by a newer VectaDB (schema {rows[0]}; this one reads up to {SCHEMA_VERSION}); "
                "install that version, or give another --data-dir"
            )

    def _lock(self) -> None:
        # Two processes can open one embedded database without an error, and the second reads stale rows.
        file = (self._root / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip() or "unknown"
            file.close()
            raise StoreUnavailable(
                f"{self._root}: another VectaDB server has it (process {owner}); "
                "stop that one, or give another --data-dir"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        self._lock_file = file

    def _unlock(self) -> None:
        if self._lock_file is not None:
            self._lock_file.close()
            self._lock_file = None
