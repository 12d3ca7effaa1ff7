"""The life of a server process: bind, open, serve, stop.

It stops at SIGTERM or SIGINT: no new connections, the requests in progress end (for so long), the indexer catches up
(for so long), the engines are closed. A second signal ends the process at once; what was answered is durable anyway.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, NoReturn

import uvicorn

from vectadb_server import __version__, owner_socket, plain, tracing
from vectadb_server.app import application
from vectadb_server.leaving import leave
from vectadb_server.services import opened
from vectadb_server.settings import SettingsError
from vectadb_server.slow_clients import with_header_timeout
from vectadb_server.stores.base import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectadb_server.services import Services
    from vectadb_server.settings import Settings

_log = logging.getLogger(__name__)

STOPPED, CANNOT_WORK, WRONG_USE, SECOND_SIGNAL = 0, 1, 2, 130
_BACKLOG = 512
_KEEP_ALIVE = 5  # seconds; clients close idle connections before
_MOST_HEADERS = 64 * 1024  # bytes


class CannotServe(Exception):
    """The server cannot start; the text is one line for people."""


def serve(settings: Settings) -> NoReturn:
    """Serve until told to stop, then end the process.

    Its code: 0 stopped, 1 it cannot work, 2 the settings are wrong, 130 a second signal.
    """
    code = CANNOT_WORK
    try:
        asyncio.run(_serve(settings))
        code = STOPPED
    except SettingsError as error:
        sys.stderr.write(f"vectadb serve: the settings are wrong, nothing is served\n{error}\n")
        code = WRONG_USE
    except (CannotServe, StoreUnavailable) as error:
        sys.stderr.write(f"vectadb serve: {error}\n")
    except KeyboardInterrupt:
        code = SECOND_SIGNAL
    except Exception:  # noqa: BLE001 - whatever it is, the process ends by the way below
        _log.exception("the server failed")
    leave(code)


async def _serve(settings: Settings) -> None:
    with ExitStack() as stack:
        stack.enter_context(tracing.exporting(os.environ))
        sock = stack.enter_context(_bound(settings))
        async with opened(settings) as services:
            # A batch makes ten thousand objects that live for its time: at the usual threshold (700) the collector goes
            # through them, and now and then through all there is, for a fifth of an ingest's time.
            gc.freeze()
            gc.set_threshold(50_000, 20, 50)
            own = stack.enter_context(owner_socket.listening(settings.data_dir))
            config = uvicorn.Config(
                application(services),
                http=with_header_timeout(settings.header_timeout),
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                proxy_headers=False,
                backlog=_BACKLOG,
                timeout_keep_alive=_KEEP_ALIVE,
                timeout_graceful_shutdown=max(1, round(settings.shutdown_timeout)),
                h11_max_incomplete_event_size=_MOST_HEADERS,
            )
            server = _Server(config, settings, services, keyed=await services.access.exists())
            _on_signals(server)
            await server.serve(sockets=[sock, *own])
            _log.info("no requests are left; closing")


class _Server(uvicorn.Server):
    """uvicorn, whose signals and first words are ours."""

    def __init__(self, config: uvicorn.Config, settings: Settings, services: Services, *, keyed: bool) -> None:
        super().__init__(config)
        self._settings, self._services, self._keyed = settings, services, keyed

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, and say so.

        Raises:
            CannotServe: another process began to listen in the meantime.
        """
        assert sockets
        try:
            await super().startup(sockets)
        except OSError as error:
            raise _taken(self._settings, error) from None
        _say_ready(self._settings, sockets[0], keyed=self._keyed)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let the requests in progress end; those that follow events would never do so by themselves."""
        if self._services.following is not None:
            await self._services.following.stop()
        await super().shutdown(sockets)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone: they also end what follows after the last request."""
        yield


def _on_signals(server: uvicorn.Server) -> None:
    loop = asyncio.get_running_loop()

    def told(number: int) -> None:
        name = signal.Signals(number).name
        if server.should_exit:
            _log.warning("%s again: the process ends at once", name)
            leave(SECOND_SIGNAL)
        _log.info("%s: stopping; once more ends the process at once", name)
        server.should_exit = True

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told, number)


def _say_ready(settings: Settings, sock: socket.socket, *, keyed: bool) -> None:
    host, port = sock.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    if not settings.loopback and not keyed:
        _log.warning("anyone who reaches %s may read and write: there are no API keys", url)
    if (told := plain.misfit()) is not None:
        _log.warning("%s", told)
    if sys.stdout.isatty() and settings.log_format != "json":
        sys.stdout.write(f"VectaDB {__version__} listens on {url}  data in {settings.data_dir}\n")
        sys.stdout.flush()
    else:
        extra: dict[str, Any] = {"url": url, "data_dir": str(settings.data_dir)}
        _log.info("VectaDB %s listens on %s", __version__, url, extra=extra)


def _bound(settings: Settings) -> socket.socket:
    """Return a socket that is bound but does not listen yet: nobody connects before the engines are open.

    Raises:
        CannotServe: the address cannot be had.
    """
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise CannotServe(f"{settings.host}: no such host ({error}). Next: give an address with --host") from None
    family, kind, protocol, _, address = found[0]
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise _taken(settings, error) from None
    return sock


def _taken(settings: Settings, error: OSError) -> CannotServe:
    advice = "choose another port with --port, or 0 for a free one" if settings.port else "choose another with --host"
    words = (os.strerror(error.errno) if error.errno else str(error)).lower()
    return CannotServe(f"cannot listen on {settings.host}, port {settings.port}: {words}. Next: {advice}")
