"""``GET /api/v1/traces/{id}/outline``: the spans of a trace as columns, and what is kept of large ones."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest

from vectadb_server import outlines, spans
from vectadb_server.model import Event
from vectadb_server.outlines import Columns, Outlines, columns

pytestmark = pytest.mark.anyio


def events(trace: str, calls: int = 2) -> list[dict[str, Any]]:
    names = {"gen_ai.tool.name": "search"}
    found: list[dict[str, Any]] = [{"event_type": "agent_start", "properties": {"gen_ai.agent.name": "a"}}]
    for number in range(calls):
        id_ = {**names, "gen_ai.tool.call.id": f"c{number}"}
        found.append({"event_type": "tool_call", "properties": id_})
        found.append({"event_type": "tool_result", "properties": {**id_, "error": "torn" if number == 1 else ""}})
    found.append({"event_type": "agent_end", "properties": {}})
    at = time.time_ns() // 1_000_000_000
    return [
        {**each, "trace_id": trace, "timestamp": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}.{n:06d}Z"}
        for n, each in enumerate(found)
    ]


async def test_it_says_of_each_span_what_the_trace_does(client: Any, unique: str) -> None:
    await client.take(*events(unique))
    whole = await client.ok(f"/api/v1/traces/{unique}")
    found = await client.ok(f"/api/v1/traces/{unique}/outline")
    assert found["trace"] == whole["trace"]
    made = found["spans"]
    assert made["span_ids"] == [span["span_id"] for span in whole["spans"]]
    assert len(made["span_ids"]) == 3
    for at, span in enumerate(whole["spans"]):
        parent = made["parents"][at]
        assert (None if parent is None else made["span_ids"][parent]) == span["parent_span_id"]
        assert made["distinct_names"][made["names"][at]] == span["name"]
        assert (made["kinds"][at], made["statuses"][at]) == (span["kind"], span["status"])
        assert made["durations_us"][at] == round(span["duration_ms"] * 1000)
        assert [span["span_id"], *made["more_event_ids"][at]] == span["event_ids"]
    assert made["starts_us"] == [0, 1, 3]
    assert "error" in made["statuses"]
    assert (await client.get(f"/api/v1/traces/{unique}-not/outline")).status_code == 404


async def test_of_a_large_trace_it_is_kept_until_that_changes(
    fake: Any, unique: str, memory: Any, monkeypatch: Any
) -> None:
    monkeypatch.setattr(outlines, "LARGE", 3)
    await fake.take(*events(unique))
    path = f"/api/v1/traces/{unique}/outline"
    first = await fake.ok(path)
    built: list[int] = []
    build = spans.build
    monkeypatch.setattr(spans, "build", lambda events, **more: built.append(len(events)) or build(events, **more))
    memory.trace = lambda trace_id: summary_of(memory, trace_id, build)
    assert await fake.ok(path) == first
    assert built == [], "it was kept"
    more = {"event_type": "log", "trace_id": unique, "timestamp": events(unique)[0]["timestamp"], "raw": "more"}
    await fake.take(more)
    changed = await fake.ok(path)
    assert (changed["trace"]["events"], len(built)) == (first["trace"]["events"] + 1, 1)


async def summary_of(memory: Any, trace_id: str, build: Any) -> Any:
    return build(await memory.trace_events(trace_id), now=time.time_ns() // 1000)[0]


def test_what_is_kept_is_bounded_and_forgotten(monkeypatch: Any) -> None:
    monkeypatch.setattr(outlines, "LARGE", 1)
    traces = [
        spans.build([Event(event_id=f"{n}", timestamp=n, event_type="tool_call", trace=f"t{n}")], now=n)
        for n in range(3)
    ]
    one = Outlines()
    for summary, made in traces:
        one.keep(summary, made)
        raw = one.of(summary)
        assert raw is not None
        assert msgspec.json.decode(raw, type=Columns) == columns(summary, made)
    one.forget("t0")
    assert [one.of(summary) is None for summary, _ in traces] == [True, False, False]
    small = Outlines(most_bytes=1)
    for summary, made in traces:
        small.keep(summary, made)
    assert all(small.of(summary) is None for summary, _ in traces)
