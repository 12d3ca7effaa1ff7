"""Killed in the middle of it: nothing that was acknowledged is lost, and the indexer goes on where it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from vectadb_server.indexer import Indexer
from vectadb_server.stores.base import EventFilter, TraceFilter
from vectadb_server.stores.surreal import SurrealStore

from .making import record_id

pytestmark = pytest.mark.anyio


def acknowledged_until_killed(data_dir: Path, after: int, *how: str) -> list[int]:
    """Kill the server after so many acknowledged batches; return these, and those that it had printed by then."""
    here = Path(__file__).parent
    command = [sys.executable, "-m", f"{here.name}.ingest_until_killed", str(data_dir), *how]
    acknowledged = []
    with subprocess.Popen(command, cwd=here.parent, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        for text in child.stdout:
            acknowledged.append(int(text))
            if len(acknowledged) == after:
                child.kill()
    return acknowledged


@pytest.mark.parametrize(
    ("after", "how"), [(3, ()), (11, ()), (4, ("closing",)), (12, ("closing",)), (50, ("closing",))]
)
async def test_sigkill_loses_nothing_that_was_acknowledged(tmp_path: Path, after: int, how: tuple[str, ...]) -> None:
    acknowledged = acknowledged_until_killed(tmp_path, after, *how)
    assert len(acknowledged) >= after
    store = await SurrealStore.open(tmp_path)
    async with Indexer(store, None) as indexer:
        await indexer.wait_idle()
    events = {event.event_id: event for event in await store.events(EventFilter(), limit=100_000)}
    for number in acknowledged:
        assert len(events[record_id(f"{number}-0")].record_ids) == 5
        assert all(record_id(f"{number}-{n}") in events for n in range(5, 20))
        assert not any(record_id(f"{number}-{n}") in events for n in range(1, 5))
    [trace] = await store.traces(TraceFilter(), limit=2)
    assert trace.events == len(events)
    assert sum(hour.count for hour in await store.digest(None, 0, 2**60)) == len(events) // 16 * 20
    await store.close()
