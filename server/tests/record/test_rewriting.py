"""A day from which much was erased is written anew: the disk comes back, nothing else changes, whatever happens."""

from __future__ import annotations

from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vectadb_server.attribution import given_trace
from vectadb_server.stores import directories
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.space import disk_usage
from vectadb_server.stores.surreal import SurrealStore

from .making import MIDNIGHT, SECOND, line
from .retaining import Server
from .test_erasing import digest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vectadb_server.model import Event

pytestmark = pytest.mark.anyio

DAY = "2026-01-02"
TRACES = [given_trace(f"t{n}") for n in range(4)]


def lines(count: int) -> list[Event]:
    return [
        line(f"r{n}", MIDNIGHT + n * SECOND, trace_id=f"t{n % 4}", raw=f"{n} " + "words " * 300) for n in range(count)
    ]


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[Server]:
    store = await SurrealStore.open(folder)
    try:
        async with Server(store) as server:
            yield server
    finally:
        await store.close()


async def erased(server: Server) -> None:
    """Fill a day and erase three of its four traces."""
    events = lines(1_200)
    for first in range(0, len(events), 200):
        await server.send(*events[first : first + 200])
    await server.indexer.wait_idle()
    for trace in TRACES[:3]:
        assert await server.eraser.trace(trace) is not None
    await server.indexer.wait_idle()


async def given_back(store: SurrealStore) -> dict[str, int]:
    """Ask twice: at first it is not known whether somebody writes in the day."""
    assert await store.give_back() == {}
    return await store.give_back()


async def test_the_disk_comes_back_and_all_else_is_as_it_was(tmp_path: Path) -> None:
    async with serving(tmp_path) as server:
        await erased(server)
        shown, counted = await server.shows(TRACES), await digest(server.store)
        before = disk_usage(tmp_path / "record" / DAY)
        freed = await given_back(server.store)
        after = disk_usage(tmp_path / "record" / DAY)
        assert set(freed) == {DAY}
        assert freed[DAY] > before / 4
        assert after < before / 2
        assert await server.store.give_back() == {}, "it is done"
        assert await server.shows(TRACES) == shown
        assert await digest(server.store) == counted
        assert (await server.check()).complete
        assert await server.send(*lines(8)) == ["expired", "expired", "expired", "duplicate"] * 2
        await server.indexer.wait_idle()
        assert sorted(path.name for path in (tmp_path / "record").iterdir()) == [DAY, "lock", "meta"]
    store = await SurrealStore.open(tmp_path)
    assert await digest(store) == counted
    await store.close()


async def test_a_day_that_is_written_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as server:
        await erased(server)
        assert await server.store.give_back() == {}
        await server.send(line("late", MIDNIGHT, trace_id="t9"))
        assert await server.store.give_back() == {}
        await server.indexer.wait_idle()
        copied = directories.Directories._copied

        async def beside(self: directories.Directories, day: str, source: object, fresh: Path) -> None:
            await copied(self, day, source, fresh)  # type: ignore[arg-type]
            await server.send(line("later", MIDNIGHT, trace_id="t9"))

        monkeypatch.setattr(directories.Directories, "_copied", beside)
        assert await given_back(server.store) == {}
        monkeypatch.undo()
        await server.indexer.wait_idle()
        assert set(await given_back(server.store)) == {DAY}
        assert len(await server.store.trace_events(given_trace("t9"))) == 2


@pytest.mark.parametrize("renamed", [0, 1])
async def test_a_crash_between_two_renames_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, renamed: int
) -> None:
    async with serving(tmp_path) as server:
        await erased(server)
        counted = await digest(server.store)
        assert await server.store.give_back() == {}
        left, rename = renamed, Path.rename

        def breaks(self: Path, target: Path) -> Path:
            nonlocal left
            if not left:
                raise OSError("the machine stops here")
            left -= 1
            return rename(self, target)

        monkeypatch.setattr(Path, "rename", breaks)
        with pytest.raises(OSError, match="the machine stops here"):
            await server.store.give_back()
        monkeypatch.undo()
    store = await SurrealStore.open(tmp_path)
    assert await digest(store) == counted
    assert set(await given_back(store)) == {DAY}
    assert await digest(store) == counted
    await store.close()


async def test_a_copy_that_is_not_the_same_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as server:
        await erased(server)
        counted = await digest(server.store)
        assert await server.store.give_back() == {}

        async def wrong(*_: object) -> dict[str, object]:
            return {}

        monkeypatch.setattr("vectadb_server.stores.copying.fingerprint", wrong)
        with pytest.raises(StoreUnavailable, match="is not what 2026-01-02 holds"):
            await server.store.give_back()
        monkeypatch.undo()
        assert await digest(server.store) == counted
        assert set(await server.store.give_back()) == {DAY}
