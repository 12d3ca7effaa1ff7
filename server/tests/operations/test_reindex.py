"""``vectadb reindex``: what was lost of index and summaries is there again, and what was too much is gone."""

from __future__ import annotations

import shutil
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import asking
from vectadb_server.reindexing import Reindexer
from vectadb_server.stores.surreal import SurrealStore
from vectadb_server.stores.writes import Entry, Write

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def found(server: Any, word: str) -> int:
    asked = {"query": word, "mode": "text", "limit": 100}
    reply = asking().post(f"{server.url}/api/v1/search", json=asked, timeout=60)
    return len(reply.json()["results"]) if reply.status_code == 200 else 0


def test_reindex_brings_back_an_index_that_is_gone_or_unreadable(serve: Callable[..., Any], tmp_path: Path) -> None:
    events = [
        {
            "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, str(n))),
            "timestamp": f"2026-01-{1 + n % 3:02}T12:00:00Z",
            "trace_id": f"t{n % 7}",
            "raw": f"nightingale {n}",
        }
        for n in range(60)
    ]
    with serve(tmp_path) as server:
        server.post(events)
        server.until(lambda: found(server, "nightingale") == 60)
        server.popen.terminate()
        server.popen.wait(60)
    harms: list[tuple[Callable[[], object], list[str]]] = [
        (lambda: shutil.rmtree(tmp_path / "search"), []),
        (lambda: (tmp_path / "search/meta.json").write_text("?"), []),
        (lambda: (tmp_path / "search/meta.json").write_text("?"), ["--since", "2026-01-03T00:00:00Z"]),
    ]
    for harm, days in harms:
        harm()
        with serve(tmp_path) as server:
            command = [sys.executable, "-m", "vectadb_server", "reindex", "--url", server.url, *days]
            ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
            assert (ended.returncode, ended.stderr) == (0, "")
            assert ended.stdout.endswith("The index is made anew.\n")
            assert found(server, "nightingale") == 60
            assert server.get("/api/v1/traces/t1").json()["trace"]["events"] > 0
            server.popen.terminate()
            server.popen.wait(60)


class EmptyIndex:
    """Never anything in it."""

    generation = 5

    async def count(self) -> int:
        return 0


@pytest.mark.anyio
async def test_of_a_new_record_nothing_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Events may come before the index is up: they are on the outbox. Only an index that was filled can be lost."""
    store = await SurrealStore.open(tmp_path)
    index: Any = EmptyIndex()
    reindexer = Reindexer(store, store.segments, index)
    async with reindexer:
        await store.commit("2026-01-31", Write(entry=Entry(traces=["t"])))
        await reindexer.begin_if_lost()
        assert (await reindexer.progress()).days_left == []
        assert not caplog.records
    index.generation = 6
    await reindexer.begin_if_lost()
    assert (await reindexer.progress()).days_left == ["2026-01-31"]
    assert "made anew" in caplog.text
    await store.close()
