"""Vectors from an endpoint with OpenAI's API, a real HTTP server that can be made to misbehave."""

from __future__ import annotations

import asyncio
import json
import math
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server import embedding_http
from vectadb_server.embedding_http import HttpEmbedder
from vectadb_server.stores.base import MeaningUnavailable, SearchFilter, SearchUnavailable
from vectadb_server.stores.edge import EdgeSearch, IndexRefused

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from vectadb_server.stores.base import Document

pytestmark = pytest.mark.anyio

EVERYTHING = SearchFilter()
SIZE = 8


def meaning(text: str) -> list[float]:
    """A vector by the letters of the text: like letters, like meaning."""
    counts = Counter(text.lower())
    return [float(counts[letter]) for letter in "abcdefg"] + [1.0]


class Stub(ThreadingHTTPServer):
    """The endpoint. ``faults``: statuses with headers, answered first, one for each request."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.faults: list[tuple[int, dict[str, str]]] = []
        self.refused = ""  # a text with this in it gets 400
        self.down = False
        self.broken: Callable[[dict[str, Any]], dict[str, Any]] = lambda reply: reply
        self.url = f"http://127.0.0.1:{self.server_address[1]}/v1"
        self._lock = threading.Lock()

    def answer(self, path: str, body: dict[str, Any], key: str | None) -> tuple[int, dict[str, str], dict[str, Any]]:
        with self._lock:
            self.bodies.append(body)
            self.keys.append(key)
            if path != "/v1/embeddings":
                return 404, {}, {"error": f"nothing at {path}"}
            if self.down:
                return 503, {}, {"error": "down"}
            if self.faults:
                status, headers = self.faults.pop(0)
                return status, headers, {"error": "as told"}
        if self.refused and any(self.refused in text for text in body["input"]):
            return 400, {}, {"error": "maximum context length is 8192 tokens"}
        data = [{"object": "embedding", "index": n, "embedding": meaning(t)} for n, t in enumerate(body["input"])]
        return 200, {}, self.broken({"object": "list", "data": data[::-1], "model": body["model"]})


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Stub

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, headers, reply = self.server.answer(self.path, body, self.headers.get("Authorization"))
        data = json.dumps(reply).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


@pytest.fixture
def stub() -> Iterator[Stub]:
    server = Stub()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedding_http, "_FIRST_PAUSE", 0.001)


@pytest.fixture
async def embedder(stub: Stub) -> AsyncIterator[HttpEmbedder]:
    made = HttpEmbedder(stub.url, "small", key="k-1")
    yield made
    await made.close()


def unpacked(vector: bytes) -> list[float]:
    return list(struct.unpack(f"<{len(vector) // 4}f", vector))


async def test_each_text_gets_its_own_vector_whatever_the_order_of_the_reply(
    stub: Stub, embedder: HttpEmbedder
) -> None:
    texts = [f"{'ab' * n} text" for n in range(150)]
    vectors = await embedder.embed([*texts, " ", "half \ud83d"])
    assert [unpacked(vector) for vector in vectors[:150]] == [meaning(text) for text in texts]
    assert vectors[150] == b""
    assert len(vectors[151]) == 4 * SIZE
    assert sorted(len(body["input"]) for body in stub.bodies) == [23, 64, 64]
    assert {body["model"] for body in stub.bodies} == {"small"}
    assert set(stub.keys) == {"Bearer k-1"}
    assert await embedder.size() == SIZE
    assert len(stub.bodies) == 3


async def test_dimensions_are_asked_for_where_they_are_set(stub: Stub) -> None:
    embedder = HttpEmbedder(stub.url, "small", size=SIZE)
    assert await embedder.size() == SIZE
    assert stub.bodies == []
    await embedder.embed(["x"])
    assert stub.bodies[0]["dimensions"] == SIZE
    assert stub.keys == [None]
    await embedder.close()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_what_passes_is_tried_again(stub: Stub, embedder: HttpEmbedder, status: int) -> None:
    stub.faults = [(status, {}), (status, {})]
    assert unpacked((await embedder.embed(["abc"]))[0]) == meaning("abc")
    assert len(stub.bodies) == 3


async def test_retry_after_is_waited_for_by_all_and_searches_do_not_wait(stub: Stub, embedder: HttpEmbedder) -> None:
    stub.faults = [(429, {"Retry-After": "0.2"})]
    began = asyncio.get_running_loop().time()
    await embedder.embed(["abc"])
    assert asyncio.get_running_loop().time() - began >= 0.2
    stub.faults = [(429, {"Retry-After": "60"})]
    with pytest.raises(MeaningUnavailable, match="HTTP 429"):
        await embedder.embed(["abc"], patient=False)
    asked = len(stub.bodies)
    with pytest.raises(MeaningUnavailable, match="asks to wait"):
        await embedder.embed(["abc"], patient=False)
    assert len(stub.bodies) == asked


async def test_one_text_that_is_refused_does_not_keep_the_others(stub: Stub, embedder: HttpEmbedder) -> None:
    stub.refused = "poison"
    vectors = await embedder.embed([*("abc" for _ in range(20)), "poison", "bcd"])
    assert [bool(vector) for vector in vectors] == [True] * 20 + [False, True]


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda reply: {"data": reply["data"][1:]}, "2 texts with 1 vectors"),
        (lambda reply: {"data": [{**each, "embedding": [math.nan]} for each in reply["data"]]}, "holds no vectors"),
        (lambda reply: {"data": [{**each, "embedding": "AAA"} for each in reply["data"]]}, "holds no vectors"),
        (lambda reply: {}, "holds no vectors"),
        (lambda reply: {"data": [{**each, "embedding": [1.0]} for each in reply["data"]]}, "1 numbers, the index's 8"),
    ],
)
async def test_a_reply_that_is_none_is_named(stub: Stub, embedder: HttpEmbedder, broken: Any, said: str) -> None:
    await embedder.embed(["abc"])
    stub.broken = broken
    with pytest.raises(MeaningUnavailable, match=said) as raised:
        await embedder.embed(["abc", "bcd"])
    assert "check embedder_url" in str(raised.value)


@pytest.mark.parametrize(("status", "requests"), [(401, 1), (404, 1), (400, 2)])
async def test_what_cannot_be_mended_by_waiting_is_not_tried_again(
    stub: Stub, embedder: HttpEmbedder, status: int, requests: int
) -> None:
    stub.faults = [(status, {})] * 9
    with pytest.raises(MeaningUnavailable, match=f"HTTP {status}.*embedder_api_key") as raised:
        await embedder.embed(["abc"])
    assert len(stub.bodies) == requests
    assert "k-1" not in str(raised.value)


async def test_nobody_there(stub: Stub) -> None:
    embedder = HttpEmbedder("http://127.0.0.1:9/v1", "small")
    with pytest.raises(MeaningUnavailable, match=r"127\.0\.0\.1:9.*embedder_url"):
        await embedder.embed(["abc"])
    await embedder.close()


async def test_an_index_with_vectors_from_elsewhere(
    stub: Stub, tmp_path: Path, new_engine: Callable[..., EdgeSearch], make: Callable[..., Document]
) -> None:
    engine = new_engine(tmp_path, embedder=HttpEmbedder(stub.url, "small"))
    letters = [make("aaab"), make("gggf"), make("ccdd")]
    try:
        await engine.upsert(letters)
        hits = await engine.search("ab aa", mode="semantic", where=EVERYTHING, limit=3)
        assert hits[0].event_id == letters[0].event_id
        assert len(hits) == 3
        stub.down = True
        for mode in ("semantic", "hybrid"):
            with pytest.raises(MeaningUnavailable):
                await engine.search("aaab", mode=mode, where=EVERYTHING, limit=3)  # type: ignore[arg-type]
        with pytest.raises(SearchUnavailable):
            await engine.upsert([make("late")])
        hits = await engine.search("aaab", mode="text", where=EVERYTHING, limit=3)
        assert [hit.event_id for hit in hits] == [letters[0].event_id]
        stub.down = False
        await engine.upsert([make("late")])
        assert await engine.count() == 4
    finally:
        await engine.close()


async def test_another_model_asks_for_a_reindex(stub: Stub, tmp_path: Path, make: Callable[..., Document]) -> None:
    first = EdgeSearch(tmp_path, embedder=HttpEmbedder(stub.url, "small"))
    await first.upsert([make("abc")])
    await first.close()
    stub.down = True  # The size stands in the index: its words can be searched though nobody makes vectors.
    second = EdgeSearch(tmp_path, embedder=HttpEmbedder(stub.url, "small"))
    assert len(await second.search("abc", mode="text", where=EVERYTHING, limit=3)) == 1
    await second.close()
    stub.down = False
    other = EdgeSearch(tmp_path, embedder=HttpEmbedder(stub.url, "large"))
    try:
        with pytest.raises(IndexRefused, match=r"'openai/small'.*'openai/large'.*vectadb reindex"):
            await other.start()
        await other.renew()
        await other.upsert([make("abc")])
        assert await other.count() == 1
    finally:
        await other.close()


async def test_a_new_index_waits_for_an_embedder_that_has_never_answered(
    stub: Stub, tmp_path: Path, make: Callable[..., Document]
) -> None:
    stub.down = True
    engine = EdgeSearch(tmp_path, embedder=HttpEmbedder(stub.url, "small"))
    try:
        with pytest.raises(IndexRefused, match="size of its vectors is not known"):
            await engine.start()
        stub.down = False
        async with asyncio.timeout(60):
            while True:
                try:
                    await engine.upsert([make("abc")])
                    break
                except SearchUnavailable:
                    await asyncio.sleep(0.05)
        assert await engine.count() == 1
    finally:
        await engine.close()
