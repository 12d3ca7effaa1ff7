"""Recordings of formats that no package prints: scenario data makes the records and, apart from them, the truth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORDINGS = Path(__file__).resolve().parent
MAX_BYTES = 200_000


class Documented:
    """What happens in a scenario, in the shape of the recordings."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.runs: list[dict[str, Any]] = []
        self.models: list[dict[str, Any]] = []
        self.answer: str | None = None
        self.failed = False

    def call(
        self,
        name: str,
        arguments: Any,
        result: Any,
        error: str | None,
        id_: str,
        within: int | None = None,
        how: str = "full",
    ) -> None:
        """A tool is called; ``how``: whether its words are logged."""
        told = {"name": name, "arguments": arguments, "result": result, "error": error, "id": id_, "within": within}
        self.calls.append(told | {"printed": {"name": "full", "arguments": how, "result": how}})

    def run(self, kind: str, name: str, within: int | None = None, error: str | None = None) -> int:
        """A run; returns its number."""
        told = {"kind": kind, "name": name, "within": within, "error": error, "interrupted": False, "printed": True}
        self.runs.append(told)
        return len(self.runs) - 1

    def model(self, name: str, sent: int | None, received: int | None, within: int | None = None) -> None:
        """A model is called; ``None`` tokens where it failed."""
        printed = {"call": True, "tokens": sent is not None, "model": True}
        told = {"model": name, "input_tokens": sent, "output_tokens": received, "within": within, "printed": printed}
        self.models.append(told)


def write(
    framework: str,
    name: str,
    shows: str,
    pages: dict[str, str],
    records: list[tuple[str, set[str]]],
    told: Documented,
    *,
    held_out: bool,
) -> None:
    """Write one recording: ``records`` are lines, each with the event types that it may be taken for.

    Raises:
        ValueError: it is too large.
    """
    document = {
        "framework": framework,
        "scenario": name,
        "versions": pages,
        "shows": shows,
        "text": "".join(f"{line}\n" for line, _ in records),
        "truth": {
            "calls": told.calls,
            "runs": told.runs,
            "models": told.models,
            "answer": told.answer,
            "answer_printed": "absent" if told.answer is None else "full",
            "failed": told.failed,
        },
        "lines": [sorted(types) for _, types in records],
    }
    folder = RECORDINGS / "held_out" / framework if held_out else RECORDINGS / framework
    folder.mkdir(parents=True, exist_ok=True)
    body = json.dumps(document, ensure_ascii=False, indent=1) + "\n"
    if len(body.encode()) > MAX_BYTES:
        raise ValueError(f"{framework}/{name}: {len(body.encode())} bytes, more than {MAX_BYTES}")
    (folder / f"{name}.json").write_text(body, encoding="utf-8")
    print(f"{framework}/{name}: {len(records)} records, {len(body.encode())} bytes")
