"""Segments as directories of the engine in this process: one process at a time has them.

Days are opened when they are needed and closed when they have been idle the longest, so that memory follows the days
in use. What the engine keeps of an open day grows without a bound of its own: rows that are in its log only (1.4 KB an
event), and every block of its files that was ever read, up to half of the machine's memory. So days are also closed
when this process has more memory than it is to have.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
from typing import IO, TYPE_CHECKING

from vectadb_server.stores import copying, rows
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import NEVER, Connection, connect, log_size
from vectadb_server.stores.memory import anonymous, give_back
from vectadb_server.stores.segments import META, MIN_FREE, check_version, is_day, schema
from vectadb_server.stores.snapshots import Snapshot, taken
from vectadb_server.stores.space import Space, disk_usage, sync, sync_tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection
    from pathlib import Path

_SNAPSHOT = ".snapshot"
_DROPPED, _FRESH, _REPLACED = "dropped-", "fresh-", "replaced-"
#: Seconds for which those are waited for who use a day that is to be dropped.
PATIENCE = 5.0
#: The same, of a day that is only to be replaced: who asks for it waits as well.
MOMENT = 0.5
#: Anonymous memory of this process, bytes, above which days are closed, unless the settings say otherwise.
MEMORY = 1240 * 2**20
#: Bytes of its log from which on a database is closed that is written in, which takes 4 ms a megabyte. Not much sooner:
#: where four logs were put in order one by one, opening puts these together first, 3 s for half a million events.
LONG_LOG = 400 * 2**20
#: Seconds after its last write from which on a day may be closed for the sake of memory, and between two times that one
#: is of which the log has more bytes than opening it leaves there: each time adds to what is to be put together.
QUIET, SELDOM, SOME_LOG = 10.0, 600.0, 2**16
#: Seconds between two looks at logs and memory, and until what could not be done, or did not suffice, is tried again.
LOOK, LOOK_LATER = 0.25, 10.0


class Directories:
    """The open databases. At most ``limit`` days stay open while nobody uses them."""

    def __init__(self, root: Path, *, limit: int = 8, min_free: int = MIN_FREE, memory: int = MEMORY) -> None:
        self._root = root
        self._limit = limit
        self._memory = memory
        self._looked = self._look_at = self._relieve_at = 0.0
        # Until when those are let alone that could not be closed, and those that were, where little is in their log.
        self._in_use: dict[str, float] = {}
        self._reopened: dict[str, float] = {}
        self._relieving: asyncio.Task[None] | None = None
        self._space = Space(root, min_free)
        # Days are dropped to make room, which is noted in `meta`: so that is written for longer than the others.
        self._meta_space = Space(root, min_free // 4)
        self._lock_file: IO[str] | None = None
        self._open: dict[str, Connection] = {}  # least recently used first
        self._users: dict[str, int] = {}  # with those who wait for it
        self._lent: dict[str, int] = {}
        self._idle: dict[str, asyncio.Event] = {}  # of those that somebody waits for
        self._turns: dict[str, asyncio.Lock] = {}
        self._days: set[str] = set()
        self._bounds: dict[str, tuple[int, int] | None] = {}
        self._written: dict[str, int] = {}  # writes in days that are to be written anew, when that was asked for last

    @property
    def shared(self) -> bool:
        """Nobody else has the directory."""
        return False

    @property
    def open_days(self) -> int:
        """See :class:`Segments`."""
        return len(self._open.keys() - {META})

    async def start(self) -> None:
        """Take the data directory and open ``meta``.

        Raises:
            StoreUnavailable: another server has it, a newer version wrote it, or it cannot be written.
        """
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            self._lock()
            self._restore()
            for path in (*self._root.glob(f"{_DROPPED}*"), *self._root.glob(f"{_FRESH}*")):
                shutil.rmtree(path, ignore_errors=True)
            await asyncio.to_thread(self.forget_snapshot)
            self._days = {path.name for path in self._root.iterdir() if is_day(path.name)}
            async with self.use(META) as meta:
                await check_version(meta, str(self._root))
        except OSError as error:
            self._unlock()
            raise StoreUnavailable(
                f"{self._root}: cannot be written ({error.strerror}); give another --data-dir"
            ) from None
        except StoreUnavailable:
            await self.stop()
            raise

    async def days(self) -> list[str]:
        """See :class:`Segments`."""
        return sorted(self._days)

    async def has(self, day: str) -> bool:
        """See :class:`Segments`."""
        return day in self._days

    @contextlib.asynccontextmanager
    async def use(self, name: str, *, make: bool = False) -> AsyncIterator[Connection]:
        """See :class:`Segments`."""
        self._users[name] = self._users.get(name, 0) + 1
        try:
            async with self._turns.setdefault(name, asyncio.Lock()):
                if not make and name != META and name not in self._days:
                    raise StoreUnavailable(f"{name} was dropped meanwhile")
                connection = self._open.pop(name, None) or await self._connect(name)
                self._open[name] = connection
                self._lent[name] = self._lent.get(name, 0) + 1
            try:
                yield connection
            finally:
                self._give_back(name)
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]
            if len(self._open) > self._limit + 1:
                await asyncio.shield(self._close_idle())
            self._mind_memory()

    async def bounds(self, among: Collection[str] | None = None) -> dict[str, tuple[int, int]]:
        """See :class:`Segments`."""
        days = self._days if among is None else self._days.intersection(among)
        found = {day: await self._bounds_of(day) for day in sorted(days)}
        return {day: each for day, each in found.items() if each is not None}

    async def widen(self, day: str, least: int, most: int) -> None:
        """See :class:`Segments`."""
        known = await self._bounds_of(day, make=True)
        self._bounds[day] = (least, most) if known is None else (min(known[0], least), max(known[1], most))

    async def drop(self, day: str) -> int:
        """See :class:`Segments`."""
        folder, aside = self._root / day, self._root / f"{_DROPPED}{day}"
        async with self._alone(day, PATIENCE):
            await self._close(day)
            self._days.discard(day)
            self._bounds.pop(day, None)
            if not folder.exists():
                return 0
            # At once: half a directory is nothing that could be opened.
            await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)
            folder.rename(aside)
        size = await asyncio.to_thread(disk_usage, aside)
        await asyncio.to_thread(shutil.rmtree, aside, ignore_errors=True)
        return size

    async def rewrite(self, day: str) -> int | None:
        """See :class:`Segments`: rows that are gone leave their space only with their directory.

        What there is is copied into a new one, and compared, while the old one serves; it takes the other's place if
        nothing was written meanwhile.
        """
        fresh = self._root / f"{_FRESH}{day}"
        async with self.use(day) as source:
            writes = source.writes
            if self._written.get(day) != writes:
                self._written[day] = writes
                return None
            try:
                await self._copied(day, source, fresh)
            except BaseException:
                await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
                raise
        folder, aside = self._root / day, self._root / f"{_REPLACED}{day}"
        try:
            async with self._alone(day, MOMENT):
                if self._open.get(day) is not source or source.writes != writes:
                    return None
                await self._close(day)
                # Nothing is awaited between the two: a snapshot finds the one or the other.
                folder.rename(aside)
                try:
                    fresh.rename(folder)
                except OSError:
                    aside.rename(folder)  # Else the next who asks for the day would make an empty one.
                    raise
        finally:
            await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        return await asyncio.to_thread(self._let_go, aside, folder)

    def _let_go(self, aside: Path, folder: Path) -> int:
        """Remove a directory that another has replaced, once that is durable; return the bytes that this gives back."""
        sync(self._root)
        freed = disk_usage(aside) - disk_usage(folder)
        shutil.rmtree(aside, ignore_errors=True)
        return max(0, freed)

    async def _copied(self, day: str, source: Connection, fresh: Path) -> None:
        tables = copying.travelling(day)
        await asyncio.to_thread(shutil.rmtree, fresh, ignore_errors=True)
        target = await connect(f"surrealkv://{fresh}", "vectadb", "record", self._space)
        try:
            await target.run(schema(day))
            if await copying.copy(source, target, tables) != await copying.fingerprint(target, tables):
                raise StoreUnavailable(
                    f"{fresh}: what was copied there is not what {day} holds; it is tried again later"
                )
        finally:
            await asyncio.shield(target.close())
        await asyncio.to_thread(sync_tree, fresh)

    def _restore(self) -> None:
        """Undo a replacement that a crash interrupted; where the new directory is in its place, the old one goes."""
        for aside in self._root.glob(f"{_REPLACED}*"):
            folder = self._root / aside.name.removeprefix(_REPLACED)
            if folder.exists():
                shutil.rmtree(aside, ignore_errors=True)
            else:
                aside.rename(folder)

    @contextlib.asynccontextmanager
    async def _alone(self, day: str, patience: float) -> AsyncIterator[None]:
        """Have a day that is lent to nobody; who asks for it meanwhile, waits.

        Raises:
            StoreUnavailable: somebody goes on using it for so many seconds.
        """
        async with self._turns.setdefault(day, asyncio.Lock()):
            idle = self._idle[day] = asyncio.Event()
            try:
                if self._lent.get(day):
                    async with asyncio.timeout(patience):
                        await idle.wait()
            except TimeoutError:
                raise StoreUnavailable(f"{day} is in use; it is tried again later") from None
            finally:
                del self._idle[day]
            yield

    def _give_back(self, name: str) -> None:
        self._lent[name] -= 1
        if not self._lent[name]:
            del self._lent[name]
            if name in self._idle:
                self._idle[name].set()

    async def _close(self, name: str) -> None:
        if (connection := self._open.pop(name, None)) is not None:
            await connection.close()

    def snapshot(self) -> list[Snapshot]:
        """Take a snapshot of every database, as all of them are at this moment; there is one set of them at a time.

        Nothing is awaited: so no commit is in it that was begun, by anybody in this process, when another that is not
        in it was done.

        Raises:
            StoreUnavailable: it cannot be taken.
        """
        to, least = (self._root / _SNAPSHOT).absolute(), int(self._space.least)
        return [taken(name, self._root / name, to / name, least) for name in (META, *sorted(self._days))]

    def forget_snapshot(self) -> None:
        """Remove what is left of it, also where a server was killed that had one."""
        shutil.rmtree(self._root / _SNAPSHOT, ignore_errors=True)

    async def stop(self) -> None:
        """Close all and give the directory back."""
        if self._relieving is not None:
            await asyncio.wait([self._relieving])
        for name in list(self._open):
            await self._open.pop(name).close()
        self._unlock()

    async def _connect(self, name: str) -> Connection:
        known = (self._root / name).exists()
        space = self._meta_space if name == META else self._space
        connection = await connect(f"surrealkv://{self._root / name}", "vectadb", "record", space)
        try:
            if not known or space.free() >= space.least:  # On a full disk what there is can still be read.
                await connection.run(schema(name))
                connection.written = NEVER
        except BaseException:
            await asyncio.shield(connection.close())
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

    def _mind_memory(self) -> None:
        """Look now and then whether databases are to be closed for their memory; nobody waits for it."""
        now = time.monotonic()
        if self._relieving is not None or now < self._look_at:
            return
        written = [name for name, connection in self._open.items() if connection.written >= self._looked]
        self._looked, self._look_at = now, now + LOOK
        long = [name for name in written if log_size(self._root / name) >= LONG_LOG]
        if long or (anonymous() > self._memory and now >= self._relieve_at):
            self._relieving = asyncio.create_task(self._relieve(long), name="giving memory back")

    async def _relieve(self, long: list[str]) -> None:
        """Close those with a long log, then quiet days until this process has no more memory than it is to have."""
        try:
            for name in long:
                await self._let_close(name)
            recent = time.monotonic() - QUIET
            quiet = [(each.since, name) for name, each in self._open.items() if each.written < recent and name != META]
            for _, name in sorted(quiet):  # What has been open for longest has most to give.
                if anonymous() <= self._memory:
                    return
                await self._let_close(name)
            if anonymous() > self._memory:
                # What is left is not the days', or in use: to close them again and again would help nobody.
                self._relieve_at = time.monotonic() + LOOK_LATER
        finally:
            self._relieving = None

    async def _let_close(self, name: str) -> None:
        """Close a database, unless somebody goes on using it, or there is no room for closing and opening it again."""
        now, log = time.monotonic(), log_size(self._root / name)
        if name not in self._open or now < self._in_use.get(name, now):
            return
        if SOME_LOG < log < LONG_LOG and now < self._reopened.get(name, now):
            return
        if self._space.free() < self._space.least + log:
            return
        self._in_use[name] = now + LOOK_LATER
        with contextlib.suppress(StoreUnavailable):  # Somebody goes on using it.
            async with self._alone(name, MOMENT):
                connection = self._open.get(name)
                if connection is None or connection.at_work:  # Nobody waits for that query any more, but it goes on.
                    return
                await self._close(name)
                del self._in_use[name]
                self._reopened[name] = now + SELDOM
            await asyncio.to_thread(give_back)

    async def _bounds_of(self, day: str, *, make: bool = False) -> tuple[int, int] | None:
        if day not in self._bounds:
            where = f"WITH INDEX event_newest WHERE nus >= {rows.LEAST} AND nus <= {-rows.LEAST} ORDER BY nus"
            async with self.use(day, make=make) as db:
                first, last = await db.run(
                    f"SELECT VALUE nus FROM event {where} LIMIT 1; SELECT VALUE nus FROM event {where} DESC LIMIT 1"  # noqa: S608 - no values
                )
            # While it was read, a commit may have said more.
            self._bounds.setdefault(day, (-last[0], -first[0]) if first else None)
        return self._bounds[day]

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
