"""The search index as the search process has it: a directory of shards, and the search over all of them."""

from __future__ import annotations

import math
import re
import shutil
import time
from typing import TYPE_CHECKING

import msgspec

from vectadb_server.stores.base import Document, Hit, Mode, SearchFilter
from vectadb_server.stores.edge_shards import IndexUnusable, Shard, Words, point_id, save
from vectadb_server.words import sparse_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from vectadb_server.embedding import Embedder

FORMAT = 1  # of the directory; raised when older indexes cannot be read any more

_RRF_K = 60  # Reciprocal Rank Fusion: 1 / (k + rank), as the paper has it
_FUSED = 100  # fewest candidates of each kind that hybrid search fuses

_OPEN = 32  # shards left open: each maps 70 MB of the engine's log (reclaimable), and takes 90 ms to open again
_IDLE = 600.0  # seconds after which a shard that nobody asks is closed
_SETTLED = 5.0  # seconds without writes after which a shard is flushed, and swept if it needs it
_UNFLUSHED = 20_000  # updates after which it is flushed even under load: the log to replay after a crash stays short

_DAY = re.compile(r"\d{4}-\d\d-\d\d")


class Meta(msgspec.Struct):
    """What an index was made with. ``generation`` is when, in microseconds: another index has another one."""

    format: int
    embedder: str
    size: int
    generation: int


class Index:
    """All shards. ``documents`` counts what is in them. Not for several threads."""

    def __init__(self, folder: Path, embedder: Embedder) -> None:
        """Open the index in ``folder``, or make an empty one.

        Raises:
            IndexUnusable: the index was made with another embedder or by another version, or is damaged.
        """
        self._folder, self._embedder = folder, embedder
        folder.mkdir(parents=True, exist_ok=True)
        self.generation = self._check()
        for left in folder.glob("dropped-*"):
            shutil.rmtree(left)
        self.shards = {path.name: self._shard(path.name) for path in folder.iterdir() if _DAY.fullmatch(path.name)}
        self.documents = sum(shard.documents for shard in self.shards.values())

    def upsert(self, documents: Sequence[Document]) -> None:
        """Index documents, replacing those of the same id. They survive the process once this returns."""
        days: dict[str, dict[str, Document]] = {}
        for document in documents:
            days.setdefault(document.day, {})[point_id(document.event_id)] = document
        for day, named in days.items():
            if day not in self.shards:
                self.shards[day] = self._shard(day)
            shard = self.shards[day]
            before = shard.documents
            shard.upsert(named, self._embedder.embed([document.text for document in named.values()]))
            self.documents += shard.documents - before

    def delete(self, day: str, event_ids: Sequence[str]) -> None:
        """Remove documents of one day; unknown ones are ignored."""
        shard = self.shards.get(day)
        if shard is not None:
            before = shard.documents
            shard.delete([point_id(event_id) for event_id in event_ids])
            self.documents += shard.documents - before

    def drop(self, day: str) -> None:
        """Remove a whole day."""
        shard = self.shards.pop(day)
        self.documents -= shard.documents
        shard.remove()

    def search(self, query: str, mode: Mode, where: SearchFilter, limit: int) -> list[Hit]:
        """Return the best ``limit`` documents, best first.

        ``semantic`` scores are cosines, ``text`` scores BM25 over all shards that are searched, ``hybrid`` scores fused
        ranks.
        """
        shards = [shard for shard in self.shards.values() if shard.may_hold(where)]
        depth = max(_FUSED, 2 * limit) if mode == "hybrid" else limit
        rankings = []
        if mode != "text":
            vector = self._embedder.embed([query])[0]
            if any(vector):
                rankings.append(_rank((shard, shard.nearest(vector, where, depth)) for shard in shards))
        if mode != "semantic":
            words = sparse_query(query)
            if words:
                weighed = zip(shards, weigh(shards, words), strict=True)
                rankings.append(_rank((shard, shard.nearest(query, where, depth)) for shard, query in weighed))
        hits = (
            fuse([ranking[:depth] for ranking in rankings])
            if mode == "hybrid"
            else [hit for ranking in rankings for hit in ranking]
        )
        return [Hit(self.shards[hit.day].event_id(hit.event_id), hit.day, hit.score) for hit in hits[:limit]]

    def maintain(self, *, quiet: bool) -> bool:
        """Do one piece of housekeeping, if one is due; ``quiet``: nobody waits. Returns whether something was done."""
        now = time.monotonic()
        opened = sorted((shard for shard in self.shards.values() if shard.is_open), key=lambda shard: shard.used)
        for shard in opened:
            settled = quiet and now - shard.wrote > _SETTLED
            if shard.unflushed >= _UNFLUSHED or (settled and shard.unflushed):
                shard.flush()
            elif settled and shard.wants_sweep:
                shard.sweep()
            elif quiet and now - shard.used > _IDLE:
                shard.close()
            else:
                continue
            return True
        if len(opened) > _OPEN:
            opened[0].close()
            return True
        return False

    def close(self) -> None:
        """Flush and close every shard."""
        for shard in self.shards.values():
            shard.close()

    def _shard(self, day: str) -> Shard:
        return Shard(self._folder / day, self._embedder.size)

    def _check(self) -> int:
        path = self._folder / "meta.json"
        ours = Meta(FORMAT, self._embedder.name, self._embedder.size, time.time_ns() // 1000)
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Meta)
        except FileNotFoundError:
            for left in self._folder.iterdir():  # of an index that was being erased
                if _DAY.fullmatch(left.name):
                    shutil.rmtree(left)
            save(path, ours)
            return ours.generation
        except msgspec.MsgspecError as error:
            raise IndexUnusable(f"{path}: not readable ({error}). Next: run `vectadb reindex`") from error
        if (found.format, found.embedder, found.size) != (ours.format, ours.embedder, ours.size):
            raise IndexUnusable(
                f"{path}: the index was made with embedder {found.embedder!r} ({found.size} numbers, format "
                f"{found.format}); this server has {ours.embedder!r} ({ours.size} numbers, format {ours.format}). "
                f"Next: run `vectadb reindex`, or configure the former embedder"
            )
        return found.generation


def weigh(shards: Sequence[Shard], words: list[int]) -> list[Words]:
    """Return the sparse query for each shard.

    The engine weighs a word by how rare it is within the one shard, which would rank the few documents of a young day
    below weak matches of full days. The weights given here turn that into how rare it is in all of them.
    """
    if len(shards) == 1:
        return [(words, [1.0] * len(words))]
    sizes = [shard.documents for shard in shards]
    rarities = [shard.rarities(words) for shard in shards]
    holding = dict.fromkeys(words, 0.0)  # documents with the word; the engine's idf is ln((n + 1) / (holding + 0.5))
    for size, rarity in zip(sizes, rarities, strict=True):
        for word, idf in rarity.items():
            holding[word] += max(1.0, (size + 1) / math.exp(idf) - 0.5)
    total = sum(sizes)
    overall = {word: math.log((total + 1) / (min(n, total) + 0.5)) for word, n in holding.items()}
    return [
        (list(rarity), [overall[word] / idf for word, idf in rarity.items()]) if rarity else (words, [0.0] * len(words))
        for rarity in rarities
    ]


def fuse(rankings: Sequence[Sequence[Hit]]) -> list[Hit]:
    """Reciprocal Rank Fusion: what stands high in several rankings comes first."""
    fused: dict[tuple[str, str], Hit] = {}
    for hits in rankings:
        for rank, hit in enumerate(hits, start=1):
            fused.setdefault((hit.day, hit.event_id), Hit(hit.event_id, hit.day, 0.0)).score += 1 / (_RRF_K + rank)
    return sorted(fused.values(), key=_order)


def _rank(found: Iterable[tuple[Shard, list[tuple[float, str]]]]) -> list[Hit]:
    """The hits of all shards, best first."""
    return sorted((Hit(point, shard.day, score) for shard, hits in found for score, point in hits), key=_order)


def _order(hit: Hit) -> tuple[float, str]:
    return -hit.score, hit.event_id
