"""``make bench``: measures, prints a table, and ends with 1 where something falls short of what is wanted."""

from __future__ import annotations

import argparse
import functools
from typing import TYPE_CHECKING

from benchmarks import (
    agent_rows,
    chaos,
    chaos_lags,
    command,
    parser_rows,
    search_rows,
    server_rows,
    start_rows,
    stored_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.table import Row

BENCHMARKS: dict[str, Callable[[], list[Row]]] = {
    "start": start_rows.start,
    "parsers": parser_rows.speed,
    "mutated": parser_rows.mutated,
    "parse": agent_rows.parse_only,
    "ship": agent_rows.ship,
    "memory": agent_rows.memory_and_idling,
    "freshness": server_rows.freshness,
    "ingest": server_rows.ingest,
    "check": server_rows.check,
    "search": search_rows.search,
    "stored": stored_rows.stored,
    "reads": functools.partial(chaos_lags.lags, chaos.SEED, short=True),
}


def main() -> int:
    """Run the benchmarks that are named, or all."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    command.add(options, BENCHMARKS)
    return command.run(options.parse_args(), BENCHMARKS)


if __name__ == "__main__":
    raise SystemExit(main())
