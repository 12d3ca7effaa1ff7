"""One connection to SurrealDB: the only module that imports its SDK.

What the SDK leaves to its caller is done here: every statement's status is looked at (the SDK looks at the first),
parse errors are raised (it returns them), and a query that was begun ends even if its task is cancelled, since the
engine cannot be closed in the middle of one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from surrealdb import AsyncSurreal, RecordID

from vectadb_server.stores.base import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from uuid import UUID

__all__ = ["Conflict", "Connection", "connect", "key_of", "record"]


class Conflict(Exception):
    """Somebody else wrote the same rows: nothing of the transaction was done; read again, decide again."""


def record(table: str, key: UUID | str | list[Any]) -> RecordID:
    """Return the reference to a row."""
    return RecordID(table, key)


def key_of(reference: Any) -> Any:
    """Return what identifies the row within its table: a UUID, text, or list."""
    return reference.id


class Connection:
    """An open database. Up to three tasks may use it at once."""

    def __init__(self, db: Any) -> None:
        self._db = db
        self._running: set[asyncio.Task[Any]] = set()

    async def run(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """Run the statements; return the result of each, ``BEGIN`` and ``COMMIT`` included.

        Raises:
            Conflict: the transaction met another one, a row that exists already, or ``THROW``.
            StoreUnavailable: the engine failed in another way.
            RuntimeError: the query is malformed, which is a mistake in this package.
        """
        task = asyncio.ensure_future(self._db.query_raw(sql, dict(values or {})))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        reply = await asyncio.shield(task)
        if "error" in reply:
            if reply["error"].get("kind") == "Validation":
                raise RuntimeError(f"the record store does not understand a query: {reply['error']}")
            raise StoreUnavailable(f"the record store refused a query: {reply['error']}")
        results = reply["result"]
        failed = [item for item in results if item["status"] != "OK"]
        if failed:
            raise _failure(failed)
        return [item["result"] for item in results]

    async def one(self, sql: str, values: Mapping[str, Any] | None = None) -> Any:
        """As :meth:`run`, for a single statement: return its result."""
        return (await self.run(sql, values))[0]

    async def close(self) -> None:
        """Wait for what is under way, then close."""
        while self._running:
            await asyncio.wait(self._running)
        await self._db.close()


async def connect(url: str, namespace: str, database: str) -> Connection:
    """Open ``url``: ``surrealkv://<directory>`` in this process, or ``ws://…`` on a server.

    Raises:
        StoreUnavailable: it cannot be opened.
    """
    db: Any = AsyncSurreal(url)
    try:
        await db.connect()
        await db.use(namespace, database)
    except Exception as error:
        raise StoreUnavailable(f"cannot open {url}: {error}") from error
    return Connection(db)


def _failure(failed: list[dict[str, Any]]) -> Exception:
    """The cause may sit in any statement of a transaction; the others only say that they were not executed."""
    for item in failed:
        details = item.get("details") or {}
        kinds = {item.get("kind"), details.get("kind") if isinstance(details, dict) else None}
        if kinds & {"AlreadyExists", "TransactionConflict", "Thrown"}:
            return Conflict(str(item.get("result")))
    return StoreUnavailable(f"the record store failed: {'; '.join(str(item.get('result')) for item in failed)[:2000]}")
