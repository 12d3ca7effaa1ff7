from __future__ import annotations

import gzip
import json
import uuid
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from vectadb_server.ingest import Outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

pytestmark = pytest.mark.anyio

BATCH = "/api/v1/events/batch"
ONE = "/api/v1/events"
JSON = {"content-type": "application/json"}
WHEN = "2026-01-31T12:00:00Z"


def event(**fields: Any) -> dict[str, Any]:
    return {"timestamp": WHEN, "event_type": "log", **fields}


async def test_one_event_is_taken_and_read_back(client: Any, unique: Any) -> None:
    reply = await client.post(ONE, json=event(trace_id=unique, properties={"n": 1}))
    assert reply.status_code == 200
    taken = reply.json()
    assert list(taken) == ["event_id", "trace_id", "created_at", "status"]
    assert taken["status"] == "accepted"
    found = await client.ok(f"{ONE}/{taken['event_id']}")
    assert (found["properties"], found["trace_id"], found["given_trace_id"]) == ({"n": 1}, taken["trace_id"], unique)


async def test_the_same_event_again_is_a_duplicate(client: Any) -> None:
    body = event(event_id=str(uuid.uuid4()))
    first, again = [(await client.post(ONE, json=body)).json() for _ in range(2)]
    assert (first["status"], again["status"]) == ("accepted", "duplicate")
    assert first["event_id"] == again["event_id"] == body["event_id"]


@pytest.mark.parametrize(
    ("body", "status", "path"),
    [
        (b"", 400, "event"),
        (b"{", 400, "event"),
        (b"\xff{}", 422, "event"),
        (b"[]", 422, "event"),
        (b"{}", 422, "event.timestamp"),
        (b'{"timestamp": 5}', 422, "event.timestamp"),
        (b'{"timestamp": "yesterday"}', 422, "event.timestamp"),
        (b'{"timestamp": "2026-01-31T12:00:00Z", "properties": [1]}', 422, "event.properties"),
        (b'{"timestamp": "2026-01-31T12:00:00Z", "properties": {"a": [1, 1e400]}}', 422, "event.properties.a[1]"),
        (b'{"timestamp": "2026-01-31T12:00:00Z", "source": {"log_id": 7}}', 422, "event.source.log_id"),
    ],
)
async def test_a_bad_event_is_refused_with_its_place(client: Any, body: Any, status: Any, path: Any) -> None:
    reply = await client.post(ONE, content=body, headers=JSON)
    assert reply.status_code == status
    refusal = reply.json()
    assert list(refusal) == ["error", "message", "request_id"]
    assert refusal["message"].startswith(f"{path}: ")


async def test_good_events_of_a_mixed_batch_are_stored(client: Any, unique: Any) -> None:
    held = [str(uuid.uuid4()) for _ in range(10)]
    await client.take(*(event(event_id=each, trace_id=unique) for each in held))
    events: list[Any] = [event(trace_id=unique, properties={"i": i}) for i in range(120)]
    bad = {3: {"timestamp": "soon"}, 17: 42, 18: None, 60: {"event_type": "log"}, 119: event(properties="x")}
    for index, wrong in bad.items():
        events[index] = wrong
    for index, each in zip(range(20, 30), held, strict=True):
        events[index] = event(event_id=each, trace_id=unique)
    taken = await client.take(*events)
    assert (taken["ingested"], taken["duplicates"], taken["expired"], taken["failed"]) == (105, 10, 0, 5)
    assert (taken["ingested_count"], taken["failed_count"]) == (105, 5)
    assert [error["index"] for error in taken["errors"]] == sorted(bad)
    assert all(error["error"].startswith(f"events[{error['index']}]") for error in taken["errors"])
    assert all(error["code"] == "invalid" and "retryable" not in error for error in taken["errors"])
    expected = ["failed" if i in bad else "duplicate" if 20 <= i < 30 else "accepted" for i in range(120)]
    assert taken["statuses"] == expected
    assert len(taken["event_ids"]) == 115
    assert taken["event_ids"][17:27] == held  # three before them are bad
    assert len(taken["trace_ids"]) == 1
    page = await client.ok(ONE, trace=unique, limit=1000)
    assert {each["event_id"] for each in page["events"]} == set(taken["event_ids"])


async def test_an_empty_batch_is_taken(client: Any) -> None:
    taken = await client.take()
    assert (taken["ingested"], taken["failed"], taken["statuses"], taken["event_ids"]) == (0, 0, [], [])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"events", 400),
        (b'{"events": [', 400),
        (b"[]", 422),
        (b'"x"', 422),
        (b"{}", 422),
        (b'{"events": {}}', 422),
        (b'{"events": null}', 422),
        (b'{"events": [], "options": 5}', 422),
        (b'{"events": [], "options": {"generate_embeddings": "yes"}}', 422),
        (b"[" * 100_000, 400),
    ],
)
async def test_a_body_that_is_no_batch_is_refused(client: Any, body: Any, status: Any) -> None:
    reply = await client.post(BATCH, content=body, headers=JSON)
    assert reply.status_code == status
    assert set(reply.json()) == {"error", "message", "request_id"}


async def test_gzip_bodies_are_taken(client: Any, unique: Any) -> None:
    body = json.dumps({"events": [event(session_id=unique, raw="ü" * 100) for _ in range(300)]}).encode()
    half = len(body) // 2
    members = gzip.compress(body[:half]) + gzip.compress(b"") + gzip.compress(body[half:])
    for packed in (gzip.compress(body), members):
        reply = await client.post(BATCH, content=packed, headers={**JSON, "content-encoding": "gzip"})
        assert reply.status_code == 200, reply.text
        assert reply.json()["ingested"] == 300


async def test_a_gzip_body_may_arrive_byte_by_byte(fake: Any) -> None:
    packed = gzip.compress(json.dumps({"events": [event()]}).encode())

    async def drip() -> AsyncIterator[bytes]:
        for i in range(len(packed)):
            yield packed[i : i + 1]

    reply = await fake.post(BATCH, content=drip(), headers={**JSON, "content-encoding": "gzip"})
    assert reply.json()["ingested"] == 1


@pytest.mark.parametrize("spoil", [lambda b: b[:-9], lambda b: b[:40], lambda b: b"{}" + b, lambda b: b + b"more"])
async def test_broken_gzip_is_refused(client: Any, spoil: Any) -> None:
    packed = spoil(gzip.compress(json.dumps({"events": [event()] * 9}).encode()))
    reply = await client.post(BATCH, content=packed, headers={**JSON, "content-encoding": "gzip"})
    assert reply.status_code == 400
    assert "gzip" in reply.json()["message"]


async def test_a_zip_bomb_is_refused(client: Any) -> None:
    bomb = gzip.compress(b"0" * 200_000_000, 9)
    assert len(bomb) < 2**20
    reply = await client.post(BATCH, content=bomb, headers={**JSON, "content-encoding": "gzip"})
    assert reply.status_code == 413
    assert "1,048,576 bytes" in reply.json()["message"]


@pytest.mark.parametrize("path", [ONE, BATCH, "/api/v1/search"])
async def test_a_large_body_is_refused_whether_its_size_is_declared_or_not(client: Any, path: Any) -> None:
    body = b'{"events": ["' + b"x" * 2**20 + b'"]}'

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(body), 2**16):
            yield body[start : start + 2**16]

    for content in (body, chunks()):
        reply = await client.post(path, content=content, headers=JSON)
        assert reply.status_code == 413
        assert reply.json()["error"] == "too_large"


async def test_too_many_events_are_refused(client: Any) -> None:
    assert (await client.take(*[event()] * 500))["ingested"] == 500
    reply = await client.post(BATCH, json={"events": [event()] * 501})
    assert reply.status_code == 413
    assert reply.json()["message"].startswith("events: found 501; expected at most 500.")


@pytest.mark.parametrize("body", [b"0," * 400_000 + b"0", b"NaN," * 200_000 + b"0", b"0," * 400_000])
async def test_a_swarm_of_tiny_bad_events_is_refused_without_looking_at_each(client: Any, body: Any) -> None:
    reply = await client.post(BATCH, content=b'{"events": [' + body + b"]}", headers=JSON)
    assert reply.status_code == 413
    assert "smaller batches" in reply.json()["message"]


async def test_one_event_of_many_commas_is_taken_though_it_is_unusual(client: Any, unique: Any) -> None:
    """Its text has more commas than events may have together, and half of a surrogate pair."""
    raw = f"{'1,' * 30_000}\\ud800"
    body = f'{{"events": [{{"timestamp": "{WHEN}", "trace_id": "{unique}", "raw": "{raw}"}}]}}'
    reply = await client.post(BATCH, content=body.encode(), headers=JSON)
    assert (reply.status_code, reply.json()["ingested"]) == (200, 1)


async def test_many_commas_are_no_events(client: Any, unique: Any) -> None:
    vector = {"v": [1] * 3000, "text": "a,b,c" * 1000}
    taken = await client.take(*[event(trace_id=unique, properties=vector)] * 30)
    assert taken["ingested"] == 30
    body = b'{"events": [{"timestamp": "%s", "properties": {"x": NaN, "y": "%s"}}]}' % (WHEN.encode(), b"," * 600)
    reply = await client.post(BATCH, content=body, headers=JSON)
    assert "properties.x" in reply.json()["errors"][0]["error"]


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml"])
async def test_other_content_types_are_refused(client: Any, kind: Any) -> None:
    reply = await client.post(BATCH, content=b'{"events":[]}', headers={"content-type": kind})
    assert reply.status_code == 415
    assert kind in reply.json()["message"]
    assert "application/json" in reply.json()["message"]


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "Application/JSON", "application/cloudevents+json"]
)
async def test_json_is_known_by_its_other_names(client: Any, kind: Any) -> None:
    reply = await client.post(BATCH, content=b'{"events":[]}', headers={"content-type": kind})
    assert reply.status_code == 200


async def test_other_encodings_are_refused_and_the_right_one_named(client: Any) -> None:
    reply = await client.post(BATCH, content=b"x", headers={**JSON, "content-encoding": "br"})
    assert reply.status_code == 415
    assert reply.headers["accept-encoding"] == "gzip"


async def test_an_idempotency_key_makes_a_repetition_harmless(client: Any, unique: Any) -> None:
    headers = {"idempotency-key": unique}
    body = {"events": [event(), event(event_type="error")]}
    first, again = [(await client.post(BATCH, json=body, headers=headers)).json() for _ in range(2)]
    assert (first["ingested"], again["duplicates"]) == (2, 2)
    assert first["event_ids"] == again["event_ids"]
    one, other = [
        (await client.post(ONE, json=event(), headers={"idempotency-key": unique + "b"})).json() for _ in "ab"
    ]
    assert (one["status"], other["status"]) == ("accepted", "duplicate")


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_an_odd_idempotency_key_is_refused(client: Any, key: Any) -> None:
    reply = await client.post(BATCH, json={"events": []}, headers={"idempotency-key": key})
    assert reply.status_code == 400
    assert "Idempotency-Key" in reply.json()["message"]


async def test_without_traces_if_the_client_wants_none(client: Any, unique: Any) -> None:
    taken = await client.take(event(session_id=unique), options={"auto_create_traces": False})
    assert taken["trace_ids"] == []
    [found] = (await client.ok(ONE, session=unique))["events"]
    assert (found["trace_id"], found["trace_basis"]) == (None, "none")


HOSTILE = [
    "\0\1\x1b[31mred\x7f",
    "'; DELETE event; --",
    "<script>alert(1)</script>&amp;",
    "\u202eevil\u2066",
    "𝕬🏴‍☠️\U0010ffff\ufffe",
    '\\u0000 \\" {{7*7}} ${x} %s %(x)s',
    "a" * 20_000,
    " \t\r\n ",
]


async def test_hostile_strings_come_back_as_they_went_in(client: Any, unique: Any) -> None:
    events = [event(session_id=unique, raw=text, properties={"v": text, f"k {text[:50]}": [text]}) for text in HOSTILE]
    taken = await client.take(*events)
    assert taken["ingested"] == len(HOSTILE), taken["errors"]
    for event_id, sent in zip(taken["event_ids"], events, strict=True):
        found = await client.ok(f"{ONE}/{event_id}")
        assert found["raw"] == sent["raw"]
        assert found["properties"] == sent["properties"]


async def test_lone_surrogates_do_not_spoil_a_batch(client: Any, unique: Any) -> None:
    body = b'{"events": [{"timestamp": "%s", "session_id": "%s", "raw": "a\\ud800b"}]}' % (
        WHEN.encode(),
        unique.encode(),
    )
    reply = await client.post(BATCH, content=body, headers=JSON)
    assert reply.json()["ingested"] == 1
    [found] = (await client.ok(ONE, session=unique))["events"]
    assert found["raw"] == "a\x1ad800b"


async def test_outcomes_of_every_kind_are_told(fake: Any, memory: Any) -> None:
    memory.outcomes = [
        Outcome("a", "accepted", "t", 5),
        Outcome("b", "failed", code="partial_overlap", unclaimed=[1, 2], error="overlaps"),
        Outcome("c", "expired", created_at=5),
        Outcome("d", "failed", code="busy", error="try again"),
        Outcome("e", "duplicate", "t", 5),
    ]
    taken = await fake.take(*[event()] * 5, {})
    assert taken["statuses"] == ["accepted", "failed", "expired", "failed", "duplicate", "failed"]
    assert (taken["ingested"], taken["duplicates"], taken["expired"], taken["failed"]) == (1, 1, 1, 3)
    assert [error["index"] for error in taken["errors"]] == [1, 3, 5]
    assert taken["errors"][:2] == [
        {"index": 1, "error": "overlaps", "code": "partial_overlap", "unclaimed": [1, 2]},
        {"index": 3, "error": "try again", "code": "busy", "retryable": True},
    ]
    assert (taken["event_ids"], taken["trace_ids"]) == (["a", "e"], ["t"])


async def test_one_event_that_fails(fake: Any, memory: Any) -> None:
    memory.outcomes = [Outcome("b", "failed", code="partial_overlap", unclaimed=[1], error="overlaps")]
    reply = await fake.post(ONE, json=event())
    assert reply.status_code == 422
    assert reply.json()["unclaimed"] == [1]
    assert (reply.json()["error"], reply.json()["message"]) == ("partial_overlap", "overlaps")
    memory.outcomes = [Outcome("b", "failed", code="busy", error="busy")]
    reply = await fake.post(ONE, json=event())
    assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
    memory.outcomes = [Outcome("b", "expired", created_at=5)]
    assert (await fake.post(ONE, json=event())).json()["status"] == "expired"


async def test_a_block_that_overlaps_is_refused_with_what_nobody_holds(real: Any, unique: Any) -> None:
    def block(*log_ids: str) -> dict[str, Any]:
        source = {"system": "s", "log_group": unique, "log_stream": "s", "log_id": log_ids[0], "timestamp": WHEN}
        return event(source={**source, "log_ids": list(log_ids), "timestamps": [WHEN] * len(log_ids)})

    await real.take(block("1", "2"))
    taken = await real.take(block("2", "3"), block("1", "2", "3"))
    assert taken["statuses"] == ["failed", "accepted"]
    [error] = taken["errors"]
    assert (error["index"], error["code"], error["unclaimed"]) == (0, "partial_overlap", [1])
    assert "retryable" not in error


async def test_too_many_requests_at_once_are_turned_away(fake_of: Callable[..., Any], memory: Any) -> None:
    memory.gate = anyio.Event()
    async with fake_of(max_ingest_requests=1) as client, anyio.create_task_group() as tasks:
        replies: list[int] = []

        async def send() -> None:
            replies.append((await client.post(ONE, json=event())).status_code)

        tasks.start_soon(send)
        await memory.entered.wait()
        turned = await client.post(BATCH, json={"events": [event()]})
        assert (turned.status_code, turned.headers["retry-after"]) == (503, "1")
        assert turned.json()["error"] == "overloaded"
        assert 'vectadb_refusals_total{status="503"} 1.0' in (await client.get("/metrics")).text
        assert 'vectadb_limit_used{limit="ingest_requests"} 1.0' in (await client.get("/metrics")).text
        assert (await client.get(ONE)).status_code == 200  # only ingest is turned away
        memory.gate.set()
    assert replies == [200]
    async with fake_of(max_ingest_requests=1) as client:
        assert (await client.post(ONE, json=event())).status_code == 200


async def test_bytes_in_progress_are_bounded_too_but_a_large_body_alone_is_not(
    fake_of: Callable[..., Any], memory: Any
) -> None:
    memory.gate = anyio.Event()
    async with fake_of(max_ingest_bytes=1024) as client, anyio.create_task_group() as tasks:
        replies: list[int] = []

        async def send() -> None:
            replies.append((await client.post(ONE, json=event(raw="x" * 5000))).status_code)

        tasks.start_soon(send)
        await memory.entered.wait()
        assert (await client.post(ONE, json=event())).status_code == 503
        memory.gate.set()
    assert replies == [200]


async def test_a_body_that_does_not_arrive_is_given_up(fake_of: Callable[..., Any]) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b'{"events": '
        await anyio.sleep_forever()

    async with fake_of(body_timeout=0.01) as client:
        reply = await client.post(BATCH, content=never(), headers=JSON)
    assert reply.status_code == 408
    assert reply.headers["connection"] == "close"
