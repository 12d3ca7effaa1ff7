"""The agent's HTTP over real sockets: what it answers, who may ask, and what nobody can do to it."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import httpx
import pytest

from vectadb_agent import Figure, endpoint
from vectadb_agent.errors import CheckError
from vectadb_agent.state import State
from vectadb_agent.vitals import Vitals

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.anyio
LOOPBACK = ("127.0.0.1", 0)


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    return tmp_path / "state"


@pytest.fixture
def vitals(state_dir: Path) -> Any:
    with State(state_dir) as state:
        yield Vitals(state)


@contextlib.asynccontextmanager
async def served(vitals: Vitals, state_dir: Path) -> AsyncIterator[int]:
    with anyio.fail_after(30):
        async with endpoint.listening(state_dir, LOOPBACK) as doors, anyio.create_task_group() as group:
            group.start_soon(endpoint.serve, vitals, doors)
            yield doors.ports[0]
            group.cancel_scope.cancel()


def client(state_dir: Path) -> httpx.AsyncClient:
    transport = httpx.AsyncHTTPTransport(uds=str(state_dir / "agent.sock"))
    return httpx.AsyncClient(transport=transport, base_url="http://agent", trust_env=False, timeout=60)


async def get(port: int, path: str, method: str = "GET") -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as asking:
        return await asking.request(method, f"http://127.0.0.1:{port}{path}")


async def exchange(port: int, sent: bytes) -> bytes:
    """Send bytes and read to the end, whatever that is."""
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        reply = b""
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            await stream.send(sent)
            while True:
                reply += await stream.receive()
        return reply


# --- What is answered


async def test_metrics_and_health_are_answered_on_both_and_status_to_the_owner_only(
    vitals: Vitals, state_dir: Path
) -> None:
    async with served(vitals, state_dir) as port, client(state_dir) as owner:
        for metrics in (await get(port, "/metrics"), await owner.get("/metrics")):
            assert metrics.status_code == 200
            assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
            assert "vectadb_agent_healthy 1.0" in metrics.text
        for health in (await get(port, "/health?verbose"), await owner.get("/health")):
            assert (health.status_code, health.json()) == (200, {"status": "ok"})
        assert (await owner.get("/status")).json()["status"] == "ok"
        assert (await get(port, "/status")).status_code == 404


async def test_health_says_why_not(vitals: Vitals, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vitals, "reasons", lambda: ["pipeline p: the source fails"])
    async with served(vitals, state_dir) as port:
        health = await get(port, "/health")
    assert health.status_code == 503
    assert health.json() == {"status": "unhealthy", "reasons": ["pipeline p: the source fails"]}


async def test_health_waits_for_no_state_file(vitals: Vitals, state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def hangs() -> None:
        await anyio.sleep_forever()

    monkeypatch.setattr(vitals, "_quarantine", hangs)
    async with served(vitals, state_dir) as port, anyio.create_task_group() as group:
        group.start_soon(get, port, "/metrics")
        assert (await get(port, "/health")).status_code == 200
        group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/metricsx", 404), ("POST", "/metrics", 405), ("DELETE", "/health", 405)],
)
async def test_what_is_not_there_is_refused_with_what_is(
    vitals: Vitals, state_dir: Path, method: str, path: str, status: int
) -> None:
    async with served(vitals, state_dir) as port:
        reply = await get(port, path, method)
    assert reply.status_code == status
    assert ("/metrics, /health" in reply.json()["message"]) == (status == 404)
    assert reply.headers.get("allow") == ("GET, HEAD" if status == 405 else None)


async def test_head_announces_a_body_and_sends_none(vitals: Vitals, state_dir: Path) -> None:
    async with served(vitals, state_dir) as port:
        reply = await exchange(port, b"HEAD /health HTTP/1.1\r\nhost: a\r\n\r\n")
    assert reply.startswith(b"HTTP/1.1 200 OK\r\n")
    assert reply.endswith(b"\r\n\r\n")
    assert b"content-length: 15\r\n" in reply.lower()


async def test_a_long_reply_arrives_whole(vitals: Vitals, state_dir: Path) -> None:
    vitals.listen_to(lambda: [Figure("lag_seconds", "x", n, labels=(("partition", f"/g{n}"),)) for n in range(20_000)])
    async with served(vitals, state_dir) as port, client(state_dir) as owner:
        for reply in (await get(port, "/metrics"), await owner.get("/metrics"), await owner.get("/status")):
            assert reply.status_code == 200
            assert "/g19999" in reply.text
            assert len(reply.content) == int(reply.headers["content-length"]) > 500_000


async def test_a_reply_that_cannot_be_made_is_an_error_and_the_next_one_works(
    vitals: Vitals, state_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fails() -> bytes:
        raise RuntimeError("a bug")

    monkeypatch.setattr(vitals, "metrics", fails)
    async with served(vitals, state_dir) as port:
        assert (await get(port, "/metrics")).status_code == 500
        assert (await get(port, "/health")).status_code == 200
    assert [record.message for record in caplog.records] == ["a request could not be answered"]


# --- Who may ask


async def test_the_socket_is_the_owners_and_goes_with_the_agent(vitals: Vitals, state_dir: Path) -> None:
    path = state_dir / "agent.sock"
    old = os.umask(0)
    try:
        async with served(vitals, state_dir):
            assert stat.S_ISSOCK(path.stat().st_mode)
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    finally:
        os.umask(old)
    assert not path.exists()


async def test_the_socket_of_a_dead_agent_is_replaced(vitals: Vitals, state_dir: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(state_dir / "agent.sock"))
    async with served(vitals, state_dir), client(state_dir) as owner:
        assert (await owner.get("/health")).status_code == 200


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
async def test_what_is_no_socket_is_left_alone_and_the_agent_runs_without(
    vitals: Vitals, state_dir: Path, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path = state_dir / "agent.sock"
    precious = state_dir / "precious"
    precious.write_text("mine")
    {"file": lambda: path.write_text("x"), "link": lambda: path.symlink_to(precious), "folder": path.mkdir}[kind]()
    async with served(vitals, state_dir) as port:
        assert (await get(port, "/health")).status_code == 200
    assert path.exists()
    assert precious.read_text() == "mine"
    (said,) = caplog.records
    assert said.message.startswith("cannot listen on the socket")
    assert vars(said)["error"] == "something else of that name is there; remove it"


async def test_a_path_too_long_for_a_socket_works_all_the_same(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100) / ("e" * 100)
    with State(deep) as state:
        async with served(Vitals(state), deep):
            assert stat.S_IMODE((deep / "agent.sock").stat().st_mode) == 0o600
            with endpoint.socket_path(deep) as path:
                async with await anyio.connect_unix(path) as stream:
                    await stream.send(b"GET /health HTTP/1.0\r\n\r\n")
                    assert (await stream.receive()).startswith(b"HTTP/1.1 200")
        assert not (deep / "agent.sock").exists()


async def test_an_address_that_is_taken_is_said(vitals: Vitals, state_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(LOOPBACK)
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CheckError, match=f"agent.listen 127.0.0.1:{port} cannot be had: .*in use"):
            async with endpoint.listening(state_dir, ("127.0.0.1", port)):
                pass
    with pytest.raises(CheckError, match="cannot be had"):
        async with endpoint.listening(state_dir, ("no-such-host.invalid", 1)):
            pass
    assert not (state_dir / "agent.sock").exists()


# --- What nobody can do to it


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: a\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 5_000, b"431"),
        (b"GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\n", b"400"),
    ],
)
async def test_what_is_no_request_is_refused(vitals: Vitals, state_dir: Path, sent: bytes, status: bytes) -> None:
    async with served(vitals, state_dir) as port:
        reply = await exchange(port, sent)
        # Where more was sent than read, the connection may be reset before the refusal is seen.
        assert not reply or reply.split(b" ")[1] == status
        assert reply or len(sent) > endpoint.REQUEST_BYTES
        assert (await get(port, "/health")).status_code == 200


async def test_who_says_nothing_or_reads_nothing_is_left_and_others_are_served(
    vitals: Vitals, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(endpoint, "REPLY_SECONDS", 0.5)
    vitals.listen_to(lambda: [Figure("lag_seconds", "x" * 50, n, labels=(("n", str(n)),)) for n in range(20_000)])
    async with served(vitals, state_dir) as port, client(state_dir) as owner:
        with contextlib.ExitStack() as stack:
            for number in range(4 * endpoint.MOST_CONNECTIONS):
                peer = stack.enter_context(socket.socket())
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
                peer.connect(("127.0.0.1", port))
                # Some drip, some ask and do not read, some are silent.
                peer.send((b"GET /he", b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n", b"G")[number % 3])
            # The owner's socket has places of its own.
            assert (await owner.get("/health")).status_code == 200
            assert (await get(port, "/health")).status_code == 200


async def test_no_more_are_served_at_once_than_there_are_places(
    vitals: Vitals, state_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside = most = 0
    release = anyio.Event()

    async def slow() -> bytes:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        await release.wait()
        inside -= 1
        return b"done"

    monkeypatch.setattr(vitals, "metrics", slow)
    replies: list[int] = []
    async with served(vitals, state_dir) as port, anyio.create_task_group() as group:

        async def ask() -> None:
            replies.append((await get(port, "/metrics")).status_code)

        for _ in range(3 * endpoint.MOST_CONNECTIONS):
            group.start_soon(ask)
        while inside < endpoint.MOST_CONNECTIONS:
            await anyio.lowlevel.checkpoint()
        await anyio.wait_all_tasks_blocked()
        release.set()
    assert replies == [200] * 3 * endpoint.MOST_CONNECTIONS
    assert most == endpoint.MOST_CONNECTIONS


async def test_when_the_system_takes_no_more_connections_it_is_tried_again(
    vitals: Vitals, state_dir: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(endpoint, "ACCEPT_PAUSE", 0.0)
    async with endpoint.listening(state_dir, LOOPBACK) as doors:
        (door,) = doors.tcp
        failures = iter([OSError(24, "Too many open files"), anyio.BrokenResourceError()])
        accept = door.accept

        async def sometimes() -> Any:
            for failure in failures:
                raise failure
            return await accept()

        monkeypatch.setattr(door, "accept", sometimes)
        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(endpoint.serve, vitals, doors)
                assert (await get(doors.ports[0], "/health")).status_code == 200
                group.cancel_scope.cancel()
    assert [record.message for record in caplog.records] == ["cannot accept a connection; trying again"] * 2
