"""The search index in a Qdrant elsewhere: one collection. The only module that knows ``qdrant_client``.

It is imported by the search process, and only where ``qdrant_url`` is set: the import alone takes 80 MB. A day that is
made anew is written in place: what stood there before is tagged ``old``, which writing a point again takes away, and
removed at the end. Two kinds of points have no vectors, and no ``us``: one says what made the collection, the others
name the days that are being made anew.
"""

from __future__ import annotations

import time
import uuid
import warnings
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_server.stores.base import Document, Hit, Mode, SearchFilter
from vectadb_server.stores.edge_index import FORMAT, FUSED, RRF_K, Meta, vector_of, vectors_of
from vectadb_server.stores.edge_shards import IndexUnusable
from vectadb_server.stores.framing import BUCKETS, Remote, bucket_of
from vectadb_server.stores.points import EXACT, KEYWORDS, marked, payload, point_id
from vectadb_server.words import sparse, sparse_query

try:
    from qdrant_client import QdrantClient, models
    from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
except ImportError as error:
    raise IndexUnusable(
        f"qdrant_url is set, and its client is not installed ({error}). Next: pip install 'vectadb-server[qdrant]'"
    ) from error

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from vectadb_server.embedding import Embedder

_META = uuid.UUID("6f7b1c52-5d0e-4b8e-9a52-0f6f3f1f7c11")
_SCROLL = 1_000  # points read at once
_TIMEOUT = 20  # seconds for one request
_MOST_DAYS = 100_000
_MADE_ALREADY = 409  # what Qdrant answers to who makes a collection that another server has just made
_SETTLING = 5.0  # seconds that another server, which has just made the collection, has to say so


class RemoteIndex:
    """See :class:`~vectadb_server.stores.search_engine.SearchEngine`. Several servers may use one collection."""

    def __init__(self, at: Remote, embedder: Embedder, *, erase: bool = False) -> None:
        """Use the collection, made if need be; ``erase``: one that another embedder made is made anew.

        Raises:
            IndexUnusable: Qdrant does not answer, or the collection is not one of ours. The text says what to do.
        """
        self._at, self._name, self._embedder = at, at.collection, embedder
        self.documents = 0
        self._days: set[str] = set()
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of keys over http: deploy/ speaks of it
            self._client = QdrantClient(url=at.url, api_key=at.key, timeout=_TIMEOUT, check_compatibility=False)
        try:
            self.generation = self._check(erase=erase)
            self.count()
            self.days()
        except (ResponseHandlingException, UnexpectedResponse) as error:
            raise IndexUnusable(
                f"Qdrant at {at.url} does not answer as it should: {error}. "
                f"Next: see that it runs, and check qdrant_url and qdrant_api_key"
            ) from error

    @property
    def day_count(self) -> int:
        """Days, as last heard."""
        return len(self._days)

    def upsert(self, documents: Sequence[Document], vectors: Sequence[bytes] | None = None) -> None:
        """Index documents."""
        made = vectors_of(documents, vectors, self._embedder)
        points = {}
        for document, vector in zip(documents, made, strict=True):
            point = point_id(document.event_id)
            points[point] = _point(point, document, vector)  # Twice in one batch: the later one holds.
        self._client.upsert(self._name, [*points.values()], wait=True)
        self._days |= {document.day for document in documents}

    def delete(self, day: str, event_ids: Sequence[str]) -> None:
        """Remove documents of one day."""
        named = models.HasIdCondition(has_id=[point_id(event_id) for event_id in event_ids])
        self._delete(_is("day", day), named)

    def begin(self, day: str) -> bool:
        """Tag what is there of the day; then note that it is begun."""
        if self._client.retrieve(self._name, [_marker(day)], with_payload=False):
            return False
        self._client.set_payload(self._name, {"old": "yes"}, points=models.Filter(must=[_is("day", day)]), wait=True)
        self._put(_marker(day), {"building": day})
        return True

    def finish(self, day: str) -> None:
        """Remove what is still tagged."""
        if self._client.retrieve(self._name, [_marker(day)], with_payload=False):
            self._delete(_is("day", day), _is("old", "yes"))
            self._client.delete(self._name, models.PointIdsList(points=[_marker(day)]), wait=True)

    def survey(self, day: str) -> Generator[None, None, list[tuple[int, int]]]:
        """Go through the day's points."""
        buckets = [[0, 0] for _ in range(BUCKETS)]
        for found in self._marks(day):
            for event_id, mark in found:
                bucket = buckets[bucket_of(event_id)]
                bucket[0] += 1
                bucket[1] += mark
            yield
        return [(count, total % 2**128) for count, total in buckets]

    def listing(self, day: str, buckets: Sequence[int]) -> Generator[None, None, dict[str, int]]:
        """Go through the day's points."""
        asked, listed = set(buckets), dict[str, int]()
        for found in self._marks(day):
            listed.update((event_id, mark) for event_id, mark in found if bucket_of(event_id) in asked)
            yield
        return listed

    def drop(self, day: str) -> None:
        """Remove a whole day."""
        self._delete(_is("day", day))
        self._client.delete(self._name, models.PointIdsList(points=[_marker(day)]), wait=True)
        self._days.discard(day)
        self.count()

    def days(self) -> list[str]:
        """Ask which days there are."""
        found = self._client.facet(self._name, "day", limit=_MOST_DAYS, exact=True)
        self._days = {
            str(hit.value) for hit in found.hits if hit.count
        }  # Of a day that is gone the index knows the name.
        return sorted(self._days)

    def count(self) -> int:
        """Ask how many documents there are."""
        own = models.IsEmptyCondition(is_empty=models.PayloadField(key="us"))
        self.documents = self._client.count(self._name, models.Filter(must_not=[own]), exact=True).count
        return self.documents

    def search(self, query: str, mode: Mode, where: SearchFilter, limit: int, vector: bytes | None = None) -> list[Hit]:
        """Ask once: both kinds of candidates, the filter and the fusion are one request."""
        condition = _condition(where)
        ways: list[tuple[str, Any]] = []
        if mode != "text" and any(dense := vector_of(query, vector, self._embedder)):
            ways.append(("dense", dense))
        if mode != "semantic" and (words := sparse_query(query, about=mode == "hybrid")):
            ways.append(("words", models.SparseVector(indices=words, values=[1.0] * len(words))))
        if not ways:
            return []
        asked: dict[str, Any]
        if mode == "hybrid":
            depth = max(FUSED, 2 * limit)
            prefetch = [models.Prefetch(query=way, using=name, limit=depth, filter=condition) for name, way in ways]
            # Qdrant counts ranks from 0.
            asked = {"prefetch": prefetch, "query": models.RrfQuery(rrf=models.Rrf(k=RRF_K + 1))}
        else:
            [(name, way)] = ways
            asked = {"query": way, "using": name, "query_filter": condition}
        found = self._client.query_points(self._name, limit=limit, with_payload=["id", "day"], **asked).points
        hits = [
            Hit(str((point.payload or {}).get("id", point.id)), _day(point.payload), point.score) for point in found
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.event_id))

    def maintain(self, *, quiet: bool) -> bool:
        """Do nothing: Qdrant keeps its own house."""
        return False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _check(self, *, erase: bool) -> int:
        """Return the generation of the collection, made if there is none."""
        ours = Meta(FORMAT, self._embedder.name, self._embedder.size, time.time_ns() // 1000)
        if not self._client.collection_exists(self._name):
            try:
                return self._make(ours)
            except UnexpectedResponse as error:
                if error.status_code != _MADE_ALREADY:
                    raise
        found = self._meta()
        if found is None:
            raise IndexUnusable(
                f"the collection {self._name!r} at {self._at.url} is not one of VectaDB's. "
                f"Next: set qdrant_collection to a name that is free"
            )
        if not ours.size:  # The embedder does not answer now. What it made is searched by words meanwhile.
            self._embedder.size = ours.size = found.size
        if (found.format, found.embedder, found.size) == (ours.format, ours.embedder, ours.size):
            return found.generation
        if erase and ours.size:
            self._client.delete_collection(self._name)
            return self._make(ours)
        raise IndexUnusable(
            f"the collection {self._name!r} at {self._at.url} was made with embedder {found.embedder!r} ({found.size} "
            f"numbers, format {found.format}); this server has {ours.embedder!r} ({ours.size} numbers, format "
            f"{ours.format}). Next: run `vectadb reindex`, or configure the former embedder"
        )

    def _meta(self) -> Meta | None:
        """What made the collection; waits a little for a server that is making it."""
        end = time.monotonic() + _SETTLING
        while True:
            found = self._client.retrieve(self._name, [str(_META)])
            if found:
                return msgspec.convert(found[0].payload, Meta)
            if time.monotonic() > end:
                return None
            time.sleep(0.1)

    def _make(self, ours: Meta) -> int:
        if not ours.size:
            raise IndexUnusable(
                f"the embedder {ours.embedder!r} has not answered yet, so that the size of its vectors is not known. "
                f"Next: see that it runs, or set embedder_dimensions"
            )
        self._client.create_collection(
            self._name,
            vectors_config={"dense": models.VectorParams(size=ours.size, distance=models.Distance.COSINE)},
            sparse_vectors_config={"words": models.SparseVectorParams(modifier=models.Modifier.IDF)},
        )
        self._client.create_payload_index(self._name, "us", models.PayloadSchemaType.INTEGER, wait=True)
        for field in ("day", *KEYWORDS):
            self._client.create_payload_index(self._name, field, models.PayloadSchemaType.KEYWORD, wait=True)
        self._put(str(_META), msgspec.structs.asdict(ours))
        return ours.generation

    def _put(self, point: str, kept: dict[str, Any]) -> None:
        self._client.upsert(self._name, [models.PointStruct(id=point, vector={}, payload=kept)], wait=True)

    def _delete(self, *conditions: Any) -> None:
        selector = models.FilterSelector(filter=models.Filter(must=[*conditions]))
        self._client.delete(self._name, selector, wait=True)

    def _marks(self, day: str) -> Generator[list[tuple[str, int]], None, None]:
        """Go through the points of a day: event id and mark of each."""
        offset: Any = None
        while True:
            found, offset = self._client.scroll(
                self._name,
                scroll_filter=models.Filter(must=[_is("day", day)]),
                limit=_SCROLL,
                offset=offset,
                with_payload=["us", "trace", "id"],
            )
            yield [marked(str(point.id), point.payload or {}) for point in found]
            if offset is None:
                return


def _marker(day: str) -> str:
    return str(uuid.uuid5(_META, day))


def _day(kept: dict[str, Any] | None) -> str:
    return str((kept or {})["day"])


def _point(point: str, document: Document, vector: list[float]) -> models.PointStruct:
    # A vector without direction or words would match anything: it is left out.
    vectors: dict[str, Any] = {"dense": vector} if any(vector) else {}
    indices, weights = sparse(document.words, document.about)
    if indices:
        vectors["words"] = models.SparseVector(indices=indices, values=weights)
    return models.PointStruct(id=point, vector=vectors, payload={**payload(point, document), "day": document.day})


def _is(field: str, value: str) -> models.FieldCondition:
    return models.FieldCondition(key=field, match=models.MatchValue(value=value))


def _condition(where: SearchFilter) -> models.Filter | None:
    must: list[Any] = [_is(field, value) for field in EXACT if (value := getattr(where, field)) is not None]
    if where.event_types:
        must.append(models.FieldCondition(key="event_type", match=models.MatchAny(any=[*where.event_types])))
    if where.since is not None or where.until is not None:
        # Whole microseconds are exact as floats until the year 2255.
        must.append(models.FieldCondition(key="us", range=models.Range(gte=where.since, lt=where.until)))
    return models.Filter(must=must) if must else None
