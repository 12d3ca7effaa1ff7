"""What the metrics say of the present: read from the engines when Prometheus asks, beside what was counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import Metric

    from vectadb_server.services import Services
    from vectadb_server.vitals import Vitals


class Gauges(Collector):
    """The present of one server."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def collect(self) -> Iterable[Metric]:
        """Return all of it."""
        services = self._services
        yield _gauge(
            "vectadb_indexer_active",
            "Whether it is this server that indexes (1) or another (0).",
            services.indexer.here,
        )
        limiter = services.access.limiter
        if limiter is not None:
            leases = CounterMetricFamily(
                "vectadb_rate_limit_leases",
                "Blocks of tokens that this server took from the record, for keys with rates.",
            )
            leases.add_metric([], limiter.leases)
            yield leases
            yield _gauge("vectadb_rate_limit_buckets", "Rates of keys that this server has met.", limiter.buckets)
        if services.vitals is not None:
            yield from _of(services.vitals)


def _of(vitals: Vitals) -> Iterable[Metric]:
    figures, search = vitals.figures, vitals.search()
    yield _gauge("vectadb_record_open_days", "Days of the record that this server has open.", vitals.open_days)
    if figures.counted:
        rows = figures.rows.values()
        yield _gauge("vectadb_record_days", "Days of which something is held.", len(figures.rows))
        yield _gauge("vectadb_record_events", "Events held; each further record of a block counts too.", sum(rows))
        yield _gauge("vectadb_record_busiest_day_events", "Events of the day that has most.", max(rows, default=0))
    yield _gauge("vectadb_search_up", "Whether the search process answers.", search["alive"])
    yield _gauge("vectadb_search_documents", "Documents in the search index.", search["documents"])
    yield _gauge("vectadb_search_shards", "Days in the search index.", search["shards"])
    restarts = CounterMetricFamily("vectadb_search_restarts", "Times that the search process was started again.")
    restarts.add_metric([], search["restarts"])
    yield restarts
    yield _gauges("vectadb_stored_bytes", "Bytes on disk, at most a minute old.", "store", figures.stored)
    if figures.free is not None:
        yield _gauge("vectadb_disk_free_bytes", "What may still be written, min_free left alone.", figures.free)
    for kind in ("resident", "anonymous"):
        sizes = {name: getattr(memory, kind) for name, memory in figures.memory.items()}
        name, text = f"vectadb_process_{kind}_bytes", f"Memory of each process: {kind}."
        yield _gauges(name, text, "process", sizes)
    ratios: dict[str, float] = {use.of: use.ratio for use in vitals.capacity.uses}
    text = "Part of the capacity that is used; from 0.8 on there are warnings."
    yield _gauges("vectadb_capacity_ratio", text, "of", ratios)


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=float(value))


def _gauges(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    made = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        made.add_metric([key], float(value))
    return made
