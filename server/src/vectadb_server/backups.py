"""Backing up the record of a running server: everything as it was at one moment, while ingest goes on.

A process of its own (:mod:`~vectadb_server.dumping`) makes the archive of the snapshot: the engine, when it opens a
database, holds up the whole process for as long as it reads the log back.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import TYPE_CHECKING

import msgspec

from vectadb_server.stores.base import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vectadb_server.stores.directories import Directories

_PIECE = 2**16  # bytes


class BackupUnderWay(Exception):
    """Another one is being made."""


class Backups:
    """One for each server; one backup at a time."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories
        self._busy = False

    async def begin(self) -> AsyncIterator[bytes]:
        """Take a snapshot, and return the archive of it; it is to be gone through, or closed.

        It raises :class:`StoreUnavailable` where it breaks off, and is no archive then.

        Raises:
            BackupUnderWay: nothing was begun.
            StoreUnavailable: the snapshot cannot be taken, or not be read.
        """
        if self._busy:
            raise BackupUnderWay
        pieces = self._pieces()
        # What fails at once is told before anything is sent; and a generator that never began has no end.
        first = await anext(pieces)

        async def all_of_it() -> AsyncIterator[bytes]:
            yield first
            async for piece in pieces:
                yield piece

        return all_of_it()

    async def _pieces(self) -> AsyncIterator[bytes]:
        self._busy = True
        try:
            snapshots = msgspec.json.encode(self._directories.snapshot())
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "vectadb_server.dumping"), stdin=pipe, stdout=pipe, stderr=pipe
            )
            try:
                assert process.stdin is not None
                assert process.stdout is not None
                assert process.stderr is not None
                process.stdin.write(snapshots)
                process.stdin.close()
                said = asyncio.create_task(process.stderr.read())
                while piece := await process.stdout.read(_PIECE):
                    yield piece
                if await process.wait():
                    raise StoreUnavailable(f"the backup broke off: {(await said).decode(errors='replace')[-2000:]}")
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        finally:
            await asyncio.shield(asyncio.to_thread(self._directories.forget_snapshot))
            self._busy = False
