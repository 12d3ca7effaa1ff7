"""The state directory: locked, durable, bounded, and clear about what is wrong with it."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from vectadb_agent import state as states
from vectadb_agent.errors import StateError
from vectadb_agent.state import State

if TYPE_CHECKING:
    from pathlib import Path


def save(state: State, position: int, times: list[int], forget_before: int | None = None) -> None:
    state.save(
        "p",
        "/g",
        checkpoint={"position": position},
        delivered=[(time, time.to_bytes(16, "big")) for time in times],
        forget_before=forget_before,
    )


def test_what_was_saved_is_there_after_reopening(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        save(state, 7, [1, 2, 3])
    with State(tmp_path) as state:
        assert state.checkpoints("p") == {"/g": {"position": 7}}
        assert state.checkpoints("other") == {}
        assert state.delivered("p", "/g", 2, 3) == {(2).to_bytes(16, "big"), (3).to_bytes(16, "big")}
        assert state.ledger_end("p", "/g") == 3
        assert state.ledger_end("p", "/h") is None


def test_the_ledger_forgets_what_will_not_come_again(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        save(state, 1, [1, 2, 3])
        save(state, 2, [4], forget_before=3)
        assert state.delivered("p", "/g", 0, 9) == {(3).to_bytes(16, "big"), (4).to_bytes(16, "big")}


def test_the_ledger_is_bounded_by_rows_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "LEDGER_ROWS", 8)
    with State(tmp_path) as state:
        for position in range(20):
            save(state, position, [position * 2, position * 2 + 1])
        assert 8 <= len(state.delivered("p", "/g", 0, 100)) <= 10
        assert (39).to_bytes(16, "big") in state.delivered("p", "/g", 0, 100)


def test_a_second_agent_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    script = (
        "import sys,pathlib;from vectadb_agent.state import State\n"
        "with State(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StateError, match=f"process {other.pid}"), State(tmp_path):
            pass
        other.kill()
    with State(tmp_path) as state:
        assert state.checkpoints("p") == {}


def test_a_newer_or_damaged_file_is_refused_with_the_remedy(tmp_path: Path) -> None:
    with State(tmp_path):
        pass
    db = sqlite3.connect(tmp_path / "state.db")
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(StateError, match="newer vectadb-agent"), State(tmp_path):
        pass
    for leftover in tmp_path.glob("state.db*"):
        leftover.write_bytes(b"no database at all" * 100)
    with pytest.raises(StateError, match="move it away"), State(tmp_path):
        pass


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="Name a directory"), State(tmp_path / "file" / "state"):
        pass


def test_a_failed_transaction_leaves_nothing_behind(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        with pytest.raises(sqlite3.Error):
            state.save("p", "/g", checkpoint={"a": 1}, delivered=[(1, object())], forget_before=None)  # type: ignore[list-item]
        assert state.checkpoints("p") == {}
        save(state, 1, [1])
