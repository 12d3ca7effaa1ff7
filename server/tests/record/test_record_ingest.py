"""Ingest against the real engine: what is answered, and what is held in the end."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from vectadb_server import ids
from vectadb_server.attribution import boundary_of
from vectadb_server.expiry import Expired
from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest, Outcome
from vectadb_server.selection import is_event
from vectadb_server.stores import sifting
from vectadb_server.stores.base import EventFilter, StoreUnavailable, TraceFilter
from vectadb_server.stores.horizon import Horizon
from vectadb_server.stores.minutes import Kind, kind_of
from vectadb_server.stores.rows import marked
from vectadb_server.stores.surreal import SurrealStore
from vectadb_server.wire import Options

from .making import DAY, HOUR, MIDNIGHT, MINUTE, OPTIONS, SECOND, block, line, posted, record_id

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from vectadb_server.model import Event

    from .conftest import Opener

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def by_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where counts name events, lists have them from there."""
    monkeypatch.setattr(sifting, "RARE", 0)


async def send(store: SurrealStore, *events: Event, options: Options = OPTIONS) -> list[Outcome]:
    return await Ingest(store).ingest(events, options)


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.status for outcome in outcomes]


async def everything(store: SurrealStore) -> dict[str, Any]:
    """What clients can see, without the time of ingestion."""
    events = await store.events(EventFilter(), limit=10_000)
    for event in events:
        event.created_at = 0
    return {
        "events": events,
        "traces": await store.traces(TraceFilter(), limit=10_000),
        "windows": await store.traces(TraceFilter(basis="time_window"), limit=10_000),
        "digest": await store.digest(None, 0, 2**60),
        "counts": await counted(store, events),
    }


async def counted(store: SurrealStore, events: Sequence[Event]) -> Counter[Kind]:
    """The counts by the minute, which are always those of the events."""
    counts = Counter[Kind]()
    for day in await store.days():
        counts.update(await store.counts(day))
    assert +counts == Counter(kind_of(event.timestamp, event.agent_id, event.event_type) for event in events)
    assert not -counts
    for agent, event_type in sorted({(kind.agent, kind.event_type) for kind in +counts})[-3:]:
        # Those of a kind, by the ids that the counts name.
        where = EventFilter(agent_id=agent or None, event_types=(event_type,))
        found = {event.event_id for event in await store.events(where, limit=10_000)}
        assert found == {event.event_id for event in events if is_event(event, where)}
    return +counts


def conversation() -> list[Event]:
    """Two days, two streams, blocks that are nested in others, windows, and what belongs to no window."""
    rnd = random.Random(3)
    found: list[Event] = []
    for stream in ("one", "two"):
        at = MIDNIGHT - 20 * SECOND
        records = []
        for number in range(60):
            at += rnd.randrange(SECOND)
            records.append((f"{stream}-{number:03}", at))
        kinds = {0: "invocation_start", 25: "invocation_end", 30: "agent_start", 55: "agent_end"}
        position = 0
        while position < len(records):
            size = 1 if position in kinds else rnd.choice((1, 1, 2, 4))
            size = next((k - position for k in kinds if position < k < position + size), size)
            part = records[position : position + size]
            found.append(block(*part, stream=stream, event_type=kinds.get(position, "log")))
            if size > 1:
                found += [block(each, stream=stream) for each in part if rnd.random() < 0.7]
                found.append(block(*part, stream=stream, part="0.1", event_type="message", raw=None))
                found.append(block(part[0], stream=stream, part="0.1", event_type="message", raw=None))
            position += size
    found += [
        posted(ids.uuid5(ids.EVENTS, ["posted", str(n)]), MIDNIGHT + n * MINUTE, session_id="s") for n in range(5)
    ]
    return found


def many_runs(seed: int) -> list[Event]:
    """A stream whose runs follow each other, are inside each other, and now and then have lost their end."""
    rnd, at, found = random.Random(seed), MIDNIGHT - 20 * SECOND, []
    for number in range(60):
        at += rnd.randrange(SECOND)
        kind = rnd.choice((*("log",) * 4, "agent_start", "agent_end", "invocation_start", "invocation_end"))
        found.append(block((f"r-{number:03}", at), event_type=kind))
    return found


async def test_the_same_events_in_any_order_and_number_leave_the_same_record(
    new_store: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    for seed in range(4):
        monkeypatch.setattr("vectadb_server.indexer.MANY", seed % 2 * 10)  # All traces, or large ones, in a thread.
        store = await new_store()
        ingest, rnd = Ingest(store), random.Random(seed)
        async with Indexer(store, None) as indexer:
            for _ in range(2 if seed else 1):
                events = conversation()
                if seed:
                    rnd.shuffle(events)
                size = rnd.choice((7, 30)) if seed else len(events)
                batches = [events[i : i + size] for i in range(0, len(events), size)]
                await asyncio.gather(*(ingest.ingest(batch, OPTIONS) for batch in batches))
            await indexer.wait_idle()
        seen.append(await everything(store))
    first = seen[0]
    assert sum(hour.count for hour in first["digest"]) == 120
    assert len(first["traces"]) > 4
    for other in seen[1:]:
        assert other == first


@pytest.mark.parametrize("beside", [-10_000, 100])
async def test_late_boundaries_in_a_backlog_leave_the_same_record(
    new_store: Opener, monkeypatch: pytest.MonkeyPatch, beside: int
) -> None:
    monkeypatch.setattr("vectadb_server.indexer.BESIDE", beside)  # -10,000: what waits is left out of every look
    monkeypatch.setattr("vectadb_server.indexer.BATCH", 1)
    for seed in range(3):
        events, rnd = many_runs(seed), random.Random(seed)
        late = [each for each in events if boundary_of(each) is not None and rnd.random() < 0.6]
        rnd.shuffle(late)
        first, second = await new_store(), await new_store()
        await send(first, *many_runs(seed))
        async with Indexer(second, None) as indexer:
            await send(second, *(event for event in events if event not in late))
            await indexer.wait_idle()
        for event in late:
            await send(second, event)
        for store in (first, second):
            async with Indexer(store, None) as indexer:
                await indexer.wait_idle()
        seen = await everything(first)
        assert len(seen["traces"]) > 4
        assert await everything(second) == seen


async def test_digest_counts_each_record_once_whatever_block_it_is_in(store: SurrealStore) -> None:
    records = [(f"r{n}", MIDNIGHT - 2 * SECOND + n * SECOND) for n in range(4)]
    await send(store, block(*records[1:3]))
    await send(store, block(*records), block(*records, part="0.1"), line("other", MIDNIGHT, group="/other"))
    expected = [
        sum(ids.record_hash(record_id(log_id)) for log_id, _ in part) % 2**128 for part in (records[:2], records[2:])
    ]
    found = await store.digest("/group", 0, 2**60)
    assert [(hour.hour, hour.count, hour.digest) for hour in found] == [
        (MIDNIGHT - HOUR, 2, expected[0]),
        (MIDNIGHT, 2, expected[1]),
    ]
    for day in await store.days():
        await store.compact(day, at_least=1)
    assert await store.digest("/group", 0, 2**60) == found
    assert len(await store.digest(None, 0, 2**60)) == 3
    assert [hour.hour for hour in await store.digest("/group", MIDNIGHT, 2**60)] == [MIDNIGHT]


async def test_counts_follow_the_block_that_takes_the_place_of_others(store: SurrealStore) -> None:
    records = [(f"r{n}", MIDNIGHT - 2 * SECOND + n * SECOND) for n in range(4)]
    await send(store, block(*records[:2], event_type="error", agent_id="ann"), *(line(*each) for each in records[2:]))
    assert set(await counted(store, await store.events(EventFilter(), limit=9))) == {
        Kind(MIDNIGHT - MINUTE, "ann", "error"),
        Kind(MIDNIGHT, "", "log"),
    }
    whole = block(*records, timestamp=MIDNIGHT + HOUR, event_type="tool_call", agent_id="bob")
    extra = block(*records, part="0.1", event_type="tool_result")
    assert statuses(await send(store, whole, extra)) == ["accepted"] * 2
    for _ in range(2):
        counts = await counted(store, await store.events(EventFilter(), limit=9))
        assert {(kind.agent, kind.event_type): count for kind, count in counts.items()} == {
            ("bob", "tool_call"): 1,
            ("", "tool_result"): 1,
        }
        for day in await store.days():
            await store.compact(day)
    found = await store.stats(MIDNIGHT, MIDNIGHT + 2 * HOUR, MINUTE, agent_id="bob")
    assert [(each.start, each.types) for each in found.buckets if each.types] == [(MIDNIGHT + HOUR, {"tool_call": 1})]


async def test_a_record_inside_a_block_is_found_as_the_block_across_midnight(store: SurrealStore) -> None:
    whole = block(("a", MIDNIGHT - SECOND), ("b", MIDNIGHT))
    assert statuses(await send(store, line("b", MIDNIGHT))) == ["accepted"]
    assert statuses(await send(store, whole)) == ["accepted"]
    assert statuses(await send(store, line("b", MIDNIGHT), line("a", MIDNIGHT - SECOND), whole)) == ["duplicate"] * 3
    found = await store.event(record_id("b"))
    assert found is not None
    assert found.event_id == record_id("a")
    assert found.record_ids == whole.record_ids
    assert [event.event_id for event in await store.events(EventFilter(), limit=9)] == [record_id("a")]


async def test_a_crash_between_two_days_is_healed_by_the_same_batch(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = block(("a", MIDNIGHT - SECOND), ("b", MIDNIGHT))
    await send(store, line("b", MIDNIGHT))
    commit = store.commit
    days: list[str] = []

    async def crash(day: str, write: Any) -> None:
        if days:
            raise StoreUnavailable("the power is gone")
        days.append(day)
        await commit(day, write)

    with monkeypatch.context() as patch:
        patch.setattr(store, "commit", crash)
        with pytest.raises(StoreUnavailable):
            await send(store, whole)
    assert {event.event_id for event in await store.events(EventFilter(), limit=9)} == {record_id("a"), record_id("b")}
    await send(store, whole)
    assert {event.event_id for event in await store.events(EventFilter(), limit=9)} == {record_id("a")}
    assert sum(hour.count for hour in await store.digest(None, 0, 2**60)) == 2


async def test_overlap_is_refused_with_the_records_that_nobody_holds(store: SurrealStore) -> None:
    at = MIDNIGHT
    await send(store, block(("a", at), ("b", at + 1)))
    outcomes = await send(store, block(("b", at + 1), ("c", at + 2), ("d", at + 3)), line("x", at))
    assert statuses(outcomes) == ["failed", "accepted"]
    assert (outcomes[0].code, outcomes[0].unclaimed) == ("partial_overlap", [1, 2])
    assert statuses(await send(store, line("c", at + 2), line("d", at + 3))) == ["accepted"] * 2


async def test_an_id_that_a_client_made_up_stays_one_row_on_any_day(store: SurrealStore) -> None:
    event_id = ids.uuid7()
    first = await send(store, posted(event_id, MIDNIGHT - HOUR, trace_id="t"))
    again = await send(store, posted(event_id, MIDNIGHT + HOUR, trace_id="t"), posted(event_id, MIDNIGHT + 9 * HOUR))
    assert statuses(first) == ["accepted"]
    assert statuses(again) == ["duplicate", "duplicate"]
    assert again[0].trace_id == first[0].trace_id
    assert [event.timestamp for event in await store.events(EventFilter(), limit=9)] == [MIDNIGHT - HOUR]


async def test_one_id_at_once_from_many_is_accepted_once(store: SurrealStore) -> None:
    made = [f"r{n}" for n in range(20)]
    replies = await asyncio.gather(*(send(store, *(line(log_id, MIDNIGHT) for log_id in made)) for _ in range(6)))
    accepted = [outcome.event_id for reply in replies for outcome in reply if outcome.status == "accepted"]
    assert sorted(accepted) == sorted(record_id(log_id) for log_id in made)
    assert {status for reply in replies for status in statuses(reply)} == {"accepted", "duplicate"}


async def test_what_comes_twice_in_one_batch_is_accepted_once(store: SurrealStore) -> None:
    first, other, stranger = line("a", MIDNIGHT), line("b", MIDNIGHT + DAY), posted(str(uuid4()), MIDNIGHT)
    taker = Ingest(store)
    batch = [first, first, other, stranger, first, stranger]
    assert [each.status for each in await taker.ingest(batch, OPTIONS)] == [
        *("accepted", "duplicate", "accepted", "accepted", "duplicate", "duplicate")
    ]
    assert {each.status for each in await taker.ingest(batch, OPTIONS)} == {"duplicate"}


async def test_what_is_over_the_horizon_is_expired_by_the_time_of_the_record(store: SurrealStore) -> None:
    async def expired() -> Expired:
        return Expired(Horizon(MIDNIGHT))

    ingest = Ingest(store, expired=expired)
    events = [line("old", MIDNIGHT - 1, timestamp=MIDNIGHT + HOUR), line("new", MIDNIGHT, timestamp=MIDNIGHT - HOUR)]
    assert statuses(await ingest.ingest(events, OPTIONS)) == ["expired", "accepted"]
    assert [event.event_id for event in await store.events(EventFilter(), limit=9)] == [record_id("new")]


async def test_the_reply_names_the_trace_by_what_is_known(store: SurrealStore) -> None:
    start = line("start", MIDNIGHT, event_type="invocation_start", request_id="r1")
    outcomes = await send(store, start, line("print", MIDNIGHT + 1), line("framed", MIDNIGHT + 2, request_id="r1"))
    assert len({outcome.trace_id for outcome in outcomes}) == 1
    late = await send(store, line("more", MIDNIGHT + 3))
    assert late[0].trace_id == outcomes[0].trace_id
    alone = await send(store, line("none", MIDNIGHT + 4), options=Options(auto_create_traces=False))
    assert alone[0].trace_id is None


async def test_texts_that_an_engine_may_not_hold_come_back_as_they_were(store: SurrealStore) -> None:
    properties = {"nul\0": "a\0b", "deep": {"a": [1, {"b": None}]}, "big": 2**63 - 1, "text": "'; DELETE event; --"}
    sent = line("odd", MIDNIGHT, raw="\0é\x1b[31m\u2028", properties=properties, agent_id="o'hara", session_id='"`⟨⟩')
    await send(store, sent)
    found = await store.event(sent.event_id)
    assert found == sent
    assert await store.events(EventFilter(agent_id="o'hara", session_id='"`⟨⟩'), limit=2) == [sent]


async def test_a_data_directory_has_one_server(tmp_path: Path) -> None:
    store = await SurrealStore.open(tmp_path)
    with pytest.raises(StoreUnavailable, match="another VectaDB server has it"):
        await SurrealStore.open(tmp_path)
    await store.close()


async def test_a_newer_schema_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("vectadb_server.stores.segments.SCHEMA_VERSION", 99)
        await (await SurrealStore.open(tmp_path)).close()
    with pytest.raises(StoreUnavailable, match="newer VectaDB"):
        await SurrealStore.open(tmp_path)


async def test_what_is_acknowledged_is_there_after_reopening(tmp_path: Path) -> None:
    store = await SurrealStore.open(tmp_path)
    await send(store, line("a", MIDNIGHT), line("b", MIDNIGHT - HOUR))
    await store.close()
    store = await SurrealStore.open(tmp_path)
    assert [event.timestamp for event in await store.events(EventFilter(), limit=9)] == [MIDNIGHT, MIDNIGHT - HOUR]
    assert statuses(await send(store, line("a", MIDNIGHT))) == ["duplicate"]
    await store.close()


async def test_a_dropped_day_is_gone_and_the_others_stay(store: SurrealStore) -> None:
    event_id = ids.uuid7()
    await send(store, line("a", MIDNIGHT), line("b", MIDNIGHT - HOUR), posted(event_id, MIDNIGHT - HOUR))
    await store.drop_day("2026-01-01")
    assert await store.days() == ["2026-01-02"]
    assert [event.timestamp for event in await store.events(EventFilter(), limit=9)] == [MIDNIGHT]
    assert statuses(await send(store, posted(event_id, MIDNIGHT))) == ["accepted"]


def test_a_mark_that_an_earlier_version_wrote_is_read() -> None:
    mark = ["stream", "run", 1, 0, "7", "0", "id", True, "trace"]
    assert marked(mark) == marked([*mark, True])
