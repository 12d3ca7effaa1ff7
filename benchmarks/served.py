"""A server to measure, and what it says of itself."""

from __future__ import annotations

import contextlib
import json
import socket
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

from benchmarks.processes import BIN, Process, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def pending(port: int) -> int:
    """Rows that the server's indexer has still before it."""
    indexer = get(port, "/health/ready")["engines"]["indexer"]
    return int(indexer.get("pending", 1))  # Where the indexer cannot say, nothing is known.


def get(port: int, path: str) -> Any:
    """What the server answers to a GET, decoded."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as reply:
        return json.loads(reply.read())


@contextlib.contextmanager
def serving(directory: Path, environment: Mapping[str, str] | None = None) -> Iterator[tuple[Process, int]]:
    """Run a server on ``directory`` while the block lasts, from when it is ready; yield it and its port."""
    port = free_port()
    command = [BIN / "vectadb", "serve", "--port", port, "--data-dir", directory / "data", "--log-level", "warning"]
    with running(command, environment=environment) as server:
        server.wait_until(lambda: _ready(port), "vectadb serve to be ready")
        yield server, port


def _ready(port: int) -> bool:
    try:
        return bool(get(port, "/health/ready")["status"] == "ready")
    except (urllib.error.URLError, ConnectionError):
        return False


def free_port() -> int:
    """A port of this machine that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
