"""``vectadb delete``, by a real server that is killed afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from .test_check import check, event, found

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def delete(url: str, trace: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTADB_")}
    command = [sys.executable, "-m", "vectadb_server", "delete", trace, "--url", url]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=kept)


def test_a_deleted_trace_stays_deleted(serve: Callable[..., Any], tmp_path: Path) -> None:
    events = [event(number) for number in range(60)]
    of_it = sum(each["trace_id"] == "t3" for each in events)
    with serve(tmp_path) as server:
        server.post(events)
        server.until(lambda: found(server) == 60)
        whole = server.get("/api/v1/traces/t3").json()
        ended = delete(server.url, "t3")
        assert (ended.returncode, ended.stderr) == (0, "")
        assert ended.stdout == f"Erased trace {whole['trace']['trace_id']}: {of_it} events.\n"
        assert server.get("/api/v1/traces/t3").status_code == 404
        assert server.get(f"/api/v1/events/{whole['events'][0]['event_id']}").status_code == 404
        assert found(server) == 60 - of_it
        ended = delete(server.url, "t3")
        assert ended.returncode == 1
        assert "no trace 't3'" in ended.stderr
        server.kill()
    with serve(tmp_path) as server:
        reply = server.post(events).json()
        assert (reply["expired"], reply["duplicates"]) == (of_it, 60 - of_it)
        server.kill()
    code, days = check(tmp_path)
    assert code == 0, days
    assert sum(each["searchable"] for each in days.values()) == 60 - of_it
