"""``make bench``: measures, prints a table, and ends with 1 where something falls short of what is wanted."""

from __future__ import annotations

import argparse
import sys
import time

from benchmarks import agent_rows, server_rows
from benchmarks.processes import BenchmarkFailed
from benchmarks.table import Row, as_json, show

BENCHMARKS = {
    "parse": agent_rows.parse_only,
    "ship": agent_rows.ship,
    "memory": agent_rows.memory_and_idling,
    "freshness": server_rows.freshness,
    "ingest": server_rows.ingest,
}


def main() -> int:
    """Run the benchmarks that are named, or all."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(BENCHMARKS)} (default: all)")
    options.add_argument("--json", action="store_true", help="print the rows as JSON")
    given = options.parse_args()
    unknown = [name for name in given.names if name not in BENCHMARKS]
    if unknown:
        options.error(f"no benchmark {unknown[0]!r} (there are: {', '.join(BENCHMARKS)})")
    rows: list[Row] = []
    failed = False
    for name in given.names or BENCHMARKS:
        started = time.monotonic()
        try:
            rows += BENCHMARKS[name]()
        except BenchmarkFailed as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
        print(f"{name}: measured in {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(as_json(rows)) if given.json else show(rows)
    return int(failed or any(row.good is False for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
