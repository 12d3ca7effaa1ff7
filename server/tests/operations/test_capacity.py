"""How full the store is: said once when it begins, again after a day, and not for each wavering."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server.capacity import AGAIN, Capacity
from vectadb_server.settings import Settings
from vectadb_server.stores.space import disk_usage
from vectadb_server.vitals import Figures, Memory, memory_limit, memory_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CAPACITY = Settings(capacity_events=1_000, capacity_day_events=100)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_warning_is_logged_once_for_each_crossing_and_once_a_day(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    capacity = Capacity(CAPACITY, clock)

    def look(events: int) -> tuple[int, int]:
        """Return the number of warnings shown, and of lines logged for this look."""
        caplog.clear()
        capacity.look(Figures(rows={str(n): events // 20 for n in range(20)}))
        return len(capacity.warnings), len(caplog.records)

    assert [look(n) for n in (780, 800, 820, 780, 800, 740, 780, 800)] == [
        (0, 0),
        (1, 1),
        (1, 0),
        (1, 0),
        (1, 0),
        (0, 0),
        (0, 0),
        (1, 1),
    ]
    clock.now += AGAIN - 1
    assert look(800) == (1, 0)
    clock.now += 1
    assert look(800) == (1, 1)
    assert "800 events, 80% of the 1,000" in caplog.text
    assert "vectadb migrate --to ws://" in caplog.text


def test_what_is_used_of_each_thing() -> None:
    capacity = Capacity(CAPACITY)
    capacity.look(Figures())
    assert capacity.uses == []
    capacity.look(
        Figures(
            rows={"2026-01-30": 90, "2026-01-31": 10},
            stored={"record": 300, "search": 100},
            free=100,
            memory={"server": Memory(50, 30), "search": Memory(50, 30)},
            memory_limit=600,
        )
    )
    assert {use.of: use.ratio for use in capacity.uses} == {"events": 0.1, "day": 0.9, "disk": 0.8, "memory": 0.1}
    assert [use.of for use in capacity.warnings] == ["day", "disk"]
    capacity.look(Figures(stored={"record": 1}, free=0))
    assert [use.of for use in capacity.warnings] == ["disk"]


def test_sizes_are_those_of_the_system(tmp_path: Path) -> None:
    before = disk_usage(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(os.urandom(1_000_000))
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(10**9)
    assert 1_000_000 <= disk_usage(tmp_path) - before < 1_200_000
    own = memory_of(os.getpid())
    assert own is not None
    assert 10**7 < own.anonymous <= own.resident < memory_limit()
    assert memory_of(2**22 + 1) is None


def test_a_server_that_is_nearly_full_says_so_and_goes_on(serve: Callable[..., Any], tmp_path: Path) -> None:
    events = [{"event_id": str(uuid.uuid4()), "timestamp": "2026-01-31T12:00:00Z", "trace_id": "t"} for _ in range(85)]
    with serve(tmp_path, VECTADB_CAPACITY_EVENTS="100") as server:
        server.post(events)
        server.until(lambda: server.get("/health/ready").json()["warnings"] != [])
        ready = server.get("/health/ready")
        [warning] = ready.json()["warnings"]
        assert (ready.status_code, warning["of"], warning["ratio"]) == (200, "events", 0.85)
        assert "85 events, 85% of the 100" in warning["message"]
        assert 'vectadb_capacity_ratio{of="events"} 0.85' in server.get("/metrics").text
        assert server.post(events[:1]).json()["duplicates"] == 1
        server.popen.terminate()
        server.popen.wait(60)
        assert server.popen.stderr.read().decode().count("85 events") == 1
