"""A crash in the middle of a write: what is acknowledged after it must survive the next crash."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def events(name: str) -> list[dict[str, Any]]:
    return [
        {"event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{name}.{n}")), "timestamp": "2026-01-31T12:00:00Z"}
        for n in range(10)
    ]


def test_what_is_acknowledged_after_a_torn_write_survives_the_next_crash(
    serve: Callable[..., Any], tmp_path: Path
) -> None:
    """SurrealDB mends a torn log by replacing its file, and then goes on writing to the old one, which has no name."""
    for name in ("first", "second", "third"):
        with serve(tmp_path) as server:
            assert server.post(events(name)).json()["ingested"] == 10
            server.kill()
        # Half of another commit.
        for log in tmp_path.glob("record/*/wal/*.wal"):
            with log.open("ab") as file:
                file.write(os.urandom(300))
    with serve(tmp_path) as server:
        for name in ("first", "second", "third"):
            assert server.post(events(name)).json() | {"event_ids": [], "trace_ids": []} == {
                **server.post(events(name)).json(),
                "duplicates": 10,
                "ingested": 0,
                "event_ids": [],
                "trace_ids": [],
            }
