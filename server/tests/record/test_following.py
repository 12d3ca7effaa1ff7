"""What followers are told, against what was stored: in order of arrival, once, over restarts, servers and slowness."""

from __future__ import annotations

import asyncio
import random
from contextlib import aclosing
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import pytest

from vectadb_server import following as module
from vectadb_server.following import Following, Note, Place, TooMany, read_place
from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.stores import tail as tail_module
from vectadb_server.stores.base import EventFilter
from vectadb_server.stores.tail import Tail

from .making import DAY, MIDNIGHT, OPTIONS, SECOND, block, line, record_id

if TYPE_CHECKING:
    from vectadb_server.stores.surreal import SurrealStore

pytestmark = pytest.mark.anyio


async def told(following: Following, count: int, place: Place | None = None, **where: object) -> list[Note]:
    """The first so many notes that are events or gaps."""
    found: list[Note] = []
    async with asyncio.timeout(30), aclosing(following.follow(EventFilter(**where), place)) as notes:  # type: ignore[arg-type]
        async for note in notes:
            if note.kind != "alive":
                found.append(note)
            if len(found) == count:
                break
    return found


def ids(notes: list[Note]) -> list[str]:
    return [note.event.event_id if note.event is not None else note.kind for note in notes]


async def test_events_come_once_in_the_order_of_arrival_whatever_their_times(store: SurrealStore) -> None:
    rnd = random.Random(1)
    lines = [line(f"r{n}", MIDNIGHT + rnd.randrange(-2 * DAY, 2 * DAY), agent_id=f"a{n % 2}") for n in range(60)]
    async with Indexer(store, None) as indexer, Following(store.tail, store) as following, following.joined():
        everything = asyncio.create_task(told(following, 60))
        half = asyncio.create_task(told(following, 30, agent_id="a1"))
        for i in range(0, 60, 7):
            # What is sent twice is stored once, and told once.
            await Ingest(store).ingest(lines[max(0, i - 5) : i + 7], OPTIONS)
            await indexer.wait_idle()
        found, found_of_half = await everything, await half
    arrived = [event.event_id for event in lines]
    batches = [set(arrived[i : i + 7]) for i in range(0, 60, 7)]
    seen = ids(found)
    assert [set(seen[i : i + 7]) for i in range(0, 60, 7)] == batches
    odd = [note for note in found if note.event is not None and note.event.agent_id == "a1"]
    assert found_of_half == odd


async def test_each_place_is_resumed_without_loss_or_repetition_on_any_server(store: SurrealStore) -> None:
    lines = [line(f"r{n}", MIDNIGHT + n * SECOND) for n in range(12)]
    async with Indexer(store, None) as indexer:
        for i in range(0, 12, 4):
            await Ingest(store).ingest(lines[i : i + 4], OPTIONS)
            await indexer.wait_idle()
    # Another server has another Tail and Following; all that they share is the record.
    async with Following(Tail(store.segments), store) as other, other.joined():
        notes = await told(other, 12, Place(1))
        assert sorted(ids(notes)) == sorted(event.event_id for event in lines)
        for position, note in enumerate(notes[:-1]):
            assert read_place(str(note.place)) == note.place
            assert ids(await told(other, 11 - position, note.place)) == ids(notes[position + 1 :])


async def test_what_another_server_stored_is_seen_without_being_woken(store: SurrealStore) -> None:
    async with Following(Tail(store.segments), store) as other, other.joined():
        waiting = asyncio.create_task(told(other, 1))
        async with Indexer(store, None) as indexer:
            await Ingest(store).ingest([line("a", MIDNIGHT)], OPTIONS)
            await indexer.wait_idle()
        assert ids(await waiting) == [record_id("a")]


async def test_commits_of_several_indexers_make_one_sequence(store: SurrealStore) -> None:
    tails = [Tail(store.segments) for _ in range(4)]
    commits = [(uuid4(), [str(uuid4()) for _ in range(3)]) for _ in range(24)]
    # Each commit is added by two of them: one took over from the other before that had come to its end.
    jobs = [tails[(n + late) % 4].append("2026-01-02", [commits[n]]) for n in range(24) for late in (0, 1)]
    await asyncio.gather(*jobs)
    rows = await store.tail.rows(1, 100)
    assert [row.number for row in rows] == list(range(1, 25))
    assert sorted(row.keys for row in rows) == sorted([("2026-01-02", each) for each in some] for _, some in commits)
    assert await store.tail.last() == 24


async def test_a_long_commit_is_several_rows_and_comes_once(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "ROW", 4)
    event_ids = [str(UUID(int=n)) for n in range(10)]
    for _ in range(2):
        await store.tail.append("2026-01-02", [(UUID(int=77), event_ids)])
    rows = await store.tail.rows(1, 100)
    assert [len(row.keys) for row in rows] == [4, 4, 2]
    assert [event_id for row in rows for _, event_id in row.keys] == event_ids


async def test_who_comes_back_too_late_is_told_of_the_gap(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = [line(f"r{n}", MIDNIGHT + n * SECOND) for n in range(4)]
    async with Indexer(store, None) as indexer:
        for each in lines:
            await Ingest(store).ingest([each], OPTIONS)
            await indexer.wait_idle()
    monkeypatch.setattr(tail_module, "KEPT_EVENTS", 2)
    await store.tail.prune()
    assert [row.number for row in await store.tail.rows(1, 9)] == [2, 3, 4]
    async with Following(store.tail, store) as following, following.joined():
        assert ids(await told(following, 4, Place(1))) == ["gap", *(event.event_id for event in lines[1:])]
        assert ids(await told(following, 1, Place(99))) == ["gap"]
    monkeypatch.setattr(tail_module, "KEPT_SECONDS", -1.0)
    await store.tail.prune()
    # The newest stays, so that numbers go on.
    assert [row.number for row in await store.tail.rows(1, 9)] == [4]


async def test_a_slow_follower_gets_everything_and_keeps_nothing_in_memory(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT", 2)
    lines = [line(f"r{n}", MIDNIGHT + n * SECOND) for n in range(20)]
    async with Indexer(store, None) as indexer, Following(store.tail, store) as following, following.joined():
        notes = following.follow(EventFilter())
        assert (await anext(notes)).kind == "alive"
        for each in lines:
            await Ingest(store).ingest([each], OPTIONS)
            await indexer.wait_idle()
        found = [await anext(notes) for _ in lines]
        assert ids(found) == [event.event_id for event in lines]
        await notes.aclose()  # type: ignore[attr-defined]


async def test_a_grown_block_comes_again_and_a_deleted_event_not_at_all(store: SurrealStore) -> None:
    async with Indexer(store, None) as indexer:
        for event in (
            block(("a", MIDNIGHT)),
            line("b", MIDNIGHT + 1),
            block(("a", MIDNIGHT), ("b", MIDNIGHT + 1)),
        ):
            await Ingest(store).ingest([event], OPTIONS)
            await indexer.wait_idle()
    async with Following(store.tail, store) as following, following.joined():
        found = await told(following, 2, Place(1))
        assert ids(found) == [record_id("a"), record_id("a")]
        assert found[-1].event is not None
        assert found[-1].event.raw == "a\nb"


async def test_there_are_no_more_than_there_may_be_and_all_end_together(store: SurrealStore) -> None:
    async with Following(store.tail, store, most=2) as following:
        async with following.joined(), following.joined():
            with pytest.raises(TooMany):
                async with following.joined():
                    pass
            notes = following.follow(EventFilter())
            assert (await anext(notes)).kind == "alive"
            ending = asyncio.create_task(following.stop())
            assert [note async for note in notes] == []
            await ending
        assert following.followers == 0


async def test_another_indexer_knows_the_last_commits_of_a_long_tail(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail_module, "RECENT", 3)
    commits = [(uuid4(), [str(uuid4())]) for _ in range(10)]
    for number, commit in enumerate(commits, 1):
        await store.tail.append("2026-01-02", [commit])
        assert await store.tail.last() == number
    # One that was killed before it came to its end begins with what it wrote last.
    await Tail(store.segments).append("2026-01-02", commits[-3:])
    assert await Tail(store.segments).last() == 10
    assert [row.number for row in await store.tail.rows(4, 2)] == [4, 5]
    assert await store.tail.rows(11, 2) == []
