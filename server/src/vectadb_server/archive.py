"""The file that ``vectadb backup`` makes: rows, as no engine keeps them, in a tar that says what it holds.

In this order: ``backup.json`` (:class:`Head`), parts named ``<database>/<table>/<number>.gz``, ``manifest.json`` (what
each table holds) and ``SHA256SUMS``, as ``sha256sum -c`` reads it, of all before it. A part is gzip of rows, each as
four bytes of length, big-endian, and deterministic CBOR.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import tarfile
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from vectadb_server.stores.copying import Mark, Sums, travelling
from vectadb_server.stores.segments import META, SCHEMA_VERSION, is_day

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

FORMAT = 1
HEAD, MANIFEST, SUMS = "backup.json", "manifest.json", "SHA256SUMS"
#: Bytes of rows in a part, about; a part that is much larger is damaged.
PART = 4 * 2**20
_LARGEST = 2**28
_LENGTH = struct.Struct(">I")

Manifest = dict[str, dict[str, Mark]]
"""What each table of each database holds."""


class BadArchive(Exception):
    """The file is no backup, or not as it was made, or of a newer version; the text is for people."""


class Head(msgspec.Struct, kw_only=True):
    """How the archive begins. ``made``: when what it holds was so, RFC 3339."""

    format: int = FORMAT
    schema: int = SCHEMA_VERSION
    vectadb: str
    made: str


class Part(NamedTuple):
    """Some rows of a table, encoded."""

    database: str
    table: str
    rows: list[bytes]


class Writer:
    """Makes the bytes of an archive, piece by piece."""

    def __init__(self) -> None:
        self._digests: dict[str, str] = {}
        self._sums: dict[tuple[str, str], Sums] = {}
        self._parts = 0

    def head(self, head: Head) -> bytes:
        """Return its beginning."""
        return self._member(HEAD, msgspec.json.format(msgspec.json.encode(head)))

    def holds(self, database: str, table: str) -> None:
        """Note a table, of which there may be no part."""
        self._sums.setdefault((database, table), Sums())

    def part(self, database: str, table: str, rows: Sequence[bytes]) -> bytes:
        """Return a part."""
        self.holds(database, table)
        self._sums[database, table].add(rows)
        self._parts += 1
        whole = b"".join(piece for row in rows for piece in (_LENGTH.pack(len(row)), row))
        return self._member(f"{database}/{table}/{self._parts:06}.gz", gzip.compress(whole, 1, mtime=0))

    def end(self) -> bytes:
        """Return its end."""
        manifest: dict[str, dict[str, Any]] = {}
        for (database, table), sums in self._sums.items():
            manifest.setdefault(database, {})[table] = sums.mark()._asdict()
        told = self._member(MANIFEST, json.dumps(manifest, indent=1).encode())
        lines = "".join(f"{digest}  {name}\n" for name, digest in self._digests.items())
        return told + self._member(SUMS, lines.encode()) + bytes(2 * tarfile.BLOCKSIZE)

    def _member(self, name: str, content: bytes) -> bytes:
        self._digests[name] = hashlib.sha256(content).hexdigest()
        info = tarfile.TarInfo(name)
        info.size, info.mode = len(content), 0o600
        return info.tobuf(tarfile.USTAR_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def verify(path: Path, told: Callable[[int], None] = lambda rows: None) -> tuple[Head, Manifest]:
    """Read all of the archive; return what it says of itself, which is true then. ``told`` hears how many more rows.

    Raises:
        BadArchive: it is not whole, or not as it was made.
        OSError: it cannot be read.
    """
    digests: dict[str, str] = {}
    sums: dict[tuple[str, str], Sums] = {}
    head, manifest, listed = None, None, None
    for name, content in _members(path):
        if listed is not None:
            raise BadArchive(f"{path}: damaged: {name} stands behind its end")
        if head is None:
            head = _head(path, name, content)
        elif name == MANIFEST:
            manifest = _manifest(path, content)
        elif name == SUMS:
            listed = content
        else:
            part = _part(path, name, content)
            sums.setdefault((part.database, part.table), Sums()).add(part.rows)
            told(len(part.rows))
        digests[name] = hashlib.sha256(content).hexdigest()
    if head is None or manifest is None or listed is None:
        raise BadArchive(f"{path}: its end is missing, it was not made or copied to its end. Next: use another backup")
    del digests[SUMS]
    if listed != "".join(f"{digest}  {name}\n" for name, digest in digests.items()).encode():
        raise BadArchive(f"{path}: damaged: parts of it are not what {SUMS} says. Next: use another backup")
    found = {key: each.mark() for key, each in sums.items() if each.mark().rows}
    if found != {(name, table): mark for name, held in manifest.items() for table, mark in held.items() if mark.rows}:
        raise BadArchive(f"{path}: damaged: its rows are not what {MANIFEST} says. Next: use another backup")
    return head, manifest


def parts(path: Path) -> Iterator[Part]:
    """Go through the parts of an archive that was verified.

    Raises:
        BadArchive: it is not what it was.
    """
    for name, content in _members(path):
        if name not in (HEAD, MANIFEST, SUMS):
            yield _part(path, name, content)


def _members(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with tarfile.open(path, "r|") as tar:
            for member in tar:
                content = tar.extractfile(member) if member.isfile() and member.size <= _LARGEST else None
                if content is None:
                    raise BadArchive(f"{path}: damaged: {member.name!r} is nothing that a backup holds")
                yield member.name, content.read()
    except (tarfile.TarError, EOFError) as error:
        raise BadArchive(f"{path}: no backup of VectaDB, or damaged: {error}") from None


def _head(path: Path, name: str, content: bytes) -> Head:
    try:
        head = msgspec.json.decode(content, type=Head) if name == HEAD else None
    except (msgspec.DecodeError, UnicodeDecodeError):
        head = None
    if head is None:
        raise BadArchive(f"{path}: no backup of VectaDB: it does not begin with {HEAD}")
    if head.format > FORMAT or head.schema > SCHEMA_VERSION:
        raise BadArchive(
            f"{path}: made by a newer VectaDB ({head.vectadb}, format {head.format}, schema {head.schema}; this one "
            f"reads up to {FORMAT} and {SCHEMA_VERSION}). Next: install that version"
        )
    return head


def _manifest(path: Path, content: bytes) -> Manifest:
    try:
        found = msgspec.json.decode(content, type=dict[str, dict[str, dict[str, Any]]])
        return {database: {table: Mark(**mark) for table, mark in tables.items()} for database, tables in found.items()}
    except (msgspec.DecodeError, UnicodeDecodeError, TypeError) as error:
        raise BadArchive(f"{path}: damaged: {MANIFEST}: {error}") from None


def _part(path: Path, name: str, content: bytes) -> Part:
    database, _, rest = name.partition("/")
    table = rest.partition("/")[0]
    if not (database == META or is_day(database)) or table not in travelling(database):
        raise BadArchive(f"{path}: it holds {name!r}, which this version does not know. Next: install a newer one")
    try:
        whole = gzip.decompress(content)
        rows: list[bytes] = []
        at = 0
        while at < len(whole):
            [length] = _LENGTH.unpack_from(whole, at)
            rows.append(whole[at + _LENGTH.size : at + _LENGTH.size + length])
            at += _LENGTH.size + length
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise BadArchive(f"{path}: damaged: {name}: {error}") from None
    return Part(database, table, rows)
