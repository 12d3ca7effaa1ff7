"""The store's tests run on the engine in this process and on a real server: see ``tests/engines``."""

from __future__ import annotations

import uuid
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.engines.surreal import PASSWORD, USER, Engine
from vectadb_server.stores.remote import Address
from vectadb_server.stores.surreal import SurrealStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Opener = Callable[[], Awaitable[SurrealStore]]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    with Engine() as running:
        yield running


@pytest.fixture
def new_address(engine: Engine) -> Callable[[], Address]:
    """Where a record of its own may be on the server, each time another."""

    def made() -> Address:
        name = f"t{uuid.uuid4().hex}"
        return Address(url=engine.url, user=USER, password=PASSWORD, namespace="test", prefix=name)

    return made


@pytest.fixture(params=["embedded", "remote"])
async def new_store(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[Callable[[], Awaitable[SurrealStore]]]:
    """Open an empty store, each time another; all are closed at the end."""
    async with AsyncExitStack() as stack:

        async def made() -> SurrealStore:
            if request.param == "embedded":
                opened = await SurrealStore.open(tmp_path / uuid.uuid4().hex)
            else:
                opened = await SurrealStore.remote(request.getfixturevalue("new_address")())
            stack.push_async_callback(opened.close)
            return opened

        yield made


@pytest.fixture
async def store(new_store: Opener) -> SurrealStore:
    return await new_store()
