"""Following events over HTTP: server-sent events from a real process."""

from __future__ import annotations

import json
import signal
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio

STREAM = "/api/v1/events/stream"
DEADLINE = 30.0


def at(second: int, **fields: Any) -> dict[str, Any]:
    return {"timestamp": f"2026-01-31T12:00:{second:02d}Z", "event_type": "log", **fields}


class Messages:
    """The messages of a stream, read as the standard for server-sent events says."""

    def __init__(self, reply: httpx.Response) -> None:
        self._lines = reply.aiter_lines()
        self.last_id = ""

    async def next(self) -> tuple[str, Any]:
        kind, data = "message", ""
        with anyio.fail_after(DEADLINE):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if name == "id":
                    self.last_id = value
                elif name == "event":
                    kind = value
                elif name == "data":
                    data += value
                elif not line and data:
                    return kind, json.loads(data)
        raise EOFError

    async def comment(self) -> str:
        with anyio.fail_after(DEADLINE):
            async for line in self._lines:
                if line.startswith(":"):
                    return line
        raise EOFError


@asynccontextmanager
async def following(client: httpx.AsyncClient, headers: Any = None, **params: Any) -> AsyncIterator[Messages]:
    async with client.stream("GET", STREAM, params=params, headers=headers) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        messages = Messages(reply)
        assert await messages.comment() == ": alive"
        yield messages


async def test_events_are_told_as_they_arrive_and_resumed(real: Any, unique: Any) -> None:
    async with following(real, session=unique, type="log,error", fields="event_id,timestamp") as messages:
        first = await real.take(at(9, session_id=unique), at(8, session_id="another"))
        late = await real.take(at(1, session_id=unique, event_type="error"), at(2, session_id=unique, event_type="x"))
        assert await messages.next() == (
            "message",
            {"event_id": first["event_ids"][0], "timestamp": "2026-01-31T12:00:09.000000Z"},
        )
        between = messages.last_id
        assert (await messages.next())[1]["event_id"] in late["event_ids"]
    missed = await real.take(at(3, session_id=unique))
    for given in ({"headers": {"last-event-id": between}}, {"last_event_id": between}):
        async with real.stream(
            "GET", STREAM, params={"session": unique, **_params(given)}, headers=given.get("headers")
        ) as reply:
            messages = Messages(reply)
            seen = [(await messages.next())[1]["event_id"] for _ in range(3)]
            wanted = [late["event_ids"][0], late["event_ids"][1], missed["event_ids"][0]]
            assert sorted(seen[:2]) == sorted(wanted[:2])
            assert seen[2] == wanted[2]


def _params(given: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "headers"}


async def test_a_place_that_is_not_of_this_record_is_a_gap(real: Any) -> None:
    async with real.stream("GET", STREAM, headers={"last-event-id": "99999999.0"}) as reply:
        assert await Messages(reply).next() == ("gap", {})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sesion=x", "unknown query parameter 'sesion'"),
        ("fields=x", "fields: found 'x'"),
        ("last_event_id=yesterday", "Last-Event-ID: found 'yesterday'"),
        ("since=noon", "since: found 'noon'"),
    ],
)
async def test_what_is_wrong_is_refused_before_it_begins(real: Any, query: str, said: str) -> None:
    reply = await real.get(f"{STREAM}?{query}")
    assert reply.status_code == 400
    assert said in reply.json()["message"]


async def test_a_stream_ends_when_the_server_stops_and_there_are_no_more_than_there_may_be(
    start: Any, tmp_path: Any
) -> None:
    with start(tmp_path, VECTADB_MAX_FOLLOWERS="1", VECTADB_SHUTDOWN_TIMEOUT="30") as process:
        async with httpx.AsyncClient(base_url=process.url, timeout=DEADLINE) as client, following(client) as messages:
            refused = await client.get(STREAM)
            assert (refused.status_code, "1 clients follow" in refused.json()["message"]) == (503, True)
            assert "retry-after" in refused.headers
            head = await client.head(STREAM)  # which begins no stream
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-type"].startswith("text/event-stream")
            process.popen.send_signal(signal.SIGTERM)
            with pytest.raises(EOFError):
                await messages.next()
        assert process.popen.wait(DEADLINE) == 0


async def test_a_client_that_leaves_makes_room(start: Any, tmp_path: Any) -> None:
    with start(tmp_path, VECTADB_MAX_FOLLOWERS="1") as process:
        async with httpx.AsyncClient(base_url=process.url, timeout=DEADLINE) as client:
            for _ in range(3):
                with anyio.fail_after(DEADLINE):
                    while True:
                        async with client.stream("GET", STREAM) as reply:
                            if reply.status_code == 200:
                                assert await Messages(reply).comment() == ": alive"
                                break
        assert process.stop() == 0


def test_a_client_that_leaves_while_it_catches_up_is_noticed_at_once(start: Any, until: Any, tmp_path: Any) -> None:
    with start(tmp_path, VECTADB_MAX_FOLLOWERS="100") as process:
        for _ in range(4):
            events = [at(number % 60) for number in range(500)]
            assert httpx.post(f"{process.url}/api/v1/events/batch", json={"events": events}).status_code == 200
        until(lambda: not httpx.get(f"{process.url}/health/ready").json()["engines"]["indexer"]["pending"])
        url = httpx.URL(process.url)
        for _ in range(10):
            with socket.create_connection((url.host, url.port or 80), DEADLINE) as client:
                client.sendall(f"GET {STREAM}?last_event_id=1.0 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                seen = b""
                while seen.count(b"data: ") < 10:
                    more = client.recv(4_000)
                    assert more, seen
                    seen += more
        assert process.stop() == 0
        # asyncio's warning, once for each frame that is written to a connection that is gone.
        assert [line for line in process.rest() if line["logger"] == "asyncio"] == []
