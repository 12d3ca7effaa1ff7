"""What ``make bench`` and ``make chaos`` do with the names on their command line."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from benchmarks.processes import BenchmarkFailed
from benchmarks.table import Row, as_json, show

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping


def add(options: argparse.ArgumentParser, names: Mapping[str, object]) -> None:
    """Add the options that both have."""
    options.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(names)} (default: all)")
    options.add_argument("--json", action="store_true", help="print the rows as JSON")


def run(given: argparse.Namespace, benchmarks: Mapping[str, Callable[[], list[Row]]]) -> int:
    """Measure what was named, or all; print the table; return 1 where something fails or falls short."""
    unknown = [name for name in given.names if name not in benchmarks]
    if unknown:
        print(f"no benchmark {unknown[0]!r} (there are: {', '.join(benchmarks)})", file=sys.stderr)
        return 2
    rows: list[Row] = []
    failed = False
    for name in given.names or benchmarks:
        started = time.monotonic()
        try:
            rows += benchmarks[name]()
        except BenchmarkFailed as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
        print(f"{name}: measured in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(as_json(rows)) if given.json else show(rows)
    return int(failed or any(row.good is False for row in rows))
