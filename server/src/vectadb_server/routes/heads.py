"""``HEAD``: answered as ``GET`` is and by its rules, without the body. What would be streamed is not begun for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping

    from litestar import Request

    Message = MutableMapping[str, Any]
    Send = Callable[[Message], Awaitable[None]]

_ALONE = "vectadb_head_alone"


def as_get(scope: Any) -> bool:
    """Have a request for the head alone pass as ``GET``; return whether it is one."""
    if scope["method"] != "HEAD":
        return False
    scope["method"] = "GET"
    scope[_ALONE] = True
    return True


def without_body(send: Send) -> Send:
    """Return a ``send`` that lets the head through, and ends the reply where its body would begin."""
    ended = False

    async def sending(message: Message) -> None:
        nonlocal ended
        if message["type"] != "http.response.body":
            await send(message)
        elif not ended:
            ended = True
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return sending


def allowing(methods: bytes) -> bytes:
    """Return the header ``Allow`` with ``HEAD`` wherever there is ``GET``."""
    return methods.replace(b"GET", b"GET, HEAD") if b"HEAD" not in methods else methods


def alone(request: Request[Any, Any, Any]) -> bool:
    """Whether nothing but the head is asked for."""
    return _ALONE in request.scope


async def nothing() -> AsyncIterator[bytes]:
    """Stand for a body that is streamed and not asked for."""
    chunks: tuple[bytes, ...] = ()
    for chunk in chunks:
        yield chunk
