"""By age and by count whole days go, and nothing brings them back."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server import ids
from vectadb_server.attribution import given_trace
from vectadb_server.expiry import Expired
from vectadb_server.model import Event
from vectadb_server.stores import horizon, surreal, worklists
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.surreal import SurrealStore

from .making import DAY, HOUR, MIDNIGHT, SECOND, block, line, posted, record_id
from .retaining import NOW, Server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from .conftest import Opener

pytestmark = pytest.mark.anyio

TYPES = ("log", "tool_call", "tool_result", "llm_end", "error")


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectadb_server.retention.GRACE", 0.0)


@pytest.fixture
async def server(store: SurrealStore) -> AsyncIterator[Server]:
    async with Server(store, age=30 * DAY) as running:
        yield running


def some_events(seed: int, days: int = 6, number: int = 300) -> list[Event]:
    """Events of traces that go on over several days, in blocks and lines, of logs and of clients."""
    pick = random.Random(seed)
    made: list[Event] = []
    for n in range(number):
        at = MIDNIGHT + pick.randrange(days * 24) * HOUR + pick.randrange(3600) * SECOND
        more: dict[str, Any] = {
            "trace_id": f"t{pick.randrange(40)}",
            "session_id": f"s{pick.randrange(5)}",
            "agent_id": f"a{pick.randrange(3)}",
            "event_type": pick.choice(TYPES),
            "properties": {"gen_ai.tool.name": "look", "gen_ai.usage.input_tokens": n},
        }
        size = pick.choice((0, 1, 1, 1, 3))
        if size:
            records = [(f"r{n}-{i}", at + i * SECOND) for i in range(size)]
            said = at + pick.randrange(-40, 40) * HOUR
            made.append(block(*records, stream=f"s{n % 7}", timestamp=said, **more))
        else:
            event_id = ids.uuid5(ids.EVENTS, [f"posted {n}"])
            made.append(posted(event_id, at, raw=f"posted {n}", **more))
    return made


async def kept_alone(new_store: Opener, events: list[Event]) -> dict[str, Any]:
    """Return what a fresh record shows that never had any others."""
    async with Server(await new_store()) as other:
        await other.send(*events)
        await other.indexer.wait_idle()
        return await other.shows([given_trace(f"t{n}") for n in range(40)])


def assert_same(shown: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in untimed(expected).items():
        if isinstance(value, list):
            assert [each for each in untimed(shown)[name] if each not in value] == [], name
        assert untimed(shown)[name] == value, name


def untimed(shown: dict[str, Any]) -> dict[str, Any]:
    """When an event came is no part of what it says."""
    traces = [(summary, [(each.event_id, each.raw) for each in events]) for summary, events in shown["trace"]]
    return {**shown, "trace": traces}


@pytest.mark.parametrize("seed", range(2))
async def test_what_is_left_is_what_would_be_there_without_the_rest(new_store: Opener, seed: int) -> None:
    events = some_events(seed)
    async with Server(await new_store(), age=30 * DAY) as server:
        for start in range(0, len(events), 60):
            await server.send(*events[start : start + 60])
        await server.indexer.wait_idle()
        server.now = NOW + 3 * DAY + 5 * HOUR
        await server.settle()
        assert server.expiry.horizon() == MIDNIGHT + 3 * DAY
        left = [each for each in events if each.recorded >= MIDNIGHT + 3 * DAY]
        assert 0 < len(left) < len(events)
        shown = await server.shows([given_trace(f"t{n}") for n in range(40)])
        assert_same(shown, await kept_alone(new_store, left))
        assert (await server.check()).complete
        # A second one has nothing to do.
        await server.settle()
        assert_same(shown, await server.shows([given_trace(f"t{n}") for n in range(40)]))


async def test_traces_are_the_same_however_few_rows_a_transaction_takes(
    new_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = some_events(4, number=150)
    wanted = await kept_alone(new_store, events)
    assert len(wanted["members"]) > 2 * 40
    monkeypatch.setattr(worklists, "_ROWS", 1)
    assert_same(await kept_alone(new_store, events), wanted)


async def test_nothing_comes_back(server: Server) -> None:
    whole = [(f"w{n}", MIDNIGHT + n) for n in range(3)]
    old = [line("a", MIDNIGHT), block(*whole), posted(ids.uuid7(), MIDNIGHT, raw="p"), line("b", MIDNIGHT + DAY)]
    assert await server.send(*old) == ["accepted"] * 4
    await server.indexer.wait_idle()
    server.now = NOW + DAY
    await server.settle()
    assert await server.store.days() == ["2026-01-03"]
    larger = block(*whole, ("w3", MIDNIGHT + 3))
    assert await server.send(*old, larger) == ["expired"] * 3 + ["duplicate", "expired"]
    # An id that a client made up, with another time.
    later = posted(old[2].event_id, MIDNIGHT + DAY, raw="p")
    assert await server.send(later) == ["accepted"], "the record has forgotten it with its day"
    hours = await server.store.digest(None, 0, 2**60)
    assert [hour.hour for hour in hours] == [MIDNIGHT + DAY]
    assert await server.store.event(record_id("a")) is None
    # Also not when the setting is lengthened.
    async with Server(server.store, age=900 * DAY) as lenient:
        await lenient.settle()
        assert await lenient.send(*old[:2]) == ["expired"] * 2
    assert await server.store.days() == ["2026-01-03"]


async def test_an_id_whose_day_is_going_is_expired_whatever_time_it_comes_with(server: Server) -> None:
    old = posted(ids.uuid7(), MIDNIGHT, raw="p")
    await server.send(old)
    await horizon.advance(server.store.segments, horizon.Horizon(MIDNIGHT + DAY))
    await server.expiry.refresh()
    assert await server.send(posted(old.event_id, MIDNIGHT + DAY, raw="p")) == ["expired"]


async def test_a_day_that_was_made_again_is_dropped_again(server: Server) -> None:
    await server.send(line("a", MIDNIGHT, trace_id="t"), line("b", MIDNIGHT + DAY, trace_id="t"))
    await server.indexer.wait_idle()
    server.now = NOW + DAY
    await server.settle()
    # By a server that did not know yet.
    async with Server(server.store) as late:
        late.ingest._expired = _nothing_is_expired
        assert await late.send(line("a", MIDNIGHT, trace_id="t")) == ["accepted"]
        await late.indexer.wait_idle()
    # Servers believe for a second that a dropped day is there, and may make it once more: the next pass drops it.
    for _ in range(5):
        await server.settle()
        if await server.store.days() == ["2026-01-03"]:
            break
    assert await server.store.days() == ["2026-01-03"]
    summary = await server.store.trace(given_trace("t"))
    assert summary is not None
    assert summary.events == 1
    assert (await server.check()).complete


async def test_by_count_the_oldest_days_go_but_never_the_last_two(store: SurrealStore) -> None:
    events = [line(f"{day}-{n}", MIDNIGHT + day * DAY + n) for day in range(5) for n in range(10)]
    async with Server(store, events=25) as server:
        server.now = MIDNIGHT + 4 * DAY + HOUR
        await server.send(*events)
        await server.settle()
        assert await store.days() == ["2026-01-05", "2026-01-06"]
        assert server.expiry.horizon() == MIDNIGHT + 3 * DAY
    async with Server(store, events=3) as server:
        server.now = MIDNIGHT + 4 * DAY + HOUR
        await server.settle()
        assert await store.days() == ["2026-01-05", "2026-01-06"]
        server.now += DAY
        await server.settle()
        assert await store.days() == ["2026-01-06"]
        server.now += 9 * DAY
        await server.settle()
        assert await store.days() == []


async def test_few_enough_events_move_no_horizon(store: SurrealStore) -> None:
    async with Server(store, events=10) as server:
        await server.send(*(line(f"{n}", MIDNIGHT + n * DAY) for n in range(10)))
        await server.settle()
        assert server.expiry.horizon() == 0
        assert await server.send(line("older", MIDNIGHT - 90 * DAY)) == ["accepted"]


@pytest.mark.parametrize("step", ["drop_day", "forget_before", "drop_days", "advance", "forget_trace_days"])
@pytest.mark.parametrize("done", [False, True])
async def test_a_pass_that_ends_anywhere_is_finished_by_the_next(
    new_store: Opener, monkeypatch: pytest.MonkeyPatch, step: str, *, done: bool
) -> None:
    events = some_events(7, days=4, number=80)
    left = [each for each in events if each.recorded >= MIDNIGHT + 2 * DAY]
    traces = [given_trace(f"t{n}") for n in range(40)]
    async with Server(await new_store(), age=30 * DAY) as server:
        await server.send(*events)
        await server.indexer.wait_idle()
        server.now = NOW + 2 * DAY
        places: dict[str, Any] = {
            "advance": horizon,
            "drop_days": server.index,
            "forget_trace_days": surreal,
        }
        with monkeypatch.context() as patch:
            breaks(patch, places.get(step, server.store), step, done=done)
            with pytest.raises(StoreUnavailable, match="broken"):
                await server.retention.once()
        await server.indexer.wait_idle()
        # Another process, later.
    async with Server(server.store, age=30 * DAY) as again:
        again.index.documents, again.now = server.index.documents, server.now
        await again.settle()
        shown = await again.shows(traces)
        assert_same(shown, await kept_alone(new_store, left))
        assert (await again.check()).complete


async def test_ingest_goes_on_beside_it_and_loses_nothing(server: Server) -> None:
    for day in range(4):
        await server.send(*(line(f"{day}-{n}", MIDNIGHT + day * DAY + n, trace_id="t") for n in range(200)))
    sent: list[str] = []
    through = asyncio.Event()

    async def go_on() -> None:
        n = 0
        while not through.is_set():
            n += 1
            new = line(f"new {n}", MIDNIGHT + 3 * DAY + n, trace_id="t")
            assert (await server.send(new, line(f"0-{n % 200}", MIDNIGHT + n % 200, trace_id="t")))[0] == "accepted"
            sent.append(new.event_id)

    beside = asyncio.create_task(go_on())
    server.now = NOW + 3 * DAY
    await server.retention.once()
    through.set()
    await beside
    await server.settle()
    await server.indexer.wait_idle()
    assert sent
    assert await server.store.days() == ["2026-01-05"]
    assert len(await server.store.trace_events(given_trace("t"))) == 200 + len(sent)
    assert (await server.check()).complete


async def test_the_directory_is_gone_and_what_was_half_removed_too(tmp_path: Path) -> None:
    store = await SurrealStore.open(tmp_path)
    async with Server(store, age=30 * DAY) as server:
        await server.send(line("a", MIDNIGHT), line("b", MIDNIGHT + DAY))
        server.now = NOW + DAY
        await server.settle()
        assert b"vectadb_dropped_days_total 1.0" in server.metrics.text()
        freed = next(text for text in server.metrics.text().decode().splitlines() if text.startswith("vectadb_freed"))
        assert float(freed.split()[1]) > 1000
    assert sorted(path.name for path in (tmp_path / "record").iterdir()) == ["2026-01-03", "lock", "meta"]
    await store.close()
    (tmp_path / "record" / "dropped-2026-01-01" / "sstables").mkdir(parents=True)
    store = await SurrealStore.open(tmp_path)
    assert await store.days() == ["2026-01-03"]
    assert not (tmp_path / "record" / "dropped-2026-01-01").exists()
    await store.close()


async def _nothing_is_expired() -> Any:
    return Expired()


def breaks(patch: pytest.MonkeyPatch, owner: Any, name: str, *, done: bool) -> None:
    """Let a step fail, before or after it was done."""
    whole = getattr(owner, name)

    async def broken(*arguments: Any, **more: Any) -> Any:
        if done:
            await whole(*arguments, **more)
        raise StoreUnavailable("broken")

    patch.setattr(owner, name, broken)
