"""The indexer: applies the outbox to traces, graph and search index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from vectadb_server.stores.base import SearchIndex
    from vectadb_server.stores.surreal import SurrealStore


class Lag(msgspec.Struct):
    """How far the indexer is behind: rows of each stage, and the age of the oldest, seconds."""

    outbox: int
    stale_traces: int
    search: int
    seconds: float


class Indexer:
    """One for each server: ``async with Indexer(store, index): ...`` runs it; leaving stops it where it stands."""

    def __init__(self, store: SurrealStore, index: SearchIndex | None) -> None:
        raise NotImplementedError

    async def wait_idle(self) -> None:
        """Return when everything that was ingested before the call is visible in traces and search."""
        raise NotImplementedError

    async def lag(self) -> Lag:
        """Return how far behind it is."""
        raise NotImplementedError
