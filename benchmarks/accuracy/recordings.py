"""The recordings, in one shape, whichever generator made them: see ``tests/recordings/README.md``."""

from __future__ import annotations

import json
import re
import uuid
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.accuracy.framing import BARE, NAMING

RECORDINGS = Path(__file__).parents[2] / "tests" / "recordings"
HELD_OUT = RECORDINGS / "held_out"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LANGCHAIN_RUNS = ("AgentExecutor", "LangGraph")


@dataclass(frozen=True)
class Recording:
    """What one run printed, and what its framework's callbacks said of it.

    ``lines``: for each line of ``text`` the event types that are right for it, ``["*"]`` for any; ``None`` where nobody
    has labelled them. ``calls``, ``runs``, ``models``: see the README.
    """

    framework: str
    name: str
    held_out: bool
    text: str
    lines: list[list[str]] | None
    calls: list[dict[str, Any]]
    runs: list[dict[str, Any]]
    models: list[dict[str, Any]]
    answer: str | None

    @property
    def key(self) -> str:
        """A name that no other recording has."""
        return f"{self.framework}/{'held_out/' if self.held_out else ''}{self.name}"


def read(frameworks: set[str] | None = None) -> list[Recording]:
    """All recordings, or those of some frameworks."""
    found: list[Recording] = []
    for half in (RECORDINGS, HELD_OUT):
        for folder in sorted(path for path in half.iterdir() if path.is_dir() and path != HELD_OUT):
            if frameworks is None or folder.name in frameworks:
                found += [_read(path, half == HELD_OUT) for path in sorted(folder.glob("*.json"))]
    return found


def _read(path: Path, held_out: bool) -> Recording:
    written = path.read_text(encoding="utf-8")
    if path.parent.name in BARE | NAMING:
        place = path.relative_to(RECORDINGS).as_posix()
        # Recordings of one generator tell the same ids of requests: they were not made to be read together.
        written = _UUID.sub(lambda found: str(uuid.uuid5(uuid.NAMESPACE_URL, f"{place} {found[0]}")), written)
    told = json.loads(written)
    if "stdout" in told:
        return _langchain(path, told, held_out)
    truth = told["truth"]
    return Recording(
        framework=path.parent.name,
        name=path.stem,
        held_out=held_out,
        text=told["text"],
        lines=told["lines"],
        calls=truth["calls"],
        runs=truth["runs"],
        models=truth["models"],
        answer=truth["answer"] if truth["answer_printed"] == "full" else None,
    )


def _langchain(path: Path, told: dict[str, Any], held_out: bool) -> Recording:
    """The older format, whose truth is the callbacks themselves."""
    verbose = told["format"] == "verbose"
    above: dict[str, str | None] = {}
    runs: list[dict[str, Any]] = []
    numbers: dict[str, int] = {}
    actions: dict[str | None, deque[dict[str, Any]]] = {}
    calls: dict[str, dict[str, Any]] = {}
    models: list[dict[str, Any]] = []
    asked: dict[str, dict[str, Any]] = {}
    answer = None
    agents = {*_LANGCHAIN_RUNS, *told.get("agents", ())}

    def agent_around(run: str | None) -> int | None:
        while run is not None and run not in numbers:
            run = above.get(run)
        return None if run is None else numbers[run]

    for seen in told["truth"]["callbacks"]:
        run, parent = seen["run_id"], seen["parent_run_id"]
        above[run] = parent
        kind = seen["event"]
        if kind == "chain_start" and seen["name"] in agents:
            within = agent_around(parent)
            told_by_name = not verbose or "printed_name" not in seen
            runs.append({"kind": "agent", "name": seen["name"], "within": within, "printed": told_by_name})
            numbers[run] = len(runs) - 1
            if within is None:
                answer = None  # that of the question before
        elif kind == "agent_action":
            actions.setdefault(run, deque()).append(seen)
        elif kind == "tool_start":
            announced = actions.get(parent)
            action = announced.popleft() if announced else None
            if seen["name"] == "invalid_tool" and not verbose:
                continue
            told_of = action if verbose and action is not None else None
            arguments = seen["input"].strip() if seen["inputs"] is None else seen["inputs"]
            calls[run] = {
                "name": told_of["tool"] if told_of else seen["name"],
                "arguments": told_of["tool_input"] if told_of else arguments,
                "result": None,
                "id": None,
                "within": agent_around(parent),
                "printed": {"arguments": "full", "result": "absent"},
            }
            if not verbose and seen["inputs"] is not None and parent is None:
                calls[run]["printed"]["arguments"] = "absent"  # no model asked for it, and no start is printed
            if verbose and action is None:  # no agent's: a result alone is printed, a ToolMessage with its tool's name
                calls[run]["printed"] |= {"name": "absent", "arguments": "absent"}
        elif kind == "tool_end" and run in calls:
            output = seen["output"]
            calls[run]["result"] = output if verbose else output.strip()
            calls[run]["printed"]["result"] = "full"
            if "printed" in seen:
                calls[run]["printed"]["name"] = "full"
        elif kind == "llm_start" and not verbose:
            asked[run] = {"model": None, "input_tokens": None, "output_tokens": None}
            asked[run]["printed"] = {"call": True, "tokens": False, "model": False}
            models.append(asked[run])
        elif kind == "llm_end" and run in asked:
            asked[run] |= {key: seen[key] for key in ("model", "input_tokens", "output_tokens")}
            asked[run]["printed"] = {"call": True, "tokens": seen["input_tokens"] is not None, "model": True}
        elif kind == "agent_finish" and verbose and seen["log"] and isinstance(seen["output"], str):
            answer = seen["output"] if runs[numbers[run]]["within"] is None else answer
    return Recording("langchain", path.stem, held_out, told["stdout"], None, list(calls.values()), runs, models, answer)
