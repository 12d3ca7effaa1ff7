"""Vectors of meaning from any endpoint that speaks OpenAI's embeddings API, over HTTP."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import struct
import time
from typing import TYPE_CHECKING

import httpx
import msgspec

from vectadb_server import tracing
from vectadb_server.stores.base import MeaningUnavailable
from vectadb_server.words import clip

if TYPE_CHECKING:
    from collections.abc import Sequence

_log = logging.getLogger(__name__)

HEAD, TAIL = 6_000, 2_000
"""Characters sent of a text: below the 8,192 tokens that such models take."""

_TOGETHER, _TOGETHER_CHARS = 64, 60_000  # texts and characters in one request
_AT_ONCE = 4  # requests in flight
_TRIES = 5  # of a request that writes; a search tries once
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 16.0  # seconds between tries: doubled each time, then drawn from [0, that]
_LONGEST_WISH = 120.0  # seconds: a Retry-After beyond it is cut
_PATIENCE = 5.0  # seconds that a search waits for its vector
_TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_REFUSES_TEXT = frozenset({400, 413, 422})


class _Vector(msgspec.Struct):
    embedding: list[float]
    index: int


class _Vectors(msgspec.Struct):
    data: list[_Vector]


_decode = msgspec.json.Decoder(_Vectors).decode


class _Refused(Exception):
    """The endpoint does not take the request as it is."""


class _Later(Exception):
    """The endpoint does not answer now. ``wait``: seconds that it asks for."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.wait = wait


class HttpEmbedder:
    """Asks ``{url}/embeddings``; for one event loop. A vector is float32, little-endian, as bytes; empty: none.

    While the endpoint asks for patience (``Retry-After``), no request is sent.
    """

    def __init__(self, url: str, model: str, *, key: str | None = None, size: int | None = None) -> None:
        """Take the base ``url`` (``https://api.openai.com/v1``), and the ``size`` of vectors to ask for, if any."""
        self._url, self._model, self._asked = url.rstrip("/") + "/embeddings", model, size
        self._size = size or 0
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.AsyncClient(headers=headers, timeout=httpx.Timeout(60.0, connect=5.0), trust_env=False)
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._not_before = 0.0

    @property
    def name(self) -> str:
        """Names the model; an index remembers it."""
        return f"openai/{self._model}"

    async def size(self) -> int:
        """Return how many numbers a vector has; the first time, where it is not set, the endpoint is asked.

        Raises:
            MeaningUnavailable: it does not answer, or not with vectors.
        """
        if not self._size:
            await self.embed(["size"], patient=False)
        return self._size

    async def embed(self, texts: Sequence[str], *, patient: bool = True) -> list[bytes]:
        """Return the vector of each text; empty: it is blank, or the endpoint refuses it though it takes others.

        ``patient``: try again for about half a minute; else once, for a few seconds.

        Raises:
            MeaningUnavailable: the endpoint does not answer, or not with vectors; the text says why and what to do.
        """
        clipped = [clip(text, HEAD, TAIL).encode("utf-8", "replace").decode() for text in texts]
        found: list[bytes] = [b""] * len(clipped)
        tries = _TRIES if patient else 1
        tasks = [asyncio.create_task(self._fill(found, clipped, part, tries)) for part in _parts(clipped)]
        try:
            async with asyncio.timeout(None if patient else _PATIENCE):
                await asyncio.gather(*tasks)
        except TimeoutError:
            raise MeaningUnavailable(self._said(f"no answer for {_PATIENCE:g} s")) from None
        finally:
            for task in tasks:
                task.cancel()
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _fill(self, found: list[bytes], texts: list[str], part: list[int], tries: int) -> None:
        """Put the vectors of the texts at the positions ``part`` into ``found``."""
        try:
            vectors = await self._tried([texts[at] for at in part], tries)
        except _Refused as error:
            if len(part) > 1:  # One text that it cannot take must not keep the others from being found.
                await self._fill(found, texts, part[: len(part) // 2], tries)
                await self._fill(found, texts, part[len(part) // 2 :], tries)
                return
            try:
                await self._tried(["hello"], tries)
            except _Refused:
                raise MeaningUnavailable(self._said(error)) from None
            _log.warning("a text has no vector, and is found by its words only: %s", error)
            return
        for at, vector in zip(part, vectors, strict=True):
            found[at] = vector

    async def _tried(self, texts: list[str], tries: int) -> list[bytes]:
        pause = _FIRST_PAUSE
        for left in range(tries - 1, -1, -1):
            wait = self._not_before - time.monotonic()
            if wait > 0:
                if tries == 1:
                    raise MeaningUnavailable(f"{self._url} asks to wait for {wait:.0f} s more")
                await asyncio.sleep(wait)
            try:
                async with self._slots:
                    return await self._ask(texts)
            except _Later as error:
                if error.wait is not None:
                    self._not_before = time.monotonic() + min(error.wait, _LONGEST_WISH)
                if not left:
                    raise MeaningUnavailable(self._said(error)) from None
                if error.wait is None:
                    await asyncio.sleep(random.uniform(0, pause))
                    pause = min(2 * pause, _LONGEST_PAUSE)
        raise AssertionError("unreachable")

    async def _ask(self, texts: list[str]) -> list[bytes]:
        body: dict[str, object] = {"model": self._model, "input": texts, "encoding_format": "float"}
        if self._asked:
            body["dimensions"] = self._asked
        said: dict[str, tracing.Attribute] = {
            "gen_ai.operation.name": "embeddings",
            "gen_ai.request.model": self._model,
            "server.address": httpx.URL(self._url).host,
            "vectadb.texts": len(texts),
        }
        try:
            with tracing.span(f"embeddings {self._model}", said, kind="client") as span:
                reply = await self._client.post(self._url, json=body)
                span.set_attribute("http.response.status_code", reply.status_code)
                if reply.status_code != 200:
                    tracing.failed(span, str(reply.status_code))
        except httpx.HTTPError as error:
            raise _Later(f"{type(error).__name__} {error}".strip()) from None
        if reply.status_code in _TRANSIENT:
            raise _Later(_words_of(reply), _wish(reply))
        if reply.status_code in _REFUSES_TEXT:
            raise _Refused(_words_of(reply))
        if reply.status_code != 200:
            raise MeaningUnavailable(self._said(_words_of(reply)))
        try:
            data = sorted(_decode(reply.content).data, key=lambda each: each.index)
        except msgspec.DecodeError as error:
            raise MeaningUnavailable(self._said(f"its reply holds no vectors: {error}")) from None
        return [self._packed(each.embedding) for each in self._complete(data, len(texts))]

    def _complete(self, data: list[_Vector], expected: int) -> list[_Vector]:
        if [each.index for each in data] != list(range(expected)):
            raise MeaningUnavailable(self._said(f"it answers {expected} texts with {len(data)} vectors"))
        return data

    def _packed(self, vector: list[float]) -> bytes:
        self._size = self._size or len(vector)
        if len(vector) != self._size:
            raise MeaningUnavailable(
                self._said(f"its vectors have {len(vector)} numbers, the index's {self._size}; is it another model?")
            )
        if not all(map(math.isfinite, vector)):
            raise MeaningUnavailable(self._said("a vector holds a number that is none"))
        return struct.pack(f"<{len(vector)}f", *vector) if any(vector) else b""

    def _said(self, what: object) -> str:
        return (
            f"the embedder at {self._url} (model {self._model}) does not give vectors: {what}. "
            "Next: see that it runs, and check embedder_url, embedder_model and embedder_api_key"
        )


def _parts(texts: Sequence[str]) -> list[list[int]]:
    """Positions of the texts that go together into one request; blank ones go into none."""
    parts: list[list[int]] = []
    chars = 0
    for at, text in enumerate(texts):
        if not text.strip():
            continue
        if not parts or len(parts[-1]) >= _TOGETHER or chars + len(text) > _TOGETHER_CHARS:
            parts.append([])
            chars = 0
        parts[-1].append(at)
        chars += len(text)
    return parts


def _wish(reply: httpx.Response) -> float | None:
    """Seconds that the endpoint asks to wait."""
    try:
        return max(0.0, float(reply.headers["retry-after"]))
    except (KeyError, ValueError):
        return None


def _words_of(reply: httpx.Response) -> str:
    return f"HTTP {reply.status_code} {reply.text[:300]}".strip()
