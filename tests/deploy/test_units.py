"""The systemd units: systemd itself reads them."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.image_steps import ROOT

UNITS = sorted((ROOT / "deploy" / "systemd").glob("*.service"))


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_its_command_is_one(unit: Path) -> None:
    (command,) = re.findall(r"^ExecStart=/opt/vectadb/bin/(.*)$", unit.read_text(), re.MULTILINE)
    program, action, *_ = shlex.split(command)
    told = subprocess.run(
        [Path(sys.executable).parent / program, action, "--help"], capture_output=True, timeout=60, check=False
    )
    assert told.returncode == 0


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
def test_systemd_takes_it(unit: Path, tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd is not installed here")
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/vectadb/bin", str(Path(sys.executable).parent)))
    done = subprocess.run(
        [analyze, "verify", "--man=no", copy], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert unit.name not in done.stderr
