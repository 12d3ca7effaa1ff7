from __future__ import annotations

import asyncio
import uuid
from typing import Any
from urllib.parse import quote

import pytest

from vectadb_server import search
from vectadb_server.ids import record_hash, uuid5
from vectadb_server.stores.base import Hit, MeaningUnavailable, SearchFilter

pytestmark = pytest.mark.anyio

EVENTS = "/api/v1/events"
TRACES = "/api/v1/traces"


def at(second: int, **fields: Any) -> dict[str, Any]:
    minutes, seconds = divmod(second, 60)
    return {"timestamp": f"2026-01-31T12:{minutes:02d}:{seconds:02d}Z", "event_type": "log", **fields}


def call(trace: str, second: int = 0) -> list[dict[str, Any]]:
    common = {"gen_ai.tool.name": "search_web", "gen_ai.tool.call.id": "c1"}
    return [
        at(second, event_type="query", trace_id=trace, agent_id="bot", properties={"message": "Is it warm in Kyiv?"}),
        at(
            second + 1,
            event_type="tool_call",
            trace_id=trace,
            properties={**common, "gen_ai.tool.call.arguments": '{"q": 1}'},
        ),
        at(
            second + 3,
            event_type="tool_result",
            trace_id=trace,
            properties={**common, "gen_ai.tool.call.result": "warm"},
        ),
    ]


@pytest.mark.parametrize("event_id", [str(uuid.UUID(int=2**100)), "x", "..", "%00", "é", "1" * 5000])
async def test_no_such_event(client: Any, event_id: Any) -> None:
    reply = await client.get(f"{EVENTS}/{event_id}")
    assert reply.status_code in (404, 400) if event_id == ".." else reply.status_code == 404
    assert set(reply.json()) == {"error", "message", "request_id"}


async def test_an_id_is_known_in_any_spelling(client: Any) -> None:
    taken = await client.take(at(0))
    [event_id] = taken["event_ids"]
    assert (await client.ok(f"{EVENTS}/{event_id.upper()}"))["event_id"] == event_id
    assert (await client.ok(f"{EVENTS}/{event_id.replace('-', '')}"))["event_id"] == event_id


async def test_events_are_filtered(client: Any, unique: Any) -> None:
    source = {"system": "cloudwatch", "log_group": f"/g/{unique}", "log_stream": "s1", "log_id": "1"}
    await client.take(
        at(0, session_id=unique, agent_id=f"a-{unique}"),
        at(1, session_id=unique, event_type="tool_call", trace_id=f"tr-{unique}"),
        at(2, session_id=unique, event_type="error", source=source),
        at(3, session_id=unique),
    )

    async def seconds(**filters: str) -> list[int]:
        page = await client.ok(EVENTS, **filters)
        return [int(event["timestamp"][17:19]) for event in page["events"]]

    assert await seconds(session=unique) == [3, 2, 1, 0]
    assert await seconds(session=unique, type="tool_call") == [1]
    assert await seconds(agent=f"a-{unique}") == [0]
    assert await seconds(trace=f"tr-{unique}") == [1]
    assert await seconds(
        trace=uuid5(bytes.fromhex("b7b9f0c25d0e5f3c9a4b1c7e02d8a6f3"), ["trace_id", f"tr-{unique}"])
    ) == [1]
    assert await seconds(log_group=f"/g/{unique}") == [2]
    assert await seconds(log_group=f"/g/{unique}", log_stream="s2") == []
    assert await seconds(session=unique, since="2026-01-31T12:00:01Z", until="2026-01-31T12:00:03Z") == [2, 1]
    assert await seconds(session=unique, since="2026-01-31T14:00:02+02:00") == [3, 2]
    assert await seconds(session=unique, since="now") == []


async def test_pages_follow_each_other_without_gap_or_repetition(client: Any, unique: Any) -> None:
    taken = await client.take(*(at(second // 3, session_id=unique) for second in range(25)))
    seen: list[str] = []
    cursor: dict[str, str] = {}
    pages = 0
    while True:
        page = await client.ok(EVENTS, session=unique, limit=5, **cursor)
        seen += [event["event_id"] for event in page["events"]]
        pages += 1
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
        assert set(page["next_cursor"]) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")
    assert pages >= 5
    assert len(seen) == 25
    assert set(seen) == set(taken["event_ids"])


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sesion=x", "unknown query parameter 'sesion'; this route has trace, session, agent"),
        ("sesion=x", "Did you mean 'session'?"),
        ("session=a&session=b", "'session' is given 2 times"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("since=yesterday", "since: found 'yesterday'"),
        ("until=2026-13-01T00:00:00Z", "until: found"),
        ("cursor=abc", "cursor: found 'abc'"),
        ("cursor=%00", "cursor: found"),
        ("cursor=WzEsMl0", "cursor: found"),
    ],
)
async def test_wrong_parameters_are_refused(client: Any, query: Any, said: Any) -> None:
    reply = await client.get(f"{EVENTS}?{query}")
    assert reply.status_code == 400
    assert said in reply.json()["message"]


async def test_a_trace_with_its_spans(client: Any, unique: Any) -> None:
    await client.take(*call(unique))
    found = await client.ok(f"{TRACES}/{unique}")
    trace = found["trace"]
    assert (trace["events"], trace["tool_calls"], trace["status"], trace["duration_ms"]) == (3, 1, "ok", 3000)
    assert (trace["trace_basis"], trace["input"], trace["agent_id"]) == ("trace_id", "Is it warm in Kyiv?", "bot")
    assert [event["event_type"] for event in found["events"]] == ["query", "tool_call", "tool_result"]
    [span] = found["spans"]
    assert (span["kind"], span["name"], span["status"]) == ("tool", "search_web", "ok")
    assert (span["input"], span["output"], span["duration_ms"]) == ({"q": 1}, "warm", 2000)
    assert (span["start"], span["end"]) == ("2026-01-31T12:00:01.000000Z", "2026-01-31T12:00:03.000000Z")
    again = await client.ok(f"{TRACES}/{trace['trace_id']}")
    assert again["trace"] == trace


async def test_no_such_trace(client: Any, unique: Any) -> None:
    reply = await client.get(f"{TRACES}/{unique}")
    assert reply.status_code == 404
    assert unique in reply.json()["message"]


async def test_traces_are_listed_newest_first_and_paged(client: Any, unique: Any) -> None:
    agent = f"a-{unique}"
    for number in range(5):
        events = call(f"{unique}-{number}", 10 * number)
        await client.take(*({**event, "agent_id": agent} for event in events))
    first = await client.ok(TRACES, agent=agent, limit=3)
    rest = await client.ok(TRACES, agent=agent, limit=3, cursor=first["next_cursor"])
    starts = [trace["start"][14:19] for trace in first["traces"] + rest["traces"]]
    assert starts == ["00:40", "00:30", "00:20", "00:10", "00:00"]
    assert rest["next_cursor"] is None
    assert (await client.ok(TRACES, agent=agent, status="error"))["traces"] == []
    assert len((await client.ok(TRACES, agent=agent, status="ok", since="2026-01-31T12:00:25Z"))["traces"]) == 2
    assert (await client.get(TRACES, params={"status": "fine"})).status_code == 400
    assert (await client.get(TRACES, params={"basis": "x"})).status_code == 400


async def test_search_finds_by_words_and_filters(client: Any, unique: Any) -> None:
    word = f"zebra{unique.replace('-', '')}"
    await client.take(at(0, raw=f"the {word} runs", session_id=unique), at(1, raw=f"a {word}", event_type="error"))
    reply = await client.post("/api/v1/search", json={"query": word, "mode": "text"})
    assert reply.status_code == 200
    results = reply.json()["results"]
    assert {result["event"]["event_type"] for result in results} == {"log", "error"}
    assert all(isinstance(result["score"], float) for result in results)
    assert [result["score"] for result in results] == sorted((result["score"] for result in results), reverse=True)
    for filters in ({"session": unique}, {"type": "log"}, {"type": ["log"]}, {"until": "2026-01-31T12:00:01Z"}):
        reply = await client.post("/api/v1/search", json={"query": word, "mode": "text", "filters": filters})
        assert [result["event"]["event_type"] for result in reply.json()["results"]] == ["log"]
    reply = await client.post("/api/v1/search", json={"query": word, "mode": "hybrid", "limit": 1, "filters": None})
    assert len(reply.json()["results"]) == 1


async def test_search_shows_where_the_words_stand(client: Any, unique: Any) -> None:
    word = f"ibis{unique.replace('-', '')}"
    await client.take(at(0, raw=f"<b>the</b> {word.upper()} flew", session_id=unique))
    reply = await client.post("/api/v1/search", json={"query": word, "mode": "text"})
    (result,) = reply.json()["results"]
    (highlight,) = result["highlights"]
    assert (highlight["field"], highlight["text"]) == ("raw", f"<b>the</b> {word.upper()} flew")
    assert [highlight["text"][start:end] for start, end in highlight["ranges"]] == [word.upper()]
    assert "notice" not in reply.json()


async def test_similar_events_are_found_without_the_one_itself(client: Any, unique: Any) -> None:
    word = f"heron{unique.replace('-', '')}"
    ids = (await client.take(at(0, raw=f"{word} at sea"), at(1, raw=f"{word} at sea"), at(2, raw="no bird")))[
        "event_ids"
    ]
    for reply in (
        await client.post("/api/v1/search", json={"like": ids[0], "mode": "text", "limit": 1}),
        await client.get(f"/api/v1/events/{ids[0]}/similar", params={"mode": "text", "limit": 1}),
    ):
        assert reply.status_code == 200
        assert [result["event"]["event_id"] for result in reply.json()["results"]] == [ids[1]]
    reply = await client.get(f"/api/v1/events/{ids[0]}/similar", params={"mode": "text", "type": "nothing"})
    assert reply.json() == {"results": []}
    assert (await client.get(f"/api/v1/events/{ids[0][:-4]}ffff/similar")).status_code == 404
    assert (await client.get(f"/api/v1/events/{ids[0]}/similar", params={"since": "x"})).status_code == 400


async def test_an_event_that_says_nothing_has_none_like_it(client: Any) -> None:
    taken = await client.take(at(0, event_type="agent_start"))
    reply = await client.get(f"/api/v1/events/{taken['event_ids'][0]}/similar")
    assert reply.json()["results"] == []
    assert "says nothing" in reply.json()["notice"]


async def test_while_the_embedder_is_away_words_still_find(client: Any, memory: Any, services_of: Any) -> None:
    class Index:
        async def search(self, query: str, *, mode: str, where: SearchFilter, limit: int) -> list[Hit]:
            if mode != "text":
                raise MeaningUnavailable("the embedder does not answer")
            return [Hit("1", "2026-01-01", 1.0)]

    from vectadb_server.model import Event

    memory.held = {"1": Event(event_id="1", timestamp=1, raw="x")}
    arguments = {"where": SearchFilter(), "limit": 1}
    answer = await search.search(Index(), services_of().record, "x", mode="hybrid", **arguments)  # type: ignore[arg-type]
    assert [each.event.event_id for each in answer.found] == ["1"]
    assert answer.notice == "found by words alone: the embedder does not answer"
    with pytest.raises(MeaningUnavailable):
        await search.search(Index(), services_of().record, "x", mode="semantic", **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("", 400, "not JSON"),
        ("{", 400, "not JSON"),
        ("[]", 422, "expected an object with query, like, mode, filters, limit"),
        ("{}", 422, "either query (what to look for) or like (an event's id)"),
        ('{"query": "x", "like": "0b0e8400-e29b-41d4-a716-446655440000"}', 422, "not both"),
        ('{"like": "0b0e8400-e29b-41d4-a716-446655440000"}', 404, "no event"),
        ('{"like": "x"}', 404, "an event's id is a UUID"),
        ('{"query": "x", "filters": {"type": [5]}}', 422, "type"),
        ('{"query": ""}', 422, "query: found no text"),
        ('{"query": "  "}', 422, "query: found no text"),
        ('{"query": 5}', 422, "query"),
        ('{"query": "x", "mode": "magic"}', 422, "mode"),
        ('{"query": "x", "limit": 0}', 422, "limit"),
        ('{"query": "x", "limit": 5000}', 422, "limit"),
        ('{"query": "x", "filter": {}}', 422, "filter"),
        ('{"query": "x", "filters": {"sesion": "y"}}', 422, "trace, session, agent, type"),
        ('{"query": "x", "filters": {"since": "noon"}}', 400, "filters.since: found 'noon'"),
    ],
)
async def test_a_bad_search_is_refused(client: Any, body: Any, status: Any, said: Any) -> None:
    reply = await client.post("/api/v1/search", content=body.encode(), headers={"content-type": "application/json"})
    assert reply.status_code == status
    assert said in reply.json()["message"]


async def test_hits_whose_event_is_gone_are_dropped_and_others_take_their_place(memory: Any, services_of: Any) -> None:
    services = services_of()
    from vectadb_server.model import Event

    memory.held = {str(i): Event(event_id=str(i), timestamp=i) for i in range(20) if i % 2}
    asked: list[int] = []

    class Index:
        async def search(self, query: str, *, mode: str, where: SearchFilter, limit: int) -> list[Hit]:
            asked.append(limit)
            return [Hit(str(i), "2026-01-01", float(-i)) for i in range(20)][:limit]

    async def find(limit: int) -> list[str]:
        asked.clear()
        found = await search.search(
            Index(),  # type: ignore[arg-type]
            services.record,
            "q",
            mode="text",
            where=SearchFilter(),
            limit=limit,
        )
        return [each.event.event_id for each in found.found]

    assert await find(3) == ["1", "3", "5"]
    assert asked == [3, 6]
    assert len(await find(15)) == 10
    assert asked == [15, 30]
    memory.held = {}
    assert await find(2) == []
    assert asked == [2, 4, 8]


async def test_stats_count_and_agree_with_their_total(client: Any, unique: Any) -> None:
    window = {"since": "2026-01-30T00:00:00Z", "until": "2026-01-30T02:00:00Z", "bucket": "1h"}
    before = await client.ok("/api/v1/stats", **window)
    usage = {"gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 4, "message": "hi"}
    when = ("2026-01-30T00:10:00Z", "2026-01-30T00:10:02Z", "2026-01-30T01:10:00Z")
    await client.take(
        {"timestamp": when[0], "event_type": "llm_start", "trace_id": unique},
        {"timestamp": when[1], "event_type": "llm_end", "trace_id": unique, "properties": usage},
        {"timestamp": when[2], "event_type": "error", "trace_id": f"{unique}-2", "properties": {"message": "oh"}},
    )
    after = await client.ok("/api/v1/stats", **window)
    assert (after["since"], after["until"], after["bucket_seconds"]) == (
        "2026-01-30T00:00:00.000000Z",
        "2026-01-30T02:00:00.000000Z",
        3600,
    )

    def grown(name: str, bucket: int | None = None) -> int:
        old, new = [each["total"] if bucket is None else each["buckets"][bucket] for each in (before, after)]
        return int(new[name] - old[name])

    assert (grown("events"), grown("errors"), grown("traces"), grown("failed")) == (3, 1, 2, 1)
    assert (grown("events", 0), grown("events", 1), grown("errors", 1)) == (2, 1, 1)
    tokens = {name: after["total"]["tokens"][name] - before["total"]["tokens"][name] for name in ("input", "output")}
    assert tokens == {"input": 10, "output": 4}
    assert after["total"]["types"]["llm_end"] - before["total"]["types"].get("llm_end", 0) == 1
    assert after["buckets"][0]["latency_ms"]["max"] >= 2000


async def test_stats_choose_a_length_and_refuse_bad_ones(client: Any) -> None:
    found = await client.ok("/api/v1/stats")
    assert found["bucket_seconds"] == 3600
    assert len(found["buckets"]) in (24, 25)
    for query, said in (
        ("bucket=1", "bucket: found '1'"),
        ("bucket=0s", "bucket: found '0s'"),
        ("bucket=1s", "more than 1,000 buckets"),
        ("since=now&until=-1h", "is not before"),
    ):
        reply = await client.get(f"/api/v1/stats?{query}")
        assert reply.status_code == 400
        assert said in reply.json()["message"]


async def test_digests_are_over_records(client: Any, unique: Any) -> None:
    def logged(log_id: str, when: str, **more: Any) -> dict[str, Any]:
        source = {"system": "cloudwatch", "log_group": unique, "log_stream": "s", "log_id": log_id, "timestamp": when}
        return {"timestamp": when, "source": {**source, **more}}

    early, late = "2026-01-31T12:00:00Z", "2026-01-31T13:00:00Z"
    block = logged("3", late, log_ids=["3", "4"], timestamps=[late, late])
    await client.take(logged("1", early), logged("2", early), block)
    found = await client.ok(
        f"{EVENTS}/digest", log_group=unique, since="2026-01-31T00:00:00Z", until="2026-02-01T00:00:00Z"
    )
    ids = [
        uuid5(bytes.fromhex("6f1d2a5c8c0b5c57a3de5b0d64f6b1a4"), ["cloudwatch", "", "", unique, "s", n, "0"])
        for n in "1234"
    ]
    sums = [sum(map(record_hash, part)) % 2**128 for part in (ids[:2], ids[2:])]
    of = {"system": "cloudwatch", "account": "", "region": "", "log_group": unique}
    assert found == {
        "hours": [
            {**of, "hour": "2026-01-31T12:00:00.000000Z", "count": 2, "digest": f"{sums[0]:032x}"},
            {**of, "hour": "2026-01-31T13:00:00.000000Z", "count": 2, "digest": f"{sums[1]:032x}"},
        ],
        "horizon": None,
    }
    reply = await client.get(f"{EVENTS}/digest", params={"since": "2020-01-01T00:00:00Z"})
    assert reply.status_code == 400


async def test_many_readers_at_once(client: Any, unique: Any) -> None:
    await client.take(*call(unique))
    replies = await asyncio.gather(*(client.get(f"{TRACES}/{unique}") for _ in range(20)))
    assert {reply.status_code for reply in replies} == {200}
    assert len({reply.text for reply in replies}) == 1


async def test_an_id_may_hold_slashes(client: Any, unique: str) -> None:
    session, trace, odd = f"{unique}/a/1", f"{unique}/t", f"{unique}%2Ft"
    await client.take(at(0, session_id=session, trace_id=trace), at(1, session_id=session, trace_id=odd))
    january = {"since": "2026-01-31T00:00:00Z", "until": "2026-02-01T00:00:00Z"}
    reply = await client.get(f"/api/v1/sessions/{quote(session, safe='')}", params=january)
    assert session in (reply.json()["message"] if reply.status_code == 404 else reply.json()["session"]["session_id"])
    for each in (trace, odd):
        path = f"{TRACES}/{quote(each, safe='')}"
        whole = await client.ok(path)
        assert [item["given_trace_id"] for item in whole["events"]] == [each]
        assert (await client.ok(f"{path}/outline"))["trace"] == whole["trace"]
    lacking = await client.get(f"{TRACES}/{unique}%2fnone")
    assert (lacking.status_code, lacking.json()["message"].split(". ")[0]) == (404, f"no trace '{unique}/none'")
    assert (await client.get(f"{TRACES}/{unique}/t")).status_code == 404
