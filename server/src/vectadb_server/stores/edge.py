"""Search in a process of its own: a :class:`~vectadb_server.stores.base.SearchIndex` over Qdrant Edge or a Qdrant."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import socket
import subprocess
import sys
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_server import tracing, words
from vectadb_server.stores.base import Document, Health, Hit, MeaningUnavailable, Mode, SearchFilter, SearchUnavailable
from vectadb_server.stores.framing import (
    Begin,
    Call,
    Count,
    Days,
    Delete,
    DropDays,
    Finish,
    Frames,
    Hello,
    Listing,
    Open,
    Refusal,
    Remote,
    Reply,
    Search,
    Survey,
    Upsert,
    decode_answer,
    frame,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    from vectadb_server.embedding_http import HttpEmbedder

_log = logging.getLogger(__name__)

_FOLDER = "search"  # within the data directory
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_TOGETHER, _TOGETHER_BYTES = 256, 1_000_000  # documents and bytes of text in one message
_DELETED = 5_000  # ids in one message
_MOST_BYTES = 8_000_000  # of writes that the process has not yet answered; further ones wait
_MOST_SEARCHES = 64  # likewise, searches
_STARTED = 30.0  # seconds that a call waits for the process to start
_STUCK = 60.0  # seconds after which a process that does not answer is killed and started again
_STOPPED = 15.0  # seconds that the process may take to flush and end
_ENDED = "the search process ended; it is started again. Next: try again"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 30.0  # seconds between two starts; doubled each time it does not come up


class IndexRefused(SearchUnavailable):
    """The search index on disk cannot be used as it is. The text says why and what to do."""


class EdgeSearch:
    """Qdrant Edge, or the client of a Qdrant, in a child process.

    It is started by the first call or :meth:`start`, and again whenever it dies.

    Calls under way when it dies raise :class:`SearchUnavailable`; what was answered before is kept. For one event loop.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        min_free: int = 0,
        embedder: HttpEmbedder | None = None,
        remote: Remote | None = None,
        elsewhere: Callable[[], bool] = lambda: False,
    ) -> None:
        """Take the index in ``data_dir``, or the one that is ``remote``.

        Nothing is written that leaves less than ``min_free`` bytes on the directory's disk. ``embedder``: makes the
        vectors; ``None``: the process does, with wordllama. It is closed with this. ``elsewhere()``: another server
        indexes now, so that what is in the directory may be old, and no call is answered from it.
        """
        self._elsewhere = elsewhere
        self._embedder, self._remote = embedder, remote
        self._folder = data_dir / _FOLDER
        self._min_free = min_free
        self._numbers = itertools.count(1)
        self._pending: dict[int, asyncio.Future[Reply]] = {}
        self._hello: Hello | None = None
        self._refusal: str | None = None
        self._erase = False  # the next process is to erase an index that it cannot use
        self._wanted = asyncio.Event()  # it is to be started now, however long the pause
        self._decided = asyncio.Event()  # the process is up, or has refused
        self._writer: asyncio.StreamWriter | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._closing = False
        self._starts = 0
        self._documents = self._shards = 0
        self._room = _Room(_MOST_BYTES)
        self._searches = asyncio.Semaphore(_MOST_SEARCHES)

    async def start(self) -> None:
        """Start the process and wait until it is ready (about a second).

        Raises:
            IndexRefused: the index on disk was made with another embedder, is damaged or in use.
            SearchUnavailable: the process does not come up.
        """
        await self._connection()

    @property
    def generation(self) -> int:
        """Another number when the index was made anew, so that all must be indexed again; 0 before the first start."""
        return self._hello.generation if self._hello else 0

    async def upsert(self, documents: Sequence[Document]) -> None:
        """See :meth:`SearchIndex.upsert`. Of a long text only the head and tail that search looks at are sent.

        Raises:
            SearchUnavailable: the engine is not there now; try again.
            ValueError: a day is not of the form ``YYYY-MM-DD``.
        """
        part: list[Document] = []
        size = 0
        for document in documents:
            _check_day(document.day)
            if len(document.text) > words.HEAD + words.TAIL:
                document = msgspec.structs.replace(document, text=words.clip(document.text, words.HEAD, words.TAIL))
            part.append(document)
            size += len(document.text)
            if len(part) >= _TOGETHER or size >= _TOGETHER_BYTES:
                await self._upsert(part)
                part, size = [], 0
        if part:
            await self._upsert(part)

    async def delete(self, event_ids: Sequence[tuple[str, str]]) -> None:
        """See :meth:`SearchIndex.delete`.

        Raises:
            SearchUnavailable: the engine is not there now; try again.
        """
        for start in range(0, len(event_ids), _DELETED):
            await self._write(Delete(next(self._numbers), list(event_ids[start : start + _DELETED])))

    async def search(self, query: str, *, mode: Mode, where: SearchFilter, limit: int) -> list[Hit]:
        """See :meth:`SearchIndex.search`. ``semantic`` scores are cosines, ``text`` BM25, ``hybrid`` fused ranks.

        Raises:
            MeaningUnavailable: the embedder does not answer now.
            SearchUnavailable: the engine is not there now; try again.
        """
        if limit < 1:
            return []
        query = words.clip(query, words.HEAD, words.TAIL)
        async with self._searches:
            vector = None
            if self._embedder is not None and mode != "text":
                [vector] = await self._embedder.embed([query], patient=False)
            return (await self._call(Search(next(self._numbers), query, mode, where, limit, vector))).hits

    async def drop_days(self, before: str) -> None:
        """See :meth:`SearchIndex.drop_days`.

        Raises:
            SearchUnavailable: the engine is not there now; try again.
            ValueError: ``before`` is not of the form ``YYYY-MM-DD``.
        """
        _check_day(before)
        await self._write(DropDays(next(self._numbers), before))

    async def count(self) -> int:
        """See :meth:`SearchIndex.count`."""
        return (await self._call(Count(next(self._numbers)))).documents

    async def days(self) -> list[str]:
        """Return the days that have a shard, ascending."""
        return (await self._call(Days(next(self._numbers)))).days

    async def begin(self, day: str) -> bool:
        """Make a day anew, or go on: what is written goes to the old shard, which answers, and to the new one.

        Returns whether the new one is empty, so that all of the day must be written again.
        """
        return (await self._call(Begin(next(self._numbers), day))).fresh

    async def finish(self, day: str) -> None:
        """Let a day's new shard answer, and remove the old one; done twice it changes nothing."""
        await self._call(Finish(next(self._numbers), day))

    async def survey(self, day: str) -> list[tuple[int, int]]:
        """Return the number of the day's documents and the sum of their marks for each bucket, modulo 2**128.

        See :func:`~vectadb_server.stores.framing.bucket_of` and :func:`~vectadb_server.stores.framing.mark_of`.
        """
        found = (await self._call(Survey(next(self._numbers), day))).buckets
        return [(count, int(total, 16)) for count, total in found]

    async def listing(self, day: str, buckets: Sequence[int]) -> dict[str, int]:
        """Return the mark of each document of these buckets, by event id."""
        found = (await self._call(Listing(next(self._numbers), day, list(buckets)))).marks
        return {event_id: int(mark, 16) for event_id, mark in found.items()}

    async def renew(self) -> None:
        """Where the process refuses the index on disk, have it start with an empty one; else do nothing.

        The process itself erases, under its lock: nobody else can know that none has the directory open.

        Raises:
            SearchUnavailable: the process does not come up, or refuses for another reason than the index.
        """
        try:
            await self.start()
        except IndexRefused:
            self._refusal = None
            self._decided.clear()
            self._erase = True
            self._wanted.set()
            await self.start()

    def health(self) -> Health:
        """Say how the process is, without asking it: the counts are those of its last answer."""
        alive = self._writer is not None
        return Health(
            alive=alive,
            pid=self._process.pid if alive and self._process else None,
            restarts=max(0, self._starts - 1),
            documents=self._documents,
            shards=self._shards,
            error=self._refusal,
        )

    async def close(self) -> None:
        """Flush and stop; a process that takes too long is killed, which loses nothing."""
        if self._embedder is not None:
            await self._embedder.close()
        self._closing = True
        self._decided.set()
        if self._supervisor is None:
            return
        if self._writer is not None:
            self._writer.close()  # the process sees the end of the stream, flushes and ends
        else:
            self._supervisor.cancel()
        await asyncio.wait([self._supervisor])
        if self._process is not None:
            await _ended(self._process)

    async def _upsert(self, documents: list[Document]) -> None:
        vectors = None
        if self._embedder is not None:
            vectors = await self._embedder.embed([document.meaning for document in documents])
        await self._write(Upsert(next(self._numbers), documents, vectors))

    async def _opening(self) -> Open:
        """What the process is to serve."""
        level = logging.getLevelName(_log.getEffectiveLevel()).lower()
        opening = Open(str(self._folder), self._min_free, self._erase, remote=self._remote, log_level=level)
        if self._embedder is not None:
            opening.embedder = self._embedder.name
            with suppress(MeaningUnavailable):
                opening.size = await self._embedder.size()
        return opening

    async def _write(self, call: Call) -> None:
        data = _encode(call)
        async with self._room.taken(len(data)):
            await self._call(call, data)

    async def _call(self, call: Call, data: bytes | None = None) -> Reply:
        operation = type(call).__name__.lower()
        said = {"db.system.name": "qdrant", "db.operation.name": operation}
        with tracing.span(f"search index {operation}", said, kind="client"):
            return await self._answered(call, data)

    async def _answered(self, call: Call, data: bytes | None) -> Reply:
        if self._remote is None and self._elsewhere():
            raise SearchUnavailable(
                "the search index is on the disk of the server that indexes now, which is another one. "
                "Next: ask that one, or keep the index where all servers reach it (VECTADB_QDRANT_URL)"
            )
        data = data or _encode(call)
        writer = await self._connection()
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._pending[call.call] = future
        try:
            writer.write(data)
            async with asyncio.timeout(_STUCK):
                await writer.drain()
                reply = await future
        except TimeoutError:
            _log.error("the search process has not answered for %.0f s: it is killed and started again", _STUCK)
            if writer is self._writer and self._process is not None:
                self._process.kill()
            raise SearchUnavailable(
                "the search process does not answer; it is started again. Next: try again"
            ) from None
        except ConnectionError as error:
            # Seen here before the supervisor has seen it: the next call waits for the new process.
            if writer is self._writer:
                self._lose()
            raise SearchUnavailable(_ENDED) from error
        finally:
            self._pending.pop(call.call, None)
        if reply.error is not None:
            raise SearchUnavailable(f"the search index could not do it: {reply.error}")
        return reply

    async def _connection(self) -> asyncio.StreamWriter:
        """The stream to the running process; waits while it starts."""
        if self._supervisor is None and not self._closing:
            self._supervisor = asyncio.create_task(self._supervise(), name="search process")
        try:
            async with asyncio.timeout(_STARTED):
                while True:
                    if self._closing:
                        raise SearchUnavailable("the search index is closed")
                    if self._writer is not None:
                        return self._writer
                    if self._refusal is not None:
                        raise IndexRefused(self._refusal)
                    await self._decided.wait()
        except TimeoutError:
            raise SearchUnavailable("the search process does not start; its log lines say why") from None

    async def _supervise(self) -> None:
        """Run the process, and again when it ends, until :meth:`close`."""
        pause = 0.0
        while not self._closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wanted.wait()
            self._wanted.clear()
            self._starts += 1
            came_up = await self._run()
            pause = _FIRST_PAUSE if came_up else min(max(2 * pause, _FIRST_PAUSE), _LONGEST_PAUSE)

    async def _run(self) -> bool:
        """Start the process and hear it out. Returns whether it came up."""
        ours, theirs = socket.socketpair()
        with theirs:  # closed here once the process has it: else its death would not end the stream
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                opening = frame(await self._opening())
                self._process = process = _spawn(theirs)
            except OSError as error:
                _log.error("the search process cannot be started: %s", error)
                writer.close()
                return False
        came_up = False
        frames = Frames()
        try:
            writer.write(opening)
            while data := await reader.read(1 << 18):
                for message in frames.feed(data):
                    came_up = self._hear(message, writer) or came_up
        except (ConnectionError, ValueError, msgspec.MsgspecError) as error:
            _log.warning("the stream from the search process broke: %s", error)
        finally:
            self._lose()
            for future in self._pending.values():
                if not future.done():
                    future.set_exception(SearchUnavailable(_ENDED))
            writer.close()
            await _ended(process)
            if not self._closing:
                _log.warning("the search process ended (exit code %s); it is started again", process.returncode)
        return came_up

    def _lose(self) -> None:
        """Let calls wait for the next process, unless this one has refused."""
        self._writer = None
        if self._refusal is None and not self._closing:
            self._decided.clear()

    def _hear(self, message: bytes, writer: asyncio.StreamWriter) -> bool:
        """Take one message of the process. Returns whether it is up."""
        answer = decode_answer(message)
        if isinstance(answer, Refusal):
            self._refusal = answer.error
            self._decided.set()
            return False
        self._documents, self._shards = answer.documents, answer.shards
        if isinstance(answer, Hello):
            self._hello, self._refusal, self._erase, self._writer = answer, None, False, writer
            self._decided.set()
        else:
            future = self._pending.get(answer.call)
            if future is not None and not future.done():
                future.set_result(answer)
        return True


class _Room:
    """Bounds the bytes under way."""

    def __init__(self, most: int) -> None:
        self._most = self._free = most
        self._changed = asyncio.Condition()

    @asynccontextmanager
    async def taken(self, size: int) -> AsyncIterator[None]:
        """Hold ``size`` bytes, once they are free; what is larger than the whole room takes all of it."""
        size = min(size, self._most)
        async with self._changed:
            await self._changed.wait_for(lambda: self._free >= size)
            self._free -= size
        try:
            yield
        finally:
            self._free += size
            async with self._changed:
                self._changed.notify_all()


def _spawn(sock: socket.socket) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "vectadb_server.stores.edge_process", str(sock.fileno())]
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command, pass_fds=[sock.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )


async def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process, which has been told to end, has ended."""
    try:
        await asyncio.to_thread(process.wait, _STOPPED)
    except subprocess.TimeoutExpired:
        process.kill()
        await asyncio.to_thread(process.wait)


def _check_day(day: str) -> None:
    if not _DAY.fullmatch(day):
        raise ValueError(f"not a day: {day!r}. Right would be YYYY-MM-DD")


def _encode(call: Call) -> bytes:
    """The call as a frame. What UTF-8 cannot carry (lone surrogates) becomes a question mark."""
    try:
        return frame(call)
    except UnicodeEncodeError:
        return frame(msgspec.convert(_carried(msgspec.to_builtins(call)), type(call)))


def _carried(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _carried(item) for key, item in value.items()}
    return [_carried(item) for item in value] if isinstance(value, list | tuple) else value
