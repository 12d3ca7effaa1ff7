"""The rule that hostile content is held to, as questions to a running server over HTTP.

Each event is stored faithfully or refused by itself with a reason; its neighbours are stored; no later read is
poisoned; the server never answers 500. Written against what ``ARCHITECTURE.md`` and ``wire`` promise, not against the
server's own functions.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

BATCH = "/api/v1/events/batch"
ONE = "/api/v1/events"
DEADLINE = 60.0
#: What a client may be told. 500 is nobody's fault but the server's; 503 would be load, and there is none here.
ANSWERS = frozenset({200, 400, 403, 404, 405, 408, 413, 415, 422})
FIELDS = ("event_type", "trace_id", "request_id", "session_id", "agent_id", "parent_event_id")
SOURCE = ("system", "account", "region", "log_group", "log_stream", "log_id", "part")
TIME = "2026-03-01T12:00:00.000000Z"

_ESCAPED = re.compile("\x1a([0-9a-f]{4})")


def unescaped(text: str) -> str:
    """Undo the escaping of what UTF-8 or an engine cannot hold: U+001A and four hex digits for one character."""
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def same(sent: Any, got: Any) -> bool:
    """Whether ``got`` is what was sent, escapes undone; numbers keep their kind."""
    if isinstance(sent, str):
        return isinstance(got, str) and (got == sent or unescaped(got) == unescaped(sent))
    if isinstance(sent, list):
        return isinstance(got, list) and len(got) == len(sent) and all(map(same, sent, got))
    if isinstance(sent, dict):
        if not isinstance(got, dict) or len(got) != len(sent):
            return False
        # Escaping two keys may make them one, and then the later gets an underscore.
        texts = {unescaped(key).rstrip("_"): value for key, value in got.items()}
        return all(same(value, got.get(key, texts.get(unescaped(key).rstrip("_"), ...))) for key, value in sent.items())
    return type(got) is type(sent) and got == sent


def difference(sent: dict[str, Any], got: dict[str, Any]) -> list[str]:
    """Return what of an event that was taken is not as it was sent; empty if it is faithful."""
    wrong = []
    for name in FIELDS:
        given = sent.get(name) or ("log" if name == "event_type" else None)
        # The reply's `trace_id` is the trace's, and `given_trace_id` the client's own.
        held = got.get("given_trace_id", got["trace_id"]) if name == "trace_id" and given else got[name]
        if not (name == "trace_id" and given is None) and not same(given, held):
            wrong.append(f"{name}: sent {given!r}, read {held!r}")
    if not same(sent.get("raw"), got["raw"]):
        wrong.append(f"raw: sent {sent.get('raw')!r:.200}, read {got['raw']!r:.200}")
    own = sent.get("properties") or {}
    known = {*FIELDS, "timestamp", "raw", "event_id", "source", "properties"}
    folded = {key: value for key, value in sent.items() if key not in known}
    inner = {*SOURCE, "timestamp", "ingestion_time", "log_ids", "timestamps", "parts", "read_at"}
    folded |= {f"source.{key}": value for key, value in (sent.get("source") or {}).items() if key not in inner}
    if not folded and not same(own, got["properties"]):
        wrong.append(f"properties: sent {own!r:.300}, read {got['properties']!r:.300}")
    # Where a name is taken, the unknown one has underscores behind it.
    held = {unescaped(key).rstrip("_"): key for key in sorted(got["properties"], key=len)} if folded else {}
    for key, value in [*folded.items(), *(own.items() if folded else ())]:
        name = held.get(unescaped(key).rstrip("_"), "")
        if not same(value, got["properties"].get(name)) and not same(value, got["properties"].get(key)):
            wrong.append(f"{key!r} is lost: sent {value!r:.300}")
    source = sent.get("source")
    if source:
        held = got["source"] or {}
        for name in SOURCE:
            given = source.get(name)
            if not same(
                "0" if name == "part" and given is None else given or "", held.get(name, "0" if name == "part" else "")
            ):
                wrong.append(f"source.{name}: sent {given!r}, read {held.get(name)!r}")
        if len(source.get("log_ids") or []) > 1 and not same(source["log_ids"], held.get("log_ids")):
            wrong.append("source.log_ids differ")
    return wrong


@dataclass
class Server:
    """A server process, and a client that knows the rule."""

    http: httpx.Client
    probes: int = 0
    seen: set[str] = field(default_factory=set)

    def ask(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send a request; whatever it is, the answer is one that a client may be told, in our form."""
        reply = self.http.request(method, path, **request)
        assert reply.status_code in ANSWERS, f"{method} {path} {str(request)[:500]}: {reply.status_code} {reply.text}"
        if reply.status_code != 200:
            said = reply.json()
            assert said["error"], reply.text
            assert said["message"], reply.text
        return reply

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """Read what must be there."""
        reply = self.ask("GET", path, params=params)
        assert reply.status_code == 200, f"{path} {params}: {reply.text}"
        found: dict[str, Any] = reply.json()
        return found

    def take(self, *texts: str | bytes) -> list[str | None]:
        """Send a batch of events, each as JSON text; return the id of each that was taken, ``None`` where refused."""
        body = b'{"events":[' + b",".join(text if isinstance(text, bytes) else encoded(text) for text in texts) + b"]}"
        reply = self.ask("POST", BATCH, content=body)
        assert reply.status_code == 200, f"the whole batch was refused: {reply.text}"
        said = reply.json()
        assert len(said["statuses"]) == len(texts)
        errors = {error["index"]: error["error"] for error in said["errors"]}
        ids = iter(said["event_ids"])
        taken: list[str | None] = []
        for index, status in enumerate(said["statuses"]):
            assert status in ("accepted", "duplicate", "failed"), said
            assert (status == "failed") == bool(errors.get(index)), said
            taken.append(None if status == "failed" else next(ids))
        assert next(ids, None) is None
        return taken

    def judge(self, *texts: str) -> list[str | None]:
        """As :meth:`take`, between two healthy neighbours; what was taken is read back and compared."""
        first, *taken, last = self.take(healthy(), *texts, healthy())
        assert first, "a neighbour was refused"
        assert last, "a neighbour was refused"
        for text, event_id in zip(texts, taken, strict=True):
            if event_id is not None:
                sent = json.loads(json.dumps(json.loads(text)))
                got = self.get(f"{ONE}/{event_id}")
                assert not (wrong := difference(sent, got)), f"{wrong}\n{text[:1000]}"
        return taken

    def settle(self) -> None:
        """Wait until what was sent is visible in every read: hostile content must not stop the indexer."""
        until = time.monotonic() + DEADLINE
        while (indexer := self.get("/health/ready")["engines"]["indexer"])["pending"]:
            assert time.monotonic() < until, f"indexing does not end: {indexer}"
            time.sleep(0.01)

    def probe(self) -> None:
        """A healthy event sent now is found by every read, and every list can be read to its end."""
        self.probes += 1
        mark = uuid.uuid4().hex
        name = f"probe-{mark}"
        at = f"{datetime.now(UTC) - timedelta(seconds=1):%Y-%m-%dT%H:%M:%S.%fZ}"
        text = f"the quick brown walrus ate {self.probes} sandwiches word{mark}"
        sent = {
            "timestamp": at,
            "event_type": f"type-{mark}",
            "raw": text,
            "trace_id": name,
            "session_id": name,
            "agent_id": name,
            "source": {"system": "s", "log_group": name, "log_stream": name, "log_id": name, "timestamp": at},
        }
        [event_id] = self.take(json.dumps(sent))
        assert event_id
        self.settle()
        got = self.get(f"{ONE}/{event_id}")
        assert difference(sent, got) == []
        filters = {"trace": name, "session": name, "agent": name, "type": f"type-{mark}", "log_group": name}
        filters |= {"log_stream": name}
        for some in ({"since": "-1m"}, *({key: value} for key, value in filters.items()), filters):
            page = self.get(ONE, limit=1000, until="-0s", **some)
            assert event_id in [event["event_id"] for event in page["events"]], some
        for some in ({"agent": name}, {"session": name}, {"agent": name, "session": name, "basis": "trace_id"}):
            assert [trace["trace_id"] for trace in self.get("/api/v1/traces", **some)["traces"]] == [got["trace_id"]]
        whole = self.get(f"/api/v1/traces/{name}")
        assert [event["event_id"] for event in whole["events"]] == [event_id]
        for mode in ("hybrid", "semantic", "text"):
            for where in ({}, {"filters": filters}):
                asked = {"query": text, "mode": mode, "limit": 50, **where}
                reply = self.ask("POST", "/api/v1/search", json=asked)
                found = [result["event"]["event_id"] for result in reply.json()["results"]]
                assert event_id in found, (mode, where)
        assert self.get("/api/v1/stats", since="-2m", bucket="60s")["total"]["types"][f"type-{mark}"] == 1
        assert self.get("/api/v1/stats")["total"]["events"] > 0
        assert [hour["count"] for hour in self.get("/api/v1/events/digest", log_group=name, since="-2h")["hours"]] == [
            1
        ]
        assert self.get("/api/v1/events/digest", since="-360d")["hours"]
        metrics = self.ask("GET", "/metrics").text
        assert "\nvectadb_" in metrics

    def read_all(self) -> None:
        """Read every list to its end, and every trace in it that was not read before."""
        self.pages(ONE, "events")
        traces = [*self.pages("/api/v1/traces", "traces"), *self.pages("/api/v1/traces", "traces", basis="time_window")]
        for trace in traces:
            if trace["trace_id"] not in self.seen:
                self.seen.add(trace["trace_id"])
                whole = self.get(f"/api/v1/traces/{trace['trace_id']}")
                assert len(whole["events"]) == whole["trace"]["events"]

    def pages(self, path: str, key: str, **params: Any) -> list[dict[str, Any]]:
        """Read a list to its end; nothing in it stands twice."""
        items: list[dict[str, Any]] = []
        cursor = None
        while True:
            page = self.get(path, limit=1000, **params, **({"cursor": cursor} if cursor else {}))
            items += page[key]
            cursor = page["next_cursor"]
            if cursor is None:
                ids = [item["event_id" if key == "events" else "trace_id"] for item in items]
                assert len(set(ids)) == len(ids), f"{path}: an item is on two pages"
                return items


def encoded(text: str) -> bytes:
    """UTF-8, lone surrogates in the bytes that they would have (which is no UTF-8, as an enemy may send it)."""
    return text.encode("utf-8", "surrogatepass")


def healthy() -> str:
    """An event as it should be, of its own."""
    return json.dumps({"timestamp": TIME, "raw": f"healthy neighbour {uuid.uuid4()}", "properties": {"n": 1}})


def event(**fields: Any) -> str:
    """JSON of an event that needs no more than what is given."""
    return json.dumps({"timestamp": TIME, **fields})


def texts_of(events: Sequence[dict[str, Any]]) -> list[str]:
    """Return events as JSON texts."""
    return [json.dumps(each) for each in events]


@contextmanager
def serving(home: Path) -> Iterator[Server]:
    """Run a server over the real engines; it must stop when told, and must not have logged a failure of its own."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("VECTADB_")}
    log = home / "server.log"
    with log.open("wb") as written:
        popen = subprocess.Popen(
            [sys.executable, "-m", "vectadb_server", "serve", "--port", "0", "--data-dir", str(home / "data")],
            stdout=subprocess.DEVNULL,
            stderr=written,
            env=variables,
        )
    try:
        with httpx.Client(base_url=_url(popen, log), timeout=DEADLINE) as http:
            yield Server(http)
        popen.terminate()
        assert popen.wait(DEADLINE) == 0
        lines = log.read_text("utf-8").split("\n")[:-1]
        bad = [line for line in lines if not line.startswith("{") or json.loads(line)["level"] in ("error", "critical")]
        assert not bad, "\n".join(bad[:5])
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait(DEADLINE)


def _url(popen: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until and popen.poll() is None:
        for line in log.read_text("utf-8").split("\n")[:-1]:
            if url := json.loads(line).get("url"):
                return str(url)
        time.sleep(0.02)
    raise AssertionError(f"the server does not listen: {log.read_text('utf-8')}")
