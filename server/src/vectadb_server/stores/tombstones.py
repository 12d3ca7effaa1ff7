"""Traces that were erased on demand: rows of ``tombstone`` in ``meta``. What arrives for one of them is not kept.

A row is written before anything is erased, and says whether that was finished. ``schema:tombstone`` has another version
after each change, so that servers read the table only when there is something new in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_server import ids
from vectadb_server.stores.engine import insisted, key_of, record
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from vectadb_server.stores.segments import Segments

_NEWS = "UPSERT schema:tombstone SET version = $version RETURN NONE"


async def version(segments: Segments) -> str:
    """Return the version of the table; ``""``: nothing was ever erased."""
    async with segments.use(META) as meta:
        found = await meta.one("SELECT VALUE version FROM schema:tombstone")
    return str(found[0]) if found else ""


async def read(segments: Segments) -> dict[str, frozenset[str]]:
    """Return the erased traces, each with the days in which it had, or would have had, events."""
    async with segments.use(META) as meta:
        return {key_of(row["id"]): frozenset(row["days"]) for row in await meta.one("SELECT id, days FROM tombstone")}


async def among(segments: Segments, traces: Iterable[str]) -> set[str]:
    """Return those of the traces that were erased, as it is now."""
    refs = [record("tombstone", trace) for trace in traces]
    async with segments.use(META) as meta:
        found = await meta.one("SELECT VALUE id FROM array::distinct($ids) WHERE id != NONE", {"ids": refs})
    return {key_of(ref) for ref in found}


async def unfinished(segments: Segments) -> dict[str, list[str]]:
    """Return the traces of which events may be left, with their days."""
    async with segments.use(META) as meta:
        rows = await meta.one("SELECT id, days FROM tombstone WHERE !done")
    return {key_of(row["id"]): sorted(set(row["days"])) for row in rows}


async def begin(segments: Segments, trace: str, days: Collection[str]) -> None:
    """Note that a trace is to be erased."""
    row = {"id": trace, "days": sorted(days), "done": False}
    await _write(segments, "INSERT INTO tombstone $rows ON DUPLICATE KEY UPDATE done = false RETURN NONE", [row])


async def extend(segments: Segments, days: Mapping[str, Collection[str]]) -> None:
    """Note days in which more of erased traces turned up."""
    if days:
        rows = [{"id": trace, "days": sorted(some), "done": True} for trace, some in days.items()]
        sql = "INSERT INTO tombstone $rows ON DUPLICATE KEY UPDATE days += $input.days RETURN NONE"
        await _write(segments, sql, rows)


async def finish(segments: Segments, trace: str) -> None:
    """Note that nothing of it is left."""
    async with segments.use(META) as meta:
        await insisted(meta, "UPDATE $ref SET done = true RETURN NONE", {"ref": record("tombstone", trace)})


async def forget_before(segments: Segments, day: str) -> None:
    """Forget the traces all of whose days are before this one: what comes for them is expired by its time."""
    old = [record("tombstone", trace) for trace, days in (await read(segments)).items() if max(days, default="") < day]
    if old:
        await _write(segments, "DELETE $rows RETURN NONE", old)


async def _write(segments: Segments, sql: str, rows: object) -> None:
    async with segments.use(META) as meta:
        await insisted(meta, f"{sql}; {_NEWS}", {"rows": rows, "version": ids.uuid7()})
