"""Makes search index, trace summaries and graph anew from the record, day by day, beside everything else.

A day's events pass through the outbox once more, so that the indexer does with them what it does with new ones; search
answers from the day's old shard until its new one is whole. Which days are left, and how far the first is, stands in
the record: a crash repeats a few hundred events.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from typing import TYPE_CHECKING, Self

import msgspec

from vectadb_server.stores.base import SearchUnavailable, StoreUnavailable
from vectadb_server.stores.engine import Conflict, key_of, record
from vectadb_server.stores.rows import WEAK
from vectadb_server.stores.segments import META
from vectadb_server.stores.writes import Entry, Write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from vectadb_server.stores.base import SearchIndex
    from vectadb_server.stores.segments import Segments
    from vectadb_server.stores.surreal import SurrealStore

_log = logging.getLogger(__name__)

_PAGE = 500  # events given to the indexer at once
_COLUMNS = "VALUE [id, size, basis, trace]"
_AHEAD = 4  # pages that it may have before it
_RETRY = 1.0  # seconds
_AGAIN = 2.0  # seconds between two looks at what other servers have asked for
_NONE_YET = 0  # in place of an index's generation
_LOOK = 0.05  # seconds between two looks at how far the indexer is


class Progress(msgspec.Struct):
    """How far it is. ``rows`` counts those of ``day`` that were given to the indexer; ``error``: why it waits."""

    days_left: list[str]
    day: str | None = None
    rows: int = 0
    of: int = 0
    error: str | None = None


class Reindexer:
    """One for each server: ``async with Reindexer(...)`` goes on with what an earlier run left."""

    def __init__(self, store: SurrealStore, segments: Segments, index: SearchIndex) -> None:
        self._store, self._segments, self._index = store, segments, index
        self._asked = asyncio.Event()
        self._asked.set()
        self._now = Progress([])
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start; also again, after it was stopped."""
        with contextlib.suppress(StoreUnavailable):
            await self._note_if_new()
        self._asked.set()
        self._task = asyncio.create_task(self._run(), name="reindexing")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop where it stands."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def begin(self, days: Sequence[str]) -> Progress:
        """Have these days made anew, from their beginning if they are under way already."""
        async with self._segments.use(META) as meta:
            rows = [{"id": day, "after": ""} for day in days]
            await meta.run("INSERT INTO reindex $rows ON DUPLICATE KEY UPDATE after = '' RETURN NONE", {"rows": rows})
        self._asked.set()
        return await self.progress()

    async def begin_if_lost(self) -> None:
        """Have all days made anew where the index is not the one that was filled: somebody removed its directory.

        Raises:
            SearchUnavailable: the index cannot be asked.
        """
        found = self._index.generation
        async with self._segments.use(META) as meta:
            [known] = await meta.one("SELECT VALUE generation FROM schema:index") or [None]
        days = await self._segments.days()
        # A record of an older version has not noted which index it filled.
        lost = known != found if known is not None else not await self._index.count()
        if days and known != _NONE_YET and lost:
            _log.warning("the search index is empty: it is made anew from the record", extra={"days": len(days)})
            await self.begin(days)
        await self._note_generation()

    async def progress(self) -> Progress:
        """Return how far it is; nothing is left once ``days_left`` is empty."""
        return msgspec.structs.replace(self._now, days_left=sorted(await self._store.to_reindex(), reverse=True))

    async def _note_if_new(self) -> None:
        """Note of a new record that it has not filled any index: what is on its outbox is indexed by itself."""
        if not await self._segments.days():
            async with self._segments.use(META) as meta:
                if not await meta.one("SELECT VALUE generation FROM schema:index"):
                    await meta.run("UPSERT schema:index SET generation = $none RETURN NONE", {"none": _NONE_YET})

    async def _note_generation(self) -> None:
        values = {"found": self._index.generation}
        async with self._segments.use(META) as meta:
            await meta.run("UPSERT schema:index SET generation = $found RETURN NONE", values)

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN):
                    await self._asked.wait()
            self._asked.clear()
            try:
                while await self._store.to_reindex():
                    await self._index.renew()
                    await self.begin_if_lost()  # An index that was erased lacks also the days that nobody asked for.
                    left = await self._store.to_reindex()
                    await self._day(max(left), left[max(left)])
                self._now = Progress([])
            except (SearchUnavailable, StoreUnavailable, Conflict) as error:
                self._now.error = str(error)
                _log.warning("making the index anew waits: %s", error)
                await asyncio.sleep(_RETRY)
                self._asked.set()
            except Exception as error:  # noqa: BLE001 - logged, shown, tried again
                # A mistake in here must not end it for good, without a word: which days are left stands in the record.
                self._now.error = repr(error)
                _log.exception("making the index anew failed; it is tried again")
                await asyncio.sleep(_RETRY)
                self._asked.set()

    async def _day(self, day: str, after: str) -> None:
        if await self._segments.has(day):
            self._now = Progress([], day)
            if await self._index.begin(day):
                after = ""
            async with self._segments.use(day) as db:
                counted = await db.one("SELECT count() AS n FROM event GROUP ALL")
            self._now.of = counted[0]["n"] if counted else 0
            async for page in self._store.pages(day, _COLUMNS, _PAGE, after):
                after = str(key_of(page[-1][0]))
                await self._give(day, page)
                await self._note(day, after)
                self._now.rows += len(page)
                await self._until_few(day)
            await self._leftovers(day)
            await self._until_through(day)
            await self._index.finish(day)
        async with self._segments.use(META) as meta:
            await meta.run("DELETE $ref RETURN NONE", {"ref": record("reindex", day)})

    async def _give(self, day: str, page: Sequence[Sequence[object]]) -> None:
        events = [(str(key_of(ref)), basis, trace) for ref, size, basis, trace in page if size]
        entry = Entry(
            again=True,
            events=[event_id for event_id, _, _ in events],
            weak=[event_id for event_id, basis, _ in events if basis in WEAK],
            traces=list(dict.fromkeys(str(trace) for _, _, trace in events if trace)),
        )
        if entry.events:
            await self._store.commit(day, Write(entry=entry))

    async def _leftovers(self, day: str) -> None:
        """Have the summaries recomputed that no event may belong to any more."""
        async with self._segments.use(day) as db:
            traces = [str(key_of(ref)) for ref in await db.one("SELECT VALUE id FROM trace")]
        for start in range(0, len(traces), _PAGE):
            await self._store.commit(day, Write(entry=Entry(traces=traces[start : start + _PAGE])))
            await self._until_few(day)

    async def _note(self, day: str, after: str) -> None:
        async with self._segments.use(META) as meta:
            values = {"ref": record("reindex", day), "after": after}
            await meta.run("UPDATE $ref SET after = $after RETURN NONE", values)

    async def _until_few(self, day: str) -> None:
        while sum((await self._store.waiting(day))[:3:2]) > _AHEAD:  # noqa: ASYNC110 - rows, which signal nothing
            await asyncio.sleep(_LOOK)

    async def _until_through(self, day: str) -> None:
        """Wait until what is on the lists now has been handed over: first the outbox, then what came of it."""
        for _ in range(2):
            mark = time.time_ns() // 1_000_000
            while (oldest := (await self._store.waiting(day))[3]) is not None and oldest <= mark:  # noqa: ASYNC110 - rows
                await asyncio.sleep(_LOOK)
