"""Counts of rows are true, whatever is written meanwhile, and are kept only while nobody writes."""

from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server.stores.rowcounts import LEAST, SETTLED
from vectadb_server.stores.surreal import SurrealStore
from vectadb_server.stores.writes import Write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio
DAYS = ("2026-01-29", "2026-01-30", "2026-01-31")


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


def rows(count: int) -> list[dict[str, Any]]:
    return [{"id": uuid.uuid4(), "us": 1, "nus": -1, "size": 1} for _ in range(count)]


async def opened(folder: Path, clock: Clock) -> SurrealStore:
    store = await SurrealStore.open(folder)
    assert store.row_counts is not None
    store.row_counts._clock = clock
    return store


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SurrealStore]:
    made = await opened(tmp_path, Clock())
    yield made
    await made.close()


async def kept(store: SurrealStore) -> dict[str, int]:
    async with store.segments.use("meta") as meta:
        return {row["id"].key: row["n"] for row in await meta.one("SELECT id, n FROM row_count")}


async def test_counts_follow_what_is_written(tmp_path: Path) -> None:
    chance, clock = random.Random(7), Clock()
    true: dict[str, list[Any]] = {}
    store = await opened(tmp_path, clock)
    for _ in range(60):
        day = chance.choice(DAYS)
        match chance.choice(("insert", "insert", "remove", "drop", "wait", "look", "restart")):
            case "insert":
                new = rows(chance.randrange(1, 5))
                await store.commit(day, Write(insert=new, least=1, most=1))
                true.setdefault(day, []).extend(row["id"] for row in new)
            case "remove" if true.get(day):
                await store.commit(day, Write(remove=[str(true[day].pop())]))
            case "drop":
                await store.drop_day(day)
                true.pop(day, None)
            case "wait":
                clock.now += SETTLED + 1
            case "restart":  # As after a kill: nothing is written at the end.
                await store.close()
                store = await opened(tmp_path, clock)
            case _:
                pass
        assert store.row_counts is not None
        for _ in DAYS:  # One recount at a time.
            clock.now += LEAST + 1
            await store.row_counts.refresh()
        assert store.row_counts.complete
        assert store.row_counts.by_day == {name: len(ids) for name, ids in true.items()}
    await store.close()


async def test_a_settled_day_is_not_counted_again_after_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    store = await opened(tmp_path, clock)
    await store.commit(DAYS[0], Write(insert=rows(3), least=1, most=1))
    assert store.row_counts is not None
    await store.row_counts.refresh()
    assert await kept(store) == {}
    clock.now += SETTLED + 1
    await store.row_counts.refresh()
    assert await kept(store) == {DAYS[0]: 3}
    await store.close()

    store = await opened(tmp_path, clock)
    assert store.row_counts is not None
    await store.row_counts.refresh()
    assert (store.row_counts.by_day, store.segments.open_days) == ({DAYS[0]: 3}, 0)
    await store.commit(DAYS[0], Write(insert=rows(1), least=1, most=1))
    assert await kept(store) == {}
    await store.close()


async def test_recounts_take_a_bounded_share_of_the_time(store: SurrealStore) -> None:
    assert store.row_counts is not None
    clock: Any = store.row_counts._clock
    await store.commit(DAYS[0], Write(insert=rows(1), least=1, most=1))
    for _ in range(2):  # Known; then counted again, since it was written to.
        await store.row_counts.refresh()
        await store.commit(DAYS[0], Write(insert=rows(1), least=1, most=1))
    await store.row_counts.refresh()
    assert store.row_counts.by_day == {DAYS[0]: 2}
    clock.now += LEAST
    await store.row_counts.refresh()
    assert store.row_counts.by_day == {DAYS[0]: 3}
