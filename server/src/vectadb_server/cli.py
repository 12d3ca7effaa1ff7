"""The command line: ``serve``; and commands that ask a running server, ``traces``, ``search``, ``reindex`` and others.

Exit codes: 0 done; 1 it cannot work (no server, port in use, data directory locked); 2 the settings or the command line
are wrong; 3 ``check`` found differences; 130 stopped by a second signal.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vectadb_server import __version__

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CANNOT_WORK, WRONG_USE, DIFFERENT, SECOND_SIGNAL = 1, 2, 3, 130
DEFAULT_URL = "http://127.0.0.1:8080"

_WHEN = "RFC 3339, or a time before now: -15m, -2h, -7d"


class CommandError(Exception):
    """A command cannot do what it was asked; the text is for people."""


class _NoServer(CommandError):
    """Nobody answers at the URL."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code. ``serve`` does not return: it ends the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    options = _parser().parse_args(_joined(sys.argv[1:] if arguments is None else arguments))
    try:
        return int(_COMMANDS[options.command](options))
    except CommandError as error:
        print(f"vectadb {options.command}: {error}", file=sys.stderr)
        return CANNOT_WORK
    except BrokenPipeError:
        # Whoever read our output has left; what is buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CANNOT_WORK
    except KeyboardInterrupt:
        return SECOND_SIGNAL


def _joined(arguments: Sequence[str]) -> list[str]:
    """Write ``--since -2h`` as ``--since=-2h``: argparse takes what begins with a dash for a flag."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--since", "--until") and re.fullmatch(r"-\d+[smhdw]", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vectadb",
        description="Takes agent events, groups them into traces, keeps and finds them.",
        epilog="Exit codes: 0 done, 1 cannot work, 2 wrong settings or usage, 3 check found differences, 130 stopped "
        "by a second signal.",
    )
    parser.add_argument("--version", action="version", version=f"vectadb {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser(
        "serve",
        help="run the server",
        description="Run the server until SIGTERM or SIGINT. Flags go before the environment (VECTADB_HOST, …), that "
        "before the file, that before the defaults.",
    )
    serve.add_argument("--host", help="address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", help="port, 0 for a free one (default: 8080)")
    serve.add_argument("--data-dir", help="directory of the record and the search index (default: ./data)")
    serve.add_argument("--config", "-c", type=Path, help="TOML file with settings (default: VECTADB_CONFIG)")
    serve.add_argument(
        "--insecure",
        action="store_const",
        const=True,
        help="listen on an address that other machines reach, though there are no keys",
    )
    serve.add_argument("--log-level", help="debug, info, warning or error (default: info)")

    traces = commands.add_parser("traces", help="list traces, newest first")
    traces.add_argument("--limit", type=int, default=20, help="most traces (default: 20)")
    traces.add_argument("--status", choices=("ok", "error", "running", "interrupted"))
    traces.add_argument("--agent", help="of this agent")
    traces.add_argument("--session", help="of this session")
    _add_times(traces)
    _add_server(traces)

    trace = commands.add_parser("trace", help="show one trace as a tree")
    trace.add_argument("id", help="the trace's id, or the one that its events were sent with")
    _add_server(trace)

    search = commands.add_parser("search", help="find events by meaning and words")
    search.add_argument("query", nargs="+", help="what to look for")
    search.add_argument("--mode", choices=("hybrid", "semantic", "text"), default="hybrid")
    search.add_argument("--limit", type=int, default=10, help="most events (default: 10)")
    search.add_argument("--type", help="of this event type, e.g. tool_call")
    search.add_argument("--agent", help="of this agent")
    search.add_argument("--session", help="of this session")
    search.add_argument("--trace", help="of this trace")
    _add_times(search)
    _add_server(search)

    stats = commands.add_parser("stats", help="counts, errors, tokens and latency (the last day by default)")
    stats.add_argument("--bucket", help="length of a stretch of time: 60s, 15m, 1h, 1d")
    _add_times(stats)
    _add_server(stats)

    reindex = commands.add_parser(
        "reindex",
        help="make search index, summaries and graph anew",
        description="Make search index, trace summaries and graph anew from the record, beside everything else. "
        "Stopping this command does not stop the server's work.",
    )
    _add_times(reindex)
    _add_server(reindex)
    _add_data_dir(reindex)

    check = commands.add_parser(
        "check",
        help="compare the record with its search index, digests and summaries",
        description="Compare the record with its search index, digests and trace summaries, day by day, beside "
        "everything else. Exit code 3: they differ.",
    )
    check.add_argument("--repair", action="store_true", help="mend what differs, and look again")
    _add_server(check)
    _add_data_dir(check)
    return parser


def _add_times(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", help=f"this time or later: {_WHEN}")
    parser.add_argument("--until", metavar="TIME", help="earlier than this time")


def _add_server(parser: argparse.ArgumentParser) -> None:
    url = os.environ.get("VECTADB_URL") or DEFAULT_URL
    parser.add_argument("--url", default=url, help=f"the server (default: VECTADB_URL, else {DEFAULT_URL})")
    parser.add_argument("--json", action="store_true", help="print the server's reply as it is")


def _add_data_dir(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="where no server runs: the directory to work on (default: VECTADB_DATA_DIR, else ./data)",
    )


def _serve(options: argparse.Namespace) -> int:
    from vectadb_server import logs, prices, settings

    flags = {name: getattr(options, name) for name in ("host", "port", "data_dir", "insecure", "log_level")}
    try:
        chosen = settings.load(flags, os.environ, options.config)
        prices.load(chosen.prices)  # refused here, in words, rather than by a server that does not start
    except settings.SettingsError as error:
        print(f"vectadb serve: the settings are wrong, nothing was started\n{error}", file=sys.stderr)
        return WRONG_USE
    logs.set_up(chosen.log_level)
    for stray in settings.strays(os.environ):
        print(f"vectadb serve: {stray}", file=sys.stderr)
    from vectadb_server import serving

    return serving.serve(chosen)


def _traces(options: argparse.Namespace) -> int:
    asked = {name: getattr(options, name) for name in ("limit", "status", "agent", "session", "since", "until")}
    reply = _ask(options, "GET", "/api/v1/traces", query=asked)
    if not _as_json(options, reply):
        from vectadb_server import render

        render.traces(reply)
    return 0


def _trace(options: argparse.Namespace) -> int:
    from vectadb_server.attribution import given_trace

    # A slash would end the path's segment, escaped or not.
    trace_id = given_trace(options.id) if "/" in options.id else options.id
    reply = _ask(options, "GET", f"/api/v1/traces/{quote(trace_id, safe='')}")
    if not _as_json(options, reply):
        from vectadb_server import render

        render.trace(reply)
    return 0


def _search(options: argparse.Namespace) -> int:
    names = ("type", "agent", "session", "trace", "since", "until")
    filters = {name: value for name in names if (value := getattr(options, name)) is not None}
    body = {"query": " ".join(options.query), "mode": options.mode, "limit": options.limit, "filters": filters}
    reply = _ask(options, "POST", "/api/v1/search", body=body)
    if not _as_json(options, reply):
        from vectadb_server import render

        render.results(reply)
    return 0


def _stats(options: argparse.Namespace) -> int:
    asked = {name: getattr(options, name) for name in ("bucket", "since", "until")}
    reply = _ask(options, "GET", "/api/v1/stats", query=asked)
    if not _as_json(options, reply):
        from vectadb_server import render

        render.stats(reply)
    return 0


def _reindex(options: argparse.Namespace) -> int:
    from vectadb_server import render

    path = "/api/v1/admin/reindex"
    with _a_server(options):
        reply = _ask(options, "POST", path, query={"since": options.since, "until": options.until})
        while reply["days_left"]:
            if not options.json:
                render.reindexing(reply)
            time.sleep(0.5)
            reply = _ask(options, "GET", path)
    if not _as_json(options, reply):
        print("The index is made anew.")
    return 0


def _check(options: argparse.Namespace) -> int:
    from vectadb_server import render

    path = "/api/v1/admin/check"
    with _a_server(options):
        reply = _ask(options, "POST", path, query={"repair": "true" if options.repair else "false"})
        while reply["running"]:
            if not options.json:
                render.checking(reply)
            time.sleep(0.1)
            reply = _ask(options, "GET", path)
    if reply["error"] is not None:
        raise CommandError(f"it could not be finished: {reply['error']}. Next: run it again")
    if not _as_json(options, reply):
        render.checked(reply)
    return 0 if reply["complete"] else DIFFERENT


@contextlib.contextmanager
def _a_server(options: argparse.Namespace) -> Iterator[None]:
    """Have a server to ask at ``options.url``; where none runs, one for this command, on the data directory.

    Raises:
        CommandError: there is neither a server nor a data directory, or another server has it.
    """
    if options.data_dir is None:
        try:
            _ask(options, "GET", "/health")
        except _NoServer as error:
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


def _ask(options: argparse.Namespace, method: str, path: str, *, query: Any = None, body: Any = None) -> Any:
    """Ask the server; return its reply, decoded.

    Raises:
        CommandError: nobody answers there, or not VectaDB, or it refuses.
    """
    import httpx

    url = options.url.rstrip("/")
    params = {name: value for name, value in (query or {}).items() if value is not None}
    try:
        # A proxy from the environment would not reach this machine's own loopback.
        local = httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")
        with httpx.Client(timeout=60, trust_env=not local) as client:
            reply = client.request(method, url + path, params=params, json=body)
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        raise CommandError(f"{url} is no URL of a server; right would be {DEFAULT_URL}") from None
    except httpx.ConnectError:
        text = "start one with `vectadb serve`, or name another with --url or VECTADB_URL"
        raise _NoServer(f"no server answers at {url}. Next: {text}") from None
    except httpx.HTTPError as error:
        raise CommandError(f"{url} did not answer: {str(error) or type(error).__name__}") from None
    try:
        found = reply.json()
        if reply.is_success and isinstance(found, dict):
            return found
        message = found["message"]
    except (ValueError, KeyError, TypeError):
        raise CommandError(f"{url} answers ({reply.status_code}), but it is no VectaDB. Next: check --url") from None
    raise CommandError(str(message))


def _as_json(options: argparse.Namespace, reply: Any) -> bool:
    if options.json:
        import json

        print(json.dumps(reply, indent=2))
    return bool(options.json)


_COMMANDS = {
    "serve": _serve,
    "traces": _traces,
    "trace": _trace,
    "search": _search,
    "stats": _stats,
    "reindex": _reindex,
    "check": _check,
}
