"""An HTTP façade over Qdrant Edge: ``python qdrant_facade --port N --dir PATH [--api-key KEY]``.

It is not a Qdrant server. It answers those REST calls that ``vectadb_server.stores.qdrant`` makes through the real
``qdrant_client``, with the same engine that Qdrant is made of, so that a client's requests meet Qdrant's own filters,
fusion and durability. One collection is one shard; a request at a time. Other calls get 404, so that a test sees them.
It can be killed: every update is in the engine's log before it is answered.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import threading
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import qdrant_edge as qe

Json = dict[str, Any]


class Refused(Exception):
    """Answered with this status."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Collections:
    """The shards in a directory."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._open = {path.name: qe.EdgeShard.load(str(path)) for path in folder.iterdir() if path.suffix != ".new"}

    def exists(self, name: str) -> bool:
        return name in self._open

    def shard(self, name: str) -> qe.EdgeShard:
        if name not in self._open:
            raise Refused(404, f"Not found: Collection `{name}` doesn't exist!")
        return self._open[name]

    def create(self, name: str, body: Json) -> bool:
        if name in self._open:
            raise Refused(409, f"Wrong input: Collection `{name}` already exists!")
        dense = {
            field: qe.EdgeVectorParams(size=given["size"], distance=getattr(qe.Distance, given["distance"]))
            for field, given in body["vectors"].items()
        }
        sparse = {
            field: qe.EdgeSparseVectorParams(modifier=qe.Modifier.Idf if given.get("modifier") == "idf" else None)
            for field, given in body.get("sparse_vectors", {}).items()
        }
        fresh = self._folder / f"{name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir()
        optimizers = qe.EdgeOptimizersConfig(indexing_threshold=10**9, default_segment_number=1)
        shard = qe.EdgeShard.create(
            str(fresh), qe.EdgeConfig(vectors=dense, sparse_vectors=sparse, optimizers=optimizers)
        )
        shard.flush()
        shard.close()
        fresh.rename(self._folder / name)
        self._open[name] = qe.EdgeShard.load(str(self._folder / name))
        return True

    def delete(self, name: str) -> bool:
        self.shard(name).close()
        del self._open[name]
        shutil.rmtree(self._folder / name)
        return True


def filter_of(given: Json | None) -> qe.Filter | None:
    if not given:
        return None
    unknown = given.keys() - {"must", "must_not", "should"}
    if unknown:
        raise Refused(400, f"the façade has no {unknown}")
    return qe.Filter(**{name: [condition(each) for each in given[name]] for name in given if given[name]})


def condition(given: Json) -> Any:
    if "has_id" in given:
        return qe.HasIdCondition(set(given["has_id"]))
    if "is_empty" in given:
        return qe.IsEmptyCondition(given["is_empty"]["key"])
    key = given["key"]
    if match := given.get("match"):
        [(kind, value)] = match.items()
        kinds = {"value": qe.MatchValue, "any": qe.MatchAny}
        return qe.FieldCondition(key, match=kinds[kind](value))
    if bounds := given.get("range"):
        numbers = {name: float(value) for name, value in bounds.items() if value is not None}
        return qe.FieldCondition(key, range=qe.RangeFloat(**numbers))
    raise Refused(400, f"the façade has no condition {given}")


def points_of(given: Json) -> Any:
    """Which points an update is about: the engine's filter, or the ids."""
    return filter_of(given["filter"]) if given.get("filter") else given["points"]


def vector_of(given: Any) -> Any:
    if isinstance(given, dict):
        return qe.SparseVector(given["indices"], given["values"])
    return given


def upsert(shard: qe.EdgeShard, body: Json) -> Json:
    points = [
        qe.Point(
            each["id"],
            {name: vector_of(vector) for name, vector in (each["vector"] or {}).items()},
            each.get("payload") or {},
        )
        for each in body["points"]
    ]
    return update(shard, qe.UpdateOperation.upsert_points(points))


def delete(shard: qe.EdgeShard, body: Json) -> Json:
    which = points_of(body)
    by_filter = isinstance(which, qe.Filter)
    operations = qe.UpdateOperation
    operation = operations.delete_points_by_filter(which) if by_filter else operations.delete_points(which)
    return update(shard, operation)


def set_payload(shard: qe.EdgeShard, body: Json) -> Json:
    which, payload = points_of(body), body["payload"]
    operations = qe.UpdateOperation
    if isinstance(which, qe.Filter):
        return update(shard, operations.set_payload_by_filter(which, payload))
    return update(shard, operations.set_payload(which, payload))


def create_index(shard: qe.EdgeShard, body: Json) -> Json:
    schema = body["field_schema"]
    kinds = {"keyword": qe.PayloadSchemaType.Keyword, "integer": qe.PayloadSchemaType.Integer}
    return update(shard, qe.UpdateOperation.create_field_index(body["field_name"], kinds[schema]))


def update(shard: qe.EdgeShard, operation: qe.UpdateOperation) -> Json:
    shard.update(operation)
    return {"operation_id": 0, "status": "completed"}


def nearest(given: Any, using: str) -> Any:
    if isinstance(given, dict) and "nearest" in given:
        given = given["nearest"]
    return qe.Query.Nearest(vector_of(given), using=using)


def query(shard: qe.EdgeShard, body: Json) -> Json:
    payload = body.get("with_payload")
    common: Json = {"limit": body["limit"], "with_payload": payload, "filter": filter_of(body.get("filter"))}
    if body.get("prefetch"):
        prefetches = [
            qe.Prefetch(
                limit=each["limit"],
                query=nearest(each["query"], each["using"]),
                filter=filter_of(each.get("filter")),
            )
            for each in body["prefetch"]
        ]
        request = qe.QueryRequest(query=qe.Fusion.Rrf(k=body["query"]["rrf"]["k"]), prefetches=prefetches, **common)
    else:
        request = qe.QueryRequest(query=nearest(body["query"], body["using"]), **common)
    found = shard.query(request)
    points = [{"id": str(each.id), "version": 0, "score": each.score, "payload": each.payload} for each in found]
    return {"points": points}


def scroll(shard: qe.EdgeShard, body: Json) -> Json:
    request = qe.ScrollRequest(
        offset=body.get("offset"),
        limit=body["limit"],
        filter=filter_of(body.get("filter")),
        with_payload=body["with_payload"],
    )
    found, after = shard.scroll(request)
    return {"points": records(found), "next_page_offset": None if after is None else str(after)}


def retrieve(shard: qe.EdgeShard, body: Json) -> list[Json]:
    return records(shard.retrieve(body["ids"], body.get("with_payload", True), False))


def records(found: list[qe.Record]) -> list[Json]:
    return [{"id": str(each.id), "payload": each.payload} for each in found]


def count(shard: qe.EdgeShard, body: Json) -> Json:
    return {"count": shard.count(qe.CountRequest(exact=True, filter=filter_of(body.get("filter"))))}


def facet(shard: qe.EdgeShard, body: Json) -> Json:
    request = qe.FacetRequest(body["key"], limit=body["limit"], exact=True, filter=filter_of(body.get("filter")))
    return {"hits": [{"value": hit.value, "count": hit.count} for hit in shard.facet(request)]}


CALLS: dict[tuple[str, str], Any] = {
    ("PUT", "/index"): create_index,
    ("PUT", "/points"): upsert,
    ("POST", "/points"): retrieve,
    ("POST", "/points/delete"): delete,
    ("POST", "/points/payload"): set_payload,
    ("POST", "/points/query"): query,
    ("POST", "/points/scroll"): scroll,
    ("POST", "/points/count"): count,
    ("POST", "/facet"): facet,
}


def answer(collections: Collections, method: str, path: str, body: Json) -> Any:
    found = re.fullmatch(r"/collections/([^/]+)(/.*)?", path)
    if found is None:
        raise Refused(404, f"the façade has no {method} {path}")
    name, rest = found[1], found[2] or ""
    if (method, rest) == ("GET", "/exists"):
        return {"exists": collections.exists(name)}
    if (method, rest) == ("PUT", ""):
        return collections.create(name, body)
    if (method, rest) == ("DELETE", ""):
        return collections.delete(name)
    if (method, rest) not in CALLS:
        raise Refused(404, f"the façade has no {method} {path}")
    return CALLS[method, rest](collections.shard(name), body)


def handler(collections: Collections, key: str | None) -> type[BaseHTTPRequestHandler]:
    turn = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def handle_any(self) -> None:
            began = time.monotonic()
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, result, said = 200, None, "ok"
            try:
                if key is not None and self.headers.get("api-key") != key:
                    raise Refused(401, "Must provide an API key or an Authorization bearer token")
                with turn:
                    result = answer(
                        collections, self.command, self.path.partition("?")[0], json.loads(body) if body else {}
                    )
            except Refused as error:
                status, said = error.status, str(error)
            except Exception as error:  # noqa: BLE001 - the engine raises plain Exception; the client is to hear of it
                traceback.print_exc()
                status, said = 500, repr(error)
            spent = time.monotonic() - began
            reply: Json = {"result": result, "status": "ok" if status == 200 else {"error": said}, "time": spent}
            data = json.dumps(reply).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            pass

    for method in ("GET", "POST", "PUT", "DELETE"):
        setattr(Handler, f"do_{method}", Handler.handle_any)
    return Handler


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--port", type=int, default=0)
    options.add_argument("--dir", type=Path, required=True)
    options.add_argument("--api-key")
    given = options.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", given.port), handler(Collections(given.dir), given.api_key))
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
