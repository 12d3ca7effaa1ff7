"""The search index as the search process has it: a directory of shards, and the search over all of them."""

from __future__ import annotations

import math
import re
import shutil
import time
from typing import TYPE_CHECKING

import msgspec

from vectadb_server.stores.base import Document, Hit, Mode, SearchFilter
from vectadb_server.stores.edge_shards import IndexUnusable, Sealing, Shard, Words, save
from vectadb_server.stores.framing import BUCKETS, bucket_of, numbers
from vectadb_server.stores.points import point_id
from vectadb_server.words import sparse_query

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path

    from vectadb_server.embedding import Embedder
    from vectadb_server.stores.space import Space

FORMAT = 2  # of the directory; raised when older indexes cannot be read any more

RRF_K = 60  # Reciprocal Rank Fusion: 1 / (k + rank), as the paper has it
FUSED = 100  # fewest candidates of each kind that hybrid search fuses

_OPEN = 32  # shards left open: each maps 70 MB of the engine's log (reclaimable), and takes 90 ms to open again
_IDLE = 600.0  # seconds after which a shard that nobody asks is closed
_SETTLED = 5.0  # seconds without writes after which a shard is flushed, and swept if it needs it
_UNFLUSHED = 20_000  # updates after which it is flushed even under load: the log to replay after a crash stays short

_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_NEW = "building-"  # before the day, in the name of a shard that is not whole yet


class Meta(msgspec.Struct):
    """What an index was made with. ``generation`` is when, in microseconds: another index has another one."""

    format: int
    embedder: str
    size: int
    generation: int


class Index:
    """All shards. ``documents`` counts what is in them. Not for several threads.

    A day that is made anew has a second shard in ``building``, which is written beside the one that answers searches.
    """

    def __init__(self, folder: Path, embedder: Embedder, space: Space | None = None) -> None:
        """Open the index in ``folder``, or make an empty one; it is written while ``space`` has room for it.

        Raises:
            IndexUnusable: the index was made with another embedder or by another version, or is damaged.
        """
        self._folder, self._embedder, self._space = folder, embedder, space
        self._sealing: Sealing | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.generation = self._check()
        for left in folder.glob("dropped-*"):
            shutil.rmtree(left)
        self.shards = {path.name: self._shard(path.name) for path in folder.iterdir() if _DAY.fullmatch(path.name)}
        self.building = {
            path.name.removeprefix(_NEW): self._shard(path.name)
            for path in folder.glob(f"{_NEW}*")
            if _DAY.fullmatch(path.name.removeprefix(_NEW))
        }
        self.documents = sum(shard.documents for shard in self.shards.values())

    def upsert(self, documents: Sequence[Document], vectors: Sequence[bytes] | None = None) -> None:
        """Index documents, replacing those of the same id. They survive the process once this returns.

        ``vectors``: theirs; ``None``: they are made here.

        Raises:
            StoreFull: there is too little room on the disk.
        """
        self._check_space()
        made = vectors_of(documents, vectors, self._embedder)
        days: dict[str, dict[str, tuple[Document, list[float]]]] = {}
        for document, vector in zip(documents, made, strict=True):
            days.setdefault(document.day, {})[point_id(document.event_id)] = (document, vector)
        for day, named in days.items():
            if day not in self.shards:
                self.shards[day] = self._shard(day)
            shard = self.shards[day]
            before = shard.documents
            shard.upsert(named)
            self.documents += shard.documents - before
            if day in self.building:
                self.building[day].upsert(named)

    def delete(self, day: str, event_ids: Sequence[str]) -> None:
        """Remove documents of one day; unknown ones are ignored.

        Raises:
            StoreFull: there is too little room on the disk.
        """
        self._check_space()
        points = [point_id(event_id) for event_id in event_ids]
        shard = self.shards.get(day)
        if shard is not None:
            before = shard.documents
            shard.delete(points)
            self.documents += shard.documents - before
        if day in self.building:
            self.building[day].delete(points)

    def begin(self, day: str) -> bool:
        """Make a day anew beside what is there of it, or go on with that; return whether nothing of it is made yet.

        What is there answers searches until :meth:`finish`; if it cannot be opened, it is removed.
        """
        try:
            if day in self.shards:
                self.shards[day].open()
        except IndexUnusable:
            self.shards.pop(day).remove()
        if day in self.building:
            return False
        self._check_space()
        self.building[day] = self._shard(_NEW + day)
        self.building[day].open()
        return True

    def finish(self, day: str) -> None:
        """Put the day that was made anew in its place; again, and of one that was not, it does nothing."""
        new = self.building.pop(day, None)
        if new is None:
            return
        new.close()
        if day in self.shards:
            self.drop(day)
        self._folder.joinpath(_NEW + day).rename(self._folder / day)
        self.shards[day] = self._shard(day)
        self.documents += self.shards[day].documents

    def survey(self, day: str) -> Generator[None, None, list[tuple[int, int]]]:
        """Return how many documents each bucket of the day has, and the sum of their marks; in many steps."""
        buckets = [[0, 0] for _ in range(BUCKETS)]
        if day in self.shards:
            for found in self.shards[day].marks():
                for event_id, mark in found:
                    bucket = buckets[bucket_of(event_id)]
                    bucket[0] += 1
                    bucket[1] += mark
                yield
        return [(count, total % 2**128) for count, total in buckets]

    def listing(self, day: str, buckets: Sequence[int]) -> Generator[None, None, dict[str, int]]:
        """Return the mark of each document in these buckets of the day, by event id; in many steps."""
        asked, listed = set(buckets), dict[str, int]()
        if day in self.shards:
            for found in self.shards[day].marks():
                listed.update((event_id, mark) for event_id, mark in found if bucket_of(event_id) in asked)
                yield
        return listed

    def drop(self, day: str) -> None:
        """Remove a whole day."""
        shard = self.shards.pop(day)
        self.documents -= shard.documents
        shard.remove()

    @property
    def day_count(self) -> int:
        """Days that have documents."""
        return len(self.shards)

    def days(self) -> list[str]:
        """Return the days that have documents, ascending."""
        return sorted(self.shards)

    def count(self) -> int:
        """Return the number of documents."""
        return self.documents

    def search(self, query: str, mode: Mode, where: SearchFilter, limit: int, vector: bytes | None = None) -> list[Hit]:
        """Return the best ``limit`` documents, best first. ``vector``: the query's; ``None``: it is made here.

        ``semantic`` scores are cosines, ``text`` scores BM25 over all shards that are searched, ``hybrid`` scores fused
        ranks.
        """
        shards = [shard for shard in self.shards.values() if shard.may_hold(where)]
        depth = max(FUSED, 2 * limit) if mode == "hybrid" else limit
        rankings = []
        if mode != "text":
            dense = vector_of(query, vector, self._embedder)
            if any(dense):
                rankings.append(_rank((shard, shard.nearest(dense, where, depth)) for shard in shards))
        if mode != "semantic":
            words = sparse_query(query, about=mode == "hybrid")
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
        if self._space is not None and self._space.free() < self._space.least:
            return False  # The engine writes through memory maps: on a full disk that kills the process.
        if self._sealing is not None and self._sealing.end():
            self._sealing = None
            return True
        busy = self._sealing.shard if self._sealing is not None else None
        now = time.monotonic()
        shards = [*self.shards.values(), *self.building.values()]
        opened = sorted((shard for shard in shards if shard.is_open), key=lambda shard: shard.used)
        for shard in opened:
            settled = quiet and now - shard.wrote > _SETTLED
            if shard.unflushed >= _UNFLUSHED or (settled and shard.unflushed):
                shard.flush()
            elif shard is busy:
                continue
            elif settled and shard.wants_sweep:
                shard.sweep()
            elif now - shard.wrote > _SETTLED and self._can_seal(shard):
                self._sealing = shard.seal()
            elif quiet and now - shard.used > _IDLE:
                shard.close()
            else:
                continue
            return True
        if len(opened) > _OPEN and opened[0] is not busy:
            opened[0].close()
            return True
        return False

    def _can_seal(self, shard: Shard) -> bool:
        """Whether it is due, and nothing else is being sealed; the copy must have room on the disk."""
        if self._sealing is not None or shard.unflushed or not shard.wants_seal:
            return False
        return self._space is None or self._space.free() > self._space.least + 2 * shard.bytes_on_disk

    def close(self) -> None:
        """Flush and close every shard; on a full disk leave that to the next start, which reads the engine's log."""
        if self._sealing is not None:
            self._sealing.stop()
            self._sealing = None
        if self._space is not None and self._space.free() < self._space.least:
            return
        for shard in (*self.shards.values(), *self.building.values()):
            shard.close()

    def _check_space(self) -> None:
        if self._space is not None:
            self._space.check()

    def _shard(self, day: str) -> Shard:
        return Shard(self._folder / day, self._embedder.size)

    def _check(self) -> int:
        path = self._folder / "meta.json"
        ours = Meta(FORMAT, self._embedder.name, self._embedder.size, time.time_ns() // 1000)
        try:
            found = msgspec.json.decode(path.read_bytes(), type=Meta)
        except FileNotFoundError:
            for left in self._folder.iterdir():  # of an index that was being erased
                if _DAY.fullmatch(left.name.removeprefix(_NEW)):
                    shutil.rmtree(left)
            if not ours.size:
                raise IndexUnusable(
                    f"{path.parent}: the embedder {ours.embedder!r} has not answered yet, so that the size of its "
                    f"vectors is not known. Next: see that it runs, or set embedder_dimensions"
                ) from None
            save(path, ours)
            return ours.generation
        except msgspec.MsgspecError as error:
            raise IndexUnusable(f"{path}: not readable ({error}). Next: run `vectadb reindex`") from error
        if not ours.size:  # It does not answer now. What it made is searched by words meanwhile.
            self._embedder.size = ours.size = found.size
        if (found.format, found.embedder, found.size) != (ours.format, ours.embedder, ours.size):
            raise IndexUnusable(
                f"{path}: the index was made with embedder {found.embedder!r} ({found.size} numbers, format "
                f"{found.format}); this server has {ours.embedder!r} ({ours.size} numbers, format {ours.format}). "
                f"Next: run `vectadb reindex`, or configure the former embedder"
            )
        return found.generation


def vectors_of(documents: Sequence[Document], vectors: Sequence[bytes] | None, embedder: Embedder) -> list[list[float]]:
    """Return the vectors of documents: those that came with them, else the embedder's."""
    if vectors is None:
        return embedder.embed([document.meaning for document in documents])
    return [numbers(vector, embedder.size) for vector in vectors]


def vector_of(query: str, vector: bytes | None, embedder: Embedder) -> list[float]:
    """Return the vector of a query: the one that came with it, else the embedder's."""
    return embedder.embed([query])[0] if vector is None else numbers(vector, embedder.size)


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
            fused.setdefault((hit.day, hit.event_id), Hit(hit.event_id, hit.day, 0.0)).score += 1 / (RRF_K + rank)
    return sorted(fused.values(), key=_order)


def _rank(found: Iterable[tuple[Shard, list[tuple[float, str]]]]) -> list[Hit]:
    """The hits of all shards, best first."""
    return sorted((Hit(point, shard.day, score) for shard, hits in found for score, point in hits), key=_order)


def _order(hit: Hit) -> tuple[float, str]:
    return -hit.score, hit.event_id
