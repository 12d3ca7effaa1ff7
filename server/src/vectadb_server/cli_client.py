"""What the commands share: asking a server, its reply as JSON, common flags, exit codes."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

from vectadb_server import owner_socket

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    import httpx

    Commands: TypeAlias = argparse._SubParsersAction[argparse.ArgumentParser]

CANNOT_WORK, WRONG_USE, DIFFERENT, SECOND_SIGNAL = 1, 2, 3, 130
DEFAULT_URL = "http://127.0.0.1:8080"

_WHEN = "RFC 3339, a date (its midnight, UTC), or a time before now: 15m, 2h, 7d"


class CommandError(Exception):
    """A command cannot do what it was asked; the text is for people. ``code``: the exit code that says so."""

    code = CANNOT_WORK


class WrongUse(CommandError):
    """What the command was given is none of the values that it takes."""

    code = WRONG_USE


class NoServer(CommandError):
    """Nobody answers at the URL."""


def add_times(parser: argparse.ArgumentParser, what: str = "") -> None:
    """Add ``--since`` and ``--until``; ``what`` is to be of that time, where it is not the thing itself."""
    parser.add_argument("--since", metavar="TIME", help=f"{what} this time or later: {_WHEN}".strip())
    parser.add_argument("--until", metavar="TIME", help=f"{what} earlier than this time".strip())


def add_server(parser: argparse.ArgumentParser) -> None:
    """Add what every command has that asks a server."""
    parser.add_argument("--json", action="store_true", help="print the server's reply as it is")
    server = parser.add_argument_group("which server")
    server.add_argument("--url", help=f"(default: VECTADB_URL, else this machine's own, at {DEFAULT_URL})")
    server.add_argument("--api-key", metavar="KEY", help="(default: VECTADB_API_KEY, which others cannot see)")
    server.add_argument(
        "--api-key-file", metavar="FILE", type=Path, help="file with it (default: VECTADB_API_KEY_FILE)"
    )


def path_of(collection: str, given: str, *, listed: str) -> str:
    """Return the path of one of the collection, by its id; ``listed``: the command that lists them.

    Raises:
        WrongUse: it is no id.
    """
    if given in ("", ".", ".."):  # No path has these.
        raise WrongUse(f"found {given!r}; expected an id. Next: `{listed}` lists them")
    return f"{collection}/{quote(given, safe='')}"


def trace_path(trace_id: str) -> str:
    """Return the path of a trace, given by its id or by the one that its events were sent with.

    Raises:
        WrongUse: it is no id.
    """
    return path_of("/api/v1/traces", trace_id, listed="vectadb traces")


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add ``--data-dir``, for commands that can also do without a running server; see :func:`a_server`."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="the data directory: its server is asked without a key; where none runs, it is worked on (default: "
        "VECTADB_DATA_DIR, else ./data)",
    )


@contextlib.contextmanager
def a_server(options: argparse.Namespace) -> Iterator[None]:
    """Have a server to ask; where none runs, one for this command, on the data directory.

    Raises:
        CommandError: there is neither a server nor a data directory, or another server has it.
    """
    if options.data_dir is None:
        try:
            ask(options, "GET", "/health")
        except NoServer as error:
            options.data_dir = _data_dir(options)
            # Whoever names a server does not mean the directory that happens to be here.
            if options.url or os.environ.get("VECTADB_URL") or not (options.data_dir / "record").is_dir():
                raise CommandError(f"{error}; or with --data-dir the directory of one that is stopped") from None
    if options.data_dir is None or owner_socket.answers(options.data_dir):
        yield
        return
    from vectadb_server.local_server import CannotStart, started

    try:
        with started(options.data_dir) as url:
            if not owner_socket.answers(options.data_dir):
                options.url, options.data_dir = url, None
            yield
    except CannotStart as error:
        raise CommandError(str(error)) from None


def ask(options: argparse.Namespace, method: str, path: str, *, query: Any = None, body: Any = None) -> Any:
    """Ask the server; return its reply, decoded.

    It is the one of ``--data-dir``, over its socket; else the one of ``--url`` or ``VECTADB_URL``; else, unless there
    is a key, the one of the default data directory; else the one at the default address.

    Raises:
        CommandError: nobody answers there, or not VectaDB, or it refuses.
    """
    with _client(options) as client:
        reply = client.request(method, path, params=_given(query), json=body)
    with contextlib.suppress(ValueError):
        found = reply.json()
        if reply.is_success and isinstance(found, dict):
            return found
    raise _refused(reply)


@contextlib.contextmanager
def lines(
    options: argparse.Namespace, path: str, *, query: Any = None, headers: Any = None, silence: float = 60
) -> Iterator[Iterator[str]]:
    """Ask the server for a reply that comes line by line; ``silence``: seconds that it may say nothing.

    Raises:
        CommandError: as :func:`ask`, also where the reply breaks off.
    """
    with _streamed(options, "GET", path, query=query, headers=headers, silence=silence) as reply:
        yield reply.iter_lines()


@contextlib.contextmanager
def pieces(options: argparse.Namespace, path: str, *, silence: float = 60) -> Iterator[Iterator[bytes]]:
    """As :func:`lines`, for what ``POST`` answers with bytes."""
    with _streamed(options, "POST", path, silence=silence) as reply:
        yield reply.iter_bytes()


@contextlib.contextmanager
def _streamed(
    options: argparse.Namespace, method: str, path: str, *, query: Any = None, headers: Any = None, silence: float
) -> Iterator[httpx.Response]:
    with (
        _client(options, silence) as client,
        client.stream(method, path, params=_given(query), headers=headers) as reply,
    ):
        if not reply.is_success or reply.headers.get("content-type", "").startswith("application/json"):
            reply.read()
            raise _refused(reply)
        yield reply


@contextlib.contextmanager
def _client(options: argparse.Namespace, silence: float = 60) -> Iterator[httpx.Client]:
    """Yield a client of the server that :func:`ask` describes."""
    import httpx

    data_dir, key = _data_dir(options), _api_key(options)
    given = getattr(options, "data_dir", None) is not None
    url = (None if given else options.url or os.environ.get("VECTADB_URL")) or DEFAULT_URL
    remote = not given and (options.url or os.environ.get("VECTADB_URL") or key is not None)
    try:
        with contextlib.ExitStack() as stack:
            if not remote and owner_socket.answers(data_dir):
                transport = httpx.HTTPTransport(uds=stack.enter_context(owner_socket.reachable(data_dir)))
                client = httpx.Client(base_url="http://localhost", timeout=silence, transport=transport)
            elif given:
                raise NoServer(f"{data_dir}: no server answers there. Next: start it with `vectadb serve`")
            else:
                # A proxy from the environment would not reach this machine's own loopback.
                local = httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")
                headers = {} if key is None else {"Authorization": f"Bearer {key}"}
                client = httpx.Client(base_url=url, timeout=silence, trust_env=not local, headers=headers)
            yield stack.enter_context(client)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise CommandError(f"{url} is no URL of a server; right would be {DEFAULT_URL}") from None
    except httpx.ConnectError:
        if given:
            raise NoServer(f"{data_dir}: its server is gone. Next: look at its log, and start it again") from None
        text = "start one with `vectadb serve`, or name another with --url or VECTADB_URL"
        raise NoServer(f"no server answers at {url}. Next: {text}") from None
    except httpx.HTTPError as error:
        url = str(data_dir) if given else url
        raise CommandError(f"{url} did not answer: {str(error) or type(error).__name__}") from None


def _given(query: Any) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _refused(reply: httpx.Response) -> CommandError:
    try:
        message = str(reply.json()["message"])
    except (ValueError, KeyError, TypeError):
        url = str(reply.request.url).partition("/api/")[0]
        return CommandError(f"{url} answers ({reply.status_code}), but it is no VectaDB. Next: check --url")
    if reply.status_code == 401:
        text = "give it with VECTADB_API_KEY or --api-key-file, or name the server's --data-dir on its own machine"
        message = f"{message.partition('. Next: ')[0]}. Next: {text}"
    return WrongUse(message) if reply.status_code in (400, 422) else CommandError(message)


def _data_dir(options: argparse.Namespace) -> Path:
    return getattr(options, "data_dir", None) or Path(os.environ.get("VECTADB_DATA_DIR") or "data")


def _api_key(options: argparse.Namespace) -> str | None:
    """Return the key that was given, ``None`` where none was.

    Raises:
        CommandError: its file cannot be read, or it is no key.
    """
    key = options.api_key
    file = options.api_key_file
    if key is None and file is None:
        key = os.environ.get("VECTADB_API_KEY")
        file = Path(named) if not key and (named := os.environ.get("VECTADB_API_KEY_FILE")) else None
    if key is None or file is not None:
        try:
            key = "" if file is None else file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not text"
            raise CommandError(f"{file}: the API key cannot be read: {why}") from None
    if not (key.isascii() and key.isprintable()):
        raise CommandError("the API key has characters that no key has. Next: check --api-key or VECTADB_API_KEY")
    return key or None


def as_json(options: argparse.Namespace, reply: Any) -> bool:
    """Print the reply if JSON is wanted; return whether it was."""
    if options.json:
        import json

        print(json.dumps(reply, indent=2))
    return bool(options.json)
