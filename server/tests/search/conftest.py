from __future__ import annotations

import random
import uuid
from typing import TYPE_CHECKING

import pytest

from vectadb_server.stores.base import Document
from vectadb_server.stores.edge import EdgeSearch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def search(tmp_path: Path) -> AsyncIterator[EdgeSearch]:
    engine = EdgeSearch(tmp_path)
    yield engine
    await engine.close()


@pytest.fixture
def make() -> Callable[..., Document]:
    """Make a document of 1 January 2026; everything can be set."""
    ids = random.Random(7)

    def document(text: str, **fields: object) -> Document:
        given = {"event_id": str(uuid.UUID(int=ids.getrandbits(128), version=5)), "day": "2026-01-01", "us": NOON}
        return Document(**{"event_type": "log", "text": text} | given | fields)  # type: ignore[arg-type]

    return document
