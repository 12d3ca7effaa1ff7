"""A disk that is really full: refused with 503, said by readiness, nothing damaged, and mended without a restart."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AT = "2026-01-31T12:00:00Z"


def batch(number: int, size: int = 50) -> list[dict[str, Any]]:
    return [
        {
            "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number}.{n}")),
            "timestamp": AT,
            "session_id": f"s{number}",
            "raw": f"{number}.{n} " + os.urandom(400).hex(),
        }
        for n in range(size)
    ]


def fill(folder: Path) -> Path:
    """Take all the room there is."""
    ballast = folder / "ballast"
    file = os.open(ballast, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    try:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while os.write(file, bytes(size)):
                    pass
    finally:
        os.close(file)
    return ballast


@pytest.mark.parametrize("reserve", ["8 MiB", "1 KiB"], ids=["refused before", "met by the engine"])
def test_disk_full_is_503_and_mends_itself(
    serve: Callable[..., Any], small_disk: tuple[str, ...], tmp_path: Path, reserve: str
) -> None:
    with serve(tmp_path / "data", *small_disk, VECTADB_MIN_FREE=reserve) as server:
        held = server.root / tmp_path.relative_to("/")
        acknowledged = [event["event_id"] for event in batch(0)]
        first = server.post(batch(0))
        assert first.status_code == 200, first.text
        ballast = fill(held)

        number = 0
        while (reply := server.post(batch(number := number + 1))).status_code == 200:
            acknowledged += [event["event_id"] for event in batch(number)]
        assert reply.status_code == 503
        assert reply.headers["retry-after"]
        assert "No space left" in reply.text or "is full" in reply.text
        assert server.get("/health").status_code == 200
        # What is held can be read.
        assert server.get(f"/api/v1/events/{acknowledged[0]}").status_code == 200
        ready = server.get("/health/ready")
        assert ready.status_code == 503
        assert "is full" in ready.json()["engines"]["record"]["error"]

        ballast.unlink()
        server.until(lambda: server.post(batch(number)).status_code == 200)
        acknowledged += [event["event_id"] for event in batch(number)]
        server.until(lambda: server.get("/health/ready").json()["status"] == "ready")
        assert server.post(batch(number)).json()["duplicates"] == 50

        # What was acknowledged behind the full disk must not hang on the process.
        copy = held / "after"
        server.popen.send_signal(19)  # SIGSTOP: as a crash would leave it
        _copied(held / "data" / "record", copy / "record")
        outside = tmp_path / "outside"
        _copied(copy, outside)
    with serve(outside, VECTADB_MIN_FREE=reserve) as again:
        for event_id in acknowledged:
            assert again.get(f"/api/v1/events/{event_id}").status_code == 200


def _copied(source: Path, target: Path) -> None:
    for path in source.rglob("*"):
        to = target / path.relative_to(source)
        if path.is_dir():
            to.mkdir(parents=True, exist_ok=True)
        elif path.name.lower() != "lock":
            to.parent.mkdir(parents=True, exist_ok=True)
            to.write_bytes(path.read_bytes())
