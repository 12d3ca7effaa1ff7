"""Keys on a real server: the first one, the owner's socket, the command line, the agent, and what the log tells."""

from __future__ import annotations

import json
import os
import socket
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from vectadb_server import owner_socket
from vectadb_server.signins import COOKIE

if TYPE_CHECKING:
    from collections.abc import Iterator

FIRST = "an-operators-own-random-text-0123456789"
EVENT = {"timestamp": "2026-01-31T12:00:00Z", "raw": "kept"}
OLDER = {"timestamp": "2026-01-30T12:00:00Z"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("keyed") / "data"


@pytest.fixture(scope="module")
def keyed(start: Any, data: Path) -> Iterator[Any]:
    """A server on all addresses, without --insecure, that has logged whatever it can."""
    more = {"VECTADB_BOOTSTRAP_KEY": FIRST, "VECTADB_LOG_LEVEL": "debug", "VECTADB_HEADER_TIMEOUT": "0.2"}
    with start(data, "--host", "0.0.0.0", **more) as process:
        process.url = process.url.replace("0.0.0.0", "127.0.0.1")
        assert httpx.get(f"{process.url}/api/v1/traces").status_code == 401
        yield process
        assert process.stop() == 0
        log = json.dumps([*process.lines, *process.rest()], ensure_ascii=False)
        assert "GET /api/v1/traces: 401" in log  # it did log
        assert FIRST not in log
        for secret in SECRETS:
            assert secret not in log


SECRETS: set[str] = set()


@pytest.fixture
def make(run: Any, data: Path, keyed: Any) -> Any:
    def create(*arguments: str) -> str:
        ended = run("keys", "create", "--name", "t", "--data-dir", str(data), *arguments)
        assert ended.returncode == 0, ended.stderr
        key = ended.stdout.strip()
        SECRETS.add(key.rpartition("_")[2])
        return str(key)

    return create


def test_the_first_key_opens_everything_and_nothing_is_open_without(keyed: Any) -> None:
    headers = {"X-API-Key": FIRST}
    assert httpx.get(f"{keyed.url}/api/v1/traces").status_code == 401
    assert httpx.get(f"{keyed.url}/api/v1/auth/keys", headers=headers).json()["keys"][0]["name"] == "bootstrap"
    assert httpx.post(f"{keyed.url}/api/v1/events", json=EVENT, headers=headers).status_code == 200


def test_the_owner_needs_no_key(keyed: Any, data: Path, run: Any, make: Any) -> None:
    sock = data / owner_socket.NAME
    assert stat.S_IMODE(sock.stat().st_mode) == 0o600
    key = make("--scope", "read", "--scope", "ingest", "--expires", "30d", "--max-requests-per-second", "500")
    assert httpx.get(f"{keyed.url}/api/v1/traces", headers={"X-API-Key": key}).status_code == 200
    ended = run("keys", "list", "--data-dir", str(data))
    assert key.split("_")[1] in ended.stdout
    assert "500 requests/s" in ended.stdout
    assert key not in ended.stdout
    listed = json.loads(run("keys", "list", "--json", VECTADB_DATA_DIR=str(data)).stdout)
    assert {"bootstrap", "t"} <= {each["name"] for each in listed["keys"]}
    assert run("traces", "--json", VECTADB_DATA_DIR=str(data)).returncode == 0


def test_commands_take_a_key(keyed: Any, run: Any, make: Any, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(make("--scope", "read") + "\n")
    url = ("--url", keyed.url)
    assert run("traces", *url, "--api-key-file", str(file)).returncode == 0
    assert run("traces", *url, VECTADB_API_KEY=FIRST).returncode == 0
    assert run("traces", *url, "--api-key", FIRST).returncode == 0
    ended = run("traces", *url)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "found none. Next: give it with VECTADB_API_KEY" in ended.stderr
    ended = run("keys", "list", *url, "--api-key-file", str(file))
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "needs the scope admin; the key" in ended.stderr
    ended = run("traces", *url, "--api-key-file", str(tmp_path / "none"))
    assert (ended.returncode, "cannot be read" in ended.stderr) == (1, True)
    assert run("keys", "create", "--name", "n", "--scope", "root").returncode == 2


def test_a_revoked_key_opens_nothing(keyed: Any, run: Any, make: Any, data: Path) -> None:
    key = make("--scope", "read")
    headers = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=keyed.url, headers=headers) as client:
        assert client.get("/api/v1/traces").status_code == 200
        ended = run("keys", "revoke", key.split("_")[1], "--data-dir", str(data))
        assert (ended.returncode, "is revoked" in ended.stdout) == (0, True)
        reply = client.get("/api/v1/traces")
        assert (reply.status_code, "was revoked" in reply.json()["message"]) == (401, True)
    assert run("keys", "revoke", "nosuchkey000", "--data-dir", str(data)).returncode == 1


def test_a_sign_in_and_what_it_follows_end_with_the_key(keyed: Any, make: Any) -> None:
    key = make("--scope", "read")
    first = {"Authorization": f"Bearer {FIRST}"}
    with httpx.Client(base_url=keyed.url, timeout=30) as client:
        client.post("/api/v1/auth/session", json={"key": key}).raise_for_status()
        SECRETS.add(client.cookies[COOKIE].rpartition("_")[2])
        assert client.get("/api/v1/auth/me").json()["signed_in"]
        with client.stream("GET", "/api/v1/events/stream") as stream:
            assert stream.status_code == 200
            lines = stream.iter_lines()
            assert next(lines).startswith("retry")
            event = {**EVENT, "raw": "before"}
            httpx.post(f"{keyed.url}/api/v1/events", json=event, headers=first).raise_for_status()
            assert "before" in next(line for line in lines if line.startswith("data"))
            revoked = httpx.delete(f"{keyed.url}/api/v1/auth/keys/{key.split('_')[1]}", headers=first)
            assert revoked.json()["revoked"]
            httpx.post(f"{keyed.url}/api/v1/events", json=EVENT, headers=first).raise_for_status()
            assert not any(line.startswith("data") for line in lines)
        reply = client.get("/api/v1/traces")
        assert (reply.status_code, "was revoked" in reply.json()["message"]) == (401, True)


def test_an_export_ends_with_the_key_and_does_not_look_whole(keyed: Any, make: Any) -> None:
    key = make("--scope", "read")
    first = {"Authorization": f"Bearer {FIRST}"}
    for number in range(5):  # More than the connection holds.
        events = [{**OLDER, "session_id": "export", "raw": f"{number} {n} {'x' * 8_000}"} for n in range(500)]
        sent = httpx.post(f"{keyed.url}/api/v1/events/batch", json={"events": events}, headers=first, timeout=60)
        assert sent.json()["ingested"] == 500
    headers = {"Authorization": f"Bearer {key}", "Accept": "application/x-ndjson", "Accept-Encoding": "identity"}
    asked = f"{keyed.url}/api/v1/events?session=export"
    with httpx.stream("GET", asked, headers=headers, timeout=60) as reply:
        pieces = reply.iter_raw()
        assert next(pieces)
        revoked = httpx.delete(f"{keyed.url}/api/v1/auth/keys/{key.split('_')[1]}", headers=first)
        assert revoked.json()["revoked"]
        with pytest.raises(httpx.RemoteProtocolError):
            list(pieces)


def test_whatever_carries_a_key_the_log_does_not(keyed: Any, make: Any) -> None:
    key = make("--scope", "read")
    with httpx.Client(base_url=keyed.url) as client:
        for text in (key, FIRST, f"x{key}y", f"{key}/{FIRST}"):
            for headers in (
                {"Authorization": f"Bearer {text}"},
                {"Authorization": f"Bearer {text}, {text}", "X-Api-Key": "other"},
                {"X-Request-Id": text, "X-API-Key": text},
                {"X-API-Key": text, "Idempotency-Key": text * 20},
                {"Host": text},
                {"Origin": f"https://{text}"},
            ):
                client.get(f"/api/v1/events/{text}", headers=headers)
                client.get(f"/api/v1/{text}?api_key={text}&limit={text}&cursor={text}", headers=headers)
                client.post("/api/v1/events", content=f'{{"key": {text}', headers=headers)
                client.post("/api/v1/search", json={"query": text, "mode": text}, headers=headers)
                client.request(text[:20], "/", headers=headers)


def test_a_client_that_dawdles_with_its_headers_is_left(keyed: Any) -> None:
    url = httpx.URL(keyed.url)
    for sent in (b"", b"GET / HT", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A:"):
        with socket.create_connection((url.host, url.port), 30) as sock:
            sock.sendall(sent)
            assert sock.recv(100) == b""  # closed; else this would wait for its 30 s
    with socket.create_connection((url.host, url.port), 30) as sock:
        sock.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET /hea")
        reply = b""
        while chunk := sock.recv(4096):
            reply += chunk
        assert reply.startswith(b"HTTP/1.1 200")
        assert reply.count(b"HTTP/1.1") == 1


def test_the_agents_sink_brings_events_with_its_key(keyed: Any, make: Any) -> None:
    import anyio

    from vectadb_agent import Event
    from vectadb_agent_sinks.vectadb import VectaDBSink

    async def deliver(key: str) -> Any:
        async with VectaDBSink(VectaDBSink.Config(type="vectadb", endpoint=keyed.url, api_key=key)) as sink:
            await sink.check()
            return await sink.write([Event(event_type="log", timestamp=1_769_860_800_000_000, raw="from the agent")])

    result = anyio.run(deliver, make("--scope", "ingest"))
    assert not (result.refused)
    assert not (result.expired)
    assert not (result.duplicate)
    found = httpx.get(f"{keyed.url}/api/v1/events", headers={"X-API-Key": FIRST}).json()["events"]
    assert "from the agent" in [event["raw"] for event in found]


def test_keys_outlast_the_server_and_a_lost_one_is_no_disaster(start: Any, run: Any, tmp_path: Path) -> None:
    data = tmp_path / ("long" * 30)  # longer than the path of a socket may be
    with start(data) as process:
        assert run("keys", "list", "--data-dir", str(data)).stdout.startswith("No keys")
        assert httpx.get(f"{process.url}/api/v1/traces").status_code == 200
        key = run("keys", "create", "--name", "x", "--scope", "admin", "--data-dir", str(data)).stdout.strip()
        assert httpx.get(f"{process.url}/api/v1/traces").status_code == 401
        assert process.stop() == 0
        assert not os.path.lexists(data / owner_socket.NAME)
    # No server runs: the command starts one of its own, and is its owner.
    ended = run("keys", "revoke", key.split("_")[1], "--data-dir", str(data), timeout=150)
    assert ended.returncode == 0, ended.stderr
    (data / owner_socket.NAME).write_text("left behind")
    with start(data, "--host", "0.0.0.0") as process:
        assert any("something else of that name" in line["message"] for line in process.lines)
        url = process.url.replace("0.0.0.0", "127.0.0.1")
        # The only key is revoked: that does not open the server.
        assert httpx.get(f"{url}/api/v1/traces").status_code == 401
        assert httpx.get(f"{url}/api/v1/traces", headers={"X-API-Key": key}).status_code == 401


def test_a_record_without_keys_is_not_served_to_others(start: Any, run: Any, tmp_path: Path) -> None:
    with start(tmp_path) as process:
        assert process.stop() == 0
    ended = run("serve", "--port", "0", "--host", "0.0.0.0", "--data-dir", str(tmp_path))
    assert ended.returncode == 2
    assert "there is no API key yet" in ended.stderr
    assert "--insecure" in ended.stderr
