"""A TCP proxy that stands before an HTTP server and does to its clients what networks and servers do.

For tests of sinks, and of sources that poll over HTTP::

    async with FaultProxy("127.0.0.1", 8080) as proxy:
        proxy.plan = seeded(7, cut_after=0.1, half_reply=0.1)
        …  # the client under test talks to proxy.url
        assert len(proxy.requests) < 100

From a test that is not asynchronous, run it in a thread: see :func:`in_thread`. HTTP/1.1 without TLS; messages are held
whole in memory.
"""

from __future__ import annotations

import contextlib
import random
import time
from typing import TYPE_CHECKING, Literal, Self

import anyio
import msgspec
from anyio.abc import SocketAttribute
from anyio.from_thread import start_blocking_portal
from anyio.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from anyio.abc import SocketStream, TaskGroup
    from anyio.from_thread import BlockingPortal

Act = Literal["pass", "answer", "cut_before", "cut_after", "half_reply", "blackhole"]
"""What is done to a request.

``pass``: nothing. ``answer``: the proxy answers; the server never sees it. ``cut_before``: the connection is cut, the
server never sees it. ``cut_after``: the server has worked and answered it, then the connection is cut. ``half_reply``:
the same after half of the answer's bytes. ``blackhole``: no answer, ever; the client has to give up.
"""


class Fault(msgspec.Struct, frozen=True):
    """What is done to one request, ``delay`` seconds after it was read. ``status``, ``retry_after``: of ``answer``."""

    act: Act = "pass"
    delay: float = 0
    status: int = 503
    retry_after: float | None = None


PASS = Fault()


class Request(msgspec.Struct):
    """One request that the proxy has read: when (monotonic seconds), what it was, and what was done to it.

    ``number`` counts from 0. ``size`` is that of the whole message in bytes. ``status`` is that of the answer, also of
    one that the client never got; 0: there was none.
    """

    number: int
    at: float
    method: str
    path: str
    size: int
    act: Act = "pass"
    status: int = 0


def always(fault: Fault) -> Callable[[Request], Fault]:
    """A plan: the same for every request."""
    return lambda _: fault


def in_turn(*faults: Fault, path: str = "") -> Callable[[Request], Fault]:
    """A plan: the first request whose path starts with ``path`` gets the first fault, and so on; then all pass."""
    left = iter(faults)
    return lambda request: next(left, PASS) if request.path.startswith(path) else PASS


def seeded(
    seed: int, *, answers: tuple[Fault, ...] = (Fault("answer"),), latency: float = 0, **chances: float
) -> Callable[[Request], Fault]:
    """A plan: each :data:`Act` with its chance (0 to 1), decided by the seed and the number of the request.

    ``answers``: one of these is drawn for the act ``answer``. ``latency``: up to so many seconds for every request.
    """

    def plan(request: Request) -> Fault:
        dice = random.Random(f"{seed} {request.number}")
        delay, thrown = dice.uniform(0, latency), dice.random()
        for act, chance in chances.items():
            if thrown < chance:
                found = dice.choice(answers) if act == "answer" else msgspec.convert({"act": act}, Fault)
                return msgspec.structs.replace(found, delay=found.delay + delay)
            thrown -= chance
        return Fault(delay=delay)

    return plan


class FaultProxy:
    """Listens on a free port of the loopback while it is entered. ``plan`` may be changed at any time."""

    def __init__(self, host: str, port: int, plan: Callable[[Request], Fault] | None = None) -> None:
        self.plan = plan or always(PASS)
        self.requests: list[Request] = []
        self.port = 0
        self._upstream = (host, port)
        self._tasks: TaskGroup | None = None
        self._serving: tuple[anyio.CancelScope, anyio.Event] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        """Listen."""
        self._tasks = anyio.create_task_group()
        await self._tasks.__aenter__()
        await self.accept()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cut all connections and end."""
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)

    async def refuse(self) -> None:
        """Cut all connections, and have new ones refused, as where no server runs."""
        if self._serving is not None:
            serving, closed = self._serving
            self._serving = None
            serving.cancel()
            await closed.wait()

    async def accept(self) -> None:
        """Listen, again on the same port, after :meth:`refuse`."""
        if self._serving is not None:
            return
        assert self._tasks is not None, "the proxy is used outside of 'async with'"
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=self.port)
        self.port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's, not Django's
        self._serving = serving, closed = anyio.CancelScope(), anyio.Event()

        async def serve() -> None:
            with serving:
                async with listener:
                    await listener.serve(self._converse)
            closed.set()

        self._tasks.start_soon(serve)

    async def _converse(self, client: SocketStream) -> None:
        """Serve one connection until one side is done with it."""
        with contextlib.suppress(*_BROKEN):
            async with client:
                reader = BufferedByteReceiveStream(client)
                while True:
                    raw, start = await _message(reader)
                    method, path = start.split(" ")[:2]
                    request = Request(len(self.requests), time.monotonic(), method, path, len(raw))
                    self.requests.append(request)
                    if not await self._work(client, request, raw):
                        return

    async def _work(self, client: SocketStream, request: Request, raw: bytes) -> bool:
        """Do to a request what the plan says; return whether the connection stays."""
        fault = self.plan(request)
        request.act = fault.act
        await anyio.sleep(fault.delay)
        if fault.act == "blackhole":
            await anyio.sleep_forever()
        if fault.act == "cut_before":
            return False
        if fault.act == "answer":
            request.status = fault.status
            await client.send(_answer(fault))
            return True
        reply, start = await self._forward(raw)
        request.status = int(start.split(" ")[1])
        if fault.act == "cut_after":
            return False
        if fault.act == "half_reply":
            await client.send(reply[: len(reply) // 2])
            return False
        await client.send(reply)
        return True

    async def _forward(self, raw: bytes) -> tuple[bytes, str]:
        async with await anyio.connect_tcp(*self._upstream) as server:
            await server.send(raw)
            return await _message(BufferedByteReceiveStream(server))


@contextlib.contextmanager
def in_thread(proxy: FaultProxy) -> Iterator[BlockingPortal]:
    """Run a proxy in a thread while the block lasts; the portal calls its methods: ``portal.call(proxy.refuse)``."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(proxy):
        yield portal


_BROKEN = (OSError, anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.IncompleteRead)
_MOST_HEAD = 65_536
_REASONS = {413: "Content Too Large", 429: "Too Many Requests", 503: "Service Unavailable"}


async def _message(stream: BufferedByteReceiveStream) -> tuple[bytes, str]:
    """Read one HTTP message; return its bytes and its first line.

    A message with neither length nor chunks has no body: servers that end a body by closing are not served here.
    """
    head = await stream.receive_until(b"\r\n\r\n", _MOST_HEAD) + b"\r\n\r\n"
    start, *lines = head.decode("latin-1").splitlines()
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "chunked" in headers.get("transfer-encoding", ""):
        return head + await _chunks(stream), start
    length = int(headers.get("content-length", 0))
    return head + (await stream.receive_exactly(length) if length else b""), start


async def _chunks(stream: BufferedByteReceiveStream) -> bytes:
    """Read a chunked body, without trailers."""
    body = b""
    while True:
        line = await stream.receive_until(b"\r\n", _MOST_HEAD)
        size = int(line.partition(b";")[0], 16)
        body += line + b"\r\n" + await stream.receive_exactly(size + 2)
        if not size:
            return body


def _answer(fault: Fault) -> bytes:
    body = b'{"error":"%d","message":"the fault proxy answers"}' % fault.status
    retry = "" if fault.retry_after is None else f"retry-after: {fault.retry_after:g}\r\n"
    head = (
        f"HTTP/1.1 {fault.status} {_REASONS.get(fault.status, 'Fault')}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{retry}\r\n"
    )
    return head.encode() + body
