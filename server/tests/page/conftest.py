"""A real server that holds the runs of ``data``, and a real browser that looks at it."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from . import data
from .browser import chromium

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

DEADLINE = 60.0
PATIENCE_MS = 20_000


@dataclass
class Server:
    """A running ``vectadb serve``."""

    popen: subprocess.Popen[bytes]
    url: str

    def get(self, path: str, **query: Any) -> Any:
        return httpx.get(self.url + path, params=query, timeout=DEADLINE).raise_for_status().json()

    def take(self, events: list[dict[str, Any]], patience: float = DEADLINE) -> None:
        """Post them, and wait until they are in traces and search. Halves of characters go as JSON has them."""
        for start in range(0, len(events), 1000):
            body = json.dumps({"events": events[start : start + 1000]})
            headers = {"Content-Type": "application/json"}
            end = time.monotonic() + patience
            while True:
                reply = httpx.post(f"{self.url}/api/v1/events/batch", content=body, headers=headers, timeout=DEADLINE)
                if reply.status_code != 503 or time.monotonic() > end:
                    break
                select.select([], [], [], float(reply.headers["retry-after"]))  # as the agent does
            assert reply.status_code == 200, reply.text
            assert not reply.json()["failed"], reply.json()["errors"][:3]
        end = time.monotonic() + patience
        while self.get("/health/ready")["engines"]["indexer"].get("pending", True):  # too busy to say
            assert time.monotonic() < end, "the indexer is not through"
            select.select([], [], [], 0.05)

    def trace(self, question: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The newest trace of which it is true."""
        return next(trace for trace in self.get("/api/v1/traces", limit=1000)["traces"] if question(trace))


@contextmanager
def serving(data_dir: Path, port: int = 0) -> Iterator[Server]:
    """Run a server; it is killed at the end if it still runs."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTADB_")}
    command = [sys.executable, "-m", "vectadb_server", "serve", "--port", str(port), "--data-dir", str(data_dir)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=kept) as popen:
        try:
            assert popen.stderr is not None
            url = ""
            while not url:
                assert select.select([popen.stderr], [], [], DEADLINE)[0], "the server says nothing"
                line = popen.stderr.readline()
                assert line, "the server has ended"
                url = json.loads(line).get("url", "")
            yield Server(popen, url)
        finally:
            popen.kill()


# Not for the whole session: while Playwright is there its event loop counts as running, and other tests have their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("page")) as made:
        now = datetime.now(UTC)
        made.take([*data.demo(now), *data.hostile(now - timedelta(minutes=5))])
        yield made


@contextmanager
def looking(browser: Browser, *, but: str = "", **options: Any) -> Iterator[Page]:
    """A page of its own context; whatever the browser complains of fails the test, but lines with the text ``but``."""
    context = browser.new_context(
        **{"viewport": {"width": 1440, "height": 900}, "timezone_id": "Europe/Kyiv", **options}
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    try:
        yield page
    finally:
        context.close()
    assert [line for line in said if not but or but not in line] == []


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with looking(browser) as found:
        yield found
