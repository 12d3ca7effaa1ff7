"""The quarantine: events that a sink refused for good, kept with the reason, within bounds, until someone decides.

An entry holds the event in its wire form, and under which ids the records in it are known. What falls out of the
bounds of age and size is logged, event by event, and counted.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from vectadb_agent.records import LogStream, id_maker, record_hash
from vectadb_agent.stateschema import add_unsent, checksum, place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from contextlib import AbstractContextManager

logger = logging.getLogger("vectadb_agent.quarantine")

KEEP_SECONDS = 14 * 86_400.0
KEEP_BYTES = 100_000_000
KEEP_ROWS = 200_000
"""Most entries, however small."""
TIDY_EVERY = 3_600.0
"""Seconds between two looks for entries that have grown too old."""

_HOUR = 3_600_000_000
_OVERHEAD = 250
"""Bytes that an entry takes beside its event and reason, about; each record in it as much again."""
_SELECT = (
    "SELECT id, at, pipeline, sink, event_id, reason, tries, partition, size, "
    "(SELECT count(*) FROM quarantined_record WHERE entry = id AND counts) FROM quarantine "
)


class Entry(msgspec.Struct, frozen=True):
    """One event in the quarantine.

    ``at``: when it was refused first, microseconds. ``tries``: how often it was refused. ``partition``: whose tally of
    unsent records it is in, if any. ``size``: bytes that it takes on disk, about. ``records``: how many of them count
    by this event: none where it is a further event of its block, or a further piece of a record.
    """

    id: int
    at: int
    pipeline: str
    sink: str
    event_id: str
    reason: str
    tries: int
    partition: str | None
    size: int
    records: int


class Kept(msgspec.Struct, frozen=True):
    """An entry with its event. ``wire`` is ``None`` where it is not as it was written. ``sum`` tells versions apart."""

    entry: Entry
    wire: dict[str, Any] | None
    sum: bytes


class Fallen(msgspec.Struct, frozen=True):
    """How many entries were given up, and why: ``age``, ``size`` or ``dropped`` (by a person)."""

    pipeline: str
    sink: str
    why: Literal["age", "size", "dropped"]
    count: int


class Quarantine:
    """The quarantine in an open state file. ``reading`` and ``writing`` give the file, and a transaction on it.

    ``keep`` (seconds) and ``most_bytes`` are its bounds, ``None``: none.
    """

    def __init__(
        self,
        reading: Callable[[], AbstractContextManager[sqlite3.Connection]],
        writing: Callable[[], AbstractContextManager[sqlite3.Connection]],
        *,
        keep: float | None,
        most_bytes: int | None,
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._keep = keep
        self._most_bytes = most_bytes
        self._tidied = float("-inf")

    def keep(
        self, pipeline: str, sink: str, refused: Iterable[tuple[str, str, dict[str, Any]]], *, partition: str | None
    ) -> None:
        """Keep events; see :meth:`vectadb_agent.state.State.quarantine`."""
        now = time.time_ns() // 1000
        rows = [(event_id, reason, encoded(wire)) for event_id, reason, wire in refused]
        with self._writing() as db:
            for event_id, reason, event in rows:
                insert(db, now, pipeline, sink, event_id, reason, event, partition=partition)
            fallen = self._fell(db)
        _tell(fallen)

    def holding(self, pipeline: str, event_ids: Iterable[str]) -> set[str]:
        """Return those of the ids whose record, or event, is here."""
        found = set()
        with self._reading() as db:
            for event_id in event_ids:
                row = db.execute(
                    "SELECT 1 FROM quarantined_record JOIN quarantine ON quarantine.id = quarantined_record.entry "
                    "WHERE record = ? AND pipeline = ? LIMIT 1",
                    (event_id, pipeline),
                ).fetchone()
                if row is not None:
                    found.add(event_id)
        return found

    def entries(self, pipeline: str | None = None, sink: str | None = None) -> list[Entry]:
        """Return what is here, oldest first, of all pipelines and sinks or of those named."""
        with self._reading() as db:
            rows = db.execute(
                _SELECT + "WHERE (?1 IS NULL OR pipeline = ?1) AND (?2 IS NULL OR sink = ?2) ORDER BY id",
                (pipeline, sink),
            )
            return [Entry(*row) for row in rows]

    def read(self, id_: int) -> Kept | None:
        """Return the entry of that number with its event, if it is here."""
        with self._reading() as db:
            row = db.execute(_SELECT + "WHERE id = ?", (id_,)).fetchone()
            if row is None:
                return None
            sum_, event = db.execute("SELECT sum, event FROM quarantine WHERE id = ?", (id_,)).fetchone()
        entry = Entry(*row)
        whole = checksum(entry.pipeline, entry.sink, entry.event_id, event) == sum_
        return Kept(entry, decoded(event) if whole else None, sum_)

    def totals(self) -> tuple[int, int]:
        """Return how many entries are here, and their bytes, about."""
        with self._reading() as db:
            count, size = db.execute("SELECT count(*), coalesce(sum(size), 0) FROM quarantine").fetchone()
            return count, size

    def fallen(self) -> list[Fallen]:
        """Return how many entries were given up so far."""
        with self._reading() as db:
            rows = db.execute("SELECT pipeline, sink, why, count FROM fallen ORDER BY 1, 2, 3")
            return [Fallen(*row) for row in rows]

    def drop(self, id_: int) -> bool:
        """Give up an entry because a person says so; return whether it was there."""
        with self._writing() as db:
            row = db.execute("SELECT pipeline, sink FROM quarantine WHERE id = ?", (id_,)).fetchone()
            if row is None:
                return False
            _remove(db, id_)
            _count(db, row[0], row[1], "dropped")
            return True

    def arrived(self, kept: Kept, *, stored: bool) -> None:
        """Take out an entry that its sink has taken after all, unless it was replaced meanwhile.

        ``stored`` is false where the sink let it pass without storing it (expired): its records stay unsent.
        """
        id_ = kept.entry.id
        with self._writing() as db:
            row = db.execute("SELECT sum FROM quarantine WHERE id = ?", (id_,)).fetchone()
            if row is None or row[0] != kept.sum:
                return
            if stored and kept.entry.partition is not None:
                _take_back(db, kept.entry.pipeline, kept.entry.partition, id_)
            _remove(db, id_)

    def refused_again(self, id_: int, reason: str) -> None:
        """Note the reason of another refusal."""
        with self._writing() as db:
            db.execute("UPDATE quarantine SET reason = ?, tries = tries + 1 WHERE id = ?", (reason, id_))

    def tidy_now_and_then(self) -> None:
        """Give up what is too old or too much, if that was done last long ago.

        A disk that refuses has it wait: it is no part of what the caller wanted.
        """
        if time.monotonic() - self._tidied >= TIDY_EVERY:
            self._tidied = time.monotonic()
            try:
                with self._writing() as db:
                    fallen = self._fell(db)
                _tell(fallen)
            except sqlite3.Error as error:
                logger.warning("cannot tidy the quarantine", extra={"error": str(error)})

    def _fell(self, db: sqlite3.Connection) -> list[tuple[str, Entry]]:
        """Remove what is beyond the bounds, oldest first, always leaving the newest; return it with the reason."""
        fallen: list[tuple[str, Entry]] = []
        if self._keep is not None:
            too_old = time.time_ns() // 1000 - int(self._keep * 1e6)
            for row in db.execute(_SELECT + "WHERE at < ? ORDER BY id", (too_old,)).fetchall():
                fallen.append(("age", Entry(*row)))
                _remove(db, row[0])
        count, size = db.execute("SELECT count(*), coalesce(sum(size), 0) FROM quarantine").fetchone()
        while self._most_bytes is not None and count > 1 and (count > KEEP_ROWS or size > self._most_bytes):
            oldest = Entry(*db.execute(_SELECT + "ORDER BY id LIMIT 1").fetchone())
            fallen.append(("size", oldest))
            _remove(db, oldest.id)
            count, size = count - 1, size - oldest.size
        for why, entry in fallen:
            _count(db, entry.pipeline, entry.sink, why)
        return fallen


def insert(
    db: sqlite3.Connection,
    at: int,
    pipeline: str,
    sink: str,
    event_id: str,
    reason: str,
    event: bytes,
    *,
    partition: str | None = None,
) -> None:
    """Put an event in, or in place of what is there of the same id; within a transaction."""
    records = records_of(decoded(event))
    size = len(event) + len(reason) + _OVERHEAD * (1 + len(records))
    sum_ = checksum(pipeline, sink, event_id, event)
    # An entry that is replaced keeps its number and its age, and must: people type the one, the other is a promise.
    (id_,) = db.execute(
        "INSERT INTO quarantine (at, pipeline, sink, event_id, reason, tries, partition, size, sum, event) "
        "VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT (pipeline, sink, event_id) DO UPDATE SET "
        "reason = excluded.reason, tries = tries + 1, partition = excluded.partition, size = excluded.size, "
        "sum = excluded.sum, event = excluded.event RETURNING id",
        (at, pipeline, sink, event_id, reason, partition, size, sum_, event),
    ).fetchone()
    db.execute("DELETE FROM quarantined_record WHERE entry = ?", (id_,))
    rows = {known: (time_, counts) for known, time_, counts in [(event_id, 0, False), *records]}
    db.executemany(
        "INSERT INTO quarantined_record VALUES (?, ?, ?, ?)",
        ((known, id_, time_, counts) for known, (time_, counts) in rows.items()),
    )


def records_of(wire: dict[str, Any]) -> list[tuple[str, int, bool]]:
    """Return id, time and whether it counts, of each record that an event in its wire form holds.

    A record counts by its first piece, and in the first event of its block alone.
    """
    source = wire.get("source")
    if not isinstance(source, dict) or "." in source.get("part", "0"):
        return []
    names = ("system", "account", "region", "log_group", "log_stream")
    make = id_maker(LogStream(*(source[name] for name in names)))
    log_ids: Sequence[str] = source.get("log_ids") or [source["log_id"]]
    times: Sequence[str] = source.get("timestamps") or [source["timestamp"]] * len(log_ids)
    parts: Sequence[str] = source.get("parts") or [source.get("part", "0")] + ["0"] * (len(log_ids) - 1)
    return [
        (make(log_id, part), microseconds(time_), part == "0")
        for log_id, time_, part in zip(log_ids, times, parts, strict=True)
    ]


def microseconds(text: str) -> int:
    """Microseconds since the epoch of a time as :func:`vectadb_agent.records.rfc3339` writes it; exactly."""
    at = datetime.fromisoformat(text) - datetime.fromisoformat("1970-01-01T00:00:00Z")
    return (at.days * 86_400 + at.seconds) * 1_000_000 + at.microseconds


def encoded(wire: dict[str, Any]) -> bytes:
    """The event as JSON. Properties that JSON cannot hold are left out, and a note says so: the text is what counts."""
    try:
        return msgspec.json.encode(wire)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        note = {"vectadb.quarantine": f"the properties cannot be kept: {type(error).__name__}: {error}"}
    try:
        return msgspec.json.encode({**wire, "properties": note})
    except (TypeError, ValueError, OverflowError, RecursionError):
        return json.dumps({**wire, "properties": note}, default=repr).encode()


def decoded(event: bytes) -> dict[str, Any]:
    """What :func:`encoded` was given."""
    value: dict[str, Any]
    try:
        value = msgspec.json.decode(event)
    except msgspec.DecodeError:
        value = json.loads(event)  # lone surrogates, as escapes
    return value


def _remove(db: sqlite3.Connection, id_: int) -> None:
    db.execute("DELETE FROM quarantined_record WHERE entry = ?", (id_,))
    db.execute("DELETE FROM quarantine WHERE id = ?", (id_,))


def _count(db: sqlite3.Connection, pipeline: str, sink: str, why: str) -> None:
    db.execute(
        "INSERT INTO fallen VALUES (?, ?, ?, 1) ON CONFLICT DO UPDATE SET count = count + 1", (pipeline, sink, why)
    )


def _take_back(db: sqlite3.Connection, pipeline: str, partition: str, id_: int) -> None:
    """Records that arrived are no longer unsent."""
    rows = db.execute("SELECT record, time FROM quarantined_record WHERE entry = ? AND counts", (id_,)).fetchall()
    hours: dict[int, tuple[int, int]] = {}
    for record, time_ in rows:
        hour = time_ - time_ % _HOUR
        count, digest = hours.get(hour, (0, 0))
        hours[hour] = (count - 1, digest - record_hash(record))
    add_unsent(db, place(db, pipeline, partition), hours)


def _tell(fallen: Iterable[tuple[str, Entry]]) -> None:
    for why, entry in fallen:
        logger.error(
            "given up from the quarantine: it is too old"
            if why == "age"
            else "given up from the quarantine: it is full",
            extra={
                "pipeline": entry.pipeline,
                "sink": entry.sink,
                "event_id": entry.event_id,
                "entry": entry.id,
                "refused_because": entry.reason,
            },
        )
