"""Erasing events: their rows stay, as stubs that say nothing, so that no sweep, replay or larger block undoes it.

Counts and digests are over records and do not change. Search index, trace summaries and graph follow by the outbox.
Boundaries of windows stay, without names: what comes late must find the trace that it belongs to, to be erased with it.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import msgspec

from vectadb_server import blocks
from vectadb_server.planning import Plan
from vectadb_server.stores import tombstones
from vectadb_server.stores.engine import Conflict
from vectadb_server.wire import Options

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from vectadb_server.expiry import Expiry
    from vectadb_server.metrics import Metrics
    from vectadb_server.stores.rows import StoredEvent
    from vectadb_server.stores.surreal import SurrealStore

_CHUNK = 100  # events in one transaction
_ATTEMPTS = 12


class ErasedTrace(msgspec.Struct):
    """What became of a trace that was to be erased. ``days``: UTC days in which it had events."""

    trace_id: str
    events: int
    days: list[str]


class Eraser:
    """One for each server."""

    def __init__(self, store: SurrealStore, expiry: Expiry, metrics: Metrics) -> None:
        self._store, self._expiry, self._metrics = store, expiry, metrics

    async def trace(self, trace: str) -> ErasedTrace | None:
        """Erase a trace for good; return when its events are gone, ``None`` where there are none.

        Raises:
            StoreUnavailable: the record does not answer; if it had begun, it is finished by retention.
            Conflict: others write the same rows again and again; as above.
        """
        days = (await self._store.days_of_traces([trace])).get(trace, [])
        known = await tombstones.unfinished(self._store.segments)
        found = await self._events(trace, days)
        if trace not in known and not found:
            return None
        await tombstones.begin(self._store.segments, trace, days)
        await self._expiry.refresh()
        # From here on the indexer, too, erases what it meets of the trace: its share is not among the rest.
        return ErasedTrace(trace, max(len(found), await self._rest(trace, days)), days)

    async def finish(self) -> None:
        """Go on with what was begun and not finished.

        Raises:
            StoreUnavailable: as :meth:`trace`; so Conflict.
        """
        for trace, days in (await tombstones.unfinished(self._store.segments)).items():
            more = (await self._store.days_of_traces([trace])).get(trace, [])
            await self._rest(trace, sorted({*days, *more}))

    async def _rest(self, trace: str, days: Sequence[str]) -> int:
        count = 0
        while stored := await self._events(trace, days):
            count += await erase(self._store, stored)
        self._metrics.erased(count)
        await tombstones.finish(self._store.segments, trace)
        return count

    async def _events(self, trace: str, days: Sequence[str]) -> list[StoredEvent]:
        return (await self._store.stored_of_traces({trace: list(days)})).get(trace, [])


async def erase_leftovers(store: SurrealStore, found: dict[str, list[StoredEvent]], traces: Collection[str]) -> int:
    """Erase what has come to erased traces all the same, by a server that did not know yet or a late boundary.

    ``found`` has the events of the ``traces``, and afterwards none of the erased ones. Returns how many there were.
    """
    gone = [each for trace in await tombstones.among(store.segments, traces) for each in found.pop(trace, [])]
    if gone:
        days: dict[str, set[str]] = {}
        for each in gone:
            days.setdefault(str(each.event.trace), set()).add(each.key[0])
        await tombstones.extend(store.segments, days)
        await erase(store, gone)
    return len(gone)


async def erase(store: SurrealStore, stored: Sequence[StoredEvent]) -> int:
    """Erase the events, as far as they still are what was read; return how many were.

    Raises:
        Conflict: others write the same rows again and again.
        StoreUnavailable: the record does not answer. Some are erased, and the others whole.
    """
    days = {each.key[0] for each in stored}
    await store.note_erased(days)
    erased = sum([await _erase(store, stored[i : i + _CHUNK]) for i in range(0, len(stored), _CHUNK)])
    # Once more: a day may have been written anew in between.
    await store.note_erased(days)
    return erased


async def _erase(store: SurrealStore, stored: Sequence[StoredEvent]) -> int:
    for attempt in range(_ATTEMPTS):
        held = await store.held({each.key for each in stored})
        same = [
            each
            for each in stored
            if (now := held.get(each.key)) is not None and now.row.size > 0 and now.trace == each.event.trace
        ]
        rows = [held[each.key].row for each in same]
        held |= await store.held({key for row in rows for key in row.records})
        extras = await store.extras({row.head for row in rows if row.is_extra and row.head is not None})
        table = blocks.Rows({key: found.row for key, found in held.items()}, extras)
        for row in rows:
            table.erase(row.key)
        plan = Plan([each.event for each in same], rows, table, held, Options(), standing=0)
        try:
            for stage in plan.writes():
                for day, write in stage.items():
                    await store.commit(day, write)
        except Conflict as error:
            last = error
            await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))
            continue
        return len(same)
    raise last
