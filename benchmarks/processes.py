"""Processes of a benchmark: started on one core, ended by their id, their use of processor and memory read off."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

BIN = Path(sys.executable).parent
AWS = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""The environment with which a process talks to what stands in for AWS."""


class BenchmarkFailed(Exception):
    """Something did not run as it must for a measurement to mean anything; says what."""


def cores() -> tuple[int | None, int | None]:
    """Two cores: one for what is measured, one for all else. ``None`` where the system cannot pin, or has but one."""
    if not hasattr(os, "sched_getaffinity"):
        return None, None
    usable = sorted(os.sched_getaffinity(0))
    return (usable[0], usable[1]) if len(usable) > 1 else (usable[0], None)


def busy_seconds(core: int) -> float | None:
    """Seconds that a core has been busy since boot, whoever had it; ``None`` where the system does not tell."""
    try:
        lines = Path("/proc/stat").read_text().splitlines()
    except OSError:
        return None
    fields = next((line.split() for line in lines if line.startswith(f"cpu{core} ")), None)
    if fields is None:
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, fields[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(
    command: Sequence[Any], *, core: int | None = None, environment: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a process, pinned to ``core`` if given, while the block lasts; then end it."""
    with tempfile.TemporaryFile() as errors:
        with _pinned(core):  # what is started inherits it, with all its threads
            child = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=os.environ | dict(environment or {}),
            )
        try:
            yield Process(child, errors)
        finally:
            child.terminate()
            try:
                child.wait(20)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()
            if child.stdout is not None:
                child.stdout.close()


class Process:
    """A process that runs. What it writes to standard error is kept for when it fails."""

    def __init__(self, child: subprocess.Popen[str], errors: Any) -> None:
        self._child = child
        self._errors = errors

    def line(self) -> str:
        """The next line that it writes to standard output.

        Raises:
            BenchmarkFailed: it ended instead.
        """
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            self._child.wait()
            raise self._failed("ended early")
        return line.strip()

    def finish(self, timeout: float) -> str:
        """Wait for its end; return the rest of its standard output.

        Raises:
            BenchmarkFailed: it does not end within ``timeout`` seconds, or not with exit code 0.
        """
        try:
            output, _ = self._child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise self._failed(f"did not end within {timeout:g} s") from None
        if self._child.returncode:
            raise self._failed("failed")
        return output

    def wait_until(self, condition: Callable[[], bool], what: str, *, timeout: float = 60) -> None:
        """Look ten times a second whether ``condition`` holds.

        Raises:
            BenchmarkFailed: it does not within ``timeout`` seconds, or the process ended.
        """
        deadline = time.monotonic() + timeout
        while not condition():
            if self._child.poll() is not None:
                raise self._failed(f"ended while waiting for {what}")
            if time.monotonic() > deadline:
                raise self._failed(f"{what}: not within {timeout:g} s")
            time.sleep(0.1)

    def cpu_seconds(self) -> float:
        """Processor time used so far, by all its threads, in user and system mode."""
        fields = Path(f"/proc/{self._child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory(self) -> tuple[float, float]:
        """Resident memory now and at its highest so far, in MB (10^6 bytes)."""
        lines = Path(f"/proc/{self._child.pid}/status").read_text().splitlines()
        kib = {name: value for name, _, value in (line.partition(":") for line in lines)}
        now, peak = (int(kib[name].split()[0]) * 1024 / 1e6 for name in ("VmRSS", "VmHWM"))
        return now, peak

    def anonymous(self) -> tuple[float, float]:
        """Memory that is no file's, in MB (10^6 bytes): of the process itself, and of its children in all."""
        pid = self._child.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return _anonymous(str(pid)), sum(map(_anonymous, children))

    def _failed(self, why: str) -> BenchmarkFailed:
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()[-15:]
        words = self._child.args
        assert isinstance(words, list)
        return BenchmarkFailed("\n".join([f"{' '.join(map(str, words[:4]))}: {why}", *said]))


def _anonymous(pid: str) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Anonymous:"))


@contextlib.contextmanager
def _pinned(core: int | None) -> Iterator[None]:
    if core is None:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
