"""Search: how fast, how near to an exhaustive search, and in how much memory.

The number of documents is ``SEARCH_DOCUMENTS`` in the environment, by default 100,000 (at least 50,000), spread over
four days: a search within one of them is over a quarter. What should be found is worked out here, with numpy, over the
same texts: exact cosines, exact BM25 and the fusion of both ranks.
"""

from __future__ import annotations

import asyncio
import json
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.processes import BenchmarkFailed
from benchmarks.search_corpus import DAY, MIDNIGHT, documents, queries
from benchmarks.table import Row, percentile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_server.stores.base import SearchFilter
    from vectadb_server.stores.edge import EdgeSearch

DAYS = 4
QUERIES = 100
TOGETHER = 2_048
BEST, FUSED, RRF_K = 10, 100, 60
SEALED_WITHIN = 3_600.0
WANTED_MS = {"all": 250.0, "quarter": 100.0}


def search() -> list[Row]:
    """Latency and recall of hybrid search over all and within a quarter, and the memory of the search process."""
    return asyncio.run(_search(int(os.environ.get("SEARCH_DOCUMENTS", "100000"))))


async def _search(number: int) -> list[Row]:
    from vectadb_server.stores.base import SearchFilter
    from vectadb_server.stores.edge import EdgeSearch

    exact = Exact(queries(QUERIES), number)
    with tempfile.TemporaryDirectory(prefix="vectadb-benchmark-") as name:
        engine = EdgeSearch(Path(name))
        try:
            began = time.monotonic()
            part = []
            for document in documents(number, DAYS):
                part.append(document)
                if len(part) == TOGETHER:
                    exact.add(part)
                    await engine.upsert(part)
                    part = []
            exact.add(part)
            await engine.upsert(part)
            written = number / (time.monotonic() - began)
            loaded = _anonymous(engine)
            await asyncio.to_thread(_wait_sealed, Path(name) / "search")
            rows = [
                Row(name="search-written", what="search: documents indexed (and by the exhaustive search)",
                    measured=written, unit="documents/s", note=f"{number:,} documents"),
                Row(name="search-memory", what="search: anonymous memory of its process, at rest", unit="MB",
                    measured=_anonymous(engine), wanted=800.0, at_least=False,
                    note=f"{number:,} documents; {loaded:,.0f} MB right after they were written"),
            ]  # fmt: skip
            quarter = SearchFilter(since=MIDNIGHT + DAY, until=MIDNIGHT + 2 * DAY)
            for where, filters in (("all", SearchFilter()), ("quarter", quarter)):
                rows += await _asked(engine, exact, where, filters, number)
            return rows
        finally:
            await engine.close()


async def _asked(engine: EdgeSearch, exact: Exact, where: str, filters: SearchFilter, number: int) -> list[Row]:
    spent, recalls = [], []
    for query in exact.queries[:10]:
        await engine.search(query, mode="hybrid", where=filters, limit=BEST)
    for at, query in enumerate(exact.queries):
        began = time.perf_counter()
        hits = await engine.search(query, mode="hybrid", where=filters, limit=BEST)
        spent.append((time.perf_counter() - began) * 1000)
        recalls.append(exact.recall(at, [hit.event_id for hit in hits], filters))
    over = f"over all {number:,}" if where == "all" else f"within {number // DAYS:,} of {number:,}"
    return [
        Row(name=f"search-{where}", what=f"search: hybrid, {over}, p95", measured=percentile(spent, 0.95), unit="ms",
            wanted=WANTED_MS[where], at_least=False, note=f"p50 {percentile(spent, 0.5):.1f} ms; {QUERIES} queries"),
        Row(name=f"search-recall-{where}", what=f"search: best ten {over}, share of the exhaustive search's",
            measured=sum(recalls) / len(recalls), unit="", wanted=0.95, note="exact cosine, exact BM25, ranks fused"),
    ]  # fmt: skip


class Exact:
    """An exhaustive search, which knows its queries beforehand and keeps of the words only theirs."""

    def __init__(self, asked: list[str], number: int) -> None:
        import numpy as np

        from vectadb_server.embedding import WordLlama
        from vectadb_server.words import sparse_query

        self.queries = asked
        self._model = WordLlama()
        self._asked = np.array(self._model.embed(asked), np.float32)
        self._words = [sparse_query(query) for query in asked]
        self._wanted = {word for words in self._words for word in words}
        self._postings: dict[int, list[tuple[int, float]]] = defaultdict(list)
        self._vectors = np.zeros((number, self._model.size), np.float32)
        self._times = np.zeros(number, np.int64)
        self._places: dict[str, int] = {}

    def add(self, part: Sequence[Any]) -> None:
        """Take documents."""
        from vectadb_server.words import sparse

        start = len(self._places)
        if part:
            self._vectors[start : start + len(part)] = self._model.embed([document.text for document in part])
        for at, document in enumerate(part, start=start):
            self._places[document.event_id] = at
            self._times[at] = document.us
            for word, weight in zip(*sparse(document.text), strict=True):
                if word in self._wanted:
                    self._postings[word].append((at, weight))

    def recall(self, query: int, found: list[str], where: SearchFilter) -> float:
        """Which share of the best ten was found; what scores as much as the tenth is as good."""
        import numpy as np

        inside = np.ones(len(self._times), bool)
        if where.since is not None and where.until is not None:
            inside = (self._times >= where.since) & (self._times < where.until)
        cosines = np.where(inside, self._vectors @ self._asked[query], -2.0)
        scores = np.zeros(len(self._times))
        total = int(inside.sum())
        for word in self._words[query]:
            held = [(at, weight) for at, weight in self._postings[word] if inside[at]]
            rarity = np.log((total - len(held) + 0.5) / (len(held) + 0.5) + 1)
            for at, weight in held:
                scores[at] += rarity * weight
        fused: dict[int, float] = defaultdict(float)
        for ranking in (cosines, scores):
            top = np.argsort(-ranking, kind="stable")[:FUSED]
            for rank, at in enumerate(top, start=1):
                if ranking[at] > 0:
                    fused[int(at)] += 1 / (RRF_K + rank)
        tenth = sorted(fused.values(), reverse=True)[:BEST][-1]
        return sum(fused.get(self._places[event_id], 0.0) >= tenth - 1e-9 for event_id in found) / BEST


def _wait_sealed(folder: Path) -> None:
    """Wait until the index has put its documents into files, as it does once nobody writes."""
    end = time.monotonic() + SEALED_WITHIN
    while any(json.loads(path.read_bytes())["documents"] is None for path in folder.glob("*/bounds.json")):
        if time.monotonic() > end:
            raise BenchmarkFailed(f"the index has not come to rest within {SEALED_WITHIN:g} s")
        time.sleep(0.5)


def _anonymous(engine: EdgeSearch) -> float:
    """MB that the search process has for itself."""
    pid = engine.health()["pid"]
    if pid is None:
        raise BenchmarkFailed("the search process is gone")
    status = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(status.split("RssAnon:")[1].split()[0]) / 1024
