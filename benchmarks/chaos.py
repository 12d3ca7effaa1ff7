"""``make chaos``: what is promised of completeness, under faults, with figures. Ends with 1 where it falls short.

``python -m benchmarks.chaos [--seed N] [--short] [ROW…]``: everything random follows the seed.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from benchmarks import chaos_kills, chaos_lags, chaos_load
from benchmarks.processes import BenchmarkFailed
from benchmarks.table import Row, as_json, show

if TYPE_CHECKING:
    from collections.abc import Callable

SEED = 20_261_124

ROWS: dict[str, Callable[[int, bool], list[Row]]] = {
    "lags": chaos_lags.lags,
    "kills": chaos_kills.kills,
    "backlog": chaos_load.backlog,
    "outage": chaos_load.outage,
}


def main() -> int:
    """Run the rows that are named, or all."""
    options = argparse.ArgumentParser(prog="python -m benchmarks.chaos", description=__doc__)
    options.add_argument("names", nargs="*", metavar="ROW", help=f"which: {', '.join(ROWS)} (default: all)")
    options.add_argument(
        "--seed", type=int, default=SEED, help="what everything random follows from (default: %(default)s)"
    )
    options.add_argument("--short", action="store_true", help="scaled down to seconds")
    options.add_argument("--json", action="store_true", help="print the rows as JSON")
    given = options.parse_args()
    unknown = [name for name in given.names if name not in ROWS]
    if unknown:
        options.error(f"no row {unknown[0]!r} (there are: {', '.join(ROWS)})")
    rows: list[Row] = []
    failed = False
    for name in given.names or ROWS:
        started = time.monotonic()
        try:
            rows += ROWS[name](given.seed, given.short)
        except BenchmarkFailed as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
        print(f"{name}: seed {given.seed}, {time.monotonic() - started:.0f} s", file=sys.stderr, flush=True)
    print(as_json(rows)) if given.json else show(rows)
    return int(failed or any(row.good is False for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
