"""What the server and its search process say to each other: messages, and frames on a stream socket.

A frame is four bytes of length, big-endian, and one message as MessagePack. Calls are numbered by the server; each gets
exactly one :class:`Reply`, not always in order. The process speaks first: :class:`Hello`, or :class:`Refusal`, and it
ends.
"""

from __future__ import annotations

import hashlib
import struct
import zlib

import msgspec

from vectadb_server.stores.base import Document, Hit, Mode, SearchFilter

#: Longest frame in bytes; a longer one is a broken peer.
MOST = 64 * 2**20

#: Into how many buckets a day's documents fall, so that what differs is found without listing them all.
BUCKETS = 256

_LENGTH = 4


def bucket_of(event_id: str) -> int:
    """Return the bucket that a document is in."""
    return zlib.crc32(event_id.encode()) % BUCKETS


def mark_of(event_id: str, us: int, trace: str | None) -> int:
    """Return 128 bits that tell one document from another, and from itself with another time or trace."""
    return int.from_bytes(hashlib.sha256(f"{event_id} {us} {trace or ''}".encode()).digest()[:16], "big")


class Remote(msgspec.Struct):
    """A Qdrant, and the collection in it."""

    url: str
    key: str | None
    collection: str


class Open(msgspec.Struct, tag=True):
    """The server's first message: what the process is to serve.

    ``least``: bytes to leave free on the disk. ``erase``: an index that cannot be used gives way to an empty one.
    ``embedder``: whose vectors come with the texts, ``size`` numbers each (0: not known yet); ``None``: the process
    makes them. ``remote``: where the index is, if not in ``folder``. ``log_level``: the least severe lines that
    are written.
    """

    folder: str
    least: int = 0
    erase: bool = False
    embedder: str | None = None
    size: int = 0
    remote: Remote | None = None
    log_level: str = "info"


class Search(msgspec.Struct, tag=True):
    """Asks for the best ``limit`` documents. ``vector``: the query's, where the process does not make it."""

    call: int
    query: str
    mode: Mode
    where: SearchFilter
    limit: int
    vector: bytes | None = None


class Count(msgspec.Struct, tag=True):
    """Asks for a reply, which carries the counts."""

    call: int


class Upsert(msgspec.Struct, tag=True):
    """Indexes documents; answered when a crash of the process cannot lose them.

    ``vectors``, where the process does not make them: float32, little-endian; empty for a document that has none.
    """

    call: int
    documents: list[Document]
    vectors: list[bytes] | None = None


class Delete(msgspec.Struct, tag=True):
    """Removes documents, each ``(day, event_id)``."""

    call: int
    event_ids: list[tuple[str, str]]


class DropDays(msgspec.Struct, tag=True):
    """Removes every shard of a day before ``before``."""

    call: int
    before: str


class Days(msgspec.Struct, tag=True):
    """Asks for the days that have documents."""

    call: int


class Begin(msgspec.Struct, tag=True):
    """Begins to make a day anew, or goes on: from now on its writes go to the old shard and to the new one."""

    call: int
    day: str


class Finish(msgspec.Struct, tag=True):
    """Puts a day's new shard in the place of the old one, if there is a new one."""

    call: int
    day: str


class Survey(msgspec.Struct, tag=True):
    """Asks for the number and the sum of the marks of a day's documents, for each bucket."""

    call: int
    day: str


class Listing(msgspec.Struct, tag=True):
    """Asks for the documents of some buckets of a day."""

    call: int
    day: str
    buckets: list[int]


class Hello(msgspec.Struct, tag=True):
    """The process is ready. ``generation`` changes when the index was made anew, and is empty."""

    generation: int
    documents: int
    shards: int


class Refusal(msgspec.Struct, tag=True):
    """The process cannot work with this directory and ends."""

    error: str


class Reply(msgspec.Struct, tag=True):
    """Answers a call. ``error`` says why it was not done; the counts are those of this moment.

    ``fresh``: answers :class:`Begin`: the new shard is empty. ``days``: answers :class:`Days`. ``buckets``: answers
    :class:`Survey`, see :func:`bucket_of`; ``marks``: answers :class:`Listing`: the mark of each document by event id;
    both as hexadecimal text, since MessagePack ends at 64 bits.
    """

    call: int
    documents: int
    shards: int
    hits: list[Hit] = []
    error: str | None = None
    fresh: bool = False
    days: list[str] = []
    buckets: list[tuple[int, str]] = []
    marks: dict[str, str] = {}


Call = Search | Count | Upsert | Delete | DropDays | Days | Begin | Finish | Survey | Listing
Answer = Hello | Refusal | Reply

_encoder = msgspec.msgpack.Encoder()
decode_call = msgspec.msgpack.Decoder(Call).decode
decode_open = msgspec.msgpack.Decoder(Open).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def frame(message: Open | Call | Answer) -> bytes:
    """Return the message as a frame.

    Raises:
        UnicodeEncodeError: a text of it holds a lone surrogate.
        ValueError: it is longer than ``MOST``.
    """
    buffer = bytearray(_LENGTH)
    _encoder.encode_into(message, buffer, _LENGTH)
    size = len(buffer) - _LENGTH
    if size > MOST:
        raise ValueError(f"a message to or from the search process has {size} bytes, at most {MOST} are possible")
    buffer[:_LENGTH] = size.to_bytes(_LENGTH, "big")
    return bytes(buffer)


def numbers(vector: bytes, size: int) -> list[float]:
    """Return the numbers of a vector as it travels; zeros for one that is empty.

    Raises:
        ValueError: it has not ``size`` numbers.
    """
    if len(vector) not in {0, 4 * size}:
        raise ValueError(f"a vector has {len(vector) // 4} numbers; the index takes {size}")
    return list(struct.unpack(f"<{size}f", vector)) if vector else [0.0] * size


class Frames:
    """Cuts received bytes into messages, still encoded."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """Take what the socket gave and return the messages that are now complete, in order.

        Raises:
            ValueError: the peer announces a message longer than ``MOST``.
        """
        buffer = self._buffer
        buffer += data
        found: list[bytes] = []
        start = 0
        while len(buffer) - start >= _LENGTH:
            size = int.from_bytes(buffer[start : start + _LENGTH], "big")
            if size > MOST:
                raise ValueError(f"the peer announces a message of {size} bytes, at most {MOST} are possible")
            end = start + _LENGTH + size
            if len(buffer) < end:
                break
            found.append(bytes(buffer[start + _LENGTH : end]))
            start = end
        del buffer[:start]
        return found
