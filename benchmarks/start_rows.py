"""How fast the agent's command line starts: what is waited for at every command."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.table import Row, median

RUNS = 9
_PROGRAM = Path(sys.executable).parent / "vectadb-agent"
_ROWS = (
    ("import", "start: import vectadb_agent", 150, [sys.executable, "-c", "import vectadb_agent"]),
    ("names", "start: import all names of vectadb_agent", None, [sys.executable, "-c", "from vectadb_agent import *"]),
    ("help", "start: vectadb-agent --help", 400, [str(_PROGRAM), "--help"]),
    ("plugins", "start: vectadb-agent plugins", None, [str(_PROGRAM), "plugins"]),
)


def start() -> list[Row]:
    """Milliseconds from start to end of a process, bytecode compiled, Python's own start included."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    rows = []
    for name, what, wanted, command in _ROWS:
        times, before = [], _cpu()
        for _ in range(RUNS + 1):
            began = time.perf_counter()
            subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
            times.append((time.perf_counter() - began) * 1000)
        cpu = (_cpu() - before) / (RUNS + 1)
        del times[0]  # it compiled
        rows.append(
            Row(
                name=f"start {name}",
                what=what,
                measured=median(times),
                unit="ms",
                wanted=wanted,
                at_least=False,
                runs=times,
                note=f"{cpu:.0f} ms of a core",
            )
        )
    return rows


def _cpu() -> float:
    """Milliseconds of a core that all ended processes took."""
    children = os.times()
    return (children.children_user + children.children_system) * 1000
