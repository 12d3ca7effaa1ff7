"""Several real servers on one record, on a real SurrealDB server."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.engines.surreal import PASSWORD, USER, Engine

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEADLINE = 60.0


@dataclass
class Server:
    """A running ``vectadb serve``."""

    process: subprocess.Popen[bytes]
    log: Path
    client: httpx.Client = field(init=False)

    def lines(self) -> list[dict[str, Any]]:
        whole = self.log.read_text().rpartition("\n")[0]
        return [json.loads(line) for line in whole.splitlines() if line.startswith("{")]

    def ready(self) -> None:
        until(lambda: any("url" in line for line in self.lines()) or self.process.poll() is not None)
        assert self.process.poll() is None, self.log.read_text()
        url = next(line["url"] for line in self.lines() if "url" in line)
        self.client = httpx.Client(base_url=url, timeout=DEADLINE)

    def indexes(self) -> bool:
        """Whether the last it said of the lease is that it has it."""
        said = [line["message"] for line in self.lines() if "index" in line.get("message", "")]
        told = [text for text in said if text.startswith("this server")]
        return bool(told) and told[-1] == "this server indexes from now on"

    def send(self, events: list[dict[str, Any]]) -> dict[str, Any]:
        """Send until it is acknowledged, as an agent does."""
        while True:
            try:
                reply = self.client.post("/api/v1/events/batch", json={"events": events})
            except httpx.TransportError:
                continue
            if reply.status_code == 200:
                taken: dict[str, Any] = reply.json()
                assert not taken["failed"], taken
                return taken
            assert reply.status_code == 503, reply.text
            assert "retry-after" in reply.headers

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        reply = self.client.get(path, params=params)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        return found

    def stop(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.wait(DEADLINE)


def until(question: Callable[[], bool]) -> None:
    """Ask again and again until it is so."""
    last = time.monotonic() + DEADLINE
    while not question():
        assert time.monotonic() < last, f"not so within {DEADLINE} s"
        select.select([], [], [], 0.02)


@pytest.fixture
def engine(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """It keeps transactions apart where a test asks for that (``indirect``)."""
    with Engine(tmp_path / "engine", isolated=getattr(request, "param", "") == "isolated") as running:
        yield running


@pytest.fixture
def serve(engine: Engine, tmp_path: Path) -> Iterator[Callable[[], Server]]:
    """Start a further server on the record."""
    with ExitStack() as stack:
        started: list[Server] = []

        def start() -> Server:
            number = len(started)
            kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTADB_")}
            told = {"URL": engine.url, "USER": USER, "PASSWORD": PASSWORD, "NAMESPACE": "servers"}
            log = tmp_path / f"{number}.log"
            with log.open("wb") as file:
                process = subprocess.Popen(
                    [
                        sys.executable,
                        "-m",
                        "vectadb_server",
                        "serve",
                        "--port",
                        "0",
                        "--data-dir",
                        tmp_path / f"{number}",
                    ],
                    stdout=file,
                    stderr=file,
                    env={**kept, **{f"VECTADB_SURREAL_{name}": value for name, value in told.items()}},
                )
            server = Server(process, log)
            started.append(server)
            stack.callback(_end, server)
            server.ready()
            return server

        yield start


def _end(server: Server) -> None:
    if hasattr(server, "client"):
        server.client.close()
    if server.process.poll() is None:
        server.process.send_signal(signal.SIGCONT)
        server.process.kill()
        server.process.wait()


@pytest.fixture
def servers(serve: Callable[[], Server]) -> tuple[Server, Server]:
    """One that indexes, and one that stands by."""
    first = serve()
    until(first.indexes)
    return first, serve()
