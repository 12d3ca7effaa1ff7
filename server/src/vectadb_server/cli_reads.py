"""``traces``, ``trace``, ``search``, ``stats``: commands that ask a running server."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from vectadb_server.cli_client import WrongUse, add_server, add_times, as_json, ask, trace_path
from vectadb_server.times import parse_when, rfc3339

if TYPE_CHECKING:
    import argparse

    from vectadb_server.cli_client import Commands

_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d))?", re.ASCII)
_MINUTE, _DAY = 60_000_000, 86_400_000_000


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    traces = commands.add_parser(
        "traces",
        help="list traces, newest first",
        description="List traces, newest first. The filters must all hold.",
        epilog="Examples: vectadb traces --status error --since -1d; vectadb traces --at 14:03",
    )
    traces.add_argument("--limit", type=int, default=20, help="most traces (default: 20)")
    traces.add_argument("--status", help="some of ok,error,running,interrupted")
    traces.add_argument("--tool", help="that called this tool")
    traces.add_argument("--model", help="that called this language model")
    traces.add_argument("--min-duration", metavar="LENGTH", help="that took so long or longer: 500ms, 30s, 2m")
    traces.add_argument("--q", metavar="TEXT", help="in whose question, answer or first error this text occurs")
    traces.add_argument("--agent", help="of this agent")
    traces.add_argument("--session", help="of this session")
    traces.add_argument(
        "--basis",
        help="that this makes one: trace_id, request_id, session_id, invocation, run, event, or time_window (what has "
        "no marks of a run, by quarters of an hour; listed only if asked for)",
    )
    traces.add_argument(
        "--at",
        metavar="TIME",
        help="that were going on in the minute from this time on, and began at most a day before: 14:03 (the last one, "
        "in this machine's zone), or as --since",
    )
    add_times(traces, "that began at")
    add_server(traces)
    traces.set_defaults(run=_traces)

    trace = commands.add_parser(
        "trace",
        help="show one trace as a tree",
        description="Show one trace as a tree of its spans, with what went in and came out.",
    )
    trace.add_argument("id", help="the trace's id, or the one that its events were sent with")
    add_server(trace)
    trace.set_defaults(run=_trace)

    search = commands.add_parser(
        "search",
        help="find events by meaning and words",
        description="Find events by meaning and words, or those that are most like one (--like). On a terminal "
        "the text shown is where the words stand.",
        epilog="Example: vectadb search 'why did the payment fail?' --type tool_result,error --since -2d",
    )
    search.add_argument("query", nargs="*", help="what to look for")
    search.add_argument("--like", metavar="EVENT_ID", help="find what is most like this event, instead of a query")
    search.add_argument(
        "--mode",
        choices=("hybrid", "semantic", "text"),
        default="hybrid",
        help="by meaning (semantic), by words (text), or both (default: hybrid)",
    )
    search.add_argument("--limit", type=int, default=10, help="most events (default: 10)")
    search.add_argument("--type", help="of these event types, e.g. tool_call,tool_result")
    search.add_argument("--agent", help="of this agent")
    search.add_argument("--session", help="of this session")
    search.add_argument("--trace", help="of this trace")
    search.add_argument("--log-group", help="of this log group")
    search.add_argument("--log-stream", help="of this log stream")
    add_times(search)
    add_server(search)
    search.set_defaults(run=_search, parser=search)

    stats = commands.add_parser(
        "stats",
        help="counts, errors, tokens and latency (the last day by default)",
        description="Count events, errors, tokens and latency: in all, by tool, model and agent, and in stretches of "
        "time (the last day by default).",
        epilog="Example: vectadb stats --since -2h --bucket 5m",
    )
    stats.add_argument("--agent", help="of this agent")
    stats.add_argument("--session", help="of this session")
    stats.add_argument(
        "--bucket",
        metavar="LENGTH",
        help="count in stretches of this length: 60s, 15m, 1h, 1d (default: by the time asked for)",
    )
    add_times(stats)
    add_server(stats)
    stats.set_defaults(run=_stats)


def _traces(options: argparse.Namespace) -> int:
    names = ("limit", "status", "agent", "session", "tool", "model", "min_duration", "q", "basis", "since", "until")
    asked = {name: getattr(options, name) for name in names}
    if options.at is not None:
        if options.since is not None or options.until is not None:
            raise WrongUse("--at says the time: give it without --since and --until")
        asked |= going_on(options.at, datetime.now().astimezone())
    reply = ask(options, "GET", "/api/v1/traces", query=asked)
    if not as_json(options, reply):
        from vectadb_server import render

        render.traces(reply)
    return 0


def going_on(text: str, now: datetime) -> dict[str, str]:
    """Return what to ask for traces that were going on in the minute from a time on.

    Raises:
        WrongUse: it is no time.
    """
    clock = _CLOCK.fullmatch(text.strip())
    if clock is not None:
        hour, minute, second = (int(part or 0) for part in clock.groups())
        # Without its zone's offset, which may have been another at that time.
        today = now.replace(hour=hour, minute=minute, second=second, microsecond=0, tzinfo=None)
        moment = today if today.astimezone() <= now else today - timedelta(days=1)
        at = round(moment.timestamp()) * 1_000_000
    else:
        try:
            at = parse_when(text, round(now.timestamp() * 1e6))
        except ValueError as error:
            raise WrongUse(f"--at: found {text!r}: {error}; or a time of day: 14:03") from None
    return {"active_since": rfc3339(at), "until": rfc3339(at + _MINUTE), "since": rfc3339(max(0, at - _DAY))}


def _trace(options: argparse.Namespace) -> int:
    reply = ask(options, "GET", trace_path(options.id))
    if not as_json(options, reply):
        from vectadb_server import render

        render.trace(reply)
    return 0


def _search(options: argparse.Namespace) -> int:
    if bool(options.query) == (options.like is not None):
        options.parser.error("give either what to look for, or --like with an event's id")
    names = ("agent", "session", "trace", "log_group", "log_stream", "since", "until")
    filters: dict[str, Any] = {name: value for name in names if (value := getattr(options, name)) is not None}
    if options.type is not None:
        filters["type"] = [name.strip() for name in options.type.split(",")]
    asked = {"query": " ".join(options.query)} if options.query else {"like": options.like}
    body = {**asked, "mode": options.mode, "limit": options.limit, "filters": filters}
    reply = ask(options, "POST", "/api/v1/search", body=body)
    if not as_json(options, reply):
        from vectadb_server import render

        render.results(reply)
    return 0


def _stats(options: argparse.Namespace) -> int:
    asked = {name: getattr(options, name) for name in ("bucket", "agent", "session", "since", "until")}
    reply = ask(options, "GET", "/api/v1/stats", query=asked)
    if not as_json(options, reply):
        from vectadb_server import render

        render.stats(reply)
    return 0
