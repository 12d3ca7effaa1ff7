"""What a check finds while other work is under way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest

from vectadb_server import checking
from vectadb_server.stores.engine import record
from vectadb_server.stores.segments import META

from .making import MIDNIGHT, line, record_id
from .retaining import Server

if TYPE_CHECKING:
    from vectadb_server.stores.surreal import SurrealStore

pytestmark = pytest.mark.anyio


async def test_what_differs_is_found_however_little_is_looked_at_at_once(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checking, "_PAGE", 3)
    monkeypatch.setattr(checking, "_LISTED", 1)
    async with Server(store) as server:
        await server.send(*(line(f"r{n}", MIDNIGHT + n) for n in range(40)))
        await server.indexer.wait_idle()
        documents = server.index.documents
        for number, event_id in enumerate(sorted(documents)):
            if number % 3 == 0:
                del documents[event_id]
            elif number % 3 == 1:
                documents[event_id] = msgspec.structs.replace(documents[event_id], us=1)
        other = record_id("never sent")
        documents[other] = msgspec.structs.replace(next(iter(documents.values())), event_id=other)
        [found] = (await server.check()).days
        assert (found.missing, found.stale, found.extra) == (14, 13, 1)


async def test_what_is_to_be_indexed_anew_is_not_missing(store: SurrealStore) -> None:
    async with Server(store) as server:
        await server.send(*(line(f"r{n}", MIDNIGHT + n) for n in range(20)))
        await server.indexer.wait_idle()
        ids = sorted(server.index.documents)
        [day] = await store.days()
        server.index.documents.clear()
        found = await server.check()
        assert (found.complete, found.days[0].missing, found.days[0].waiting) == (False, 20, 0)
        async with store.segments.use(META) as meta:
            for through in (-1, 4, 19):
                values = {"ref": record("reindex", day), "after": ids[through] if through >= 0 else ""}
                await meta.run("UPSERT $ref SET after = $after RETURN NONE", values)
                found = await server.check()
                missing = through + 1
                assert (found.days[0].missing, found.days[0].waiting) == (missing, 20 - missing)
                assert found.complete == (not missing)
