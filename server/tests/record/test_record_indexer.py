"""The indexer: what late events change, and that a failure anywhere only repeats work."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server import ids, spans
from vectadb_server.attribution import Boundaries, attribute, boundary_of
from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.stores.base import EventFilter, SearchUnavailable, StoreUnavailable, TraceFilter
from vectadb_server.stores.surreal import SurrealStore
from vectadb_server.wire import Options

from .making import MIDNIGHT, MINUTE, OPTIONS, SECOND, block, line, posted, record_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vectadb_server.model import Event, Trace
    from vectadb_server.stores.base import Document
    from vectadb_server.stores.writes import Write

    from .conftest import Opener

pytestmark = pytest.mark.anyio


class FakeIndex:
    """Keeps documents in memory; fails as often as it is told to."""

    def __init__(self, failures: int = 0) -> None:
        self.documents: dict[str, Document] = {}
        self.failures = failures

    async def upsert(self, documents: Sequence[Document]) -> None:
        if self.failures:
            self.failures -= 1
            raise SearchUnavailable("down")
        self.documents.update({each.event_id: each for each in documents})

    async def delete(self, event_ids: Sequence[tuple[str, str]]) -> None:
        for _, event_id in event_ids:
            self.documents.pop(event_id, None)

    async def search(self, query: str, **_: Any) -> Any:
        raise NotImplementedError

    async def drop_days(self, before: str) -> None:
        raise NotImplementedError

    async def count(self) -> int:
        return len(self.documents)

    async def close(self) -> None:
        pass


async def index_all(store: SurrealStore, index: FakeIndex | None = None) -> None:
    async with Indexer(store, index) as indexer:
        await indexer.wait_idle()


async def traces_of(store: SurrealStore) -> dict[str, tuple[str | None, str]]:
    return {event.event_id: (event.trace, event.basis) for event in await store.events(EventFilter(), limit=1000)}


async def test_late_boundaries_move_events_wherever_they_were(store: SurrealStore) -> None:
    """Around midnight, one event at a time, in any order: the same as all at once."""
    events = []
    for stream in ("one", "two"):
        kinds = {2: "invocation_start", 12: "invocation_end", 15: "agent_start", 19: "agent_start", 24: "agent_end"}
        for n in range(32):
            at = MIDNIGHT + (n - 9) * 20 * SECOND
            agent = "ann" if n % 5 == 0 else None
            events.append(line(f"{n:03}", at, stream=stream, event_type=kinds.get(n, "log"), agent_id=agent))
    said = {1: "next", 3: "call", 5: "next", 7: "end", 10: "next", 14: "end", 16: "start", 22: "start", 28: "end"}
    for n in range(32):
        at = MIDNIGHT + (n - 9) * 20 * SECOND
        told = {"run_boundary": said[n]} if n in said else {}
        kind = "error" if n in (12, 20) else "log"
        events.append(line(f"{n:03}", at, stream="three", event_type=kind, properties=told))
    sent = events[:]
    random.Random(5).shuffle(sent)
    ingest = Ingest(store)
    async with Indexer(store, None) as indexer:
        for i in range(0, len(sent), 3):
            await ingest.ingest(sent[i : i + 3], OPTIONS)
            if i % 6 == 0:
                await indexer.wait_idle()
        await indexer.wait_idle()
    attribute(events, Boundaries(boundary for event in events if (boundary := boundary_of(event))))
    assert await traces_of(store) == {event.event_id: (event.trace, event.basis) for event in events}
    assert {event.basis for event in events} == {"time_window", "invocation", "run"}
    runs = [event.trace for event in events if event.source and event.source.log_stream == "three"]
    assert len(set(runs[1:10])) == len(set(runs[10:15])) == len(set(runs[16:22])) == len(set(runs[22:29])) == 1
    assert len(set(runs)) == 6, "four runs, and what is outside of them in two quarters of an hour"
    members: dict[str, int] = {}
    for event in events:
        assert event.trace is not None
        members[event.trace] = members.get(event.trace, 0) + 1
    found = await store.traces(TraceFilter(), limit=100) + await store.traces(
        TraceFilter(basis="time_window"), limit=100
    )
    assert {trace.trace_id: trace.events for trace in found} == members


async def test_a_boundary_that_a_larger_block_swallows_lets_its_events_go(store: SurrealStore) -> None:
    at = MIDNIGHT
    ingest = Ingest(store)
    async with Indexer(store, None) as indexer:
        await ingest.ingest([line("b", at + 1, event_type="agent_start"), line("c", at + 2)], OPTIONS)
        await indexer.wait_idle()
        assert {basis for _, basis in (await traces_of(store)).values()} == {"run"}
        await ingest.ingest([block(("a", at), ("b", at + 1))], OPTIONS)
        await indexer.wait_idle()
    assert {basis for _, basis in (await traces_of(store)).values()} == {"time_window"}
    assert len(await store.traces(TraceFilter(basis="time_window"), limit=9)) == 1
    assert await store.traces(TraceFilter(), limit=9) == []


async def test_documents_follow_their_events(store: SurrealStore) -> None:
    index, at = FakeIndex(), MIDNIGHT
    ingest = Ingest(store)
    async with Indexer(store, index) as indexer:
        whole = block(("a", at), ("b", at + 1), properties={"message": "both"})
        small = line("b", at + 1, agent_id="ann", session_id="s", raw="\x1b[31mred\x1b[0m")
        await ingest.ingest([small], OPTIONS)
        await indexer.wait_idle()
        made = index.documents[record_id("b")]
        assert (made.text, made.day, made.us, made.agent_id, made.session_id) == (
            "red",
            "2026-01-02",
            at + 1,
            "ann",
            "s",
        )
        assert made.trace == small.trace
        await ingest.ingest([whole], OPTIONS)
        await ingest.ingest([line("no", at)], Options(generate_embeddings=False))
        await indexer.wait_idle()
        assert {event_id: each.text for event_id, each in index.documents.items()} == {record_id("a"): "both"}
        asked = line("start", at - 1, event_type="agent_start", properties={"message": "how long?"})
        frame = line("frame", at - 2, event_type="agent_start", raw="> Entering new AgentExecutor chain...")
        await ingest.ingest([asked, frame], OPTIONS)
        await indexer.wait_idle()
        assert record_id("frame") not in index.documents, "a frame that says nothing of its own"
        start = index.documents[record_id("start")]
        assert index.documents[record_id("a")].trace == start.trace is not None


async def test_traces_do_not_wait_for_the_search_index(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectadb_server.indexer.RETRY", 0.01)
    index = FakeIndex(failures=3)
    await Ingest(store).ingest([line(f"r{n}", MIDNIGHT + n, trace_id="t") for n in range(5)], OPTIONS)
    await index_all(store, index)
    assert index.failures == 0
    assert len(index.documents) == 5
    [trace] = await store.traces(TraceFilter(), limit=2)
    assert trace.events == 5


async def test_a_failure_in_any_step_only_repeats_work(new_store: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step of the store fails once, before or after it was done, in the middle of everything."""
    monkeypatch.setattr("vectadb_server.indexer.RETRY", 0.0)
    events = [
        line(f"{n:02}", MIDNIGHT + (n - 10) * SECOND, event_type={0: "agent_start", 18: "agent_end"}.get(n, "log"))
        for n in range(20)
    ]
    calls = [
        posted(ids.uuid5(ids.EVENTS, ["call"]), MIDNIGHT - 1, trace_id="t", event_type="tool_call"),
        posted(ids.uuid5(ids.EVENTS, ["result"]), MIDNIGHT + 1, trace_id="t", event_type="tool_result"),
    ]
    seen = []
    for name in ("", "outbox", "span_days", "applied", "put_traces", "pending", "forget_pending", "stale"):
        for done in (False, True):
            store = await new_store()
            index = FakeIndex()
            await Ingest(store).ingest([*events[1:], calls[1]], OPTIONS)
            await index_all(store, index)
            if name:
                fail_once(store, name, monkeypatch, done=done)
            await Ingest(store).ingest([events[0], calls[0]], OPTIONS)
            await index_all(store, index)
            edges = []
            for day in await store.days():
                async with store._segments.use(day) as db:
                    edges += await db.one("SELECT in, out, kind FROM causes")
            seen.append(
                (
                    await traces_of(store),
                    await store.traces(TraceFilter(), limit=99),
                    await store.traces(TraceFilter(basis="time_window"), limit=99),
                    {each.event_id: each.trace for each in index.documents.values()},
                    sorted((edge["kind"], str(edge["in"].key), str(edge["out"].key)) for edge in edges),
                )
            )
    assert len(seen[0][1]) == 2
    assert seen[0][4] == [
        ("end", events[0].event_id, events[18].event_id),
        ("result", calls[0].event_id, calls[1].event_id),
    ]
    for other in seen[1:]:
        assert other == seen[0]


def fail_once(store: SurrealStore, name: str, monkeypatch: pytest.MonkeyPatch, *, done: bool) -> None:
    real = getattr(store, name)
    failed: list[bool] = []

    async def flaky(*args: Any, **kwargs: Any) -> Any:
        if failed:
            return await real(*args, **kwargs)
        failed.append(True)
        if done:
            await real(*args, **kwargs)
        raise StoreUnavailable("once")

    monkeypatch.setattr(store, name, flaky)


async def test_a_mistake_in_a_summary_does_not_end_indexing(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectadb_server.indexer.RETRY", 0.0)
    real = Indexer._summary
    failed: list[str] = []

    def wrong(self: Indexer, trace: str, stored: Any) -> dict[str, Any]:
        if not failed:
            failed.append(trace)
            raise KeyError("wrong")
        return real(self, trace, stored)

    monkeypatch.setattr(Indexer, "_summary", wrong)
    await Ingest(store).ingest([line("a", MIDNIGHT, trace_id="t")], OPTIONS)
    async with Indexer(store, None) as indexer:
        with pytest.raises(KeyError):
            await indexer.wait_idle()
        while indexer.failure is not None:
            await _turn()
        await indexer.wait_idle()
    [trace] = await store.traces(TraceFilter(), limit=2)
    assert trace.events == 1


async def test_what_one_run_left_undone_the_next_does(tmp_path: Path) -> None:
    store = await SurrealStore.open(tmp_path)
    await Ingest(store).ingest([line("a", MIDNIGHT, trace_id="t"), line("b", MIDNIGHT - MINUTE, trace_id="t")], OPTIONS)
    await store.close()
    store = await SurrealStore.open(tmp_path)
    index = FakeIndex()
    indexer = Indexer(store, index)
    lag = await indexer.lag()
    assert lag.outbox == 2
    assert lag.seconds >= 0
    async with indexer:
        await indexer.wait_idle()
        lag = await indexer.lag()
    assert (lag.outbox, lag.stale_traces, lag.search, lag.seconds) == (0, 0, 0, 0.0)
    assert len(index.documents) == 2
    [trace] = await store.traces(TraceFilter(), limit=2)
    assert (trace.events, trace.start) == (2, MIDNIGHT - MINUTE)
    await store.close()


async def test_edges_are_for_events_that_want_relations(store: SurrealStore) -> None:
    pair = [
        line("call", MIDNIGHT, event_type="tool_call", trace_id="t"),
        line("res", MIDNIGHT + 1, event_type="tool_result", trace_id="t"),
    ]
    await Ingest(store).ingest(pair, Options(extract_relationships=False))
    await index_all(store)
    async with store._segments.use("2026-01-02") as db:
        assert await db.one("SELECT * FROM causes") == []


async def test_a_large_trace_is_not_recomputed_for_each_commit(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And yet the last event is in the summary once all is quiet."""
    monkeypatch.setattr("vectadb_server.indexer.SECONDS_PER_EVENT", 1.0)
    ingest = Ingest(store)
    counted: list[int] = []
    real = Indexer._summary

    def counting(self: Indexer, trace: str, stored: Any) -> dict[str, Any]:
        counted.append(len(stored))
        return real(self, trace, stored)

    monkeypatch.setattr(Indexer, "_summary", counting)
    async with Indexer(store, None) as indexer:
        await ingest.ingest([line(f"r{n}", MIDNIGHT + n, trace_id="t") for n in range(1100)], OPTIONS)
        await indexer.wait_idle()
        assert counted[-1] == 1100
        before = len(counted)
        for n in range(5):
            await ingest.ingest([line(f"late{n}", MIDNIGHT + n, trace_id="t")], OPTIONS)
            while (await indexer.lag()).outbox:
                await _turn()
        assert len(counted) == before
        await indexer.wait_idle()
    [trace] = await store.traces(TraceFilter(), limit=2)
    assert trace.events == 1105


async def _turn() -> None:
    await asyncio.sleep(0)


async def test_days_are_closed_and_opened_again_as_they_are_needed(tmp_path: Path) -> None:
    store = await SurrealStore.open(tmp_path, open_days=1)
    ingest = Ingest(store)
    events: list[Event] = [line(f"r{n}", MIDNIGHT + n * 24 * 60 * MINUTE, trace_id=f"t{n % 2}") for n in range(6)]
    async with Indexer(store, None) as indexer:
        for event in events:
            await ingest.ingest([event], OPTIONS)
        await indexer.wait_idle()
        assert len(store._segments._open) <= 2
    assert [event.event_id for event in await store.events(EventFilter(), limit=9)] == [
        e.event_id for e in reversed(events)
    ]
    assert sorted(trace.events for trace in await store.traces(TraceFilter(), limit=9)) == [3, 3]
    await store.close()


async def test_the_digest_s_deltas_are_added_up_as_they_grow(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectadb_server.indexer.COMPACT_EVERY", 2)
    ingest = Ingest(store)
    async with Indexer(store, FakeIndex()) as indexer:
        for number in range(6):
            await ingest.ingest([line(f"r{number}", MIDNIGHT + number)], OPTIONS)
            await indexer.wait_idle()
    [hour] = await store.digest("/group", 0, 2**60)
    assert hour.count == 6
    [day] = await store.days()
    async with store._segments.use(day) as db:
        assert len(await db.one("SELECT id FROM digest")) < 6


async def test_indexing_gets_through_beside_an_ingest_that_is_always_saturated(store: SurrealStore) -> None:
    index, taker = FakeIndex(), Ingest(store)
    async with Indexer(store, index, saturated=lambda: True) as indexer:
        for n in range(40):
            await taker.ingest([line(f"{n:03}", MIDNIGHT + n * SECOND, raw="what happened")], OPTIONS)
        await indexer.wait_idle()
        assert len(index.documents) == 40


async def test_nothing_is_indexed_while_ingest_is_saturated(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectadb_server.indexer.PATIENCE", 3600.0)
    monkeypatch.setattr("vectadb_server.indexer.LOOK", 0.001)
    index, taker = FakeIndex(), Ingest(store)
    busy, asked, often = False, 0, asyncio.Event()

    def saturated() -> bool:
        nonlocal asked
        asked += busy
        if asked > 20:
            often.set()
        return busy

    async with Indexer(store, index, saturated=saturated) as indexer:
        await indexer.wait_idle()
        busy = True
        for n in range(3):
            await taker.ingest([line(f"{n:03}", MIDNIGHT + n * SECOND, raw="what happened")], OPTIONS)
        async with asyncio.timeout(60):
            await often.wait()
        assert (await indexer.lag()).outbox == 3
        assert not index.documents
        busy = False
        await indexer.wait_idle()
        assert len(index.documents) == 3


async def test_what_has_waited_for_long_is_indexed_beside_a_saturated_ingest(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vectadb_server.indexer.PATIENCE", 0.05)
    indexed = asyncio.Event()

    class Told(FakeIndex):
        async def upsert(self, documents: Sequence[Document]) -> None:
            await super().upsert(documents)
            indexed.set()

    async with Indexer(store, Told(), saturated=lambda: True) as indexer:
        await indexer.wait_idle()
        await Ingest(store).ingest([line("1", MIDNIGHT, raw="what happened")], OPTIONS)
        async with asyncio.timeout(60):
            await indexed.wait()


async def test_the_next_events_are_read_while_the_index_hears_of_others(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two parts are with it at a time, never more; each of them waits here until there are two."""
    monkeypatch.setattr("vectadb_server.telling.PART", 4)

    class Paired(FakeIndex):
        with_it, most, two = 0, 0, asyncio.Condition()

        async def upsert(self, documents: Sequence[Document]) -> None:
            async with self.two:
                self.with_it += 1
                self.most = max(self.most, self.with_it)
                self.two.notify_all()
                async with asyncio.timeout(60):
                    await self.two.wait_for(lambda: self.most > 1)
                await super().upsert(documents)
                self.with_it -= 1

    index = Paired()
    lines = [line(f"{n:02}", MIDNIGHT + n * SECOND, raw="what happened") for n in range(21)]
    await Ingest(store).ingest(lines, OPTIONS)
    await index_all(store, index)
    assert index.documents.keys() == {each.event_id for each in lines}
    assert index.most == 2


async def test_nothing_is_left_with_the_index_when_it_fails(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A part fails while the next is on its way: that one has ended before both are told again."""
    monkeypatch.setattr("vectadb_server.telling.PART", 4)
    monkeypatch.setattr("vectadb_server.indexer.RETRY", 0.0)
    said: list[str] = []

    class Failing(FakeIndex):
        second = asyncio.Event()

        async def upsert(self, documents: Sequence[Document]) -> None:
            said.append("told")
            if said == ["told"]:
                await self.second.wait()
                raise SearchUnavailable("down")
            if said == ["told", "told"]:
                self.second.set()
                try:
                    await asyncio.Event().wait()
                finally:
                    said.append("ended")
            await super().upsert(documents)

    index = Failing()
    lines = [line(f"{n:02}", MIDNIGHT + n * SECOND, raw="what happened") for n in range(21)]
    await Ingest(store).ingest(lines, OPTIONS)
    async with asyncio.timeout(60):
        await index_all(store, index)
    assert index.documents.keys() == {each.event_id for each in lines}
    assert said[:4] == ["told", "told", "ended", "told"]


async def test_ingest_is_saturated_while_as_many_batches_as_may_be_are_stored(store: SurrealStore) -> None:
    entered, leave = asyncio.Event(), asyncio.Event()

    class Slow(SurrealStore):
        async def commit(self, day: str, write: Write) -> None:
            entered.set()
            await leave.wait()
            await super().commit(day, write)

    taker = Ingest(Slow(store.segments), parallel=1)
    assert not taker.saturated()
    storing = asyncio.create_task(taker.ingest([line("1", MIDNIGHT)], OPTIONS))
    await entered.wait()
    assert taker.saturated()
    leave.set()
    await storing


async def test_what_was_built_of_a_trace_is_handed_on_as_the_record_has_it(store: SurrealStore) -> None:
    built: dict[str, tuple[Trace, list[str]]] = {}
    ingest = Ingest(store)
    async with Indexer(
        store, None, built=lambda trace, made: built.update({trace.trace_id: (trace, [span.span_id for span in made])})
    ) as indexer:
        for number in range(3):  # a trace that grows is handed on again
            await ingest.ingest(
                [line(f"{number}", MIDNIGHT + number * SECOND, trace_id="t", event_type="tool_call")], OPTIONS
            )
            await indexer.wait_idle()
            [(trace, made)] = built.values()
            assert await store.trace(trace.trace_id) == trace
            wanted = spans.build(await store.trace_events(trace.trace_id), now=MIDNIGHT, prices=spans.LISTED)[1]
            assert made
            assert (trace.events, made) == (number + 1, [span.span_id for span in wanted])


async def test_what_is_in_hand_still_counts_as_waiting(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    reached, goes_on = asyncio.Event(), asyncio.Event()
    real = store.stale

    async def held(day: str) -> dict[str, str]:
        if await real(day) and day not in store.dirty:
            reached.set()
            await goes_on.wait()
        return await real(day)

    monkeypatch.setattr(store, "stale", held)
    monkeypatch.setattr("vectadb_server.indexer.TRACES", 1)
    async with Indexer(store, None) as indexer:
        await Ingest(store).ingest([line(name, MIDNIGHT, trace_id=name) for name in ("a", "b")], OPTIONS)
        await reached.wait()
        async with indexer._idle:  # search is through, so that no other stage names the day
            await indexer._idle.wait_for(lambda: not indexer._pending)
        assert (await indexer.lag()).stale_traces == 1
        goes_on.set()
        await indexer.wait_idle()
        assert (await indexer.lag()).stale_traces == 0
        assert indexer.days() == set()
