"""How much room the disk has left and what takes it, and the refusal to write where there is too little.

An engine that meets a full disk in the middle of a write is worse off than one that was not asked: SurrealDB leaves
half a commit in its log and hides what it writes behind it, Qdrant Edge writes through memory maps and is killed by
SIGBUS. So both are asked only while there is room to spare; reading goes on without.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from vectadb_server.stores.base import StoreUnavailable

#: What opening an engine's directory may write at least, bytes.
MARGIN = 2 * 2**20
_BLOCK = 512  # bytes, of `st_blocks`


class StoreFull(StoreUnavailable):
    """There is too little room on the disk to write; the text says how much and what to do. Nothing was written."""


class Space:
    """The room on the disk of ``folder``, of which ``least`` bytes are left to others."""

    def __init__(self, folder: Path, least: int) -> None:
        self._folder = folder
        self.least = least

    def free(self) -> int:
        """Return the bytes that this process may still write; costs 2 µs.

        Raises:
            OSError: the folder is gone.
        """
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize

    def check(self, need: int = 0, *, least: int | None = None) -> None:
        """Return if ``need`` bytes can be written and ``least`` (by default the usual reserve) are left then.

        Raises:
            StoreFull: they cannot.
        """
        free, wanted = self.free(), need + (self.least if least is None else least)
        if free < wanted:
            raise StoreFull(
                f"the disk of {self._folder} is full: {megabytes(free)} are free, {megabytes(wanted)} are needed to "
                "write. Next: make room there, or enlarge the disk; writing goes on by itself then"
            )


def disk_usage(folder: Path) -> int:
    """Return the bytes on disk of what is in a folder, as ``du`` counts them."""
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):  # It may go while it is looked at.
                total += os.lstat(Path(where, name)).st_blocks * _BLOCK
    return total


def sync(path: Path) -> None:
    """Return when a file, or which names a directory has, is durable."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def sync_tree(folder: Path) -> None:
    """Return when all that is in a folder is durable: before it takes the place of something that was."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def megabytes(size: int) -> str:
    """Return a number of bytes for people to read."""
    return f"{size / 2**20:,.1f} MiB"
