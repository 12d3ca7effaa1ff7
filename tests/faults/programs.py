"""The real programs, as processes that are killed and started again; each is ended by its id."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PATIENCE = 20.0


class Program:
    """A command, its log, and the process that runs it at present, if one does."""

    def __init__(self, command: Sequence[object], log: Path, env: Mapping[str, str] | None = None) -> None:
        self.log = log
        self.starts = 0
        self.peak = 0
        """Highest resident memory seen by :meth:`look`, over all of its processes, bytes."""
        self.command = [str(word) for word in command]
        self.env = {**os.environ, **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.running:
            return
        self.starts += 1
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(self.command, stdout=output, stderr=subprocess.STDOUT, env=self.env)

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None, "not started"
        return self._process.pid

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """SIGTERM, and wait; SIGKILL where that does not help. Return the exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def wait(self, timeout: float) -> int:
        """Wait for its end; return the exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        assert self._process is not None, "not started"
        return self._process.wait(timeout)

    def kill_child(self, word: str) -> bool:
        """SIGKILL the child process that has ``word`` in its command line; return whether there was one."""
        for task in _lines(Path(f"/proc/{self.pid}/task").glob("*/children")):
            for child in map(int, task.split()):
                if any(word in line for line in _lines([Path(f"/proc/{child}/cmdline")])):
                    os.kill(child, signal.SIGKILL)
                    return True
        return False

    def look(self) -> int:
        """Return its peak resident memory so far in bytes; 0 once it has ended."""
        for status in _lines([Path(f"/proc/{self.pid}/status")]):
            found = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
            if found is not None:
                self.peak = max(self.peak, int(found.split()[1]) * 1024)
        return self.peak

    @property
    def said(self) -> str:
        """All that it has written so far."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""


def _lines(paths: Iterable[Path]) -> list[str]:
    """What the files hold; those of processes that have just ended hold nothing."""
    found = []
    for path in paths:
        try:
            found.append(path.read_text(errors="replace"))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
