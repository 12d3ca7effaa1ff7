"""``vectadb-agent plugins new``; that what it writes installs and passes its tests, ``tests/packages`` tries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_agent.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_what_cannot_be_is_refused_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> str:
        assert main(["plugins", "new", *arguments, "--in", str(tmp_path)]) == 2
        return capsys.readouterr().err

    assert "vectadb-agent plugins new logfmt --kind parser" in told("logfmt")
    assert "found 'Log Fmt'" in told("Log Fmt", "--kind", "parser")
    assert main(["plugins", "new", "logfmt", "--kind", "parser", "--in", str(tmp_path)]) == 0
    assert "Next: cd " in capsys.readouterr().out
    assert "exists already" in told("logfmt", "--kind", "sink")
