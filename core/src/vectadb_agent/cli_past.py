"""The commands ``audit`` and ``backfill``: their options, and what they print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_agent.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

INCOMPLETE = 1


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> dict[str, argparse.ArgumentParser]:
    """Add both commands; return their parsers."""
    audit = commands.add_parser(
        "audit",
        help="compare source and sinks hour by hour; ship what is missing with --repair",
        description="In records, for each log group and hour: source = stored + expired + filtered + quarantined + "
        "missing. Works beside a running agent. Exit code 0: nothing is missing; 1: something is.",
    )
    backfill = commands.add_parser(
        "backfill",
        help="read a stretch of the past, beside the live tail",
        description="Ships what the sinks lack of that time. Works beside a running agent and shares its quota. When "
        "it is interrupted, give it the same words again: each slice goes on where it stopped.",
    )
    for parser in (audit, backfill):
        parser.add_argument("--since", required=True, metavar="TIME", help="24h, 7d, or a time in RFC 3339")
        parser.add_argument("--until", metavar="TIME", help="until this time (default: now)")
        parser.add_argument("--pipeline", help="only this pipeline (default: all)")
        parser.add_argument("--log-group", action="append", default=[], metavar="NAME", help="only this log group")
        parser.add_argument("--json", action="store_true", help="print the result as JSON")
        parser.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    audit.add_argument("--repair", action="store_true", help="ship what is missing, and only that")
    backfill.add_argument(
        "--reparse", action="store_true", help="ship everything anew as the parsers are now: repairs what they missed"
    )
    backfill.add_argument("--parallel", type=int, default=4, help="slices read side by side (default: 4)")
    backfill.add_argument("--restart", action="store_true", help="give up an unfinished backfill, begin this one")
    return {"audit": audit, "backfill": backfill}


def audit(options: argparse.Namespace, path: Path) -> int:
    """Run the audit; print certificates; return the exit code."""
    from vectadb_agent import audit as work
    from vectadb_agent import config, logs, progress, reports
    from vectadb_agent.state import State

    logs.set_up(options.log_level)
    configuration = config.read(path)
    since, until = _times(options)
    with State(configuration.agent.state_dir, exclusive=False) as state, progress.bar() as tell:
        found = work.audit(
            configuration,
            state,
            since,
            until,
            pipeline=options.pipeline,
            only=options.log_group,
            repair=options.repair,
            progress=lambda pipeline, partition, part: tell(f"{pipeline}: {partition}", part, ""),
        )
    if options.json:
        print(_json({"certificates": found}))
    else:
        print(reports.certificates(found))
    return 0 if found and all(certificate.is_complete for certificate in found) else INCOMPLETE


def backfill(options: argparse.Namespace, path: Path) -> int:
    """Run the backfill; print what it did; return the exit code."""
    from vectadb_agent import backfill as work
    from vectadb_agent import config, logs, progress, reports
    from vectadb_agent.state import State

    logs.set_up(options.log_level)
    if not 1 <= options.parallel <= 64:
        raise UsageError(f"--parallel {options.parallel}: right would be 1 to 64")
    configuration = config.read(path)
    since, until = _times(options)
    with State(configuration.agent.state_dir, exclusive=False, create=True) as state, progress.bar() as tell:
        found = work.backfill(
            configuration,
            state,
            since,
            until,
            asked=_asked(options),
            pipeline=options.pipeline,
            only=options.log_group,
            reparse=options.reparse,
            restart=options.restart,
            parallel=options.parallel,
            progress=lambda now: tell(
                now.pipeline, now.done / now.total if now.total else 1.0, f"{now.counts.read} records read"
            ),
        )
    if options.json:
        print(_json({"backfills": found}))
    else:
        print("\n".join(map(reports.summary, found)))
    return 0 if all(summary.finished and not summary.unread for summary in found) else INCOMPLETE


def _json(value: object) -> str:
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value)).decode()


def _times(options: argparse.Namespace) -> tuple[int, int | None]:
    import time

    from vectadb_agent import beside

    since = beside.time_given(options.since, "--since")
    if since >= time.time_ns() // 1000:
        raise UsageError(f"--since {options.since} is not before now; right would be 24h, 7d or a time that has been")
    until = None if options.until is None else beside.time_given(options.until, "--until")
    if until is not None and since >= until:
        raise UsageError(f"--since {options.since} is not before --until {options.until}")
    return since, until


def _asked(options: argparse.Namespace) -> str:
    words = ["backfill", "--since", options.since]
    if options.until is not None:
        words += ["--until", options.until]
    for name in options.log_group:
        words += ["--log-group", name]
    return " ".join([*words, *(["--reparse"] if options.reparse else [])])
