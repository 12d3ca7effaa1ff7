"""What must still happen, or still hold, when the server or its search process was killed."""

from __future__ import annotations

import os
import signal
import time
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import asking
from vectadb_server import indexer as indexing
from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.model import Event
from vectadb_server.stores.base import TraceFilter
from vectadb_server.stores.surreal import SurrealStore
from vectadb_server.wire import Options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def events(name: str, count: int = 20) -> list[dict[str, Any]]:
    return [
        {
            "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name}.{n}")),
            "timestamp": "2026-01-31T12:00:00Z",
            "trace_id": name,
            "raw": f"the {name} sang number {n}",
        }
        for n in range(count)
    ]


def found(server: Any, name: str) -> int:
    """How many of the events search finds, and 0 while it does not answer."""
    asked = {"query": name, "mode": "text", "limit": 100}
    reply = asking().post(f"{server.url}/api/v1/search", json=asked, timeout=60)
    return len(reply.json()["results"]) if reply.status_code == 200 else 0


def child_of(pid: int) -> int:
    """The search process of a server."""
    for path in os.listdir("/proc"):  # noqa: PTH208 - names are wanted
        if path.isdigit():
            try:
                with open(f"/proc/{path}/status") as status, open(f"/proc/{path}/cmdline") as command:  # noqa: PTH123 - of the process table
                    if f"PPid:\t{pid}\n" in status.read() and "edge_process" in command.read():
                        return int(path)
            except (FileNotFoundError, ProcessLookupError):
                continue
    pytest.fail("the server has no search process")


def test_search_is_complete_again_after_its_process_was_killed(serve: Callable[..., Any], tmp_path: Path) -> None:
    with serve(tmp_path) as server:
        for name in ("nightingale", "blackbird", "lark"):
            server.post(events(name))
            server.until(lambda: server.get("/health/ready").json()["engines"]["search"]["status"] == "ok")
            os.kill(child_of(server.popen.pid), signal.SIGKILL)
        for name in ("nightingale", "blackbird", "lark"):
            server.until(lambda name=name: found(server, name) == 20)
        server.until(lambda: server.get("/health/ready").json()["status"] == "ready")


def test_a_killed_server_goes_on_with_its_outbox(serve: Callable[..., Any], tmp_path: Path) -> None:
    names = ("wren", "robin", "thrush")
    for name in names:
        with serve(tmp_path) as server:
            assert server.post(events(name)).json()["ingested"] == 20
            server.kill()  # at once: the indexer has hardly begun
    with serve(tmp_path) as server:
        for name in names:
            server.until(lambda name=name: found(server, name) == 20)
            listed = server.get("/api/v1/events", trace=name, limit=100).json()["events"]
            assert len(listed) == 20
            server.until(lambda name=name: server.get(f"/api/v1/traces/{name}").json()["trace"]["events"] == 20)


@pytest.mark.anyio
async def test_a_trace_that_was_open_at_a_restart_ends_by_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.time_ns() // 1000
    store = await SurrealStore.open(tmp_path, min_free=0)
    async with Indexer(store, None) as indexer:
        opened = Event(event_id=str(uuid.uuid4()), timestamp=now, event_type="agent_start", trace_id="run")
        await Ingest(store).ingest([opened], Options())
        await indexer.wait_idle()
        [trace] = await store.traces(TraceFilter(), limit=2)
        assert trace.status == "running"
    await store.close()

    later = now + indexing.RUNNING_FOR + 60_000_000
    monkeypatch.setattr(indexing.time, "time_ns", lambda: later * 1000)
    store = await SurrealStore.open(tmp_path, min_free=0)
    async with Indexer(store, None) as indexer:
        await indexer.wait_idle()
        [trace] = await store.traces(TraceFilter(), limit=2)
        assert trace.status == "interrupted", datetime.fromtimestamp(trace.end / 1e6, UTC)
    await store.close()
