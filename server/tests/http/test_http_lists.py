"""Lists: filters, sessions and agents, chosen fields, and everything as NDJSON."""

from __future__ import annotations

import gzip
import inspect
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from vectadb_server.routes.queries import listed, only_known

pytestmark = pytest.mark.anyio

EVENTS, TRACES = "/api/v1/events", "/api/v1/traces"
SESSIONS, AGENTS = "/api/v1/sessions", "/api/v1/agents"
NDJSON = {"accept": "application/x-ndjson"}
TIME = {"since": "2026-01-31T00:00:00Z", "until": "2026-02-01T00:00:00Z"}


def at(second: int, **fields: Any) -> dict[str, Any]:
    return {"timestamp": f"2026-01-31T12:{second // 60:02d}:{second % 60:02d}Z", "event_type": "log", **fields}


def noon(second: int) -> str:
    return f"2026-01-31T12:00:{second:02d}Z"


def asked(session: str, trace: str, second: int, **fields: Any) -> list[dict[str, Any]]:
    """A tool's call and what came back."""
    tool = {"gen_ai.tool.name": "look_up", "gen_ai.tool.call.id": "1"}
    common = {"session_id": session, "trace_id": trace, **fields}
    return [
        at(
            second, event_type="tool_call", properties={**tool, "gen_ai.tool.call.arguments": {"q": {"x": 1}}}, **common
        ),
        at(second + 2, event_type="tool_result", properties=tool, request_id="req", **common),
    ]


async def test_events_by_what_is_in_them(client: Any, unique: Any) -> None:
    await client.take(
        *asked(unique, unique, 0),
        at(5, session_id=unique, properties={"level": "warning", "message": "Zebra Crossing"}),
        at(6, session_id=unique, event_type="llm_end", properties={"model": "m/1", "error": "overloaded"}),
    )

    async def seconds(**filters: Any) -> list[int]:
        page = await client.ok(EVENTS, session=unique, **filters)
        return [int(event["timestamp"][17:19]) for event in page["events"]]

    assert await seconds(type="tool_call,llm_end") == [6, 0]
    assert await seconds(type=["tool_call", "llm_end"]) == [6, 0]
    assert await seconds(tool="look_up") == [2, 0]
    assert await seconds(model="m/1") == [6]
    assert await seconds(level="WARNING,info") == [5]
    assert await seconds(q="zebra cross") == [5]
    assert await seconds(request_id="req") == [2]
    assert await seconds(error="true") == [6]
    assert await seconds(error="false", q="e") == [5, 2, 0]


async def test_traces_by_what_is_in_them(client: Any, unique: Any) -> None:
    await client.take(*asked(unique, f"{unique}-1", 0))
    await client.take(at(9, session_id=unique, trace_id=f"{unique}-2", event_type="error", raw="Boom"))

    async def found(**filters: Any) -> list[str]:
        page = await client.ok(TRACES, session=unique, **filters)
        return [trace["start"][17:19] for trace in page["traces"]]

    assert await found() == ["09", "00"]
    assert await found(tool="look_up") == ["00"]
    assert await found(status="ok,error") == ["09", "00"]
    assert await found(status=["error"]) == ["09"]
    assert await found(error="true", q="bOOm") == ["09"]
    assert await found(since=noon(1), until=noon(9)) == [], "which began in between"
    assert await found(active_since=noon(2), until=noon(9)) == ["00"]
    assert await found(active_since=noon(2)) == ["09", "00"]
    assert await found(active_since=noon(3)) == ["09"]
    assert await found(min_duration="2s") == ["00"]
    assert await found(min_duration="2001ms") == []
    assert await found(type="tool_call") == ["00"]
    assert await found(type="error,tool_call") == ["09", "00"]
    assert await found(log_group="/elsewhere") == []
    day = {**TIME, "bucket": "1h", "session": unique}
    counted = await client.ok("/api/v1/stats/traces", **day)
    assert (counted["traces"], counted["failed"], counted["complete_from"]) == (2, 1, counted["since"])
    assert len(counted["buckets"]) == 24
    [hour] = [each for each in counted["buckets"] if each["traces"]]
    assert hour == {"start": "2026-01-31T12:00:00.000000Z", "traces": 2, "failed": 1}
    assert (await client.ok("/api/v1/stats/traces", **day, type="tool_call"))["traces"] == 1
    assert (await client.ok(TRACES, session=unique, tool="look_up"))["traces"][0]["tools"] == ["look_up"]


async def test_a_trace_that_has_not_ended_goes_on(client: Any, unique: Any) -> None:
    begun = {"timestamp": datetime.now(UTC).isoformat(), "event_type": "agent_start", "session_id": unique}
    await client.take({**begun, "trace_id": f"{unique}-open"}, {**at(0), "session_id": unique, "trace_id": unique})
    page = await client.ok(TRACES, session=unique, active_since="now")
    assert [trace["status"] for trace in page["traces"]] == ["running"]


async def test_chosen_fields(client: Any, unique: Any) -> None:
    taken = await client.take(*asked(unique, unique, 0, agent_id="bot"))
    fields = "event_id,properties.gen_ai.tool.name,properties.gen_ai.tool.call.arguments.q.x,properties.none,source"
    page = await client.ok(EVENTS, session=unique, type="tool_call", fields=fields)
    properties = {"gen_ai.tool.name": "look_up", "gen_ai.tool.call.arguments": {"q": {"x": 1}}}
    first = taken["event_ids"][0]
    assert page["events"] == [{"event_id": first, "properties": properties, "source": None}]
    assert await client.ok(f"{EVENTS}/{first}", fields="agent_id, session_id") == {
        "agent_id": "bot",
        "session_id": unique,
    }
    whole = await client.ok(f"{TRACES}/{unique}", fields="trace.tokens.input,spans.name,events.event_type")
    assert whole == {
        "trace": {"tokens": {"input": None}},
        "spans": [{"name": "look_up"}],
        "events": [{"event_type": "tool_call"}, {"event_type": "tool_result"}],
    }


async def test_of_what_is_no_object_a_field_of_it_is_left_out(client: Any, unique: Any) -> None:
    def call(number: int, arguments: Any) -> dict[str, Any]:
        tool = {"gen_ai.tool.name": "look_up", "gen_ai.tool.call.id": str(number)}
        properties = {**tool, "gen_ai.tool.call.arguments": arguments}
        return at(number, trace_id=unique, event_type="tool_call", properties=properties)

    given = ["plain text", {"q": {"deep": 1}, "r": 2}, ["text", {"q": 3}], None]
    await client.take(*(call(number, arguments) for number, arguments in enumerate(given)))
    whole = await client.ok(f"{TRACES}/{unique}", fields="spans.input.q")
    assert whole == {"spans": [{}, {"input": {"q": {"deep": 1}}}, {"input": [{"q": 3}]}, {"input": None}]}
    assert (await client.ok(f"{TRACES}/{unique}", fields="spans.input"))["spans"][0] == {"input": "plain text"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        (f"{EVENTS}?fields=evnt_id", "found 'evnt_id'; there are event_id, timestamp"),
        (f"{EVENTS}?fields=evnt_id", "Did you mean 'event_id'?"),
        (f"{EVENTS}?fields=source.logs", "there are system, account"),
        (f"{EVENTS}?fields=raw.x", "raw has no fields"),
        (f"{EVENTS}?fields=,", "expected names, e.g. event_id,timestamp"),
        (f"{EVENTS}?format=csv", "expected json or ndjson"),
        (f"{EVENTS}?error=maybe", "error"),
        (f"{TRACES}?status=fine", "status: found 'fine'; expected some of ok, error, running, interrupted"),
        (f"{TRACES}?min_duration=2", "expected a length like 500ms"),
        (f"{SESSIONS}?since=-60d", "more than 31 days apart"),
        (f"{SESSIONS}?cursor=WzEsMl0", "cursor: found"),
        (f"{SESSIONS}?cursor=%00", "cursor: found"),
        (f"{AGENTS}?limit=201", "limit"),
    ],
)
async def test_wrong_ones_are_refused(client: Any, path: str, said: str) -> None:
    reply = await client.get(path)
    assert reply.status_code == 400
    assert said in reply.json()["message"]


async def test_sessions_and_agents(real: httpx.AsyncClient, unique: Any) -> None:
    client: Any = real
    names = [f"{unique}-s{number}" for number in range(5)]
    for number, name in enumerate(names):
        await client.take(*asked(name, f"{name}-t", 10 * number, agent_id=unique))
    await client.take(at(55, session_id=names[1], trace_id=f"{unique}-2", event_type="error", agent_id=f"{unique}-b"))
    seen, cursor = [], {}
    while True:
        page = await client.ok(SESSIONS, limit=2, **TIME, **cursor)
        seen += page["sessions"]
        if page["next_cursor"] is None:
            break
        # The cursor keeps the time that was asked about, and what arrives meanwhile has no part in the order.
        cursor = {"cursor": page["next_cursor"]}
        await client.take(at(59, session_id=names[0], trace_id=f"{unique}-late-{len(seen)}"))
    own = [each for each in seen if each["session_id"] in names]
    assert [each["session_id"] for each in own] == [names[1], *reversed(names[2:]), names[0]]
    first = own[0]
    assert (first["traces"], first["failed"], first["events"], first["errors"]) == (2, 1, 3, 1)
    assert (first["status"], first["agents"], first["complete"]) == ("error", [unique, f"{unique}-b"], True)
    assert (first["first_seen"][14:19], first["last_seen"][14:19]) == ("00:10", "00:55")
    one = await client.ok(f"{SESSIONS}/{names[1]}", **TIME)
    assert one["session"] == first
    assert [trace["start"][14:19] for trace in one["traces"]] == ["00:55", "00:10"]
    assert (await client.get(f"{SESSIONS}/{unique}-none", params=TIME)).status_code == 404
    agents = {each["agent_id"]: each for each in (await client.ok(AGENTS, limit=200, **TIME))["agents"]}
    assert (agents[unique]["traces"], agents[unique]["events"]) == (5, 10)
    chosen = await client.ok(AGENTS, limit=200, fields="agent_id", **TIME)
    assert {"agent_id": unique} in chosen["agents"]


@pytest.mark.parametrize("compressed", [True, False])
async def test_everything_as_lines(client: Any, unique: Any, compressed: bool) -> None:
    await client.take(*(at(second % 50, session_id=unique, raw=f"line {second}") for second in range(499)))
    await client.take(*(at(second % 50, session_id=unique, raw=f"more {second}") for second in range(499)))
    asked = {"session": unique, "fields": "event_id,timestamp"}
    encoding = {"accept-encoding": "gzip" if compressed else "identity"}
    async with client.stream("GET", EVENTS, params=asked, headers={**NDJSON, **encoding}) as reply:
        assert reply.headers["content-type"].startswith("application/x-ndjson")
        assert ("content-encoding" in reply.headers) == compressed
        body = b"".join([chunk async for chunk in reply.aiter_raw()])
    lines = (gzip.decompress(body) if compressed else body).splitlines()
    found = [json.loads(line) for line in lines]
    assert len({each["event_id"] for each in found}) == 998
    assert [each["timestamp"] for each in found] == sorted((each["timestamp"] for each in found), reverse=True)
    page = await client.ok(EVENTS, session=unique, limit=600)
    rest = await client.get(EVENTS, params={**asked, "format": "ndjson", "cursor": page["next_cursor"]})
    assert [json.loads(line) for line in rest.text.splitlines()] == found[600:]
    some = await client.get(EVENTS, params={**asked, "limit": 7}, headers=NDJSON)
    assert [json.loads(line) for line in some.text.splitlines()] == found[:7]
    none = await client.get(TRACES, params={"session": f"{unique}-none"}, headers=NDJSON)
    assert (none.status_code, none.text) == (200, "")


@pytest.mark.parametrize(
    ("accept", "lines"),
    [
        ("application/x-ndjson", True),
        ("APPLICATION/X-NDJSON", True),
        ("application/json, application/x-ndjson", True),
        ("text/html, application/x-ndjson;v=1; q=0.5, */*;q=0.1", True),
        ("application/x-ndjson;q=0", False),
        ("application/x-ndjson; Q=0.000", False),
        ("application/x-ndjson;q=0.5, application/json", False),
        ("application/x-ndjson;q=much", False),
        ("application/x-ndjson2", False),
        ("*/*", False),
        ("", False),
    ],
)
async def test_lines_are_sent_to_whoever_likes_them_no_less_than_json(fake: Any, accept: str, lines: bool) -> None:
    reply = await fake.get(EVENTS, headers={"accept": accept})
    kind = "application/x-ndjson" if lines else "application/json"
    assert reply.headers["content-type"].startswith(kind)


@pytest.mark.parametrize(
    ("encodings", "packed"),
    [
        (["gzip"], True),
        (["br", "GZIP;q=0.1"], True),
        (["br, deflate , gzip ; q=1"], True),
        (["gzip;q=0"], False),
        (["gzip;q=0.0, identity"], False),
        (["x-gzip-2"], False),
        ([""], False),
    ],
)
async def test_lines_are_packed_for_whoever_takes_that(fake: Any, encodings: list[str], packed: bool) -> None:
    headers = [("accept", "application/x-ndjson"), *(("accept-encoding", each) for each in encodings)]
    fake.headers.pop("accept-encoding")
    reply = await fake.get(EVENTS, headers=headers)
    assert reply.headers.get("content-encoding") == ("gzip" if packed else None)


async def test_of_lines_a_head_is_no_more_than_that(client: Any, unique: Any) -> None:
    await client.take(at(1, session_id=unique))
    for _ in range(2):  # over one connection
        head = await client.head(EVENTS, params={"session": unique}, headers=NDJSON)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"].startswith("application/x-ndjson")
        assert "content-length" not in head.headers
    assert len((await client.get(EVENTS, params={"session": unique}, headers=NDJSON)).text.splitlines()) == 1


async def test_a_store_that_is_away_is_told_with_a_status_also_of_lines(fake: Any, memory: Any) -> None:
    from vectadb_server.stores.base import StoreUnavailable

    memory.failing["events"] = StoreUnavailable("gone")
    assert (await fake.get(EVENTS, headers=NDJSON)).status_code == 503


async def test_stats_of_an_agent_by_its_tools(real: Any, unique: Any) -> None:
    await real.take(
        *asked(unique, unique, 0, agent_id=unique), *asked(unique, f"{unique}-2", 30, agent_id=f"{unique}-b")
    )
    found = await real.ok("/api/v1/stats", agent=unique, bucket="1h", **TIME)
    assert (found["total"]["events"], found["total"]["traces"], found["total"]["cost_usd"]) == (2, 1, None)
    latency = {"p50": 2000.0, "p95": 2000.0, "max": 2000.0}
    nothing = {"tokens": {"input": None, "output": None}, "cost_usd": None, "latency_ms": latency}
    assert found["tools"] == [{"name": "look_up", "count": 1, "errors": 0, **nothing}]
    assert found["agents"] == [{"name": unique, "count": 1, "errors": 0, **nothing}]
    both = await real.ok("/api/v1/stats", session=unique, bucket="1h", **TIME)
    assert [share["name"] for share in both["agents"]] == [unique, f"{unique}-b"]


async def test_a_trace_is_of_all_who_took_part(real: Any, unique: Any) -> None:
    names = [f"{unique}-{who}" for who in ("planner", "researcher", "writer")]
    events = [at(n, trace_id=unique, agent_id=name, session_id=unique) for n, name in enumerate(names)]
    await real.take(*events, at(9, trace_id=unique, session_id=f"{unique}-2", event_type="error"))
    for asked in ({"agent": name} for name in names), ({"session": name} for name in (unique, f"{unique}-2")):
        for where in asked:
            [trace] = (await real.ok("/api/v1/traces", **where, **TIME))["traces"]
            assert (trace["agent_id"], trace["agents"]) == (names[0], names)
            assert (trace["session_id"], trace["sessions"]) == (unique, [unique, f"{unique}-2"])
            started = await real.ok("/api/v1/stats/traces", **where, **TIME, bucket="1d")
            assert sum(each["traces"] for each in started["buckets"]) == 1
    for session in (unique, f"{unique}-2"):
        whole = await real.ok(f"{SESSIONS}/{session}", **TIME)
        assert (whole["session"]["agents"], whole["session"]["traces"], whole["session"]["errors"]) == (names, 1, 1)
    listed = {each["agent_id"]: each["traces"] for each in (await real.ok(AGENTS, limit=200, **TIME))["agents"]}
    assert [listed.get(name) for name in names] == [1, 1, 1]
    counted = await real.ok("/api/v1/stats", session=unique, bucket="1h", **TIME)
    assert [(share["name"], share["count"], share["errors"]) for share in counted["agents"]] == [
        (name, 1, 1) for name in names
    ]


async def test_what_is_too_much_to_count_is_refused(fake: Any, memory: Any) -> None:
    from vectadb_server.stores.tallies import TooMuch

    memory.failing["stats"] = TooMuch("counting takes longer than 10 s")
    reply = await fake.get("/api/v1/stats")
    assert (reply.status_code, reply.json()["error"]) == (400, "too_much")
    assert "ask for a shorter time" in reply.json()["message"]


def test_no_request_is_looked_at_in_a_thread() -> None:
    """As litestar does with a guard that is no coroutine."""
    assert inspect.iscoroutinefunction(only_known)


def test_a_blank_type_is_one_and_no_filter_left_out() -> None:
    assert listed("type", [" \t"]) == (" \t",)
    assert listed("type", ["", "a, b,,", "c"]) == ("a", "b", "c")


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("traces?basis=x", "basis: found 'x'; expected one of trace_id, request_id, session_id, "),
        ("events?error=yes", "error: found 'yes'; expected one of true, false"),
        ("events?limit=many", "limit: found 'many': Expected `int"),
        ("events?limit=0", "limit: found '0': Expected `int` >= 1"),
        ("events?type=" + ",".join(map(str, range(101))), "type: found 101 items; expected at most 100"),
        (
            "stats?until=1970-01-01T00:00:00Z",
            "since (1970-01-01T00:00:00.000000Z) is not before until (1970-01-01T00:00:00Z)",
        ),
    ],
)
async def test_a_wrong_parameter_is_named_with_what_was_found_and_what_is_possible(
    client: Any, asked: str, said: str
) -> None:
    reply = await client.get(f"/api/v1/{asked}")
    assert reply.status_code == 400
    assert reply.json()["message"].startswith(said)
