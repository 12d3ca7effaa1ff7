"""Search: what the index finds, as the record has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vectadb_server.model import Event

if TYPE_CHECKING:
    from vectadb_server.stores.base import Mode, RecordReader, SearchFilter, SearchIndex

#: The index is asked for at most so many times what the client wants, where hits turn out to be gone.
_MOST = 4


class Found(msgspec.Struct):
    """An event that answers the query; a larger score is a better one."""

    event: Event
    score: float


async def search(
    index: SearchIndex, record: RecordReader, query: str, *, mode: Mode, where: SearchFilter, limit: int
) -> list[Found]:
    """Return the best ``limit`` events, best first.

    The index lags behind the record by a moment: hits whose event is gone, or has become part of another, are left
    out, and further ones take their place.

    Raises:
        SearchUnavailable: the index does not answer now.
        StoreUnavailable: the record does not answer now.
    """
    asked = limit
    while True:
        hits = await index.search(query, mode=mode, where=where, limit=asked)
        events = {event.event_id: event for event in await record.events_of([(hit.day, hit.event_id) for hit in hits])}
        found = [Found(events[hit.event_id], hit.score) for hit in hits if hit.event_id in events]
        if len(found) >= limit or len(hits) < asked or asked >= limit * _MOST:
            return found[:limit]
        asked *= 2
