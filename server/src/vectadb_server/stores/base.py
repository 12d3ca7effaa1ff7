"""What the use cases ask of a store. One suite of tests runs against every implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

Mode = Literal["hybrid", "semantic", "text"]


class Document(msgspec.Struct, kw_only=True):
    """One event as the search index sees it. ``us``: event time, microseconds; ``day``: UTC day of its segment."""

    event_id: str
    day: str
    text: str
    us: int
    event_type: str
    agent_id: str | None = None
    session_id: str | None = None
    trace: str | None = None
    log_group: str | None = None
    log_stream: str | None = None


class SearchFilter(msgspec.Struct, kw_only=True, frozen=True):
    """All that are given must hold. ``since`` is inclusive, ``until`` exclusive, microseconds of event time."""

    event_type: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    trace: str | None = None
    log_group: str | None = None
    log_stream: str | None = None
    since: int | None = None
    until: int | None = None


class Hit(msgspec.Struct):
    """One search result; a larger score is a better one."""

    event_id: str
    day: str
    score: float


class SearchIndex(Protocol):
    """A search index over events; can be rebuilt from the record at any time. One shard for each day."""

    async def upsert(self, documents: Sequence[Document]) -> None:
        """Index the documents, replacing those of the same id; return when a crash cannot lose them.

        Raises:
            SearchUnavailable: the engine is not there now; try again.
        """
        ...

    async def delete(self, event_ids: Sequence[tuple[str, str]]) -> None:
        """Remove documents, each given as ``(day, event_id)``; unknown ones are ignored."""
        ...

    async def search(self, query: str, *, mode: Mode, where: SearchFilter, limit: int) -> list[Hit]:
        """Return the best ``limit`` documents, best first.

        Raises:
            SearchUnavailable: the engine is not there now; try again.
        """
        ...

    async def drop_days(self, before: str) -> None:
        """Remove every shard of a day before ``before`` (``YYYY-MM-DD``) and give its space back."""
        ...

    async def count(self) -> int:
        """Return the number of documents."""
        ...

    async def close(self) -> None:
        """Flush and stop."""
        ...


class SearchUnavailable(Exception):
    """The search engine does not answer now. The record is unharmed."""
