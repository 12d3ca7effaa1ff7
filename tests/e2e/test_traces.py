"""Logs become traces: what the server shows is what LangChain's own callbacks saw."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo import logs

if TYPE_CHECKING:
    from .conftest import Stage

ROOT = Path(__file__).parents[2]
PARSERS = "[{type: lambda}, {type: langchain}, {type: python_logging}]"


def truth(name: str) -> list[tuple[str, Any]]:
    """Each tool call as LangChain's callbacks saw it: name and output (``None``: it raised)."""
    recording = json.loads((logs.RECORDINGS / "langchain" / f"{name}.json").read_text(encoding="utf-8"))
    seen = recording["truth"]["callbacks"]
    outputs = {end["run_id"]: as_json(end["output"]) for end in seen if end["event"] == "tool_end"}
    return [(start["name"], outputs.get(start["run_id"])) for start in seen if start["event"] == "tool_start"]


def as_json(text: str) -> Any:
    """What the API gives: JSON where the text parses as such."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def test_langchain_on_lambda_gives_a_trace_for_each_request_with_its_tool_calls(stage: Stage) -> None:
    logs.put(stage.logs, time.time_ns() // 1000)
    stage.drain(stage.config(logs.RESEARCH, parsers=PARSERS))
    traces = stage.traces()
    runs = [name for names in logs.STREAMS[logs.RESEARCH].values() for name in names]
    assert len(traces) == len(runs)
    assert {trace["trace_basis"] for trace in traces} == {"request_id"}
    found = []
    for trace in traces:
        spans = stage.get(f"/api/v1/traces/{trace['trace_id']}")["spans"]
        tools = [span for span in spans if span["kind"] == "tool"]
        assert all(span["parent_span_id"] for span in tools)
        found.append([(span["name"], span["output"]) for span in tools])
    assert sorted(map(repr, found)) == sorted(repr(truth(run)) for run in runs)
    failed = [trace for trace in traces if trace["status"] == "error"]
    assert len(failed) == 1
    assert "database 'orders' refused" in failed[0]["first_error"]


def test_the_demo_ends_well_and_its_last_line_counts(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "demo"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["lost"] == summary["duplicates"] == 0
    assert summary["records"] > 500
    assert summary["tool_calls"] > 20
    assert summary["traces"] == 10
