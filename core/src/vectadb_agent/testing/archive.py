"""A log that tests can add to, late or early, and that can be read again: what CloudWatch is to the real source."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar

import anyio

from vectadb_agent.components import Batch, Checkpoint, ComponentConfig, Source
from vectadb_agent.records import LogRecord, LogStream

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

ORIGIN = LogStream("archive", "1", "eu", "/g", "")


class ArchiveSource(Source):
    """Reads forward once: what is put behind where the reading is, only a sweep finds.

    ``time`` is its present, microseconds, which the test moves by :meth:`move_to`.
    """

    name = "archive"
    seekable: ClassVar[bool] = True

    def __init__(self, *, ages: Sequence[float] = (), page: int = 100, time: int = 0) -> None:
        super().__init__(ComponentConfig(type="archive"))
        self.time = time
        self.page = page
        self.read_again: list[tuple[int, int]] = []
        """The stretches that were asked for."""
        self._ages = tuple(ages)
        self._records: dict[str, list[LogRecord]] = defaultdict(list)
        self._changed = anyio.Event()

    @property
    def sweep_ages(self) -> Sequence[float]:
        """As given."""
        return self._ages

    def put(self, *records: LogRecord) -> None:
        """Make records visible now."""
        for record in records:
            self._records[record.stream.log_group].append(record)
        self._change()

    def move_to(self, time: int) -> None:
        """Let time pass."""
        self.time = time
        self._change()

    def _change(self) -> None:
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def now(self) -> int:
        """The test's time."""
        return self.time

    async def partitions(self) -> list[str]:
        """Every log group that something was put into."""
        return sorted(self._records)

    async def origin(self, partition: str) -> LogStream:
        """System, account and region are always the same."""
        return LogStream(ORIGIN.system, ORIGIN.account, ORIGIN.region, partition, "")

    async def read(self, after: Mapping[str, Checkpoint], *, drain: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield what is dated from the checkpoint up to the present, again and again."""
        marks = {partition: checkpoint["time"] for partition, checkpoint in after.items()}
        while True:
            changed, now = self._changed, self.time
            for partition in sorted(self._records):
                new = partition not in marks
                since = marks.setdefault(partition, 0)
                marks[partition] = max(since, now)
                for batch in _pages(partition, self._between(partition, since, now), self.page):
                    yield batch
                yield Batch(
                    partition=partition,
                    records=(),
                    checkpoint={"time": now},
                    read_through=now,
                    read_from=0 if new else None,
                    forget_before=now,
                )
            if drain:
                return
            await changed.wait()

    async def reread(self, partition: str, since: int, until: int) -> AsyncGenerator[Batch, None]:
        """Yield what is visible of the stretch."""
        self.read_again.append((since, until))
        for batch in _pages(partition, self._between(partition, since, until), self.page):
            await anyio.lowlevel.checkpoint()
            yield batch

    def _between(self, partition: str, since: int, until: int) -> list[LogRecord]:
        found = [record for record in self._records[partition] if since <= record.timestamp < until]
        return sorted(found, key=lambda record: record.timestamp)


def _pages(partition: str, records: Sequence[LogRecord], size: int) -> Iterable[Batch]:
    for start in range(0, len(records), size):
        yield Batch(partition=partition, records=records[start : start + size])
