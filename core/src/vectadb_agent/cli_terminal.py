"""The commands for people at a terminal: ``init``, ``tap``, ``top``, ``completion``."""

from __future__ import annotations

import contextlib
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vectadb_agent.errors import UsageError, unknown_name

if TYPE_CHECKING:
    import argparse

STAGES = ("read", "joined", "parsed", "shipped")


def add(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the commands; return those that need a configuration."""
    init = commands.add_parser("init", help="ask a few questions and write a configuration")
    init.add_argument("--output", "-o", type=Path, default=Path("agent.yaml"), help="where to (default: agent.yaml)")
    init.add_argument("--region", help="AWS region")
    init.add_argument(
        "--log-group", action="append", default=[], help="a log group, or NAME* for all that begin so; may be repeated"
    )
    init.add_argument("--endpoint", help="address of the VectaDB server")
    init.add_argument("--agent-id", help="what to call the agent whose logs these are")
    init.add_argument("--force", action="store_true", help="write over a file that is there")

    tap = commands.add_parser("tap", help="show what passes through the running agent, stage by stage")
    tap.add_argument("--stage", action="append", choices=STAGES, help="only this stage; may be repeated (default: all)")
    tap.add_argument("--pipeline", help="only this pipeline")
    tap.add_argument("--count", type=int, help="end after so many lines")
    tap.add_argument("--json", action="store_true", help="one JSON object a line, with everything")

    top = commands.add_parser("top", help="show rates, lag and errors of the running agent, live")
    top.add_argument("--interval", type=float, default=2.0, help="seconds between two looks (default: 2)")
    top.add_argument("--count", type=int, help="end after so many looks")

    completion = commands.add_parser("completion", help="print what a shell needs to complete this command line")
    completion.add_argument("shell", choices=("bash", "zsh", "fish"))
    return [tap, top]


def init(options: argparse.Namespace) -> int:
    """Write a configuration."""
    from vectadb_agent import cli_init

    logging.basicConfig(level=logging.CRITICAL)
    output: Path = options.output
    if output.exists() and not options.force:
        raise UsageError(f"{output} is there already; name another by --output, or write over it with --force")
    answers = cli_init.ask(options.region, options.log_group, options.endpoint, options.agent_id)
    text = cli_init.text(answers, output)
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output} cannot be written: {error.strerror}") from error
    print(f"{output} is written. Next: vectadb-agent check --config {output}, then vectadb-agent run --config {output}")
    return 0


def tap(options: argparse.Namespace, config_file: Path) -> int:
    """Show what passes through."""
    from vectadb_agent import config, live

    _refuse_no_count(options.count)
    configuration = config.read(config_file)
    state_dir, names = configuration.agent.state_dir, [pipeline.name for pipeline in configuration.pipelines]
    if options.pipeline not in (None, *names):
        raise unknown_name("--pipeline", options.pipeline, names)
    print(f"What passes through the agent on {state_dir}; nothing is read a second time.", file=sys.stderr)
    with contextlib.suppress(KeyboardInterrupt):  # how one stops to watch
        live.tap(state_dir, options.stage or STAGES, options.pipeline, most=options.count, as_json=options.json)
    return 0


def top(options: argparse.Namespace, config_file: Path) -> int:
    """Show how the agent is doing."""
    from vectadb_agent import config, live

    if options.interval <= 0:
        raise UsageError(f"--interval is a number of seconds above 0; found {options.interval:g}")
    _refuse_no_count(options.count)
    state_dir = config.read(config_file).agent.state_dir
    with contextlib.suppress(KeyboardInterrupt):
        live.top(state_dir, options.interval, options.count)
    return 0


def _refuse_no_count(count: int | None) -> None:
    if count is not None and count < 1:
        raise UsageError(f"--count {count}: right would be 1 or more, or no --count, which goes on until it is stopped")


def completion(options: argparse.Namespace, parser: argparse.ArgumentParser) -> int:
    """Print a shell's completion."""
    from vectadb_agent import completion as made

    print(made.script(parser, options.shell), end="")
    return 0
