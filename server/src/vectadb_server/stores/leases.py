"""What only one server may do at a time: leases in ``meta``, and fences that shut out a holder whose lease ran out.

A lease ends by the record store's clock, so that those of the servers need not agree; its holder stops believing in it
no later, by its own monotonic clock, counted from before it asked. That does not keep a process from writing that was
paused after it looked. So each lease that changes hands has a larger token. The holder plants it in a day's database
before it does anything there, and each of its transactions *writes* the fence that it must find with its own token: the
late one's transaction meets another write, or another token, and nothing of it is done.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import Conflict, insisted, record
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from vectadb_server.stores.engine import Connection
    from vectadb_server.stores.segments import Segments

TTL = 3.0
"""Seconds that a lease lasts without being renewed."""

Stage = Literal["apply", "search"]
"""The indexer's two loops; each has a fence of its own, so that they do not meet each other."""

_STAGES: tuple[Stage, ...] = ("apply", "search")
_WORD = "another server holds the lease"
_NOW = "time::millis(time::now())"
_TAKE = (
    "UPSERT $ref SET token = IF holder = $me THEN token ELSE (token ?? 0) + 1 END, holder = $me, "
    f"until = {_NOW} + $ttl WHERE holder = NONE OR holder = $me OR until < {_NOW} RETURN VALUE token"
)
_PLANT = "UPSERT $ref SET token = $number, n = (n ?? 0) + 1 WHERE token = NONE OR token <= $number RETURN VALUE token"

_CHECK = (
    "LET $mine = (UPDATE $fence SET n += 1 WHERE token = $number RETURN VALUE token); "
    "IF array::len($mine) = 0 { THROW $fenced }"
)


class Fenced(StoreUnavailable):
    """Another server holds the lease by now; nothing was written."""


class Lease:
    """One server's side of the lease of that name; ``holder`` is unlike that of any other server."""

    def __init__(self, segments: Segments, name: str, holder: str) -> None:
        self._segments = segments
        self._ref = record("lease", name)
        self._holder = holder
        self._until = 0.0
        self._token = 0

    @property
    def token(self) -> int | None:
        """The token, while the lease is certainly ours."""
        return self._token if asyncio.get_running_loop().time() < self._until else None

    async def take(self) -> int | None:
        """Take the lease or renew it; return the token, ``None`` while another server has it.

        Raises:
            StoreUnavailable: the record store does not answer. The lease may still be ours.
        """
        asked = asyncio.get_running_loop().time()
        async with self._segments.use(META) as meta:
            values = {"ref": self._ref, "me": self._holder, "ttl": round(TTL * 1000)}
            try:
                found = await meta.one(_TAKE, values)
            except Conflict:  # Somebody else was at it.
                return self.token
        if found:
            self._token, self._until = found[0], asked + TTL
        else:
            self._until = 0.0
        return self.token

    async def release(self) -> None:
        """Give it back, if it is ours: another server may have it at once.

        Raises:
            StoreUnavailable: the record store does not answer; the lease runs out by itself.
        """
        self._until = 0.0
        async with self._segments.use(META) as meta:
            await insisted(
                meta, "UPDATE $ref SET until = 0 WHERE holder = $me RETURN NONE", {"ref": self._ref, "me": self._holder}
            )


class Fence:
    """What the holder of one token says with each of its writes."""

    def __init__(self, token: int) -> None:
        self._token = token
        self._planted: set[str] = set()

    async def plant(self, day: str, db: Connection) -> None:
        """Shut out earlier holders from the day, before its lists are read for the first time.

        Raises:
            Fenced: a later holder has shut us out.
        """
        if day in self._planted:
            return
        for stage in _STAGES:
            [found] = await insisted(db, _PLANT, {"ref": record("fence", stage), "number": self._token})
            if not found:
                raise Fenced(_WORD)
        self._planted.add(day)

    async def run(self, db: Connection, stage: Stage, sql: str, values: dict[str, Any]) -> None:
        """Run the statements in one transaction, if nobody has shut us out.

        Raises:
            Fenced: somebody has; nothing was done.
            Conflict: somebody writes the same rows; do it again.
        """
        ours = {"fence": record("fence", stage), "number": self._token, "fenced": _WORD}
        try:
            await db.run(f"BEGIN; {_CHECK}; {sql}; COMMIT;", {**values, **ours})
        except Conflict as error:
            if _WORD in str(error):
                raise Fenced(_WORD) from None
            raise
