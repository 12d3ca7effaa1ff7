"""What the agent remembers between runs, in one SQLite file of its ``state_dir``.

It holds checkpoints, the ledger of delivered records, what was not sent, the progress of jobs, and the quarantine.

A commit is safe against the death of the process. The death of the machine may undo the last ones, which costs only
reading again: what a checkpoint covers was delivered before it was saved. A damaged file is never worked with: see
:mod:`vectadb_agent.statefile`.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import msgspec

from vectadb_agent import statefile, statelock
from vectadb_agent.errors import StateError
from vectadb_agent.quarantine import KEEP_BYTES, KEEP_SECONDS, Quarantine
from vectadb_agent.stateschema import add_unsent, checksum, is_damage, place, transaction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from pathlib import Path
    from types import TracebackType

    from vectadb_agent.components import Checkpoint

logger = logging.getLogger("vectadb_agent.state")

LEDGER_ROWS = 1_000_000
"""Most rows that one partition keeps in the ledger (37 bytes each on disk). Forgetting is safe: the event id is the
truth, and a sink is offered the record once more."""

_CHECKPOINTS = (
    "SELECT partition, lane, saved_at, value, sum FROM place JOIN checkpoint ON checkpoint.place = place.id "
    "WHERE pipeline = ? "
)
_LEDGER_END = "SELECT max(time) FROM ledger WHERE place = (SELECT id FROM place WHERE pipeline = ? AND partition = ?)"


_ENTER = (
    "INSERT OR REPLACE INTO ledger "
    "SELECT ?1, json_extract(value, '$[0]'), substr(?2, 16 * key + 1, 16), json_extract(value, '$[1]') "
    "FROM json_each(?3)"
)
# One row for the same reason.
_DELIVERED = (
    "SELECT group_concat(hex(key), ''), group_concat(size) FROM place JOIN ledger ON ledger.place = place.id "
    "WHERE pipeline = ? AND partition = ? AND time BETWEEN ? AND ?"
)


class State:
    """The open state directory. Methods block on the disk: call them from a worker thread; they take turns.

    ``exclusive``: as the one agent of the directory, which locks it, makes it if need be, and heals it. Otherwise
    beside that agent; then nothing is made, unless ``create`` says so. ``quarantine_keep`` (seconds) and
    ``quarantine_max`` (bytes) bound the quarantine; where they are not given the agent's defaults do, and beside it
    nothing does: that is the agent's business.

    A method raises ``sqlite3.Error`` where the disk refuses (:class:`StateError` beside an agent); nothing of what it
    was to do is done then, and it may be tried again.

    Raises:
        StateError: locked by another agent, written by a newer version, not there, or not usable; says what to do.
    """

    def __init__(
        self,
        directory: Path,
        *,
        exclusive: bool = True,
        create: bool = False,
        quarantine_keep: float | None = None,
        quarantine_max: int | None = None,
    ) -> None:
        self._directory = directory
        self._exclusive = exclusive
        self._create = create
        self._turn = threading.Lock()
        self._lock: statelock.Lock | None = None
        self._added: dict[int, int] = {}
        self._db: sqlite3.Connection | None = None
        self._damaged = False
        if exclusive:
            quarantine_keep = KEEP_SECONDS if quarantine_keep is None else quarantine_keep
            quarantine_max = KEEP_BYTES if quarantine_max is None else quarantine_max
        self.kept = Quarantine(self._reading, self._writing, keep=quarantine_keep, most_bytes=quarantine_max)
        """The quarantine, for reading, replaying and dropping."""

    @property
    def directory(self) -> Path:
        """Where it is."""
        return self._directory

    def __enter__(self) -> Self:
        path = self._directory / "state.db"
        if self._exclusive or self._create:
            try:
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                if self._exclusive:
                    self._lock = statelock.take(self._directory / "lock")
            except OSError as error:
                raise statefile.unwritable(self._directory, error) from error
        try:
            if self._lock is not None:
                self._db = statefile.open_owned(path, self._lock)
                self.kept.tidy_now_and_then()
            else:
                self._db = statefile.open_beside(path, create=self._create)
        except BaseException:
            self._close(clean=False)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close(clean=not self._damaged)

    def _close(self, *, clean: bool) -> None:
        with self._turn:
            if self._db is not None:
                self._db.close()
                self._db = None
            if self._lock is not None:
                self._lock.release(clean=clean)
                self._lock = None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Take a turn with the file; if it is found damaged, say so once."""
        with self._turn:
            if self._db is None:
                raise StateError("the state directory is closed")
            try:
                yield self._db
            except (sqlite3.Error, UnicodeDecodeError) as error:
                if not self._exclusive:
                    raise statefile.unusable(self._directory / "state.db", error) from error
                if is_damage(error) and not self._damaged:
                    self._damaged = True
                    logger.error(  # noqa: TRY400 - the text is meant for the user, the traceback is not
                        "state.db is damaged: delivery goes on, but no progress can be saved. Restart the agent: it "
                        "moves the file aside and starts again from the lookback",
                        extra={"file": str(self._directory / "state.db"), "error": str(error)},
                    )
                raise

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db, transaction(db):
            yield db

    # Checkpoints

    def checkpoints(self, pipeline: str, lane: str = "") -> dict[str, Checkpoint]:
        """Return the lane's saved checkpoint in each partition of the pipeline.

        Raises:
            StateError: one is not as it was saved.
        """
        with self._reading() as db:
            rows = db.execute(_CHECKPOINTS + "AND lane = ?", (pipeline, lane)).fetchall()
        return {partition: value for (partition, _), value in self._intact(pipeline, rows)}

    def lanes(self, pipeline: str, prefix: str) -> dict[tuple[str, str], Checkpoint]:
        """Return the saved checkpoint of each ``(partition, lane)`` whose lane's name begins with ``prefix``.

        Raises:
            StateError: one is not as it was saved.
        """
        with self._reading() as db:
            rows = db.execute(_CHECKPOINTS + "AND substr(lane, 1, ?) = ?", (pipeline, len(prefix), prefix)).fetchall()
        return dict(self._intact(pipeline, rows))

    def _intact(self, pipeline: str, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[tuple[str, str], Checkpoint]]:
        for partition, lane, saved_at, value, sum_ in rows:
            if checksum(pipeline, partition, lane, saved_at, value) != sum_:
                self._damaged = True
                raise StateError(
                    f"{self._directory / 'state.db'} is damaged: the checkpoint of {pipeline}, {partition} is not as "
                    "it was saved. Restart the agent: it moves the file aside and starts again from the lookback."
                )
            yield (partition, lane), msgspec.json.decode(value)

    def save(
        self,
        pipeline: str,
        partition: str,
        *,
        lane: str = "",
        checkpoint: Checkpoint | None = None,
        delivered: Sequence[tuple[int, bytes, int]] = (),
        forget_before: int | None = None,
        unsent: Mapping[int, tuple[int, int]] | None = None,
    ) -> None:
        """Save in one transaction the lane's checkpoint if there is one, what was delivered, and what may be forgotten.

        ``delivered``: ``(time, key, size)`` of each record, replacing what was known of the same one. ``size``: number
        of pieces in the block whose head it is; 0: it is inside another's block. ``forget_before``: the source will
        not deliver older records again; they leave the ledger. ``unsent``: see :meth:`note_unsent`.
        """
        with self._writing() as db:
            number = place(db, pipeline, partition)
            if delivered:
                rows = sorted(delivered)
                # One statement, since between two rows sqlite3 takes the GIL back, which beside a busy loop costs
                # milliseconds each time.
                db.execute(
                    _ENTER,
                    (
                        number,
                        b"".join(key for _, key, _ in rows),
                        msgspec.json.encode([(time_, size) for time_, _, size in rows]).decode(),
                    ),
                )
                self._trim(db, number, len(delivered))
            if checkpoint is not None:
                value = msgspec.json.encode(checkpoint)
                now = time.time_ns() // 1000
                sum_ = checksum(pipeline, partition, lane, now, value)
                db.execute(
                    "INSERT OR REPLACE INTO checkpoint VALUES (?, ?, ?, ?, ?)",
                    (number, lane, value, now, sum_),
                )
            if forget_before is not None:
                db.execute("DELETE FROM ledger WHERE place = ? AND time < ?", (number, forget_before))
            if unsent:
                add_unsent(db, number, unsent)
        if checkpoint is not None and self._lock is not None:
            self._lock.note_saved()
        self.kept.tidy_now_and_then()

    def drop_lanes(self, pipeline: str, prefix: str) -> None:
        """Forget the checkpoints of all lanes whose name begins with ``prefix``."""
        with self._writing() as db:
            db.execute(
                "DELETE FROM checkpoint WHERE substr(lane, 1, length(?2)) = ?2 "
                "AND place IN (SELECT id FROM place WHERE pipeline = ?1)",
                (pipeline, prefix),
            )

    # The ledger

    def _trim(self, db: sqlite3.Connection, number: int, added: int) -> None:
        """At first and then now and then, forget the oldest records beyond the newest :data:`LEDGER_ROWS`."""
        total = self._added.get(number, LEDGER_ROWS) + added
        if total >= LEDGER_ROWS // 4:
            total = 0
            edge = db.execute(
                "SELECT time FROM ledger WHERE place = ? ORDER BY time DESC LIMIT 1 OFFSET ?", (number, LEDGER_ROWS)
            ).fetchone()
            if edge is not None:
                db.execute("DELETE FROM ledger WHERE place = ? AND time <= ?", (number, edge[0]))
                db.execute(
                    "UPDATE place SET edge = max(coalesce(edge, ?1), ?1) WHERE id = ?2",
                    (edge[0], number),
                )
        self._added[number] = total

    def delivered(self, pipeline: str, partition: str, since: int, until: int) -> dict[bytes, int]:
        """Return key and size of the delivered records whose time is in ``since``…``until``, both inclusive.

        A damaged file is as a ledger that has forgotten: nothing is returned.
        """
        try:
            with self._reading() as db:
                keys, sizes = db.execute(_DELIVERED, (pipeline, partition, since, until)).fetchone()
            if keys is None:
                return {}
            packed = bytes.fromhex(keys)
            return {packed[16 * at : 16 * at + 16]: int(size) for at, size in enumerate(sizes.split(","))}
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if is_damage(error):
                return {}
            raise

    def ledger_end(self, pipeline: str, partition: str) -> int | None:
        """Return the time of the latest record in the partition's ledger; ``None`` also where the file is damaged."""
        try:
            return self._of_place(_LEDGER_END, pipeline, partition)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            if is_damage(error):
                return None
            raise

    def ledger_edge(self, pipeline: str, partition: str) -> int | None:
        """Return the time up to which records may have been forgotten because of :data:`LEDGER_ROWS`, if any was.

        A file that was begun anew, after damage, knows of none.
        """
        return self._of_place("SELECT edge FROM place WHERE pipeline = ? AND partition = ?", pipeline, partition)

    def _of_place(self, query: str, pipeline: str, partition: str) -> int | None:
        with self._reading() as db:
            row = db.execute(query, (pipeline, partition)).fetchone()
            return row[0] if row else None

    # Jobs

    def job(self, pipeline: str, name: str) -> dict[str, Any] | None:
        """Return what was saved of a job.

        Raises:
            StateError: it is not as it was saved.
        """
        with self._reading() as db:
            row = db.execute("SELECT value, sum FROM job WHERE pipeline = ? AND name = ?", (pipeline, name)).fetchone()
        if row is None:
            return None
        if checksum(pipeline, name, row[0]) != row[1]:
            self._damaged = True
            raise StateError(
                f"{self._directory / 'state.db'} is damaged: the progress of {name!r} is not as it was saved. "
                "Restart the agent: it moves the file aside."
            )
        value: dict[str, Any] = msgspec.json.decode(row[0])
        return value

    def save_job(self, pipeline: str, name: str, value: Mapping[str, Any]) -> None:
        """Save a job's progress, a JSON object, in place of what was saved of it before."""
        data = msgspec.json.encode(value)
        with self._writing() as db:
            db.execute(
                "INSERT OR REPLACE INTO job VALUES (?, ?, ?, ?)",
                (pipeline, name, data, checksum(pipeline, name, data)),
            )

    def drop_job(self, pipeline: str, name: str) -> None:
        """Forget a job."""
        with self._writing() as db:
            db.execute("DELETE FROM job WHERE pipeline = ? AND name = ?", (pipeline, name))

    # What was not sent

    def note_unsent(self, pipeline: str, partition: str, hours: Mapping[int, tuple[int, int]]) -> None:
        """Add to the count and digest of records that no sink got: filtered, or in the quarantine.

        ``hours``: by the start of the hour, microseconds; digests add up modulo 2**128. Kept for good: a row for each
        hour in which there was one.
        """
        with self._writing() as db:
            add_unsent(db, place(db, pipeline, partition), hours)

    def unsent(self, pipeline: str, partition: str, since: int, until: int) -> dict[int, tuple[int, int]]:
        """Return count and digest of the hours ``since``…``until``, both inclusive: see :meth:`note_unsent`."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT hour, count, digest FROM place JOIN unsent ON unsent.place = place.id "
                "WHERE pipeline = ? AND partition = ? AND hour BETWEEN ? AND ?",
                (pipeline, partition, since, until),
            )
            return {hour: (count, int.from_bytes(digest, "big")) for hour, count, digest in rows}

    # The quarantine

    def quarantine(
        self,
        pipeline: str,
        sink: str,
        refused: Iterable[tuple[str, str, dict[str, Any]]],
        *,
        partition: str | None = None,
    ) -> None:
        """Keep events that a sink refused for good: ``(event_id, reason, wire form)`` each. Durable on return.

        ``partition``: given where their records are noted as unsent there, so that a replay can take that back.
        """
        self.kept.keep(pipeline, sink, refused, partition=partition)

    def quarantined(self, pipeline: str, event_ids: Iterable[str]) -> set[str]:
        """Return those of the ids whose record, or event, is in the quarantine."""
        return self.kept.holding(pipeline, event_ids)
