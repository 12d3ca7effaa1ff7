"""A server of our own, for one command, on a data directory that no server has."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_READY = 60.0
"""Seconds that it may take to open the directory."""
_STOPPED = 60.0
_LOOK = 0.02


class CannotStart(Exception):
    """The directory cannot be served; the text is for people."""


@contextmanager
def started(data_dir: Path) -> Iterator[str]:
    """Serve the directory on a free port of loopback, and stop when left; the address.

    Raises:
        CannotStart: the directory is not there, another server has it, or it cannot be opened.
    """
    if not (data_dir / "record").is_dir():
        raise CannotStart(f"{data_dir}: there is no data of VectaDB. Next: check --data-dir")
    command = [sys.executable, "-m", "vectadb_server", "serve", "--host", "127.0.0.1", "--port", "0"]
    command += ["--log-level", "info", "--json"]  # It says in a line of its log where it listens.
    with (
        tempfile.TemporaryFile() as said,
        subprocess.Popen([*command, "--data-dir", str(data_dir)], stdout=said, stderr=said) as process,  # noqa: S603 - ourselves
    ):
        try:
            yield _address(process, said)
        finally:
            process.terminate()
            try:
                process.wait(_STOPPED)
            except subprocess.TimeoutExpired:
                process.kill()


def _address(process: subprocess.Popen[bytes], said: IO[bytes]) -> str:
    end = time.monotonic() + _READY
    while time.monotonic() < end:
        ended = process.poll() is not None
        said.seek(0)
        # The last line may be half written.
        *lines, _ = said.read().decode(errors="replace").split("\n")
        for line in lines:
            if line.startswith("{") and "url" in (told := json.loads(line)):
                return str(told["url"])
        if ended:
            raise CannotStart(
                lines[-1].removeprefix("vectadb serve: ") if lines else f"it ended with {process.returncode}"
            )
        time.sleep(_LOOK)
    raise CannotStart(f"a server for this command was not ready within {_READY:.0f} s. Next: try again")
