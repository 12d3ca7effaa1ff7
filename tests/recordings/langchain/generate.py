"""Record what LangChain really prints, beside the truth told by its own callbacks.

Run by hand, offline, in an environment of its own::

    python -m venv /tmp/langchain && /tmp/langchain/bin/pip install -r requirements.txt
    /tmp/langchain/bin/python generate.py [scenario ...]

Every scenario runs the real framework with a scripted model, once as ``verbose`` (the StdOut
callbacks) and once as ``debug`` (``set_debug(True)``), and writes ``<scenario>.<format>.json``;
those of ``held_out_*.py`` go to the half held out.

The text is verbatim but for one thing: the folders of Python, of the installed packages and of this
file are written as a Lambda has them (``/var/lang/...``, ``/var/task``), because tracebacks name
them. Durations and the few ids that LangChain invents differ from run to run.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import logging
import os
import platform
import sys
import sysconfig
import traceback
import warnings
from pathlib import Path
from typing import Any

os.environ["LANGSMITH_TRACING"] = "false"
sys.path.insert(0, str(Path(__file__).parents[1]))

import held_out_agents
import held_out_chains
import held_out_create_agent
import open_classic
import open_half
import open_named
import open_results
import open_runs
from langchain_core.globals import set_debug
from scenario import Format, Scenario
from tape import Killed, Tape
from truth import Truth, failure

HERE = Path(__file__).resolve().parent
MAX_BYTES = 200_000
HALVES: dict[Path, list[Scenario]] = {
    HERE: [*open_half.HALF, *open_classic.HALF, *open_named.HALF, *open_results.HALF, *open_runs.HALF],
    HERE.parent / "held_out" / "langchain": [
        *held_out_agents.HALF,
        *held_out_chains.HALF,
        *held_out_create_agent.HALF,
    ],
}


def as_on_lambda(text: str) -> str:
    """Write this machine's folders as a Lambda's."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folders = {
        sysconfig.get_path("purelib"): "/var/task",
        sysconfig.get_path("platlib"): "/var/task",
        sysconfig.get_path("stdlib"): f"/var/lang/lib/{version}",
        str(HERE): "/var/task",
    }
    for folder, replacement in folders.items():
        text = text.replace(folder, replacement)
    return text


def text_of(printed: Tape) -> str:
    """All that was printed."""
    return "".join(text for text, _ in printed.pieces)


class Logged(logging.Handler):
    """Keeps what LangChain logs (it goes to stderr) with its place in the printed text."""

    def __init__(self, printed: Tape) -> None:
        """Watch the text that grows on ``printed``."""
        super().__init__(logging.WARNING)
        self.printed = printed
        self.records: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record: ``at`` counts the characters printed before it."""
        if self.printed.is_cut:
            return
        at = len(as_on_lambda(text_of(self.printed)))
        message = as_on_lambda(record.getMessage())
        self.records.append({"at": at, "level": record.levelname, "logger": record.name, "message": message})


def record(item: Scenario, form: Format) -> dict[str, Any]:
    """Run a scenario in one format; give what was printed and what happened."""
    printed = Tape()
    truth = Truth(printed)
    raised: dict[str, str] | None = None
    logged = Logged(printed)
    logging.getLogger().addHandler(logged)
    set_debug(form == "debug")
    try:
        with contextlib.redirect_stdout(printed), contextlib.suppress(Killed):
            try:
                item.run(form == "verbose", {"callbacks": [truth]})
            except item.raises as error:  # as a handler does: print, and let the invocation fail
                traceback.print_exc(file=sys.stdout)
                raised = failure(error)
    finally:
        set_debug(False)
        logging.getLogger().removeHandler(logged)
    if bool(item.raises) != bool(raised) or item.killed != printed.is_cut:
        raise ValueError(f"{item.name}: should have died otherwise")
    packages = ("langchain", "langchain-classic", "langchain-core")
    recording = {
        "scenario": item.name,
        "format": form,
        "shows": item.shows,
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in packages},
        **({"agents": list(item.agents)} if item.agents else {}),
        "stdout": as_on_lambda(text_of(printed)),
        "logged": logged.records,
        "truth": {"raised": raised, "callbacks": truth.callbacks},
    }
    if form == "verbose":
        check_order(recording)
    return recording


def check_order(recording: dict[str, Any]) -> None:
    """Refuse a recording whose verbose text does not hold the truth's texts in the truth's order."""
    printed, at = recording["stdout"], 0
    agents = {callback["run_id"] for callback in recording["truth"]["callbacks"] if callback["event"] == "agent_action"}
    for callback in recording["truth"]["callbacks"]:
        if callback["event"] in {"agent_action", "agent_finish"}:
            expected = callback["log"]
        elif callback["event"] == "tool_end" and callback["parent_run_id"] in agents:
            expected = callback["output"]
        else:
            continue
        found = printed.find(expected, at)
        if found < 0:
            raise ValueError(f"{recording['scenario']}: not printed in order: {expected[:200]!r}")
        at = found + len(expected)


def main() -> None:
    """Record all scenarios, or those named."""
    parser = argparse.ArgumentParser(description="Record LangChain's printed output.")
    parser.add_argument("scenarios", nargs="*", help="names; all when none is given")
    parser.add_argument("--to", type=Path, help="folder to write to, instead of the halves' own")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    known = {item.name for half in HALVES.values() for item in half}
    if unknown := set(chosen.scenarios) - known:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    for folder, half in HALVES.items():
        for item in half:
            if chosen.scenarios and item.name not in chosen.scenarios:
                continue
            for form in item.formats:
                write(item, form, chosen.to or folder)


def write(item: Scenario, form: Format, folder: Path) -> None:
    """Record one scenario in one format into a file of the folder."""
    text = json.dumps(record(item, form), indent=2, ensure_ascii=False) + "\n"
    data = as_on_lambda(text).encode()
    if len(data) >= MAX_BYTES:
        raise ValueError(f"{item.name} ({form}): {len(data)} bytes, limit {MAX_BYTES}")
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{item.name}.{form}.json"
    path.write_bytes(data)
    print(f"{path.name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
