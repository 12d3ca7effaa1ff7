"""``make chaos``: what is promised of completeness, under faults, with figures. Ends with 1 where it falls short.

``python -m benchmarks.chaos [--seed N] [--short] [ROW…]``: everything random follows the seed.
"""

from __future__ import annotations

import argparse
import functools
import sys
from typing import TYPE_CHECKING

from benchmarks import chaos_kills, chaos_lags, chaos_load, command

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.table import Row

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
    command.add(options, ROWS)
    options.add_argument(
        "--seed", type=int, default=SEED, help="what everything random follows from (default: %(default)s)"
    )
    options.add_argument("--short", action="store_true", help="scaled down to seconds")
    given = options.parse_args()
    print(f"seed {given.seed}", file=sys.stderr, flush=True)
    return command.run(given, {name: functools.partial(row, given.seed, given.short) for name, row in ROWS.items()})


if __name__ == "__main__":
    raise SystemExit(main())
