"""Where the record's rows live: one database for each UTC day, and one, ``meta``, for what has no day.

So a day that is over the horizon can be dropped as a whole. Two ways to keep them: :mod:`~.directories` of the engine
in this process, and :mod:`~.databases` on a server, which several of us share.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import insisted
from vectadb_server.stores.moves import move_of

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractAsyncContextManager

    from vectadb_server.stores.engine import Connection

SCHEMA_VERSION = 5
META = "meta"
#: Bytes left free on the disk, unless the settings say otherwise.
MIN_FREE = 256 * 2**20

_DAY = re.compile(r"\d{4}-\d\d-\d\d")

# Columns that are indexed are integers and texts, never datetimes. `nus` is the negative of `us`: newest-first lists
# are then ascending scans. A stub is a row of `event` with `head` and without `us`, so that one key holds one row.
_DAY_SCHEMA = """
DEFINE TABLE IF NOT EXISTS event SCHEMALESS;
DEFINE TABLE IF NOT EXISTS extra SCHEMALESS;
DEFINE TABLE IF NOT EXISTS agent SCHEMALESS;
DEFINE TABLE IF NOT EXISTS agent_trace SCHEMALESS;
DEFINE TABLE IF NOT EXISTS boundary SCHEMALESS;
DEFINE TABLE IF NOT EXISTS digest SCHEMALESS;
DEFINE TABLE IF NOT EXISTS erased SCHEMALESS;
DEFINE TABLE IF NOT EXISTS expired_type SCHEMALESS;
DEFINE TABLE IF NOT EXISTS minute SCHEMALESS;
DEFINE TABLE IF NOT EXISTS outbox SCHEMALESS;
DEFINE TABLE IF NOT EXISTS session_trace SCHEMALESS;
DEFINE TABLE IF NOT EXISTS stale SCHEMALESS;
DEFINE TABLE IF NOT EXISTS pending SCHEMALESS;
DEFINE TABLE IF NOT EXISTS fence SCHEMALESS;
DEFINE TABLE IF NOT EXISTS trace SCHEMALESS;
DEFINE TABLE IF NOT EXISTS causes TYPE RELATION SCHEMALESS;
DEFINE INDEX IF NOT EXISTS event_trace ON event FIELDS trace, us;
DEFINE INDEX IF NOT EXISTS event_newest ON event FIELDS nus;
DEFINE INDEX IF NOT EXISTS trace_newest ON trace FIELDS nstart;
DEFINE INDEX IF NOT EXISTS agent_trace_name ON agent_trace FIELDS name, nstart;
DEFINE INDEX IF NOT EXISTS session_trace_name ON session_trace FIELDS name, nstart;
"""
_META_SCHEMA = """
DEFINE TABLE IF NOT EXISTS schema SCHEMALESS;
DEFINE TABLE IF NOT EXISTS home SCHEMALESS;
DEFINE TABLE IF NOT EXISTS trace_days SCHEMALESS;
DEFINE TABLE IF NOT EXISTS reindex SCHEMALESS;
DEFINE TABLE IF NOT EXISTS tail SCHEMALESS;
DEFINE TABLE IF NOT EXISTS day SCHEMALESS;
DEFINE TABLE IF NOT EXISTS dirty SCHEMALESS;
DEFINE TABLE IF NOT EXISTS lease SCHEMALESS;
DEFINE TABLE IF NOT EXISTS api_key SCHEMALESS;
DEFINE TABLE IF NOT EXISTS sign_in SCHEMALESS;
DEFINE TABLE IF NOT EXISTS report SCHEMALESS;
DEFINE TABLE IF NOT EXISTS bucket SCHEMALESS;
DEFINE TABLE IF NOT EXISTS horizon SCHEMALESS;
DEFINE TABLE IF NOT EXISTS row_count SCHEMALESS;
DEFINE TABLE IF NOT EXISTS tombstone SCHEMALESS;
DEFINE TABLE IF NOT EXISTS rewrite SCHEMALESS;
"""


class Segments(Protocol):
    """The databases. What they hold is asked for anew with each call: another server may make and drop days."""

    @property
    def shared(self) -> bool:
        """Whether other servers may use them at the same time."""
        ...

    @property
    def open_days(self) -> int:
        """How many days this process has open."""
        ...

    async def days(self) -> list[str]:
        """Return the days that have a database, ascending."""
        ...

    async def has(self, day: str) -> bool:
        """Return whether the day has a database."""
        ...

    def use(self, name: str, *, make: bool = False) -> AbstractAsyncContextManager[Connection]:
        """Lend the database of a day, or ``meta``; it stays open for as long as it is lent.

        ``make``: a day that is absent is made. Only ingest does so: whatever else is about what is there.

        Raises:
            StoreUnavailable: the day is absent; it may have been dropped a moment ago.
        """
        ...

    async def bounds(self, among: Collection[str] | None = None) -> dict[str, tuple[int, int]]:
        """Return least and most event time of days that hold events, or a little beyond: applications tell any time.

        Of all days, or of those among the given ones.
        """
        ...

    async def widen(self, day: str, least: int, most: int) -> None:
        """Let the day's bounds hold these; called before events of such times are committed."""
        ...

    async def drop(self, day: str) -> int:
        """Remove a day with everything in it; return the bytes that this gives back, as far as they can be known.

        Raises:
            StoreUnavailable: somebody goes on using it; nothing was removed.
        """
        ...

    async def rewrite(self, day: str) -> int | None:
        """Give back the space of rows that are gone from a day; return the bytes.

        ``None``: somebody writes in the day, as far as this was seen since the last call; ask again later.

        Raises:
            StoreUnavailable: it is not possible now; the day is as it was.
        """
        ...

    async def stop(self) -> None:
        """Close all."""
        ...


def schema(name: str) -> str:
    """Return the statements that make the tables of a database, where they are not there yet."""
    return _META_SCHEMA if name == META else _DAY_SCHEMA


def is_day(name: str) -> bool:
    """Return whether the name is that of a day."""
    return _DAY.fullmatch(name) is not None


async def check_version(meta: Connection, where: str) -> None:
    """Note our version in the record.

    Raises:
        StoreUnavailable: a newer version wrote the one at ``where``, or it is not all there yet.
    """
    move = await move_of(meta)
    if move is not None and not move.done:
        raise StoreUnavailable(
            f"{where}: a {move.kind} into it has not come to its end. Next: run `vectadb {move.command}` once more"
        )
    rows = await meta.one("SELECT VALUE version FROM schema:record")
    if not rows or rows[0] < SCHEMA_VERSION:
        # What an older version wrote is read; what we write it may not understand.
        await insisted(meta, "UPSERT schema:record SET version = $version RETURN NONE", {"version": SCHEMA_VERSION})
    elif rows[0] > SCHEMA_VERSION:
        raise StoreUnavailable(
            f"{where}: written by a newer VectaDB (schema {rows[0]}; this one reads up to {SCHEMA_VERSION}); "
            "install that version, or give another place"
        )
