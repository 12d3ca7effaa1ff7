"""What the agent does with a file that was damaged, or written by another version: it never skips in silence."""

from __future__ import annotations

import contextlib
import json
import logging
import random
import shutil
import sqlite3
import time
from typing import TYPE_CHECKING

import msgspec
import pytest

from vectadb_agent import statefile, statelock
from vectadb_agent.errors import StateError
from vectadb_agent.state import State
from vectadb_agent.stateschema import SCHEMA

if TYPE_CHECKING:
    from pathlib import Path

HOUR = 3_600_000_000
NOW = time.time_ns() // 1000
SAVES = 40
PARTITIONS = ("/a", "/b", "/c")


def fill(directory: Path, *, broken_off: bool = False) -> None:
    """Leave a state directory as a run leaves it; ``broken_off``: as a run that was killed."""
    work = directory.with_name(directory.name + "-work") if broken_off else directory
    with State(work) as state:
        for n in range(SAVES):
            for partition in PARTITIONS:
                rows = [(NOW - HOUR + n * 50 + i, random.Random(n * 50 + i).randbytes(16), 1) for i in range(50)]
                state.save("p", partition, checkpoint={"position": n, "of": partition}, delivered=rows)
        refused = [(f"e{i}", f"reason {i}", {"event_id": f"e{i}", "raw": "x" * 300}) for i in range(30)]
        state.quarantine("p", "s", refused)
        if broken_off:
            shutil.copytree(work, directory)


def aside(directory: Path) -> list[Path]:
    return [path for path in directory.glob("state.db.damaged-*") if not path.name.endswith(("-wal", "-shm"))]


def assert_begins_anew(directory: Path, caplog: pytest.LogCaptureFixture) -> str:
    """The damaged file is moved aside, loudly, and nothing of its checkpoints is used. Returns what was said."""
    caplog.clear()
    with State(directory) as state:
        assert state.checkpoints("p") == {}
        assert state.delivered("p", "/a", 0, NOW * 2) == {}
        state.save("p", "/a", checkpoint={"position": 1})
    (moved,) = aside(directory)
    said = [record for record in caplog.records if "damaged and was moved aside" in record.getMessage()]
    assert [record.levelno for record in said] == [logging.ERROR]
    text = said[0].getMessage()
    assert vars(said[0])["moved_to"] == str(moved)
    assert "start again from their lookback" in text
    assert "vectadb-agent backfill --since" in text
    # Healed: the next start finds nothing wrong.
    caplog.clear()
    with State(directory) as state:
        assert state.checkpoints("p") == {"/a": {"position": 1}}
    assert not caplog.records
    return text


def test_truncated(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, keep in enumerate((0, 100, 4096, 20_000, 0.5, 0.97)):
        directory = tmp_path / str(number)
        fill(directory)
        data = (directory / "state.db").read_bytes()
        (directory / "state.db").write_bytes(data[: keep if isinstance(keep, int) else int(len(data) * keep)])
        assert_begins_anew(directory, caplog)


def test_not_a_database(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, text in enumerate((b"no database at all" * 1000, b"x", b"\0" * 50_000)):
        directory = tmp_path / str(number)
        fill(directory)
        (directory / "state.db").write_bytes(text)
        assert "--since TIME" in assert_begins_anew(directory, caplog)


def test_a_directory_in_its_place(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path / "state")
    (tmp_path / "state" / "state.db").unlink()
    (tmp_path / "state" / "state.db" / "inner").mkdir(parents=True)
    assert_begins_anew(tmp_path / "state", caplog)


def test_a_zeroed_page(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path / "state")
    path = tmp_path / "state" / "state.db"
    data = bytearray(path.read_bytes())
    page = len(data) // 4096 // 2 * 4096
    data[page : page + 4096] = bytes(4096)
    path.write_bytes(data)
    assert_begins_anew(tmp_path / "state", caplog)


@pytest.mark.parametrize("broken_off", [False, True])
def test_flipped_bits(tmp_path: Path, caplog: pytest.LogCaptureFixture, broken_off: bool) -> None:
    """Wherever the bits flip: what is read as a checkpoint is one that was saved, or the loss is said aloud."""
    fill(tmp_path / "good", broken_off=broken_off)
    begun_anew = 0
    refused: list[str] = []
    for seed in range(60):
        choose = random.Random(seed)
        directory = tmp_path / f"{seed}"
        shutil.copytree(tmp_path / "good", directory)
        name = choose.choice(["state.db", "state.db-wal"]) if broken_off else "state.db"
        data = bytearray((directory / name).read_bytes())
        for _ in range(choose.choice((1, 3, 50))):
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        (directory / name).write_bytes(data)
        caplog.clear()
        with contextlib.ExitStack() as stack:
            try:
                state = stack.enter_context(State(directory))
            except StateError as error:
                refused.append(str(error))
                continue
            found = state.checkpoints("p")
            state.save("p", "/a", checkpoint={"position": SAVES})
        if aside(directory):
            begun_anew += 1
            assert found == {}, seed
            assert any(record.levelno == logging.ERROR for record in caplog.records), seed
        elif found or not broken_off:
            # A write-ahead log ends where it is damaged: then these are older, and older is safe.
            newest = {partition: {"position": SAVES - 1, "of": partition} for partition in PARTITIONS}
            assert set(found) <= set(newest), seed
            for partition, checkpoint in found.items():
                assert checkpoint["of"] == partition, seed
                assert checkpoint["position"] in range(SAVES), seed
                assert broken_off or checkpoint == newest[partition], seed
        else:
            # The log was all there was.
            assert any("is gone" in record.getMessage() for record in caplog.records), seed
    assert begun_anew > 5
    assert all("newer vectadb-agent" in text for text in refused)


def test_flipped_bits_in_a_checkpoint_are_seen_though_the_engine_sees_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path)
    db = sqlite3.connect(tmp_path / "state.db")
    db.execute("UPDATE checkpoint SET value = CAST(replace(value, '39', '99') AS BLOB)")
    db.commit()
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()
    with pytest.raises(StateError, match="Restart the agent"), State(tmp_path, exclusive=False) as state:
        state.checkpoints("p")
    assert_begins_anew(tmp_path, caplog)


def test_tables_that_are_not_those_it_made(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path)
    db = sqlite3.connect(tmp_path / "state.db")
    db.execute("DROP TABLE unsent")
    db.close()
    assert_begins_anew(tmp_path, caplog)


def test_a_large_file_is_checked_after_an_unclean_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(statefile, "CHECK_ALWAYS", 0)
    looked: list[bool] = []
    check_pages = statefile._check_pages

    def look(db: sqlite3.Connection) -> None:
        looked.append(True)
        check_pages(db)

    monkeypatch.setattr(statefile, "_check_pages", look)
    fill(tmp_path / "state")
    with State(tmp_path / "state"):
        pass
    assert looked == []
    shutil.copytree(tmp_path / "state", tmp_path / "killed")
    (tmp_path / "killed" / "lock").write_text("12345 running")
    with State(tmp_path / "killed"):
        pass
    assert looked == [True]


def test_deleted_between_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path)
    (tmp_path / "state.db").unlink()
    with pytest.raises(StateError, match="is gone"), State(tmp_path, exclusive=False, create=True):
        pass
    with State(tmp_path) as state:
        assert state.checkpoints("p") == {}
    (said,) = caplog.records
    assert said.levelno == logging.ERROR
    assert "state.db is gone" in said.getMessage()
    assert "backfill --since" in said.getMessage()
    caplog.clear()
    with State(tmp_path):
        pass
    assert not caplog.records


def test_a_first_start_that_was_killed_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "lock").write_text("12345 starting")
    (tmp_path / "state.db").touch()
    with State(tmp_path) as state:
        assert state.checkpoints("p") == {}
    assert not caplog.records


def test_the_write_ahead_log_is_lost(tmp_path: Path) -> None:
    """Then all is older, which costs reading again."""
    fill(tmp_path / "state", broken_off=True)
    (tmp_path / "state" / "state.db-wal").unlink()
    with State(tmp_path / "state") as state:
        for checkpoint in state.checkpoints("p").values():
            assert checkpoint["position"] < SAVES


def test_the_quarantine_is_saved_from_a_damaged_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path)
    path = tmp_path / "state.db"
    db = sqlite3.connect(path)
    (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'ledger'").fetchone()
    db.execute("UPDATE quarantine SET event = CAST('{}' AS BLOB) WHERE event_id = 'e7'")
    db.commit()
    db.close()
    data = bytearray(path.read_bytes())
    data[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    path.write_bytes(data)
    assert_begins_anew(tmp_path, caplog)
    with State(tmp_path) as state:
        assert [entry.event_id for entry in state.kept.entries()] == [f"e{i}" for i in range(30) if i != 7]
        first = state.kept.read(state.kept.entries()[0].id)
        assert first is not None
        assert first.wire == {"event_id": "e0", "raw": "x" * 300}


def test_a_quarantine_that_cannot_be_saved_stays_in_the_old_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)
    damage_in_use(tmp_path)

    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("vectadb_agent.salvage.quarantine", full)
    assert_begins_anew(tmp_path, caplog)


def test_what_was_read_for_certain_is_named_where_it_can_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    behind = NOW - 30 * HOUR
    with State(tmp_path) as state:
        state.save("p", "/a", checkpoint={"n": 1}, delivered=[(NOW - HOUR, b"k" * 16, 1)])
        state.save("p", "/b", checkpoint={"n": 1}, delivered=[(behind, b"k" * 16, 1)])
    db = sqlite3.connect(tmp_path / "state.db")
    db.execute("DROP TABLE job")
    db.close()
    text = assert_begins_anew(tmp_path, caplog)
    since = text.split("--since ")[1].rstrip("`")
    assert since == time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(behind // 1_000_000)) + f".{behind % 1_000_000:06d}Z"


def damage_in_use(directory: Path) -> None:
    path = directory / "state.db"
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


def test_damage_in_the_middle_of_a_run_is_said_once_and_healed_by_a_restart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path)
    with State(tmp_path) as state:
        damage_in_use(tmp_path)
        assert state._db is not None
        state._db.execute("PRAGMA shrink_memory")  # it is found when a page is read, not before
        for _ in range(3):
            with pytest.raises(sqlite3.DatabaseError):
                state.save("p", "/a", checkpoint={"position": 99}, delivered=[(NOW, b"k" * 16, 1)])
        # A ledger that cannot be read has forgotten: the record is offered again, and delivery goes on.
        assert state.delivered("p", "/a", 0, NOW * 2) == {}
        assert state.ledger_end("p", "/a") is None
        with pytest.raises(sqlite3.DatabaseError):
            state.ledger_edge("p", "/a")
        said = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        assert len(said) == 1
        assert "Restart the agent" in said[0]
        with pytest.raises(StateError, match="is damaged"), State(tmp_path, exclusive=False) as beside:
            beside.delivered("p", "/a", 0, NOW * 2)
    assert_begins_anew(tmp_path, caplog)


# Other versions


OLD_TABLES = """
CREATE TABLE checkpoint (pipeline TEXT, partition TEXT, value BLOB, saved_at INTEGER,
                         PRIMARY KEY (pipeline, partition));
CREATE TABLE ledger (pipeline TEXT, partition TEXT, time INTEGER, key BLOB,
                     PRIMARY KEY (pipeline, partition, time, key)) WITHOUT ROWID;
CREATE TABLE quarantine (id INTEGER PRIMARY KEY, at INTEGER, pipeline TEXT, sink TEXT, event_id TEXT, reason TEXT,
                         event BLOB, UNIQUE (pipeline, sink, event_id));
PRAGMA user_version = 1;
"""
OLD_EVENT = {
    "event_id": "e1",
    "event_type": "log",
    "properties": {},
    "source": {
        "system": "cloudwatch",
        "account": "1",
        "region": "eu",
        "log_group": "/g",
        "log_stream": "s",
        "log_id": "i1",
        "timestamp": "2026-01-01T00:00:00.000000Z",
    },
}


def old_file(directory: Path) -> None:
    directory.mkdir(exist_ok=True)
    db = sqlite3.connect(directory / "state.db")
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(OLD_TABLES)
    value = msgspec.json.encode({"watermark": 17})
    db.executemany("INSERT INTO checkpoint VALUES ('p', ?, ?, 5)", [("/g", value), ("/h", value)])
    db.executemany("INSERT INTO ledger VALUES ('p', '/g', ?, ?)", [(i, i.to_bytes(16, "big")) for i in range(1000)])
    db.execute("INSERT INTO ledger VALUES ('q', '/only-ledger', 1, ?)", (b"k" * 16,))
    at = time.time_ns() // 1000
    db.execute("INSERT INTO quarantine VALUES (4, ?, 'p', 's', 'e1', 'why', ?)", (at, json.dumps(OLD_EVENT).encode()))
    db.commit()
    db.close()
    (directory / "lock").write_text("12345")


@pytest.mark.parametrize("beside", [False, True])
def test_older_format_is_migrated(tmp_path: Path, caplog: pytest.LogCaptureFixture, beside: bool) -> None:
    old_file(tmp_path)
    for exclusive in (not beside, True):
        with State(tmp_path, exclusive=exclusive) as state:
            assert state.checkpoints("p") == {"/g": {"watermark": 17}, "/h": {"watermark": 17}}
            assert state.delivered("p", "/g", 0, 999) == {i.to_bytes(16, "big"): 1 for i in range(1000)}
            assert state.ledger_end("q", "/only-ledger") == 1
            (entry,) = state.kept.entries()
            assert (entry.event_id, entry.reason, entry.records) == ("e1", "why", 1)
    assert not caplog.records


def test_older_format_stays_as_it_is_when_the_migration_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_file(tmp_path)
    with monkeypatch.context() as patch:

        def cut(*_: object, **__: object) -> None:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR
            raise error

        patch.setattr("vectadb_agent.quarantine.insert", cut)
        with pytest.raises(StateError, match="disk is full"), State(tmp_path):
            pass
    with State(tmp_path) as state:
        assert state.checkpoints("p") == {"/g": {"watermark": 17}, "/h": {"watermark": 17}}


def test_older_format_under_a_running_older_agent_is_left_alone(tmp_path: Path) -> None:
    old_file(tmp_path)
    lock = statelock.take(tmp_path / "lock")
    with pytest.raises(StateError, match="restart that agent with this version"), State(tmp_path, exclusive=False):
        pass
    lock.release(clean=False)
    db = sqlite3.connect(tmp_path / "state.db")
    assert db.execute("PRAGMA user_version").fetchone() == (1,)
    db.close()


def test_older_format_damaged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old_file(tmp_path)
    damage_in_use(tmp_path)
    assert_begins_anew(tmp_path, caplog)


@pytest.mark.parametrize("exclusive", [True, False])
def test_newer_format_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture, exclusive: bool) -> None:
    fill(tmp_path)
    db = sqlite3.connect(tmp_path / "state.db")
    db.execute(f"PRAGMA user_version = {SCHEMA + 1}")
    db.close()
    before = (tmp_path / "state.db").read_bytes()
    with pytest.raises(StateError, match=f"newer vectadb-agent .*{SCHEMA + 1}"), State(tmp_path, exclusive=exclusive):
        pass
    assert (tmp_path / "state.db").read_bytes() == before
    assert not aside(tmp_path)
    assert not caplog.records
