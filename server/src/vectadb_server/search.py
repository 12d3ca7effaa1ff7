"""Search: what the index finds, as the record has it, and where the words stand in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vectadb_server.documents import text_of
from vectadb_server.highlights import Highlight, highlights
from vectadb_server.model import Event
from vectadb_server.stores.base import MeaningUnavailable

if TYPE_CHECKING:
    from vectadb_server.stores.base import Hit, Mode, RecordReader, SearchFilter, SearchIndex

#: The index is asked for at most so many times what the client wants, where hits turn out to be gone.
_MOST = 4


class Found(msgspec.Struct):
    """An event that answers the query; a larger score is a better one."""

    event: Event
    score: float
    highlights: list[Highlight] = []


class Answer(msgspec.Struct):
    """What was found, best first. ``notice``: in what way it is less than what was asked for."""

    found: list[Found]
    notice: str | None = None


async def search(
    index: SearchIndex, record: RecordReader, query: str, *, mode: Mode, where: SearchFilter, limit: int
) -> Answer:
    """Return the best ``limit`` events.

    The index lags behind the record by a moment: hits whose event is gone, or has become part of another, are left
    out, and further ones take their place. While the embedder does not answer, hybrid search goes by words alone.

    Raises:
        SearchUnavailable: the index does not answer now, or cannot search by meaning alone.
        StoreUnavailable: the record does not answer now.
    """
    notice = None
    asked = limit
    while True:
        try:
            hits = await index.search(query, mode=mode, where=where, limit=asked)
        except MeaningUnavailable as error:
            if mode != "hybrid":
                raise
            mode, notice = "text", f"found by words alone: {error}"
            continue
        found = await _found(record, hits)
        if len(found) >= limit or len(hits) < asked or asked >= limit * _MOST:
            found = found[:limit]
            for each in found:
                each.highlights = highlights(each.event, query)
            return Answer(found, notice)
        asked *= 2


async def similar(
    index: SearchIndex, record: RecordReader, event: Event, *, mode: Mode, where: SearchFilter, limit: int
) -> Answer:
    """Return the ``limit`` events that are most like ``event``, without itself.

    Raises:
        SearchUnavailable: the index does not answer now, or cannot search by meaning alone.
        StoreUnavailable: the record does not answer now.
    """
    text = text_of(event)
    if not text:
        return Answer([], "the event only frames a run: it says nothing that others could be like")
    answer = await search(index, record, text, mode=mode, where=where, limit=limit + 1)
    answer.found = [each for each in answer.found if each.event.event_id != event.event_id][:limit]
    return answer


async def _found(record: RecordReader, hits: list[Hit]) -> list[Found]:
    events = {event.event_id: event for event in await record.events_of([(hit.day, hit.event_id) for hit in hits])}
    return [Found(events[hit.event_id], hit.score) for hit in hits if hit.event_id in events]
