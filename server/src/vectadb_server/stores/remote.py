"""A session on a SurrealDB server: one WebSocket, one database, any number of queries at once.

By our own framing instead of the SDK's, whose encoder is written in Python. A session that has broken stays broken:
whoever holds it opens another one. What was under way then may have been done or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
from typing import TYPE_CHECKING, Any, Self

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from vectadb_server.stores.base import StoreUnavailable
from vectadb_server.stores.engine import CAN_BE_RETRIED, packed, unpacked, with_none

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPEN = 5.0  # seconds for opening and signing in
_PING = 3.0  # seconds between two pings, and for an answer: a server that is gone without a word is noticed
QUERY = 30.0
"""Seconds that a query may take. The session is given up then: nobody knows what became of it."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A SurrealDB server, and where on it the record is. ``prefix`` begins the names of its databases."""

    url: str
    user: str
    password: str
    namespace: str
    prefix: str

    def __repr__(self) -> str:
        return f"{self.url} (namespace {self.namespace}, databases {self.prefix}_…)"

    __str__ = __repr__


class Session:
    """An open session. :attr:`broken` says why it can no longer be used, if so."""

    def __init__(self, socket: ClientConnection, where: str) -> None:
        self._socket, self._where = socket, where
        self._numbers = itertools.count()
        self._waiting: dict[str, asyncio.Future[Any]] = {}
        self.broken: str | None = None
        self._reader = asyncio.create_task(self._read(), name=f"replies of {where}")

    @classmethod
    async def opened(cls, at: Address, database: str) -> Self:
        """Connect, sign in and choose the database, which is made if it is absent.

        Raises:
            StoreUnavailable: it cannot be reached, or refuses us.
        """
        session = None
        url = at.url if at.url.endswith("/rpc") else f"{at.url.rstrip('/')}/rpc"
        try:
            async with asyncio.timeout(_OPEN):
                socket = await connect(
                    url,
                    subprotocols=[Subprotocol("cbor")],
                    compression=None,
                    max_size=None,
                    ping_interval=_PING,
                    ping_timeout=_PING,
                )
                session = cls(socket, at.url)
                await session._sign_in(at)
                await session.use(at.namespace, database)
        except (OSError, TimeoutError, WebSocketException) as error:
            await _closed(session)
            raise StoreUnavailable(f"{at.url}: SurrealDB does not answer ({str(error) or 'timed out'})") from error
        except BaseException:
            await _closed(session)
            raise
        return session

    async def use(self, namespace: str, database: str) -> None:
        """Choose the database. One that is absent is made: by one of those who begin at the same moment."""
        while True:
            try:
                await self._call("use", [namespace, database])
            except StoreUnavailable as error:
                if CAN_BE_RETRIED not in str(error):
                    raise
                await asyncio.sleep(random.uniform(0, 0.05))
            else:
                return

    async def query_raw(self, sql: str, values: dict[str, Any]) -> Any:
        """Run statements; return the reply as it is."""
        return await self._reply("query", [sql, with_none(values)])

    async def close(self) -> None:
        """End the session; what is under way fails."""
        self._break("closed")
        with contextlib.suppress(OSError, WebSocketException):
            await self._socket.close()
        await asyncio.gather(self._reader, return_exceptions=True)

    async def _sign_in(self, at: Address) -> None:
        """As a user of the whole server, else of the namespace."""
        who = {"user": at.user, "pass": at.password}
        for scope in ({}, {"NS": at.namespace}):
            if "error" not in (reply := await self._reply("signin", [{**scope, **who}])):
                return
        raise StoreUnavailable(
            f"{at.url}: SurrealDB refuses the user {at.user!r} ({reply['error'].get('message')}). "
            "Next: check surreal_user and surreal_password"
        )

    async def _call(self, method: str, parameters: Sequence[Any]) -> Any:
        reply = await self._reply(method, parameters)
        if "error" in reply:
            raise StoreUnavailable(f"{self._where}: {method}: {reply['error'].get('message')}")
        return reply.get("result")

    async def _reply(self, method: str, parameters: Sequence[Any]) -> Any:
        if self.broken is not None:
            raise StoreUnavailable(f"{self._where}: {self.broken}")
        number = str(next(self._numbers))
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(QUERY):
                await self._socket.send(packed(number, method, list(parameters)))
                return await waiting
        except TimeoutError:
            self._break(f"no answer within {QUERY:g} s")
            raise StoreUnavailable(f"{self._where}: {self.broken}") from None
        except WebSocketException as error:
            self._break(f"the connection is lost ({error})")
            raise StoreUnavailable(f"{self._where}: {self.broken}") from None
        finally:
            self._waiting.pop(number, None)

    async def _read(self) -> None:
        why = "the connection is lost"
        try:
            async for message in self._socket:
                reply = unpacked(message if isinstance(message, bytes) else message.encode())
                waiting = self._waiting.get(str(reply.get("id")))
                if waiting is not None and not waiting.done():
                    waiting.set_result(reply)
        except (OSError, WebSocketException) as error:
            why = f"{why} ({error})"
        finally:
            self._break(why)

    def _break(self, why: str) -> None:
        self.broken = self.broken or why
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(StoreUnavailable(f"{self._where}: {self.broken}"))
                waiting.exception()  # Whoever waited may have gone.


async def _closed(session: Session | None) -> None:
    if session is not None:
        await session.close()
