"""The command line: its parser, and what each command shares on its way out. The commands are in ``cli_*.py``.

Exit codes: 0 done; 1 it cannot work (no server, port in use, data directory locked); 2 the settings or the command line
are wrong; 3 ``check`` found differences; 130 interrupted, or stopped by a second signal.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import sys
from typing import TYPE_CHECKING

from vectadb_server import __version__, cli_events, cli_keys, cli_moving, cli_reads, cli_serve, cli_upkeep, plain
from vectadb_server.cli_client import CANNOT_WORK, SECOND_SIGNAL, WRONG_USE, CommandError

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAMILIES = (cli_serve, cli_keys, cli_reads, cli_events, cli_upkeep, cli_moving)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code. ``serve`` does not return: it ends the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    given = _joined(sys.argv[1:] if arguments is None else arguments)
    if not given:
        _parser().print_help(sys.stderr)
        raise SystemExit(WRONG_USE)
    parser = _parser()
    for argument in given:
        if any("\ud800" <= letter <= "\udfff" for letter in argument):
            parser.error(f"found {os.fsencode(argument)!r} on the command line; expected UTF-8")
    command = "vectadb"
    try:
        options = parser.parse_args(given)
        command = f"vectadb {options.command}"
        code = int(options.run(options))
        if sys.stdout is not None:
            sys.stdout.flush()
    except CommandError as error:
        print(f"{command}: {error}", file=sys.stderr)
        return error.code
    except BrokenPipeError:
        # Whoever read our output has left; what is buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CANNOT_WORK
    except OSError as error:
        print(f"{command}: {error.filename or 'output'}: {error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # What is buffered would fail again.
        return CANNOT_WORK
    except KeyboardInterrupt:
        return SECOND_SIGNAL
    return code


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
        epilog="Exit codes: 0 done, 1 cannot work, 2 wrong settings or usage, 3 check found differences, 130 "
        "interrupted, or stopped by a second signal.",
    )
    compiled = " with vectadb-native" if plain.installed() else ""
    parser.add_argument("--version", action="version", version=f"vectadb {__version__}{compiled}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for family in _FAMILIES:
        family.add(commands)
    return parser
