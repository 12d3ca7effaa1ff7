"""The lock on a state directory. What it says outlives the process: who has it, and how the last run ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from vectadb_agent.errors import StateError

if TYPE_CHECKING:
    from pathlib import Path

Past = Literal["none", "ended", "broken off"]
"""How the last run on this directory ended; ``none``: there was no ``state.db`` yet."""


@dataclass
class Lock:
    """The lock on a state directory, held until :meth:`release`.

    ``past`` is what the file said when it was taken; ``saved``: whether a checkpoint was ever saved.
    """

    handle: int
    past: Past
    saved: bool

    def running(self) -> None:
        """Note that ``state.db`` is there and in use."""
        self._write("running")

    def note_saved(self) -> None:
        """Note that there is a checkpoint from now on: that there is none would be a loss."""
        if not self.saved:
            self.saved = True
            self._write("running")

    def release(self, *, clean: bool) -> None:
        """Give the lock back; ``clean`` says that ``state.db`` was closed and nothing was wrong with it."""
        if clean:
            self._write("ended")
        os.close(self.handle)

    def starting(self) -> None:
        """Note that this process has it. What was known of the past stays known."""
        self._write("starting" if self.past == "none" else "running")

    def _write(self, word: Literal["starting", "running", "ended"]) -> None:
        # In one write, and always as long: there is no moment at which the file says something else. A disk that takes
        # no more leaves the old words, and with them at worst one check more than needed.
        text = f"{os.getpid()} {word}{' saved' if self.saved else ''}"
        with contextlib.suppress(OSError):
            os.pwrite(self.handle, text.ljust(47).encode() + b"\n", 0)


def take(path: Path) -> Lock:
    """Take the lock of a state directory.

    Raises:
        StateError: another process has it; the text names it.
        OSError: the file cannot be written.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    process, ended, saved = _said(handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise StateError(
            f"agent.state_dir {path.parent} is in use by another vectadb-agent (process {process}). "
            "Two agents cannot share one state directory: stop that one, or give this one its own agent.state_dir."
        ) from None
    lock = Lock(handle, ended, saved)
    lock.starting()
    return lock


def past(path: Path) -> Past:
    """What the lock file says of the last run, without taking the lock."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return "none"
    try:
        return _said(handle)[1]
    finally:
        os.close(handle)


def _said(handle: int) -> tuple[str, Past, bool]:
    """The process, how its run ended, and whether a checkpoint was saved. An older agent wrote the process alone."""
    words = os.pread(handle, 64, 0).decode(errors="replace").split()
    word = words[1] if len(words) > 1 else ""
    ended: Past = "ended" if word == "ended" else "broken off" if words and word != "starting" else "none"
    return (words[0] if words else "unknown", ended, "saved" in words)
