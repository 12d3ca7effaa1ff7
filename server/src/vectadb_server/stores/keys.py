"""The keys in the record store, where all servers find them. A row is never deleted: a key that was, stays known."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_server.keys import Key
from vectadb_server.stores.engine import key_of, record
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from vectadb_server.stores.segments import Segments


class KeyStore:
    """Table ``api_key`` of ``meta``, by the keys' ids."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    async def all(self) -> list[Key]:
        """Return every key there ever was."""
        async with self._segments.use(META) as meta:
            return [_key(row) for row in await meta.one("SELECT * FROM api_key")]

    async def add(self, key: Key) -> None:
        """Keep a new key.

        Raises:
            Conflict: there is one of its id.
        """
        row = {**msgspec.to_builtins(key), "id": record("api_key", key.id), "scopes": list(key.scopes)}
        async with self._segments.use(META) as meta:
            await meta.run("CREATE $id CONTENT $row RETURN NONE", {"id": row.pop("id"), "row": row})

    async def revoke(self, key_id: str, now: int) -> Key | None:
        """Revoke a key, if it is not already; return it, ``None`` where there is none of the id."""
        async with self._segments.use(META) as meta:
            rows = await meta.one(
                "UPDATE $ids SET revoked = revoked ?? $now RETURN AFTER",
                {"ids": [record("api_key", key_id)], "now": now},
            )
        return _key(rows[0]) if rows else None

    async def touch(self, key_id: str, now: int) -> None:
        """Note that a key was used.

        Raises:
            Conflict: another server notes the same.
        """
        async with self._segments.use(META) as meta:
            await meta.run(
                "UPDATE $ids SET used = $now WHERE (used ?? 0) < $now RETURN NONE",
                {"ids": [record("api_key", key_id)], "now": now},
            )


def _key(row: dict[str, Any]) -> Key:
    return msgspec.convert({**row, "id": str(key_of(row["id"]))}, Key)
