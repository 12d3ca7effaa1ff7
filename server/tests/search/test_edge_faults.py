"""What the search side survives: killed processes, crashes between two steps, other indexes, other servers."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server.embedding import WordLlama
from vectadb_server.stores import edge, edge_process
from vectadb_server.stores.base import Document, SearchFilter, SearchUnavailable
from vectadb_server.stores.edge import EdgeSearch, IndexRefused
from vectadb_server.stores.edge_index import Index
from vectadb_server.stores.edge_shards import IndexUnusable
from vectadb_server.times import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z
DAY = 86_400_000_000
EVERYTHING = SearchFilter()


def gone(pid: int) -> None:
    """Wait until the process has ended, whoever's child it is."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    with os.fdopen(descriptor):
        ready, _, _ = select.select([descriptor], [], [], 30)
        assert ready, f"process {pid} still runs"


async def eventually(condition: Callable[[], bool]) -> None:
    """Let the other tasks run until it holds."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("never came true")


async def until_back(search: EdgeSearch) -> int:
    """Ask until there is an answer: a call may still fail, but those after it wait for the new process."""
    for _ in range(10):
        try:
            return await search.count()
        except SearchUnavailable:
            continue
    pytest.fail("calls to a process that has ended neither wait nor let it come back")


async def everything(search: EdgeSearch) -> set[str]:
    return {hit.event_id for hit in await search.search("load", mode="semantic", where=EVERYTHING, limit=100_000)}


async def test_killing_the_process_loses_no_acknowledged_document(
    search: EdgeSearch, make: Callable[..., Document]
) -> None:
    acknowledged: set[str] = set()
    refused = 0

    async def feed(round_: int, after: int) -> None:
        """Write until the process is killed; the eighth batch of all that are acknowledged is the signal for it."""
        nonlocal refused
        for number in range(1000):
            # Both days, so that shards are made, opened and written when the kill comes.
            batch = [make(f"load {round_} {number} {n}", day=f"2026-01-0{1 + n % 2 + round_}") for n in range(20)]
            try:
                await search.upsert(batch)
            except SearchUnavailable:
                refused += 1
                return
            acknowledged.update(document.event_id for document in batch)
            if len(acknowledged) >= after and (pid := search.health()["pid"]):
                os.kill(pid, signal.SIGKILL)

    for round_ in range(3):
        feeds = [feed(round_, len(acknowledged) + 160) for _ in range(3)]
        await asyncio.gather(*feeds)
        assert await until_back(search) >= len(acknowledged)
        assert await everything(search) >= acknowledged
    assert refused == 9
    assert search.health()["restarts"] >= 3
    assert search.health()["documents"] == await search.count()


async def test_calls_in_flight_say_that_search_is_unavailable(
    search: EdgeSearch, make: Callable[..., Document]
) -> None:
    await search.start()
    pid = search.health()["pid"]
    assert pid is not None
    os.kill(pid, signal.SIGSTOP)  # so that the calls are under way for certain
    documents = [make("load")]
    calls = [asyncio.create_task(search.upsert(documents)), asyncio.create_task(search.count())]
    await eventually(lambda: len(search._pending) == 2)
    os.kill(pid, signal.SIGKILL)
    for result in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(result, SearchUnavailable)
        assert "try again" in str(result)
    await search.upsert(documents)
    assert await everything(search) == {documents[0].event_id}


async def test_a_process_that_does_not_answer_is_replaced(search: EdgeSearch, monkeypatch: pytest.MonkeyPatch) -> None:
    await search.start()
    pid = search.health()["pid"]
    assert pid is not None
    monkeypatch.setattr(edge, "_STUCK", 0.05)
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(SearchUnavailable, match="does not answer"):
        await search.count()
    await asyncio.to_thread(gone, pid)
    monkeypatch.undo()
    assert await until_back(search) == 0
    assert search.health()["pid"] != pid


async def test_a_cancelled_call_leaves_the_rest_alone(search: EdgeSearch, make: Callable[..., Document]) -> None:
    await search.start()
    call = asyncio.create_task(search.upsert([make("load")]))
    await eventually(lambda: bool(search._pending))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await search.search("load", mode="text", where=EVERYTHING, limit=1) is not None
    assert search._pending == {}


async def test_closing_keeps_everything_and_ends_the_process(tmp_path: Path, make: Callable[..., Document]) -> None:
    first = EdgeSearch(tmp_path)
    await first.upsert([make("load", day=day) for day in ("2026-01-01", "2026-01-02")])
    pid, generation = first.health()["pid"], first.generation
    assert pid is not None
    assert generation > 0
    await first.close()
    gone(pid)
    with pytest.raises(SearchUnavailable, match="closed"):
        await first.count()
    second = EdgeSearch(tmp_path)
    try:
        assert await second.count() == 2
        assert second.generation == generation
        assert second.health()["shards"] == 2
        assert len(await everything(second)) == 2
    finally:
        await second.close()


async def test_closing_before_or_while_starting(tmp_path: Path) -> None:
    unstarted = EdgeSearch(tmp_path)
    await unstarted.close()
    starting = EdgeSearch(tmp_path)
    call = asyncio.create_task(starting.start())
    await eventually(lambda: starting._process is not None)
    await starting.close()
    with pytest.raises(SearchUnavailable, match="closed"):
        await call
    assert starting._process is not None
    gone(starting._process.pid)


async def test_the_process_ends_with_its_server(tmp_path: Path) -> None:
    code = (
        "import asyncio, os, sys\n"
        "from pathlib import Path\n"
        "from vectadb_server.stores.edge import EdgeSearch\n"
        "async def main():\n"
        "    search = EdgeSearch(Path(sys.argv[1]))\n"
        "    await search.start()\n"
        "    assert not {'qdrant_edge', 'wordllama', 'numpy'} & set(sys.modules)\n"
        "    print(search.health()['pid'], flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())\n"
    )
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert ran.returncode == -signal.SIGKILL
    assert ran.stdout.strip().isdigit()  # and nothing else on stdout
    await asyncio.to_thread(gone, int(ran.stdout))


async def test_dropping_days_frees_their_directories(
    search: EdgeSearch, tmp_path: Path, make: Callable[..., Document]
) -> None:
    days = ["2025-12-30", "2025-12-31", "2026-01-01"]
    await search.upsert([make("load", day=day, event_id=f"{day} {n}") for day in days for n in range(3)])
    await search.drop_days("2025-12-31")
    folder = tmp_path / "search"
    assert sorted(path.name for path in folder.iterdir()) == ["2025-12-31", "2026-01-01", "lock", "meta.json"]
    assert await search.count() == 6
    assert {event_id[:10] for event_id in await everything(search)} == set(days[1:])
    await search.drop_days("2025-12-31")
    assert await search.count() == 6
    await search.drop_days("9999-12-31")
    assert await search.count() == 0
    await search.upsert([make("load", day=days[0])])  # a dropped day may come again
    assert await search.count() == 1


async def test_another_embedder_is_refused_until_reindexed(tmp_path: Path, make: Callable[..., Document]) -> None:
    first = EdgeSearch(tmp_path)
    await first.upsert([make("load")])
    generation = first.generation
    await first.close()
    meta = tmp_path / "search" / "meta.json"
    meta.write_text(json.dumps(json.loads(meta.read_text()) | {"embedder": "other-model", "size": 384}))
    second = EdgeSearch(tmp_path)
    try:
        with pytest.raises(IndexRefused, match=r"made with embedder 'other-model' \(384 numbers.*vectadb reindex"):
            await second.start()
        with pytest.raises(SearchUnavailable, match="vectadb reindex"):
            await second.upsert([make("load")])
        assert second.health()["alive"] is False
        assert "other-model" in (second.health()["error"] or "")
        await second.renew()
        assert await second.count() == 0
        assert second.generation not in {0, generation}
        await second.upsert([make("load")])
        await second.renew()  # of an index that serves it takes nothing
        assert await second.count() == 1
    finally:
        await second.close()


async def test_the_index_of_another_server_is_not_erased(tmp_path: Path, make: Callable[..., Document]) -> None:
    first, second = EdgeSearch(tmp_path), EdgeSearch(tmp_path)
    try:
        await first.upsert([make("load")])
        with pytest.raises(IndexRefused, match="another process has this search index open"):
            await second.renew()
        assert await first.count() == 1
    finally:
        await first.close()
        await second.close()


def test_an_unreadable_meta_file_is_named(tmp_path: Path) -> None:
    tmp_path.joinpath("meta.json").write_text("{")
    with pytest.raises(IndexUnusable, match=r"meta\.json: not readable.*vectadb reindex"):
        Index(tmp_path, WordLlama())


def test_an_index_half_erased_counts_as_none(tmp_path: Path, make: Callable[..., Document]) -> None:
    index = Index(tmp_path, WordLlama())
    index.upsert([make("load")])
    index.close()
    tmp_path.joinpath("meta.json").unlink()
    again = Index(tmp_path, WordLlama())
    assert again.documents == 0
    assert again.generation != index.generation
    again.close()


def test_a_crash_between_two_steps_hides_nothing(tmp_path: Path, make: Callable[..., Document]) -> None:
    index = Index(tmp_path, WordLlama())
    index.upsert([make("load", us=NOON), make("load", us=NOON + 5 * DAY)])
    index.close()
    shard = tmp_path / "2026-01-01"
    shard.joinpath("bounds.json").write_text("")  # as a full disk leaves it
    (tmp_path / "dropped-2025-01-01-1").mkdir()  # a drop that did not finish
    (tmp_path / "2026-01-02" / "fresh").mkdir(parents=True)  # a shard that was not made to the end
    again = Index(tmp_path, WordLlama())
    assert again.documents == 2
    where = SearchFilter(since=NOON + DAY)
    assert len(again.search("load", "hybrid", where, 10)) == 1
    again.upsert([make("load", day="2026-01-02")])
    assert again.documents == 3
    assert not list(tmp_path.glob("dropped-*"))
    again.close()


def test_a_shard_that_cannot_be_opened_is_named(tmp_path: Path, make: Callable[..., Document]) -> None:
    index = Index(tmp_path, WordLlama())
    index.upsert([make("load")])
    index.close()
    tmp_path.joinpath("2026-01-01/engine/edge_config.json").write_text("{")
    again = Index(tmp_path, WordLlama())
    with pytest.raises(IndexUnusable, match=r"2026-01-01/engine: the shard cannot be opened.*vectadb reindex"):
        again.search("load", "hybrid", EVERYTHING, 10)
    again.drop("2026-01-01")
    assert again.documents == 0


@pytest.mark.parametrize(("level", "lines"), [("INFO", 1), ("WARNING", 0)])
async def test_the_process_logs_from_the_servers_level_on_and_in_its_form(
    tmp_path: Path, make: Callable[..., Document], capfd: Any, caplog: Any, level: str, lines: int
) -> None:
    caplog.set_level(level, logger="vectadb_server")
    search = EdgeSearch(tmp_path)
    try:
        await search.upsert([make("a text")])
        await search.drop_days("2100-01-01")
    finally:
        await search.close()
    said = [json.loads(line) for line in capfd.readouterr().err.splitlines() if '"vectadb_server.search"' in line]
    assert [line["message"] for line in said] == ["dropped a day of the search index"] * lines
    for line in said:
        assert line["level"] == "info"
        assert parse_rfc3339(line["time"])


def test_a_directory_belongs_to_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_process, "_LOCKED", 0.0)
    with (
        edge_process._locked(tmp_path),
        pytest.raises(IndexUnusable, match="another process has this search index open"),
        edge_process._locked(tmp_path),
    ):
        pytest.fail("both have it")
    with edge_process._locked(tmp_path):
        pass


async def test_bytes_under_way_are_bounded() -> None:
    room = edge._Room(10)
    order: list[str] = []

    async def use(name: str, size: int, leave: asyncio.Event) -> None:
        async with room.taken(size):
            order.append(name)
            await leave.wait()

    first, rest = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(use("small", 6, first)), asyncio.create_task(use("huge", 1000, rest))]
    for _ in range(10):
        await asyncio.sleep(0)
    assert order == ["small"]
    first.set()
    rest.set()
    await asyncio.gather(*tasks)
    assert order == ["small", "huge"]
    async with asyncio.timeout(5), room.taken(10):
        pass
