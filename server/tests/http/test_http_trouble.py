from __future__ import annotations

import logging
from typing import Any

import pytest

from vectadb_server.services import Services
from vectadb_server.stores.base import SearchUnavailable, StoreUnavailable

pytestmark = pytest.mark.anyio

EVENT = {"timestamp": "2026-01-31T12:00:00Z"}


async def test_health(client: Any) -> None:
    assert await client.ok("/health") == {"status": "ok", "version": "0.1.0"}


@pytest.mark.parametrize("path", ["/", "/health", "/metrics", "/api/v1/events", "/assets/nothing.js"])
async def test_a_head_is_answered_without_a_body(client: Any, path: Any) -> None:
    whole, head = await client.get(path), await client.head(path)
    assert (head.status_code, head.content) == (whole.status_code, b"")
    assert head.headers["content-type"] == whole.headers["content-type"]
    if path != "/metrics":  # which goes on counting
        assert head.headers["content-length"] == whole.headers["content-length"]
    refused = await client.delete(path)
    assert {"GET", "HEAD", "OPTIONS"} <= set(refused.headers["allow"].split(", "))


async def test_ready_names_each_engine(client: Any) -> None:
    ready = await client.ok("/health/ready")
    assert ready["status"] == "ready"
    assert list(ready["engines"]) == ["record", "search", "indexer"]
    assert all(engine["status"] == "ok" for engine in ready["engines"].values())
    assert set(ready["engines"]["indexer"]) == {"status", "pending", "lag_seconds"}


async def test_ready_with_search_away_is_degraded(fake: Any, memory: Any) -> None:
    memory.failing["count"] = SearchUnavailable("the search process is starting")
    ready = await fake.ok("/health/ready")
    assert ready["status"] == "degraded"
    assert ready["engines"]["search"] == {"status": "unavailable", "error": "the search process is starting"}


async def test_ready_without_the_record_is_not(fake: Any, memory: Any) -> None:
    memory.failing |= {"check": StoreUnavailable("the disk is full"), "lag": StoreUnavailable("the disk is full")}
    reply = await fake.get("/health/ready")
    assert (reply.status_code, reply.headers["retry-after"], reply.json()["status"]) == (503, "1", "unavailable")
    assert reply.json()["engines"]["record"]["error"] == "the disk is full"
    assert (await fake.get("/health")).status_code == 200
    assert (await fake.get("/metrics")).status_code == 200


async def test_an_engine_away_is_503(fake: Any, memory: Any) -> None:
    memory.failing |= {
        "ingest": StoreUnavailable("away"),
        "events": StoreUnavailable("away"),
        "search": SearchUnavailable("gone"),
    }
    replies = [
        await fake.post("/api/v1/events", json=EVENT),
        await fake.post("/api/v1/events/batch", json={"events": [EVENT]}),
        await fake.get("/api/v1/events"),
        await fake.post("/api/v1/search", json={"query": "x"}),
    ]
    assert [reply.status_code for reply in replies] == [503] * 4
    assert [reply.headers["retry-after"] for reply in replies] == ["1"] * 4
    number = replies[0].headers["x-request-id"]
    assert replies[0].json() == {"error": "unavailable", "message": "away", "request_id": number}
    assert replies[3].json()["message"] == "gone"


async def test_what_nobody_foresaw_shows_no_stack_trace(fake: Any, memory: Any, caplog: Any) -> None:
    memory.failing["events"] = RuntimeError("secret detail")
    reply = await fake.get("/api/v1/events", headers={"x-request-id": "req-7"})
    assert reply.status_code == 500
    assert set(reply.json()) == {"error", "message", "request_id"}
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text
    assert "req-7" in reply.json()["message"]
    assert any("secret detail" in str(record.exc_info) for record in caplog.records)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nope", 404),
        ("GET", "/api/v1", 404),
        ("GET", "/schema/nope", 404),
        ("GET", "/%ff%fe", 404),
        ("POST", "/health", 405),
        ("DELETE", "/api/v1/events", 405),
        ("GET", "/api/v1/search", 405),
        ("PUT", "/api/v1/events/batch", 405),
    ],
)
async def test_unknown_routes_and_methods_answer_in_json(client: Any, method: Any, path: Any, status: Any) -> None:
    reply = await client.request(method, path)
    assert reply.status_code == status
    assert reply.headers["content-type"].startswith("application/json")
    assert set(reply.json()) == {"error", "message", "request_id"}
    assert ("allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:99", "localhost", "LOCALHOST:8080", "[::1]:8080", "127.1.2.3"]
)
async def test_this_machine_by_its_names(fake: Any, host: Any) -> None:
    assert (await fake.get("/health", headers={"host": host})).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example", "", "[", "192.168.1.2"],
)
async def test_another_host_is_refused_where_only_this_machine_asks(fake: Any, host: Any) -> None:
    reply = await fake.get("/health", headers={"host": host})
    assert reply.status_code == 403
    assert reply.json()["error"] == "forbidden"


async def test_any_host_is_good_where_others_may_ask(fake_of: Any) -> None:
    async with fake_of(host="0.0.0.0", insecure=True) as client:
        assert (await client.get("/health", headers={"host": "vectadb.example"})).status_code == 200


async def test_a_page_of_another_origin_may_not_write(fake: Any) -> None:
    for origin in ("https://evil.example", "null", "http://127.0.0.1:9999"):
        reply = await fake.post("/api/v1/events", json=EVENT, headers={"origin": origin})
        assert reply.status_code == 403
    own = await fake.post("/api/v1/events", json=EVENT, headers={"origin": "http://127.0.0.1:8080"})
    assert own.status_code == 200


async def test_a_key_that_nobody_asked_for_does_no_harm(fake: Any) -> None:
    for value in ("Bearer x", "Basic ???", ""):
        assert (await fake.get("/api/v1/events", headers={"authorization": value})).status_code == 200


async def test_each_reply_has_an_id_and_a_sane_one_is_kept(client: Any) -> None:
    first, second = [(await client.get("/health")).headers["x-request-id"] for _ in range(2)]
    assert first != second
    kept = await client.get("/health", headers={"x-request-id": "job-17/3"})
    assert kept.headers["x-request-id"] == "job-17/3"
    for odd in ("", "a b", "x" * 200, "a\tb"):
        other = await client.get("/nope", headers={"x-request-id": odd})
        assert other.headers["x-request-id"] != odd
        assert other.headers["x-content-type-options"] == "nosniff"


async def test_failures_are_logged_with_their_id(fake: Any, caplog: Any) -> None:
    caplog.set_level(logging.INFO, "vectadb_server")
    await fake.get("/health")
    await fake.get("/nope")
    # Others may log too: wordllama, once imported, has the root logger do so.
    [record] = [record for record in caplog.records if record.name.startswith("vectadb_server")]
    assert record.getMessage() == "GET /nope: 404"
    assert record.duration_ms >= 0


async def test_metrics_count_what_happened(fake: Any, memory: Any) -> None:
    body = {"events": [{**EVENT, "event_id": "00000000-0000-4000-8000-000000000001"}] * 2 + [5]}
    await fake.post("/api/v1/events/batch", json=body)
    await fake.get("/api/v1/traces/nope")
    await fake.get("/wp-admin")
    memory.pending = 3
    reply = await fake.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = reply.text.splitlines()
    for line in (
        'vectadb_events_total{status="accepted"} 1.0',
        'vectadb_events_total{status="duplicate"} 1.0',
        'vectadb_events_total{status="failed"} 1.0',
        'vectadb_events_total{status="expired"} 0.0',
        'vectadb_request_seconds_count{method="POST",route="/api/v1/events/batch",status="200"} 1.0',
        'vectadb_request_seconds_count{method="GET",route="/api/v1/traces/{trace_id}",status="404"} 1.0',
        'vectadb_request_seconds_count{method="GET",route="none",status="404"} 1.0',
        'vectadb_index_pending{stage="outbox"} 3.0',
        "vectadb_index_lag_seconds 4.5",
    ):
        assert line in lines


async def test_two_applications_do_not_share_their_counts(services_of: Any) -> None:
    first, second = services_of(), services_of()
    assert isinstance(first, Services)
    first.metrics.count(["accepted"])
    assert b'vectadb_events_total{status="accepted"} 0.0' in second.metrics.text()
