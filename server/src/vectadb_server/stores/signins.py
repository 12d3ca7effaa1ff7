"""Sign-ins in the record store, where all servers find them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_server.signins import SignIn
from vectadb_server.stores.engine import insisted, key_of, record
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from vectadb_server.stores.segments import Segments

MOST = 1_000
"""So many are kept; beyond, those go that would end first."""


class SignInStore:
    """Table ``sign_in`` of ``meta``, by the cookies' digests."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    async def find(self, digest: str) -> SignIn | None:
        """Return the one of this digest."""
        async with self._segments.use(META) as meta:
            rows = await meta.one(
                "SELECT * FROM array::distinct($ids) WHERE id != NONE", {"ids": [record("sign_in", digest)]}
            )
        return SignIn(digest, rows[0]["key"], rows[0]["expires"]) if rows else None

    async def add(self, made: SignIn, now: int) -> None:
        """Keep a new one; those that have expired go."""
        row = {"id": record("sign_in", made.digest), "key": made.key, "expires": made.expires}
        async with self._segments.use(META) as meta:
            await insisted(meta, "INSERT INTO sign_in $rows RETURN NONE", {"rows": [row]})
            held = await meta.one("SELECT VALUE [expires, id] FROM sign_in")
            going = [ref for expires, ref in held if expires <= now]
            if len(held) - len(going) > MOST:
                held.sort(key=lambda each: (each[0], str(key_of(each[1]))))
                going = [ref for _, ref in held[: len(held) - MOST]]
            if going:
                await insisted(meta, "DELETE $refs RETURN NONE", {"refs": going})

    async def remove(self, digest: str) -> None:
        """Forget one."""
        async with self._segments.use(META) as meta:
            await insisted(meta, "DELETE $ref RETURN NONE", {"ref": record("sign_in", digest)})
