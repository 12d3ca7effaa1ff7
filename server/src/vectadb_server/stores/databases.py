"""Segments as databases of a SurrealDB server, which several of us may use at once.

Which days there are stands in ``meta``, in the table ``day``, with the bounds of their times in whole hours, so that a
day's row is written about once an hour. A row is written after the day's database was made, and removed before that is.
In this process stay only open sessions (the least recently used are closed), and bounds that were read or written
within the last `TRUSTED` seconds: bounds only grow.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from typing import TYPE_CHECKING, Any

from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import Connection, insisted, key_of, record
from vectadb_server.stores.remote import Address, Session
from vectadb_server.stores.segments import META, check_version, schema

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

#: Seconds for which a day that was seen is taken to be there, and its bounds to be as wide.
TRUSTED = 1.0
_HOUR = 3_600_000_000


class Databases:
    """At most ``limit`` days' sessions stay open while nobody uses them."""

    def __init__(self, address: Address, *, limit: int = 16) -> None:
        self._address = address
        self._limit = limit
        self._open: dict[str, tuple[Session, Connection]] = {}  # least recently used first
        self._users: dict[str, int] = {}
        self._turns: dict[str, asyncio.Lock] = {}
        self._seen: dict[str, tuple[float, tuple[int, int] | None]] = {}

    @property
    def shared(self) -> bool:
        """Other servers may use it."""
        return True

    @property
    def open_days(self) -> int:
        """See :class:`~.segments.Segments`."""
        return len(self._open.keys() - {META})

    async def start(self) -> None:
        """Open ``meta``.

        Raises:
            StoreUnavailable: it cannot be reached, refuses us, or a newer version wrote it.
        """
        try:
            async with self.use(META) as meta:
                await insisted(meta, schema(META))
                await check_version(meta, str(self._address))
        except BaseException:
            await self.stop()
            raise

    async def days(self) -> list[str]:
        """See :class:`~.segments.Segments`."""
        return sorted(await self._listed())

    async def has(self, day: str) -> bool:
        """See :class:`~.segments.Segments`: that a day was dropped is noticed after a second."""
        return self._trusted(day) is not None or day in await self._listed()

    @contextlib.asynccontextmanager
    async def use(self, name: str, *, make: bool = False) -> AsyncIterator[Connection]:
        """See :class:`~.segments.Segments`."""
        if not make and name != META and not await self.has(name):
            raise StoreUnavailable(f"{name} was dropped meanwhile")
        self._users[name] = self._users.get(name, 0) + 1
        try:
            async with self._turns.setdefault(name, asyncio.Lock()):
                held = self._open.pop(name, None)
                if held is None or held[0].broken is not None:
                    held = await self._connect(name, make=make)
                self._open[name] = session, connection = held
            try:
                yield connection
            except StoreUnavailable:
                # The session may be broken, or another server has dropped the day: look again.
                if (held := self._open.get(name)) is not None and held[0] is session:
                    del self._open[name]
                    await asyncio.shield(connection.close())
                self._seen.pop(name, None)
                raise
        finally:
            self._users[name] -= 1
            if not self._users[name]:
                del self._users[name]
            await asyncio.shield(self._close_idle())

    async def bounds(self, among: Collection[str] | None = None) -> dict[str, tuple[int, int]]:
        """See :class:`~.segments.Segments`."""
        listed = await self._listed()
        return {day: found for day, found in listed.items() if found is not None and (among is None or day in among)}

    async def widen(self, day: str, least: int, most: int) -> None:
        """See :class:`~.segments.Segments`."""
        trusted = self._trusted(day)
        known = trusted[1] if trusted is not None else None
        if known is not None and known[0] <= least and most <= known[1]:
            return
        wide = least // _HOUR * _HOUR, (most // _HOUR + 1) * _HOUR
        async with self.use(day, make=True):  # Made, if it is absent, before it is listed.
            pass
        values = {"ref": record("day", day), "least": wide[0], "most": wide[1]}
        async with self.use(META) as meta:
            results = await insisted(
                meta,
                "UPDATE $ref SET least = math::min([least ?? $least, $least]), "
                "most = math::max([most ?? $most, $most]) RETURN least, most",
                values,
            )
        if not results[0]:
            # Dropped by another server a moment ago, and the session is of what was there.
            await self._forget(day)
            raise StoreUnavailable(f"{day} was dropped meanwhile; send the same again")
        self._see(day, results[0][0])

    async def drop(self, day: str) -> int:
        """See :class:`~.segments.Segments`. How much room it took, the server does not say."""
        async with self.use(META) as meta:
            await insisted(meta, "DELETE $ref RETURN NONE", {"ref": record("day", day)})
            await self._forget(day)
            await insisted(meta, f"REMOVE DATABASE IF EXISTS `{self._database(day)}`")
        return 0

    async def rewrite(self, day: str) -> int | None:
        """See :class:`Segments`: a server compacts by itself."""
        return 0

    async def stop(self) -> None:
        """Close all."""
        for name in list(self._open):
            await self._open.pop(name)[1].close()

    # ---- what is listed ----

    async def _listed(self) -> dict[str, tuple[int, int] | None]:
        async with self.use(META) as meta:
            rows = await meta.one("SELECT id, least, most FROM day")
        listed = {key_of(row["id"]): _bounds(row) for row in rows}
        for name in self._seen.keys() - listed.keys():
            self._seen.pop(name, None)
        for row in rows:
            self._see(key_of(row["id"]), row)
        return listed

    def _see(self, day: str, row: dict[str, Any]) -> None:
        self._seen[day] = asyncio.get_running_loop().time() + TRUSTED, _bounds(row)

    def _trusted(self, day: str) -> tuple[float, tuple[int, int] | None] | None:
        seen = self._seen.get(day)
        return seen if seen is not None and seen[0] > asyncio.get_running_loop().time() else None

    # ---- sessions ----

    def _database(self, name: str) -> str:
        return f"{self._address.prefix}_{name.replace('-', '_')}"

    async def _connect(self, name: str, *, make: bool) -> tuple[Session, Connection]:
        session = await Session.opened(self._address, self._database(name))
        connection = Connection(session)
        try:
            if name != META:
                await self._make(name, connection, make=make)
        except BaseException:
            await connection.close()
            raise
        return session, connection

    async def _make(self, day: str, connection: Connection, *, make: bool) -> None:
        """Make the day's tables and list it, unless it is, with these very tables.

        Raises:
            StoreUnavailable: it is not listed, and nobody asked for it to be made.
        """
        version = zlib.crc32(schema(day).encode())
        ref = record("day", day)
        async with self.use(META) as meta:
            found = await meta.one("SELECT VALUE schema FROM array::distinct($ids) WHERE id != NONE", {"ids": [ref]})
        # What fails from here on is no failure of the session before, which others use.
        if found == [version]:
            return
        if not (found or make):  # since it was looked at: listed again, it would be there for ever, and empty
            raise StoreUnavailable(f"{day} was dropped meanwhile")
        await insisted(connection, schema(day))
        async with self.use(META) as meta:
            await insisted(meta, "UPSERT $ref SET schema = $version RETURN NONE", {"ref": ref, "version": version})

    async def _forget(self, day: str) -> None:
        self._seen.pop(day, None)
        if (held := self._open.pop(day, None)) is not None:
            await held[1].close()

    async def _close_idle(self) -> None:
        idle = [name for name in self._open if name != META and name not in self._users]
        for name in idle[: max(0, len(self._open) - self._limit - 1)]:
            if (held := self._open.pop(name, None)) is not None:
                await held[1].close()


def _bounds(row: dict[str, Any]) -> tuple[int, int] | None:
    return None if row.get("least") is None else (row["least"], row["most"])
