"""One day of the search index: a Qdrant Edge shard on disk. The only module that knows the engine.

``<day>/engine`` is the shard; ``<day>/bounds.json`` is what must be known of it without opening it. The engine logs
every update ahead, so that killing the process loses none.

Words and filters of what is written lie in memory, 1.1 KB a document, until it is *sealed*: put into files that are
only mapped (0.14 KB a document). That takes 0.1 ms of a core a document, in one piece: a process of its own does it on
a copy of a shard that nobody writes any more, which then takes the shard's place (:mod:`.edge_seal`).
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import qdrant_edge as qe

from vectadb_server.stores.memory import give_back
from vectadb_server.stores.points import EXACT, KEYWORDS, marked, payload
from vectadb_server.words import sparse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vectadb_server.stores.base import Document, SearchFilter

_SCROLL = 1_000  # documents read at once
_HOUR = 3_600_000_000  # microseconds
_DEAD, _DEAD_SHARE = 10_000, 0.3  # a shard with this many overwritten documents, and this share, is worth a sweep


_FRESH, _FRESH_SHARE = 10_000, 0.1  # a shard with this many unsealed documents, and this share, is worth sealing
_SEALED, _FORMER = "sealed-", "former"  # the copy that is to take a shard's place, and what stood there

_WORDS = {"words": qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf, memory=qe.Memory.Cached)}
#: The shard itself is never sealed, only swept.
_VACUUM = qe.EdgeOptimizersConfig(indexing_threshold=10**9, default_segment_number=1)

#: Folders of the engine's that are most of a shard and that opening it leaves alone.
_NOT_LOOKED_AT = frozenset({"wal", "payload_storage", "vector_storage-words"})
_AT_ONCE = 2**20  # bytes

Words = tuple[list[int], list[float]]
"""A sparse query: hashed words and the weight of each."""


class IndexUnusable(Exception):
    """The directory holds no index that this process can use. The text says what to do."""


class Bounds(msgspec.Struct):
    """A shard from outside. ``documents`` is ``None`` while it is being written and after a crash.

    ``dead``: documents that were overwritten or deleted since the last sweep; ``fresh``: written since it was sealed.
    """

    low: int | None = None
    high: int | None = None
    documents: int | None = 0
    dead: int = 0
    fresh: int = 0


class Shard:
    """The documents of one day. Opened and made when first needed."""

    def __init__(self, folder: Path, size: int) -> None:
        """Look at the shard in ``folder``, if there is one; ``size`` of its dense vectors."""
        self.day = folder.name
        self.used = self.wrote = time.monotonic()
        self.unflushed = 0
        self._folder, self._size = folder, size
        self._file = folder / "bounds.json"
        self._open: qe.EdgeShard | None = None
        for left in folder.glob(f"{_SEALED}*"):
            shutil.rmtree(left, ignore_errors=True)
        try:
            self._bounds = msgspec.json.decode(self._file.read_bytes(), type=Bounds)
        except (FileNotFoundError, msgspec.MsgspecError):
            # A crash between two steps, or a stranger's edit: nothing may be left out of a search because of it.
            known = folder.joinpath("engine").exists() or folder.joinpath(_FORMER).exists()
            self._bounds = Bounds(-(2**62), 2**62, None) if known else Bounds()
        if self._bounds.documents is None:
            self._bounds.fresh = 2**62  # Nobody knows: all of it may be.

    @property
    def is_open(self) -> bool:
        """Whether the engine holds the shard in memory."""
        return self._open is not None

    @property
    def documents(self) -> int:
        """How many there are; opens the shard if only that can tell."""
        if self._open is None and self._bounds.documents is not None:
            return self._bounds.documents
        return self._engine().info().points_count

    @property
    def wants_sweep(self) -> bool:
        """Whether overwritten documents are many enough to be worth it."""
        return self.is_open and self._bounds.dead >= max(_DEAD, _DEAD_SHARE * self.documents)

    @property
    def wants_seal(self) -> bool:
        """Whether documents that lie in memory are many enough to be worth it."""
        return self.is_open and self._bounds.fresh >= max(_FRESH, _FRESH_SHARE * self.documents)

    @property
    def bytes_on_disk(self) -> int:
        """What its files take."""
        return sum(path.stat().st_blocks * 512 for path in self._folder.rglob("*") if path.is_file())

    def seal(self) -> Sealing:
        """Begin to seal a copy."""
        copy = self._folder / f"{_SEALED}{time.time_ns()}"  # An orphan of a killed search process has another one.
        command = [sys.executable, "-m", "vectadb_server.stores.edge_seal", str(self._folder / "engine"), str(copy)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
        return Sealing(self, self.wrote, copy, process)

    def replace(self, copy: Path) -> None:
        """Put the sealed copy in the shard's place."""
        assert self._open is not None
        self._open.close()
        self._open = None
        engine, former = self._folder / "engine", self._folder / _FORMER
        engine.rename(former)
        copy.rename(engine)
        shutil.rmtree(former)
        self._bounds = Bounds(self._bounds.low, self._bounds.high, self._engine().info().points_count)
        save(self._file, self._bounds)
        give_back()

    def may_hold(self, where: SearchFilter) -> bool:
        """Whether a document of this shard may lie in the filter's time range."""
        low, high = self._bounds.low, self._bounds.high
        if low is None or high is None:
            return False
        return (where.since is None or high >= where.since) and (where.until is None or low < where.until)

    def open(self) -> None:
        """Open the shard, or make it.

        Raises:
            IndexUnusable: it is damaged.
        """
        self._engine()

    def upsert(self, documents: Mapping[str, tuple[Document, list[float]]]) -> None:
        """Write documents, by point id, with their dense vectors. They survive the process once this returns."""
        points = [_point(point, document, vector) for point, (document, vector) in documents.items()]
        times = [document.us for document, _ in documents.values()]
        # Widened first and in whole hours: a crash leaves the bounds too wide at worst, and they are seldom written.
        self._widen(min(times) // _HOUR * _HOUR, -(-max(times) // _HOUR) * _HOUR)
        self._update(qe.UpdateOperation.upsert_points(points), len(points))

    def delete(self, points: Sequence[str]) -> None:
        """Remove documents; unknown ones are ignored."""
        self._widen(self._bounds.low, self._bounds.high)
        self._update(qe.UpdateOperation.delete_points([*points]), 0)

    def nearest(self, query: list[float] | Words, where: SearchFilter, depth: int) -> list[tuple[float, str]]:
        """Return the best ``depth`` documents by a dense or a sparse vector: score and point id."""
        nearest = (
            qe.Query.Nearest(qe.SparseVector(*query), using="words")
            if isinstance(query, tuple)
            else qe.Query.Nearest(query, using="dense")
        )
        found = self._engine().query(qe.QueryRequest(limit=depth, query=nearest, filter=_condition(where)))
        return [(point.score, str(point.id)) for point in found]

    def rarities(self, words: Sequence[int]) -> dict[int, float]:
        """Return the inverse document frequency, as the engine counts it, of each word that the shard has.

        The engine does not tell it, so it is read off the best document for the word alone: score / weight. 50 us each.
        """
        requests = [
            qe.QueryRequest(
                limit=1, query=qe.Query.Nearest(qe.SparseVector([word], [1.0]), using="words"), with_vector=["words"]
            )
            for word in words
        ]
        rarities: dict[int, float] = {}
        for word, found in zip(words, self._engine().query_batch(qe.QueryBatchRequest(requests)), strict=True):
            if found:
                vector: Any = found[0].vector
                weights = dict(zip(vector["words"].indices, vector["words"].values, strict=True))
                rarities[word] = found[0].score / weights[word]
        return {word: rarity for word, rarity in rarities.items() if rarity > 0}

    def event_id(self, point: str) -> str:
        """Return the event id of a stored document."""
        if point[14] != "8":
            return point
        kept = self._engine().retrieve([point], ["id"], False)[0].payload or {}
        return str(kept["id"])

    def marks(self) -> Iterator[list[tuple[str, int]]]:
        """Go through all documents, a thousand at a time: event id and mark of each (10 ms a step)."""
        offset: Any = None
        while True:
            asked = qe.ScrollRequest(offset=offset, limit=_SCROLL, with_payload=["us", "trace", "id"])
            found, offset = self._engine().scroll(asked)
            yield [marked(str(point.id), point.payload or {}) for point in found]
            if offset is None:
                return

    def flush(self) -> None:
        """Empty the engine's log into its files (50 to 350 ms)."""
        self._engine().flush()
        self.unflushed = 0

    def sweep(self) -> None:
        """Give back what overwritten and deleted documents hold; takes seconds."""
        self._engine().optimize()
        self._bounds.dead = 0
        self.flush()

    def close(self) -> None:
        """Flush and free the memory."""
        if self._open is None:
            return
        if self.unflushed:
            self.flush()
        self._bounds.documents = self._open.info().points_count
        self._open.close()
        self._open = None
        save(self._file, self._bounds)
        give_back()

    def remove(self) -> None:
        """Delete the shard with its directory."""
        if self._open is not None:
            self._open.close()
            self._open = None
        aside = self._folder.with_name(f"dropped-{self.day}-{time.time_ns()}")
        self._folder.rename(aside)  # at once or not at all; the next start removes what a crash leaves
        shutil.rmtree(aside)

    def _engine(self) -> qe.EdgeShard:
        """The engine's shard, opened or made if need be (30 to 400 ms)."""
        self.used = time.monotonic()
        if self._open is None:
            path, former = self._folder / "engine", self._folder / _FORMER
            if not path.exists():
                if former.exists():  # A crash between the two steps of putting a sealed copy in its place.
                    former.rename(path)
                else:
                    _make(path, self._size)
            try:
                read_ahead(path)
                self._open = qe.EdgeShard.load(str(path), qe.EdgeConfig(sparse_vectors=_WORDS, optimizers=_VACUUM))
            except Exception as error:
                raise IndexUnusable(
                    f"{path}: the shard cannot be opened: {error}. Next: stop the server, remove this directory and "
                    f"run `vectadb reindex`"
                ) from error
        return self._open

    def _widen(self, low: int | None, high: int | None) -> None:
        now = self._bounds
        if low is not None and now.low is not None:
            low = min(low, now.low)
        if high is not None and now.high is not None:
            high = max(high, now.high)
        if (low, high, None) != (now.low, now.high, now.documents):
            self._bounds = Bounds(low, high, None, now.dead, now.fresh)
            self._folder.mkdir(exist_ok=True)
            save(self._file, self._bounds)

    def _update(self, operation: qe.UpdateOperation, written: int) -> None:
        engine = self._engine()
        before = engine.info().points_count
        engine.update(operation)
        self._bounds.dead += written - (engine.info().points_count - before)
        self._bounds.fresh += written
        self.unflushed += max(written, 1)
        self.wrote = time.monotonic()


class Sealing(NamedTuple):
    """A copy that is being sealed, and when its shard was written last; if again since, the copy is worth nothing."""

    shard: Shard
    wrote: float
    copy: Path
    process: subprocess.Popen[bytes]

    def end(self) -> bool:
        """Let the copy take the shard's place, if it is whole and no older. Returns whether the process has ended."""
        ended = self.process.poll()
        if ended is None:
            return False
        if ended == 0 and self.shard.is_open and self.shard.wrote == self.wrote:
            self.shard.replace(self.copy)
        else:
            shutil.rmtree(self.copy, ignore_errors=True)
        return True

    def stop(self) -> None:
        """Give it up."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.copy, ignore_errors=True)


def seal(engine: Path, copy: Path) -> None:
    """Make a sealed copy of a shard that nobody writes: words, filters and payloads in files that are only mapped."""
    shutil.copytree(engine, copy)
    # Segments above this many KB are made immutable. There is no graph to build (m=0): a filtered search gains nothing
    # from one, which would cost 115 s of a core per 100,000 documents.
    optimizers = qe.EdgeOptimizersConfig(indexing_threshold=1, default_segment_number=1)
    shard = qe.EdgeShard.load(str(copy), qe.EdgeConfig(sparse_vectors=_WORDS, optimizers=optimizers))
    shard.optimize()
    shard.flush()
    shard.close()
    read_ahead(copy)  # Closing has let go of them, and no search is answered while the copy takes the shard's place.


def read_ahead(engine: Path) -> None:
    """Read the files that opening a shard looks at: the system has them then.

    The engine itself reads them page by page, ten times as slowly: 1.2 s for 200,000 documents, and 0.2 s after this.
    """
    for path in engine.rglob("*"):
        if path.is_file() and _NOT_LOOKED_AT.isdisjoint(path.relative_to(engine).parts):
            with path.open("rb", buffering=0) as file:
                while file.read(_AT_ONCE):
                    pass


def save(path: Path, value: msgspec.Struct) -> None:
    """Replace a small JSON file at once."""
    fresh = path.with_suffix(".new")
    fresh.write_bytes(msgspec.json.encode(value))
    fresh.replace(path)


def _make(path: Path, size: int) -> None:
    """Make an empty shard, whole or not at all."""
    fresh = path.with_name("fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    config = qe.EdgeConfig(
        # Eight bits a number, which the engine scans in 44 % of the time: 58 ms per million, with 99 % of the best ten.
        vectors={
            "dense": qe.EdgeVectorParams(
                size=size, distance=qe.Distance.Cosine, datatype=qe.VectorStorageDatatype.Turbo8
            )
        },
        sparse_vectors=_WORDS,
        hnsw_config=qe.HnswIndexConfig(m=0, ef_construct=16, full_scan_threshold=10_000),
        optimizers=_VACUUM,
        max_search_threads=1,
    )
    shard = qe.EdgeShard.create(str(fresh), config)
    # Every filter is indexed: the six keywords cost 10 to 20 us a document, a filter without index 15 ms per 10,000.
    create = qe.UpdateOperation.create_field_index
    shard.update(create("us", qe.IntegerIndexParams(lookup=False, range=True)))
    for field in KEYWORDS:
        shard.update(create(field, qe.KeywordIndexParams(memory=qe.Memory.Cold)))
    shard.flush()
    shard.close()
    fresh.rename(path)


def _point(point: str, document: Document, vector: list[float]) -> qe.Point:
    # The engine would take a vector without direction or words, and let it match: it is left out.
    vectors: dict[str, Any] = {"dense": vector} if any(vector) else {}
    indices, weights = sparse(document.words, document.about)
    if indices:
        vectors["words"] = qe.SparseVector(indices, weights)
    return qe.Point(point, vectors, payload(point, document))


def _condition(where: SearchFilter) -> qe.Filter | None:
    must: list[Any] = [
        qe.FieldCondition(field, match=qe.MatchValue(value))
        for field in EXACT
        if (value := getattr(where, field)) is not None
    ]
    if where.event_types:
        must.append(qe.FieldCondition("event_type", match=qe.MatchAny([*where.event_types])))
    if where.since is not None or where.until is not None:
        # Whole microseconds are exact as floats until the year 2255.
        since, until = (None if us is None else float(us) for us in (where.since, where.until))
        must.append(qe.FieldCondition("us", range=qe.RangeFloat(gte=since, lt=until)))
    return qe.Filter(must=must) if must else None
