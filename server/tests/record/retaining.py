"""Retention to test with: an index in memory, a clock that is set, a record compared with one of only what is left."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Self

from vectadb_server.checking import Checked, Checker
from vectadb_server.erasing import Eraser
from vectadb_server.expiry import Expiry
from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.metrics import Metrics
from vectadb_server.retention import Keep, Retention
from vectadb_server.stores.base import EventFilter, TraceFilter
from vectadb_server.stores.framing import BUCKETS, bucket_of, mark_of

from .making import DAY, MIDNIGHT, OPTIONS
from .test_record_indexer import FakeIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_server.ingest import Outcome
    from vectadb_server.model import Event
    from vectadb_server.stores.surreal import SurrealStore

NOW = MIDNIGHT + 30 * DAY
"""Some later day at midnight."""


class MemoryIndex(FakeIndex):
    """One that knows days, and can be compared."""

    async def days(self) -> list[str]:
        return sorted({each.day for each in self.documents.values()})

    async def drop_days(self, before: str) -> None:
        self.documents = {event_id: each for event_id, each in self.documents.items() if each.day >= before}

    async def survey(self, day: str) -> list[tuple[int, int]]:
        found = [await self.listing(day, [bucket]) for bucket in range(BUCKETS)]
        return [(len(marks), sum(marks.values()) % 2**128) for marks in found]

    async def listing(self, day: str, buckets: Sequence[int]) -> dict[str, int]:
        return {
            event_id: mark_of(event_id, each.us, each.trace)
            for event_id, each in self.documents.items()
            if each.day == day and bucket_of(event_id) in buckets
        }


class Server:
    """What one server does with a record: ``async with Server(store) as server``. ``now`` is set by hand."""

    def __init__(self, store: SurrealStore, **keep: Any) -> None:
        self.store, self.index, self.now, self.metrics = store, MemoryIndex(), NOW, Metrics()
        self.expiry = Expiry(store.segments)
        self.ingest = Ingest(store, expired=self.expiry.current)
        self.indexer = Indexer(store, self.index, erased=self.metrics.erased)
        self.retention = Retention(
            store, self.index, Keep(**keep), expiry=self.expiry, metrics=self.metrics, now=lambda: self.now
        )
        self.eraser = Eraser(store, self.expiry, self.metrics)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.expiry)
        await self._stack.enter_async_context(self.indexer)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def send(self, *events: Event) -> list[str]:
        """Return what becomes of the events."""
        outcomes: list[Outcome] = await self.ingest.ingest(events, OPTIONS)
        return [each.status for each in outcomes]

    async def settle(self) -> None:
        """Run a pass, and let the indexer do what follows from it."""
        await self.retention.once()
        await self.indexer.wait_idle()

    async def check(self) -> Checked:
        """Return what ``vectadb check`` finds."""
        checker = Checker(self.store, self.index, self.indexer)
        checker.begin(repair=False)
        while (found := checker.progress()).running:  # noqa: ASYNC110 - progress, which signals nothing
            await asyncio.sleep(0.01)
        assert found.error is None
        return found

    async def shows(self, traces: Sequence[str]) -> dict[str, Any]:
        """Return all that can be read of the record; ids that differ from record to record are left out."""
        store = self.store
        events = await store.events(EventFilter(), limit=10_000)
        since, until = MIDNIGHT - 100 * DAY, NOW + DAY
        listed = [await store.traces(TraceFilter(basis=basis), limit=10_000) for basis in (None, "time_window")]
        edges: list[Any] = []
        members: list[Any] = []
        for day in await store.days():
            async with store.segments.use(day) as db:
                edges += await db.one("SELECT VALUE [kind, in, out] FROM causes")
                for table in ("agent_trace", "session_trace"):
                    members += await db.one(f"SELECT VALUE [id, name, nstart, of.nstart] FROM {table}")
        return {
            "events": [(each.event_id, each.raw, each.trace) for each in events],
            "of type": [each.event_id for each in await store.events(EventFilter(event_types=("log",)), limit=10_000)],
            "traces": [trace for some in listed for trace in some],
            "trace": [(await store.trace(each), await store.trace_events(each)) for each in traces],
            "sessions": await store.groups("session", since, until, arrived=2**60, limit=1000),
            "agents": await store.groups("agent", since, until, arrived=2**60, limit=1000),
            "stats": await store.stats(since, until, DAY),
            "search": sorted((each.event_id, each.day, each.trace) for each in self.index.documents.values()),
            "edges": sorted(str(edge) for edge in edges),
            "members": sorted(str(member) for member in members),
        }
