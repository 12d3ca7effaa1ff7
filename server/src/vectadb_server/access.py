"""Who asks, and what they may: keys as one server knows them, its owner, and everybody while there is no key.

What a server knows of the keys is a copy of the record store's, at most :data:`FRESH` seconds old, so that a revocation
holds everywhere within 5 s. While the store does not answer, the copy holds for :data:`HELD` seconds in all; after that
nobody is let in by a key.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from vectadb_server import keys
from vectadb_server.keys import Key, Scope
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import Conflict

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from vectadb_server.limits import Limiter

_log = logging.getLogger(__name__)

FRESH = 2.0
"""Seconds for which a copy of the keys is used as it is."""
HELD = 4.0
"""Seconds for which it is used while the record store does not answer."""
_RENEWED = 1.0  # from this age on it is read anew, beside the requests
_PATIENCE = 2.0
_USED = 60_000_000  # microseconds between two notes that a key was used


class Keys(Protocol):
    """Where the keys are kept; see :class:`vectadb_server.stores.keys.KeyStore`."""

    async def all(self) -> list[Key]:
        """Return every key there ever was."""
        ...

    async def add(self, key: Key) -> None:
        """Keep a new key."""
        ...

    async def revoke(self, key_id: str, now: int) -> Key | None:
        """Revoke a key; return it."""
        ...

    async def touch(self, key_id: str, now: int) -> None:
        """Note that a key was used."""
        ...


class Caller(msgspec.Struct, frozen=True):
    """Whoever asks. Without a ``key`` it is the server's owner, or, while there is no key, anybody.

    ``signed_in``: a cookie stands for the key (:mod:`~vectadb_server.signins`).
    """

    scopes: tuple[Scope, ...]
    key: Key | None = None
    signed_in: bool = False

    def allowed(self, wanted: Sequence[Scope]) -> bool:
        """Whether it may do what one of ``wanted`` is for."""
        return "admin" in self.scopes or any(scope in self.scopes for scope in wanted)


OWNER = Caller(keys.SCOPES)
"""Asks over the socket in the data directory, or, while there is no key, on the server's own machine."""
ANYBODY = Caller(("ingest", "read"))
"""From another machine, while there is no key and ``--insecure`` opens the server to all."""


class BadKey(Exception):
    """The key opens nothing; the text says why and does not tell the key."""


class Access:
    """The keys as one server knows them. Without a store there is none."""

    def __init__(
        self,
        store: Keys | None = None,
        limiter: Limiter | None = None,
        *,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self.limiter = store, limiter
        self._now, self._clock = now, clock
        self._copy: dict[str, Key] = {}
        self._read_at = self._changed_at = -math.inf
        self._reading: asyncio.Task[None] | None = None
        self._noted: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def exists(self) -> bool:
        """Whether there is a key, or was one: then a key is needed, for ever.

        Raises:
            StoreUnavailable: nobody knows.
        """
        return bool(self._copy) or bool(await self._known())

    async def caller(self, text: str) -> Caller:
        """Return who has the key ``text``.

        Raises:
            BadKey: nobody has, any more.
            StoreUnavailable: nobody knows.
        """
        key = (await self._known()).get(keys.id_of(text))
        if key is None or not key.is_text(text):
            raise BadKey("the key is not known here")
        return self._holder(key)

    async def knows(self) -> Callable[[str], bool]:
        """Return what says whether there is, or was, a key of some id.

        Raises:
            StoreUnavailable: nobody knows.
        """
        return (await self._known()).__contains__

    async def signed_in(self, key_id: str) -> Caller:
        """Return who has signed in with the key of this id.

        Raises:
            BadKey: it opens nothing any more.
            StoreUnavailable: nobody knows.
        """
        key = (await self._known()).get(key_id)
        if key is None:
            raise BadKey("the key is not known here")
        return self._holder(key, signed_in=True)

    def _holder(self, key: Key, *, signed_in: bool = False) -> Caller:
        now = self._now()
        if key.revoked is not None:
            raise BadKey(f"the key {key.id} was revoked")
        if key.expires is not None and key.expires <= now:
            raise BadKey(f"the key {key.id} has expired")
        if now - self._noted.get(key.id, key.used or 0) >= _USED:
            self._noted[key.id] = now
            self._beside(self._touch(key.id, now))
        return Caller(key.scopes, key, signed_in)

    async def opens(self, text: str) -> bool:
        """Whether ``text`` is a key that holds.

        Raises:
            StoreUnavailable: nobody knows.
        """
        try:
            await self.caller(text)
        except BadKey:
            return False
        return True

    async def create(self, key: Key) -> None:
        """Keep a new key; this server knows it at once."""
        await self._kept.add(key)
        self._put(key)

    async def revoke(self, key_id: str) -> Key | None:
        """Revoke a key, on this server at once; return it, ``None`` where there is none of the id."""
        key = await self._kept.revoke(key_id, self._now())
        if key is not None:
            self._put(key)
        return key

    async def listed(self) -> list[Key]:
        """Return every key there ever was, the oldest first, as the record store has them."""
        if self._store is None:
            return []
        return sorted(await self._store.all(), key=lambda key: (key.created, key.id))

    async def bootstrap(self, text: str) -> bool:
        """Make ``text`` the first key, for everything; return whether it became that: only where there never was one.

        Raises:
            StoreUnavailable: the record store is away.
        """
        if await self.exists():
            return False
        made = Key(
            id=keys.id_of(text), name="bootstrap", scopes=("admin",), digest=keys.digest_of(text), created=self._now()
        )
        try:
            await self.create(made)
        except Conflict:  # another server has just done the same
            return False
        return True

    async def close(self) -> None:
        """Wait for what goes on beside the requests."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def _kept(self) -> Keys:
        if self._store is None:
            raise StoreUnavailable("this server keeps no keys")
        return self._store

    async def _known(self) -> dict[str, Key]:
        """Return the copy, renewed where it is too old.

        Raises:
            StoreUnavailable: it is, and the record store does not answer.
        """
        if self._store is None:
            return {}
        age = self._clock() - self._read_at
        if age >= _RENEWED:
            if self._reading is None or self._reading.done():
                self._reading = self._beside(self._read(self._store))
            if age >= FRESH:
                await asyncio.wait([self._reading], timeout=_PATIENCE)
                if self._clock() - self._read_at >= HELD:
                    raise StoreUnavailable("the record store does not answer, so that no key can be looked up")
        return self._copy

    async def _read(self, store: Keys) -> None:
        began = self._clock()
        try:
            found = await store.all()
        except StoreUnavailable as error:
            _log.warning("the keys cannot be read: %s", error)
            return
        if began >= self._changed_at:
            self._copy = {key.id: key for key in found}
            self._read_at = began

    def _put(self, key: Key) -> None:
        self._copy[key.id] = key
        self._changed_at = self._clock()  # What began to be read before does not know of it.

    def _beside(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _touch(self, key_id: str, now: int) -> None:
        try:
            await self._kept.touch(key_id, now)
        except (StoreUnavailable, Conflict) as error:
            _log.debug("the last use of key %s was not noted: %s", key_id, error)
