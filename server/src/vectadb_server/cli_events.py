"""``events``, ``sessions``, ``agents``: commands that list, export and follow."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

from vectadb_server.cli_client import CommandError, add_server, add_times, as_json, ask, lines

if TYPE_CHECKING:
    import argparse

    from vectadb_server.cli_client import Commands

_EVENTS = "/api/v1/events"
_FILTERS = ("trace", "session", "agent", "type", "log_group", "log_stream", "level", "tool", "model", "request_id", "q")
_SILENCE = 60  # seconds; the server says every 15 that it is there
_PAUSE = 1.0  # seconds before it is asked again


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    events = commands.add_parser(
        "events",
        help="list events, newest first; follow or export them",
        description="List events, newest first. With --follow print them as they become known, until it is stopped. "
        "With --ndjson export all that the filters let through, one JSON object a line.",
    )
    events.add_argument("--limit", type=int, help="most events (default: 20; with --ndjson all)")
    events.add_argument("--type", help="of these types, e.g. tool_call,tool_result")
    events.add_argument("--trace", help="of this trace")
    events.add_argument("--session", help="of this session")
    events.add_argument("--agent", help="of this agent")
    events.add_argument("--log-group", help="of this log group")
    events.add_argument("--log-stream", help="of this log stream")
    events.add_argument("--level", help="of these log levels, e.g. warning,error")
    events.add_argument("--tool", help="calls and results of this tool")
    events.add_argument("--model", help="of calls of this language model")
    events.add_argument("--request-id", help="of this request")
    events.add_argument("--q", metavar="TEXT", help="in which this text occurs")
    events.add_argument("--error", action="store_true", help="that tell of a failure")
    events.add_argument("--follow", "-f", action="store_true", help="print events as they become known")
    events.add_argument("--ndjson", action="store_true", help="one JSON object a line")
    add_times(events)
    add_server(events)
    events.set_defaults(run=_events)

    for name, help_ in (("sessions", "list sessions"), ("agents", "list agents")):
        groups = commands.add_parser(name, help=f"{help_} (of the last week), the newest first")
        groups.add_argument("--limit", type=int, default=20, help="most of them (default: 20)")
        add_times(groups, "with traces that began at")
        add_server(groups)
        groups.set_defaults(run=_groups)


def _events(options: argparse.Namespace) -> int:
    asked = {name: getattr(options, name) for name in (*_FILTERS, "since", "until")}
    asked["error"] = "true" if options.error else None
    if options.follow:
        return _follow(options, asked)
    asked["limit"] = options.limit
    if options.ndjson:
        with lines(options, _EVENTS, query={**asked, "format": "ndjson"}) as found:
            for line in found:
                print(line)
        return 0
    reply = ask(options, "GET", _EVENTS, query={**asked, "limit": options.limit or 20})
    if not as_json(options, reply):
        from vectadb_server import render

        render.events(reply)
    return 0


def _follow(options: argparse.Namespace, asked: dict[str, Any]) -> int:
    """Print events until it is stopped; where the connection is lost, go on from there."""
    last: str | None = None
    while True:
        try:
            headers = {"Last-Event-ID": last} if last is not None else None
            with lines(options, f"{_EVENTS}/stream", query=asked, headers=headers, silence=_SILENCE) as found:
                kind = ""
                for line in found:
                    name, _, value = line.partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "id":
                        last = value
                    elif name == "data":
                        _told(options, kind, value)
                    elif not line:
                        kind = ""
        except CommandError:
            if last is None:
                raise
        time.sleep(_PAUSE)


def _told(options: argparse.Namespace, kind: str, data: str) -> None:
    from vectadb_server import render

    if kind == "gap":
        print("vectadb events: some events were missed: they are not kept for followers any longer", file=sys.stderr)
    elif options.json or options.ndjson:
        print(data, flush=True)
    else:
        render.event(json.loads(data))


def _groups(options: argparse.Namespace) -> int:
    asked = {name: getattr(options, name) for name in ("limit", "since", "until")}
    reply = ask(options, "GET", f"/api/v1/{options.command}", query=asked)
    if not as_json(options, reply):
        from vectadb_server import render

        render.groups(reply, options.command)
    return 0
