"""Rows of one database in another: of the same engine, and of the other one, both ways."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.stores import copying
from vectadb_server.stores.copying import copy, fingerprint, travelling
from vectadb_server.stores.engine import canonical, record
from vectadb_server.stores.segments import META
from vectadb_server.stores.surreal import SurrealStore

from .making import MIDNIGHT, OPTIONS, SECOND, block, line, posted
from .test_record_indexer import FakeIndex

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from vectadb_server.stores.engine import Connection
    from vectadb_server.stores.remote import Address

pytestmark = pytest.mark.anyio
TODAY = "2026-01-02"
_EVENT = uuid.UUID("018fd1d2-0000-7000-8000-000000000001")
_ODD: list[dict[str, Any]] = [
    {"id": record("trace", "⟩`'\"\\\0\n"), "body": "\0\u2028" * 9, "nstart": -(2**63), "status": None},
    {"id": record("trace", "10"), "nstart": 2**63 - 1, "edges": [["a", None], [], [[{}]]], "weight": 1.0},
    {"id": record("trace", "é" * 500), "nstart": 1, "weight": 1e300, "flag": False, "bytes": b"\0\xff", "ref": _EVENT},
    {
        "id": record("trace", " "),
        "other": record("event", _EVENT),
        "deep": {"z": {"a": [record("x", ["y", _EVENT, 1])]}},
    },
]


@pytest.fixture(params=["embedded to embedded", "embedded to remote", "remote to embedded"])
async def pair(
    request: pytest.FixtureRequest, tmp_path: Path, new_address: Callable[[], Address]
) -> AsyncIterator[tuple[SurrealStore, SurrealStore]]:
    """A store with something in it, and an empty one."""
    async with AsyncExitStack() as stack:
        opened = []
        for name, kind in enumerate(request.param.split(" to ")):
            store = await (
                SurrealStore.remote(new_address()) if kind == "remote" else SurrealStore.open(tmp_path / str(name))
            )
            stack.push_async_callback(store.close)
            opened.append(store)
        await _fill(opened[0])
        yield opened[0], opened[1]


async def _fill(store: SurrealStore) -> None:
    """Have rows in every table that ingest and indexer write, applied and not."""
    took = {"event_type": "tool_call", "properties": {"tool": "t", "call_id": "1"}, "trace_id": "one", "agent_id": "a"}
    took["session_id"] = "s"
    gave = {"event_type": "tool_result", "properties": {"tool": "t", "call_id": "1"}, "trace_id": "one"}
    async with Indexer(store, FakeIndex()) as indexer:
        first = [line("a", MIDNIGHT, **took), line("b", MIDNIGHT + SECOND, **gave)]
        await Ingest(store).ingest([*first, block(("c", MIDNIGHT), ("d", MIDNIGHT + 1))], OPTIONS)
        await indexer.wait_idle()
    begun = line("e", MIDNIGHT + 2, event_type="agent_start", agent_id="b")
    extra = block(("c", MIDNIGHT), ("d", MIDNIGHT + 1), part="0.1")
    await Ingest(store).ingest([begun, extra, posted(str(_EVENT), MIDNIGHT)], OPTIONS)
    async with store.segments.use(TODAY) as db:
        await db.run("INSERT INTO trace $rows RETURN NONE", {"rows": _ODD})
        counted = {table: await _rows(db, table) for table in travelling(TODAY)}
    assert not [
        table
        for table, rows in counted.items()
        if not rows and table not in ("pending", "stale", "erased", "expired_type")
    ]


async def _rows(db: Connection, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = await db.one(f"SELECT * FROM {table}")
    return rows


async def _same(source: Connection, target: Connection, name: str = TODAY) -> bool:
    """Whether all rows are equal, by looking at each."""
    for table in travelling(name):
        if sorted(map(canonical, await _rows(source, table))) != sorted(map(canonical, await _rows(target, table))):
            return False
    return True


async def test_everything_comes_back_as_it_was(pair: tuple[SurrealStore, SurrealStore]) -> None:
    source, target = pair
    for name in (TODAY, META):
        async with source.segments.use(name) as one, target.segments.use(name, make=True) as two:
            marks = await copy(one, two, travelling(name))
            assert marks == await fingerprint(one, travelling(name)) == await fingerprint(two, travelling(name))
            assert name == META or await _same(one, two, name)
            assert {table: len(await _rows(one, table)) for table in marks if table != "schema"} == {
                table: mark.rows for table, mark in marks.items() if table != "schema"
            }
    assert await source.trace("one") == await target.trace("one")
    async with target.segments.use(TODAY, make=True) as two:
        # The graph can be walked, not only its table be read.
        walked = await two.one("SELECT VALUE ->causes FROM event")
        assert sum(map(len, walked)) == 1


async def test_again_it_writes_only_what_differs(pair: tuple[SurrealStore, SurrealStore]) -> None:
    source, target = pair
    tables = travelling(TODAY)
    async with source.segments.use(TODAY) as one, target.segments.use(TODAY, make=True) as two:
        await copy(one, two, tables)
        [event, *_] = await one.one("SELECT VALUE in FROM causes")
        gone = record("trace", "10")
        strange = [{"id": record("trace", f"strange {n}"), "n": n} for n in range(300)]
        await two.run("INSERT INTO trace $rows RETURN NONE", {"rows": strange})
        await two.run("UPDATE $event SET us += 1; DELETE $gone; DELETE outbox", {"event": event, "gone": gone})
        assert not await _same(one, two)
        before = await fingerprint(two, tables)
        assert {table for table, mark in (await fingerprint(one, tables)).items() if before[table] != mark} == {
            *("event", "outbox", "trace")
        }
        await copy(one, two, tables)
        assert await _same(one, two)
        assert await fingerprint(one, tables) == await fingerprint(two, tables)


async def test_one_that_was_broken_off_is_gone_on_with(
    pair: tuple[SurrealStore, SurrealStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = pair
    monkeypatch.setattr(copying, "_MANY", 2)
    monkeypatch.setattr(copying, "_FEW", 2)

    async def broken(table: str, rows: int) -> None:
        raise InterruptedError

    async with source.segments.use(TODAY) as one, target.segments.use(TODAY, make=True) as two:
        for _ in range(3):
            with pytest.raises(InterruptedError):
                await copy(one, two, travelling(TODAY), broken)
        assert not await _same(one, two)
        told: list[tuple[str, int]] = []

        async def tell(table: str, rows: int) -> None:
            told.append((table, rows))

        marks = await copy(one, two, travelling(TODAY), tell)
        assert await _same(one, two)
    assert {table: sum(n for name, n in told if name == table) for table in marks} == {
        table: mark.rows for table, mark in marks.items()
    }


async def test_large_rows_come_a_few_at_once(pair: tuple[SurrealStore, SurrealStore]) -> None:
    source, target = pair
    rows = [{"id": uuid.uuid4(), "body": "x" * 700_000} for _ in range(30)]
    async with source.segments.use(TODAY) as one, target.segments.use(TODAY, make=True) as two:
        for row in rows:
            await one.run("INSERT INTO agent $rows RETURN NONE", {"rows": [row]})
        told: list[int] = []

        async def tell(table: str, n: int) -> None:
            told.append(n)

        await copy(one, two, ["agent"], tell)
        assert await _rows(one, "agent") == await _rows(two, "agent")
    assert set(told[1:]) == {1}


async def test_which_index_was_filled_is_of_each_place(pair: tuple[SurrealStore, SurrealStore]) -> None:
    source, target = pair
    tables = travelling(META)
    async with source.segments.use(META) as one, target.segments.use(META, make=True) as two:
        await one.run("UPSERT schema:index SET generation = 5")
        for generation in ([], [7]):
            if generation:
                await two.run("UPSERT schema:index SET generation = 7")
            assert await copy(one, two, tables) == await fingerprint(two, tables)
            assert await two.one("SELECT VALUE generation FROM schema:index") == generation


@pytest.mark.parametrize("name", [TODAY, META])
def test_what_is_of_running_servers_stays(name: str) -> None:
    tables = travelling(name)
    assert set(tables).isdisjoint({"fence", "lease", "dirty", "bucket"})
    assert set(tables) >= ({"event", "outbox", "digest", "causes"} if name == TODAY else {"home", "api_key", "tail"})
    assert name == META or tables[-1] == "causes"
