"""Every list, by every filter and combination, against a brute-force answer over what was ingested."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.selection import is_event
from vectadb_server.stores import figures, grouping, histogram, minutes, newest, sifting
from vectadb_server.stores.base import Cursor, EventFilter, Group, Grouping, TraceFilter
from vectadb_server.stores.tallies import TooMuch

from .making import HOUR, MIDNIGHT, MINUTE, OPTIONS, SECOND, line, posted

if TYPE_CHECKING:
    from vectadb_server.model import Event, Trace
    from vectadb_server.stores.base import Page
    from vectadb_server.stores.surreal import SurrealStore

pytestmark = pytest.mark.anyio

TYPES = ("log", "error", "tool_call", "tool_result", "llm_start", "llm_end", "message")
NEVER = 2**62


def made(count: int, seed: int, first: int = 0) -> list[Event]:
    """Events over five days, a third of them at one of a few times; the application's time may be of another day."""
    rnd = random.Random(seed)
    found = []
    for number in range(first, first + count):
        at = MIDNIGHT + rnd.randrange(-60, 60) * HOUR + rnd.randrange(HOUR)
        told = MIDNIGHT + rnd.randrange(-5, 5) * HOUR if rnd.random() < 0.4 else at
        type_ = rnd.choice(TYPES)
        properties: dict[str, Any] = {"level": rnd.choice(("INFO", "warn", "Error")), "gen_ai.usage.input_tokens": 2}
        if "tool" in type_:
            properties["gen_ai.tool.name"] = rnd.choice(('se"arch', "düsen"))
        if "llm" in type_:
            properties["model"] = rnd.choice(("small", "large/1"))
        if rnd.random() < 0.1:
            properties["error"] = "lost"
        common: dict[str, Any] = {
            "event_type": type_,
            "agent_id": rnd.choice(("ann", "bob", "bob2", None)),
            "session_id": rnd.choice((*(f"s{n}" for n in range(9)), None)),
            "trace_id": f"t{rnd.randrange(60)}" if rnd.random() < 0.9 else None,
            "request_id": rnd.choice(("r1", "r2", None)),
            "properties": properties,
            "raw": rnd.choice(("Ünter \\ way", 'a "quoted" thing', "plain", None)),
        }
        if rnd.random() < 0.2:
            found.append(posted(f"{number:08x}-0000-4000-8000-000000000000", told, **common))
        else:
            stream, group = rnd.choice("xy"), rnd.choice(("/g", "/h"))
            found.append(line(f"r{number}", at, timestamp=told, stream=stream, group=group, **common))
    return found


async def stored(store: SurrealStore, events: list[Event]) -> None:
    ingest = Ingest(store)
    for i in range(0, len(events), 97):
        await ingest.ingest(events[i : i + 97], OPTIONS)
    async with Indexer(store, None) as indexer:
        await indexer.wait_idle()


async def traces_of(store: SurrealStore) -> list[Trace]:
    """All summaries, each looked up by its id."""
    names = {event.trace for event in await store.events(EventFilter(), limit=10**6) if event.trace}
    return [trace for name in sorted(names) if (trace := await store.trace(name)) is not None]


def told(event: Event, name: str) -> Any:
    return event.properties.get(name)


def wanted_events(events: list[Event], where: EventFilter) -> list[Event]:
    """What each filter says, once more in other words."""
    found = list(events)
    if where.trace is not None:
        found = [e for e in found if e.trace == where.trace]
    if where.session_id is not None:
        found = [e for e in found if e.session_id == where.session_id]
    if where.agent_id is not None:
        found = [e for e in found if e.agent_id == where.agent_id]
    if where.event_types:
        found = [e for e in found if e.event_type in set(where.event_types)]
    if where.log_group is not None:
        found = [e for e in found if e.source and e.source.log_group == where.log_group]
    if where.log_stream is not None:
        found = [e for e in found if e.source and e.source.log_stream == where.log_stream]
    if where.since is not None:
        found = [e for e in found if e.timestamp >= where.since]
    if where.until is not None:
        found = [e for e in found if e.timestamp < where.until]
    if where.request_id is not None:
        found = [e for e in found if e.request_id == where.request_id]
    if where.levels:
        found = [e for e in found if str(told(e, "level")).upper() in where.levels]
    if where.failed is not None:
        bad = {e.event_id for e in found if e.event_type == "error" or told(e, "level") == "Error" or told(e, "error")}
        found = [e for e in found if (e.event_id in bad) == where.failed]
    if where.tool is not None:
        found = [e for e in found if "tool" in e.event_type and told(e, "gen_ai.tool.name") == where.tool]
    if where.model is not None:
        found = [e for e in found if told(e, "model") == where.model]
    if where.text is not None:
        text = where.text.casefold()
        found = [e for e in found if any(text in str(v).casefold() for v in (e.raw, *e.properties.values()))]
    return sorted(found, key=lambda e: (-e.timestamp, e.event_id))


def wanted_traces(traces: list[Trace], where: TraceFilter) -> list[Trace]:
    found = [t for t in traces if (t.basis != "time_window" if where.basis is None else t.basis == where.basis)]
    if where.statuses:
        found = [t for t in found if t.status in set(where.statuses)]
    if where.agent_id is not None:
        found = [t for t in found if where.agent_id in t.agents]
    if where.session_id is not None:
        found = [t for t in found if where.session_id in t.sessions]
    if where.since is not None:
        found = [t for t in found if t.start >= where.since]
    if where.until is not None:
        found = [t for t in found if t.start < where.until]
    if where.request_id is not None:
        found = [t for t in found if t.request_id == where.request_id]
    if where.tool is not None:
        found = [t for t in found if where.tool in [c.name for c in t.calls if c.kind == "tool"]]
    if where.model is not None:
        found = [t for t in found if where.model in [c.name for c in t.calls if c.kind == "llm"]]
    if where.active_since is not None:
        found = [t for t in found if t.status == "running" or t.end >= where.active_since]
    if where.min_duration is not None:
        found = [t for t in found if t.end >= t.start + where.min_duration]
    if where.failed is not None:
        found = [t for t in found if bool(t.errors) == where.failed]
    if where.event_types:
        found = [t for t in found if set(t.event_types) & set(where.event_types)]
    if where.log_group is not None:
        found = [t for t in found if where.log_group in t.log_groups]
    if where.text is not None:
        text = where.text.casefold()
        found = [t for t in found if text in f"{t.input}\n{t.output}\n{t.first_error}".casefold()]
    return sorted(found, key=lambda t: (-t.start, t.trace_id))


def wanted_groups(traces: list[Trace], kind: Grouping, since: int, until: int) -> list[Group]:
    inside = [t for t in traces if since <= t.start < until]
    by_name: dict[str, list[Trace]] = {}
    for trace in sorted(inside, key=lambda t: (-t.start, t.trace_id)):
        for name in sorted(trace.sessions if kind == "session" else trace.agents):
            by_name.setdefault(name, []).append(trace)
    found = []
    for name, some in by_name.items():
        counted = [t for t in some if t.basis != "time_window"]
        tokens = [t.tokens.input for t in some if t.tokens.input is not None]
        found.append(
            {
                "id": name,
                "first": min(t.start for t in some),
                "last": max(t.end for t in some),
                "status": some[0].status,
                "traces": len(counted),
                "failed": len([t for t in counted if t.status == "error"]),
                "events": sum(t.events for t in some),
                "errors": sum(t.errors for t in some),
                "tokens": {"input": sum(tokens) if tokens else None, "output": None},
                "agents": sorted({agent for t in some for agent in t.agents}),
            }
        )
    return msgspec.convert(found, list[Group])


@dataclass
class Pages:
    """All items of a list, by its pages."""

    items: list[Any]
    pages: int = 0

    @classmethod
    async def of(cls, ask: Any, limit: int, between: Any = None) -> Pages:
        found, after = cls([]), None
        while True:
            page: Page[Any] = await ask(limit=limit, after=after)
            assert len(page.items) <= limit
            found.items += page.items
            found.pages += 1
            if page.next is None:
                return found
            assert after is None or (-page.next.us, page.next.id) > (-after.us, after.id), "it does not come further"
            after = page.next
            if between is not None:
                await between()


def some(rnd: random.Random, choices: dict[str, Any], share: float) -> dict[str, Any]:
    return {name: value for name, value in choices.items() if rnd.random() < share}


@pytest.mark.parametrize("hasty", [False, True])
async def test_every_filter_alone_and_combined(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch, hasty: bool
) -> None:
    events = made(100 if hasty else 200, seed=1)
    await stored(store, events)
    events = [found for event in events if (found := await store.event(event.event_id)) is not None]
    traces = await traces_of(store)
    for trace in traces:
        own = [event for event in events if event.trace == trace.trace_id]
        assert trace.event_types == sorted({event.event_type for event in own})
        assert trace.log_groups == sorted({event.source.log_group for event in own if event.source})
    if hasty:  # Every page is short, and chunks are smaller than many a tie.
        monkeypatch.setattr(newest, "FEW", 3)
        monkeypatch.setattr(newest, "MANY", 7)
        monkeypatch.setattr(newest, "SECONDS", -1.0)
        monkeypatch.setattr(sifting, "ROWS", 5)
        monkeypatch.setattr(sifting, "RANGES", 2)
        monkeypatch.setattr(sifting, "BACK", 12 * HOUR)
        monkeypatch.setattr(sifting, "RARE", 0)
    rnd = random.Random(3)
    most = 0
    for number in range(20 if hasty else 26):
        since, until = sorted(MIDNIGHT + rnd.randrange(-62, 62) * HOUR for _ in range(2))
        event_choices: dict[str, Any] = {
            "trace": rnd.choice(traces).trace_id,
            "session_id": rnd.choice(("s1", "s2")),
            "agent_id": rnd.choice(("ann", "bob", "nobody")),
            "event_types": tuple(rnd.sample(TYPES, 3)),
            "log_group": "/g",
            "log_stream": "x",
            "since": since,
            "until": until,
            "request_id": "r1",
            "levels": rnd.choice((("ERROR",), ("INFO", "WARN"))),
            "failed": rnd.choice((True, False)),
            "tool": rnd.choice(('se"arch', "düsen")),
            "model": "large/1",
            "text": rnd.choice(("ÜNTER \\", '"QUOTED', "lost", "nothing", "DÜSEN")),
        }
        names = list(event_choices)
        chosen = (
            some(rnd, event_choices, 0.2) if number >= len(names) else {names[number]: event_choices[names[number]]}
        )
        where = EventFilter(**chosen)
        limit = rnd.choice((2, 30) if hasty else (3, 50, 1000))
        found = await Pages.of(lambda where=where, **page: store.event_page(where, **page), limit)
        assert found.items == wanted_events(events, where), where
        most = max(most, found.pages)
        trace_choices: dict[str, Any] = {
            "statuses": rnd.choice((("error",), ("ok", "running"))),
            "agent_id": rnd.choice(("ann", "bob", "nobody")),
            "session_id": rnd.choice(("s1", "s2")),
            "basis": rnd.choice(("trace_id", "session_id", "time_window")),
            "since": since,
            "until": until,
            "request_id": "r1",
            "tool": rnd.choice(('se"arch', "düsen")),
            "model": "large/1",
            "active_since": until - 8 * HOUR,
            "min_duration": 40 * HOUR,
            "failed": rnd.choice((True, False)),
            "event_types": tuple(rnd.sample(TYPES, 2)),
            "log_group": "/h",
            "text": rnd.choice(("LOST", "quoted", "nothing")),
        }
        names = list(trace_choices)
        chosen = (
            some(rnd, trace_choices, 0.2) if number >= len(names) else {names[number]: trace_choices[names[number]]}
        )
        asked = TraceFilter(**chosen)
        listed = await Pages.of(lambda asked=asked, **page: store.trace_page(asked, **page), limit)
        assert listed.items == wanted_traces(traces, asked), asked
        start, end = since - 5 * HOUR, until + HOUR
        counted = await store.trace_histogram(asked, start, end, 7 * HOUR)
        inside = [t for t in listed.items if start <= t.start < end]
        for each in counted.buckets:
            begun = [t for t in inside if each.start <= t.start < each.start + 7 * HOUR]
            assert (each.traces, each.failed) == (len(begun), sum(t.status == "error" for t in begun)), asked
        assert counted.complete_from == start
    assert not hasty or most > 20


async def test_who_reads_counts_while_they_are_added_up_finds_each_event_once(store: SurrealStore) -> None:
    ingest = Ingest(store)
    day = None
    for number in range(12):
        at = MIDNIGHT + (5 + number % 4) * MINUTE
        await ingest.ingest([line(f"r{number}", at, event_type="error")], OPTIONS)
        [day] = await store.days()
        async with store.segments.use(day) as db:
            asked = (minutes.numbers(db, MIDNIGHT + 4 * MINUTE, MIDNIGHT + HOUR, None, ["error"]) for _ in range(8))
            _, *seen = await asyncio.gather(store.compact(day), *asked)
        for known in seen:
            assert sum(each.ours for each in known) == number + 1
            assert {len(each.names or ()) - each.ours for each in known} == {0}


@pytest.mark.parametrize("whole_hours", [True, False])
async def test_what_is_rare_in_busy_minutes_is_found_by_its_ids(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch, whole_hours: bool
) -> None:
    if not whole_hours:
        monkeypatch.setattr(minutes, "HOUR_BYTES", 400)
    rnd = random.Random(5)
    events = [
        line(
            f"r{number:03}",
            MIDNIGHT + number // 60 * MINUTE + rnd.randrange(MINUTE),
            event_type="error" if number % 29 == 0 else "tool_call" if number % 5 == 1 else "log",
            agent_id=("ann", "bob")[number % 2],
        )
        for number in range(600)
    ]
    await stored(store, events)
    errors = {event.event_id for event in events if event.event_type == "error"}
    for compacted in (False, True):
        for day in await store.days():
            async with store._segments.use(day) as db:
                if compacted:
                    await store.compact(day)
                known = await minutes.numbers(db, MIDNIGHT, MIDNIGHT + HOUR, None, ["error"])
                assert [(each.events, each.ours) for each in known] == [(60, 2)] * 9 + [(60, 3)]
                assert set.union(*(each.names or set() for each in known)) == errors
                later = await minutes.numbers(db, MIDNIGHT + 3 * MINUTE, MIDNIGHT + 5 * MINUTE, None, ["error"])
                assert later == known[-5:-3]
                calls = await minutes.numbers(db, MIDNIGHT, MIDNIGHT + MINUTE, "bob", ["tool_call"])
                assert [(each.events, each.ours, each.names) for each in calls] == [(60, 6, None)]
                assert len(await db.one("SELECT VALUE id FROM minute")) == (
                    len(known) + 6 if not compacted else 1 if whole_hours else len(known)
                )
        for limit in (1, 7, 100):
            for type_, agent in (("error", None), ("error", "bob"), ("tool_call", "bob")):
                where = EventFilter(event_types=(type_,), agent_id=agent)
                found = await Pages.of(lambda where=where, **page: store.event_page(where, **page), limit)
                assert found.items == wanted_events(events, where)


@pytest.mark.parametrize("hasty", [False, True])
async def test_a_minute_with_more_events_than_are_looked_at_at_once(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch, hasty: bool
) -> None:
    monkeypatch.setattr(sifting, "ROWS", 3)
    if hasty:
        monkeypatch.setattr(newest, "SECONDS", -1.0)
    times = [MIDNIGHT + minute * MINUTE + us for minute in range(3) for us in (0, 0, 0, 0, 1, MINUTE - 1)]
    events = [line(f"r{number:02}", at, group=f"/{number % 2}") for number, at in enumerate(times)]
    await stored(store, events)
    for limit in (1, 2, 100):
        where = EventFilter(log_group="/1")
        found = await Pages.of(lambda where=where, **page: store.event_page(where, **page), limit)
        assert len(found.items) == 9
        assert found.items == wanted_events(events, where)


@pytest.mark.parametrize("kind", ["session", "agent"])
@pytest.mark.parametrize("few", [True, False])
async def test_sessions_and_agents(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch, kind: Grouping, few: bool
) -> None:
    await stored(store, made(150, seed=2))
    traces = await traces_of(store)
    if not few:
        monkeypatch.setattr(grouping, "FEW_NAMES", 1)
        monkeypatch.setattr(newest, "FEW", 3)
    rnd = random.Random(4)
    spans = [(0, NEVER), *(sorted(MIDNIGHT + rnd.randrange(-62, 62) * HOUR for _ in range(2)) for _ in range(6))]
    for since, until in spans:
        wanted = wanted_groups(traces, kind, since, until)
        for limit in (1, 100) if until == NEVER else (2,):
            found = await Pages.of(
                lambda since=since, until=until, **page: store.groups(kind, since, until, arrived=NEVER, **page), limit
            )
            assert found.items == wanted
        for group in wanted:
            assert await store.group(kind, group.id, since, until) == group
    assert await store.group(kind, "nobody", 0, NEVER) is None


@pytest.mark.parametrize("kind", ["session", "agent"])
async def test_groups_come_to_an_end_also_where_no_page_has_time(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch, kind: Grouping
) -> None:
    await stored(store, made(60, seed=11))
    wanted = wanted_groups(await traces_of(store), kind, 0, NEVER)
    monkeypatch.setattr(grouping, "FEW_NAMES", 0)
    monkeypatch.setattr(newest, "FEW", 1)
    for seconds in (1.0, 0.0, -1.0):
        monkeypatch.setattr(newest, "SECONDS", seconds)
        for limit in (1, 3):
            found, after = [], None
            for _ in range(2_000):
                page = await store.groups(kind, 0, NEVER, arrived=NEVER, limit=limit, after=after)
                assert len(page.items) <= limit
                found += page.items
                assert page.next != after or page.next is None, "it stands still"
                after = page.next
                if after is None:
                    break
            assert found == wanted


async def test_pages_are_stable_while_data_arrives(store: SurrealStore) -> None:
    events = made(150, seed=6)
    await stored(store, events)
    late = iter(made(400, seed=7, first=1000))
    before = wanted_events(events, EventFilter())
    traces = wanted_traces(await traces_of(store), TraceFilter())
    sessions = wanted_groups(traces, "session", 0, NEVER)
    arrived = max(event.created_at for event in events) + 1

    async def more() -> None:
        # New traces only: a trace that grows may begin earlier than it did, and stand elsewhere.
        some = [next(late) for _ in range(5)]
        for event in some:
            event.trace_id = f"late-{event.event_id}"
        await stored(store, some)

    async def pages(ask: Any, name: str) -> list[str]:
        found = [getattr(item, name) for item in (await Pages.of(ask, 4 if name == "id" else 20, more)).items]
        assert len(found) == len(set(found)), "something came twice"
        return found

    seen = await pages(lambda **page: store.event_page(EventFilter(), **page), "event_id")
    assert [event_id for event_id in seen if event_id in {e.event_id for e in before}] == [e.event_id for e in before]
    listed = await pages(lambda **page: store.trace_page(TraceFilter(), **page), "trace_id")
    assert [name for name in listed if name in {t.trace_id for t in traces}] == [t.trace_id for t in traces]
    groups = await pages(lambda **page: store.groups("session", 0, NEVER, arrived=arrived, **page), "id")
    assert groups == [group.id for group in sessions]


async def test_a_group_of_very_many_traces_says_that_its_figures_are_of_the_newest(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [line(f"r{n}", MIDNIGHT + n * SECOND, agent_id="ann", trace_id=f"t{n}") for n in range(7)]
    await stored(store, events)
    monkeypatch.setattr(grouping, "GROUP_TRACES", 3)
    monkeypatch.setattr(grouping, "PAGE_TRACES", 3)
    group = await store.group("agent", "ann", 0, NEVER)
    assert group is not None
    assert (group.complete, group.traces, group.first) == (False, 3, MIDNIGHT + 4 * SECOND)


LETTERS = {"1": ("Größe", "ΟΔΟΣΑ"), "2": ("dıkkat", "ΟΔΟΣ."), "3": ('"ſ\\', "straße\nİ"), "4": ("ok", "ASCII\nK")}


@pytest.mark.parametrize(
    ("levels", "text", "found"),
    [
        ("größe", None, "1"),
        ("GRÖSSE", None, "1"),
        ("dıkkat", None, "2"),
        ("dikkat", None, "2"),
        ('"s\\', None, "3"),
        ("ok", None, "4"),
        (None, "ΟΔΟΣ", "12"),
        (None, "οδοσ", "12"),
        (None, "οδος", "12"),
        (None, "οδοσα", "1"),
        (None, "straße\nİ", "3"),
        (None, "STRAßE\n", "3"),
        (None, "ascii\nk", "4"),
        (None, "nö", ""),
    ],
)
@pytest.mark.parametrize("where", ["raw", "message"])
async def test_letters_of_either_case_are_the_same_in_every_script(
    store: SurrealStore, where: str, levels: str | None, text: str | None, found: str
) -> None:
    for number, (level, said) in LETTERS.items():
        more = {"raw": said} if where == "raw" else {"properties": {"message": said}}
        properties = {"level": level, **more.pop("properties", {})}
        event = line(number, MIDNIGHT, properties=properties, trace_id=number, event_type="agent_start", **more)
        await Ingest(store).ingest([event], OPTIONS)
    asked = EventFilter(levels=(levels.upper(),) if levels else (), text=text)
    events = await store.events(asked, limit=9)
    assert sorted(event.trace_id for event in events) == list(found)
    among = await store.events(EventFilter(), limit=9)
    assert sorted(event.trace_id for event in among if is_event(event, asked)) == list(found)


async def test_a_forged_place_finds_nothing_wrong(store: SurrealStore) -> None:
    await stored(store, made(20, seed=8))
    for us in (-NEVER + 1, 0, NEVER - 1):
        after = Cursor(us, "00000000-0000-4000-8000-000000000000")
        page = await store.event_page(EventFilter(since=MIDNIGHT), limit=10, after=after)
        times = [event.timestamp for event in page.items]
        assert all(MIDNIGHT <= b <= a for a, b in pairwise([*times, MIDNIGHT]))
        assert bool(times) == (us == NEVER - 1)


async def test_stats_by_tool_model_and_agent_of_an_agent_or_session(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = made(200, seed=9)
    await stored(store, events)
    traces = await traces_of(store)
    since, until, bucket = MIDNIGHT - 40 * HOUR, MIDNIGHT + 30 * HOUR, 7 * HOUR
    for names in ({}, {"agent_id": "ann"}, {"session_id": "s1"}, {"agent_id": "bob", "session_id": "s2"}):
        found = await store.stats(since, until, bucket, **names)
        inside = [
            t
            for t in traces
            if since <= t.start < until
            and names.get("agent_id") in (None, *t.agents)
            and names.get("session_id") in (None, *t.sessions)
        ]
        for kind, tallies in (("tool", found.tools), ("llm", found.models)):
            calls = [c for t in inside for c in t.calls if c.kind == kind]
            assert set(tallies) == {c.name for c in calls}
            for name, tally in tallies.items():
                own = [c for c in calls if c.name == name]
                assert (tally.count, tally.errors) == (sum(c.count for c in own), sum(c.errors for c in own))
                assert tally.durations == sorted(us for c in own for us in c.durations)
        assert {name: tally.count for name, tally in found.agents.items()} == Counter(
            agent for t in inside for agent in t.agents
        )
        counted = [
            e for e in events if since <= e.timestamp < until and all(getattr(e, n) == v for n, v in names.items())
        ]
        assert sum(each.events for each in found.buckets) == len(counted)
        assert sum(each.traces for each in found.buckets) == len(inside)
        for each in found.buckets:
            own_events = [e for e in counted if each.start <= e.timestamp < each.start + bucket]
            assert each.types == dict(sorted(Counter(e.event_type for e in own_events).items()))
    monkeypatch.setattr(figures, "SECONDS", -1.0)
    with pytest.raises(TooMuch):
        await store.stats(since, until, bucket)


async def test_a_histogram_says_from_when_on_it_is_complete(
    store: SurrealStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = [line(f"r{n}", MIDNIGHT + n * SECOND, trace_id=f"t{n}") for n in range(7)]
    await stored(store, events)
    monkeypatch.setattr(newest, "FEW", 3)
    monkeypatch.setattr(newest, "MANY", 3)
    monkeypatch.setattr(histogram, "SECONDS", -1.0)
    found = await store.trace_histogram(TraceFilter(), MIDNIGHT, MIDNIGHT + 10 * SECOND, SECOND)
    assert MIDNIGHT < found.complete_from < MIDNIGHT + 7 * SECOND
    complete = [each.traces for each in found.buckets if each.start > found.complete_from]
    assert complete == [1] * (len(complete) - 3) + [0] * 3
    assert sum(each.traces for each in found.buckets) < 7


async def test_summaries_of_an_older_version_are_made_anew(store: SurrealStore) -> None:
    await stored(store, made(90, seed=9))
    before = await traces_of(store)
    for day in await store.days():
        async with store.segments.use(day) as db:
            await db.run("DELETE agent_trace; DELETE session_trace")
            for index in ("agent", "session"):
                await db.run(f"DEFINE INDEX trace_{index} ON trace FIELDS {index}, nstart")
            for row in await db.one("SELECT id, body FROM trace"):
                body = msgspec.json.decode(row["body"])
                del body["event_types"], body["log_groups"], body["agents"], body["sessions"]
                values = {"id": row["id"], "agent": body.get("agent_id"), "its_session": body.get("session_id")}
                values["body"] = msgspec.json.encode(body).decode()
                await db.run("UPDATE $id SET body = $body, agent = $agent, session = $its_session", values)
                await db.run("UPDATE $id SET agents = NONE, sessions = NONE", values)
    async with store.segments.use("meta") as meta:
        await meta.run("DELETE schema:summary RETURN NONE")
    assert all(trace.event_types == [] for trace in await traces_of(store))
    store.dirty.update(await store.days())  # as at every start
    await store._upgrade()
    first = [t for t in before if t.agent_id == "ann" and t.basis != "time_window"]
    found = await store.traces(TraceFilter(agent_id="ann"), limit=1000)
    assert {t.trace_id for t in found} == {t.trace_id for t in first}, "as before, until they are summed up again"
    async with Indexer(store, None) as indexer:
        await indexer.wait_idle()
    assert await traces_of(store) == before
    found = await store.traces(TraceFilter(agent_id="ann"), limit=1000)
    assert found == wanted_traces(before, TraceFilter(agent_id="ann"))
    assert len(found) > len(first)
