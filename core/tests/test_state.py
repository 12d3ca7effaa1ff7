"""The state directory: locked, durable, bounded, and clear about what is wrong with it."""

from __future__ import annotations

import contextlib
import json
import os
import random
import sqlite3
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent import state as states
from vectadb_agent.errors import StateError
from vectadb_agent.state import State
from vectadb_agent.stateschema import transaction

if TYPE_CHECKING:
    from collections.abc import Iterator

DIGEST = 2**128


def key(time: int) -> bytes:
    return time.to_bytes(16, "big")


def save(state: State, position: int, times: list[int], forget_before: int | None = None) -> None:
    state.save(
        "p",
        "/g",
        checkpoint={"position": position},
        delivered=[(time, key(time), 1) for time in times],
        forget_before=forget_before,
    )


def test_what_was_saved_is_there_after_reopening(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        save(state, 7, [1, 2, 3])
    with State(tmp_path) as state:
        assert state.checkpoints("p") == {"/g": {"position": 7}}
        assert state.checkpoints("other") == {}
        assert state.delivered("p", "/g", 2, 3) == {key(2): 1, key(3): 1}
        assert state.ledger_end("p", "/g") == 3
        assert state.ledger_end("p", "/h") is None
        assert state.ledger_edge("p", "/g") is None


def test_lanes_have_checkpoints_of_their_own(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        save(state, 1, [])
        for lane in ("sweep 300", "sweep 3600", "backfill 0"):
            state.save("p", "/g", lane=lane, checkpoint={"lane": lane})
        state.save("p", "/h", lane="sweep 300", checkpoint={"lane": "of h"})
        state.save("q", "/g", lane="sweep 300", checkpoint={"lane": "of q"})
        assert state.checkpoints("p") == {"/g": {"position": 1}}
        assert state.checkpoints("p", "sweep 300") == {"/g": {"lane": "sweep 300"}, "/h": {"lane": "of h"}}
        assert set(state.lanes("p", "sweep ")) == {("/g", "sweep 300"), ("/g", "sweep 3600"), ("/h", "sweep 300")}
        assert set(state.lanes("p", "")) >= {("/g", ""), ("/g", "backfill 0")}
        state.drop_lanes("p", "sweep ")
        assert set(state.lanes("p", "")) == {("/g", ""), ("/g", "backfill 0")}
        assert set(state.lanes("q", "")) == {("/g", "sweep 300")}


def test_a_delivered_record_s_size_is_the_latest_one_told(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.save("p", "/g", delivered=[(5, key(5), 1), (6, key(6), 0)])
        state.save("p", "/g", delivered=[(5, key(5), 4)])
        assert state.delivered("p", "/g", 0, 9) == {key(5): 4, key(6): 0}
        assert state.checkpoints("p") == {}


def test_the_ledger_forgets_what_will_not_come_again(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        save(state, 1, [1, 2, 3])
        save(state, 2, [4], forget_before=3)
        assert set(state.delivered("p", "/g", 0, 9)) == {key(3), key(4)}
        assert state.ledger_edge("p", "/g") is None


def test_the_ledger_is_bounded_by_rows_and_says_what_it_forgot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(states, "LEDGER_ROWS", 8)
    with State(tmp_path) as state:
        for position in range(20):
            save(state, position, [position * 2, position * 2 + 1])
        left = set(state.delivered("p", "/g", 0, 100))
        assert 8 <= len(left) <= 10
        assert key(39) in left
        edge = state.ledger_edge("p", "/g")
        assert edge is not None
        assert left == {key(time) for time in range(edge + 1, 40)}
    with State(tmp_path) as state:
        assert state.ledger_edge("p", "/g") == edge
    for time in range(40, 60):
        # Many short runs must not outgrow the bound either.
        with State(tmp_path) as state:
            save(state, 99, [time])
            assert len(state.delivered("p", "/g", 0, 100)) == 8


def test_a_job_s_progress_is_kept_until_it_is_dropped(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        assert state.job("p", "backfill") is None
        state.save_job("p", "backfill", {"since": 1, "done": [True, False]})
        state.save_job("p", "backfill", {"since": 1, "done": [True, True]})
        assert state.job("p", "backfill") == {"since": 1, "done": [True, True]}
        assert state.job("q", "backfill") is None
        state.drop_job("p", "backfill")
        assert state.job("p", "backfill") is None


@given(st.lists(st.dictionaries(st.integers(0, 3), st.tuples(st.integers(-5, 9), st.integers(0, DIGEST)), max_size=3)))
def test_what_was_not_sent_adds_up(notes: list[dict[int, tuple[int, int]]]) -> None:
    with tempfile.TemporaryDirectory() as directory, State(Path(directory)) as state:
        expected: dict[int, tuple[int, int]] = {}
        for number, hours in enumerate(notes):
            if number % 2:
                state.note_unsent("p", "/g", hours)
            else:
                state.save("p", "/g", unsent=hours)
            state.note_unsent("p", "/h", hours)
            for hour, (count, digest) in hours.items():
                before = expected.get(hour, (0, 0))
                expected[hour] = (before[0] + count, (before[1] + digest) % DIGEST)
        assert state.unsent("p", "/g", 0, 3) == expected
        assert state.unsent("p", "/g", 1, 2) == {hour: total for hour, total in expected.items() if hour in (1, 2)}


# Who may have it


HOLDER = (
    "import sys,pathlib;from vectadb_agent.state import State\n"
    "with State(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


@contextlib.contextmanager
def held(directory: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        yield other
        other.kill()


def test_a_second_agent_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    with held(tmp_path) as other, pytest.raises(StateError, match=rf"process {other.pid}\)"), State(tmp_path):
        pass
    with State(tmp_path) as state:
        assert state.checkpoints("p") == {}


def test_a_command_works_beside_a_running_agent(tmp_path: Path) -> None:
    with held(tmp_path), State(tmp_path, exclusive=False) as state:
        state.save("p", "/g", lane="backfill 0", checkpoint={"n": 1})
    with State(tmp_path) as state:
        assert state.checkpoints("p", "backfill 0") == {"/g": {"n": 1}}


def test_a_command_makes_nothing_and_says_where_it_looked(tmp_path: Path) -> None:
    for directory in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(StateError, match=f"agent.state_dir {directory}: .*Run `vectadb-agent run` first"):
            State(directory, exclusive=False).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_backfill_may_come_before_the_agent(tmp_path: Path) -> None:
    with State(tmp_path / "new", exclusive=False, create=True) as state:
        state.save("p", "/g", lane="backfill 0", checkpoint={"n": 1})
    with State(tmp_path / "new") as state:
        assert state.checkpoints("p", "backfill 0") == {"/g": {"n": 1}}


def test_only_the_owner_can_read_any_of_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        with State(tmp_path / "state") as state:
            save(state, 1, [1])
            modes = {
                path.name: stat.S_IMODE(path.stat().st_mode)
                for path in [tmp_path / "state", *(tmp_path / "state").iterdir()]
            }
    finally:
        os.umask(before)
    assert modes == {"state": 0o700, "lock": 0o600, "state.db": 0o600, "state.db-wal": 0o600, "state.db-shm": 0o600}


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="Name a directory"), State(tmp_path / "file" / "state"):
        pass


def test_a_read_only_directory_is_refused_with_the_remedy() -> None:
    # Not below tmp_path, through which only the owner may pass: root acts as somebody else here.
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        for existing in (False, True):
            directory = Path(place) / f"state-{existing}"
            directory.mkdir()
            if existing:
                with State(directory) as state:
                    save(state, 1, [])
                for path in directory.iterdir():
                    path.chmod(0o666)
            directory.chmod(0o555)
            with nobody(), pytest.raises(StateError, match=f"{directory}") as told:
                State(directory).__enter__()
            assert "this user may write to" in str(told.value)
            assert not list(directory.glob("*damaged*"))


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    me = os.geteuid()
    if me != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(me)


# What a death or a full disk leaves


SAVER = """
import sys, pathlib
from vectadb_agent.state import State
with State(pathlib.Path(sys.argv[1])) as state:
    n = state.checkpoints("p").get("/g", {"n": 0})["n"]
    while True:
        n += 1
        state.save("p", "/g", checkpoint={"n": n}, delivered=[(n, n.to_bytes(16, "big"), 1)], unsent={0: (1, n)})
        state.save("p", "/g", lane="sweep", checkpoint={"n": n})
        print(n, flush=True)
"""


def test_killed_in_mid_write_it_is_whole_and_holds_what_was_saved(tmp_path: Path) -> None:
    choose = random.Random(3)
    told = 0
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, "-c", SAVER, str(tmp_path)], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            for _ in range(choose.randrange(1, 60)):
                told = int(process.stdout.readline())
            process.kill()
            rest = [line for line in process.stdout.read().split("\n")[:-1] if line]
            told = int(rest[-1]) if rest else told
        with State(tmp_path) as state:
            reached = state.checkpoints("p")["/g"]["n"]
            assert reached >= told
            # One transaction: the checkpoint, the ledger and the tally agree.
            assert set(state.delivered("p", "/g", 0, 10**9)) == {key(n) for n in range(1, reached + 1)}
            assert state.unsent("p", "/g", 0, 0) == {0: (reached, reached * (reached + 1) // 2)}
            assert state.checkpoints("p", "sweep")["/g"]["n"] in (reached - 1, reached)
    assert not list(tmp_path.glob("*damaged*"))


FULL_DISK = """
import json, pathlib, resource, sqlite3, sys
from vectadb_agent.state import State
directory = pathlib.Path(sys.argv[1])
saved = failed = 0
def save(n):
    rows = [(n * 100 + i, (n * 100 + i).to_bytes(16, "big"), 1) for i in range(100)]
    state.save("p", "/g", checkpoint={"n": n}, delivered=rows)
with State(directory) as state:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    save(1)
    saved = 1
    most = max(path.stat().st_size for path in directory.iterdir()) + 50_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
    while failed < 5:
        try:
            save(saved + 1)
            saved += 1
        except sqlite3.Error as error:
            failed += 1
    told = state.checkpoints("p")["/g"]["n"], len(state.delivered("p", "/g", 0, 10**9))
    resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    save(saved + 1)
    after = state.checkpoints("p")["/g"]["n"], len(state.delivered("p", "/g", 0, 10**9))
print(json.dumps([saved, told, after]))
"""


def test_a_full_disk_fails_the_save_and_nothing_else(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    saved, told, after = json.loads(done.stdout)
    assert saved > 1
    # Of the saves that failed nothing is there; the first one after there was space is whole.
    assert told == [saved, saved * 100]
    assert after == [saved + 1, (saved + 1) * 100]
    with State(tmp_path) as state:
        assert state.checkpoints("p") == {"/g": {"n": saved + 1}}
    assert not list(tmp_path.glob("*damaged*"))


def test_a_commit_that_fails_leaves_no_transaction_open() -> None:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        db.execute("PRAGMA foreign_keys = ON")
        db.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)")
        db.execute("CREATE TABLE b (a INTEGER REFERENCES a DEFERRABLE INITIALLY DEFERRED)")
        for _ in range(2):
            with pytest.raises(sqlite3.IntegrityError), transaction(db):
                db.execute("INSERT INTO b VALUES (1)")  # found at the commit
            assert not db.in_transaction
        with transaction(db):
            db.execute("INSERT INTO a VALUES (1)")


def test_a_failed_transaction_leaves_nothing_behind(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        with pytest.raises(TypeError):
            state.save("p", "/g", checkpoint={"a": 1}, delivered=[(1, object(), 1)])  # type: ignore[list-item]
        assert state.checkpoints("p") == {}
        save(state, 1, [1])
        assert state.checkpoints("p") == {"/g": {"position": 1}}
