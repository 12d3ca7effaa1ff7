from __future__ import annotations

import random
import subprocess
import sys
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server.stores import edge
from vectadb_server.stores.base import Document
from vectadb_server.stores.edge import EdgeSearch
from vectadb_server.stores.framing import Remote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

NOON = 1_767_268_800_000_000  # 2026-01-01T12:00:00Z
FACADE = Path(__file__).parents[3] / "tests/engines/qdrant_facade"
KEY = "secret-key"


class Facade:
    """A process that answers as a Qdrant would; it can be killed and started again on its port."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._port = folder, 0
        self.start()

    def start(self) -> None:
        command = [sys.executable, str(FACADE), "--port", str(self._port), "--dir", str(self._folder), "--api-key", KEY]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def at(self, collection: str = "vectadb", key: str = KEY) -> Remote:
        return Remote(f"http://127.0.0.1:{self._port}", key, collection)


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module", autouse=True)
def _patience() -> Iterator[None]:
    """Starting a search process imports much: on a machine that does other work it may take long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edge, "_STARTED", 300.0)
        yield


@pytest.fixture(scope="module")
def facade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Facade]:
    started = Facade(tmp_path_factory.mktemp("qdrant"))
    yield started
    started.kill()


@pytest.fixture(scope="module", params=["edge", "qdrant"])
def new_engine(request: pytest.FixtureRequest) -> Callable[..., EdgeSearch]:
    """Makes empty indexes, embedded and remote: one suite of tests is for both."""

    def made(folder: Path, **arguments: Any) -> EdgeSearch:
        if request.param == "qdrant":
            arguments["remote"] = request.getfixturevalue("facade").at(uuid.uuid4().hex)
        return EdgeSearch(folder, **arguments)

    return made


@pytest.fixture
async def engine(tmp_path: Path, new_engine: Callable[..., EdgeSearch]) -> AsyncIterator[EdgeSearch]:
    """An empty index, embedded and remote."""
    made = new_engine(tmp_path)
    yield made
    await made.close()


@pytest.fixture
async def search(tmp_path: Path) -> AsyncIterator[EdgeSearch]:
    """An empty index, embedded."""
    made = EdgeSearch(tmp_path)
    yield made
    await made.close()


@pytest.fixture
def make() -> Callable[..., Document]:
    """Make a document of 1 January 2026; everything can be set."""
    ids = random.Random(7)

    def document(text: str, **fields: object) -> Document:
        given = {"event_id": str(uuid.UUID(int=ids.getrandbits(128), version=5)), "day": "2026-01-01", "us": NOON}
        return Document(**{"event_type": "log", "text": text} | given | fields)  # type: ignore[arg-type]

    return document
