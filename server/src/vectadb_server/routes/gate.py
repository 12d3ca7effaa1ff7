"""What every request passes on its way in and out, whatever its route, as ASGI around the application."""

from __future__ import annotations

import ipaddress
import logging
import re
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from vectadb_server import ids, keys, logs
from vectadb_server.routes import heads
from vectadb_server.routes.enforce import is_owner
from vectadb_server.routes.errors import body_of
from vectadb_server.routes.queries import SLASH
from vectadb_server.settings import is_loopback
from vectadb_server.stores.base import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from vectadb_server.services import Services

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[Any, Any, Any], Awaitable[None]]

_log = logging.getLogger(__name__)
_ESCAPED_SLASH = re.compile("%2f", re.IGNORECASE)
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")
# Version ff is invalid; later ones than 00 may have more behind the flags.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS = _SAFE | {"POST", "PUT", "PATCH", "DELETE"}


_NO_RESOURCES = "default-src 'none'; frame-ancestors 'none'"
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", _NO_RESOURCES.encode()),
    (b"cache-control", b"no-store"),
)
"""On every reply that does not say otherwise: nothing of it is kept, framed, guessed at, or taken for a page."""
_FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip")
_PREFLIGHT_AGE = b"600"  # seconds
_ALLOWED_METHODS = b"GET, POST, DELETE"
_ALLOWED_HEADERS = (
    b"authorization, x-api-key, content-type, content-encoding, idempotency-key, last-event-id, x-request-id, "
    b"traceparent, tracestate"
)
_EXPOSED_HEADERS = b"retry-after, x-request-id, www-authenticate"


def gate(app: App, services: Services) -> App:
    """Wrap ``app``.

    - Each request has an id (the client's ``X-Request-Id`` where it is sane, else its trace by W3C's ``traceparent``):
      in every line that is logged meanwhile, in the reply's header, and in the body of an error.
    - While there is no API key and only this machine reaches the server, ``Host`` and ``Origin`` must be this machine
      too: a page of another site whose name was made to point here (DNS rebinding) is refused, and so is what a proxy
      forwards. A page of another origin may not write, anywhere, unless ``cors_origins`` names it.
    - An escaped slash in the path is part of an id: :data:`SLASH` stands for it.
    - ``HEAD`` is answered as ``GET`` is, without the body.
    - Each reply carries the headers that keep browsers from making more of it than it is.
    - Each request is counted with its duration; those that fail are logged.
    """
    metrics, origins = services.metrics, frozenset(services.settings.cors_origins)

    async def through(scope: Any, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        began = time.perf_counter()
        _keep_slashes(scope)
        method = scope["method"]
        if heads.as_get(scope):
            send = heads.without_body(send)
        headers = {name: value.decode("latin-1") for name, value in reversed(scope["headers"])}
        given = headers.get(b"x-request-id", "")
        parent = _TRACEPARENT.fullmatch(headers.get(b"traceparent", ""))
        sane = _SANE_ID.fullmatch(given) and keys.IN_TEXT.search(given) is None
        number = given if sane else parent[1] if parent else ids.uuid7()
        origin = headers.get(b"origin", "").lower()
        friend = origin in origins
        status = 0

        async def reply(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                said = [_said(name.lower(), value) for name, value in message.get("headers", ())]
                names = {name for name, _ in said}
                own = [(b"x-request-id", number.encode()), *(_cors(origin) if friend else ())]
                own += [(b"vary", b"Origin")] if origins else []
                own += [header for header in _HEADERS if header[0] not in names]
                message["headers"] = [*said, *own]
            await send(message)

        token = logs.request_id.set(number)
        trace_token = logs.trace_id.set(parent[1] if parent else logs.trace_id.get())
        try:
            if friend and scope["method"] == "OPTIONS" and b"access-control-request-method" in headers:
                await _preflight(reply)
                return
            refusal = None if friend else _cross_origin(scope["method"], headers)
            if refusal is None and services.settings.loopback and not is_owner(scope) and not await _keyed(services):
                refusal = _elsewhere(headers, friend=friend)
            if refusal is not None:
                await _forbid(refusal, reply)
            else:
                await app(scope, receive, reply)
        finally:
            took = time.perf_counter() - began
            route = scope.get("path_template") or "none"
            metrics.request(method if method in _METHODS else "other", route, status, took)
            level = logging.DEBUG if 0 < status < 400 else logging.WARNING if status >= 500 else logging.INFO
            _log.log(
                level,
                "%s %s: %s",
                method,
                scope["path"],
                status or "no reply",
                extra={"duration_ms": round(took * 1000, 2)},
            )
            logs.trace_id.reset(trace_token)
            logs.request_id.reset(token)

    return through


def _said(name: bytes, value: bytes) -> tuple[bytes, bytes]:
    return name, heads.allowing(value) if name == b"allow" else value


def _keep_slashes(scope: Any) -> None:
    """Let an escaped slash in the path be part of an id: unescaped, as the server has it, it would end its segment."""
    raw = scope.get("raw_path") or b""
    if b"%2f" in raw.lower():
        scope["path"] = unquote(_ESCAPED_SLASH.sub(SLASH, raw.decode("latin-1")))


async def _keyed(services: Services) -> bool:
    """Whether there is an API key; while nobody knows, the server is as careful as without."""
    try:
        return await services.access.exists()
    except StoreUnavailable:
        return False


def _cross_origin(method: str, headers: dict[bytes, str]) -> str | None:
    host, origin = headers.get(b"host"), headers.get(b"origin")
    if method not in _SAFE and origin is not None and _place(origin) != (host or "").lower():
        return f"a page of {origin!r} may not send this here: its Origin is not this server"
    return None


def _elsewhere(headers: dict[bytes, str], *, friend: bool) -> str | None:
    """Say what in a request is not of this machine."""
    host, origin = headers.get(b"host"), headers.get(b"origin")
    if host is not None and not _is_here(host):
        return f"the Host header is {host!r}; without API keys this server answers to 127.0.0.1 and localhost only"
    if origin is not None and not friend and not _is_here(_place(origin) or ""):
        return f"the Origin header is {origin!r}; without API keys this server answers to pages of this machine only"
    if any(name in headers for name in _FORWARDED):
        return "a proxy forwards this; without API keys this server answers to this machine only. Next: make a key"
    return None


def _cors(origin: str) -> list[tuple[bytes, bytes]]:
    return [(b"access-control-allow-origin", origin.encode()), (b"access-control-expose-headers", _EXPOSED_HEADERS)]


async def _preflight(send: Send) -> None:
    headers = [
        (b"access-control-allow-methods", _ALLOWED_METHODS),
        (b"access-control-allow-headers", _ALLOWED_HEADERS),
        (b"access-control-max-age", _PREFLIGHT_AGE),
    ]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


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
