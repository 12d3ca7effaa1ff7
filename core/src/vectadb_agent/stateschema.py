"""The form of ``state.db``: its tables, and what those who write rows of it have in common."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA = 2

_TABLES = """
CREATE TABLE place (id INTEGER PRIMARY KEY, pipeline TEXT NOT NULL, partition TEXT NOT NULL, edge INTEGER,
                    UNIQUE (pipeline, partition));
CREATE TABLE checkpoint (place INTEGER, lane TEXT, value BLOB, saved_at INTEGER, sum BLOB,
                         PRIMARY KEY (place, lane)) WITHOUT ROWID;
CREATE TABLE ledger (place INTEGER, time INTEGER, key BLOB, size INTEGER,
                     PRIMARY KEY (place, time, key)) WITHOUT ROWID;
CREATE TABLE job (pipeline TEXT, name TEXT, value BLOB, sum BLOB, PRIMARY KEY (pipeline, name)) WITHOUT ROWID;
CREATE TABLE unsent (place INTEGER, hour INTEGER, count INTEGER, digest BLOB, PRIMARY KEY (place, hour)) WITHOUT ROWID;
CREATE TABLE quarantine (id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER, pipeline TEXT, sink TEXT, event_id TEXT,
                         reason TEXT, tries INTEGER, partition TEXT, size INTEGER, sum BLOB, event BLOB,
                         UNIQUE (pipeline, sink, event_id));
CREATE INDEX quarantine_size ON quarantine (size);
CREATE TABLE quarantined_record (record TEXT, entry INTEGER, time INTEGER, counts INTEGER,
                                 PRIMARY KEY (record, entry)) WITHOUT ROWID;
CREATE INDEX quarantined_entry ON quarantined_record (entry);
CREATE TABLE fallen (pipeline TEXT, sink TEXT, why TEXT, count INTEGER, PRIMARY KEY (pipeline, sink, why)) WITHOUT ROWID
"""
STATEMENTS = tuple(statement.strip() for statement in _TABLES.split(";"))

_ELSEWHERE = frozenset(
    (
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOLFS,
    )
)
"""Errors whose cause is not what the file holds."""
_DIGEST = 1 << 128


def is_damage(error: Exception) -> bool:
    """Whether an error of SQLite says that the file is damaged, and not that it is busy, full or out of reach."""
    # What a damaged schema makes it say may not even be text.
    return isinstance(error, UnicodeDecodeError) or _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_odd(error: Exception) -> bool:
    """Whether an error comes from what the file holds: the statements are right for a file that is as it was made."""
    return isinstance(error, UnicodeDecodeError) or _code(error) not in _ELSEWHERE


def _code(error: Exception) -> int:
    # An extended code holds the plain one in its lowest byte.
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def checksum(*parts: bytes | str | int) -> bytes:
    """Eight bytes by which a row is known to be as it was written: SQLite itself keeps none."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass")
        digest.update(len(data).to_bytes(4, "big") + data)
    return digest.digest()


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Commit what is done within, all or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        # A full disk shows here as well: what cannot be committed must not stay open, or nothing ever could be again.
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def place(db: sqlite3.Connection, pipeline: str, partition: str) -> int:
    """Return the number by which rows name the partition, a new one if need be; within a transaction."""
    row = db.execute("SELECT id FROM place WHERE pipeline = ? AND partition = ?", (pipeline, partition)).fetchone()
    if row is None:
        row = db.execute(
            "INSERT INTO place (pipeline, partition) VALUES (?, ?) RETURNING id", (pipeline, partition)
        ).fetchone()
    return int(row[0])


def add_unsent(db: sqlite3.Connection, number: int, hours: Mapping[int, tuple[int, int]]) -> None:
    """Add to what is known of records that no sink got, in the partition of that number; within a transaction."""
    for hour, (count, digest) in hours.items():
        row = db.execute("SELECT count, digest FROM unsent WHERE place = ? AND hour = ?", (number, hour)).fetchone()
        before, sum_ = (row[0], int.from_bytes(row[1], "big")) if row else (0, 0)
        total = ((sum_ + digest) % _DIGEST).to_bytes(16, "big")
        db.execute("INSERT OR REPLACE INTO unsent VALUES (?, ?, ?, ?)", (number, hour, before + count, total))
