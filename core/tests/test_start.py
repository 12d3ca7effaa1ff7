"""Commands that need no library import none: how fast that is `make bench ARGS=start` says."""

from __future__ import annotations

import subprocess
import sys

import pytest

import vectadb_agent

PROGRAM = """
import sys
import vectadb_agent
from vectadb_agent import cli
try:
    cli.main(["--help"])
except SystemExit:
    pass
print(*(name for name in ("pydantic", "anyio", "rich", "pluggy", "yaml") if name in sys.modules), file=sys.stderr)
"""


def test_help_imports_no_library_that_takes_long() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert "usage: vectadb-agent" in done.stdout
    assert done.stderr.split() == []


def test_every_public_name_is_there_and_others_are_told() -> None:
    assert all(getattr(vectadb_agent, name) is not None for name in vectadb_agent.__all__)
    assert {*vectadb_agent.__all__} <= {*vars(vectadb_agent)}, "a name is looked up once"
    with pytest.raises(AttributeError, match="'vectadb_agent' has no attribute 'Sourc'; it has AgentReport, Batch"):
        _ = vectadb_agent.Sourc
