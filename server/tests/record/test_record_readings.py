"""The log read again, against the real engine: blocks cut anew, and what hangs on them."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from vectadb_server import ids
from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.stores.base import EventFilter, StoreUnavailable
from vectadb_server.stores.segments import META
from vectadb_server.stores.surreal import SurrealStore

from .making import HOUR, MIDNIGHT, OPTIONS, SECOND, block, line, record_id
from .test_record_indexer import FakeIndex
from .test_record_ingest import everything, statuses

if TYPE_CHECKING:
    from pathlib import Path

    from vectadb_server.model import Event

    from .conftest import Opener

pytestmark = pytest.mark.anyio

AGAIN = MIDNIGHT + 9 * HOUR
#: Two records on each of four days.
RECORDS = [(f"r{n}", MIDNIGHT + n // 2 * 24 * HOUR + n % 2 * SECOND) for n in range(8)]


def blocks(*cuts: int, read_at: int = 0, **fields: Any) -> list[Event]:
    """All records, in blocks that begin at the cuts; each has an extra."""
    edges = [0, *cuts, len(RECORDS)]
    found = []
    for first, end in pairwise(edges):
        found.append(block(*RECORDS[first:end], read_at=read_at, **fields))
        found.append(block(*RECORDS[first:end], part="0.1", read_at=read_at, raw=None, **fields))
    return found


async def test_blocks_cut_anew_take_trace_boundary_and_document_with_them(store: SurrealStore) -> None:
    index = FakeIndex()
    ingest = Ingest(store)
    a, b, c, d = ((name, MIDNIGHT + n * SECOND) for n, name in enumerate("abcd"))
    async with Indexer(store, index) as indexer:
        await ingest.ingest([block(a, b, trace_id="old"), block(c, d, event_type="agent_start")], OPTIONS)
        await ingest.ingest([line("e", MIDNIGHT + 9 * SECOND)], OPTIONS)
        await indexer.wait_idle()
        inside = await store.event(record_id("e"))
        assert inside is not None
        assert inside.basis == "run"
        anew = [
            block(a, trace_id="new", raw="first", read_at=AGAIN),
            block(b, c, raw="second", read_at=AGAIN),
            block(d, raw="third", read_at=AGAIN),
        ]
        assert statuses(await ingest.ingest(anew, OPTIONS)) == ["accepted"] * 3
        await indexer.wait_idle()
        once = await everything(store)
        assert {event.raw for event in once["events"]} == {"first", "second", "third", "e"}
        assert {event.basis for event in once["events"]} == {"trace_id", "time_window"}
        assert [trace.events for trace in once["traces"]] == [1]
        assert {each.text for each in index.documents.values()} >= {"first", "second", "third"}
        assert index.documents.keys() == {event.event_id for event in once["events"]}
        assert sum(hour.count for hour in once["digest"]) == 5
        assert statuses(await ingest.ingest(anew, OPTIONS)) == ["duplicate"] * 3
        await ingest.ingest([block(a, b, trace_id="old"), block(c, d, event_type="agent_start")], OPTIONS)
        await indexer.wait_idle()
        assert await everything(store) == once


async def test_a_line_parsed_anew_is_the_new_one_everywhere(store: SurrealStore) -> None:
    index = FakeIndex()
    ingest = Ingest(store)
    async with Indexer(store, index) as indexer:
        plain = [line(str(n), MIDNIGHT + n, raw=f"call {n}", agent_id="ann") for n in range(3)]
        await ingest.ingest(plain, OPTIONS)
        await indexer.wait_idle()
        fields: dict[str, Any] = {"event_type": "tool_call", "session_id": "s", "properties": {"message": "parsed"}}
        parsed = [block((str(n), MIDNIGHT + n), read_at=AGAIN, raw=f"call {n}", **fields) for n in range(3)]
        assert statuses(await ingest.ingest(parsed, OPTIONS)) == ["accepted"] * 3
        await indexer.wait_idle()
        found = await everything(store)
        assert [event.event_type for event in found["events"]] == ["tool_call"] * 3
        assert {event.source.read_at for event in found["events"]} == {AGAIN}
        assert [trace.events for trace in found["traces"]] == [3]
        assert found["windows"] == []
        assert {each.event_type for each in index.documents.values()} == {"tool_call"}
        assert sum(hour.count for hour in found["digest"]) == 3
        assert statuses(await ingest.ingest([*plain, *parsed], OPTIONS)) == ["duplicate"] * 6


@pytest.mark.parametrize(
    ("before", "now"),
    [
        pytest.param((), (3, 5), id="one into several"),
        pytest.param((3, 5), (), id="several into one"),
        pytest.param((3,), (1, 5), id="cut elsewhere"),
        pytest.param((1, 3, 5, 7), (2, 4, 6), id="each across other days"),
        pytest.param((2, 4, 6), (1, 3, 5, 7), id="each into two days"),
    ],
)
async def test_a_crash_between_any_two_days_loses_no_text_and_is_finished_when_it_comes_again(
    new_store: Opener, monkeypatch: pytest.MonkeyPatch, before: tuple[int, ...], now: tuple[int, ...]
) -> None:
    seen, crashed = [], 0
    for after in range(10):
        store = await new_store()
        ingest = Ingest(store)
        await ingest.ingest(blocks(*before), OPTIONS)
        commit = store.commit
        commits: list[str] = []

        async def crash(day: str, write: Any, after: int = after, commits: Any = commits, commit: Any = commit) -> None:
            if len(commits) == after:
                raise StoreUnavailable("the power is gone")
            commits.append(day)
            await commit(day, write)

        with monkeypatch.context() as patch:
            patch.setattr(store, "commit", crash)
            try:
                await ingest.ingest(blocks(*now, read_at=AGAIN), OPTIONS)
            except StoreUnavailable:
                crashed += 1
                events = await store.events(EventFilter(), limit=100)
                texts = {word for event in events if event.raw for word in event.raw.split()}
                assert texts == {log_id for log_id, _ in RECORDS}
        await ingest.ingest(blocks(*now, read_at=AGAIN), OPTIONS)
        async with Indexer(store, None) as indexer:
            await indexer.wait_idle()
        for log_id, _ in RECORDS:
            found = await store.event(record_id(log_id))
            assert found is not None
            assert record_id(log_id) in found.record_ids
        seen.append(await everything(store))
        if len(commits) < after:
            break
    assert crashed > 1
    assert len(seen[-1]["events"]) == 2 * (len(now) + 1)
    assert all(each == seen[-1] for each in seen)
    assert sum(hour.count for hour in seen[-1]["digest"]) == len(RECORDS)


async def test_what_the_indexer_made_of_an_earlier_reading_does_not_move_the_later_one(store: SurrealStore) -> None:
    ingest = Ingest(store)
    await ingest.ingest([line("a", MIDNIGHT)], OPTIONS)
    [earlier] = await store.stored("2026-01-02", [record_id("a")])
    old = earlier.event.trace
    assert old is not None
    await ingest.ingest([block(("a", MIDNIGHT), read_at=AGAIN, trace_id=old)], OPTIONS)
    earlier.event.trace = ids.uuid7()
    await store.applied("2026-01-02", [], [(earlier, old)], [], [])
    found = await store.event(record_id("a"))
    assert found is not None
    assert (found.trace, found.basis) == (old, "trace_id")


async def test_counts_of_a_record_that_had_none_are_made(tmp_path: Path) -> None:
    store = await SurrealStore.open(tmp_path)
    await Ingest(store).ingest([*blocks(3, 5), line("x", MIDNIGHT, event_type="error", agent_id="ann")], OPTIONS)
    expected = {day: await store.counts(day) for day in await store.days()}
    assert sum(counts.total() for counts in expected.values()) == 7
    for day in await store.days():
        async with store._segments.use(day) as db:
            await db.run("DELETE minute RETURN NONE")
    async with store._segments.use(META) as meta:
        await meta.run("DELETE schema:minute RETURN NONE")
    await store.close()
    store = await SurrealStore.open(tmp_path)
    assert {day: await store.counts(day) for day in await store.days()} == expected
    await store.close()


async def test_digests_of_an_older_version_are_made_anew(tmp_path: Path) -> None:
    store = await SurrealStore.open(tmp_path)
    await Ingest(store).ingest([*blocks(3, 5), line("x", MIDNIGHT, group="/other")], OPTIONS)
    expected = await store.digest(None, 0, 2**60)
    assert {(hour.system, hour.account, hour.region) for hour in expected} == {("cloudwatch", "1", "us-east-1")}
    for day in await store.days():
        async with store._segments.use(day) as db:
            old = [{"id": ["/group", MIDNIGHT, UUID(ids.uuid7())], "n": 9, "sum": "0" * 32}]
            await db.run("DELETE digest RETURN NONE; INSERT INTO digest $rows RETURN NONE", {"rows": old})
    async with store._segments.use(META) as meta:
        await meta.run("DELETE schema:digest RETURN NONE")
    await store.close()
    store = await SurrealStore.open(tmp_path)
    assert await store.digest(None, 0, 2**60) == expected
    await store.close()
