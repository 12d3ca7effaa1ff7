"""How servers on one record tell the one that indexes in which days there is something to do: rows of ``dirty``.

A day's row gets another version each time; whoever indexes removes it once the day is done, if it is still the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_server import ids
from vectadb_server.stores.engine import insisted, key_of, record
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from vectadb_server.stores.segments import Segments


async def announce(segments: Segments, days: Iterable[str]) -> None:
    """Say that there is something to do in these days."""
    made = [{"id": day, "version": ids.uuid7()} for day in days]
    async with segments.use(META) as meta:
        await insisted(
            meta,
            "INSERT INTO dirty $rows ON DUPLICATE KEY UPDATE version = $input.version RETURN NONE",
            {"rows": made},
        )


async def announced(segments: Segments) -> dict[str, str]:
    """Return the days in which there may be something to do, each with the version of its row."""
    async with segments.use(META) as meta:
        return {key_of(row["id"]): row["version"] for row in await meta.one("SELECT id, version FROM dirty")}


async def settle(segments: Segments, days: Mapping[str, str]) -> None:
    """Remove the rows of these days, unless there is another version by now."""
    done = [{"id": record("dirty", day), "version": version} for day, version in days.items()]
    async with segments.use(META) as meta:
        await insisted(meta, "FOR $d IN $done { DELETE $d.id WHERE version = $d.version RETURN NONE }", {"done": done})
