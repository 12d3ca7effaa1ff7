"""The search process: it alone holds engine, or a Qdrant's client, and wordllama: their long calls stop nobody.

Started by :mod:`vectadb_server.stores.edge` as ``python -m vectadb_server.stores.edge_process SOCKET``; the first
message says what to serve, and it ends when the other end of the socket closes. One thread: all waiting searches first,
then one slice of what takes longer. Writes are done in the order they came. Nothing goes to stdout; stderr gets one
JSON object a line, from the server's own log level on.
"""

from __future__ import annotations

import fcntl
import logging
import select
import signal
import socket
import sys
import time
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vectadb_server import logs
from vectadb_server.embedding import Elsewhere, EmbeddingUnavailable, WordLlama
from vectadb_server.stores.edge_index import Index
from vectadb_server.stores.edge_shards import IndexUnusable
from vectadb_server.stores.framing import (
    Answer,
    Begin,
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
    Reply,
    Search,
    Survey,
    Upsert,
    decode_call,
    decode_open,
    frame,
)
from vectadb_server.stores.space import Space

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from types import TracebackType

    from vectadb_server.embedding import Embedder
    from vectadb_server.stores.base import Document
    from vectadb_server.stores.search_engine import SearchEngine

    Steps = Generator[None, None, Reply]

_log = logging.getLogger("vectadb_server.search")

_SLICE, _SLICE_CHARS = 32, 65_536  # documents and characters written between two looks at the socket: about 7 ms
_DELETED = 500  # documents deleted between two looks
_LOCKED = 10.0  # seconds to wait for a predecessor that still flushes
_TICK = 1.0  # seconds between two rounds of housekeeping while nobody asks

Quick = Search | Count | Days
Slow = Upsert | Delete | DropDays | Begin | Finish | Survey | Listing


def serve(sock: socket.socket, index: SearchEngine, frames: Frames) -> None:
    """Answer calls until the other end closes."""
    reads: deque[Quick] = deque()
    writes: deque[tuple[Slow, Steps]] = deque()
    due = False
    while True:
        # Whatever is left to do, the socket is looked at first: a search waits for one slice at most.
        ready, _, _ = select.select([sock], [], [], 0 if reads or writes or due else _TICK)
        if ready:
            data = sock.recv(1 << 20)
            if not data:
                return
            for message in frames.feed(data):
                call = decode_call(message)
                if isinstance(call, Search | Count | Days):
                    reads.append(call)
                else:
                    writes.append((call, _steps(index, call)))
        while reads:
            _send(sock, _read(index, reads.popleft()))
        if writes:
            reply = _step(index, *writes[0])
            if reply:
                writes.popleft()
                _send(sock, reply)
        due = _maintain(index, quiet=not (ready or writes))


def _read(index: SearchEngine, call: Quick) -> Reply:
    try:
        reply = _reply(index, call)
        if isinstance(call, Search):
            reply.hits = index.search(call.query, call.mode, call.where, call.limit, call.vector)
        elif isinstance(call, Days):
            reply.days = index.days()
        elif isinstance(call, Count):
            reply.documents = index.count()
    except Exception as error:  # noqa: BLE001 - the engine raises plain Exception; the process outlives it
        return _failed(index, call.call, error)
    return reply


def _step(index: SearchEngine, call: Slow, steps: Steps) -> Reply | None:
    """Go on with a call; the reply once it is done or has failed."""
    try:
        next(steps)
    except StopIteration as end:
        reply: Reply = end.value
        return reply
    except Exception as error:  # noqa: BLE001 - the engine raises plain Exception; the process outlives it
        return _failed(index, call.call, error)
    return None


def _steps(index: SearchEngine, call: Slow) -> Steps:
    """Do what takes long, or must be done in order, a few milliseconds at a time."""
    if isinstance(call, Begin):
        fresh = index.begin(call.day)
        return msgspec.structs.replace(_reply(index, call), fresh=fresh)
    if isinstance(call, Survey):
        found = yield from index.survey(call.day)
        return msgspec.structs.replace(_reply(index, call), buckets=[(count, f"{total:x}") for count, total in found])
    if isinstance(call, Listing):
        listed = yield from index.listing(call.day, call.buckets)
        return msgspec.structs.replace(_reply(index, call), marks={id_: f"{mark:x}" for id_, mark in listed.items()})
    if isinstance(call, Finish):
        index.finish(call.day)
        return _reply(index, call)
    yield from _written(index, call)
    return _reply(index, call)


def _written(index: SearchEngine, call: Upsert | Delete | DropDays) -> Iterator[None]:
    if isinstance(call, Upsert):
        start = 0
        for documents in _slices(call.documents):
            vectors = call.vectors[start : start + len(documents)] if call.vectors is not None else None
            index.upsert(documents, vectors)
            start += len(documents)
            yield
    elif isinstance(call, Delete):
        days: dict[str, list[str]] = {}
        for day, event_id in call.event_ids:
            days.setdefault(day, []).append(event_id)
        for day, event_ids in days.items():
            for start in range(0, len(event_ids), _DELETED):
                index.delete(day, event_ids[start : start + _DELETED])
                yield
    else:
        for day in [day for day in index.days() if day < call.before]:
            index.drop(day)
            _log.info("dropped a day of the search index", extra={"day": day})
            yield


def _reply(index: SearchEngine, call: Quick | Slow) -> Reply:
    return Reply(call.call, index.documents, index.day_count)


def _slices(documents: list[Document]) -> Iterator[list[Document]]:
    part: list[Document] = []
    chars = 0
    for document in documents:
        part.append(document)
        chars += len(document.text)
        if len(part) >= _SLICE or chars >= _SLICE_CHARS:
            yield part
            part, chars = [], 0
    if part:
        yield part


def _maintain(index: SearchEngine, *, quiet: bool) -> bool:
    try:
        return index.maintain(quiet=quiet)
    except Exception as error:  # noqa: BLE001 - the engine raises plain Exception; the process outlives it
        _log.error("housekeeping of the search index failed", extra={"error": repr(error)})
        return False


def _failed(index: SearchEngine, call: int, error: Exception) -> Reply:
    _log.error("a call to the search index failed", extra={"error": repr(error)})
    return Reply(call, index.documents, index.day_count, error=str(error) or type(error).__name__)


def _send(sock: socket.socket, message: Answer) -> None:
    sock.sendall(frame(message))


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _log.critical("the search process crashed", exc_info=(kind, error, trace))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Have the folder for this process alone.

    Raises:
        IndexUnusable: another process has it and keeps it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + _LOCKED
    with folder.joinpath("lock").open("a", encoding="utf-8") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    raise IndexUnusable(
                        f"{folder}: another process has this search index open. Next: stop the other server, or give "
                        f"this one its own data directory"
                    ) from None
                time.sleep(0.05)
        yield


@contextmanager
def _opened(asked: Open) -> Iterator[SearchEngine]:
    """What is asked for; an index in a folder is this process's alone."""
    embedder = WordLlama() if asked.embedder is None else Elsewhere(asked.embedder, asked.size)
    if asked.remote is not None:
        from vectadb_server.stores.qdrant import RemoteIndex

        yield RemoteIndex(asked.remote, embedder, erase=asked.erase)
        return
    with _locked(Path(asked.folder)):
        yield _index(Path(asked.folder), asked.least, embedder, erase=asked.erase)


def _index(folder: Path, least: int, embedder: Embedder, *, erase: bool) -> Index:
    """Open the index; where it cannot be used and ``erase`` says so, an empty one in its place."""
    space = Space(folder, least)
    try:
        return Index(folder, embedder, space)
    except IndexUnusable as error:
        if not erase:
            raise
        _log.warning("the search index is erased, to be made anew", extra={"reason": str(error)})
        folder.joinpath("meta.json").unlink(missing_ok=True)  # What is left without it counts as nothing.
        return Index(folder, embedder, space)


def _first(sock: socket.socket, frames: Frames) -> Open | None:
    """The first message; ``None``: the server is gone."""
    while data := sock.recv(1 << 16):
        for message in frames.feed(data):
            return decode_open(message)
    return None


def main(descriptor: int) -> int:
    """Serve what the first message on the socket ``descriptor`` says. Returns the exit code."""
    sys.excepthook = _log_crash
    logs.set_up("info", json=True)
    # Ctrl-C reaches the whole group, and what a service manager sends reaches all; the server says when to end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    frames = Frames()
    with socket.socket(fileno=descriptor) as sock:
        try:
            asked = _first(sock, frames)
            if asked is None:
                return 0
            logs.set_up(asked.log_level, json=True)
            with _opened(asked) as index:
                try:
                    _send(sock, Hello(index.generation, index.documents, index.day_count))
                    serve(sock, index, frames)
                finally:
                    index.close()
        except ConnectionError:
            pass  # the server is gone; what it was told is kept
        except (IndexUnusable, EmbeddingUnavailable, OSError) as error:
            _send(sock, Refusal(str(error)))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
