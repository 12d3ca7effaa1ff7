"""``make accuracy``: a table per framework, the half that parsers were tuned on and the half held out apart."""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.accuracy import recordings
from benchmarks.accuracy.judging import COLUMNS, Verdict, judge
from benchmarks.accuracy.running import noise, parse, serve
from demo.processes import server
from vectadb_agent import LogRecord, LogStream
from vectadb_agent.errors import UsageError
from vectadb_agent.join import Joiner
from vectadb_agent.parsing import Parsing
from vectadb_agent.sample import parsers_by_name

if TYPE_CHECKING:
    from collections.abc import Sequence

WANTED = {"lines": 99.0, "calls": 99.0, "traces": 100.0}
MOST_FALSE = 0.1
"""Percent of ordinary lines that may be taken for an agent framework's."""


def main() -> int:
    """Run everything and print the tables."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    options.add_argument("--framework", action="append", help="only this one (may be repeated)")
    options.add_argument(
        "--mode", choices=("own", "auto"), action="append", help="parsers: the framework's own, or auto"
    )
    options.add_argument("--details", action="store_true", help="name each thing that is wrong, of the open half")
    options.add_argument("--held-out-details", action="store_true", help="and of the half held out")
    options.add_argument("--json", action="store_true", help="print JSON instead")
    given = options.parse_args()
    chosen = recordings.read(set(given.framework) if given.framework else None)
    tables: dict[str, dict[str, Verdict]] = {}
    for mode in given.mode or ("own", "auto"):
        able = [recording for recording in chosen if _installed(recording.framework, mode)]
        with tempfile.TemporaryDirectory(prefix="vectadb-accuracy-") as name, server(Path(name)) as url:
            outcomes, events = parse(able, mode)
            serve(url, outcomes, events, mode)
        table = tables[mode] = {}
        for outcome in outcomes:
            half = "held out" if outcome.recording.held_out else "open"
            table.setdefault(f"{outcome.recording.framework}, {half}", Verdict()).add(judge(outcome))
    false = {} if given.framework else _false()
    if given.json:
        print(_as_json(tables, false))
        return 0
    for mode, table in tables.items():
        print(f"\nparsers: {'auto' if mode == 'auto' else 'the framework’s own'}")
        _show(table)
        for name, verdict in table.items():
            if given.held_out_details if name.endswith("held out") else given.details:
                print(*(f"  {wrong}" for wrong in verdict.wrong), sep="\n")
    if false:
        print("\nordinary lines taken for an agent framework's by auto (wanted: at most 0.1 %)")
        for name, (taken, count, _) in false.items():
            print(f"  {name:24} {taken:6} of {count:7,}  {100 * taken / count:.3f} %")
        if given.details:
            print(*(f"  {name}: {line!r}" for name, (_, _, lines) in false.items() for line in lines), sep="\n")
    return 0


def _installed(framework: str, mode: str) -> bool:
    from benchmarks.accuracy.running import parsers_for

    try:
        parsers_by_name(parsers_for(framework, mode))
    except UsageError as error:
        print(f"{framework}: left out: {error}")
        return False
    return True


def _show(table: dict[str, Verdict]) -> None:
    print(f"{'':28}" + "".join(f"{column:>16}" for column in COLUMNS) + f"{'extra calls':>13}")
    total = Verdict()
    for name in sorted(table):
        _row(name, table[name])
        total.add(table[name])
    _row("all", total)
    print(f"{'wanted':28}" + "".join(f"{_percent(WANTED.get(column)):>16}" for column in COLUMNS))


def _row(name: str, verdict: Verdict) -> None:
    cells = [_cell(verdict.right[column], verdict.total[column]) for column in COLUMNS]
    print(f"{name:28}" + "".join(f"{cell:>16}" for cell in cells) + f"{verdict.extra:>13}")


def _cell(right: int, total: int) -> str:
    return f"{right}/{total} {100 * right / total:.1f}" if total else "-"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"


def _false() -> dict[str, tuple[int, int, list[str]]]:
    """For each file of ordinary logs: lines taken for a framework's, lines in all, and the lines taken."""
    found: dict[str, tuple[int, int, list[str]]] = {}
    folder = recordings.RECORDINGS / "noise"
    for path in sorted(folder.glob("*.txt.gz")) if folder.is_dir() else ():
        lines = noise(path)
        taken = taken_for_frameworks(lines)
        found[path.name.partition(".")[0]] = (len(taken), len(lines), taken[:20])
    return found


def taken_for_frameworks(lines: Sequence[str]) -> list[str]:
    """The lines of which ``auto`` makes events of an agent framework."""
    parsers = parsers_by_name(["auto"])
    joiner: Joiner[int] = Joiner(parsers)
    parsing = Parsing(parsers)
    stream = LogStream("aws", "123456789012", "eu-west-1", "/noise", "s")
    taken: list[str] = []
    done = [
        joined
        for number, line in enumerate(lines)
        for joined in joiner.add(LogRecord(stream, f"{number:09d}", number * 1000, line), number, 0)
    ]
    for joined in [*done, *joiner.flush()]:
        made = parsing.events(joined)
        if any("framework" in event.properties for event in made):
            taken += [lines[number] for number in joined.tags]
    return taken


def _as_json(tables: dict[str, dict[str, Verdict]], false: dict[str, tuple[int, int, list[str]]]) -> str:
    told = {
        mode: {
            name: {column: [verdict.right[column], verdict.total[column]] for column in COLUMNS}
            | {"extra": verdict.extra}
            for name, verdict in table.items()
        }
        for mode, table in tables.items()
    }
    return json.dumps({"tables": told, "false": {name: [row[0], row[1]] for name, row in false.items()}}, indent=2)


if __name__ == "__main__":
    raise SystemExit(main())
