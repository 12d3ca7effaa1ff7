"""The embedded record gives memory back: days are closed where the process has too much, and nobody notices."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from vectadb_server.indexer import Indexer, lag_of
from vectadb_server.ingest import Ingest
from vectadb_server.stores import directories, memory, worklists
from vectadb_server.stores.base import EventFilter
from vectadb_server.stores.directories import Directories
from vectadb_server.stores.segments import META
from vectadb_server.stores.surreal import SurrealStore

from .making import DAY, MIDNIGHT, OPTIONS, SECOND, line

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from vectadb_server.model import Event

pytestmark = pytest.mark.anyio

DAYS = ["2026-01-02", "2026-01-03", "2026-01-04"]
ENOUGH = 10**12


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SurrealStore]:
    """Three days, and memory enough for all."""
    opened = await SurrealStore.open(tmp_path, memory=ENOUGH)
    await Ingest(opened).ingest(lines(9), OPTIONS)
    try:
        yield opened
    finally:
        await opened.close()


def lines(count: int, first: int = 0) -> list[Event]:
    return [line(f"r{n}", MIDNIGHT + n % 3 * DAY + n * SECOND) for n in range(first, first + count)]


def days_of(store: SurrealStore) -> Directories:
    assert isinstance(store.segments, Directories)
    return store.segments


async def looked(store: SurrealStore, memory_for: int = 1) -> list[str]:
    """Have it look at logs and memory once; return the days that are open then."""
    days = days_of(store)
    days._memory, days._looked, days._look_at, days._relieve_at = memory_for, 0.0, 0.0, 0.0
    days._in_use.clear()
    days._mind_memory()
    if days._relieving is not None:
        await days._relieving
    days._memory, days._look_at = ENOUGH, float("inf")
    return sorted(days._open.keys() - {META})


def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directories, "QUIET", -1.0)


async def test_quiet_days_are_closed_where_there_is_too_much_and_are_there_when_asked_for(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(monkeypatch)
    assert await looked(store, ENOUGH) == DAYS
    before = await store.events(EventFilter(), limit=99)
    assert await looked(store) == []
    assert await store.events(EventFilter(), limit=99) == before
    assert len(before) == 9
    assert {each.status for each in await Ingest(store).ingest(lines(9), OPTIONS)} == {"duplicate"}


async def test_no_more_days_are_closed_than_are_to_be(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(monkeypatch)
    told = iter([3, 2, 1])
    monkeypatch.setattr(directories, "anonymous", lambda: next(told))
    # What has been open for longest first, and only until there is no more than there may be.
    assert await looked(store, 1) == DAYS[1:]


async def test_a_day_with_little_in_its_log_is_not_closed_again_and_again(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(monkeypatch)
    monkeypatch.setattr(directories, "SOME_LOG", 0)
    assert await looked(store) == []
    await store.events(EventFilter(), limit=99)
    assert await looked(store) == DAYS
    monkeypatch.setattr(directories, "SOME_LOG", 2**16)
    assert await looked(store) == []


async def test_days_that_are_written_in_stay_open_until_their_log_is_long(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await looked(store) == DAYS
    monkeypatch.setattr(directories, "LONG_LOG", 0)
    assert await looked(store, ENOUGH) == []
    assert META not in days_of(store)._open
    assert len(await store.events(EventFilter(), limit=99)) == 9


async def test_a_day_in_use_stays_open_and_its_user_goes_on(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(monkeypatch)
    monkeypatch.setattr(directories, "MOMENT", 0.01)
    async with store.segments.use(DAYS[1]) as db:
        assert await looked(store) == [DAYS[1]]
        assert await db.one("SELECT VALUE size FROM event") == [1, 1, 1]
    assert await looked(store) == []


async def test_without_room_on_the_disk_no_day_is_closed(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    quiet(monkeypatch)
    monkeypatch.setattr(days_of(store)._space, "free", lambda: 0)
    assert await looked(store) == DAYS


async def test_nothing_is_lost_and_nothing_twice_where_days_are_closed_all_the_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quiet(monkeypatch)
    for name in ("LOOK", "LOOK_LATER", "LONG_LOG"):
        monkeypatch.setattr(directories, name, 0)
    closed = 0
    close = Directories._close

    async def counted(self: Directories, name: str) -> None:
        nonlocal closed
        closed += 1
        await close(self, name)

    monkeypatch.setattr(Directories, "_close", counted)
    store = await SurrealStore.open(tmp_path, memory=1)
    events = lines(600)
    async with Indexer(store, None) as indexer:
        ingest = Ingest(store)
        batches = [events[first : first + 20] for first in range(0, len(events), 10)]  # each event comes twice
        outcomes = [
            each for some in await asyncio.gather(*(ingest.ingest(b, OPTIONS) for b in batches)) for each in some
        ]
        await indexer.wait_idle()
    assert sorted(each.event_id for each in outcomes if each.status == "accepted") == sorted(
        event.event_id for event in events
    )
    assert {each.status for each in outcomes} == {"accepted", "duplicate"}
    found = await store.events(EventFilter(), limit=999)
    assert {event.event_id for event in found} == {event.event_id for event in events}
    assert len(found) == 600
    assert closed > 10
    await store.close()


async def test_what_waits_is_told_while_a_day_is_closed(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worklists, "MOMENT", 0.05)
    async with days_of(store)._alone(DAYS[0], 1.0):
        with pytest.raises(TimeoutError):
            await lag_of(store, DAYS)
    before = await lag_of(store, DAYS)
    assert before.outbox == 3
    async with days_of(store)._alone(DAYS[0], 1.0):
        now = await lag_of(store, DAYS)
    assert (now.outbox, now.stale_traces, now.search) == (before.outbox, before.stale_traces, before.search)
    assert now.seconds > before.seconds
    monkeypatch.setattr(worklists, "RECENTLY", 0.0)
    async with days_of(store)._alone(DAYS[0], 1.0):
        with pytest.raises(TimeoutError):  # An engine that hangs is not told to be well for ever.
            await lag_of(store, DAYS)


def test_the_memory_that_no_file_backs_is_told() -> None:
    before = memory.anonymous()
    assert before > 5_000_000
    held = bytearray(100_000_000)
    assert memory.anonymous() - before > 90_000_000
    del held
