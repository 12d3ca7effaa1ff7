"""The agent's HTTP: ``GET /metrics``, ``/health``, ``/status``, on a socket in ``state_dir`` and, if wanted, on TCP.

One request a connection; every connection is bounded in bytes and time, and so is their number. Nobody who connects
can harm the delivery of logs. What goes out is counts and names, never the content of a log; but for ``GET /tap``,
only on the socket, which is the owner's: that shows what passes through the pipelines until the other side hangs up.
"""

from __future__ import annotations

import contextlib
import http
import logging
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import h11
import msgspec
from anyio.abc import SocketAttribute, SocketListener
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from vectadb_agent import tap
from vectadb_agent.errors import CheckError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from anyio.abc import SocketStream

    from vectadb_agent.vitals import Vitals

    Route = Callable[[], Awaitable["Reply"]]

logger = logging.getLogger("vectadb_agent.endpoint")

SOCKET = "agent.sock"
MOST_CONNECTIONS = 8
"""Connections served at once, on the socket and on TCP each; further ones wait in the kernel."""
BACKLOG = 64
REQUEST_BYTES = 8192
REQUEST_SECONDS = 5.0
"""Longest time for a request to arrive whole."""
REPLY_SECONDS = 10.0
"""Longest time for the reply to be made and taken."""
ACCEPT_PAUSE = 1.0
"""Seconds until connections are accepted again after the system refused to (too many open files)."""

_SUN_PATH = 107
"""Bytes that the path of a socket may have."""
_JSON = "application/json"


class Reply(msgspec.Struct):
    """What is answered to one request."""

    status: int
    body: bytes
    content_type: str = _JSON
    parts: AsyncGenerator[bytes, None] | None = None
    """What follows, piece by piece, instead of ``body``."""


@dataclass(frozen=True)
class Doors:
    """Where the agent listens: on TCP, which strangers may reach, and on its owner's socket, if that could be made."""

    tcp: Sequence[SocketListener]
    own: SocketListener | None

    @property
    def ports(self) -> list[int]:
        """The TCP ports."""
        return [_port(door) for door in self.tcp]


@contextlib.asynccontextmanager
async def listening(state_dir: Path, listen: tuple[str, int] | None) -> AsyncIterator[Doors]:
    """Listen on the socket in ``state_dir``, and on a TCP address if one is given; at last take the socket away.

    The state directory must be this process's own (its lock held): a socket that is there belongs to nobody.

    Raises:
        CheckError: the TCP address cannot be had.
    """
    async with contextlib.AsyncExitStack() as stack:
        tcp = [] if listen is None else await _listen(*listen)
        for door in tcp:
            await stack.enter_async_context(door)
            logger.info("metrics are served", extra={"path": "/metrics", "port": _port(door)})
        own = await _listen_on_socket(state_dir)
        if own is not None:
            await stack.enter_async_context(own)
            stack.callback(_remove_socket, state_dir)
        yield Doors(tcp, own)


async def serve(vitals: Vitals, doors: Doors) -> None:
    """Answer until cancelled."""

    async def metrics() -> Reply:
        return Reply(200, await vitals.metrics(), CONTENT_TYPE_PLAIN_0_0_4)

    async def health() -> Reply:
        reasons = vitals.reasons()
        if reasons:
            return Reply(503, msgspec.json.encode({"status": "unhealthy", "reasons": reasons}))
        return Reply(200, b'{"status":"ok"}')

    async def status() -> Reply:
        return Reply(200, msgspec.json.encode(await vitals.status()))

    async def tapped() -> Reply:
        return Reply(200, b"", "application/x-ndjson", tap.lines(vitals.taps))

    public: dict[str, Route] = {"/metrics": metrics, "/health": health}
    async with anyio.create_task_group() as group:
        for door in doors.tcp:
            group.start_soon(_accept, door, public)
        if doors.own is not None:
            group.start_soon(_accept, doors.own, {**public, "/status": status, "/tap": tapped})


@contextlib.contextmanager
def socket_path(state_dir: Path) -> Iterator[str]:
    """A path by which the socket of a state directory can be reached, however long the directory's own is.

    Raises:
        OSError: the directory is not there, or its path is too long and there is no way around that here.
    """
    path = str(state_dir / SOCKET)
    if len(os.fsencode(path)) <= _SUN_PATH:
        yield path
        return
    directory = os.open(state_dir, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{SOCKET}"
    finally:
        os.close(directory)


def _port(door: SocketListener) -> int:
    return door.extra(SocketAttribute.local_port)  # noqa: S610 - anyio's, no database near


async def _listen(host: str, port: int) -> list[SocketListener]:
    try:
        multi = await anyio.create_tcp_listener(local_host=host, local_port=port, backlog=BACKLOG)
    except OSError as error:
        raise CheckError(
            f"agent.listen {host}:{port} cannot be had: {error.strerror or error}. Free it, or name another address; "
            "leave it out to have metrics only on the socket in agent.state_dir"
        ) from error
    return [listener for listener in multi.listeners if isinstance(listener, SocketListener)]


async def _listen_on_socket(state_dir: Path) -> SocketListener | None:
    """Listen on ``agent.sock``, for the owner only. Where that cannot be, say so: logs are delivered without it."""
    path = state_dir / SOCKET
    try:
        if path.exists() and not stat.S_ISSOCK(path.stat().st_mode):
            raise FileExistsError("something else of that name is there; remove it")
        with socket_path(state_dir) as reachable:
            # The mode is set between binding and listening: nobody else can connect at any moment.
            return await anyio.create_unix_listener(reachable, mode=0o600, backlog=BACKLOG)
    except OSError as error:
        logger.warning(
            "cannot listen on the socket in state_dir: `vectadb-agent status` will not find this agent",
            extra={"path": str(path), "error": error.strerror or str(error)},
        )
        return None


def _remove_socket(state_dir: Path) -> None:
    with contextlib.suppress(OSError):
        (state_dir / SOCKET).unlink()


async def _accept(listener: SocketListener, routes: Mapping[str, Route]) -> None:
    slots = anyio.Semaphore(MOST_CONNECTIONS)

    async def serve_one(stream: SocketStream) -> None:
        try:
            await _serve_connection(stream, routes)
        finally:
            slots.release()

    async with anyio.create_task_group() as group:
        while True:
            await slots.acquire()
            try:
                stream = await listener.accept()
            except (OSError, anyio.BrokenResourceError) as error:
                slots.release()
                logger.warning("cannot accept a connection; trying again", extra={"error": str(error)})
                await anyio.sleep(ACCEPT_PAUSE)
                continue
            group.start_soon(serve_one, stream)


async def _serve_connection(stream: SocketStream, routes: Mapping[str, Route]) -> None:
    """Answer one request. Whatever the other side does, it ends within the two times, and raises nothing."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=REQUEST_BYTES)
    try:
        async with stream:
            try:
                with anyio.fail_after(REQUEST_SECONDS):
                    request = await _request(stream, connection)
                with anyio.fail_after(REPLY_SECONDS):
                    reply = await _reply(request, routes)
                    if reply.parts is None:
                        await stream.send(_encoded(connection, reply, body=request.method != b"HEAD"))
                if reply.parts is not None:
                    await _send_parts(stream, connection, reply, reply.parts)
            except h11.RemoteProtocolError as error:
                with anyio.fail_after(REPLY_SECONDS):
                    await stream.send(_encoded(connection, _refusal(error.error_status_hint, str(error))))
    except (OSError, TimeoutError, anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
        logger.debug("a connection ended before its time", exc_info=True)
    except Exception:
        logger.exception("a request could not be answered")


async def _send_parts(
    stream: SocketStream, connection: h11.Connection, reply: Reply, parts: AsyncGenerator[bytes, None]
) -> None:
    headers = [("content-type", reply.content_type), ("transfer-encoding", "chunked"), ("connection", "close")]
    head = connection.send(h11.Response(status_code=reply.status, headers=headers)) or b""
    async with contextlib.aclosing(parts):
        await stream.send(head)
        async for part in parts:
            with anyio.fail_after(REPLY_SECONDS):
                await stream.send(connection.send(h11.Data(data=part)) or b"")


async def _request(stream: SocketStream, connection: h11.Connection) -> h11.Request:
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            return event
        if event is not h11.NEED_DATA:
            raise anyio.EndOfStream
        connection.receive_data(await stream.receive(REQUEST_BYTES))


async def _reply(request: h11.Request, routes: Mapping[str, Route]) -> Reply:
    path = request.target.decode("ascii", "replace").partition("?")[0]
    route = routes.get(path)
    if route is None:
        return _refusal(404, f"there is nothing here; there is {', '.join(routes)}")
    if request.method not in (b"GET", b"HEAD"):
        return _refusal(405, "only GET is understood here")
    try:
        return await route()
    except Exception:
        logger.exception("a request could not be answered", extra={"path": path})
        return _refusal(500, "the reply could not be made; the agent's log says why")


def _refusal(status: int, message: str) -> Reply:
    return Reply(status, msgspec.json.encode({"error": http.HTTPStatus(status).phrase, "message": message}))


def _encoded(connection: h11.Connection, reply: Reply, *, body: bool = True) -> bytes:
    """The reply as bytes, with its body or only announcing it. It says that the connection ends here."""
    headers = [
        ("content-type", reply.content_type),
        ("content-length", str(len(reply.body))),
        ("cache-control", "no-store"),
        ("connection", "close"),
    ]
    if reply.status == 405:
        headers.append(("allow", "GET, HEAD"))
    reason = http.HTTPStatus(reply.status).phrase
    parts: list[h11.Event] = [h11.Response(status_code=reply.status, headers=headers, reason=reason)]
    parts += [h11.Data(data=reply.body)] if body else []
    return b"".join(connection.send(part) or b"" for part in [*parts, h11.EndOfMessage()])
