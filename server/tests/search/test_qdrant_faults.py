"""A Qdrant (the façade over Edge) that is away, comes back, is somebody else's, or refuses the key."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from qdrant_client import QdrantClient

from vectadb_server.embedding import Elsewhere
from vectadb_server.stores.base import SearchFilter, SearchUnavailable
from vectadb_server.stores.edge import EdgeSearch, IndexRefused
from vectadb_server.stores.qdrant import RemoteIndex

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from vectadb_server.stores.base import Document


pytestmark = pytest.mark.anyio

EVERYTHING = SearchFilter()


async def until_done(call: Callable[[], object]) -> object:
    """Call until search is available again."""
    async with asyncio.timeout(120):
        while True:
            try:
                return await call()  # type: ignore[misc]
            except SearchUnavailable:
                await asyncio.sleep(0.05)


async def test_a_killed_qdrant_has_lost_nothing_and_is_used_again(
    facade: Any, tmp_path: Path, make: Callable[..., Document]
) -> None:
    engine = EdgeSearch(tmp_path, remote=facade.at("killed"))
    try:
        await engine.upsert([make(f"load {n}") for n in range(500)])
        process, generation = engine.health()["pid"], engine.generation
        facade.kill()
        with pytest.raises(SearchUnavailable):
            await engine.search("load", mode="hybrid", where=EVERYTHING, limit=5)
        with pytest.raises(SearchUnavailable):
            await engine.upsert([make("load late")])
        facade.start()
        await until_done(lambda: engine.upsert([make("load late")]))
        assert await engine.count() == 501
        assert (engine.health()["pid"], engine.generation) == (process, generation)
    finally:
        await engine.close()


async def test_a_server_that_starts_while_qdrant_is_away_waits_for_it(
    facade: Any, tmp_path: Path, make: Callable[..., Document]
) -> None:
    facade.kill()
    engine = EdgeSearch(tmp_path, remote=facade.at("late"))
    try:
        with pytest.raises(IndexRefused, match="check qdrant_url and qdrant_api_key"):
            await engine.start()
        facade.start()
        await until_done(lambda: engine.upsert([make("load")]))
        assert await engine.count() == 1
    finally:
        await engine.close()


async def test_two_servers_share_a_collection(facade: Any, tmp_path: Path, make: Callable[..., Document]) -> None:
    first, second = (EdgeSearch(tmp_path / name, remote=facade.at("shared")) for name in "ab")
    try:
        await asyncio.gather(first.start(), second.start())
        assert first.generation == second.generation
        await first.upsert([make("load")])
        assert len(await second.search("load", mode="hybrid", where=EVERYTHING, limit=5)) == 1
    finally:
        await asyncio.gather(first.close(), second.close())


def test_a_collection_that_another_server_has_just_made_is_used(facade: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    first = RemoteIndex(facade.at("made"), Elsewhere("any", 4))
    monkeypatch.setattr(QdrantClient, "collection_exists", lambda _self, _name: False)  # as it was a moment before
    second = RemoteIndex(facade.at("made"), Elsewhere("any", 4))
    assert second.generation == first.generation
    second.close()
    first.close()


async def test_a_wrong_key_is_named_and_not_shown(facade: Any, tmp_path: Path) -> None:
    engine = EdgeSearch(tmp_path, remote=facade.at(key="wrong-key"))
    with pytest.raises(IndexRefused, match="qdrant_api_key") as raised:
        await engine.start()
    assert "wrong-key" not in str(raised.value)
    await engine.close()


async def test_a_collection_of_another_embedder_is_refused_until_reindexed(
    facade: Any, tmp_path: Path, make: Callable[..., Document], monkeypatch: pytest.MonkeyPatch
) -> None:
    from vectadb_server.embedding_http import HttpEmbedder

    first = EdgeSearch(tmp_path, remote=facade.at("changed"))
    await first.upsert([make("load")])
    await first.close()
    second = EdgeSearch(tmp_path, remote=facade.at("changed"), embedder=HttpEmbedder("http://x/v1", "m", size=4))
    try:
        with pytest.raises(IndexRefused, match=r"made with embedder 'wordllama.*vectadb reindex"):
            await second.start()
        await second.renew()
        assert await second.count() == 0
        assert second.generation not in {0, first.generation}
    finally:
        await second.close()


def test_a_missing_client_prints_what_to_install() -> None:
    code = (
        "import sys\n"
        "sys.modules['qdrant_client'] = None\n"
        "from vectadb_server.stores.edge_shards import IndexUnusable\n"
        "try:\n"
        "    import vectadb_server.stores.qdrant\n"
        "except IndexUnusable as error:\n"
        "    print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "pip install 'vectadb-server[qdrant]'" in said
