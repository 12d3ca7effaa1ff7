"""One connection to SurrealDB: the only module that imports its SDK.

What the SDK leaves to its caller is done here: every statement's status is looked at (the SDK looks at the first),
parse errors are raised (it returns them), and a query that was begun ends even if its task is cancelled, since the
engine cannot be closed in the middle of one.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import cbor2
from surrealdb import AsyncSurreal, RecordID
from surrealdb_embedded import AsyncEmbeddedDB

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


_NONE_TAG, _RECORD_TAG = 6, 8
_NONE = cbor2.CBORTag(_NONE_TAG, None)
"""SurrealDB's NONE (a field that is not there), which the SDK makes of Python's ``None``; CBOR's own null is NULL."""


class _Embedded:
    """What we use of the SDK's connection, on the engine in this process, by an encoder in C.

    The SDK's own encoder is Python, and took a third of an ingest's time. The bytes are the same; so are the values,
    for the types that our rows are made of.
    """

    def __init__(self, url: str) -> None:
        self._db = AsyncEmbeddedDB(url)

    async def connect(self) -> None:
        await self._db.connect()

    async def use(self, namespace: str, database: str) -> None:
        await self._call("use", [namespace, database])

    async def query_raw(self, sql: str, values: dict[str, Any]) -> Any:
        return await self._call("query", [sql, _with_none(values)])

    async def close(self) -> None:
        await self._db.close()

    async def _call(self, method: str, parameters: list[Any]) -> Any:
        request = cbor2.dumps({"id": "1", "method": method, "params": parameters}, default=_encode)
        return cbor2.loads(await self._db.execute(request), tag_hook=_decode)


def _with_none(value: Any) -> Any:
    if value is None:
        return _NONE
    if isinstance(value, dict):
        return {key: _with_none(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_none(item) if item is None or isinstance(item, dict | list) else item for item in value]
    return value


def _encode(encoder: cbor2.CBOREncoder, value: Any) -> None:
    if not isinstance(value, RecordID):
        raise TypeError(f"a row holds a {type(value).__name__}, which the record store has no form for")
    encoder.encode(cbor2.CBORTag(_RECORD_TAG, [value.table_name, _with_none(value.id)]))


def _decode(decoder: cbor2.CBORDecoder, tag: cbor2.CBORTag) -> Any:
    if tag.tag == _NONE_TAG:
        return None
    return RecordID(*tag.value) if tag.tag == _RECORD_TAG else tag


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
    db: Any = _Embedded(url) if url.startswith("surrealkv://") else AsyncSurreal(url)
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
