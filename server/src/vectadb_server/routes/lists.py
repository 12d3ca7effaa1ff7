"""How lists are answered: a page as JSON, or all there is as NDJSON, streamed; whole items or chosen fields of them."""

from __future__ import annotations

import zlib
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeVar

import msgspec
from litestar import Response
from litestar.enums import MediaType
from litestar.response import Stream

from vectadb_server.routes import accepting, heads
from vectadb_server.routes.enforce import still_in
from vectadb_server.routes.errors import Refusal
from vectadb_server.routes.fields import Fields

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from litestar import Request

    from vectadb_server.services import Services
    from vectadb_server.stores.base import Cursor, Page

T = TypeVar("T")

NDJSON = "application/x-ndjson"
_EXPORTED = 500  # items read at once
_encode = msgspec.json.Encoder().encode


class Ask(Protocol[T]):
    """Reads a page of the list."""

    async def __call__(self, *, limit: int, after: Cursor | None) -> Page[T]:
        """Return at most ``limit`` items after a place."""
        ...


class Shape(NamedTuple):
    """How the client wants the list: ``fields`` of each item, of ``kind``; as NDJSON or not; at most so many."""

    name: str
    kind: type[msgspec.Struct]
    fields: str | None
    format: str | None
    limit: int | None
    usual: int


async def answer(
    request: Request[Any, Any, Any],
    services: Services,
    shape: Shape,
    ask: Ask[T],
    reply: Callable[[T], msgspec.Struct],
    *,
    after: Cursor | None,
    cursor: Callable[[Cursor], str],
) -> Response[Any]:
    """Answer a list.

    As JSON ``{name: items, "next_cursor": …}``. As NDJSON everything from ``after`` on, one item a line, read while it
    is sent; a failure in the middle ends the connection without the reply's proper end, and so does the end of the key.

    Raises:
        Refusal: 400, the fields or the format are unknown.
    """
    chosen = Fields(shape.fields, shape.kind) if shape.fields else None
    if _wants_lines(request, shape.format):
        first = await ask(limit=min(shape.limit or _EXPORTED, _EXPORTED), after=after)
        # What fails at once is told with a status.
        lines = _lines(
            first,
            ask,
            shape.limit,
            lambda item: chosen.of(reply(item)) if chosen else reply(item),
            partial(still_in, services, request),
        )
        headers = {"Vary": "Accept, Accept-Encoding"}
        if accepting.packed(request):
            headers["Content-Encoding"] = "gzip"
            lines = _compressed(lines)
        return Stream(heads.nothing() if heads.alone(request) else lines, media_type=NDJSON, headers=headers)
    page = await ask(limit=shape.limit or shape.usual, after=after)
    items = [chosen.of(reply(item)) if chosen else reply(item) for item in page.items]
    return Response({shape.name: items, "next_cursor": None if page.next is None else cursor(page.next)})


def shown(reply: msgspec.Struct, fields: str | None) -> Response[Any]:
    """Answer one item, or chosen fields of it.

    Raises:
        Refusal: 400, a field is unknown.
    """
    return Response(Fields(fields, type(reply)).of(reply) if fields else reply)


def _wants_lines(request: Request[Any, Any, Any], asked: str | None) -> bool:
    if asked:
        if asked not in ("json", "ndjson"):
            raise Refusal(400, f"format: found {asked!r}; expected json or ndjson", code="invalid_query")
        return asked == "ndjson"
    return accepting.prefers(request, NDJSON, MediaType.JSON)


async def _lines(
    page: Page[T],
    ask: Ask[T],
    limit: int | None,
    reply: Callable[[T], Any],
    admitted: Callable[[], Awaitable[bool]],
) -> AsyncIterator[bytes]:
    left = limit
    while True:
        if page.items:
            yield b"\n".join([*(_encode(reply(item)) for item in page.items), b""])
        left = None if left is None else left - len(page.items)
        if page.next is None or left == 0:
            return
        if not await admitted():
            raise Refusal(401, "the key is not taken any more: what was asked for is not all sent")
        page = await ask(limit=min(left or _EXPORTED, _EXPORTED), after=page.next)


async def _compressed(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    packer = zlib.compressobj(level=1, wbits=31)
    async for chunk in chunks:
        yield packer.compress(chunk) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()
