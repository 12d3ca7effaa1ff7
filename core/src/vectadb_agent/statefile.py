"""``state.db``, opened whole or not at all.

Nothing read from a damaged file is trusted: it is moved aside, and the agent begins as on its first day. Reading again
costs duplicates, which ids recognise; a checkpoint that damage has moved forward would cost records.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import stat
import time
from typing import TYPE_CHECKING

from vectadb_agent import quarantine, salvage, statelock
from vectadb_agent.errors import StateError
from vectadb_agent.stateschema import SCHEMA, STATEMENTS, checksum, is_odd, transaction

if TYPE_CHECKING:
    from pathlib import Path

logger = logging.getLogger("vectadb_agent.state")

CHECK_ALWAYS = 512_000_000
"""Bytes. Up to this size the file is checked at every start (0.36 s for 100 MB); a larger one after an unclean end."""
BUSY_SECONDS = 10.0
"""How long one process waits for another's transaction on the same file."""
WAL_BYTES = 4_000_000
"""What the write-ahead log keeps on disk between checkpoints, at most."""

_SUFFIXES = ("", "-wal", "-shm")


class _DamageError(Exception):
    """``state.db`` is not what was written; the text says what was found."""


def open_owned(path: Path, lock: statelock.Lock) -> sqlite3.Connection:
    """Open the file as its only agent: make, migrate and check it; move a damaged one aside and begin anew.

    Raises:
        StateError: it was written by a newer version, or cannot be used for a reason that is not damage.
    """
    try:
        db = _open_checked(path, lock.past)
    except _DamageError as damage:
        found = str(damage)
    else:
        if lock.saved and db.execute("SELECT 1 FROM checkpoint LIMIT 1").fetchone() is None:
            _say_gone(path)
            lock.saved = False
        lock.running()
        return db
    aside = _begin_anew(path, found)
    try:
        db = _open_checked(path, "none")
    except _DamageError as damage:
        raise StateError(
            f"{path} is damaged as soon as it is written ({damage}): look after the disk, or name another "
            "agent.state_dir."
        ) from damage
    lock.saved = False
    lock.running()
    try:
        count = salvage.quarantine(db, aside)
    except sqlite3.Error as error:
        # The new file takes nothing now, for want of space: no reason not to deliver. The old one is kept as it is.
        logger.error(  # noqa: TRY400 - the text is meant for the user, the traceback is not
            "the quarantine of the damaged file cannot be taken over: it is left there",
            extra={"moved_to": str(aside), "error": str(error)},
        )
    else:
        logger.error("taken over from the damaged file", extra={"quarantine_entries": count, "moved_to": str(aside)})
    return db


def open_beside(path: Path, *, create: bool) -> sqlite3.Connection:
    """Open the file beside an agent that may be running on it.

    Raises:
        StateError: it is not there and ``create`` is false; it is damaged, of another version, or cannot be used.
    """
    if not create and not path.exists():
        raise StateError(
            f"there is no {path.name} in agent.state_dir {path.parent}: no agent has run with it yet. "
            "Run `vectadb-agent run` first, or check that the configuration names the right directory."
        )
    if not path.exists() and statelock.past(path.parent / "lock") != "none":
        raise StateError(
            f"{path} is gone, though an agent has run here. Restart the agent first: it begins a new one, and says "
            "from where it reads."
        )
    try:
        db = _connect(path)
        try:
            version = _version(db)
            if version == 0 and create:
                _make(db)
            elif version != SCHEMA:
                _take_over(db, path, version)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, UnicodeDecodeError) as error:
        raise unusable(path, error) from error
    except OSError as error:
        raise unwritable(path.parent, error) from error
    return db


def _take_over(db: sqlite3.Connection, path: Path, version: int) -> None:
    """Migrate an older file, unless an agent runs on it, which would then write in a form that is gone."""
    _refuse_newer(path, version)
    if version == 0:
        raise StateError(f"{path} is empty: no agent has run with it yet. Run `vectadb-agent run` first.")
    try:
        lock = statelock.take(path.parent / "lock")
    except StateError as error:
        raise StateError(
            f"{path} is of an older format (the agent that runs on it is an older vectadb-agent): restart that agent "
            "with this version first."
        ) from error
    try:
        _migrate(db)
    finally:
        lock.release(clean=lock.past == "ended")


def unwritable(directory: Path, error: OSError) -> StateError:
    """The error for a directory that cannot be used."""
    return StateError(f"agent.state_dir {directory}: {error.strerror}. Name a directory that this user may write to.")


def _open_checked(path: Path, past: statelock.Past) -> sqlite3.Connection:
    """Open the file and convince ourselves that it is as it was written.

    Raises:
        _DamageError: it is not.
        StateError: see :func:`open_owned`.
    """
    mode = path.lstat().st_mode if path.exists() else None
    if mode is not None and not stat.S_ISREG(mode):
        raise _DamageError("it is not a file")
    try:
        db = _connect(path)
        try:
            version = _version(db)
            _refuse_newer(path, version)
            if version == 0:
                if mode is not None and (past != "none" or path.stat().st_size > _EMPTY):
                    raise _DamageError("it is empty")
                _make(db)
            elif version < SCHEMA:
                _check_pages(db)
                _migrate(db)
            _check(db, thoroughly=past == "broken off" or path.stat().st_size <= CHECK_ALWAYS)
        except BaseException:
            db.close()
            raise
    except (sqlite3.Error, UnicodeDecodeError) as error:
        if is_odd(error):
            raise _DamageError(str(error)) from error
        raise unusable(path, error) from error
    except OSError as error:
        raise unwritable(path.parent, error) from error
    return db


_EMPTY = 4096
"""Bytes of a database in which nothing was made yet."""


def _connect(path: Path) -> sqlite3.Connection:
    # Made by us: SQLite gives its other files the mode of this one, and none is ever readable by others.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=BUSY_SECONDS)
    try:
        path.chmod(0o600)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA cache_size = -2000")
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    except BaseException:
        db.close()
        raise
    return db


def _version(db: sqlite3.Connection) -> int:
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _refuse_newer(path: Path, version: int) -> None:
    if not 0 <= version <= SCHEMA:
        raise StateError(
            f"{path} was written by a newer vectadb-agent (its format is {version}, this one knows {SCHEMA}). "
            "Install that version again, or move the file away to start from the configured lookback."
        )


def _make(db: sqlite3.Connection) -> None:
    with transaction(db):
        if _version(db) == 0:  # else another process was first
            for statement in STATEMENTS:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {SCHEMA}")


def _migrate(db: sqlite3.Connection) -> None:
    """From schema 1: no lanes, no sizes, names repeated in each row. In one transaction."""
    with transaction(db):
        if _version(db) != 1:
            return
        for name in ("checkpoint", "ledger", "quarantine"):
            db.execute(f"ALTER TABLE {name} RENAME TO old_{name}")
        for statement in STATEMENTS:
            db.execute(statement)
        db.execute(
            "INSERT INTO place (pipeline, partition) "
            "SELECT pipeline, partition FROM old_checkpoint UNION SELECT DISTINCT pipeline, partition FROM old_ledger"
        )
        db.create_function("checksum", 5, checksum, deterministic=True)
        db.execute(
            "INSERT INTO checkpoint SELECT place.id, '', value, saved_at, "
            "checksum(pipeline, partition, '', saved_at, value) "
            "FROM old_checkpoint JOIN place USING (pipeline, partition)"
        )
        db.execute(
            "INSERT INTO ledger SELECT place.id, time, key, 1 FROM old_ledger JOIN place USING (pipeline, partition)"
        )
        rows = db.execute("SELECT at, pipeline, sink, event_id, reason, event FROM old_quarantine ORDER BY id")
        for at, pipeline, sink, event_id, reason, event in rows.fetchall():
            try:
                quarantine.insert(db, at, pipeline, sink, event_id, reason, event)
            except (TypeError, ValueError, LookupError) as error:
                raise _DamageError(f"the quarantined event {event_id} is not as it was written") from error
        for name in ("checkpoint", "ledger", "quarantine"):
            db.execute(f"DROP TABLE old_{name}")
        db.execute(f"PRAGMA user_version = {SCHEMA}")


def _check(db: sqlite3.Connection, *, thoroughly: bool) -> None:
    """Look whether the file is as it was written.

    Raises:
        _DamageError, sqlite3.DatabaseError: it is not.
    """
    if _schema(db) != _expected_schema():
        raise _DamageError("its tables are not those that the agent made")
    if thoroughly:
        _check_pages(db)
    # The engine keeps no checksums: a bit that flipped inside a value is seen by ours alone.
    rows = db.execute(
        "SELECT pipeline, partition, lane, saved_at, value, sum "
        "FROM checkpoint LEFT JOIN place ON place.id = checkpoint.place"
    )
    for pipeline, partition, lane, saved_at, value, sum_ in rows:
        if pipeline is None or checksum(pipeline, partition, lane, saved_at, value) != sum_:
            raise _DamageError(f"the checkpoint of {pipeline}, {partition} is not as it was written")
    for pipeline, name, value, sum_ in db.execute("SELECT pipeline, name, value, sum FROM job"):
        if checksum(pipeline, name, value) != sum_:
            raise _DamageError(f"what is known of {name} is not as it was written")


def _check_pages(db: sqlite3.Connection) -> None:
    (found,) = db.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _DamageError(str(found))


def _schema(db: sqlite3.Connection) -> set[tuple[str, str]]:
    rows = db.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite_%'")
    return {(str(name), str(sql)) for name, sql in rows}


def _expected_schema() -> set[tuple[str, str]]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as db:
        for statement in STATEMENTS:
            db.execute(statement)
        return _schema(db)


def unusable(path: Path, error: Exception) -> StateError:
    """The error for a file that cannot be worked with, and what to do about it."""
    if is_odd(error):
        return StateError(
            f"{path} is damaged: {error}. Restart the agent: it moves the file aside and begins a new one, from the "
            "configured lookback."
        )
    if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
        return StateError(f"{path} is busy: another process has been writing to it for {BUSY_SECONDS:g} s. Try again.")
    return StateError(
        f"{path} cannot be used: {error}. Look whether the disk is full, and whether this user may write to "
        f"{path.parent}."
    )


def _say_gone(path: Path) -> None:
    logger.error(
        "state.db is gone, or what was saved in it is: pipelines start again from their lookback; what the server has "
        "is recognised by its ids. What is older than the lookback must be fetched with "
        "`vectadb-agent backfill --since TIME`",
        extra={"file": str(path)},
    )


def _begin_anew(path: Path, found: str) -> Path:
    """Move the damaged file and what belongs to it aside, and say so; return where it is now.

    Raises:
        StateError: it cannot be moved.
    """
    since = salvage.last_time(path)
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = path.with_name(f"{path.name}.damaged-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.damaged-{stamp}-{number}")
    try:
        # The file itself goes last: cut off before, the next start finds the damage again.
        for suffix in reversed(_SUFFIXES):
            part = path.with_name(path.name + suffix)
            if part.exists() or part.is_symlink():
                part.rename(aside.with_name(aside.name + suffix))
    except OSError as error:
        raise StateError(
            f"{path} is damaged ({found}) and cannot be moved aside: {error.strerror}. Move it away yourself, and "
            f"start the agent again; then fetch what is older than the lookback: vectadb-agent backfill --since {since}"
        ) from error
    logger.error(
        "state.db is damaged and was moved aside: pipelines start again from their lookback; what the server has is "
        "recognised by its ids. What is older than the lookback must be fetched with "
        "`vectadb-agent backfill --since %s`",
        since,
        extra={"file": str(path), "found": found, "moved_to": str(aside)},
    )
    return aside
