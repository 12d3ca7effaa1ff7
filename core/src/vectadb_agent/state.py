"""What the agent remembers between runs, in one SQLite file of its ``state_dir``.

It holds checkpoints, the ledger of delivered records, and the quarantine.

A commit is safe against the death of the process. The death of the machine may undo the last ones, which costs only
reading again: what a checkpoint covers was delivered before it was saved.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import msgspec

from vectadb_agent.errors import StateError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType

    from vectadb_agent.components import Checkpoint

SCHEMA = 1
LEDGER_ROWS = 1_000_000
"""Most rows that one partition keeps in the ledger (about 50 bytes each on disk). Forgetting is safe: the event id is
the truth, and a sink is offered the record once more."""

_TABLES = """
CREATE TABLE checkpoint (pipeline TEXT, partition TEXT, value BLOB, saved_at INTEGER,
                         PRIMARY KEY (pipeline, partition));
CREATE TABLE ledger (pipeline TEXT, partition TEXT, time INTEGER, key BLOB,
                     PRIMARY KEY (pipeline, partition, time, key)) WITHOUT ROWID;
CREATE TABLE quarantine (id INTEGER PRIMARY KEY, at INTEGER, pipeline TEXT, sink TEXT, event_id TEXT, reason TEXT,
                         event BLOB, UNIQUE (pipeline, sink, event_id));
"""


class State:
    """The open state directory. Methods block on the disk: call them from a worker thread; they take turns.

    Raises:
        StateError: locked by another agent, written by a newer version, or not usable; says what to do.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turn = threading.Lock()
        self._lock_file: int | None = None
        self._added: dict[tuple[str, str], int] = {}
        self._db: sqlite3.Connection | None = None

    def __enter__(self) -> Self:
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock_file = _lock(self._directory / "lock")
        except OSError as error:
            raise StateError(
                f"agent.state_dir {self._directory}: {error.strerror}. Name a directory that this user may write to."
            ) from error
        try:
            self._db = _open(self._directory / "state.db")
        except StateError:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._turn:
            if self._db is not None:
                self._db.close()
                self._db = None
            if self._lock_file is not None:
                os.close(self._lock_file)
                self._lock_file = None

    @property
    def _open_db(self) -> sqlite3.Connection:
        if self._db is None:
            raise StateError("the state directory is closed")
        return self._db

    def checkpoints(self, pipeline: str) -> dict[str, Checkpoint]:
        """Return the saved checkpoint of each partition of the pipeline."""
        with self._turn:
            rows = self._open_db.execute("SELECT partition, value FROM checkpoint WHERE pipeline = ?", (pipeline,))
            return {partition: msgspec.json.decode(value) for partition, value in rows}

    def save(
        self,
        pipeline: str,
        partition: str,
        *,
        checkpoint: Checkpoint | None,
        delivered: Sequence[tuple[int, bytes]],
        forget_before: int | None,
    ) -> None:
        """Save in one transaction: the checkpoint if there is one, what was delivered, and what may be forgotten.

        ``delivered``: ``(time, key)`` of each record. ``forget_before``: the source will not deliver older records
        again; they leave the ledger.
        """
        with self._turn, _transaction(self._open_db) as db:
            if delivered:
                db.executemany(
                    "INSERT OR IGNORE INTO ledger VALUES (?, ?, ?, ?)",
                    ((pipeline, partition, time_, key) for time_, key in sorted(delivered)),
                )
                self._trim(db, pipeline, partition, len(delivered))
            if checkpoint is not None:
                db.execute(
                    "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?, ?)",
                    (pipeline, partition, msgspec.json.encode(checkpoint), time.time_ns() // 1000),
                )
            if forget_before is not None:
                db.execute(
                    "DELETE FROM ledger WHERE pipeline = ? AND partition = ? AND time < ?",
                    (pipeline, partition, forget_before),
                )

    def _trim(self, db: sqlite3.Connection, pipeline: str, partition: str, added: int) -> None:
        """Now and then, forget the oldest records of a partition beyond the newest :data:`LEDGER_ROWS`."""
        total = self._added.get((pipeline, partition), 0) + added
        if total >= LEDGER_ROWS // 4:
            total = 0
            edge = db.execute(
                "SELECT time FROM ledger WHERE pipeline = ? AND partition = ? ORDER BY time DESC LIMIT 1 OFFSET ?",
                (pipeline, partition, LEDGER_ROWS),
            ).fetchone()
            if edge is not None:
                db.execute(
                    "DELETE FROM ledger WHERE pipeline = ? AND partition = ? AND time <= ?",
                    (pipeline, partition, edge[0]),
                )
        self._added[pipeline, partition] = total

    def delivered(self, pipeline: str, partition: str, since: int, until: int) -> set[bytes]:
        """Return the keys of delivered records whose time is in ``since``…``until``, both inclusive."""
        with self._turn:
            rows = self._open_db.execute(
                "SELECT key FROM ledger WHERE pipeline = ? AND partition = ? AND time BETWEEN ? AND ?",
                (pipeline, partition, since, until),
            )
            return {key for (key,) in rows}

    def ledger_end(self, pipeline: str, partition: str) -> int | None:
        """Return the time of the latest record in the partition's ledger."""
        with self._turn:
            row = self._open_db.execute(
                "SELECT max(time) FROM ledger WHERE pipeline = ? AND partition = ?", (pipeline, partition)
            ).fetchone()
            return row[0] if row else None

    def quarantine(self, pipeline: str, sink: str, refused: Iterable[tuple[str, str, dict[str, Any]]]) -> None:
        """Keep events that a sink refused for good: ``(event_id, reason, wire form)`` each. Durable on return."""
        now = time.time_ns() // 1000
        rows = [(now, pipeline, sink, id_, reason, msgspec.json.encode(event)) for id_, reason, event in refused]
        with self._turn, _transaction(self._open_db) as db:
            db.executemany(
                "INSERT OR REPLACE INTO quarantine (at, pipeline, sink, event_id, reason, event) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Any:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(handle, 32).decode(errors="replace").strip()
        os.close(handle)
        raise StateError(
            f"agent.state_dir {path.parent} is in use by another vectadb-agent (process {owner or 'unknown'}). "
            "Two agents cannot share one state directory: stop that one, or give this one its own agent.state_dir."
        ) from None
    os.ftruncate(handle, 0)
    os.write(handle, str(os.getpid()).encode())
    return handle


def _open(path: Path) -> sqlite3.Connection:
    db: sqlite3.Connection | None = None
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10)
        path.chmod(0o600)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -2000")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {SCHEMA}; COMMIT;")
        elif version > SCHEMA:
            raise StateError(
                f"{path} was written by a newer vectadb-agent (its format is {version}, this one knows {SCHEMA}). "
                "Install that version again, or move the file away to start from the configured lookback."
            )
    except sqlite3.Error as error:
        if db is not None:
            db.close()
        raise StateError(
            f"{path} cannot be used: {error}. If it is damaged, move it away: the agent then starts from the "
            "configured lookback, and what the server has already is recognised by its ids."
        ) from error
    except StateError:
        if db is not None:
            db.close()
        raise
    return db
