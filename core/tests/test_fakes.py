"""The fakes for plugin authors do what the real things do."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest

from vectadb_agent import Batch, LogRecord, LogStream, Outcome, testing
from vectadb_agent.config import Pipeline as Settings
from vectadb_agent.pipeline import Pipeline
from vectadb_agent.state import State
from vectadb_agent.testing import FakeClock, FlakySink, ListSource, MemoryCheckpoints
from vectadb_agent.testing.peer import Asked, Reply, peer

if TYPE_CHECKING:
    from pathlib import Path

STREAM = LogStream("test", "1", "eu", "/g", "s")


def batch(number: int, partition: str = "/g") -> Batch:
    record = LogRecord(STREAM, str(number), 1_767_225_600_000_000 + number, f"line {number}")
    return Batch(partition=partition, records=[record], checkpoint={"position": number})


@pytest.mark.parametrize("seed", range(5))
def test_a_flaky_sink_has_everything_in_the_end(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("vectadb_agent.delivery.FIRST_PAUSE", 0.01)
    sink = FlakySink(seed, batch_size=4)
    settings = Settings("p", None, ListSource([batch(number) for number in range(20)]), (), ("sink",), 4_000_000)

    async def ship(state: State) -> None:
        with anyio.fail_after(30):
            await Pipeline(settings, {"sink": sink}, state).run(anyio.Event(), drain=True)

    with State(tmp_path / "state") as state:
        anyio.run(ship, state)
    assert sorted(event.raw or "" for event in sink.events.values()) == sorted(f"line {number}" for number in range(20))
    assert len(sink.writes) > 5, "it was a good day"


def test_checkpoints_move_over_what_is_settled_without_a_gap() -> None:
    first, second, third = batch(1), batch(2), batch(3)
    saved = MemoryCheckpoints({"/other": {"position": 7}})
    for each in (first, second):
        saved.take(each)
    saved.settle(second)
    assert dict(saved) == {"/other": {"position": 7}}
    saved.settle(first)
    assert saved["/g"] == {"position": 2}
    saved.settle(third, durable=False)
    saved.settle(batch(4))
    assert (saved["/g"], len(saved)) == ({"position": 2}, 2)


def test_a_batch_hears_what_became_of_it() -> None:
    heard: list[bool] = []

    class Told(Batch):
        def settle(self, outcome: Outcome) -> None:
            heard.append(outcome.durable)

    told = Told(partition="/g", records=())
    MemoryCheckpoints().settle(told)
    MemoryCheckpoints().settle(told, durable=False)
    assert heard == [True, False]


def test_a_clock_jumps_or_waits_for_the_test() -> None:
    async def sleepers() -> list[str]:
        clock, woken = FakeClock(100.0, jumps=False), list[str]()

        async def sleep(name: str, seconds: float) -> None:
            await clock.sleep(seconds)
            woken.append(name)

        async with anyio.create_task_group() as group:
            group.start_soon(sleep, "late", 10)
            group.start_soon(sleep, "early", 5)
            await anyio.wait_all_tasks_blocked()
            clock.advance(5)
            await anyio.wait_all_tasks_blocked()
            woken.append("between")
            clock.advance(5)
        assert (clock.time(), clock.now()) == (110.0, 110_000_000)
        return woken

    assert anyio.run(sleepers) == ["early", "between", "late"]
    clock = FakeClock(100.0)
    anyio.run(clock.sleep, 3600)
    assert (clock.time(), clock.slept) == (3700.0, [3600])


def test_everything_is_found_in_one_place() -> None:
    assert {name: getattr(testing, name).__name__ for name in testing.__all__} == {n: n for n in testing.__all__}
    with pytest.raises(AttributeError, match="has no 'Fake'; it has ArchiveSource, FakeClock"):
        _ = testing.Fake


def test_a_peer_answers_as_it_is_told() -> None:
    asked: list[Asked] = []

    def answer(request: Asked) -> Reply:
        asked.append(request)
        return Reply(418, {"a": 1}, {"X-Tea": "pot"}) if request.method == "POST" else Reply(body=b"raw")

    with peer(answer) as url, httpx.Client(base_url=url) as client:
        posted, got = client.post("/x", content=b"body", headers={"X-Me": "1"}), client.get("/y")
    assert (posted.status_code, posted.json(), posted.headers["X-Tea"]) == (418, {"a": 1}, "pot")
    assert (got.status_code, got.content) == (200, b"raw")
    assert [(each.method, each.path, each.body) for each in asked] == [("POST", "/x", b"body"), ("GET", "/y", b"")]
    assert asked[0].headers["x-me"] == "1"


def test_a_cloudwatch_of_its_own_process_is_driven_over_http() -> None:
    command = [sys.executable, "-m", "vectadb_agent.testing.cloudwatch", "--account", "1" * 12]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            put = {"group": "/g", "stream": "s", "events": [[1_767_225_600_000, "hello", 0]]}
            with httpx.Client(base_url=url) as client:
                assert client.post("/_rig/put", json=put).json() == {"put": 1}
                assert client.get("/_rig/ledger").json() == [["1" * 12, "/g", "s", f"{1:056d}", "hello"]]
                assert client.get("/_rig/visible").json() is True
                assert client.post("/_rig/faults", json={"errors": "many"}).status_code == 422
                assert "is not among put, faults" in client.get("/_rig/other").json()["message"]
        finally:
            process.terminate()
