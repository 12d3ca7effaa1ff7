"""Token buckets in the record store, which all servers share; the arithmetic is in :mod:`vectadb_server.limits`."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from vectadb_server.limits import Bucket, Lease, leased
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import Conflict, record
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from vectadb_server.stores.segments import Segments

_TRIES = 20
_PAUSE = 0.005  # seconds


class BucketStore:
    """Table ``bucket`` of ``meta``. The time is the record store's, so that servers' clocks need not agree."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    async def lease(self, name: list[str], rate: float, *, spent: float, wanted: float) -> Lease:
        """Settle an earlier lease and take a new one; see :func:`vectadb_server.limits.leased`.

        Raises:
            StoreUnavailable: the record store is away, or too many servers ask for the same bucket at once.
        """
        ref = record("bucket", list(name))
        async with self._segments.use(META) as meta:
            for attempt in range(_TRIES):
                rows, now = await meta.run(
                    "SELECT tokens, at, turn FROM array::distinct($ids) WHERE id != NONE; RETURN time::micros()",
                    {"ids": [ref]},
                )
                row = rows[0] if rows else None
                bucket, lease = leased(
                    None if row is None else Bucket(row["tokens"], row["at"]), now, rate, spent=spent, wanted=wanted
                )
                values = {"id": ref, "ids": [ref], "tokens": bucket.tokens, "at": bucket.at}
                try:
                    if row is None:
                        await meta.run("CREATE $id SET tokens = $tokens, at = $at, turn = 0 RETURN NONE", values)
                        return lease
                    values["turn"] = row["turn"]
                    changed = await meta.one(
                        "UPDATE $ids SET tokens = $tokens, at = $at, turn += 1 WHERE turn = $turn RETURN VALUE turn",
                        values,
                    )
                    if changed:
                        return lease
                except Conflict:
                    pass
                await asyncio.sleep(random.uniform(0, _PAUSE * (attempt + 1)))
        raise StoreUnavailable("a rate limit's bucket is asked for by too many at once")
