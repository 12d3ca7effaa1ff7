"""What the commands share: asking a server, its reply as JSON, common flags, exit codes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import httpx

    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

CANNOT_WORK, WRONG_USE, DIFFERENT, SECOND_SIGNAL = 1, 2, 3, 130
DEFAULT_URL = "http://127.0.0.1:8080"

_WHEN = "RFC 3339, or a time before now: -15m, -2h, -7d"


class CommandError(Exception):
    """A command cannot do what it was asked; the text is for people."""


class NoServer(CommandError):
    """Nobody answers at the URL."""


def add_times(parser: argparse.ArgumentParser) -> None:
    """Add ``--since`` and ``--until``."""
    parser.add_argument("--since", metavar="TIME", help=f"this time or later: {_WHEN}")
    parser.add_argument("--until", metavar="TIME", help="earlier than this time")


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add what every command has that asks a server."""
    url = os.environ.get("VECTADB_URL") or DEFAULT_URL
    parser.add_argument("--url", default=url, help=f"the server (default: VECTADB_URL, else {DEFAULT_URL})")
    parser.add_argument("--json", action="store_true", help="print the server's reply as it is")


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-dir``, for commands that can also do without a running server; see :func:`a_server`."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="where no server runs: the directory to work on (default: VECTADB_DATA_DIR, else ./data)",
    )


@contextlib.contextmanager
def a_server(options: argparse.Namespace) -> Iterator[None]:
    """Have a server to ask at ``options.url``; where none runs, one for this command, on the data directory.

    Raises:
        CommandError: there is neither a server nor a data directory, or another server has it.
    """
    if options.data_dir is None:
        try:
            ask(options, "GET", "/health")
        except NoServer as error:
            options.data_dir = Path(os.environ.get("VECTADB_DATA_DIR") or "data")
            if not (options.data_dir / "record").is_dir():
                raise CommandError(f"{error}; or with --data-dir the directory of one that is stopped") from None
        else:
            yield
            return
    from vectadb_server.local_server import CannotStart, started

    try:
        with started(options.data_dir) as options.url:
            yield
    except CannotStart as error:
        raise CommandError(str(error)) from None


def ask(options: argparse.Namespace, method: str, path: str, *, query: Any = None, body: Any = None) -> Any:
    """Ask the server; return its reply, decoded.

    Raises:
        CommandError: nobody answers there, or not VectaDB, or it refuses.
    """
    with _client(options) as client:
        reply = client.request(method, _url(options) + path, params=_given(query), json=body)
    with contextlib.suppress(ValueError):
        found = reply.json()
        if reply.is_success and isinstance(found, dict):
            return found
    raise _refused(options, reply)


@contextlib.contextmanager
def lines(
    options: argparse.Namespace, path: str, *, query: Any = None, headers: Any = None, silence: float = 60
) -> Iterator[Iterator[str]]:
    """Ask the server for a reply that comes line by line; ``silence``: seconds that it may say nothing.

    Raises:
        CommandError: as :func:`ask`, also where the reply breaks off.
    """
    with (
        _client(options, silence) as client,
        client.stream("GET", _url(options) + path, params=_given(query), headers=headers) as reply,
    ):
        if not reply.is_success or reply.headers.get("content-type", "").startswith("application/json"):
            reply.read()
            raise _refused(options, reply)
        yield reply.iter_lines()


@contextlib.contextmanager
def _client(options: argparse.Namespace, silence: float = 60) -> Iterator[httpx.Client]:
    import httpx

    url = _url(options)
    try:
        # A proxy from the environment would not reach this machine's own loopback.
        local = httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")
        with httpx.Client(timeout=silence, trust_env=not local) as client:
            yield client
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise CommandError(f"{url} is no URL of a server; right would be {DEFAULT_URL}") from None
    except httpx.ConnectError:
        text = "start one with `vectadb serve`, or name another with --url or VECTADB_URL"
        raise NoServer(f"no server answers at {url}. Next: {text}") from None
    except httpx.HTTPError as error:
        raise CommandError(f"{url} did not answer: {str(error) or type(error).__name__}") from None


def _url(options: argparse.Namespace) -> str:
    return str(options.url).rstrip("/")


def _given(query: Any) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _refused(options: argparse.Namespace, reply: httpx.Response) -> CommandError:
    try:
        return CommandError(str(reply.json()["message"]))
    except (ValueError, KeyError, TypeError):
        return CommandError(f"{options.url} answers ({reply.status_code}), but it is no VectaDB. Next: check --url")


def as_json(options: argparse.Namespace, reply: Any) -> bool:
    """Print the reply if JSON is wanted; return whether it was."""
    if options.json:
        import json

        print(json.dumps(reply, indent=2))
    return bool(options.json)
