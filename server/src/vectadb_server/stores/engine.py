"""One connection to SurrealDB: the only module that imports its engine.

That is the engine of SurrealDB's SDK, without the SDK around it: importing that takes half a second and 38 MB, and
its encoder, in Python, took a third of an ingest's time. What the SDK leaves to its caller is done here as well: every
statement's status is looked at (the SDK looks at the first), parse errors are raised (it returns them), and a query
that was begun ends even if its task is cancelled, since the engine cannot be closed in the middle of one. What its
engine does after a write that failed, and after a torn log, is mended here: see :class:`Connection` and
:func:`connect`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

import cbor2
import msgspec
from surrealdb_embedded import AsyncEmbeddedDB

from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.space import MARGIN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from vectadb_server.stores.space import Space

__all__ = [
    "NEVER",
    "CannotOpen",
    "Conflict",
    "Connection",
    "Encoded",
    "Reference",
    "Rows",
    "canonical",
    "connect",
    "identity",
    "insisted",
    "key_of",
    "log_size",
    "range_of",
    "record",
]

_log = logging.getLogger(__name__)

_EMBEDDED = "surrealkv://"
_READS = ("SELECT ", "RETURN ")
CAN_BE_RETRIED = "This transaction can be retried"
"""What the engine says where somebody else wrote the same."""
_ATTEMPTS = 20
NEVER = -math.inf
_LOCKED = 60.0  # seconds that the engine may take to let go of a directory that it has closed


class CannotOpen(StoreUnavailable):
    """A database cannot be opened; the text says why."""


class Conflict(Exception):
    """Somebody else wrote the same rows: nothing of the transaction was done; read again, decide again."""


class Reference(msgspec.Struct, frozen=True):
    """A row's name: ``key`` identifies it within its table, a UUID, text, or list."""

    table: str
    key: Any


def record(table: str, key: UUID | cbor2.CBORTag | str | list[Any]) -> Reference:
    """Return the reference to a row."""
    return Reference(table, key)


def key_of(reference: Any) -> Any:
    """Return what identifies the row within its table: a UUID, text, or list."""
    return reference.key


_NONE_TAG, _RECORD_TAG, _UUID_TAG, _RANGE_TAG, _BOUND_TAG = 6, 8, 37, 49, 50
_NONE = cbor2.CBORTag(_NONE_TAG, None)
"""SurrealDB's NONE (a field that is not there), which Python's ``None`` stands for; CBOR's own null is NULL."""


def identity(event_id: str) -> cbor2.CBORTag:
    """Return what a UUID in its usual spelling is to the engine: as ``UUID(event_id)``, in a third of the time."""
    return cbor2.CBORTag(_UUID_TAG, bytes.fromhex(event_id.replace("-", "")))


def range_of(table: str, first: Any, last: Any) -> cbor2.CBORTag:
    """Return a reference to the table's rows from the key ``first`` to ``last``, both inclusive."""
    bounds = [cbor2.CBORTag(_BOUND_TAG, first), cbor2.CBORTag(_BOUND_TAG, last)]
    return cbor2.CBORTag(_RECORD_TAG, [table, cbor2.CBORTag(_RANGE_TAG, bounds)])


def canonical(value: Any) -> bytes:
    """Return the bytes of a value, which are the same for equal ones: deterministic CBOR."""
    return cbor2.dumps(value, default=_encode, canonical=True)


_PLAIN = frozenset({str, int, float, bool, UUID})
"""What holds no NONE: to look at each of these by itself took a tenth of an ingest's time."""


class Rows(list[dict[str, Any]]):
    """Rows that hold no ``None``: they are not looked through for it, which takes half as long as to encode them."""


class Encoded(msgspec.Struct, frozen=True):
    """Values in CBOR already, one behind the other: they go to the engine as an array."""

    count: int
    values: bytes


class _Embedded:
    """The engine in this process, spoken to as by its SDK: the same bytes, for the types that our rows are made of."""

    def __init__(self, db: Any) -> None:
        self._db = db

    @classmethod
    async def opened(cls, url: str) -> Self:
        # Its constructor reads the whole log back: seconds, for which nobody else would be served.
        made = cls(await asyncio.to_thread(AsyncEmbeddedDB, url))
        try:
            await made._db.connect()
        except BaseException:
            await made.close()
            raise
        return made

    async def use(self, namespace: str, database: str) -> None:
        await self._call("use", [namespace, database])

    async def query_raw(self, sql: str, values: dict[str, Any]) -> Any:
        return await self._call("query", [sql, with_none(values)])

    async def close(self) -> None:
        await self._db.close()

    async def _call(self, method: str, parameters: list[Any]) -> Any:
        return unpacked(await self._db.execute(packed("1", method, parameters)))


def packed(number: str, method: str, parameters: list[Any]) -> bytes:
    """Return a call as the engine understands it."""
    return cbor2.dumps({"id": number, "method": method, "params": parameters}, default=_encode)


def unpacked(reply: bytes) -> Any:
    """Return what the engine said."""
    return cbor2.loads(reply, tag_hook=_decode)


def with_none(value: Any) -> Any:
    """Return parameters as the engine understands them."""
    if value is None:
        return _NONE
    if type(value) is Rows:
        return value
    if isinstance(value, dict):
        return {key: item if type(item) in _PLAIN else with_none(item) for key, item in value.items()}
    if isinstance(value, list):
        return [item if type(item) in _PLAIN else with_none(item) for item in value]
    return value


def _encode(encoder: cbor2.CBOREncoder, value: Any) -> None:
    if isinstance(value, Encoded):
        encoder.encode_length(4, value.count)  # the kind of an array
        encoder.write(value.values)
        return
    if not isinstance(value, Reference):
        raise TypeError(f"a row holds a {type(value).__name__}, which the record store has no form for")
    encoder.encode(cbor2.CBORTag(_RECORD_TAG, [value.table, with_none(value.key)]))


def _decode(decoder: cbor2.CBORDecoder, tag: cbor2.CBORTag) -> Any:
    if tag.tag == _NONE_TAG:
        return None
    return Reference(*tag.value) if tag.tag == _RECORD_TAG else tag


class Connection:
    """An open database. Up to three tasks may use it at once.

    A write that fails for another reason than its rows may leave half a commit in the engine's log. What is committed
    behind that is answered and readable, and gone after the next crash. So nothing more is written then until the
    database was closed, which empties its log, and opened again: the next write does that, once there is room for it.
    """

    def __init__(
        self,
        db: Any,
        *,
        space: Space | None = None,
        closable: Callable[[], None] | None = None,
        opened: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        """Take an open database.

        ``opened()`` opens it again once it is closed; ``closable()`` raises :class:`StoreFull` where there is no room
        for closing it. Without them nothing is mended.
        """
        self._db = db
        self._space = space
        self._closable, self._opened = closable, opened
        self._running: set[asyncio.Task[Any]] = set()
        #: How many writes were asked for; when the last one was, and when it was opened, as the monotonic clock has it.
        self.writes, self.written, self.since = 0, NEVER, time.monotonic()
        self._hurt: str | None = None
        self._mending: asyncio.Task[None] | None = None

    async def run(self, sql: str, values: Mapping[str, Any] | None = None) -> list[Any]:
        """Run the statements; return the result of each, ``BEGIN`` and ``COMMIT`` included.

        Raises:
            Conflict: the transaction met another one, a row that exists already, or ``THROW``.
            StoreFull: there is too little room on the disk to write; nothing was.
            StoreUnavailable: the engine failed in another way.
            RuntimeError: the query is malformed, which is a mistake in this package.
        """
        writes = not sql.startswith(_READS)
        if writes:
            self.writes, self.written = self.writes + 1, time.monotonic()
        if writes and self._space is not None:
            self._space.check()
        while self._mending is not None or self._db is None or (writes and self._hurt is not None):
            try:
                await self._mended()
            except StoreUnavailable:
                if writes or self._db is None:
                    raise
        task = asyncio.ensure_future(self._results(self._db, sql, dict(values or {})))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            results = await asyncio.shield(task)
        except StoreUnavailable as error:
            if writes and self._opened is not None and self._hurt is None:
                self._hurt = str(error)
            raise
        if writes and self._hurt is not None:
            raise StoreUnavailable(self._hurt)  # It may stand behind the half commit of another.
        return results

    async def one(self, sql: str, values: Mapping[str, Any] | None = None) -> Any:
        """As :meth:`run`, for a single statement: return its result."""
        return (await self.run(sql, values))[0]

    @property
    def at_work(self) -> bool:
        """Whether a query is under way; nobody need wait for it any more."""
        return bool(self._running) or self._mending is not None

    async def close(self) -> None:
        """Wait for what is under way, then close."""
        while self._running or self._mending is not None:
            await asyncio.wait([*self._running, *([self._mending] if self._mending is not None else [])])
        if self._db is not None:
            await self._db.close()

    async def _results(self, db: Any, sql: str, values: dict[str, Any]) -> list[Any]:
        reply = await db.query_raw(sql, values)
        if "error" in reply:
            if reply["error"].get("kind") == "Validation":
                raise RuntimeError(f"the record store does not understand a query: {reply['error']}")
            raise StoreUnavailable(f"the record store refused a query: {reply['error']}")
        results = reply["result"]
        failed = [item for item in results if item["status"] != "OK"]
        if failed:
            raise _failure(failed)
        return [item["result"] for item in results]

    async def _mended(self) -> None:
        """Close and open again, once for all who wait.

        Raises:
            StoreUnavailable: not possible now; reading goes on if it was not closed.
        """
        if self._mending is None:
            self._mending = asyncio.create_task(self._mend(), name="opening a database again")
        await asyncio.shield(self._mending)

    async def _mend(self) -> None:
        assert self._closable is not None
        assert self._opened is not None
        try:
            while self._running:
                await asyncio.wait(self._running)
            if self._db is not None:
                self._closable()
                db, self._db = self._db, None
                await db.close()
            self._db = await self._opened()
            self._hurt = None
        finally:
            self._mending = None


async def insisted(connection: Connection, sql: str, values: dict[str, Any] | None = None) -> list[Any]:
    """Run what does not depend on what others write, again where another server wrote the same rows.

    Raises:
        StoreUnavailable: even so, again and again.
    """
    for attempt in range(_ATTEMPTS):
        try:
            return await connection.run(sql, values)
        except Conflict as error:
            last = error
            await asyncio.sleep(0.005 * attempt)
    raise StoreUnavailable(f"others write the same rows again and again: {last}")


async def connect(url: str, namespace: str, database: str, space: Space | None = None) -> Connection:
    """Open ``url``: ``surrealkv://<directory>``, made if absent, in this process.

    Args:
        url: where it is.
        namespace: of the database.
        database: its name.
        space: of the directory's disk: writes are refused where there is too little. ``None``: nobody looks.

    Raises:
        StoreUnavailable: it cannot be opened.
    """
    folder = Path(url.removeprefix(_EMBEDDED))

    def closable() -> None:
        if space is not None:
            space.check(log_size(folder))

    async def opened() -> Any:
        return await _opened(folder, namespace, database, space)

    # Who asked may go away meanwhile. What is open then and in nobody's hands would keep its lock for good.
    opening = asyncio.ensure_future(opened())
    try:
        db = await asyncio.shield(opening)
    except asyncio.CancelledError:
        closing = asyncio.ensure_future(_closed_once_open(opening))
        _left.add(closing)
        closing.add_done_callback(_left.discard)
        raise
    return Connection(db, space=space, closable=closable, opened=opened)


_left: set[asyncio.Future[None]] = set()
"""Databases that are being opened though nobody waits any more."""


async def _closed_once_open(opening: asyncio.Future[Any]) -> None:
    with contextlib.suppress(Exception):
        await (await opening).close()


def log_size(folder: Path) -> int:
    """Return the bytes that closing the database in ``folder`` may write: its log, put in order."""
    return sum(size for size, _ in _logs(folder).values())


async def _opened(folder: Path, namespace: str, database: str, space: Space | None) -> Any:
    before = _logs(folder)
    if space is not None:
        # The log may have to be written anew; and half an opening would keep the lock until the process ends.
        space.check(sum(size for size, _ in before.values()), least=MARGIN)
    db = await _unlocked(folder, namespace, database)
    after = _logs(folder)
    if any(name in after and after[name][1] != inode for name, (_, inode) in before.items()):
        # The end of the log was torn, and the engine has written the log anew, but goes on in the file that it
        # replaced, which has no name any more: what is committed now would be gone after a crash.
        _log.info("%s: its log was mended after a crash", folder)
        await db.close()
        db = await _unlocked(folder, namespace, database)
    return db


async def _unlocked(folder: Path, namespace: str, database: str) -> Any:
    """Open it, once the engine has let go of it: it does so some time after its close has returned."""
    pause, end = 0.005, asyncio.get_running_loop().time() + _LOCKED
    while True:
        db = None
        try:
            db = await _Embedded.opened(f"{_EMBEDDED}{folder}")
            await db.use(namespace, database)
        except Exception as error:
            if db is not None:
                await db.close()
            if "already locked" not in str(error) or asyncio.get_running_loop().time() > end:
                raise CannotOpen(f"cannot open {folder}: {error}") from error
            await asyncio.sleep(pause)
            pause = min(2 * pause, 0.2)
        else:
            return db


def _logs(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and inode of each file of the engine's log, by name."""
    found: dict[str, tuple[int, int]] = {}
    for path in folder.joinpath("wal").glob("*.wal"):
        with contextlib.suppress(FileNotFoundError):
            status = path.stat()
            found[path.name] = status.st_size, status.st_ino
    return found


def _failure(failed: list[dict[str, Any]]) -> Exception:
    """The cause may sit in any statement of a transaction; the others only say that they were not executed."""
    for item in failed:
        details = item.get("details") or {}
        kinds = {item.get("kind"), details.get("kind") if isinstance(details, dict) else None}
        # Core 3.0 has no kind for a conflict that is found at the commit.
        if kinds & {"AlreadyExists", "TransactionConflict", "Thrown"} or CAN_BE_RETRIED in str(item.get("result")):
            return Conflict(str(item.get("result")))
    return StoreUnavailable(f"the record store failed: {'; '.join(str(item.get('result')) for item in failed)[:2000]}")
