"""What is not held any more by its time: rows of ``horizon`` in ``meta``, which all servers read.

A horizon is the start of a UTC day, in the record's time. It only moves forward: what was dropped stays dropped, also
when the setting is lengthened, so that no sweep brings it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vectadb_server.stores.engine import insisted, key_of, record
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectadb_server.stores.segments import Segments

_ALL, _TYPE = "all", "type"


class Horizon(msgspec.Struct, frozen=True):
    """Record times, microseconds, from which on events are held. ``types``: later ones, of single event types."""

    every: int = 0
    types: Mapping[str, int] = {}

    def of(self, event_type: str) -> int:
        """Return that of one event type."""
        return max(self.every, self.types.get(event_type, 0))


async def read(segments: Segments) -> Horizon:
    """Return where it is."""
    async with segments.use(META) as meta:
        rows = await meta.one("SELECT id, us FROM horizon")
    found = {tuple(key_of(row["id"])): row["us"] for row in rows}
    types = {key[1]: us for key, us in found.items() if key[0] == _TYPE}
    return Horizon(found.get((_ALL,), 0), types)


async def advance(segments: Segments, to: Horizon) -> bool:
    """Move it forward to there, nowhere back; return whether it moved at all."""
    before = await read(segments)
    wanted = [([_ALL], to.every)] if to.every > before.every else []
    wanted += [([_TYPE, name], us) for name, us in to.types.items() if us > before.types.get(name, 0)]
    async with segments.use(META) as meta:
        for key, us in wanted:
            # Not UPSERT: in a function there, 3.0.3 takes the field for one that is not set.
            await insisted(
                meta,
                "INSERT IGNORE INTO horizon $new RETURN NONE; UPDATE $ref SET us = $us WHERE us < $us RETURN NONE",
                {"new": {"id": key, "us": us}, "ref": record("horizon", key), "us": us},
            )
    return bool(wanted)


async def is_tidy(segments: Segments) -> bool:
    """Whether nothing in ``meta`` speaks of days that were dropped."""
    async with segments.use(META) as meta:
        return not await meta.one("SELECT VALUE untidy FROM schema:horizon WHERE untidy")


async def note_tidy(segments: Segments, *, tidy: bool) -> None:
    """Note whether it is so: a crash between the days and what speaks of them must not be forgotten."""
    async with segments.use(META) as meta:
        await insisted(meta, "UPSERT schema:horizon SET untidy = $untidy RETURN NONE", {"untidy": not tidy})
