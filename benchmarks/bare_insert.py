"""The engine alone: how many of the server's rows it takes a second, with nothing around it.

``python -m benchmarks.bare_insert BATCHES DIRECTORY``: the rows that ingest would write, with their outbox rows,
indexes and fsync, two transactions in flight (more gain nothing), made beforehand. It prints events per second.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.wire_batches import BATCH, batches
from vectadb_server.arrivals import arriving
from vectadb_server.attribution import Boundaries, attribute
from vectadb_server.stores.directories import Directories
from vectadb_server.stores.rows import event_row
from vectadb_server.stores.writes import Entry, Write, statements
from vectadb_server.wire import decode_batch

IN_FLIGHT = 2


def transaction(body: bytes) -> tuple[str, str, dict[str, Any]]:
    """The day, statements and parameters that store a batch."""
    events = decode_batch(body).events
    attribute(events, Boundaries([]), auto_create_traces=True)
    found = [(event, arriving(event, {})) for event in events]
    day = found[0][1].key[0]
    inserted = [event_row(event, row, search=True, relate=True) for event, row in found]
    traces = list(dict.fromkeys(event.trace for event in events if event.trace is not None))
    entry = Entry(events=[event.event_id for event in events], traces=traces)
    sql, values = statements(Write(insert=inserted, entry=entry))
    return day, f"BEGIN; {'; '.join(sql)}; COMMIT;", values


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


def main(count: int, directory: Path) -> None:
    """Measure, and print the rate."""
    transactions = [transaction(body) for body in batches(count)]
    print(count * BATCH / asyncio.run(insert(transactions, directory)), flush=True)
    os._exit(0)  # the engine may abort in its destructors


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
