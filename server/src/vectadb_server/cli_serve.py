"""``serve``: the server itself."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vectadb_server.cli_client import WRONG_USE

if TYPE_CHECKING:
    import argparse

    from vectadb_server.cli_client import Commands


def add(commands: Commands) -> None:
    """Add the command to the parser."""
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
        help="listen on an address that other machines reach, though there are no API keys",
    )
    serve.add_argument("--log-level", help="debug, info, warning or error (default: info)")
    serve.add_argument(
        "--json", dest="log_format", action="store_const", const="json", help="write JSON lines on a terminal, too"
    )
    serve.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from vectadb_server import logs, prices, settings

    flags = {
        name: getattr(options, name) for name in ("host", "port", "data_dir", "insecure", "log_level", "log_format")
    }
    try:
        chosen = settings.load(flags, os.environ, options.config)
        prices.load(chosen.prices)  # refused here, in words, rather than by a server that does not start
    except settings.SettingsError as error:
        print(f"vectadb serve: the settings are wrong, nothing was started\n{error}", file=sys.stderr)
        return WRONG_USE
    logs.set_up(chosen.log_level, json=chosen.log_format == "json", hidden=[chosen.bootstrap_key or ""])
    for stray in settings.strays(os.environ):
        print(f"vectadb serve: {stray}", file=sys.stderr)
    from vectadb_server import serving

    return serving.serve(chosen)
