from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

EVENT = {"timestamp": "2026-01-31T12:00:00Z", "raw": "kept"}


def test_it_says_where_it_listens_and_stops_when_told(start: Any, tmp_path: Path) -> None:
    with start(tmp_path / "data") as process:
        ready = process.lines[-1]
        assert re.fullmatch(r"VectaDB 0\.1\.0 listens on http://127\.0\.0\.1:\d+", ready["message"])
        assert {"time", "level", "logger", "message"} <= set(ready)
        assert httpx.get(f"{process.url}/health").json() == {"status": "ok", "version": "0.1.0"}
        assert process.stop() == 0
        assert any("SIGTERM: stopping" in line["message"] for line in process.rest())
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{process.url}/health")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order_where_all_its_processes_are_told_to(
    start: Any, until: Any, tmp_path: Path, number: int
) -> None:
    with start(tmp_path) as process:
        until(lambda: httpx.get(f"{process.url}/health/ready").json()["engines"]["search"]["status"] == "ok")
        server = process.popen.pid
        [search] = Path(f"/proc/{server}/task/{server}/children").read_text().split()
        os.kill(int(search), number)
        assert httpx.post(f"{process.url}/api/v1/search", json={"query": "anything"}).status_code == 200
        assert process.stop(number) == 0
        assert [line["message"] for line in process.rest() if line["level"] in ("warning", "error")] == []


def test_what_was_answered_is_there_after_a_kill(start: Any, tmp_path: Path) -> None:
    with start(tmp_path) as process:
        taken = httpx.post(f"{process.url}/api/v1/events", json={**EVENT, "trace_id": "run-1"}).json()
        assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    with start(tmp_path) as process:
        found = httpx.get(f"{process.url}/api/v1/events/{taken['event_id']}").json()
        assert found["raw"] == "kept"
        assert process.stop(signal.SIGINT) == 0


def test_requests_in_progress_are_finished_when_it_stops(start: Any, until: Any, tmp_path: Path) -> None:
    body = json.dumps(EVENT).encode()
    with start(tmp_path) as process:
        url = httpx.URL(process.url)
        with socket.create_connection((url.host, url.port), 10) as sock:
            head = f"POST /api/v1/events HTTP/1.1\r\nHost: {url.netloc.decode()}\r\nContent-Type: application/json\r\n"
            sock.sendall(f"{head}Content-Length: {len(body)}\r\nX-Request-Id: slow\r\n\r\n".encode() + body[:5])
            # The request is being read once it is counted as in progress.
            until(lambda: 'vectadb_limit_used{limit="ingest_requests"} 1.0' in httpx.get(f"{process.url}/metrics").text)
            process.popen.send_signal(signal.SIGTERM)
            line = process.popen.stderr.readline()
            assert b"SIGTERM: stopping" in line
            sock.sendall(body[5:])
            reply = b""
            while chunk := sock.recv(65536):
                reply += chunk
        assert reply.startswith(b"HTTP/1.1 200 ")
        assert b'"status":"accepted"' in reply
        assert process.popen.wait(30) == 0


def test_a_second_signal_ends_it_at_once(start: Any, until: Any, tmp_path: Path) -> None:
    with start(tmp_path) as process:
        url = httpx.URL(process.url)
        with socket.create_connection((url.host, url.port), 10) as sock:
            host = url.netloc.decode()
            sock.sendall(f"POST /api/v1/events HTTP/1.1\r\nHost: {host}\r\nContent-Length: 99\r\n\r\n{{".encode())
            until(lambda: 'vectadb_limit_used{limit="ingest_requests"} 1.0' in httpx.get(f"{process.url}/metrics").text)
            process.popen.send_signal(signal.SIGINT)
            assert b"SIGINT: stopping" in process.popen.stderr.readline()
            process.popen.send_signal(signal.SIGINT)
            assert process.popen.wait(30) == 130


def test_a_port_in_use_is_one_clear_line(run: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ended = run("serve", "--port", str(port), "--data-dir", str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr == (
        f"vectadb serve: cannot listen on 127.0.0.1, port {port}: address already in use. "
        "Next: choose another port with --port, or 0 for a free one\n"
    )


def test_a_locked_data_directory_is_one_clear_line(start: Any, run: Any, tmp_path: Path) -> None:
    with start(tmp_path) as process:
        ended = run("serve", "--port", "0", "--data-dir", str(tmp_path))
        assert ended.returncode == 1
        assert len(ended.stderr.splitlines()) == 1
        assert ended.stderr.startswith(f"vectadb serve: {tmp_path}")
        assert str(process.popen.pid) in ended.stderr
        assert httpx.get(f"{process.url}/health").status_code == 200


def test_a_data_directory_that_cannot_be_written(run: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ended = run("serve", "--port", "0", "--data-dir", str(tmp_path / "file"))
    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) == 1
    assert str(tmp_path / "file") in ended.stderr


def test_an_unknown_host(run: Any, tmp_path: Path) -> None:
    ended = run("serve", "--port", "0", "--host", "no.such.host.invalid", "--insecure", "--data-dir", str(tmp_path))
    assert ended.returncode == 1
    assert ended.stderr.startswith("vectadb serve: no.such.host.invalid: no such host")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--port", "eighty"], "--port: found 'eighty'; expected a whole number from 0 to 65535"),
        (["--host", "0.0.0.0"], "--insecure"),
        (["--log-level", "loud"], "expected debug, info, warning or error"),
        (["--config", "/nonexistent.toml"], "/nonexistent.toml: cannot be read"),
    ],
)
def test_wrong_settings_start_nothing(run: Any, tmp_path: Path, arguments: Any, said: Any) -> None:
    ended = run("serve", "--data-dir", str(tmp_path / "data"), *arguments)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "data").exists()


def test_settings_come_from_the_environment_and_a_file(start: Any, tmp_path: Path) -> None:
    config = tmp_path / "vectadb.toml"
    config.write_text('max_batch_events = 3\nlog_level = "debug"\n')
    with start(tmp_path / "data", VECTADB_CONFIG=str(config), VECTADB_MAX_BODY="2 KiB") as process:
        reply = httpx.post(f"{process.url}/api/v1/events/batch", json={"events": [EVENT] * 4})
        assert "expected at most 3" in reply.json()["message"]
        assert httpx.post(f"{process.url}/api/v1/events", json={**EVENT, "raw": "x" * 3000}).status_code == 413
        assert process.stop() == 0
        logged = [line for line in process.rest() if line["message"] == "POST /api/v1/events: 413"]
        assert len(logged) == 1
        assert logged[0]["request_id"]


def test_on_a_terminal_it_speaks_to_people(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VECTADB_")}
    popen = subprocess.Popen(
        [sys.executable, "-m", "vectadb_server", "serve", "--port", "0", "--data-dir", str(tmp_path)],
        stdout=theirs,
        stderr=theirs,
        env={**environment, "NO_COLOR": "1"},
    )
    os.close(theirs)
    try:
        said = os.read(ours, 4096).decode()
        assert re.fullmatch(rf"VectaDB 0\.1\.0 listens on http://127\.0\.0\.1:\d+  data in {tmp_path}\r\n", said)
        popen.send_signal(signal.SIGTERM)
        assert popen.wait(30) == 0
    finally:
        popen.kill()
        popen.wait(30)
        os.close(ours)


def test_many_clients_at_once_lose_nothing(start: Any, tmp_path: Path) -> None:
    with start(tmp_path) as process:
        replies: list[dict[str, Any]] = []

        def send(worker: int) -> None:
            with httpx.Client(base_url=process.url, timeout=30) as client:
                for part in range(5):
                    events = [{**EVENT, "session_id": "many", "raw": f"{worker}.{part}.{i}"} for i in range(40)]
                    replies.append(client.post("/api/v1/events/batch", json={"events": events}).json())

        workers = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert sum(reply["ingested"] for reply in replies) == 1600
        page = httpx.get(f"{process.url}/api/v1/events", params={"session": "many", "limit": 1000}).json()
        rest = httpx.get(
            f"{process.url}/api/v1/events",
            params={"session": "many", "limit": 1000, "cursor": page["next_cursor"]},
        ).json()
        assert len({event["raw"] for event in page["events"] + rest["events"]}) == 1600
        assert process.stop() == 0
