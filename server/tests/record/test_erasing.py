"""An erased trace is gone, everywhere, and nothing undoes it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server.attribution import given_trace
from vectadb_server.following import Following, Place
from vectadb_server.stores import tombstones
from vectadb_server.stores.base import EventFilter, StoreUnavailable, TraceFilter
from vectadb_server.stores.surreal import SurrealStore

from .making import DAY, HOUR, MIDNIGHT, MINUTE, SECOND, block, line, record_id
from .retaining import NOW, Server
from .test_retention import assert_same, breaks, kept_alone, some_events

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vectadb_server.expiry import Expired
    from vectadb_server.model import Event

    from .conftest import Opener

pytestmark = pytest.mark.anyio

T = given_trace("t")


@pytest.fixture
async def server(store: SurrealStore) -> AsyncIterator[Server]:
    async with Server(store) as running:
        yield running


async def digest(store: SurrealStore) -> list[Any]:
    return await store.digest(None, 0, 2**60)


async def lacking(store: SurrealStore, *events: Event) -> set[int]:
    asked: list[tuple[str, int]] = []
    for each in events:
        times = each.source.timestamps if each.source is not None else []
        asked += zip(each.record_ids, times or [each.recorded], strict=True)
    return await store.lacking(asked)


async def test_what_is_left_is_what_would_be_there_without_it(new_store: Opener) -> None:
    events = some_events(0, days=3, number=150)
    async with Server(await new_store()) as server:
        await server.send(*events)
        await server.indexer.wait_idle()
        counted = await digest(server.store)
        goes = {given_trace(f"t{n}") for n in range(0, 40, 3)}
        for trace in sorted(goes):
            due = len(await server.store.trace_events(trace))
            erased = await server.eraser.trace(trace)
            assert (erased.events if erased is not None else 0) == due
        await server.indexer.wait_idle()
        left = [each for each in events if each.trace not in goes]
        assert 0 < len(left) < len(events)
        shown = await server.shows([given_trace(f"t{n}") for n in range(40)])
        assert_same(shown, await kept_alone(new_store, left))
        assert await digest(server.store) == counted, "no sweep is to find a difference"
        assert (await server.check()).complete
        # All of it once more, as by a replay.
        again = await server.send(*events)
        assert again == ["expired" if each.trace in goes else "duplicate" for each in events]
        await server.indexer.wait_idle()
        assert_same(await server.shows([given_trace(f"t{n}") for n in range(40)]), shown)
        assert await digest(server.store) == counted
        assert (await server.check()).complete


async def test_nothing_undoes_it(server: Server) -> None:
    whole = [(f"w{n}", MIDNIGHT - 1 + n) for n in range(3)]  # Its head is in another day.
    held = block(*whole, trace_id="t")
    await server.send(held, line("x", MIDNIGHT, trace_id="other"))
    await server.indexer.wait_idle()
    assert await server.eraser.trace(T) is not None
    await server.indexer.wait_idle()
    assert await server.store.event(held.event_id) is None
    assert await server.store.event(held.record_ids[1]) is None
    assert not await lacking(server.store, held)
    larger = block(*whole, ("w3", MIDNIGHT + 3), trace_id="t")
    read_again = block(*whole[1:], ("w4", MIDNIGHT + 4), trace_id="t", read_at=1)
    late = line("late", MIDNIGHT + 2 * DAY, trace_id="t")
    assert await server.send(larger, read_again, late, held) == ["expired"] * 4
    assert not await lacking(server.store, larger, read_again, late), "or the next sweep would send them again"
    # A block of another trace that holds some of its records may not tell them either.
    other = block(*whole, ("w5", MIDNIGHT + 5), trace_id="other")
    [refused] = await server.send(other)
    assert refused == "failed"
    await server.indexer.wait_idle()
    assert await server.store.trace_events(T) == []
    assert await server.store.trace(T) is None
    assert sum(hour.count for hour in await digest(server.store)) == 3 + 1 + 2 + 1
    assert (await server.check()).complete
    assert await server.eraser.trace(T) is None


async def test_late_lines_of_its_window_belong_to_it(server: Server) -> None:
    start = line("start", MIDNIGHT, event_type="invocation_start", request_id="r")
    await server.send(start, line("print", MIDNIGHT + 2))
    await server.indexer.wait_idle()
    trace = str(start.trace)
    erased = await server.eraser.trace(trace)
    assert erased is not None
    assert erased.events == 2
    assert await server.send(line("late", MIDNIGHT + 1), line("after", MIDNIGHT + HOUR)) == ["expired", "accepted"]
    await server.indexer.wait_idle()
    assert await server.store.trace_events(trace) == []
    async with server.store.segments.use("2026-01-02") as db:
        assert await db.one("SELECT VALUE [name, request] FROM boundary") == [[None, None]]
    assert (await server.check()).complete


async def test_what_a_late_boundary_moves_into_it_is_erased(server: Server) -> None:
    """The line came before anybody knew whose it is."""
    await server.send(line("r", MIDNIGHT, request_id="r"))
    await server.send(line("print", MIDNIGHT + 2 * MINUTE))
    await server.indexer.wait_idle()
    [event] = [each for each in [await server.store.event(record_id("r"))] if each is not None]
    assert await server.eraser.trace(str(event.trace)) is not None
    assert await server.store.event(record_id("print")) is not None
    start = line("start", MIDNIGHT + MINUTE, event_type="invocation_start", request_id="r")
    assert await server.send(start) == ["expired"]
    await server.indexer.wait_idle()
    assert await server.store.event(record_id("print")) is None
    assert b"vectadb_erased_events_total 2.0" in server.metrics.text()
    assert (await server.check()).complete


async def test_what_another_server_took_that_did_not_know_yet_is_erased(server: Server) -> None:
    await server.send(line("a", MIDNIGHT, trace_id="t"))
    await server.indexer.wait_idle()
    known = await server.expiry.current()

    async def late() -> Expired:
        return known

    assert await server.eraser.trace(T) is not None
    server.ingest._expired = late
    assert await server.send(line("b", MIDNIGHT + DAY, trace_id="t")) == ["accepted"]
    await server.indexer.wait_idle()
    assert await server.store.trace_events(T) == []
    assert await server.store.event(record_id("b")) is None
    assert (await server.check()).complete


@pytest.mark.parametrize("step", ["begin", "commit", "finish"])
@pytest.mark.parametrize("done", [False, True])
async def test_one_that_ends_anywhere_is_finished_by_retention(
    new_store: Opener, monkeypatch: pytest.MonkeyPatch, step: str, *, done: bool
) -> None:
    monkeypatch.setattr("vectadb_server.erasing._CHUNK", 5)
    store = await new_store()
    async with Server(store) as server:
        await server.send(*(line(f"{n}", MIDNIGHT + n * HOUR, trace_id="t") for n in range(-36, 36, 6)))
        await server.send(block(("x", MIDNIGHT - 1), ("y", MIDNIGHT), trace_id="t"))
        await server.indexer.wait_idle()
        with monkeypatch.context() as patch:
            breaks(patch, store if step == "commit" else tombstones, step, done=done)
            with pytest.raises(StoreUnavailable, match="broken"):
                await server.eraser.trace(T)
    # Another process, later; the client asks once more only where nothing had begun.
    async with Server(store) as again:
        again.index.documents = server.index.documents
        if step == "begin" and not done:
            await again.eraser.trace(T)
        await again.settle()
        assert await again.store.trace_events(T) == []
        assert again.index.documents == {}
        assert await again.store.traces(TraceFilter(), limit=9) == []
        assert await tombstones.unfinished(store.segments) == {}
        assert await again.send(block(("x", MIDNIGHT - 1), ("y", MIDNIGHT))) == ["expired"]
        assert (await again.check()).complete


async def test_what_was_erased_stays_so_under_the_name_of_another_trace(server: Server) -> None:
    await server.send(line("a", MIDNIGHT, trace_id="t"))
    await server.indexer.wait_idle()
    assert await server.eraser.trace(T) is not None
    assert await server.send(line("a", MIDNIGHT, trace_id="other")) == ["expired"]
    assert await server.store.event(record_id("a")) is None


async def test_nobody_who_follows_is_told_of_what_was_erased(server: Server) -> None:
    """Though another one has followed meanwhile, for whom the newest events are kept in memory."""
    expired = server.ingest._expired
    async with Following(server.store.tail, server.store, expired=expired) as following, following.joined():
        await server.send(line("a", MIDNIGHT, trace_id="t"), line("b", MIDNIGHT, trace_id="other"))
        await server.indexer.wait_idle()
        assert {record_id("a"), record_id("b")} == set(await told(following))
        assert await server.eraser.trace(T) is not None
        await server.indexer.wait_idle()
        await server.send(line("c", MIDNIGHT, trace_id="other"))
        await server.indexer.wait_idle()
        assert [record_id("b"), record_id("c")] == await told(following)


async def told(following: Following) -> list[str]:
    """The ids of the two first events of all that there is to be told."""
    found: list[str] = []
    async with asyncio.timeout(30), aclosing(following.follow(EventFilter(), Place(1))) as notes:
        async for note in notes:
            found += [note.event.event_id] if note.event is not None else []
            if len(found) == 2:
                break
    return found


async def test_a_tombstone_goes_with_its_last_day(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectadb_server.retention.GRACE", 0.0)
    async with Server(store, age=30 * DAY) as server:
        await server.send(line("a", MIDNIGHT, trace_id="t"), line("b", MIDNIGHT, trace_id="u"))
        await server.indexer.wait_idle()
        assert await server.eraser.trace(T) is not None
        assert await server.eraser.trace(given_trace("u")) is not None
        assert await server.send(line("c", MIDNIGHT + DAY, trace_id="u")) == ["expired"]
        server.now = NOW + DAY
        await server.settle()
        await server.expiry.refresh()
        assert await server.send(line("d", MIDNIGHT + DAY + SECOND, trace_id="t")) == ["accepted"]
        assert await server.send(line("e", MIDNIGHT + DAY + SECOND, trace_id="u")) == ["expired"]


async def test_an_unknown_trace_leaves_no_tombstone(server: Server) -> None:
    assert await server.eraser.trace(T) is None
    assert await server.send(line("a", MIDNIGHT, trace_id="t")) == ["accepted"]
