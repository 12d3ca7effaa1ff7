"""``make bench``: measures, prints a table, and ends with 1 where something falls short of what is wanted."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from benchmarks import agent_rows, chaos, chaos_lags, command, server_rows

if TYPE_CHECKING:
    from benchmarks.table import Row


def reads() -> list[Row]:
    """How often everything is read, late events and an audit included: ``make chaos`` has it at full size."""
    return [row for row in chaos_lags.lags(chaos.SEED, short=True) if row.unit == "x data"]


BENCHMARKS = {
    "parse": agent_rows.parse_only,
    "ship": agent_rows.ship,
    "memory": agent_rows.memory_and_idling,
    "freshness": server_rows.freshness,
    "ingest": server_rows.ingest,
    "reads": reads,
}


def main() -> int:
    """Run the benchmarks that are named, or all."""
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    command.add(options, BENCHMARKS)
    return command.run(options.parse_args(), BENCHMARKS)


if __name__ == "__main__":
    raise SystemExit(main())
