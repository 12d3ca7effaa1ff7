"""Ingests for ever and prints each id once it was acknowledged: run by ``test_record_crash``, which kills it.

``python -m record.ingest_until_killed DIRECTORY [closing]``; ``closing``: databases are closed all the time.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from vectadb_server.indexer import Indexer
from vectadb_server.ingest import Ingest
from vectadb_server.stores import directories
from vectadb_server.stores.surreal import SurrealStore

from .making import HOUR, MIDNIGHT, OPTIONS, block, line


async def main(data_dir: Path, *, closing: bool) -> None:
    if closing:
        directories.QUIET, directories.LOOK, directories.LOOK_LATER, directories.LONG_LOG = -1.0, 0.0, 0.0, 0
    store = await SurrealStore.open(data_dir)
    ingest = Ingest(store)
    async with Indexer(store, None):
        for number in range(1_000_000):
            at = MIDNIGHT + (number - 3) * HOUR
            first = [line(f"{number}-{n}", at + n, trace_id="t") for n in range(20)]
            whole = block(*((f"{number}-{n}", at + n) for n in range(5)), trace_id="t")
            for outcome in await ingest.ingest([*first, whole], OPTIONS):
                assert outcome.status == "accepted", outcome
            print(number, flush=True)


asyncio.run(main(Path(sys.argv[1]), closing="closing" in sys.argv[2:]))
