"""A real HTTP peer on a free port, which answers as it is told, and events to send to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import settings

from vectadb_agent import Block, Event, LogRecord, LogStream

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable

settings.register_profile("sinks", derandomize=True, max_examples=50, deadline=None)
settings.load_profile("sinks")


@pytest.fixture
def anyio_backend():
    return "asyncio"


@dataclass
class Request:
    method: str
    path: str
    headers: dict[str, str]
    raw: bytes
    connection: int

    @property
    def json(self) -> Any:
        gzipped = self.headers.get("content-encoding") == "gzip"
        return json.loads(zlib.decompress(self.raw, wbits=31) if gzipped else self.raw)


@dataclass
class Reply:
    """``send``: how many bytes of the reply go out before the connection is cut; ``None``: all, and it stays open."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    send: int | None = None
    hang: bool = False

    def encode(self) -> bytes:
        body = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        headers = {"content-length": str(len(body)), "content-type": "application/json", **self.headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return f"HTTP/1.1 {self.status} Word\r\n{head}\r\n".encode() + body


def all_accepted(request: Request) -> Reply:
    if request.path.endswith("/health"):
        return Reply(body={"status": "ok", "version": "0.1.0"})
    count = len(request.json["events"])
    return Reply(body={"ingested": count, "duplicates": 0, "expired": 0, "failed": 0, "statuses": ["accepted"] * count})


class Peer:
    """Answers with ``replies``, one a request; when there are none left, as a server does that takes everything."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.replies: deque[Reply] = deque()
        self.connections = 0
        self.url = ""
        self._tasks: set[asyncio.Task[None]] = set()

    def says(self, status: int, body: Any = b"", **more: Any) -> None:
        self.replies.append(Reply(status, body, **more))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
                raw = await reader.readexactly(int(headers.get("content-length", "0")))
                request = Request(method, path, headers, raw, number)
                self.requests.append(request)
                reply = self.replies.popleft() if self.replies else all_accepted(request)
                if reply.hang:
                    await reader.read()  # until the client gives up
                    break
                writer.write(reply.encode()[: reply.send])
                await writer.drain()
                if reply.send is not None:
                    break
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    @contextlib.asynccontextmanager
    async def listening(self, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=tls)
        port = server.sockets[0].getsockname()[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}"
        async with server:
            yield self
            server.close()
            while len(asyncio.all_tasks()) > 1 and self._open():
                await asyncio.wait(self._open())

    @staticmethod
    def _open() -> set[asyncio.Task[Any]]:
        return {task for task in asyncio.all_tasks() if getattr(task.get_coro(), "__name__", "") == "serve"}


@pytest.fixture
async def peer(anyio_backend):
    async with Peer().listening() as peer:
        yield peer


@pytest.fixture
def make_peer() -> type[Peer]:
    return Peer


@pytest.fixture
def make_event() -> Callable[..., Event]:
    stream = LogStream("cloudwatch", "123456789012", "us-east-1", "/aws/lambda/shop", "2026/01/01/[$LATEST]ab")

    def make(number: int = 0, text: str = "a line", **fields: Any) -> Event:
        at = 1_767_225_600_000_000 + number * 1_000_000
        record = LogRecord(stream, f"log-{number}", at, text, at + 500)
        given = {"timestamp": at, "raw": text, "event_id": f"id-{number}", "block": Block((record,), (text,), ("0",))}
        return Event(**{**given, **fields})

    return make
