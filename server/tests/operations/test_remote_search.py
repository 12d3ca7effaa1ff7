"""A server whose search index is in a Qdrant (the façade over Edge): outage, reindex, check."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import asking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FACADE = Path(__file__).parents[3] / "tests/engines/qdrant_facade"
DAY = "2026-01-01"


class Facade:
    def __init__(self, folder: Path) -> None:
        self._folder, self.port = folder, 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(FACADE), "--port", str(self.port), "--dir", str(self._folder)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def facade(tmp_path: Path) -> Iterator[Facade]:
    made = Facade(tmp_path / "qdrant")
    yield made
    made.kill()


def event(number: int) -> dict[str, Any]:
    return {"timestamp": f"{DAY}T12:00:00Z", "raw": f"nightingale {number}", "trace_id": f"t{number % 3}"}


def found(server: Any) -> int:
    asked = {"query": "nightingale", "mode": "text", "limit": 100}
    reply = asking().post(f"{server.url}/api/v1/search", json=asked, timeout=60)
    return len(reply.json()["results"]) if reply.status_code == 200 else -1


def until(question: Callable[[], bool]) -> None:
    """Ask again and again: a Qdrant's client takes long to import on a busy machine."""
    end = time.monotonic() + 300
    while not question():
        assert time.monotonic() < end, "it never came true"
        select.select([], [], [], 0.05)


def check(server: Any) -> tuple[int, list[dict[str, Any]]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTADB_")}
    command = [sys.executable, "-m", "vectadb_server", "check", "--url", server.url, "--json"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=kept)
    assert ended.returncode in (0, 3), ended.stderr
    return ended.returncode, json.loads(ended.stdout)["days"]


def test_an_outage_lags_the_index_and_nothing_else(serve: Callable[..., Any], facade: Facade, tmp_path: Path) -> None:
    with serve(
        tmp_path / "data", VECTADB_QDRANT_URL=f"http://127.0.0.1:{facade.port}", VECTADB_QDRANT_API_KEY="k"
    ) as server:
        server.post([event(number) for number in range(30)])
        until(lambda: found(server) == 30)
        assert not list(tmp_path.glob("data/search/*")), "the index is elsewhere"
        facade.kill()
        assert server.post([event(number) for number in range(30, 50)]).json()["ingested"] == 20
        assert len(server.get("/api/v1/events", limit=100).json()["events"]) == 50
        assert found(server) == -1
        facade.start()
        until(lambda: found(server) == 50)
        code, [day] = check(server)
        assert (code, day["searchable"], day["missing"], day["extra"]) == (0, 50, 0, 0)
        asking().post(f"{server.url}/api/v1/admin/reindex", timeout=60)
        until(lambda: not server.get("/api/v1/admin/reindex").json()["days_left"])
        assert found(server) == 50
        assert check(server)[0] == 0
