"""The real processes of the demo and of the end-to-end tests: emulated CloudWatch, server, agent."""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

BIN = Path(sys.executable).parent
PATIENCE = 120.0
"""Seconds that anything may take on a slow machine."""


def aws(endpoint: str) -> dict[str, str]:
    """The environment in which AWS's clients speak to the emulated CloudWatch."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "demo",
        "AWS_SECRET_ACCESS_KEY": "demo",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextlib.contextmanager
def cloudwatch(directory: Path) -> Iterator[str]:
    """Run moto's server; yield its address."""
    port, log = free_port(), directory / "moto.log"
    with process([BIN / "moto_server", "-p", port], log):
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/moto-api/data.json"), "the emulated CloudWatch", log)
        yield url


@contextlib.contextmanager
def server(directory: Path, port: int | None = None) -> Iterator[str]:
    """Run ``vectadb serve`` on the data in ``directory``; yield its address."""
    port, log = port or free_port(), directory / "server.log"
    with process([BIN / "vectadb", "serve", "--port", port, "--data-dir", directory / "data"], log):
        url = f"http://127.0.0.1:{port}"
        until(lambda: answers(f"{url}/health"), "vectadb serve", log)
        yield url


def agent(
    config: Path, directory: Path, *options: str, env: Mapping[str, str] | None = None
) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
    """Run ``vectadb-agent run``; its log goes to ``agent.log``."""
    return process([BIN / "vectadb-agent", "run", "--config", config, *options], directory / "agent.log", env)


@contextlib.contextmanager
def process(
    command: Sequence[object], log: Path, env: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process of ours; on leaving, ask it to end, and see to it."""
    with (
        log.open("ab") as output,
        subprocess.Popen(
            list(map(str, command)), stdout=output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})}
        ) as running,
    ):
        try:
            yield running
        finally:
            running.terminate()
            try:
                running.wait(20)
            except subprocess.TimeoutExpired:
                running.kill()


def until(condition: Callable[[], bool], what: str, log: Path, patience: float = PATIENCE) -> None:
    """Wait for a condition.

    Raises:
        SystemExit: it did not come about; with the end of the log that tells why.
    """
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise SystemExit(f"waited {patience:.0f} s for {what}; the end of its log:\n{tail}")
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Say whether somebody answers there."""
    try:
        return asking().get(url).status_code == 200
    except httpx.TransportError:
        return False


@functools.cache
def asking() -> httpx.Client:
    """The client for what is asked again and again: making one takes 30 ms of a processor, which others need."""
    return httpx.Client(timeout=5, trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))


@contextlib.contextmanager
def together(*starting: contextlib.AbstractContextManager[str]) -> Iterator[list[str]]:
    """Start several at once, since each start takes seconds; yield what each yields."""
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(len(starting)) as pool:
        started = [pool.submit(stack.enter_context, one) for one in starting]
        yield [one.result() for one in started]


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
