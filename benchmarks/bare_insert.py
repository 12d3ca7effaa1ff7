"""The engine alone: how many of the server's rows it takes a second, with nothing around it.

``python -m benchmarks.bare_insert KIND BATCHES DIRECTORY``: the transactions that ingest would make of these events,
with all their rows, indexes and fsync, two in flight (more gain nothing), made beforehand. It prints events per second.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.wire_batches import BATCH, KINDS
from vectadb_server.arrivals import arriving
from vectadb_server.attribution import Boundaries, attribute
from vectadb_server.planning import all_new
from vectadb_server.stores.directories import Directories
from vectadb_server.stores.writes import statements
from vectadb_server.wire import Options, decode_batch

IN_FLIGHT = 2


def transactions_of(body: bytes) -> list[tuple[str, str, dict[str, Any]]]:
    """Day, statements and parameters of each transaction that stores a batch: one, but around midnight."""
    events = decode_batch(body).events
    attribute(events, Boundaries([]), auto_create_traces=True)
    made = []
    for day, write in all_new(events, [arriving(event, {}) for event in events], Options()).items():
        sql, values = statements(write)
        made.append((day, f"BEGIN; {'; '.join(sql)}; COMMIT;", values))
    return made


async def insert(transactions: list[tuple[str, str, dict[str, Any]]], directory: Path) -> float:
    """Run the transactions; return the seconds that took."""
    segments = Directories(directory)
    await segments.start()
    for day in {day for day, _, _ in transactions}:
        async with segments.use(day, make=True):
            pass  # makes the day's database before the clock runs
    left = iter(transactions)

    async def work() -> None:
        for day, sql, values in left:
            async with segments.use(day) as database:
                await database.run(sql, values)

    began = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))
    took = time.perf_counter() - began
    await segments.stop()
    return took


def main(kind: str, count: int, directory: Path) -> None:
    """Measure, and print the rate."""
    transactions = [each for body in KINDS[kind](count) for each in transactions_of(body)]
    print(count * BATCH / asyncio.run(insert(transactions, directory)), flush=True)
    os._exit(0)  # the engine may abort in its destructors


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
