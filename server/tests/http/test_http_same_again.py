"""The same events again, at once, in another order and in other batches: over HTTP, against the real engines."""

from __future__ import annotations

import json
import random
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from vectadb_server.app import application
from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.services import Services
from vectadb_server.settings import Settings
from vectadb_server.stores.surreal import SurrealStore
from vectadb_server.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

BATCH = "/api/v1/events/batch"
EVENTS = "/api/v1/events"
TRACES = "/api/v1/traces"
SECOND = 1_000_000
MIDNIGHT = 1_769_817_600 * SECOND  # 2026-01-31T00:00:00Z
DAYS = {"since": "2026-01-30T00:00:00Z", "until": "2026-02-01T00:00:00Z"}


def logged(
    group: str, stream: str, *numbers: int, account: str = "1", part: str = "0", **fields: Any
) -> dict[str, Any]:
    """An event of the records of these numbers, ten seconds apart, around midnight."""
    when = [rfc3339(MIDNIGHT + (n - 20) * 10 * SECOND) for n in numbers]
    source: dict[str, Any] = {
        "system": "cloudwatch",
        "account": account,
        "region": "eu-central-1",
        "log_group": group,
        "log_stream": stream,
        "log_id": f"{numbers[0]:04}",
        "timestamp": when[0],
        "part": part,
    }
    if len(numbers) > 1:
        source |= {"log_ids": [f"{n:04}" for n in numbers], "timestamps": when}
    words = " ".join(f"line-{n}" for n in numbers)
    return {"timestamp": when[0], "event_type": "log", "raw": words, "source": source, **fields}


def invocation(group: str, stream: str, account: str = "1") -> list[dict[str, Any]]:
    """Two invocations with an agent's run in each, blocks that were cut short at first, and lines between them."""

    def at(*numbers: int, **fields: Any) -> dict[str, Any]:
        return logged(group, stream, *numbers, account=account, **fields)

    found = []
    for base in (0, 20):
        request = {"request_id": f"request-{base}"}
        call = {"gen_ai.tool.name": "search", "gen_ai.tool.call.id": f"call-{base}"}
        found += [
            at(base, event_type="invocation_start", **request),
            at(base + 1),
            at(base + 2, event_type="agent_start"),
            at(base + 3, base + 4),
            at(base + 3, base + 4, base + 5, event_type="tool_call", properties=call),
            at(base + 3, base + 4, base + 5, part="0.1", event_type="agent_thought", raw=None),
            at(base + 5),
            at(base + 6, base + 7, event_type="tool_result", properties={**call, "gen_ai.tool.call.result": "found"}),
            at(base + 7),
            at(base + 8, event_type="agent_end"),
            at(base + 9, event_type="invocation_end", **request),
            at(base + 12, agent_id="ann"),
        ]
    return found


@asynccontextmanager
async def served(data_dir: Path) -> AsyncIterator[tuple[httpx.AsyncClient, Indexer]]:
    """The routes over a record of their own; nothing is searched."""
    async with AsyncExitStack() as stack:
        store = await SurrealStore.open(data_dir)
        stack.push_async_callback(store.close)
        indexer = await stack.enter_async_context(Indexer(store, None))
        nothing: Any = None
        services = Services(settings=Settings(), record=store, taker=Ingest(store), index=nothing, indexer=indexer)
        transport = httpx.ASGITransport(app=application(services))
        yield (
            await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")),
            indexer,
        )


async def everything(client: Any, **where: str) -> dict[str, Any]:
    """What clients see, but for the time of ingestion; ``where``: of one group."""

    async def ask(path: str, **params: Any) -> Any:
        reply = await client.get(path, params=params)
        assert reply.status_code == 200, reply.text
        return reply.json()

    events = (await ask(EVENTS, limit=1000, **where))["events"]
    names = sorted({event["trace_id"] for event in events})
    whole = {name: await ask(f"{TRACES}/{name}") for name in names}
    for event in [*events, *(event for trace in whole.values() for event in trace["events"])]:
        del event["created_at"]
    return {"events": events, "traces": whole, "digest": (await ask(f"{EVENTS}/digest", **DAYS, **where))["hours"]}


async def test_one_batch_ten_times_at_once_from_several_clients(real: Any, unique: str) -> None:
    events = [event for stream in ("one", "two") for event in invocation(unique, stream)]
    await real.take(*events[: len(events) // 3])
    replies: list[dict[str, Any]] = []

    async def send(seed: int) -> None:
        mine = events[:]
        random.Random(seed).shuffle(mine)
        async with httpx.AsyncClient(base_url=real.base_url, timeout=60) as client:
            for part in (mine, mine[: seed * 2 + 1]):
                reply = await client.post(BATCH, json={"events": part})
                assert reply.status_code == 200
                replies.append(reply.json())

    async with anyio.create_task_group() as tasks:
        for seed in range(10):
            tasks.start_soon(send, seed)
    assert [reply["failed"] for reply in replies] == [0] * 20
    await real.settled()
    once = await everything(real, log_group=unique)
    assert sum(hour["count"] for hour in once["digest"]) == 2 * 2 * 11
    # Of each ten lines three and two are in a block, which has an extra.
    assert len(once["events"]) == 2 * 2 * (11 - 3 + 1)
    assert sum(whole["trace"]["events"] for whole in once["traces"].values()) == len(once["events"])

    async def found() -> list[str]:
        asked = {"query": "line", "mode": "semantic", "filters": {"log_group": unique}, "limit": 1000}
        reply = await real.post("/api/v1/search", json=asked)
        return sorted(result["event"]["event_id"] for result in reply.json()["results"])

    vectors = await found()
    assert 0 < len(vectors) == len(set(vectors))
    assert set(vectors) <= {event["event_id"] for event in once["events"]}
    again = await real.take(*events)
    assert again["ingested"] == 0
    assert await everything(real, log_group=unique) == once
    assert await found() == vectors


async def test_any_order_and_split_give_the_same_events_traces_and_spans(tmp_path: Path) -> None:
    seen = []
    for seed in range(5):
        rnd = random.Random(seed)
        events = [event for stream in ("one", "two") for event in invocation("/group", stream)]
        if seed == 1:  # each START comes last
            events.sort(key=lambda event: event["event_type"].endswith("_start"))
        elif seed:
            rnd.shuffle(events)
        async with served(tmp_path / str(seed)) as (client, indexer):
            while events:
                size = rnd.randint(1, 9) if seed else len(events)
                part, events = events[:size], events[size:]
                reply = await client.post(BATCH, json={"events": part})
                assert reply.json()["failed"] == 0
                if rnd.random() < 0.3:
                    await indexer.wait_idle()
            await indexer.wait_idle()
            seen.append(await everything(client))
    for each in seen[1:]:
        assert each == seen[0]
    spans = [span for whole in seen[0]["traces"].values() for span in whole["spans"]]
    assert {span["kind"] for span in spans} >= {"invocation", "agent", "tool"}
    assert {event["trace_basis"] for event in seen[0]["events"]} == {"request_id", "invocation", "time_window"}


async def test_two_accounts_with_the_same_names_and_ids_are_kept_apart(tmp_path: Path) -> None:
    alone = []
    for account in "12":
        async with served(tmp_path / account) as (client, indexer):
            await client.post(BATCH, json={"events": invocation("/group", "s", account)})
            await indexer.wait_idle()
            alone.append(await everything(client))
    ids = [{event["event_id"] for event in each["events"]} for each in alone]
    assert not ids[0] & ids[1]
    assert not alone[0]["traces"].keys() & alone[1]["traces"].keys()
    async with served(tmp_path / "both") as (client, indexer):
        both = [event for pair in zip(*(invocation("/group", "s", a) for a in "12"), strict=True) for event in pair]
        random.Random(1).shuffle(both)
        for start in range(0, len(both), 7):
            await client.post(BATCH, json={"events": both[start : start + 7]})
        await indexer.wait_idle()
        found = await everything(client)
        assert found["traces"] == alone[0]["traces"] | alone[1]["traces"]
        for account, each in zip("12", alone, strict=True):
            assert [event for event in found["events"] if event["source"]["account"] == account] == each["events"]
            assert (await everything(client, log_group="/group"))["digest"] == found["digest"]
            reply = await client.get(f"{EVENTS}/digest", params={"account": account, **DAYS})
            assert reply.json()["hours"] == each["digest"]
        # One account's lines are read again: the other's stay as they are.
        anew = logged("/group", "s", 1, account="2", event_type="message")
        anew["source"]["read_at"] = "2026-02-01T00:00:00Z"
        await client.post(BATCH, content=json.dumps({"events": [anew]}), headers={"content-type": "application/json"})
        await indexer.wait_idle()
        found = await everything(client)
        kinds = {event["source"]["account"]: event for event in found["events"] if event["source"]["log_id"] == "0001"}
        assert {account: event["event_type"] for account, event in kinds.items()} == {"1": "log", "2": "message"}
        assert kinds["2"]["source"]["read_at"] == "2026-02-01T00:00:00.000000Z"
        assert {name: found["traces"][name] for name in alone[0]["traces"]} == alone[0]["traces"]
