"""What is not taken any more, as each server knows it: as it stood in the record at most `TRUSTED` seconds ago."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Self

import msgspec

from vectadb_server.stores import horizon, tombstones
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.horizon import Horizon

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from vectadb_server.stores.segments import Segments

TRUSTED = 2.0
"""Seconds for which a server goes by what it has read."""
_REFRESH = 1.0


class Expired(msgspec.Struct, frozen=True):
    """What is not taken at one moment. ``erased``: traces, with the days in which something of them is known."""

    horizon: Horizon = Horizon()
    erased: Mapping[str, frozenset[str]] = {}


_NOTHING = Expired()


async def nothing_expired() -> Expired:
    """Return that all is taken."""
    return _NOTHING


class Expiry:
    """One for each server: ``async with Expiry(segments) as expiry`` keeps it fresh."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments
        self._known = Expired()
        self._version = ""
        self._until = 0.0
        self._turn = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start.

        Raises:
            StoreUnavailable: the record does not answer.
        """
        await self.refresh()
        self._task = asyncio.create_task(self._refresh_loop(), name="reading the horizon")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def horizon(self) -> int:
        """Return the record time before which nothing is held, microseconds, as it was read last."""
        return self._known.horizon.every

    async def current(self) -> Expired:
        """Return what is not taken, at most :data:`TRUSTED` seconds old.

        Raises:
            StoreUnavailable: the record does not answer.
        """
        if asyncio.get_running_loop().time() > self._until:
            await self.refresh()
        return self._known

    async def refresh(self) -> None:
        """Read it now.

        Raises:
            StoreUnavailable: the record does not answer.
        """
        asked = asyncio.get_running_loop().time()
        async with self._turn:
            if self._until - TRUSTED > asked:
                return  # Somebody else has, since we asked.
            begun = asyncio.get_running_loop().time()
            # The version first: what is written meanwhile is read again.
            version = await tombstones.version(self._segments)
            erased = self._known.erased
            if version != self._version:
                erased = await tombstones.read(self._segments)
            self._known, self._version = Expired(await horizon.read(self._segments), erased), version
            self._until = begun + TRUSTED

    async def _refresh_loop(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH)
            with contextlib.suppress(StoreUnavailable):  # Whoever must know asks himself, and hears of it.
                await self.refresh()
