"""``make accuracy``: a table per framework, the half that parsers were tuned on and the half held out apart."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.accuracy import recordings
from benchmarks.accuracy.judging import COLUMNS, Verdict, judge, judge_served
from benchmarks.accuracy.running import (
    noise,
    parse,
    parse_served,
    parsers_for,
    serve,
    serve_served,
    taken_for_frameworks,
)
from demo.processes import server
from vectadb_agent.errors import UsageError
from vectadb_agent.sample import parsers_by_name

if TYPE_CHECKING:
    from collections.abc import Sequence

WANTED = {"lines": 99.0, "calls": 99.0, "traces": 100.0, "alone": 100.0, "ecs": 100.0}
MOST_FALSE = 0.1
"""Percent of ordinary lines that may be taken for an agent framework's."""
MODES = {"own": "the framework's own", "auto": "auto"}
Table = dict[str, Verdict]
"""By framework and half."""
False_ = dict[str, tuple[int, int, list[str]]]
"""For each file of ordinary logs: lines taken for a framework's, lines in all, and the first of the lines taken."""


def main() -> int:
    """Run everything and print the tables. Returns 0 whatever the figures are; 2 where it could not run."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.accuracy", description=__doc__)
    options.add_argument("--framework", action="append", help="only this one (may be repeated)")
    options.add_argument("--mode", choices=MODES, action="append", help="parsers: the framework's own, or auto")
    options.add_argument("--details", action="store_true", help="name each thing that is wrong, of the open half")
    options.add_argument("--held-out-details", action="store_true", help="and of the half held out")
    options.add_argument("--json", action="store_true", help="print JSON instead")
    given = options.parse_args()
    chosen = recordings.read(set(given.framework) if given.framework else None)
    for framework in given.framework or ():
        if framework not in {recording.framework for recording in chosen}:
            known = ", ".join(sorted({recording.framework for recording in recordings.read()}))
            options.error(
                f"--framework {framework}: no recordings of it in {recordings.RECORDINGS}; there are: {known}"
            )
    tables = {mode: _table(chosen, mode) for mode in given.mode or MODES}
    false = {} if given.framework or not _installed("auto", "auto") else _false()
    halves = {"open": given.details, "held out": given.held_out_details}
    if given.json:
        print(_as_json(tables, false, halves))
        return 0
    for mode, table in tables.items():
        print(f"\nparsers: {MODES[mode]}")
        _show(table)
        for name, verdict in table.items():
            if _told(name, halves):
                print(*(f"  {wrong}" for wrong in verdict.wrong), sep="\n")
    if false:
        print(f"\nordinary lines taken for an agent framework's by auto (wanted: at most {MOST_FALSE} %)")
        for name, (taken, count, _) in false.items():
            print(f"  {name:24} {taken:6} of {count:7,}  {100 * taken / count:.3f} %")
        if given.details:
            print(*(f"  {name}: {line!r}" for name, (_, _, lines) in false.items() for line in lines), sep="\n")
    return 0


def _table(chosen: Sequence[recordings.Recording], mode: str) -> Table:
    able = {framework for framework in {each.framework for each in chosen} if _installed(framework, mode)}
    with tempfile.TemporaryDirectory(prefix="vectadb-accuracy-") as name, server(Path(name)) as url:
        read = [recording for recording in chosen if recording.framework in able]
        outcomes, events = parse(read, mode)
        serve(url, outcomes, events, mode)
        runs, events = parse_served(read, mode)
        serve_served(url, runs, events, mode)
    table: Table = {}
    for outcome in outcomes:
        table.setdefault(_row_of(outcome.recording), Verdict()).add(judge(outcome))
    for outcome in runs:
        table[_row_of(outcome.recording)].add(judge_served(outcome))
    return table


def _row_of(recording: recordings.Recording) -> str:
    return f"{recording.framework}, {'held out' if recording.held_out else 'open'}"


def _told(name: str, halves: dict[str, bool]) -> bool:
    return halves[name.rpartition(", ")[2]]


def _installed(framework: str, mode: str) -> bool:
    try:
        parsers_by_name(parsers_for(framework, mode))
    except UsageError as error:
        print(f"{framework}: left out: {error}", file=sys.stderr)
        return False
    return True


def _show(table: Table) -> None:
    print(f"{'':28}" + "".join(f"{column:>16}" for column in COLUMNS) + f"{'extra':>8}")
    total = Verdict()
    for name in sorted(table):
        _row(name, table[name])
        total.add(table[name])
    _row("all", total)
    print(f"{'wanted':28}" + "".join(f"{_percent(WANTED.get(column)):>16}" for column in COLUMNS))


def _row(name: str, verdict: Verdict) -> None:
    cells = [_cell(verdict.right[column], verdict.total[column]) for column in COLUMNS]
    print(f"{name:28}" + "".join(f"{cell:>16}" for cell in cells) + f"{verdict.extra:>8}")


def _cell(right: int, total: int) -> str:
    return f"{right}/{total} {100 * right / total:.1f}" if total else "-"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f} %"


def _false() -> False_:
    found: False_ = {}
    folder = recordings.RECORDINGS / "noise"
    for path in sorted({*folder.glob("*.txt"), *folder.glob("*.txt.gz")} - {folder / "requirements.txt"}):
        lines = noise(path)
        taken = taken_for_frameworks(lines)
        found[path.name.partition(".")[0]] = (len(taken), len(lines), taken[:20])
    return found


def _as_json(tables: dict[str, Table], false: False_, halves: dict[str, bool]) -> str:
    told = {
        mode: {
            name: {column: [verdict.right[column], verdict.total[column]] for column in COLUMNS}
            | {"extra": verdict.extra}
            | ({"wrong": verdict.wrong} if _told(name, halves) else {})
            for name, verdict in table.items()
        }
        for mode, table in tables.items()
    }
    return json.dumps({"tables": told, "false": {name: [row[0], row[1]] for name, row in false.items()}}, indent=2)


if __name__ == "__main__":
    raise SystemExit(main())
