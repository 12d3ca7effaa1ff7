"""What is taken over from a damaged ``state.db``: entries of the quarantine, and how far the agent had come.

Of checkpoints nothing is taken over: one that is newer than the ledger and the followers beside it would skip records,
and nothing in a damaged file says what belongs together.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vectadb_agent import quarantine as kept
from vectadb_agent.records import rfc3339
from vectadb_agent.stateschema import checksum, transaction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PATIENCE = 10.0
"""Seconds. Damaged pages may point at each other in a circle."""
_ENTRIES = "SELECT id, at, pipeline, sink, event_id, reason, event, partition, sum FROM quarantine "
_PLAUSIBLE = 946_684_800_000_000
"""The year 2000. Nobody has logs from before."""


def last_time(path: Path) -> str:
    """Return, RFC 3339, up to when all partitions had been read for certain; ``TIME`` where that cannot be told.

    Of each partition whose checkpoint is as it was written: the time of its latest delivered record, at most the time
    of the checkpoint; of all those the earliest.
    """
    ends: list[int] = []
    now = time.time_ns() // 1000
    try:
        with _looking(path) as db:
            rows = db.execute(
                "SELECT id, pipeline, partition, value, saved_at, sum FROM checkpoint JOIN place ON id = place "
                "WHERE lane = ''"
            )
            for place, pipeline, partition, value, saved_at, sum_ in rows.fetchall():
                if checksum(pipeline, partition, "", saved_at, value) == sum_:
                    (end,) = db.execute("SELECT max(time) FROM ledger WHERE place = ?", (place,)).fetchone()
                    ends.append(min(saved_at, now, end if isinstance(end, int) and end > _PLAUSIBLE else saved_at))
    except (sqlite3.Error, TypeError, ValueError):  # ValueError: also what cannot be decoded
        # What was found so far may not be the earliest.
        return "TIME"
    return rfc3339(min(ends)) if ends else "TIME"


def quarantine(db: sqlite3.Connection, damaged: Path) -> int:
    """Take the entries that are as they were written over into ``db``; return their number."""
    found: dict[int, tuple[Any, ...]] = {}
    with contextlib.suppress(sqlite3.Error, UnicodeDecodeError), _looking(damaged) as old:
        # From both ends: damage in the middle hides what is behind it.
        for order in ("ORDER BY id", "ORDER BY id DESC"):
            with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):
                for id_, *row in old.execute(_ENTRIES + order):
                    found[id_] = tuple(row)
    with transaction(db):
        return sum(_take_over(db, found[id_]) for id_ in sorted(found))


def _take_over(db: sqlite3.Connection, row: tuple[Any, ...]) -> bool:
    at, pipeline, sink, event_id, reason, event, partition, sum_ = row
    if not isinstance(event, bytes) or checksum(pipeline, sink, event_id, event) != sum_:
        return False
    # What the sum does not cover may be anything.
    at = at if isinstance(at, int) and _PLAUSIBLE < at <= time.time_ns() // 1000 else time.time_ns() // 1000
    partition = partition if isinstance(partition, str) else None
    kept.insert(db, at, pipeline, sink, event_id, str(reason), event, partition=partition)
    return True


@contextlib.contextmanager
def _looking(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a damaged file for reading, for no longer than :data:`PATIENCE`."""
    until = time.monotonic() + PATIENCE
    with contextlib.closing(sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)) as db:
        db.set_progress_handler(lambda: time.monotonic() > until, 10_000)
        yield db
