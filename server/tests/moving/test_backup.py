"""Backups of a running server under full load, and what is made of them."""

from __future__ import annotations

import json
import os
import subprocess
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from vectadb_server import cli_moving
from vectadb_server.cli_client import CommandError
from vectadb_server.stores.rows import unpacked
from vectadb_server.stores.surreal import SurrealStore

from .conftest import DAYS, command, environment, event, indexed, run, send, serving, settled, stop, told

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Server

pytestmark = pytest.mark.anyio
BATCH = 20


class Load:
    """Sends batches as fast as it can, from several threads; ``acknowledged``: those that were."""

    def __init__(self, server: Server) -> None:
        self._server, self._ending = server, threading.Event()
        self.acknowledged: list[str] = []
        self._threads = [threading.Thread(target=self._send, args=(n,)) for n in range(3)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _send(self, thread: int) -> None:
        number = 0
        with httpx.Client(base_url=self._server.url, timeout=60) as client:
            while not self._ending.is_set():
                name = f"{thread}-{number}"
                reply = client.post("/api/v1/events/batch", json={"events": _batch(name)})
                assert reply.status_code == 200, reply.text
                self.acknowledged.append(name)
                number += 1


def _batch(name: str) -> list[dict[str, Any]]:
    """One transaction, of one day; or blocks over three days each, and so three transactions."""
    number, made = int(name.partition("-")[2]), {"stream": name, "session_id": name}
    if number % 2:
        return [event(n, day=DAYS[number % 3], **made) for n in range(BATCH)]
    return [event(n, records=3, **made) for n in range(BATCH)]


async def _is_whole(data_dir: Path) -> None:
    """No record is held whose text is not."""
    store = await SurrealStore.open(data_dir)
    try:
        for day in await store.days():
            async with store.segments.use(day) as db:
                heads = [unpacked(head) for head in await db.one("SELECT VALUE head FROM event WHERE size = 0")]
            held = await store.held(heads)
            assert not [head for head in heads if head not in held or held[head].row.size == 0]
    finally:
        await store.close()


async def test_a_backup_under_load_holds_all_that_was_acknowledged_and_nothing_half(tmp_path: Path) -> None:
    data_dir, file, restored = (tmp_path / name for name in ("data", "backup.tar", "restored"))
    with serving(data_dir) as server, Load(server) as load:
        server.until(lambda: len(load.acknowledged) > 20)
        acknowledged = set(load.acknowledged)
        run("backup", file, "--data-dir", data_dir)
        many = len(load.acknowledged)
        server.until(lambda: len(load.acknowledged) > many)
    assert not (data_dir / "record" / ".snapshot").exists()
    assert file.stat().st_mode & 0o777 == 0o600
    held = told("restore", file, "--data-dir", restored)
    assert held["days"] == list(DAYS)
    await _is_whole(restored)
    with serving(restored) as server:
        server.until(lambda: indexed(server))
        events = [json.loads(line) for line in server.get("/api/v1/events", format="ndjson").iter_lines()]
        batches = Counter(each["session_id"] for each in events)
        # Each batch is all there or not at all; those that were acknowledged are.
        assert set(batches.values()) == {BATCH}
        assert batches.keys() >= acknowledged
        # What was under way may lack the commits of its last days, as after a crash: it is sent again.
        for name in batches.keys() - acknowledged:
            send(server, _batch(name))
        settled(server)
        records = sum(BATCH * (1 if int(each.partition("-")[2]) % 2 else 3) for each in batches)
        span = {"since": f"{DAYS[0]}T00:00:00Z", "until": f"{DAYS[2]}T23:59:59Z"}
        assert sum(hour["count"] for hour in server.get("/api/v1/events/digest", **span).json()["hours"]) == records
        assert 0 <= records - held["records"] <= 3 * 2 * BATCH
        # The index is made anew of all of it, also of what was through the indexer before.
        server.until(lambda: run("check", "--url", server.url, code=None).returncode == 0)
        stop(server)


def _send_much(server: Server) -> None:
    """Have a backup be larger than what fits in between, however well it is packed."""
    for start in range(0, 24, 8):
        send(server, [event(n, day=DAYS[0], raw=os.urandom(500_000).hex()) for n in range(start, start + 8)])


def test_there_is_one_at_a_time_and_one_that_is_broken_off_leaves_nothing(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir) as server:
        _send_much(server)
        url = f"{server.url}/api/v1/admin/backup"
        with httpx.stream("POST", url, timeout=60) as reply:
            assert next(reply.iter_raw())
            assert httpx.post(url, timeout=60).status_code == 409
            refused = run("backup", tmp_path / "backup.tar", "--data-dir", data_dir, code=1)
            assert "another backup is under way" in refused.stderr
        server.until(lambda: not (data_dir / "record" / ".snapshot").exists())
        assert not (tmp_path / "backup.tar").exists()
    # What a server leaves that is killed then, goes at the next start.
    (data_dir / "record" / ".snapshot" / "meta").mkdir(parents=True)
    with serving(data_dir) as server:
        assert not (data_dir / "record" / ".snapshot").exists()
        mine = tmp_path / "backup.tar.part"
        mine.write_text("mine")
        run("backup", tmp_path / "backup.tar", "--data-dir", data_dir, VECTADB_LOG_LEVEL="warning")
        assert mine.read_text() == "mine"
        assert sorted(path.name for path in tmp_path.glob("backup*")) == ["backup.tar", "backup.tar.part"]
        again = run("backup", tmp_path / "backup.tar", "--data-dir", data_dir, code=1)
        assert "exists already" in again.stderr


def test_what_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    made, part = tmp_path / "backup.tar", tmp_path / "part"
    part.write_text("new")
    made.write_text("mine")
    with pytest.raises(CommandError, match="it exists by now"):
        cli_moving._put(part, made)
    assert made.read_text() == "mine"
    made.unlink()
    cli_moving._put(part, made)
    assert made.read_text() == "new"


def test_a_stopped_server_s_directory_is_worked_on_whatever_the_log_level(tmp_path: Path) -> None:
    with serving(tmp_path / "data"):
        pass
    run("keys", "list", "--data-dir", tmp_path / "data", VECTADB_LOG_LEVEL="error")


def test_a_server_that_dies_in_the_middle_leaves_no_file(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    with serving(data_dir) as server:
        _send_much(server)
        arguments = command("backup", tmp_path / "backup.tar", "--data-dir", data_dir)
        with subprocess.Popen(arguments, env=environment(), stderr=subprocess.PIPE, text=True) as backup:
            server.until(lambda: (data_dir / "record" / ".snapshot").exists() or backup.poll() is not None)
            server.kill()
            said = backup.communicate(timeout=60)[1]
        assert backup.returncode == 1, said
    assert not list(tmp_path.glob("backup*"))
