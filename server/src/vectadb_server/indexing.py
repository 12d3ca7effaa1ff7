"""Indexing where several servers share the record: whichever holds the lease does it, the others stand by.

The one that indexes is told by rows in the record in which days there is something to do (a tenth of a second after the
commit), and looks at all days when it begins and every `SWEEP` seconds, since a server may die before it has told.
What another server had in hand stands on the record's lists; what it held in memory is made anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from vectadb_server.indexer import Indexer, Lag, lag_of
from vectadb_server.stores import announcements
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.leases import Fence, Lease

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from types import TracebackType

    from vectadb_server.stores.surreal import SurrealStore

_log = logging.getLogger(__name__)

RENEW = 0.5
"""Seconds between two attempts at having the lease, or renewing it."""
TELL = 0.1
"""Seconds between two times that the days with something to do are told and heard of."""
SWEEP = 30.0
_RELEASE = 2.0
_LOOK = 0.05


class Indexing:
    """``async with Indexing(store, work)``: runs ``work()`` while this server holds the lease."""

    def __init__(self, store: SurrealStore, work: Callable[[], AbstractAsyncContextManager[Indexer]]) -> None:
        self._store, self._work = store, work
        name = f"{socket.gethostname()}, process {os.getpid()}, {uuid.uuid4().hex}"
        self._lease = Lease(store.segments, "indexer", name)
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()
        self._indexer: Indexer | None = None
        self._token: int | None = None
        self._heard: dict[str, str] = {}
        self._swept = 0.0

    async def __aenter__(self) -> Self:
        """Start."""
        self._tasks = [asyncio.create_task(self._hold_loop()), asyncio.create_task(self._tell_loop())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop where it stands, and leave the lease to the others."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stand_down()
        with contextlib.suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(_RELEASE):
                await self._tell()
                await self._lease.release()

    @property
    def here(self) -> bool:
        """Whether it is this server that indexes."""
        return self._indexer is not None and self._lease.token is not None

    async def lag(self) -> Lag:
        """Return how far behind the server that indexes is."""
        days = {*await announcements.announced(self._store.segments), *self._store.unannounced}
        return await lag_of(self._store, days | self._indexer.days() if self._indexer is not None else days)

    async def wait_idle(self) -> None:
        """Return when everything that was ingested before the call is visible in traces and search."""
        while True:
            await self._tell()
            if self._indexer is not None:
                with contextlib.suppress(TimeoutError):  # It may have to stand down meanwhile.
                    async with asyncio.timeout(RENEW):
                        await self._indexer.wait_idle()
            lag = await lag_of(self._store, await self._store.days())
            if not (lag.outbox or lag.stale_traces or lag.search):
                return
            await asyncio.sleep(_LOOK)

    # ---- the lease ----

    async def _hold_loop(self) -> None:
        while True:
            try:
                await self._hold()
            except StoreUnavailable as error:
                _log.warning("nobody knows who indexes: %s", error)
                if self._lease.token is None:
                    await self._stand_down()
            except Exception:  # noqa: BLE001 - logged, tried again
                _log.exception("taking up indexing failed; it is tried again")
                await self._stand_down()
            await asyncio.sleep(RENEW)

    async def _hold(self) -> None:
        token = await self._lease.take()
        if token != self._token:
            await self._stand_down()
            if token is not None:
                await self._begin(token)

    async def _begin(self, token: int) -> None:
        _log.info("this server indexes from now on", extra={"token": token})
        self._store.fence = Fence(token)
        await self._sweep()
        self._indexer = await self._stack.enter_async_context(self._work())
        self._token = token

    async def _stand_down(self) -> None:
        if self._token is not None:
            _log.info("this server does not index any more", extra={"token": self._token})
        self._indexer, self._token = None, None
        await self._stack.aclose()
        self._store.fence = None

    # ---- what there is to do ----

    async def _tell_loop(self) -> None:
        while True:
            with contextlib.suppress(StoreUnavailable):  # The other loop says so.
                await self._tell()
                await self._hear()
            await asyncio.sleep(TELL)

    async def _tell(self) -> None:
        days, self._store.unannounced = self._store.unannounced, set()
        if not days:
            return
        try:
            await announcements.announce(self._store.segments, days)
        except BaseException:
            self._store.unannounced |= days
            raise

    async def _hear(self) -> None:
        indexer = self._indexer
        if indexer is None:
            self._store.dirty.clear()  # Others do it, or this server once it has looked at all days.
            return
        before, self._heard = self._heard, await announcements.announced(self._store.segments)
        if news := {day for day, version in self._heard.items() if before.get(day) != version}:
            self._store.dirty |= news
            self._store.changed.set()
        through = {day: self._heard[day] for day in self._heard.keys() - news if indexer.is_through(day)}
        if through:
            await announcements.settle(self._store.segments, through)
        if asyncio.get_running_loop().time() - self._swept > SWEEP:
            await self._sweep()

    async def _sweep(self) -> None:
        self._swept = asyncio.get_running_loop().time()
        self._store.dirty |= set(await self._store.days())
        self._store.changed.set()
