"""Who may ask what, in one place: every handler declares its scope, and nothing is answered before it was looked at.

``opt={"scope": "read"}``, or several of which one is enough; ``public`` is for everybody. Reads are bounded in number
and time until their reply begins; ``opt={"bounded": False}`` marks what must be answered in an overload too.
"""

from __future__ import annotations

import asyncio
import math
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from litestar.handlers import HTTPRouteHandler

from vectadb_server.access import ANYBODY, OWNER, BadKey, Caller
from vectadb_server.keys import SCOPES
from vectadb_server.routes.errors import Refusal, busy
from vectadb_server.settings import is_loopback
from vectadb_server.signins import COOKIE
from vectadb_server.stores.base import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from litestar import Litestar
    from litestar.connection import ASGIConnection
    from litestar.types import ASGIApp, Receive, Scope, Send

    from vectadb_server import keys
    from vectadb_server.access import Access
    from vectadb_server.metrics import Metrics
    from vectadb_server.services import Services
    from vectadb_server.settings import Settings
    from vectadb_server.signins import SignIns

PUBLIC = "public"
_REALM = 'Bearer realm="vectadb"'
_CALLER = "vectadb_caller"
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


class Undeclared(Exception):
    """A handler does not say whom it is for, which is a mistake in this package."""


class Reads:
    """Bounds the reads in progress: what is beyond is turned away at once."""

    def __init__(self, most: int, metrics: Metrics) -> None:
        self._most = most
        self._in_progress = 0
        metrics.limit("read_requests", most, lambda: self._in_progress)

    @contextmanager
    def place(self) -> Iterator[Callable[[], None]]:
        """Hold a place, until it is given back by a call of what this yields, or at the end.

        Raises:
            Refusal: 503, since all places are taken.
        """
        if self._in_progress >= self._most:
            text = f"{self._in_progress:,} reads are in progress, as many as may be. Next: ask again in a second"
            raise busy(text, code="overloaded")
        self._in_progress += 1
        held = True

        def give_back() -> None:
            nonlocal held
            self._in_progress -= held
            held = False

        try:
            yield give_back
        finally:
            give_back()


def scopes_of(handler: Any) -> tuple[str, ...]:
    """Return what a handler declares; the answers to OPTIONS that the framework adds are public.

    Raises:
        Undeclared: it declares nothing that is known.
    """
    declared = handler.opt.get("scope")
    if declared is None and isinstance(handler, HTTPRouteHandler) and handler.http_methods == {"OPTIONS"}:
        return (PUBLIC,)
    scopes = (declared,) if isinstance(declared, str) else tuple(declared or ())
    if not scopes or not set(scopes) <= {*SCOPES, PUBLIC}:
        raise Undeclared(f"{handler}: found scope {declared!r}; expected {PUBLIC}, {', '.join(SCOPES)}, or some")
    return scopes


def check_declared(app: Litestar) -> None:
    """Refuse an application with a handler that does not say whom it is for.

    Raises:
        Undeclared: naming it.
    """
    for route in app.routes:
        for handler in getattr(route, "route_handlers", None) or [route.route_handler]:  # type: ignore[union-attr]
            scopes_of(handler)


def caller_of(connection: ASGIConnection[Any, Any, Any, Any]) -> Caller | None:
    """Return who asks; ``None``: a stranger, at a public route."""
    found: Caller | None = connection.scope["state"].get(_CALLER)
    return found


def enforcement(services: Services) -> Callable[[ASGIApp], ASGIApp]:
    """Return the middleware that lets through whom it may, as often and for as long as they may."""
    access, settings, sign_ins = services.access, services.settings, services.sign_ins
    reads = Reads(settings.max_read_requests, services.metrics)

    def enforced(app: ASGIApp) -> ASGIApp:
        async def through(scope: Any, receive: Receive, send: Send) -> None:
            handler = scope["route_handler"]
            wanted = scopes_of(handler)
            if PUBLIC in wanted:
                scope["state"][_CALLER] = await _perhaps(access, sign_ins, scope)
                await app(scope, receive, send)
                return
            caller = await _asking(access, sign_ins, scope)
            scope["state"][_CALLER] = caller
            _check_scope(caller, wanted)
            await _check_rates(access, settings, caller, ingest=wanted == ("ingest",))
            if "read" not in wanted or not handler.opt.get("bounded", True):
                await app(scope, receive, send)
                return
            with reads.place() as give_back:
                await _in_time(app, scope, receive, send, settings.read_timeout, give_back)

        return through

    return enforced


async def still_in(services: Services, connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    """Whether the caller would be let in once more: a reply that goes on and on is to end with the key."""
    return await _perhaps(services.access, services.sign_ins, connection.scope) is not None


async def spend_events(services: Services, connection: ASGIConnection[Any, Any, Any, Any], count: int) -> None:
    """Count events against the caller's limit.

    Raises:
        Refusal: 429, nothing was counted.
        StoreUnavailable: the record store is away.
    """
    caller = caller_of(connection)
    if caller is None or caller.key is None or services.access.limiter is None or not count:
        return
    rate = _rates(caller.key, services.settings)["events"]
    if rate is not None:
        _check_wait("events", rate, await services.access.limiter.spend(caller.key.id, "events", rate, count))


async def _asking(access: Access, sign_ins: SignIns, scope: Any) -> Caller:
    """Return who asks: by a key, else by the cookie of a sign-in.

    Raises:
        Refusal: 400 two keys that differ; 401 no key, or one that opens nothing; 403 a page that is not ours.
        StoreUnavailable: nobody knows.
    """
    if is_owner(scope):
        return OWNER
    text = _key_in(scope)
    if text is not None and await access.exists():
        try:
            return await access.caller(text)
        except BadKey as error:
            raise _unauthorized(str(error), found=True) from None
    if text is None and await access.exists():
        token = cookie_in(scope)
        if token is None:
            raise _unauthorized("this server wants an API key, and found none")
        _check_own_page(scope)
        try:
            return await access.signed_in(await sign_ins.key_of(token, await access.knows()))
        except BadKey as error:
            raise _unauthorized(f"{error}; sign in again", found=True) from None
    # Nobody has made a key yet: a client that is ready for one is let in like the others.
    client = scope["client"]
    return OWNER if client is not None and is_loopback(client[0]) else ANYBODY


async def _perhaps(access: Access, sign_ins: SignIns, scope: Any) -> Caller | None:
    try:
        return await _asking(access, sign_ins, scope)
    except (Refusal, StoreUnavailable):
        return None


def is_owner(scope: Any) -> bool:
    """Whether the request came over the socket in the data directory, which has neither a port nor a peer's address."""
    server = scope.get("server")
    return scope["client"] is None and server is not None and server[1] is None


def _key_in(scope: Any) -> str | None:
    """Return the key that a request carries.

    Raises:
        Refusal: 400, it carries two that differ.
    """
    found: set[str] = set()
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            found.add(value.decode("latin-1").strip())
        elif name == b"authorization":
            scheme, _, rest = value.decode("latin-1").strip().partition(" ")
            if scheme.lower() == "bearer":  # Others are for a proxy before us.
                found.add(rest.strip())
    found.discard("")
    if len(found) > 1:
        raise Refusal(400, "found two API keys that differ, in Authorization and X-API-Key; expected one")
    return found.pop() if found else None


def cookie_in(scope: Any) -> str | None:
    """Return what the cookie of a sign-in says, if one came along."""
    for name, value in scope["headers"]:
        if name == b"cookie":
            for pair in value.decode("latin-1").split(";"):
                key, _, text = pair.strip().partition("=")
                if key == COOKIE and text:
                    return str(text)
    return None


def _check_own_page(scope: Any) -> None:
    """Refuse to change anything by a cookie, which comes along whoever has the browser ask, unless our own page asks.

    Raises:
        Refusal: 403.
    """
    if scope["method"] in _SAFE:
        return
    headers = dict(scope["headers"])
    origin, host = (headers.get(name, b"").decode("latin-1").lower() for name in (b"origin", b"host"))
    if origin.partition("://")[2] != host or not host:
        text = f"with a cookie only pages of this server may send this; found the Origin {origin!r}"
        raise Refusal(403, f"{text}. Next: send an API key in `Authorization: Bearer …`")


def _unauthorized(message: str, *, found: bool = False) -> Refusal:
    text = (
        f"{message}. Next: send one in `Authorization: Bearer …` or `X-API-Key`; "
        "`vectadb keys create` on the server's machine makes one"
    )
    challenge = f'{_REALM}, error="invalid_token"' if found else _REALM
    return Refusal(401, text, headers={"WWW-Authenticate": challenge})


def _check_scope(caller: Caller, wanted: tuple[str, ...]) -> None:
    scopes: list[keys.Scope] = [scope for scope in SCOPES if scope in wanted]
    if caller.allowed(scopes):
        return
    needed, had = " or ".join(scopes), ", ".join(caller.scopes)
    if caller.key is None:
        text = f"this needs the scope {needed}, which callers without a key have only on the server's own machine"
        raise Refusal(403, f"{text}. Next: run the command there")
    raise Refusal(
        403,
        f"this needs the scope {needed}; the key {caller.key.id} has {had}. Next: use another key",
        headers={"WWW-Authenticate": f'{_REALM}, error="insufficient_scope", scope="{" ".join(scopes)}"'},
    )


def _rates(key: keys.Key, settings: Settings) -> dict[str, float | None]:
    return {
        "requests": key.max_requests_per_second or settings.max_requests_per_second,
        "events": key.max_events_per_second or settings.max_events_per_second,
    }


async def _check_rates(access: Access, settings: Settings, caller: Caller, *, ingest: bool) -> None:
    """Count the request; where it brings events, look whether any may come, before they are read.

    Raises:
        Refusal: 429.
    """
    if caller.key is None or access.limiter is None:
        return
    rates = _rates(caller.key, settings)
    if rates["requests"] is not None:
        wait = await access.limiter.spend(caller.key.id, "requests", rates["requests"])
        _check_wait("requests", rates["requests"], wait)
    if ingest and rates["events"] is not None:
        _check_wait("events", rates["events"], await access.limiter.wait(caller.key.id, "events", rates["events"]))


def _check_wait(what: str, rate: float, wait: float) -> None:
    if wait > 0:
        seconds = max(1, math.ceil(wait))
        raise Refusal(
            429,
            f"the key may bring {rate:g} {what} a second, and has. Next: come back in {seconds} s",
            headers={"Retry-After": str(seconds)},
        )


async def _in_time(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, seconds: float, began: Callable[[], None]
) -> None:
    """Have the reply begin within ``seconds``; ``began`` is called when it does. It may last as long as it likes.

    Raises:
        Refusal: 503, it has not begun by then.
    """
    try:
        async with asyncio.timeout(seconds) as limit:

            async def sending(message: Any) -> None:
                limit.reschedule(None)
                began()
                await send(message)

            await app(scope, receive, sending)
    except TimeoutError:
        text = f"no answer within {seconds:g} s. Next: ask for less, a shorter time or fewer items"
        raise Refusal(503, text, code="timeout", headers={"Retry-After": "1"}) from None
