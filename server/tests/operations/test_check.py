"""``vectadb check``: what differs from the record is named, by day, and mended on demand; a lost index comes back."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import asking
from vectadb_server.stores.base import Document
from vectadb_server.stores.directories import Directories
from vectadb_server.stores.edge import EdgeSearch

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio

DAYS = ("2026-01-01", "2026-01-02", "2026-01-03")


def event(number: int) -> dict[str, Any]:
    at = f"{DAYS[number % 3]}T12:00:00Z"
    source = {
        "system": "cloudwatch",
        "account": "1",
        "region": "eu-west-1",
        "log_group": "/g",
        "log_stream": "s",
        "log_id": str(number),
        "timestamp": at,
    }
    raw = f"nightingale {number}"
    return {"timestamp": at, "trace_id": f"t{number % 7}", "raw": raw, "source": source, "event_type": "log"}


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTADB_")}
    command = [sys.executable, "-m", "vectadb_server", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env={**kept, **variables})


def check(data_dir: Path, *arguments: str) -> tuple[int, dict[str, dict[str, Any]]]:
    ended = run("check", "--data-dir", str(data_dir), "--json", *arguments)
    assert ended.returncode in (0, 3), ended.stderr
    return ended.returncode, {day.pop("day"): day for day in json.loads(ended.stdout)["days"]}


def found(server: Any) -> int:
    asked = {"query": "nightingale", "mode": "text", "limit": 100}
    reply = asking().post(f"{server.url}/api/v1/search", json=asked, timeout=60)
    return len(reply.json()["results"]) if reply.status_code == 200 else 0


def differing(days: dict[str, dict[str, Any]]) -> dict[str, dict[str, int]]:
    names = ("missing", "extra", "stale", "digests", "minutes", "traces")
    return {day: wrong for day, each in days.items() if (wrong := {name: each[name] for name in names if each[name]})}


@pytest.fixture(scope="module")
def whole(serve: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory of 60 events in three days and seven traces, all of it indexed; copy it before you harm it."""
    folder = tmp_path_factory.mktemp("whole") / "data"
    with serve(folder) as server:
        server.post([event(number) for number in range(60)])
        server.until(lambda: found(server) == 60)
        ended = run("check", "--url", server.url)
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.endswith("index, digests, counts and summaries are those of the record.\n")
        server.popen.terminate()
        server.popen.wait(60)
    return folder


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "data"))


async def harm(data: Path, day: str, sql: str, **values: Any) -> None:
    """Change a day's rows. Its lists are emptied, or the indexer would do them at the next start and mend the harm."""
    segments = Directories(data / "record")
    await segments.start()
    try:
        async with segments.use(day) as db:
            for name in ("outbox", "stale", "pending"):
                await db.run(f"DELETE {name} RETURN NONE")
            await db.run(sql, values)
    finally:
        await segments.stop()


async def test_what_differs_is_named_by_day_and_mended(data: Path) -> None:
    # Nothing does this but a broken disk or a person: the other copies of the truth tell on it.
    await harm(data, DAYS[0], "DELETE (SELECT VALUE id FROM event WHERE trace IS NOT NONE LIMIT 1) RETURN NONE")
    segments = Directories(data / "record")
    await segments.start()
    async with segments.use(DAYS[2]) as db:
        [key] = await db.one("SELECT VALUE id FROM event LIMIT 1")
    await segments.stop()
    index = EdgeSearch(data)
    await index.upsert([Document(event_id=str(key.key), day=DAYS[2], text="nightingale", us=1, event_type="log")])
    await index.close()
    shutil.rmtree(data / "search" / DAYS[1])
    code, days = check(data)
    lost_event = {"extra": 1, "digests": 1, "minutes": 1, "traces": 1}
    assert (code, differing(days)) == (3, {DAYS[0]: lost_event, DAYS[1]: {"missing": 20}, DAYS[2]: {"stale": 1}})
    assert len(days[DAYS[1]]["examples"]) == 20
    code, days = check(data, "--repair")
    assert (code, differing(days)) == (0, {})
    assert {day: each["searchable"] for day, each in days.items()} == dict(zip(DAYS, (19, 20, 20), strict=True))
    assert days[DAYS[0]]["events"] == 19
    assert check(data)[0] == 0


async def test_counts_and_summaries_that_are_wrong_are_made_anew(data: Path, serve: Callable[..., Any]) -> None:
    with serve(data) as server:
        before = server.get("/api/v1/traces").json()
        server.popen.terminate()
        server.popen.wait(60)
    await harm(data, DAYS[0], "DELETE (SELECT VALUE id FROM trace LIMIT 2) RETURN NONE")
    await harm(data, DAYS[1], "DELETE minute RETURN NONE")
    with serve(data) as server:
        code, days = check(data)  # over the server's socket
        assert (code, differing(days)) == (3, {DAYS[0]: {"traces": 2}, DAYS[1]: {"minutes": 1}})
        assert days[DAYS[1]]["examples"] == [f"{DAYS[1]}T12:00:00.000000Z"]
        assert check(data, "--repair")[0] == 0
        reply = server.get("/api/v1/stats", since=f"{DAYS[1]}T00:00:00Z", until=f"{DAYS[2]}T00:00:00Z")
        assert reply.json()["total"]["events"] == 20
        assert server.get("/api/v1/traces").json() == before


def test_an_index_that_somebody_removed_is_made_anew_at_the_next_start(data: Path, serve: Callable[..., Any]) -> None:
    shutil.rmtree(data / "search")
    with serve(data) as server:
        server.until(lambda: found(server) == 60)
        server.until(lambda: not server.get("/api/v1/admin/reindex").json()["days_left"])


def beside(data: Path) -> list[str]:
    """Shards that are being made beside those that answer."""
    return [path.name for path in (data / "search").iterdir() if path.is_dir() and path.name not in DAYS]


def test_reindexing_goes_on_after_a_sigkill_in_its_middle(serve: Callable[..., Any], tmp_path: Path) -> None:
    events = [event(3 * number) for number in range(2_000)]
    with serve(tmp_path) as server:
        for first in range(0, len(events), 1_000):
            server.post(events[first : first + 1_000])
        asking().post(f"{server.url}/api/v1/admin/reindex", timeout=60)
        server.until(lambda: server.get("/api/v1/admin/reindex").json()["rows"] >= 500)
        assert server.get("/api/v1/admin/reindex").json()["days_left"]
        server.kill()
    assert beside(tmp_path), "the new shard was under way"
    with serve(tmp_path) as server:
        server.until(lambda: not server.get("/api/v1/admin/reindex").json()["days_left"])
        assert not beside(tmp_path), "the new shard has taken the old one's place"
        ended = run("check", "--url", server.url, "--json")
        assert (ended.returncode, ended.stderr) == (0, "")
        [day] = json.loads(ended.stdout)["days"]
        assert (day["events"], day["searchable"], day["waiting"]) == (2_000, 2_000, 0)


def test_without_a_server_it_works_on_the_directory_itself(data: Path, tmp_path: Path) -> None:
    nobody = "http://127.0.0.1:9"
    for command, last in (("check", "are those of the record."), ("reindex", "made anew.")):
        ended = run(command, "--data-dir", str(data))
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout.rstrip().endswith(last)
        for folder in (data, tmp_path / "none"):  # Who names a server means that one.
            ended = run(command, "--url", nobody, VECTADB_DATA_DIR=str(folder))
            assert ended.returncode == 1
            assert "no server answers at http://127.0.0.1:9" in ended.stderr
            assert "--data-dir" in ended.stderr
        ended = run(command, "--data-dir", str(tmp_path / "none"))
        assert (
            ended.stderr == f"vectadb {command}: {tmp_path}/none: there is no data of VectaDB. Next: check --data-dir\n"
        )


def test_a_directory_that_a_server_has_is_left_to_it(data: Path, serve: Callable[..., Any]) -> None:
    with serve(data) as server:
        ended = run("check", "--data-dir", str(data))  # over the server's socket
        assert (ended.returncode, ended.stderr) == (0, "")
        (data / "vectadb.sock").unlink()
        ended = run("check", "--data-dir", str(data))
        assert ended.returncode == 1
        assert f"another VectaDB server has it (process {server.popen.pid})" in ended.stderr
