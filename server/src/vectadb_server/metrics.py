"""What the server counts, in Prometheus' words. One :class:`Metrics` for each server; nothing is global."""

from __future__ import annotations

import collections
import math
import platform
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from vectadb_server import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.registry import Collector

    from vectadb_server.indexer import Lag

#: Statuses of requests that are turned away for what the client or the server cannot do now.
REFUSALS = (401, 403, 408, 413, 415, 429, 503)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts since the start of the process; :meth:`text` shows them."""

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self._events = Counter(
            "vectadb_events", "Events received, by what became of them.", ["status"], registry=registry
        )
        for status in ("accepted", "duplicate", "expired", "failed"):
            self._events.labels(status)
        self._requests = Histogram(
            "vectadb_request_seconds",
            "Time from the request's headers to the end of the reply.",
            ["method", "route", "status"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._refusals = Counter("vectadb_refusals", "Requests turned away, by status.", ["status"], registry=registry)
        for number in REFUSALS:
            self._refusals.labels(str(number))
        self.bytes = Counter(
            "vectadb_ingest_bytes", "Bytes in the bodies of ingest requests, decompressed.", registry=registry
        )
        self._limits = Gauge("vectadb_limit", "How much there may be at once.", ["limit"], registry=registry)
        self._used = Gauge("vectadb_limit_used", "How much there is now.", ["limit"], registry=registry)
        Info("vectadb_build", "What runs.", registry=registry).info(
            {"version": __version__, "python": platform.python_version()}
        )
        self._pending = Gauge(
            "vectadb_index_pending", "What the indexer has yet to do, by stage.", ["stage"], registry=registry
        )
        self._lag = Gauge("vectadb_index_lag_seconds", "Age of the oldest of it.", registry=registry)

        self._horizon = Gauge(
            "vectadb_horizon_timestamp_seconds",
            "Record time before which nothing is kept, since the epoch; 0: everything is.",
            registry=registry,
        )
        self._dropped_days = Counter("vectadb_dropped_days", "Days dropped as over the horizon.", registry=registry)
        self._freed = Counter("vectadb_freed_bytes", "Bytes of disk given back by retention.", registry=registry)

        self._erased = Counter("vectadb_erased_events", "Events erased that had been stored.", registry=registry)

    def erased(self, count: int) -> None:
        """Count events that were erased."""
        self._erased.inc(count)

    def horizon(self, us: int) -> None:
        """Note where the horizon is, microseconds since the epoch."""
        self._horizon.set(us / 1_000_000)

    def dropped(self, freed: int) -> None:
        """Count a day that was dropped, and the bytes that it gave back."""
        self._dropped_days.inc()
        self.gave_back(freed)

    def gave_back(self, freed: int) -> None:
        """Count bytes of the disk that are free again."""
        self._freed.inc(freed)

    def count(self, statuses: Iterable[str]) -> None:
        """Count events by what became of them."""
        for status, events in collections.Counter(statuses).items():
            self._events.labels(status).inc(events)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. ``route`` is the template, so that there are few of them."""
        self._requests.labels(method, route, str(status)).observe(seconds)
        if status in REFUSALS:
            self._refusals.labels(str(status)).inc()

    def limit(self, name: str, most: float, used: Callable[[], float]) -> None:
        """Show a bound, and what there is at every scrape."""
        self._limits.labels(name).set(most)
        self._used.labels(name).set_function(used)

    def lag(self, lag: Lag) -> None:
        """Note how far behind the indexer is."""
        self._pending.labels("outbox").set(lag.outbox)
        self._pending.labels("traces").set(lag.stale_traces)
        self._pending.labels("search").set(lag.search)
        self._lag.set(lag.seconds)

    def no_lag(self) -> None:
        """Note that nobody knows how far behind it is."""
        self._pending.clear()
        self._lag.set(math.nan)

    def text(self, present: Collector | None = None) -> bytes:
        """Return everything in Prometheus' text format, and after it what ``present`` collects."""
        return generate_latest(self._registry) + (generate_latest(present) if present is not None else b"")
