"""The process that makes an archive of snapshots: told which on stdin, it writes the archive to stdout."""

from __future__ import annotations

import asyncio
import os
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from vectadb_server import __version__, archive
from vectadb_server.leaving import leave
from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.copying import chunks, travelling
from vectadb_server.stores.snapshots import Snapshot

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vectadb_server.stores.engine import Connection


def main() -> None:
    """Do it; the process ends with 1 and a line on stderr where it cannot."""
    os.nice(10)  # Ingest goes first.
    try:
        asyncio.run(_archive(msgspec.json.decode(sys.stdin.buffer.read(), type=list[Snapshot])))
    except BrokenPipeError:
        os._exit(1)  # Nobody wants it any more.
    except (StoreUnavailable, OSError) as error:
        sys.stderr.write(f"{error}\n")
        leave(1)
    leave(0)


async def _archive(snapshots: list[Snapshot]) -> None:
    out, writer = sys.stdout.buffer, archive.Writer()
    out.write(writer.head(archive.Head(vectadb=__version__, made=f"{datetime.now(UTC):%FT%TZ}")))
    out.flush()
    for snapshot in snapshots:
        async with snapshot.opened() as db:
            async for piece in _database(writer, snapshot.name, db):
                out.write(piece)
    out.write(writer.end())
    out.flush()


async def _database(writer: archive.Writer, name: str, db: Connection) -> AsyncIterator[bytes]:
    for table in travelling(name):
        writer.holds(name, table)
        rows: list[bytes] = []
        size = 0
        async for chunk in chunks(db, table):
            rows += chunk.encoded
            size += sum(map(len, chunk.encoded))
            if size >= archive.PART:
                yield writer.part(name, table, rows)
                rows, size = [], 0
        if rows:
            yield writer.part(name, table, rows)


if __name__ == "__main__":
    main()
