"""The source ``webhook``: lines that others POST, answered by 200 once they are durable, and by 503 where they are not.

What waits is bounded: beyond ``max_waiting`` bytes a request is answered by 503 and ``Retry-After`` as soon as its body
passes the bound, and nothing of it is kept. So a slow sink slows the clients, and memory stays as it is.
"""

import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping
from types import TracebackType
from typing import Any, Self

import anyio
import h11
from anyio.abc import SocketAttribute, SocketStream
from pydantic import Field

from vectadb_agent import Batch, ComponentConfig, LogRecord, LogStream, Outcome, Size, Source, errors, hookimpl

VECTADB_AGENT_API = 1


class WebhookConfig(ComponentConfig):
    """Options of ``webhook``."""

    host: str = "127.0.0.1"
    """The address to listen on."""
    port: int = Field(default=8099, ge=0, le=65535)
    """The port to listen on; 0: a free one."""
    max_waiting: Size = 4_000_000
    """Most bytes of requests that wait to become durable."""


class Delivery(Batch, kw_only=True):
    """The lines of a request; whoever sent it waits for ``answer``."""

    answer: Callable[[bool], None]

    def settle(self, outcome: Outcome) -> None:
        """Say whether they are durable."""
        self.answer(outcome.durable)


class WebhookSource(Source):
    """Takes lines by ``POST /any/path``. The same body, or ``Idempotency-Key``, again is the same records again."""

    name = "webhook"
    Config = WebhookConfig

    async def __aenter__(self) -> Self:
        """Listen."""
        host, port = self.config.host, self.config.port
        try:
            self._listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
        except OSError as error:
            raise errors.CheckError(f"cannot listen on {host}:{port}: {error}; choose another `port:`") from error
        self.port = self._listener.extra_attributes[SocketAttribute.local_port]()
        self.waiting = 0
        self._given, self._taken = anyio.create_memory_object_stream[Delivery](0)
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._listener.serve, self._serve)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Cut the connections: who has no answer yet sends again."""
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)
        await self._listener.aclose()
        self._given.close()
        self._taken.close()

    async def check(self) -> list[str]:
        """Say where it listens."""
        return [f"takes lines at http://{self.config.host}:{self.port}/"]

    async def read(self, after: Mapping[str, dict[str, Any]], *, drain: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield what is pushed, until stopped; nothing is visible beforehand, so that ``drain`` ends at once."""
        while not drain:
            yield await self._taken.receive()

    async def _serve(self, stream: SocketStream) -> None:
        http = h11.Connection(h11.SERVER)
        try:
            async with stream:
                while await self._answer(http, stream):
                    http.start_next_cycle()
        except (h11.RemoteProtocolError, anyio.BrokenResourceError, anyio.EndOfStream, anyio.ClosedResourceError):
            pass  # the client has gone, or speaks no HTTP: whatever it has no answer for it sends again

    async def _answer(self, http: h11.Connection, stream: SocketStream) -> bool:
        """Take one request and answer it; return whether another may follow on this connection."""
        body, request, held = bytearray(), None, 0
        try:
            while not isinstance(event := http.next_event(), h11.EndOfMessage):
                if event is h11.NEED_DATA:
                    http.receive_data(await stream.receive())
                elif isinstance(event, h11.ConnectionClosed):
                    return False
                elif isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.Data):
                    body += event.data
                    held += len(event.data)
                    self.waiting += len(event.data)
                    if self.waiting > self.config.max_waiting:
                        await self._say(http, stream, 503, ("Retry-After", "1"), ("Connection", "close"))
                        return False
            assert request is not None
            durable = await self._deliver(request, bytes(body))
        finally:
            self.waiting -= held
        await self._say(http, stream, 200 if durable else 503)
        return http.our_state is not h11.MUST_CLOSE

    async def _deliver(self, request: h11.Request, body: bytes) -> bool:
        key = dict(request.headers).get(b"idempotency-key") or body
        name, path, now = hashlib.sha256(key).hexdigest()[:32], request.target.decode("ascii", "replace"), self.now()
        stream = LogStream("webhook", "", "", path, "")
        lines = body.decode("utf-8", "replace").splitlines()
        records = [LogRecord(stream, f"{name}-{n:06}", now, line) for n, line in enumerate(lines) if line.strip()]
        settled, outcomes = anyio.Event(), list[bool]()

        def answer(durable: bool) -> None:
            outcomes.append(durable)
            settled.set()

        await self._given.send(Delivery(partition=path, records=records, answer=answer))
        await settled.wait()
        return outcomes[0]

    async def _say(self, http: h11.Connection, stream: SocketStream, status: int, *headers: tuple[str, str]) -> None:
        response = h11.Response(status_code=status, headers=[("Content-Length", "0"), *headers])
        await stream.send((http.send(response) or b"") + (http.send(h11.EndOfMessage()) or b""))


@hookimpl
def vectadb_register_sources() -> list[type[Source]]:
    """What this plugin brings."""
    return [WebhookSource]
