"""What the demo's log groups hold: recordings of real LangChain runs, framed as Lambda writes them, and plain logs."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

RECORDINGS = Path(__file__).parent.parent / "tests" / "recordings"
RESEARCH, SUPPORT, SHOP = "/aws/lambda/research-agent", "/aws/lambda/support-agent", "/ecs/shop-api"

#: Stream of each group -> the runs that printed into it, one after the other: scenario and form of the recording.
STREAMS: dict[str, dict[str, list[str]]] = {
    RESEARCH: {
        "2026/[$LATEST]0a1b": ["react_two_tools.verbose", "react_tool_raises.verbose"],
        "2026/[$LATEST]2c3d": ["tools_two_tools.verbose", "react_tricky_inputs.verbose"],
        "2026/[$LATEST]4e5f": ["nested_react_in_tools.verbose"],
    },
    SUPPORT: {
        "2026/[$LATEST]6a7b": ["react_two_tools.debug"],
        "2026/[$LATEST]8c9d": ["react_tool_error_handled.verbose"],
    },
}
STEP_US = 90_000
"""Time between two printed lines."""


def put(logs: Any, now_us: int) -> int:
    """Create the groups and put the records, all of the last minutes; return how many there are.

    ``logs`` is a boto3 client of CloudWatch Logs.
    """
    framing = _framing()
    records = 0
    for group, streams in STREAMS.items():
        logs.create_log_group(logGroupName=group)
        printed = {
            stream: [
                record
                for number, name in enumerate(names)
                for record in framing.frame(
                    _printed(name),
                    request_id=f"{len(group):08d}-0000-4000-8000-{sum(map(ord, stream)):08d}{number:04d}",
                    start_us=now_us - 200_000_000 + number * 60_000_000,
                    step_us=STEP_US,
                )
            ]
            for stream, names in streams.items()
        }
        merged = framing.interleave(printed, seed=7)
        for stream in streams:
            logs.create_log_stream(logGroupName=group, logStreamName=stream)
        # In the order of time, a few lines of each stream at once: the way they arrive.
        for start in range(0, len(merged), 50):
            for stream in streams:
                chunk = [(at, text) for name, at, text in merged[start : start + 50] if name == stream]
                records += _put(logs, group, stream, chunk)
    logs.create_log_group(logGroupName=SHOP)
    for stream, lines in {"shop/1": _json_lines(), "shop/2": _plain_lines()}.items():
        logs.create_log_stream(logGroupName=SHOP, logStreamName=stream)
        start = now_us - 150_000_000
        records += _put(logs, SHOP, stream, [(start + n * 700_000, line) for n, line in enumerate(lines)])
    return records


def _put(logs: Any, group: str, stream: str, records: list[tuple[int, str]]) -> int:
    if records:
        events = [{"timestamp": at // 1000, "message": text} for at, text in records]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)
    return len(records)


def _printed(name: str) -> str:
    recording = json.loads((RECORDINGS / "langchain" / f"{name}.json").read_text(encoding="utf-8"))
    return str(recording["stdout"])


def _framing() -> ModuleType:
    """Load the module beside the recordings by its path: ``tests`` is no package."""
    spec = importlib.util.spec_from_file_location("lambda_framing", RECORDINGS / "lambda_framing.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _json_lines() -> list[str]:
    lines = []
    for order in range(1, 16):
        line: dict[str, Any] = {"level": "info", "msg": f"order {order} priced", "order": {"id": order, "total": 9.5}}
        if order % 5 == 0:
            line |= {"level": "error", "msg": f"payment of order {order} declined", "error.type": "CardDeclined"}
        lines.append(json.dumps(line | {"session_id": f"basket-{order % 3}"}))
    return lines


def _plain_lines() -> list[str]:
    lines = [f"2026-01-01 10:00:{second:02d},000 INFO shop.stock: {40 - second} lamps left" for second in range(10)]
    return [*lines, "FATAL stock database unreachable: connection refused", "ERROR order 7 could not be shipped"]
