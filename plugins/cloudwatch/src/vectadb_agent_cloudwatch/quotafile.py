"""What is known of a quota, in a small file that all processes of one user on one machine share.

``run``, ``audit`` and ``backfill`` beside each other, and several agents, then draw from one bucket. The file is locked
for each change, for some microseconds. Its times are of the monotonic clock, which counts from the machine's start and
is the same in all processes: what was written before that start, or is damaged, counts as nothing known.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import random
import stat
import struct
import tempfile
import time
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import anyio

from vectadb_agent_cloudwatch.pacing import Pacing

try:
    import fcntl
except ImportError:  # Windows: each process paces itself
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

log = logging.getLogger("vectadb_agent.cloudwatch")

T = TypeVar("T")

_LAYOUT = struct.Struct("<16sdddd")
_MAGIC = b"vectadb-quota-1\n"
_PATIENCE = 2.0
"""Seconds that the file may be locked by others before it counts as unusable."""
_FORGOTTEN = 86_400
"""Seconds without use after which a file is removed. Whoever still uses it then makes a new one."""

_warned = False


class QuotaFile:
    """The shared pacing named ``name``. Where the file cannot be used, this process's own, and one warning."""

    def __init__(self, name: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.seen = Pacing.fresh(monotonic())
        self._name = "quota-" + hashlib.sha256(name.encode()).hexdigest()[:32]
        self._monotonic = monotonic

    async def change(
        self, change: Callable[[Pacing, float], T], plausible: Callable[[Pacing, float], bool] = lambda *_: True
    ) -> T:
        """Do one thing to what is known, while nobody else can; ``change`` is also given the time.

        What is found in the file is believed if it is ``plausible``.
        """
        give_up = self._monotonic() + _PATIENCE
        while True:
            try:
                with self._locked() as file:
                    now = self._monotonic()
                    pacing = _decoded(os.pread(file, 256, 0))
                    if pacing is None or not plausible(pacing, now):
                        pacing = Pacing.fresh(now)
                    result = change(pacing, now)
                    os.pwrite(file, _encoded(pacing), 0)
            except BlockingIOError as error:
                if self._monotonic() > give_up:
                    return self._alone(change, error)
                await anyio.sleep(random.uniform(0.0005, 0.003))
            except OSError as error:
                return self._alone(change, error)
            else:
                self.seen = pacing
                return result

    def _alone(self, change: Callable[[Pacing, float], T], error: OSError) -> T:
        global _warned  # noqa: PLW0603 - one warning a process
        if not _warned:
            _warned = True
            log.warning(
                "request rates cannot be shared with other processes of this machine; each keeps to them by itself. "
                "Set XDG_RUNTIME_DIR to a directory of this user with mode 0700",
                extra={"error": str(error)},
            )
        return change(self.seen, self._monotonic())

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        """The open file, locked.

        Raises:
            BlockingIOError: somebody else has the lock now.
            OSError: the file cannot be used.
        """
        if fcntl is None:
            raise OSError("this system has no file locks")
        directory = _runtime_directory()
        try:
            flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
            try:
                file = os.open(self._name, flags, dir_fd=directory)
            except FileNotFoundError:
                _tidy(directory)
                file = os.open(self._name, flags | os.O_CREAT, 0o600, dir_fd=directory)
        finally:
            os.close(directory)
        try:
            found = os.fstat(file)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
                raise OSError(f"{self._name} is not this user's file")
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.fstat(file).st_nlink:
                raise BlockingIOError("the file was removed just now")
            yield file
        finally:
            os.close(file)


def _runtime_directory() -> int:
    """This user's directory for files that do not outlive the machine's run, open.

    Raises:
        OSError: there is none, or it is another's, or others may write to it.
    """
    base = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}"
    if Path(base).is_dir():
        path = Path(base) / "vectadb-agent"
    else:
        path = Path(tempfile.gettempdir()) / f"vectadb-agent-{os.geteuid()}"
    with contextlib.suppress(FileExistsError):
        path.mkdir(mode=0o700)
    directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(directory)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(directory)
        raise OSError(f"{path} must belong to this user, with mode 0700")
    return directory


def _tidy(directory: int) -> None:
    """Remove the files of quotas that nobody has drawn from for long."""
    for name in os.listdir(directory):
        with contextlib.suppress(OSError):
            unused = time.time() - os.stat(name, dir_fd=directory, follow_symlinks=False).st_mtime
            if name.startswith("quota-") and unused > _FORGOTTEN:
                os.unlink(name, dir_fd=directory)


def _this_run() -> bytes:
    """What tells this run of the machine from others; nothing where the system does not say."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_bytes()
    except OSError:
        return b""


_RUN = hashlib.sha256(_MAGIC + _this_run()).digest()[:16]


def _encoded(pacing: Pacing) -> bytes:
    content = _LAYOUT.pack(_RUN, pacing.free_at, pacing.cut_at, pacing.grown_at, pacing.share)
    return content + zlib.crc32(content).to_bytes(4, "little")


def _decoded(content: bytes) -> Pacing | None:
    """What was written, by this version in this run of the machine; ``None``: nothing of the kind."""
    body, check = content[:-4], content[-4:]
    if len(body) != _LAYOUT.size or zlib.crc32(body).to_bytes(4, "little") != check:
        return None
    run, free_at, cut_at, grown_at, share = _LAYOUT.unpack(body)
    return Pacing(free_at, cut_at, grown_at, share) if run == _RUN else None
