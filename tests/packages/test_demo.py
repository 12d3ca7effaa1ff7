"""The demo, end to end, by programs that were installed from wheels: none of this tree's code is in reach."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from .conftest import ROOMS, ROOT, distribution, new

if TYPE_CHECKING:
    from pathlib import Path


def test_the_demo_runs_on_what_was_installed(wheels: Path, tmp_path: Path) -> None:
    environment = new(tmp_path / "environment", wheels, *map(distribution, ROOMS))
    environment.install("moto[logs,server]")  # the emulated CloudWatch is the demo's own, not the agent's
    shutil.copytree(ROOT / "demo", tmp_path / "demo")
    for name in ("langchain", "lambda_framing.py"):
        source, target = ROOT / "tests" / "recordings" / name, tmp_path / "tests" / "recordings" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [environment.bin / "python", "-m", "demo", "--once"],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    summary = json.loads(done.stdout.splitlines()[-1])
    assert summary["lost"] == summary["duplicates"] == 0
    assert summary["traces"] > 5
    assert summary["tool_calls"] > 10
