"""Backups, restores and migrations by the real command, of real servers, on real engines."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import asking
from server.tests.operations.conftest import DEADLINE, Server, serving
from tests.engines.surreal import PASSWORD, USER, Engine
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import Connection
from vectadb_server.stores.moves import move_of
from vectadb_server.stores.remote import Address, Session

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Server", "serving"]

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "engine") as running:
        yield running


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "vectadb_server", *map(str, arguments)]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTADB_")}
    return {**kept, "VECTADB_SURREAL_PASSWORD": PASSWORD, **variables}


def run(*arguments: str | Path, code: int | None = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run the command; ``code``: how it must end."""
    ended = subprocess.run(
        command(*arguments), capture_output=True, text=True, timeout=240, check=False, env=environment(**variables)
    )
    assert code is None or ended.returncode == code, (ended.returncode, ended.stdout, ended.stderr)
    return ended


def told(*arguments: str | Path, **variables: str) -> dict[str, Any]:
    """Run the command; return what it says as JSON."""
    said: dict[str, Any] = json.loads(run(*arguments, "--json", **variables).stdout)
    return said


def event(number: int, *, stream: str = "s", day: str | None = None, records: int = 1, **more: Any) -> dict[str, Any]:
    """An event; ``records``: of a block of so many, each a day after the other from the second on."""
    day = day or DAYS[number % 3]
    at = f"{day}T12:{number // 60 % 60:02}:{number % 60:02}Z"
    source: dict[str, Any] = {
        "system": "cloudwatch",
        "account": "1",
        "region": "eu-west-1",
        "log_group": "/g",
        "log_stream": stream,
        "log_id": str(number),
        "timestamp": at,
    }
    if records > 1:
        source["log_ids"] = [str(number), *(f"{number}-{n}" for n in range(1, records))]
        source["timestamps"] = [f"{DAYS[n % 3]}T23:00:00Z" for n in range(records)]
        source["timestamp"] = source["timestamps"][0]
    made = {"timestamp": at, "trace_id": f"t{number % 7}", "raw": f"nightingale {number}", "source": source}
    return {**made, "event_type": "log", "session_id": f"s{number % 5}", "agent_id": f"a{number % 2}", **more}


def send(server: Server, events: list[dict[str, Any]]) -> None:
    reply = server.post(events)
    assert reply.status_code == 200, reply.text
    assert not reply.json()["failed"], reply.text


def settled(server: Server) -> None:
    """Wait until everything is in summaries and search."""
    server.until(lambda: not server.get("/health/ready").json()["engines"]["indexer"]["pending"])


def everything(server: Server) -> dict[str, Any]:
    """Return what every list answers, whole, and each trace by itself."""
    span: dict[str, Any] = {"since": f"{DAYS[0]}T00:00:00Z", "until": f"{DAYS[2]}T23:59:59Z"}
    found: dict[str, Any] = {}
    for path in ("events", "traces", "sessions", "agents"):
        for more in ({}, span, {"agent": "a1", "limit": 7} if path in ("events", "traces") else {**span, "limit": 200}):
            found[f"{path} {more}"] = _pages(server, f"/api/v1/{path}", more)
    found["stats"] = server.get("/api/v1/stats", **span, bucket="1h").json()
    found["digest"] = server.get("/api/v1/events/digest", **span).json()
    for trace in found["traces {}"]:
        found[f"trace {trace['trace_id']}"] = server.get(f"/api/v1/traces/{trace['trace_id']}").json()
    return found


def _pages(server: Server, path: str, query: dict[str, Any]) -> list[Any]:
    items: list[Any] = []
    after: dict[str, Any] = {}
    while True:
        reply = server.get(path, **query, **after)
        assert reply.status_code == 200, reply.text
        page = reply.json()
        items += page[path.rpartition("/")[2]]
        if not page["next_cursor"]:
            return items
        after = {"cursor": page["next_cursor"]}


def search(server: Server, query: str = "nightingale") -> set[str]:
    """Return the ids of what a search by words finds."""
    asked = {"query": query, "mode": "text", "limit": 100}
    reply = asking().post(f"{server.url}/api/v1/search", json=asked, timeout=DEADLINE)
    return {hit["event"]["event_id"] for hit in reply.json()["results"]} if reply.status_code == 200 else set()


def indexed(server: Server, least: int = 1) -> bool:
    """Whether the index, which a record has none of that was copied, is made; ``least``: documents that it has."""
    left = server.get("/api/v1/admin/reindex").json()["days_left"]
    engines = server.get("/health/ready").json()["engines"]
    return not left and not engines["indexer"]["pending"] and len(search(server)) >= min(least, 100)


def moving(engine: Engine, namespace: str) -> tuple[bool | None, int]:
    """Return whether a copy into the record is done, and how many days are there; ``None``: nothing is known of one."""
    return asyncio.run(_moving(engine, namespace))


async def _moving(engine: Engine, namespace: str) -> tuple[bool | None, int]:
    address = Address(url=engine.url, user=USER, password=PASSWORD, namespace=namespace, prefix="record")
    connection = Connection(await Session.opened(address, "record_meta"))
    try:
        found = await move_of(connection)
        return (None, 0) if found is None else (found.done, len(await connection.one("SELECT VALUE id FROM day")))
    except StoreUnavailable:  # The tables are not there yet.
        return None, 0
    finally:
        await connection.close()


@pytest.fixture
def filled(the_filled: tuple[Path, dict[str, Any]], tmp_path: Path) -> tuple[Path, dict[str, Any]]:
    """As ``the_filled``, for each test to do with as it likes."""
    return Path(shutil.copytree(the_filled[0], tmp_path / "data")), the_filled[1]


@pytest.fixture(scope="module")
def the_filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A data directory with something of every kind in it, whose server is stopped, and what that answered."""
    data_dir = tmp_path_factory.mktemp("filled") / "data"
    with serving(data_dir) as server:
        send(server, [event(number) for number in range(90)])
        send(server, [event(1000 + number, records=3) for number in range(5)])
        took = {"event_type": "tool_call", "properties": {"gen_ai.tool.name": "t", "gen_ai.tool.call.id": "1"}}
        gave = {**took, "event_type": "tool_result"}
        calls = [event(2000, trace_id="call", **took), event(2001, trace_id="call", day=DAYS[2], **gave)]
        send(server, [*calls, {"timestamp": f"{DAYS[0]}T01:00:00Z", "event_type": "log", "raw": "by hand"}])
        settled(server)
        found = everything(server)
        stop(server)
    assert len(found["events {}"]) == 90 + 5 + 3
    return data_dir, found


def stop(server: Server) -> None:
    server.popen.terminate()
    assert server.popen.wait(DEADLINE) == 0
