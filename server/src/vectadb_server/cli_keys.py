"""``keys``: making, listing and revoking API keys."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from vectadb_server.cli_client import a_server, add_data_dir, add_server, as_json, ask, path_of

if TYPE_CHECKING:
    import argparse

    from vectadb_server.cli_client import Commands

_PATH = "/api/v1/auth/keys"


def rate(text: str) -> float:
    """Read a number of requests or events per second.

    Raises:
        ValueError: it is none.
    """
    found = float(text)
    if not 0 < found < math.inf:
        raise ValueError(text)
    return found


def add(commands: Commands) -> None:
    """Add the commands to the parser."""
    keys = commands.add_parser(
        "keys",
        help="make, list and revoke API keys",
        description="Make, list and revoke API keys. On the server's machine, as the user that it runs as, this needs "
        "no key; where no server runs, it works on the data directory.",
    )
    actions = keys.add_subparsers(dest="action", required=True, metavar="ACTION")

    create = actions.add_parser(
        "create",
        help="make a key and print it, this once",
        description="Make a key and print it; nobody can ask for it again. From the first key on, every request over "
        "HTTP needs one.",
    )
    create.add_argument("--name", required=True, help="for people: who uses it, and where")
    create.add_argument(
        "--scope",
        action="append",
        required=True,
        choices=("ingest", "read", "admin"),
        help="ingest: bring events (all that an agent needs); read: ask; admin: both, keys and upkeep. May be repeated",
    )
    create.add_argument("--expires", metavar="WHEN", help="12h, 30d, 4w, a date, or RFC 3339 (default: never)")
    create.add_argument("--max-requests-per-second", type=rate, metavar="N", help="(default: as the server has it)")
    create.add_argument("--max-events-per-second", type=rate, metavar="N", help="(default: as the server has it)")

    listing = actions.add_parser("list", help="list the keys, without their secrets")

    revoke = actions.add_parser(
        "revoke", help="revoke a key", description="Revoke a key: within 5 seconds no server takes it any more."
    )
    revoke.add_argument("id", help="the key's id: its middle part, as `list` prints it")

    for action, run in ((create, _create), (listing, _list), (revoke, _revoke)):
        add_server(action)
        add_data_dir(action)
        action.set_defaults(run=run)


def _create(options: argparse.Namespace) -> int:
    body = {
        "name": options.name,
        "scopes": sorted(set(options.scope)),
        "expires": options.expires,
        "max_requests_per_second": options.max_requests_per_second,
        "max_events_per_second": options.max_events_per_second,
    }
    with a_server(options):
        reply = ask(options, "POST", _PATH, body={name: value for name, value in body.items() if value is not None})
    if not as_json(options, reply):
        from vectadb_server import render

        render.new_key(reply)
    return 0


def _list(options: argparse.Namespace) -> int:
    with a_server(options):
        reply = ask(options, "GET", _PATH)
    if not as_json(options, reply):
        from vectadb_server import render

        render.keys(reply)
    return 0


def _revoke(options: argparse.Namespace) -> int:
    with a_server(options):
        reply = ask(options, "DELETE", path_of(_PATH, options.id, listed="vectadb keys list"))
    if not as_json(options, reply):
        from vectadb_server import render

        render.revoked_key(reply)
    return 0
