"""What ``meta`` says of days that were dropped, forgotten in pages: a million rows are not gone through at once."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from vectadb_server.stores.engine import insisted, key_of
from vectadb_server.stores.segments import META
from vectadb_server.stores.slices import slices

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from vectadb_server.stores.segments import Segments

_PAGE = 1_000


async def forget_homes(segments: Segments, before: str) -> None:
    """Forget in which day ids were put whose day is before this one."""
    async for rows in _pages(segments, "home", "day"):
        old = [ref for ref, day in rows if day < before]
        if old:
            async with segments.use(META) as meta:
                await insisted(meta, "DELETE $old RETURN NONE", {"old": old})


async def forget_trace_days(
    segments: Segments, before: str, again: Callable[[str, list[str]], Awaitable[None]]
) -> None:
    """Forget that traces had events before a day.

    ``again(day, traces)`` is told of those that have others, by the first day that has some, before that is forgotten:
    their summaries are to be made anew.
    """
    async for rows in _pages(segments, "trace_days", "days", as_text=True):
        stay: dict[str, list[str]] = defaultdict(list)
        old: list[Any] = []
        gone: set[str] = set()
        for ref, days in rows:
            if min(days) < before:
                old.append(ref)
                gone.update(day for day in days if day < before)
                if max(days) >= before:
                    stay[min(day for day in days if day >= before)].append(str(key_of(ref)))
        for day, traces in stay.items():
            await again(day, traces)
        if old:
            async with segments.use(META) as meta:
                await insisted(
                    meta,
                    "UPDATE $old SET days = array::complement(days, $gone) RETURN NONE; "
                    "DELETE $old WHERE array::len(days) = 0 RETURN NONE",
                    {"old": old, "gone": sorted(gone)},
                )


async def _pages(
    segments: Segments, table: str, column: str, *, as_text: bool = False
) -> AsyncIterator[list[list[Any]]]:
    """Go through a table of ``meta`` in the order of its ids, which are UUIDs."""

    async def ask(sql: str, values: Mapping[str, Any]) -> Any:
        async with segments.use(META) as meta:
            return await meta.one(sql, values)

    async for rows in slices(ask, table, f"VALUE [id, {column}]", _PAGE, as_text=as_text):
        yield rows
