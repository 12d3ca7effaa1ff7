"""The commands that try parsers out, ``parse`` and ``test``: without a source, without a sink."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_agent.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from vectadb_agent.sample import Chain, Taken

_WIDTH = 100
"""Characters of a text that are shown to people."""


def add(commands: Any) -> list[argparse.ArgumentParser]:
    """Add the commands; return them, for the options that all have."""
    parse = commands.add_parser("parse", help="run sample lines through parsers and print the events, one JSON a line")
    parse.add_argument("file", nargs="?", help="log lines, one record each (default, and for -: standard input)")
    parse.add_argument(
        "--explain", action="store_true", help="say of each line who took it, into what, and who did not"
    )
    parse.add_argument("--json", action="store_true", help="with --explain: one JSON object for each block")
    test = commands.add_parser("test", help="run cases: lines, and the events that parsers must make of them")
    test.add_argument("files", nargs="+", type=Path, metavar="cases.yaml", help="files of cases")
    for command in (parse, test):
        command.add_argument("--pipeline", help="whose parsers and processors to use (default: the only one)")
        command.add_argument(
            "--parser",
            action="append",
            help="use this parser with its defaults (default without a configuration: auto)",
        )
    return [parse, test]


def parse(options: argparse.Namespace, config_file: Path | None) -> int:
    """Print what becomes of lines."""
    from vectadb_agent import reports, sample

    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    chain = _chain(options, config_file)
    if options.json and not options.explain:
        raise UsageError("--json goes with --explain; without it, events are JSON already")
    counts: dict[str, int] = {}
    lines: Iterable[str] = sys.stdin if options.file in (None, "-") else _lines(Path(options.file))
    for taken in sample.parse(lines, chain, explain=options.explain):
        counts[taken.parser or ""] = counts.get(taken.parser or "", 0) + taken.heads
        if not options.explain:
            for event in taken.events:
                print(msgspec.json.encode(event.wire()).decode())
        else:
            print(_as_json(taken) if options.json else "\n".join(explained(taken)))
    print(reports.taken(counts), file=sys.stderr)
    return 0


def test(options: argparse.Namespace, config_file: Path | None) -> int:
    """Run files of cases; 1 if one of them failed."""
    from vectadb_agent import cases

    logging.basicConfig(level=logging.CRITICAL)
    chosen = _chain(options, config_file) if options.parser or config_file else None
    passed = failed = 0
    for file in options.files:
        for outcome in cases.run(cases.read(file, chosen)):
            print("\n".join(cases.told(file, outcome)))
            failed += bool(outcome.problems)
            passed += not outcome.problems
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


def _lines(file: Path) -> Iterator[str]:
    """The file's lines; what fails where they are printed is none of its business."""
    try:
        with file.open(encoding="utf-8", errors="surrogateescape", newline="\n") as lines:
            yield from lines
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _chain(options: argparse.Namespace, config_file: Path | None) -> Chain:
    from vectadb_agent import config, sample

    if options.parser:
        return sample.Chain(sample.parsers_by_name(options.parser))
    if config_file is None:
        if options.pipeline:
            raise UsageError("--pipeline needs a configuration: name it with --config FILE")
        return sample.Chain(sample.parsers_by_name([config.DEFAULT_PARSER]))
    chosen = sample.choose(config.read(config_file).pipelines, options.pipeline)
    return sample.Chain(chosen.parsers, chosen.processors, chosen.agent_id)


def explained(taken: Taken) -> list[str]:
    """The lines that tell a person what became of a block."""
    rules = list(dict.fromkeys(str(event.properties["rule"]) for event in taken.events if "rule" in event.properties))
    by = "nobody's: kept as it is" if taken.parser is None else f"{taken.parser}"
    more = [f"rule {', '.join(rules)}"] if rules else []
    more += [taken.why] if taken.why else []
    shown = [f"{_where(taken.lines)}: {by}{' (' + '; '.join(more) + ')' if more else ''}"]
    texts = taken.text.rstrip("\n").split("\n")
    shown += [f"  | {_short(text)}" for text in texts[:3]]
    shown += [f"  | … {len(texts) - 3} more"] if len(texts) > 3 else []
    for event in taken.events:
        fields = {name: getattr(event, name) for name in ("trace_id", "request_id", "session_id", "agent_id")}
        values = {**fields, **event.properties}
        told = [f"{name}={_short(_text(value), 60)}" for name, value in values.items() if value is not None]
        shown.append(f"  -> {event.event_type}  {'  '.join(told)}".rstrip())
    if taken.parser is not None and not taken.events:
        shown.append("  -> nothing: filtered")
    others = list(taken.others.items())
    shown += _grouped("passed", others[: taken.asked]) + _grouped("not asked", others[taken.asked :])
    return [*shown, ""]


def _where(lines: list[int]) -> str:
    """``line 3``, ``lines 3 to 5``, ``lines 3, 5 to 6`` where somebody else's stand between."""
    runs: list[list[int]] = []
    for line in lines:
        if runs and line == runs[-1][-1] + 1:
            runs[-1][1:] = [line]
        else:
            runs.append([line])
    shown = ", ".join(" to ".join(map(str, run)) for run in runs[:10]) + (" …" if len(runs) > 10 else "")
    return f"line{'s' if len(lines) > 1 else ''} {shown}"


def _grouped(label: str, others: list[tuple[str, str]]) -> list[str]:
    """One line for each reason, and all who gave it."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in others:
        by_reason.setdefault(reason, []).append(name)
    return [f"  {label}: {', '.join(names)}: {reason}" for reason, names in by_reason.items()]


def _as_json(taken: Taken) -> str:
    told = {
        "lines": taken.lines,
        "parser": taken.parser,
        "why": taken.why,
        "events": [event.wire() for event in taken.events],
        "passed": dict(list(taken.others.items())[: taken.asked]),
        "not_asked": dict(list(taken.others.items())[taken.asked :]),
    }
    return msgspec.json.encode(told).decode()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _short(text: str, width: int = _WIDTH) -> str:
    line = text.encode("unicode_escape", "backslashreplace").decode() if not text.isprintable() else text
    return line if len(line) <= width else f"{line[: width - 1]}…"
