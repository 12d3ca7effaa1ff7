"""Several stores on one record on a server, as several of our servers have them."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server.indexer import Indexer
from vectadb_server.indexing import Indexing
from vectadb_server.ingest import Ingest
from vectadb_server.stores.base import EventFilter, StoreUnavailable, TraceFilter
from vectadb_server.stores.engine import Conflict
from vectadb_server.stores.leases import Fence, Fenced, Lease
from vectadb_server.stores.remote import Address, Session
from vectadb_server.stores.segments import META
from vectadb_server.stores.surreal import SurrealStore

from .making import DAY, MIDNIGHT, OPTIONS, block, line, posted, record_id
from .test_record_indexer import FakeIndex

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.engines.surreal import Engine

pytestmark = pytest.mark.anyio
TODAY = "2026-01-02"


@pytest.fixture
async def stores(new_address: Callable[[], Address]) -> AsyncIterator[tuple[SurrealStore, SurrealStore]]:
    address = new_address()
    # At once, as servers start.
    one, two = await asyncio.gather(SurrealStore.remote(address), SurrealStore.remote(address))
    yield one, two
    await one.close()
    await two.close()


def indexing(store: SurrealStore, index: FakeIndex | None = None) -> Indexing:
    return Indexing(store, lambda: Indexer(store, index))


async def test_many_that_start_at_once_on_nothing_make_it_together(new_address: Callable[[], Address]) -> None:
    for _ in range(8):
        address = new_address()
        for store in await asyncio.gather(*(SurrealStore.remote(address) for _ in range(4))):
            await store.close()


async def test_days_come_and_go_on_all(stores: tuple[SurrealStore, SurrealStore]) -> None:
    one, two = stores
    await Ingest(one).ingest([line("a", MIDNIGHT), line("b", MIDNIGHT + DAY)], OPTIONS)
    assert await one.days() == await two.days() == [TODAY, "2026-01-03"]
    assert len(await two.events(EventFilter(), limit=9)) == 2
    await one.drop_day(TODAY)
    assert await two.days() == ["2026-01-03"]
    assert [event.raw for event in await two.events(EventFilter(), limit=9)] == ["b"]
    # What one had open is gone; the day is made anew by whoever writes into it, perhaps at the second try.
    for _ in range(2):
        try:
            await Ingest(two).ingest([line("c", MIDNIGHT)], OPTIONS)
        except StoreUnavailable:
            continue
        break
    for store in stores:
        assert [event.raw for event in await store.events(EventFilter(), limit=9)] == ["b", "c"]


async def test_overlapping_blocks_through_two_at_once_leave_one_row_a_record(
    stores: tuple[SurrealStore, SurrealStore],
) -> None:
    records = [(f"r{n}", MIDNIGHT + n) for n in range(40)]
    mine = [block(*records[n : n + 4]) for n in range(0, 36, 2)]
    outcomes = await asyncio.gather(*(Ingest(store).ingest([each], OPTIONS) for each in mine for store in stores))
    assert {outcome.status for [outcome] in outcomes} <= {"accepted", "duplicate", "failed"}
    await Ingest(stores[0]).ingest([block(*records)], OPTIONS)
    for store in stores:
        [event] = await store.events(EventFilter(), limit=9)
        assert event.record_ids == [record_id(log_id) for log_id, _ in records]
        [hour] = await store.digest(None, 0, 2**60)
        assert hour.count == 40


async def test_an_id_that_clients_made_up_is_stored_once_whatever_its_time(
    stores: tuple[SurrealStore, SurrealStore],
) -> None:
    ids = [f"00000000-0000-4000-8000-{n:012}" for n in range(20)]
    sent = [
        Ingest(store).ingest([posted(event_id, MIDNIGHT + day * DAY) for event_id in ids], OPTIONS)
        for day, store in enumerate(stores)
    ]
    outcomes = [outcome.status for some in await asyncio.gather(*sent) for outcome in some]
    assert sorted(outcomes) == ["accepted"] * 20 + ["duplicate"] * 20
    assert len(await stores[0].events(EventFilter(), limit=99)) == 20


async def test_a_lease_has_one_holder_and_its_token_grows(stores: tuple[SurrealStore, SurrealStore]) -> None:
    one, two = (Lease(store.segments, "work", name) for store, name in zip(stores, "ab", strict=True))
    assert await one.take() == 1
    assert await one.take() == 1
    assert await two.take() is None
    await one.release()
    assert one.token is None
    assert await two.take() == 2
    assert await one.take() is None


async def test_a_lease_that_is_not_renewed_runs_out(
    stores: tuple[SurrealStore, SurrealStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectadb_server.stores.leases.TTL", 0.05)
    one, two = (Lease(store.segments, "work", name) for store, name in zip(stores, "ab", strict=True))
    await one.take()
    while await two.take() is None:
        pass
    assert one.token is None
    assert two.token == 2


async def test_whoever_held_the_lease_before_writes_nothing_any_more(
    stores: tuple[SurrealStore, SurrealStore],
) -> None:
    late, now = stores
    await Ingest(now).ingest([line("a", MIDNIGHT, trace_id="t")], OPTIONS)
    late.fence, now.fence = Fence(1), Fence(2)
    found = await late.outbox(TODAY, 9)
    assert await now.outbox(TODAY, 9) == found
    refs = [ref for ref, _ in found]
    for write in (
        late.applied(TODAY, refs, [], ["t"], ["x"]),
        late.put_traces(TODAY, [], ["t"], {}),
        late.forget_pending(TODAY, refs),
    ):
        with pytest.raises(Fenced):
            await write
    assert await now.outbox(TODAY, 9) == found
    await now.applied(TODAY, refs, [], ["t"], ["x"])
    assert list(await now.stale(TODAY)) == ["t"]
    late.fence = Fence(1)
    with pytest.raises(Fenced):
        await late.outbox(TODAY, 9)


async def test_a_late_transaction_meets_the_fence_that_is_planted_meanwhile(
    stores: tuple[SurrealStore, SurrealStore],
) -> None:
    """It looked before, commits behind: its own write of the fence is what stops it."""
    late, now = stores
    await Ingest(late).ingest([line("a", MIDNIGHT, trace_id="t")], OPTIONS)
    late.fence = Fence(1)
    await late.outbox(TODAY, 9)
    async with late.segments.use(TODAY) as mine, now.segments.use(TODAY) as theirs:
        slow = asyncio.create_task(late.fence.run(mine, "apply", "SLEEP 2s; CREATE stale:late RETURN NONE", {}))
        # Planted while that sleeps in the middle of its transaction.
        await Fence(2).plant(TODAY, theirs)
        with pytest.raises((Conflict, Fenced)):
            await slow
    assert await now.stale(TODAY) == {}


async def test_what_a_late_one_handed_to_search_is_handed_over_again(
    stores: tuple[SurrealStore, SurrealStore],
) -> None:
    """It may have put an older state of a document over the present one."""
    late, now = stores
    await Ingest(now).ingest([line("a", MIDNIGHT, trace_id="t")], OPTIONS)

    class Slow(FakeIndex):
        shut_out = asyncio.Event()

        async def upsert(self, documents: Any) -> None:
            await super().upsert(documents)
            if not self.shut_out.is_set():
                await Fence(9).plant(TODAY, db)
                self.documents.clear()  # What came later, and is lost now.
                self.shut_out.set()

    index = Slow()
    late.wake(TODAY)
    late.fence = Fence(1)
    async with now.segments.use(TODAY) as db, Indexer(late, index):
        await index.shut_out.wait()
        while not await now.outbox(TODAY, 9):
            pass
    now.fence = Fence(9)
    now.wake(TODAY)
    async with Indexer(now, index) as other:
        await other.wait_idle()
    assert set(index.documents) == {record_id("a")}


async def test_two_that_index_make_of_it_what_one_would(stores: tuple[SurrealStore, SurrealStore]) -> None:
    """Whoever has the lease; wait_idle and lag are true on both."""
    index = FakeIndex()
    async with indexing(stores[0], index) as one, indexing(stores[1], index) as two:
        for n in range(10):
            await Ingest(stores[n % 2]).ingest([line(f"r{n}", MIDNIGHT + (n % 3) * DAY, trace_id="t")], OPTIONS)
        await two.wait_idle()
        assert len(index.documents) == 10
        for store in stores:
            [trace] = await store.traces(TraceFilter(), limit=9)
            assert trace.events == 10
        await one.wait_idle()
        for each in (one, two):
            lag = await each.lag()
            assert (lag.outbox, lag.stale_traces, lag.search) == (0, 0, 0)
        assert one.here != two.here


async def test_a_wrong_password_is_told_and_not_shown(new_address: Callable[[], Address]) -> None:
    right = new_address()
    wrong = Address(url=right.url, user="root", password="hunter2", namespace="test", prefix=right.prefix)
    with pytest.raises(StoreUnavailable, match="refuses the user 'root'") as caught:
        await SurrealStore.remote(wrong)
    assert "hunter2" not in f"{caught.value!r} {wrong!r} {wrong}"


async def test_an_engine_that_does_not_answer_is_noticed_and_found_again(
    engine: Engine, new_address: Callable[[], Address], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await SurrealStore.remote(new_address())
    await Ingest(store).ingest([line("a", MIDNIGHT)], OPTIONS)
    monkeypatch.setattr("vectadb_server.stores.remote.QUERY", 0.2)
    monkeypatch.setattr("vectadb_server.stores.remote._OPEN", 0.2)
    engine.signal(signal.SIGSTOP)
    try:
        with pytest.raises(StoreUnavailable, match="no answer within"):
            await store.events(EventFilter(), limit=9)
        with pytest.raises(StoreUnavailable, match="does not answer"):
            await store.check()
    finally:
        engine.signal(signal.SIGCONT)
    monkeypatch.undo()
    assert len(await store.events(EventFilter(), limit=9)) == 1
    await store.close()


async def test_queries_of_one_session_run_side_by_side(new_address: Callable[[], Address]) -> None:
    session = await Session.opened(new_address(), "any")
    slow = asyncio.create_task(session.query_raw("SLEEP 500ms", {}))
    for _ in range(10):
        await session.query_raw("RETURN 1", {})
    assert not slow.done()
    await session.close()
    with pytest.raises(StoreUnavailable, match="closed"):
        await slow


async def test_a_day_that_is_dropped_while_somebody_goes_to_it_stays_dropped(
    stores: tuple[SurrealStore, SurrealStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, _ = stores
    await Ingest(one).ingest([line("a", MIDNIGHT)], OPTIONS)
    segments = one.segments
    whole = segments.has

    async def has(day: str) -> bool:
        found = await whole(day)
        await segments.drop(day)  # right after it was looked at
        return found

    monkeypatch.setattr(segments, "has", has)
    async with segments.use(META) as meta:
        with pytest.raises(StoreUnavailable, match="was dropped meanwhile"):
            async with segments.use(TODAY):
                pass
        assert await meta.one("RETURN 1") == 1, "others go on with their session"
    assert await one.days() == []
