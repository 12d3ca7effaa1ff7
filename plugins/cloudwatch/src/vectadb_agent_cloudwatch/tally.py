"""What the source tells of itself: how much it has asked and read, and how far behind each group is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vectadb_agent import Figure

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from vectadb_agent_cloudwatch.failures import ApiError
    from vectadb_agent_cloudwatch.quota import TokenBucket
    from vectadb_agent_cloudwatch.reader import GroupReader

HEAD, AGAIN = "head", "again"
"""Whether what is read is new, or past that is read again."""


@dataclass
class Tally:
    """Counts since the source was made."""

    requests: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    pages: Counter[str] = field(default_factory=Counter)
    records: Counter[str] = field(default_factory=Counter)
    throttles: int = 0

    def failed(self, error: ApiError) -> None:
        """A request was not answered as it should be."""
        if error.kind == "throttled":
            self.throttles += 1
        else:
            self.errors[error.kind] += 1

    def page(self, reading: str, records: int) -> None:
        """A page came, of so many records."""
        self.pages[reading] += 1
        self.records[reading] += records

    def figures(self) -> Iterator[Figure]:
        """The counts."""
        text = "Requests to CloudWatch Logs."
        for operation, count in self.requests.items():
            yield Figure("source_requests_total", text, count, "counter", (("operation", operation),))
        text = "Pages read, empty ones included; `again`: past that is read again by sweeps, audit or backfill."
        for reading in (HEAD, AGAIN):
            yield Figure("source_pages_total", text, self.pages[reading], "counter", (("reading", reading),))
        text = "Records in those pages."
        for reading in (HEAD, AGAIN):
            yield Figure("source_records_total", text, self.records[reading], "counter", (("reading", reading),))
        yield Figure("source_throttles_total", "Requests that AWS refused for their rate.", self.throttles, "counter")
        text = "Requests that failed otherwise, by what can be done about it."
        for kind, count in self.errors.items():
            yield Figure("source_errors_total", text, count, "counter", (("kind", kind),))


def allowed_figures(buckets: Mapping[tuple[str, str], TokenBucket]) -> Iterator[Figure]:
    """The rates that requests are let through at; ``buckets`` by operation and account."""
    text = "Requests a second let through, of all that share the quota on this machine; less while AWS throttles."
    rates = {operation: bucket.rate for (operation, _), bucket in buckets.items()}  # the last account is the known one
    for operation, rate in rates.items():
        yield Figure("source_allowed_requests_per_second", text, rate, labels=(("operation", operation),))


def group_figures(readers: Iterable[GroupReader]) -> Iterator[Figure]:
    """How far behind each group is."""
    for reader in readers:
        labels = (("log_group", reader.name),)
        text = (
            "Between the newest record seen and the time up to which all is read; where reading is held up, the present"
        )
        yield Figure("source_lag_seconds", text + ".", reader.lag, labels=labels)
        if reader.newest is not None:
            text = "Time of the newest record seen, in seconds since 1970."
            yield Figure("source_newest_record_timestamp_seconds", text, reader.newest / 1000, labels=labels)
        text = "How far back the newest records are read again, as learned from how late they appear."
        yield Figure("source_settle_seconds", text, reader.settle.delay / 1000, labels=labels)
