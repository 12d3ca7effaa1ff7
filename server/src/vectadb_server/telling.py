"""The search index is told of events, as the record has them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from vectadb_server.documents import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_server.blocks import Key
    from vectadb_server.stores.base import Document, SearchIndex
    from vectadb_server.stores.surreal import SurrealStore

#: Events that it is told of at once.
PART = 256
#: Parts on their way at once: while it works on one it has the next, and the one after that is read from the record.
PARTS = 2


async def tell(index: SearchIndex, store: SurrealStore, day: str, event_ids: Sequence[str]) -> None:
    """Let the index hold what can be searched for of these events, each named once, and nothing of the others.

    Raises:
        SearchUnavailable, StoreUnavailable: it has heard of some, perhaps; tell it again. Nothing is on its way then.
    """
    told: deque[asyncio.Task[None]] = deque()
    try:
        for start in range(0, len(event_ids), PART):
            asked = event_ids[start : start + PART]
            documents = [
                made for each in await store.stored(day, asked) if each.search and (made := document(each)).text
            ]
            gone = sorted(set(asked).difference(each.event_id for each in documents))
            if len(told) == PARTS:
                await told.popleft()
            told.append(asyncio.create_task(_tell(index, documents, [(day, event_id) for event_id in gone])))
        while told:
            await told.popleft()
    finally:
        for task in told:
            task.cancel()
        await asyncio.gather(*told, return_exceptions=True)


async def _tell(index: SearchIndex, documents: Sequence[Document], gone: Sequence[Key]) -> None:
    if documents:
        await index.upsert(documents)
    if gone:
        await index.delete(gone)
