"""What the search process serves: an index, in its own directory or in a Qdrant elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from vectadb_server.stores.base import Document, Hit, Mode, SearchFilter


class SearchEngine(Protocol):
    """Documents by day, with dense and sparse vectors. For one thread; whatever it raises is told to the caller."""

    generation: int
    """Another number where the index was made anew."""
    documents: int
    """How many there are, as far as is known without asking."""

    @property
    def day_count(self) -> int:
        """How many days have documents, as far as is known without asking."""
        ...

    def upsert(self, documents: Sequence[Document], vectors: Sequence[bytes] | None = None) -> None:
        """Index documents, replacing those of the same id, for good. ``vectors``: theirs, if not to be made here."""
        ...

    def delete(self, day: str, event_ids: Sequence[str]) -> None:
        """Remove documents of one day; unknown ones are ignored."""
        ...

    def begin(self, day: str) -> bool:
        """Begin to make a day anew, or go on; return whether all of it must be written again."""
        ...

    def finish(self, day: str) -> None:
        """Leave of the day only what was written since it was begun; again, or without a beginning, do nothing."""
        ...

    def survey(self, day: str) -> Generator[None, None, list[tuple[int, int]]]:
        """Return how many documents each bucket of the day has, and the sum of their marks; in many steps."""
        ...

    def listing(self, day: str, buckets: Sequence[int]) -> Generator[None, None, dict[str, int]]:
        """Return the mark of each document in these buckets of the day, by event id; in many steps."""
        ...

    def drop(self, day: str) -> None:
        """Remove a whole day."""
        ...

    def days(self) -> list[str]:
        """Return the days that have documents, ascending."""
        ...

    def count(self) -> int:
        """Return the number of documents."""
        ...

    def search(self, query: str, mode: Mode, where: SearchFilter, limit: int, vector: bytes | None = None) -> list[Hit]:
        """Return the best ``limit`` documents, best first. ``vector``: the query's, if not to be made here."""
        ...

    def maintain(self, *, quiet: bool) -> bool:
        """Do one piece of housekeeping, if one is due; ``quiet``: nobody waits. Returns whether something was done."""
        ...

    def close(self) -> None:
        """Flush and stop."""
        ...
