"""The ``file`` sink: events as JSON lines in a file, safely on disk when a write returns."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from pydantic import Field

from vectadb_agent import Event, Result, Sink, SinkConfig, Size
from vectadb_agent.errors import CheckError, RetryableError
from vectadb_agent_sinks.encoding import encode_events
from vectadb_agent_sinks.rotation import compress_first, rotate, sync_folder

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self

_FULL = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space or raise it",
    errno.EFBIG: "the file is as large as this system or process may make one: set 'rotate_size'",
}


class FileConfig(SinkConfig):
    """Options of the ``file`` sink."""

    path: Path
    """File that events are appended to; made if absent, in a folder that must exist."""
    group_readable: bool = False
    """Whether a new file may be read by its group (mode 0640); else by its owner only (0600), as logs hold secrets."""
    rotate_size: Size | None = Field(default=None, ge=1_000)
    """Size from which the file is renamed to ``<path>.1`` and begun anew; omitted: never, and nothing is deleted."""
    rotate_keep: int = Field(default=10, ge=1, le=10_000)
    """How many renamed files are kept; older ones are deleted."""
    rotate_compress: bool = False
    """Whether renamed files are compressed with gzip (``<path>.1.gz``)."""


class FileSink(Sink):
    """Appends events to a file. At least once: after a crash a batch may stand there twice.

    Several sinks, also of several processes, may write to one path: they take turns by a lock on the file.
    """

    name = "file"
    Config = FileConfig
    config: FileConfig

    def __init__(self, config: FileConfig) -> None:
        super().__init__(config)
        self._path = config.path.expanduser()
        self._lock = anyio.Lock()
        self._fd: int | None = None

    async def __aenter__(self) -> Self:
        """See that the file can be written; it is made by the first write.

        Raises:
            CheckError: it cannot.
        """
        await self.check()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the file; all that was written is on disk already."""
        self._close()

    async def check(self) -> list[str]:
        """Try whether the file can be written, without making it.

        Raises:
            CheckError: it cannot.
        """
        return [await anyio.to_thread.run_sync(self._try)]

    def _try(self) -> str:
        path, folder = self._path, self._path.absolute().parent
        try:
            fd = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        except FileNotFoundError as error:
            if not folder.is_dir():
                raise CheckError(f"{path}: the folder {folder} does not exist: create it first") from error
            if not os.access(folder, os.W_OK | os.X_OK):
                raise CheckError(f"{path} cannot be made: no permission to write in {folder}") from error
            return f"{path}: will be made"
        except IsADirectoryError as error:
            raise CheckError(f"{path} is a folder: 'path' names a file, e.g. events.ndjson in it") from error
        except OSError as error:
            raise CheckError(f"{path} cannot be opened for writing: {_words(error)}") from error
        size = os.fstat(fd).st_size
        os.close(fd)
        return f"{path}: writable, {size} bytes so far"

    async def write(self, events: Sequence[Event]) -> Result:
        """Append the events, each on a line of its own; return when they are on disk.

        Raises:
            RetryableError: the disk is full, the folder has gone, or the like; what was half written is taken back.
        """
        async with self._lock:
            try:
                return await anyio.to_thread.run_sync(self._append, events)
            except OSError as error:
                raise RetryableError(f"{self._path}: nothing was written: {_words(error)}") from error

    def _append(self, events: Sequence[Event]) -> Result:
        """Write, rotating first where it is due, and sync. A failed write leaves the file as it was."""
        encoded = encode_events(events)
        data = encoded.ndjson()
        try:
            fd = self._opened()
            regular, size = _shape(fd)
            limit = self.config.rotate_size
            if regular and limit is not None and size and size + len(data) > limit:
                fd = self._rotated()
                regular, size = _shape(fd)
            if regular and size and os.pread(fd, 1, size - 1) != b"\n":
                data = b"\n" + data  # a crash, or another program, has torn the last line
            try:
                _write_all(fd, data)
                if regular:
                    os.fsync(fd)
            except OSError:
                if regular:  # nobody else has written meanwhile: the lock is ours
                    os.ftruncate(fd, size)
                raise
        finally:
            self._unlock()
        return Result(refused=encoded.refused)

    def _opened(self) -> int:
        """The file that ``path`` names now, locked: it may have been renamed or deleted since the last write."""
        while True:
            if self._fd is None:
                mode = 0o640 if self.config.group_readable else 0o600
                self._fd = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, mode)
                sync_folder(self._path)
            fcntl.flock(self._fd, fcntl.LOCK_EX)
            try:
                if os.path.samestat(self._path.stat(), os.fstat(self._fd)):
                    return self._fd
            except FileNotFoundError:
                pass
            self._close()

    def _unlock(self) -> None:
        if self._fd is not None:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _rotated(self) -> int:
        rotate(self._path, self.config.rotate_keep)
        self._close()
        fd = self._opened()
        # Only now that the new file is there and ours: whoever waited for the old one finds it renamed and leaves it.
        if self.config.rotate_compress:
            compress_first(self._path)
        return fd

    def _close(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _write_all(fd: int, data: bytes) -> None:
    with memoryview(data) as view:
        written = 0
        while written < len(view):
            written += os.write(fd, view[written:])


def _shape(fd: int) -> tuple[bool, int]:
    """Whether it is a regular file (a device has no end to look at, and no disk to sync), and its size."""
    status = os.fstat(fd)
    return stat.S_ISREG(status.st_mode), status.st_size


def _words(error: OSError) -> str:
    return _FULL.get(error.errno or 0) or error.strerror or type(error).__name__
