"""``vectadb-agent plugins new``: what it writes is a whole package, which installs, passes its tests and is found."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vectadb_agent.cli import main
from vectadb_agent.host import KINDS

if TYPE_CHECKING:
    from pathlib import Path


PROGRAM = "import sys; from vectadb_agent.cli import main; sys.exit(main())"


def run(*command: str | Path, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    more = {} if path is None else {"PYTHONPATH": str(path)}
    arguments = [sys.executable, *map(str, command)]
    return subprocess.run(
        arguments, cwd=cwd, env={**os.environ, **more}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_installs_passes_its_tests_and_is_found(kind: str, tmp_path: Path) -> None:
    assert main(["plugins", "new", f"my-{kind}", "--kind", kind, "--in", str(tmp_path)]) == 0
    package, target = tmp_path / f"vectadb-agent-my-{kind}", tmp_path / "installed"
    # Neither isolation nor dependencies: both would ask a package index.
    installed = run(
        *("-m", "pip", "install", "--quiet", "--no-build-isolation", "--no-deps", "--no-index"),
        *("--disable-pip-version-check", "--target", target, package),
        cwd=tmp_path,
    )
    assert installed.returncode == 0, installed.stderr
    tested = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=package, path=target)
    assert tested.returncode == 0, tested.stdout
    assert " passed" in tested.stdout
    listed = run("-c", PROGRAM, "plugins", cwd=tmp_path, path=target)
    assert listed.returncode == 0, listed.stdout
    row = next(line for line in listed.stdout.splitlines() if line.startswith(f"my_{kind} "))
    assert row.split() == [f"my_{kind}", f"vectadb-agent-my-{kind}", "0.1.0", f"{kind}s:", f"my_{kind}"]
    shown = run("-c", PROGRAM, "plugins", "show", f"my_{kind}", cwd=tmp_path, path=target)
    assert shown.stdout.startswith(f"my_{kind} ({kind}, from vectadb-agent-my-{kind})")


def test_what_cannot_be_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> str:
        assert main(["plugins", "new", *arguments, "--in", str(tmp_path)]) == 2
        return capsys.readouterr().err

    assert "vectadb-agent plugins new logfmt --kind parser" in told("logfmt")
    assert "found 'Log Fmt'" in told("Log Fmt", "--kind", "parser")
    assert main(["plugins", "new", "logfmt", "--kind", "parser", "--in", str(tmp_path)]) == 0
    assert "Next: cd " in capsys.readouterr().out
    assert "exists already" in told("logfmt", "--kind", "sink")
