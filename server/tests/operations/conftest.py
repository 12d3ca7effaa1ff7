from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from demo.processes import asking

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import httpx

DEADLINE = 60.0


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@dataclass
class Server:
    """A running ``vectadb serve``; ``root``: where the test sees the files that the server sees."""

    popen: subprocess.Popen[bytes]
    url: str
    root: Path

    def post(self, events: list[dict[str, Any]]) -> httpx.Response:
        return asking().post(f"{self.url}/api/v1/events/batch", json={"events": events}, timeout=DEADLINE)

    def get(self, path: str, **query: Any) -> httpx.Response:
        return asking().get(self.url + path, params=query, timeout=DEADLINE)

    def until(self, question: Callable[[], bool]) -> None:
        """Ask again and again until the answer is yes."""
        end = time.monotonic() + DEADLINE
        while not question():
            assert time.monotonic() < end, "it never came true"
            select.select([], [], [], 0.05)

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait(DEADLINE)


@contextmanager
def serving(data_dir: Path, *before: str, **variables: str) -> Iterator[Server]:
    """Run a server on a free port, started by the command ``before``; it is killed at the end if it still runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTADB_")}
    command = [sys.executable, "-m", "vectadb_server", "serve", "--port", "0", "--data-dir", str(data_dir)]
    with subprocess.Popen([*before, *command], stderr=subprocess.PIPE, env={**kept, **variables}) as popen:
        try:
            assert popen.stderr is not None
            line: dict[str, Any] = {}
            while "url" not in line:
                readable, _, _ = select.select([popen.stderr], [], [], DEADLINE)
                assert readable, "the server says nothing"
                text = popen.stderr.readline()
                assert text, f"the server ended with {popen.wait(DEADLINE)}"
                line = json.loads(text)
            os.set_blocking(popen.stderr.fileno(), False)
            yield Server(popen, line["url"], Path(f"/proc/{popen.pid}/root"))
        finally:
            popen.kill()
            popen.wait(DEADLINE)


@pytest.fixture(scope="session")
def serve() -> Callable[..., Any]:
    return serving


@pytest.fixture
def small_disk(tmp_path: Path) -> tuple[str, ...]:
    """A command that runs another with a disk of 160 MB at ``tmp_path``, which ends with it; nobody need be root."""
    if shutil.which("unshare") is None:
        pytest.skip("needs the command unshare, to make a small disk of its own")
    mount = f"mount -t tmpfs -o size=160m tmpfs {tmp_path}"
    own = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")
    if subprocess.run([*own, mount], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    return (*own, f'{mount} && exec "$@"', "sh")
