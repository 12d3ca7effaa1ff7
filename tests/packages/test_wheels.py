"""What is built is whole: in an environment of wheels alone every program starts, and every plugin of ours is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Environment


def test_programs_and_plugins_are_there(installed: Environment, tmp_path: Path) -> None:
    for program in ("vectadb-agent", "vectadb"):
        told = installed.run(program, "--version", cwd=tmp_path)
        assert told.returncode == 0, told.stderr
        assert told.stdout.startswith(program)
    listed = installed.run("vectadb-agent", "plugins", cwd=tmp_path)
    assert listed.returncode == 0, listed.stdout
    for name in ("cloudwatch", "parsers", "processors", "sinks"):
        assert f"vectadb-agent-{name} 0.1.0" in " ".join(listed.stdout.split())
