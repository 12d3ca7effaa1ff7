from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vectadb_server.stores.surreal import SurrealStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SurrealStore]:
    opened = await SurrealStore.open(tmp_path)
    yield opened
    await opened.close()
