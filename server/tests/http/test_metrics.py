"""``/metrics`` of a real server: what is there, and that each number moves when it should."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import socket
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client import Metric

BATCH = "/api/v1/events/batch"


def at(day: int, **more: Any) -> dict[str, Any]:
    return {"event_id": str(uuid.uuid4()), "timestamp": f"2026-01-{day:02}T12:00:00Z", "raw": "a nightingale", **more}


class Scraped:
    """One scrape."""

    def __init__(self, url: str, key: str) -> None:
        reply = httpx.get(f"{url}/metrics", headers={"x-api-key": key}, timeout=30)
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
        self.families: list[Metric] = list(text_string_to_metric_families(reply.text))

    def __call__(self, name: str, **labels: str) -> float:
        """Return the sum of the samples of that name that carry these labels, of which there must be some."""
        value = self.get(name, **labels)
        assert value is not None, f"no {name} {labels}"
        return value

    def get(self, name: str, **labels: str) -> float | None:
        """Return the same; ``None``: there are none, yet."""
        found = [
            sample.value
            for family in self.families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        ]
        return sum(found) if found else None


class Told:
    """A server of its own with one place for everything, and keys."""

    def __init__(self, process: Any, key: str, until: Callable[[Callable[[], bool]], None]) -> None:
        self.process, self.url, self.key, self.until = process, process.url, key, until
        self.client = httpx.Client(base_url=process.url, headers={"x-api-key": key}, timeout=30)

    def scrape(self) -> Scraped:
        return Scraped(self.url, self.key)

    def becomes(self, value: float, name: str, **labels: str) -> None:
        """Wait until it is so."""
        self.until(lambda: self.scrape().get(name, **labels) == value)


@pytest.fixture(scope="module")
def told(start: Any, until: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    folder, key = tmp_path_factory.mktemp("metrics"), "0123456789abcdef01234567"
    limits = {f"VECTADB_MAX_{name}": "1" for name in ("INGEST_REQUESTS", "FOLLOWERS", "READ_REQUESTS")}
    settings = {**limits, "VECTADB_BOOTSTRAP_KEY": key, "VECTADB_MAX_BODY": "100kB"}
    with start(folder, **settings) as process:
        made = Told(process, key, until)
        made.becomes(1, "vectadb_search_up")
        yield made
        made.client.close()


def test_names_and_help_are_by_the_conventions(told: Told) -> None:
    families = told.scrape().families
    names = [family.name for family in families]
    assert len(names) == len(set(names))
    for family in families:
        assert family.documentation, family.name
        assert re.fullmatch(r"(vectadb|process)_[a-z_]+", family.name)
        assert not re.search(r"_(ms|millis|mb|percent|count|sum|bucket)$", family.name)
        if family.type == "counter":
            assert all(sample.name.endswith(("_total", "_created")) for sample in family.samples)
    build = told.scrape()
    assert build("vectadb_build_info", version="0.1.0") == 1
    assert build("process_resident_memory_bytes") > 0
    assert build("process_start_time_seconds") > 0


def test_ingest_and_latency(told: Told) -> None:
    before = told.scrape()
    event = at(31)
    body = json.dumps({"events": [event, at(30), {"event_type": 7}]}).encode()
    headers = {"content-type": "application/json"}
    assert told.client.post(BATCH, content=body, headers=headers).status_code == 200
    zipped = {**headers, "content-encoding": "gzip"}
    assert told.client.post(BATCH, content=gzip.compress(body), headers=zipped).status_code == 200
    after = told.scrape()
    for status, count in (("accepted", 2), ("duplicate", 2), ("failed", 2), ("expired", 0)):
        moved = after("vectadb_events_total", status=status) - before("vectadb_events_total", status=status)
        assert moved == count, status
    assert after("vectadb_ingest_bytes_total") - before("vectadb_ingest_bytes_total") == 2 * len(body)
    route = {"method": "POST", "route": BATCH, "status": "200"}
    assert after("vectadb_request_seconds_count", **route) == 2
    assert after("vectadb_request_seconds_bucket", **route, le="+Inf") == 2
    assert after("vectadb_request_seconds_sum", **route) > 0


def test_engines_and_how_much_they_hold(told: Told) -> None:
    told.becomes(0, "vectadb_index_pending")
    days, events = told.scrape()("vectadb_search_shards"), [at(day) for day in (1, 1, 1, 2)]
    documents = told.scrape()("vectadb_search_documents")
    assert told.client.post(BATCH, json={"events": events}).json()["ingested"] == 4
    told.until(lambda: told.scrape()("vectadb_search_documents") >= documents + 4)
    told.becomes(days + 2, "vectadb_search_shards")
    told.becomes(0, "vectadb_index_pending")
    told.becomes(0, "vectadb_index_lag_seconds")
    # Counted a few seconds later.
    told.until(lambda: (told.scrape().get("vectadb_record_busiest_day_events") or 0) >= 3)
    told.until(lambda: told.scrape().get("vectadb_record_events") == told.scrape()("vectadb_search_documents"))
    now = told.scrape()
    assert now("vectadb_record_days") == now("vectadb_search_shards")
    assert 1 <= now("vectadb_record_open_days") <= 9
    assert now("vectadb_indexer_active") == 1
    for process in ("server", "search"):
        resident = now("vectadb_process_resident_bytes", process=process)
        assert 10**6 < now("vectadb_process_anonymous_bytes", process=process) <= resident
    assert now("vectadb_stored_bytes", store="record") > 0
    assert now("vectadb_stored_bytes", store="search") >= 0
    assert now("vectadb_disk_free_bytes") > 0
    ratios = {of: now("vectadb_capacity_ratio", of=of) for of in ("events", "day", "disk", "memory")}
    assert all(0 < ratio < 1 for ratio in ratios.values())
    assert ratios["events"] == now("vectadb_record_events") / 1_000_000


def test_bounds_and_what_is_turned_away(told: Told) -> None:
    before = told.scrape()
    assert before("vectadb_limit", limit="ingest_bytes") == 64 * 2**20
    with socket.create_connection(told.url.removeprefix("http://").split(":")) as slow:
        head = f"POST {BATCH} HTTP/1.1\r\nHost: x\r\nX-API-Key: {told.key}\r\nContent-Type: application/json\r\n"
        slow.sendall(f"{head}Content-Length: 1000\r\n\r\n{'x' * 600}".encode())
        told.becomes(1, "vectadb_limit_used", limit="ingest_requests")
        told.becomes(600, "vectadb_limit_used", limit="ingest_bytes")
        assert told.client.post(BATCH, json={"events": []}).status_code == 503
        slow.sendall(b"x" * 400)
        slow.recv(100)
    told.becomes(0, "vectadb_limit_used", limit="ingest_requests")
    told.becomes(0, "vectadb_limit_used", limit="ingest_bytes")

    with told.client.stream("GET", "/api/v1/events/stream") as stream:
        assert stream.status_code == 200
        told.becomes(1, "vectadb_limit_used", limit="followers")
        assert told.client.get("/api/v1/events/stream").status_code == 503
    told.becomes(0, "vectadb_limit_used", limit="followers")
    assert told.client.post(BATCH, content=b"x" * 200_000).status_code in (413, 415)
    assert told.client.get("/api/v1/events", headers={"x-api-key": "vdb_none"}).status_code == 401

    body = {"name": "slow", "scopes": ["read"], "max_requests_per_second": 1}
    made = told.client.post("/api/v1/auth/keys", json=body).json()
    slow_key = {"x-api-key": made["key"]}
    told.until(lambda: told.client.get("/api/v1/events", headers=slow_key).status_code == 429)
    after = told.scrape()
    for status, least in (("503", 2), ("401", 1), ("429", 1)):
        moved = after("vectadb_refusals_total", status=status) - before("vectadb_refusals_total", status=status)
        assert moved >= least, status
    large = [after("vectadb_refusals_total", status=status) for status in ("413", "415")]
    assert sum(large) == 1
    assert after("vectadb_rate_limit_leases_total") > before("vectadb_rate_limit_leases_total")
    assert after("vectadb_rate_limit_buckets") == 1


def test_a_search_process_that_died_is_seen(told: Told) -> None:
    assert told.scrape()("vectadb_search_restarts_total") == 0
    pid = told.process.popen.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()
    [search] = [int(child) for child in children if b"edge_process" in Path(f"/proc/{child}/cmdline").read_bytes()]
    os.kill(search, signal.SIGKILL)
    told.becomes(1, "vectadb_search_restarts_total")
    told.becomes(1, "vectadb_search_up")


def test_what_is_on_disk_is_seen_after_a_start(start: Any, until: Any, tmp_path: Path) -> None:
    for round_ in range(2):
        with start(tmp_path) as process:
            url = process.url

            def scrape(name: str, url: str = url, **labels: str) -> float:
                return Scraped(url, "").get(name, **labels) or 0.0

            until(lambda scrape=scrape: scrape("vectadb_search_up") == 1)
            if round_ == 0:
                events = [at(31, raw="x" * 1000) for _ in range(500)]
                assert httpx.post(f"{url}{BATCH}", json={"events": events}, timeout=30).json()["ingested"] == 500
                until(lambda scrape=scrape: scrape("vectadb_search_documents") == 500)
                assert process.stop() == 0
            else:
                until(lambda scrape=scrape: scrape("vectadb_record_events") == 500)
                assert scrape("vectadb_stored_bytes", store="record") > 500_000
                assert scrape("vectadb_stored_bytes", store="search") > 100_000
