"""What the server counts, in Prometheus' words. One :class:`Metrics` for each server; nothing is global."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectadb_server.indexer import Lag

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
        self.overloads = Counter(
            "vectadb_ingest_overloads",
            "Ingest requests turned away: too many were in progress.",
            registry=registry,
        )
        self.in_progress = Gauge("vectadb_ingest_in_progress", "Ingest requests in progress.", registry=registry)
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

    def horizon(self, us: int) -> None:
        """Note where the horizon is, microseconds since the epoch."""
        self._horizon.set(us / 1_000_000)

    def dropped(self, freed: int) -> None:
        """Count a day that was dropped, and the bytes that it gave back."""
        self._dropped_days.inc()
        self._freed.inc(freed)

    def count(self, statuses: Iterable[str]) -> None:
        """Count events by what became of them."""
        for status in statuses:
            self._events.labels(status).inc()

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one request. ``route`` is the template, so that there are few of them."""
        self._requests.labels(method, route, str(status)).observe(seconds)

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

    def text(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
