"""What a million stored events cost: reads, ingest beside them, the indexer's lag, memory, and the time of a restart.

One server is filled from a few thousand events to a million, and the same reads are measured on the way.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.processes import BenchmarkFailed, Process
from benchmarks.served import get, pending, serving
from benchmarks.stored_events import AGENTS, PER_TRACE, STEP_US, Feed, rfc3339, words
from benchmarks.table import Row, percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = tuple(int(size) for size in os.environ.get("STORED_EVENTS", "10000,100000,1000000").split(","))
"""How many events are stored when it is measured; ``STORED_EVENTS=10000,100000 make bench ARGS=stored`` for less."""
SAMPLES = 200
"""Requests of each kind, one after the other."""
BATCH = 500
RANGE = 250_000
"""Events in the time range that a search is narrowed to."""
BESIDE = 15.0
"""Seconds that ingest is measured beside readers, and the lag at a steady rate."""
READS_A_SECOND = 10.0
STEADY = 2_000
"""Events a second while the lag is measured."""
JSON = {"Content-Type": "application/json"}


class Read(NamedTuple):
    """A kind of request: its p95 is wanted below so many milliseconds."""

    name: str
    what: str
    wanted: float
    path: str
    make: Callable[[random.Random, Feed, int], Any]


def _trace(random_: random.Random, feed: Feed, size: int) -> Any:
    return "GET", f"/api/v1/traces/{feed.trace(random_.randrange(size))}", None


def _newest(random_: random.Random, feed: Feed, size: int) -> Any:
    """Fifty newest events of a type, an agent, or both, before a random moment."""
    until = rfc3339(feed.at(random_.randrange(size // 10, size)))
    asked = random_.choice(
        [
            "type=tool_call",
            f"agent=agent-{random_.randrange(AGENTS)}",
            f"type=error&agent=agent-{random_.randrange(AGENTS)}",
        ]
    )
    return "GET", f"/api/v1/events?limit=50&until={until}&{asked}", None


def _hour(random_: random.Random, feed: Feed, size: int) -> Any:
    until = feed.at(random_.randrange(size // 10, size))
    return "GET", f"/api/v1/stats?bucket=60s&since={rfc3339(until - 3_600_000_000)}&until={rfc3339(until)}", None


def _search(random_: random.Random, feed: Feed, size: int) -> Any:
    return "POST", "/api/v1/search", {"query": words(random_, 3), "limit": 10}


def _search_range(random_: random.Random, feed: Feed, size: int) -> Any:
    first = random_.randrange(max(1, size - RANGE))
    filters = {"since": rfc3339(feed.at(first)), "until": rfc3339(feed.at(first + RANGE))}
    return "POST", "/api/v1/search", {"query": words(random_, 3), "limit": 10, "filters": filters}


READS = (
    Read("trace", f"trace of {PER_TRACE} events", 30, "/api/v1/traces/", _trace),
    Read("newest", "newest 50 by type, agent, or both", 40, "/api/v1/events", _newest),
    Read("stats", "stats of an hour in minutes", 200, "/api/v1/stats", _hour),
    Read("search range", f"hybrid search within {RANGE:,} events", 100, "/api/v1/search", _search_range),
    Read("search", "hybrid search over all", 250, "/api/v1/search", _search),
)


def stored(sizes: Sequence[int] = SIZES) -> list[Row]:
    """Fill a server, and measure at each size; what is wanted is wanted of the largest."""
    rows: list[Row] = []
    # What is measured beside the filling comes after the last of these, and ends about now.
    last = sizes[-1] + round(2 * BESIDE * 20_000)
    feed = Feed(int(time.time() * 1e6) - last * STEP_US)
    with tempfile.TemporaryDirectory(prefix="vectadb-benchmark-") as name:
        directory, done = Path(name), 0
        with serving(directory) as (server, port):
            for size in sizes:
                rows += _filled(server, port, feed, done, size, final=size == sizes[-1])
                done = size
            rows += _beside(port, feed, done)
            server.wait_until(lambda: pending(port) == 0, "the indexer to be through", timeout=600)
            rows += _lag(port, feed, done + 500_000)
            server.wait_until(lambda: pending(port) == 0, "the indexer to be through", timeout=600)
        rows += _restarted(directory)
    return rows


def _filled(server: Process, port: int, feed: Feed, done: int, size: int, *, final: bool) -> list[Row]:
    began = time.monotonic()
    _post(port, feed, range(done, size, BATCH))
    acknowledged = time.monotonic() - began
    server.wait_until(lambda: pending(port) == 0, "the indexer to be through", timeout=1_800)
    indexed = time.monotonic() - began
    at = f"at {size:,}"
    note = f"until indexed {(size - done) / indexed:,.0f} events/s"
    rows = [
        Row(name=f"filled {size}", what=f"{at}: acknowledged since the size before", unit="events/s",
            measured=(size - done) / acknowledged, note=note)
    ]  # fmt: skip
    random_ = random.Random(size)
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        for read in READS:
            asked = [read.make(random_, feed, size) for _ in range(SAMPLES)]
            took = [_took(connection, *each) for each in asked]
            rows.append(
                Row(name=f"{read.name} {size}", what=f"{at}: {read.what}, p95", measured=percentile(took, 0.95),
                    unit="ms", wanted=read.wanted if final else None, at_least=False,
                    note=f"p50 {percentile(took, 0.5):.1f}, most {max(took):.1f}, {SAMPLES} requests")
            )  # fmt: skip
    record, index = server.anonymous()
    rows += [
        Row(name=f"record memory {size}", what=f"{at}: anonymous memory of the server", measured=record, unit="MB",
            wanted=1_500 if final else None, at_least=False),
        Row(name=f"index memory {size}", what=f"{at}: anonymous memory of the search process", measured=index,
            unit="MB", wanted=800 if final else None, at_least=False),
    ]  # fmt: skip
    return rows


def _took(connection: http.client.HTTPConnection, method: str, path: str, body: Any) -> float:
    """Milliseconds until the whole answer is here."""
    began = time.perf_counter()
    connection.request(method, path, None if body is None else json.dumps(body), JSON)
    reply = connection.getresponse()
    said = reply.read()
    took = (time.perf_counter() - began) * 1000
    if reply.status != 200:
        raise BenchmarkFailed(f"{method} {path} answered {reply.status}: {said[:300]!r}")
    return took


def _post(port: int, feed: Feed, firsts: Sequence[int], until: float | None = None) -> int:
    """Post batches over two connections, as fast as they are taken; return how many events were acknowledged."""
    left, turn = iter(firsts), threading.Lock()
    taken = 0

    def client() -> None:
        nonlocal taken
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
            while until is None or time.monotonic() < until:
                with turn:
                    first = next(left, None)
                if first is None:
                    return
                ingested = _sent(connection, feed.batch(first, BATCH))
                with turn:
                    taken += ingested

    with ThreadPoolExecutor(2) as pool:
        for each in [pool.submit(client) for _ in range(2)]:
            each.result()
    return taken


def _sent(connection: http.client.HTTPConnection, body: bytes) -> int:
    connection.request("POST", "/api/v1/events/batch", body, JSON)
    reply = connection.getresponse()
    said = json.loads(reply.read())
    if reply.status != 200 or said["ingested"] != BATCH:
        raise BenchmarkFailed(f"POST /api/v1/events/batch answered {reply.status}: {str(said)[:300]}")
    return int(said["ingested"])


def _beside(port: int, feed: Feed, size: int) -> list[Row]:
    """Ingest as fast as it goes, while somebody reads."""
    took: dict[str, list[float]] = {read.name: [] for read in READS}
    over = threading.Event()

    def reader() -> None:
        random_ = random.Random(1)
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            while not over.is_set():
                for read in READS:
                    took[read.name].append(_took(connection, *read.make(random_, feed, size)))
                    over.wait(1 / READS_A_SECOND)

    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(reader)
        began = time.monotonic()
        taken = _post(port, feed, range(size, size + 500_000, BATCH), began + BESIDE)
        seconds = time.monotonic() - began
        over.set()
        reading.result()
    late = ", ".join(f"{name} {percentile(found, 0.95):.0f}" for name, found in took.items() if found)
    note = f"two connections, {BESIDE:g} s; meanwhile {READS_A_SECOND:g} reads/s, their p95 in ms: {late}"
    return [
        Row(
            name="beside",
            what="ingest beside readers",
            measured=taken / seconds,
            unit="events/s",
            wanted=5_000,
            note=note,
        )
    ]


def _lag(port: int, feed: Feed, first: int) -> list[Row]:
    """The indexer's lag, asked for ten times a second, while events come at a steady rate."""
    over = threading.Event()

    def sender() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            begun = time.monotonic()
            for number in range(round(BESIDE * STEADY / BATCH)):
                time.sleep(max(0.0, begun + number * BATCH / STEADY - time.monotonic()))
                _sent(connection, feed.batch(first + number * BATCH, BATCH))
        over.set()

    lags: list[float] = []
    with ThreadPoolExecutor(1) as pool:
        sending = pool.submit(sender)
        while not over.wait(0.1):
            lags.append(float(get(port, "/health/ready")["engines"]["indexer"]["lag_seconds"]))
            if sending.done():
                break
        sending.result()
    note = f"{STEADY:,} events/s for {BESIDE:g} s; most {max(lags):.2f} s"
    return [
        Row(name="lag", what="the index is behind by, p95", measured=percentile(lags, 0.95), unit="s", wanted=2,
            at_least=False, note=note)
    ]  # fmt: skip


def _restarted(directory: Path) -> list[Row]:
    began = time.monotonic()
    with serving(directory) as (_, port):
        get(port, "/api/v1/traces?limit=1")
        answered = time.monotonic() - began
        _took_search(port)
        searched = time.monotonic() - began
    return [
        Row(name="restart", what="restart to the first answer", measured=answered, unit="s", wanted=15, at_least=False,
            note=f"until the first search is answered: {searched:.1f} s")
    ]  # fmt: skip


def _took_search(port: int) -> float:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        return _took(connection, "POST", "/api/v1/search", {"query": "weather report"})
