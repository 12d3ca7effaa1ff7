"""The command line: ``run``, ``check``, ``status``, ``plugins``, what tries parsers, mends the past or is watched.

Exit codes: 0 done; 1 it cannot work (credentials, endpoint, state directory), or a check failed; 2 the configuration or
the command line is wrong, and nothing was started; 130 interrupted, or stopped by a second signal.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from vectadb_agent import __version__, cli_parse, cli_past, cli_quarantine, cli_terminal
from vectadb_agent.errors import ConfigError, UsageError, VectaDBAgentError

if TYPE_CHECKING:
    from collections.abc import Sequence

CANNOT_WORK, WRONG_USE, SECOND_SIGNAL = 1, 2, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = _parser()
    options, unknown = parser.parse_known_args(_joined(sys.argv[1:] if arguments is None else arguments))
    if unknown:
        named = next((word for word in unknown if word.endswith((".yaml", ".yml"))), None)
        following = "" if named is None else f". Next: a configuration file is named by an option: --config {named}"
        parser.error(f"unrecognized arguments: {' '.join(unknown)}{following}")
    try:
        code = int(_COMMANDS[options.command](options))
        if sys.stdout is not None:
            sys.stdout.flush()
    except ConfigError as error:
        for problem in error.problems:
            print(problem, file=sys.stderr)
        count = len(error.problems)
        print(f"{count} problem{'s' if count != 1 else ''} in the configuration; nothing was started.", file=sys.stderr)
        return WRONG_USE
    except UsageError as error:
        print(f"vectadb-agent {options.command}: {error}", file=sys.stderr)
        return WRONG_USE
    except VectaDBAgentError as error:
        print(f"vectadb-agent {options.command}: {error}", file=sys.stderr)
        return CANNOT_WORK
    except BrokenPipeError:
        # Whoever read our output has left; what is buffered has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CANNOT_WORK
    except OSError as error:
        where = error.filename or "output"
        print(f"vectadb-agent {options.command}: {where}: {error.strerror or error}", file=sys.stderr)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # What is buffered would fail again.
        return CANNOT_WORK
    except KeyboardInterrupt:
        return SECOND_SIGNAL
    return code


def _joined(arguments: Sequence[str]) -> list[str]:
    """Write ``--since -2h`` as ``--since=-2h``: argparse takes what begins with a dash for an option."""
    joined: list[str] = []
    for argument in arguments:
        if joined and joined[-1] in ("--since", "--until") and re.match(r"-\d", argument):
            joined[-1] += f"={argument}"
        else:
            joined.append(argument)
    return joined


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vectadb-agent",
        description="Reads agent logs, parses them into events and ships them to VectaDB.",
        epilog="Exit codes: 0 done, 1 cannot work, 2 wrong configuration or usage, 130 interrupted, or stopped by a "
        "second signal.",
    )
    parser.add_argument("--version", action="version", version=f"vectadb-agent {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="read, parse and ship until stopped")
    _add_config(run)
    run.add_argument("--drain", action="store_true", help="stop with exit code 0 when all that is visible is delivered")
    run.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))

    check = commands.add_parser("check", help="check the configuration, then credentials, permissions and endpoints")
    _add_config(check)

    status = commands.add_parser("status", help="say how the running agent is doing, or how far it was when it ended")
    _add_config(status)
    status.add_argument("--json", action="store_true", help="print everything that is known, as JSON")

    plugins = commands.add_parser(
        "plugins", help="list the installed plugins, show the options of one, or begin a new one"
    )
    about = "show: print the reference of a component or plugin; new: write a package that is one"
    plugins.add_argument("action", nargs="?", choices=("show", "new"), help=about)
    plugins.add_argument("name", nargs="?", help="with show: a component's or a plugin's name; with new: its name")
    # As host.KINDS has them, whose import would take as long as all the rest of --help.
    kinds = ("source", "parser", "processor", "sink")
    plugins.add_argument("--kind", choices=kinds, help="with new: what it brings")
    plugins.add_argument("--in", dest="parent", type=Path, default=Path(), help="with new: where (default: here)")

    for past in cli_past.add(commands).values():
        _add_config(past)
    for action in cli_quarantine.add(commands):
        _add_config(action)

    for tried in cli_parse.add(commands):
        _add_config(tried)
    for watched in cli_terminal.add(commands):
        _add_config(watched)
    return parser


def _add_config(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", "-c", type=Path, help="configuration file (default: CONFIG_PATH)")


def _config_path(options: argparse.Namespace) -> Path:
    named = options.config or os.environ.get("CONFIG_PATH")
    if not named:
        raise UsageError("which configuration? Name the file with --config FILE, or set CONFIG_PATH")
    return Path(named)


def _config_if_named(options: argparse.Namespace) -> Path | None:
    return _config_path(options) if options.config or os.environ.get("CONFIG_PATH") else None


def _run(options: argparse.Namespace) -> int:
    from vectadb_agent import config, logs, runner

    logs.set_up(options.log_level)
    code = runner.run(config.read(_config_path(options)), drain=options.drain)
    # All is saved. A source's request may still hang in a thread, which an ordinary exit would wait for.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _check(options: argparse.Namespace) -> int:
    from vectadb_agent import config, reports, runner

    logging.basicConfig(level=logging.CRITICAL)
    configuration = config.read(_config_path(options))
    findings = runner.check(configuration)
    print("\n".join([*reports.problems(configuration.host), reports.findings(findings)]))
    return CANNOT_WORK if any(not finding.ok for finding in findings) else 0


def _status(options: argparse.Namespace) -> int:
    from vectadb_agent import config, status

    logging.basicConfig(level=logging.CRITICAL)
    configuration = config.read(_config_path(options))
    running = status.ask(configuration.agent.state_dir)
    if running is not None:
        print(status.as_json(running) if options.json else status.running_text(running))
        return 0 if running.status == "ok" else CANNOT_WORK
    names = [pipeline.name for pipeline in configuration.pipelines]
    rest = status.at_rest(configuration.agent.state_dir, names)
    print(status.as_json(rest) if options.json else status.rest_text(rest))
    return CANNOT_WORK


def _plugins(options: argparse.Namespace) -> int:
    from vectadb_agent import host, reports

    if options.action == "new":
        return _new_plugin(options)
    loaded = host.load()
    if options.action == "show":
        if not options.name:
            raise UsageError("which one? For example: vectadb-agent plugins show cloudwatch")
        print(reports.reference(loaded, options.name))
        return 0
    print(reports.plugins(loaded))
    return CANNOT_WORK if any(plugin.problems for plugin in loaded.plugins) else 0


def _new_plugin(options: argparse.Namespace) -> int:
    from vectadb_agent import scaffold

    if not options.name or not options.kind:
        raise UsageError("which one? For example: vectadb-agent plugins new logfmt --kind parser")
    files = scaffold.write(options.name, options.kind, options.parent)
    print("\n".join(str(file) for file in files))
    folder = files[0].parent
    print(f"\nNext: cd {folder} && pip install -e '.[testing]' && pytest && vectadb-agent plugins")
    return 0


def _parse(options: argparse.Namespace) -> int:
    return cli_parse.parse(options, _config_if_named(options))


def _test(options: argparse.Namespace) -> int:
    return cli_parse.test(options, _config_if_named(options))


def _audit(options: argparse.Namespace) -> int:
    return _ended(cli_past.audit(options, _config_path(options)))


def _backfill(options: argparse.Namespace) -> int:
    return _ended(cli_past.backfill(options, _config_path(options)))


def _quarantine(options: argparse.Namespace) -> int:
    return cli_quarantine.quarantine(options, _config_path(options))


def _ended(code: int) -> int:
    # A source's request may still hang in a thread, which an ordinary exit would wait for.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)


def _tap(options: argparse.Namespace) -> int:
    return cli_terminal.tap(options, _config_path(options))


def _top(options: argparse.Namespace) -> int:
    return cli_terminal.top(options, _config_path(options))


def _completion(options: argparse.Namespace) -> int:
    return cli_terminal.completion(options, _parser())


_COMMANDS = {
    "audit": _audit,
    "backfill": _backfill,
    "quarantine": _quarantine,
    "run": _run,
    "check": _check,
    "plugins": _plugins,
    "parse": _parse,
    "status": _status,
    "test": _test,
    "init": cli_terminal.init,
    "tap": _tap,
    "top": _top,
    "completion": _completion,
}
