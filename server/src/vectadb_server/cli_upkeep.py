"""``delete``, ``reindex`` and ``check``: by a running server, else by one that is started for the command."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vectadb_server.cli_client import (
    DIFFERENT,
    CommandError,
    a_server,
    add_data_dir,
    add_server,
    add_times,
    as_json,
    ask,
    trace_path,
)

if TYPE_CHECKING:
    import argparse

    from vectadb_server.cli_client import Commands


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    reindex = commands.add_parser(
        "reindex",
        help="make search index, summaries and graph anew",
        description="Make search index, trace summaries and graph anew from the record, beside everything else. "
        "Stopping this command does not stop the server's work.",
    )
    add_times(reindex)
    add_server(reindex)
    add_data_dir(reindex)
    reindex.set_defaults(run=_reindex)

    delete = commands.add_parser(
        "delete",
        help="erase a trace for good",
        description="Erase a trace with all its events, for good: no replay or late line brings anything of it back.",
    )
    delete.add_argument("id", help="the trace's id, or the one that its events were sent with")
    add_server(delete)
    delete.set_defaults(run=_delete)

    check = commands.add_parser(
        "check",
        help="compare the record with its search index, digests, counts and summaries",
        description="Compare the record with its search index, digests and trace summaries, day by day, beside "
        "everything else. Of each day: events held, and how many ought to be searchable; documents missing from the "
        "index, extra in it, or stale there (of another time or trace); digests and traces that differ; rows that the "
        "indexer has before it, which are no difference. Worth a run once a week, and after a "
        "crash of the machine. Exit code 3: they differ.",
    )
    check.add_argument("--repair", action="store_true", help="mend what differs, and look again")
    add_server(check)
    add_data_dir(check)
    check.set_defaults(run=_check)


def _reindex(options: argparse.Namespace) -> int:
    from vectadb_server import render

    path = "/api/v1/admin/reindex"
    with a_server(options):
        reply = ask(options, "POST", path, query={"since": options.since, "until": options.until})
        while reply["days_left"]:
            if not options.json:
                render.reindexing(reply)
            time.sleep(0.5)
            reply = ask(options, "GET", path)
    if not as_json(options, reply):
        print("The index is made anew.")
    return 0


def _delete(options: argparse.Namespace) -> int:
    reply = ask(options, "DELETE", trace_path(options.id))
    if not as_json(options, reply):
        print(f"Erased trace {reply['trace_id']}: {reply['events']:,} events.")
    return 0


def _check(options: argparse.Namespace) -> int:
    from vectadb_server import render

    path = "/api/v1/admin/check"
    with a_server(options):
        reply = ask(options, "POST", path, query={"repair": "true" if options.repair else "false"})
        while reply["running"]:
            if not options.json:
                render.checking(reply)
            time.sleep(0.1)
            reply = ask(options, "GET", path)
    if reply["error"] is not None:
        raise CommandError(f"it could not be finished: {reply['error']}. Next: run it again")
    if not as_json(options, reply):
        render.checked(reply)
    return 0 if reply["complete"] else DIFFERENT
