"""Seals a copy of a shard: ``python -m vectadb_server.stores.edge_seal ENGINE COPY``, run by the search process."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from vectadb_server.stores.edge_shards import seal

if __name__ == "__main__":
    os.nice(10)  # It is never urgent.
    seal(Path(sys.argv[1]), Path(sys.argv[2]))
