"""Lists and look-ups against brute force over what was ingested."""

from __future__ import annotations

import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.stores import reading
from vectadb_server.stores.base import Cursor, EventFilter, LogGroup, TraceFilter

from .making import DAY, HOUR, MIDNIGHT, MINUTE, OPTIONS, SECOND, block, line

if TYPE_CHECKING:
    from vectadb_server.model import Event
    from vectadb_server.stores.surreal import SurrealStore

pytestmark = pytest.mark.anyio

AGENTS = ("ann", "bob", None)
TYPES = ("log", "error", "tool_call", "tool_result", "llm_end", "message")


def made(count: int, seed: int) -> list[Event]:
    rnd = random.Random(seed)
    found = []
    for number in range(count):
        at = MIDNIGHT + rnd.randrange(-30, 30) * HOUR + rnd.randrange(HOUR)
        # Few distinct application times, so that many are equal, also on different days.
        told = MIDNIGHT + rnd.randrange(-40, 40) * HOUR if rnd.random() < 0.7 else at
        found.append(
            line(
                f"r{number}",
                at,
                timestamp=told,
                stream=rnd.choice("xy"),
                group=rnd.choice(("/g", "/h")),
                event_type=rnd.choice(TYPES),
                agent_id=rnd.choice(AGENTS),
                session_id=rnd.choice(("s1", None)),
                trace_id=rnd.choice((f"t{rnd.randrange(12)}", f"t{rnd.randrange(12)}", None)),
                properties={"gen_ai.usage.input_tokens": rnd.randrange(9), "model": rnd.choice(("small", "large"))},
            )
        )
    return found


def brute(events: list[Event], where: EventFilter) -> list[Event]:
    def holds(event: Event) -> bool:
        source = event.source
        assert source is not None
        pairs = (
            (where.trace, event.trace),
            (where.session_id, event.session_id),
            (where.agent_id, event.agent_id),
            (where.log_group, source.log_group),
            (where.log_stream, source.log_stream),
        )
        inside = (where.since is None or where.since <= event.timestamp) and (
            where.until is None or event.timestamp < where.until
        )
        typed = not where.event_types or event.event_type in where.event_types
        return inside and typed and all(wanted in (None, found) for wanted, found in pairs)

    return sorted(filter(holds, events), key=lambda event: (-event.timestamp, event.event_id))


async def pages(store: SurrealStore, where: EventFilter, limit: int) -> list[Event]:
    found: list[Event] = []
    after = None
    while page := await store.events(where, limit=limit, after=after):
        assert len(page) <= limit
        found += page
        after = Cursor(page[-1].timestamp, page[-1].event_id)
    return found


async def test_events_by_any_filter_and_page_size(store: SurrealStore) -> None:
    events = made(150, seed=1)
    ingest = Ingest(store)
    for i in range(0, len(events), 90):
        await ingest.ingest(events[i : i + 90], OPTIONS)
    async with Indexer(store, None) as indexer:
        await indexer.wait_idle()
    rnd = random.Random(2)
    traces = sorted({event.trace for event in events if event.trace})
    assert await pages(store, EventFilter(), 37) == brute(events, EventFilter())
    for _ in range(25):
        times = sorted(MIDNIGHT + rnd.randrange(-45, 45) * HOUR for _ in range(2))
        choices: dict[str, Any] = {
            "trace": rnd.choice(traces),
            "session_id": "s1",
            "agent_id": "ann",
            "event_types": tuple(rnd.sample(TYPES, 2)),
            "log_group": "/g",
            "log_stream": "x",
            "since": times[0],
            "until": times[1],
        }
        where = EventFilter(**{name: value for name, value in choices.items() if rnd.random() < 0.3})
        assert await pages(store, where, rnd.choice((2, 30, 500))) == brute(events, where), where


async def test_records_of_a_group_come_in_pages_without_gaps_or_repetitions(store: SurrealStore) -> None:
    around = [line(f"a{n}", MIDNIGHT + (n - 700) * SECOND, group="/g") for n in range(1_400)]
    await Ingest(store).ingest([*around, *(line(f"b{n}", MIDNIGHT, group="/h") for n in range(20))], OPTIONS)
    where = LogGroup("/g", "cloudwatch", "1", "us-east-1")
    since, until = MIDNIGHT - 600 * SECOND, MIDNIGHT + 600 * SECOND
    pages, after = [], None
    while True:
        page, after = await store.records(where, since, until, limit=300, after=after)
        pages.append([held.log_id for held in page])
        if after is None:
            break
    assert len(pages) > 2
    assert sorted(log_id for page in pages for log_id in page) == sorted(f"a{n}" for n in range(100, 1_300))


async def test_records_are_those_that_digests_count_however_far_a_block_goes(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_CHUNK", 2)
    hours = {"a": -50, "b": 3, "c": 4, "d": -3, "e": 30, "f": 5, "g": 6}
    blocks = [
        block(*((name, MIDNIGHT + hours[name] * HOUR) for name in names), group="/g") for names in ("abc", "de", "f")
    ]
    await Ingest(store).ingest([*blocks, line("g", MIDNIGHT + 6 * HOUR, group="/h")], OPTIONS)
    where = LogGroup("/g", "cloudwatch", "1", "us-east-1")
    counted = {hour.hour: hour.count for hour in await store.digest("/g", MIDNIGHT - 4 * DAY, MIDNIGHT + 4 * DAY)}
    assert counted == {MIDNIGHT + hours[name] * HOUR: 1 for name in "abcdef"}
    for since, until in ((-60, 40), (0, 10), (-2, 4), (4, 5), (29, 31), (-51, -49), (-4, -2)):
        found: list[str] = []
        after = None
        while True:
            times = MIDNIGHT + since * HOUR, MIDNIGHT + until * HOUR
            page, after = await store.records(where, *times, limit=1, after=after)
            found += [held.log_id for held in page]
            if after is None:
                break
        assert sorted(found) == [name for name in "abcdef" if since <= hours[name] < until]


async def test_one_event_and_many_by_id(store: SurrealStore) -> None:
    events = made(60, seed=4)
    await Ingest(store).ingest(events, OPTIONS)
    for event in events[:20]:
        assert await store.event(event.event_id) == event
    assert await store.event("00000000-0000-5000-8000-000000000000") is None
    keys = [(f"2026-01-0{1 + (event.order[0] >= MIDNIGHT)}", event.event_id) for event in events]
    known = {
        key: event for key, event in zip(keys, events, strict=True) if MIDNIGHT - DAY <= event.order[0] < MIDNIGHT + DAY
    }
    asked = [
        *reversed(known),
        ("2026-01-01", "00000000-0000-5000-8000-000000000000"),
        ("1999-01-01", events[0].event_id),
    ]
    assert await store.events_of(asked) == [known[key] for key in reversed(known)]


async def test_traces_across_days_and_pages(store: SurrealStore) -> None:
    events = made(400, seed=5)
    await Ingest(store).ingest(events, OPTIONS)
    async with Indexer(store, None) as indexer:
        await indexer.wait_idle()
    by_trace: dict[str, list[Event]] = {}
    for event in await store.events(EventFilter(), limit=1000):
        assert event.trace is not None
        by_trace.setdefault(event.trace, []).append(event)
    summaries = []
    for trace_id, members in by_trace.items():
        summary = await store.trace(trace_id)
        assert summary is not None
        assert (summary.events, summary.start) == (len(members), min(event.timestamp for event in members))
        assert set(summary.agents) == {event.agent_id for event in members} - {None}
        assert set(summary.sessions) == {event.session_id for event in members} - {None}
        assert (summary.agent_id, summary.session_id) == (
            next(iter(summary.agents), None),
            next(iter(summary.sessions), None),
        )
        expected = sorted(members, key=lambda event: (event.timestamp, event.event_id))
        assert await store.trace_events(trace_id) == expected
        summaries.append(summary)
    summaries.sort(key=lambda trace: (-trace.start, trace.trace_id))
    since, until = MIDNIGHT - 20 * HOUR, MIDNIGHT + 20 * HOUR
    for where in (
        TraceFilter(),
        TraceFilter(basis="time_window"),
        TraceFilter(agent_id="ann"),
        TraceFilter(statuses=("error",), since=since),
        TraceFilter(session_id="s1", until=until),
        TraceFilter(since=since, until=until),
    ):
        wanted = [
            trace
            for trace in summaries
            if (trace.basis == where.basis if where.basis else trace.basis != "time_window")
            and where.agent_id in (None, *trace.agents)
            and where.session_id in (None, *trace.sessions)
            and (not where.statuses or trace.status in where.statuses)
            and (where.since is None or trace.start >= where.since)
            and (where.until is None or trace.start < where.until)
        ]
        for limit in (2, 1000):
            found, after = [], None
            while page := await store.traces(where, limit=limit, after=after):
                found += page
                after = Cursor(page[-1].start, page[-1].trace_id)
            assert found == wanted
    assert await store.trace("none") is None


async def test_stats_count_events_and_traces_in_every_bucket(store: SurrealStore) -> None:
    events = made(300, seed=6)
    await Ingest(store).ingest(events, OPTIONS)
    async with Indexer(store, None) as indexer:
        await indexer.wait_idle()
    await stats_are_those_of(store, events, MIDNIGHT - 40 * HOUR, MIDNIGHT + 40 * HOUR + MINUTE, 9 * HOUR)
    # Not of whole minutes: the rows are counted then.
    await stats_are_those_of(store, events, MIDNIGHT - 40 * HOUR + SECOND, MIDNIGHT + 40 * HOUR, 9 * HOUR + SECOND)
    assert (await store.stats(MIDNIGHT, MIDNIGHT, SECOND)).buckets == []


async def stats_are_those_of(store: SurrealStore, events: list[Event], since: int, until: int, bucket: int) -> None:
    found = (await store.stats(since, until, bucket)).buckets
    assert [each.start for each in found] == list(range(since, until, bucket))
    traces = await store.traces(TraceFilter(), limit=1000) + await store.traces(
        TraceFilter(basis="time_window"), limit=1000
    )
    models: set[str] = set()
    for each in found:
        end = min(each.start + bucket, until)
        inside = [event for event in events if each.start <= event.timestamp < end]
        assert each.types == dict(sorted(Counter(event.event_type for event in inside).items()))
        assert (each.events, each.errors) == (len(inside), each.types.get("error", 0))
        begun = [trace for trace in traces if each.start <= trace.start < end]
        listed = [trace for trace in begun if trace.basis != "time_window"]
        assert (each.traces, each.failed) == (len(listed), sum(trace.status == "error" for trace in listed))
        assert each.input_tokens == sum(trace.tokens.input or 0 for trace in begun)
        calls = [call for trace in begun for call in trace.calls if call.kind == "llm"]
        for name, tally in each.models.items():
            own = [call for call in calls if call.name == name]
            assert tally.count == sum(call.count for call in own)
            assert tally.tokens.input == sum(call.tokens.input or 0 for call in own)
            assert tally.durations == sorted(us for call in own for us in call.durations)
        assert each.models.keys() == {call.name for call in calls}
        models |= each.models.keys()
        assert each.durations == sorted(t.end - t.start for t in listed if t.status in ("ok", "error"))
    assert models == {"small", "large"}
