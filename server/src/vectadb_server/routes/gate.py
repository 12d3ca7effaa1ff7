"""What every request passes on its way in and out, whatever its route, as ASGI around the application."""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vectadb_server import ids, logs
from vectadb_server.routes.errors import body_of
from vectadb_server.settings import is_loopback

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from vectadb_server.metrics import Metrics

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Any, Any, Any], Awaitable[None]]

_log = logging.getLogger(__name__)
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _SAFE | {"POST", "PUT", "PATCH", "DELETE"}


def gate(app: App, metrics: Metrics, *, loopback: bool) -> App:
    """Wrap ``app``.

    - Each request has an id (the client's ``X-Request-Id`` where it is sane): in the log and in the reply.
    - Where only this machine reaches the server, the ``Host`` must be this machine too: a page of another site whose
      name was made to point here (DNS rebinding) is refused. A page of another origin may not write, anywhere.
    - Each request is counted with its duration; those that fail are logged.
    """

    async def through(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        began = time.perf_counter()
        headers = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}
        given = headers.get(b"x-request-id", "")
        number = given if _SANE_ID.fullmatch(given) else ids.uuid7()
        status = 0

        async def reply(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                own = [(b"x-request-id", number.encode()), (b"x-content-type-options", b"nosniff")]
                message["headers"] = [*message.get("headers", ()), *own]
            await send(message)

        token = logs.request_id.set(number)
        try:
            refusal = _refusal(scope["method"], headers, loopback=loopback)
            if refusal is not None:
                await _forbid(refusal, reply)
            else:
                await app(scope, receive, reply)
        finally:
            took = time.perf_counter() - began
            route = scope.get("path_template") or "none"
            method = scope["method"] if scope["method"] in _METHODS else "other"
            metrics.request(method, route, status, took)
            level = logging.DEBUG if 0 < status < 400 else logging.WARNING if status >= 500 else logging.INFO
            _log.log(
                level,
                "%s %s: %s",
                scope["method"],
                scope["path"],
                status or "no reply",
                extra={"duration_ms": round(took * 1000, 2)},
            )
            logs.request_id.reset(token)

    return through


def _refusal(method: str, headers: dict[bytes, str], *, loopback: bool) -> str | None:
    host, origin = headers.get(b"host"), headers.get(b"origin")
    if loopback and host is not None and not _is_here(host):
        return f"the Host header is {host!r}; this server answers to 127.0.0.1 and localhost only"
    if method not in _SAFE and origin is not None and _place(origin) != (host or "").lower():
        return f"a page of {origin!r} may not send this here: its Origin is not this server"
    return None


def _place(origin: str) -> str | None:
    """Host and port of an ``Origin`` header; ``None`` where it is no URL."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _is_here(host: str) -> bool:
    """Whether a ``Host`` header names this machine."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    try:
        return is_loopback(name) or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


async def _forbid(message: str, send: Send) -> None:
    body = body_of("forbidden", message)
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
