"""Signing in with an API key: what a browser's cookie stands for, so that the key itself does not stay in the browser.

A cookie is ``vds_<id of the key>_<secret>``; the secret has 190 bits, and only the SHA-256 of the whole is kept.
Whoever has the cookie may what the key may, for :data:`LASTS` at most, and no longer than the key holds.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

from vectadb_server import keys
from vectadb_server.access import FRESH, BadKey
from vectadb_server.stores.base import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

COOKIE = "vectadb_session"
LASTS = 7 * 86_400_000_000
"""Microseconds after which one has to sign in again."""
_TOKEN = re.compile(r"vds_([a-z0-9]{12})_[A-Za-z0-9]{32}")
_MOST_KNOWN = 1_000  # in a server's copy


class SignIn(msgspec.Struct, frozen=True):
    """What is kept of one: the digest of the cookie, the key, and until when it holds, microseconds."""

    digest: str
    key: str
    expires: int


class SignInRows(Protocol):
    """Where they are kept; see :class:`vectadb_server.stores.signins.SignInStore`."""

    async def find(self, digest: str) -> SignIn | None:
        """Return the one of this digest."""
        ...

    async def add(self, made: SignIn, now: int) -> None:
        """Keep a new one."""
        ...

    async def remove(self, digest: str) -> None:
        """Forget one."""
        ...


class SignIns:
    """The sign-ins as one server knows them: what ends elsewhere is seen within :data:`~.access.FRESH` seconds."""

    def __init__(
        self,
        store: SignInRows | None = None,
        *,
        now: Callable[[], int] = lambda: time.time_ns() // 1000,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store, self._now, self._clock = store, now, clock
        self._known: dict[str, tuple[SignIn, float]] = {}

    async def begin(self, key_id: str) -> str:
        """Return a new cookie's value for whoever has shown this key.

        Raises:
            StoreUnavailable: it cannot be kept.
        """
        token = f"vds_{key_id}_{keys.minted()[0].rpartition('_')[2]}"
        now = self._now()
        await self._kept.add(SignIn(keys.digest_of(token), key_id, now + LASTS), now)
        return token

    async def key_of(self, token: str, known: Callable[[str], bool]) -> str:
        """Return the id of the key that the cookie stands for; nothing is looked up for one of a key that is not known.

        Raises:
            BadKey: it stands for none, any more.
            StoreUnavailable: nobody knows.
        """
        found = _TOKEN.fullmatch(token)
        if found is None or not known(found[1]):
            raise BadKey("the session's cookie is none of this server's")
        digest = keys.digest_of(token)
        held, read_at = self._known.get(digest, (None, 0.0))
        if held is None or self._clock() - read_at >= FRESH:
            began = self._clock()
            held = await self._kept.find(digest)
            if held is None:
                self._known.pop(digest, None)
                raise BadKey("the session has ended")
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[digest] = held, began
        if held.expires <= self._now():
            raise BadKey("the session has expired")
        return held.key

    async def end(self, token: str) -> None:
        """Forget one; on this server at once."""
        digest = keys.digest_of(token)
        await self._kept.remove(digest)
        self._known.pop(digest, None)

    @property
    def _kept(self) -> SignInRows:
        if self._store is None:
            raise StoreUnavailable("this server keeps no sign-ins")
        return self._store
