"""How late records become visible: learned from what is seen. All times are milliseconds.

Two delays add up. Between a record's own time and its ingestion: told by every record. Between ingestion and
visibility: told by a record that is seen for the first time though it had been ingested when its time was read before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import LogRecord
    from vectadb_agent_cloudwatch.slices import Slice

_STEP = 250
_PERCENTILE = 0.999
_ENOUGH = 20
_PERIOD = 300_000
_MOST_SAMPLES = 1024
_DATE_ERROR = 1_000
_READ_AGAIN = 0.8
"""How often a record may be found again by the slices after the one that found it first, on average. With the slice
that overlaps by ``most`` every five minutes, the head reads the data twice; four sweeps read them four times more."""


class Settle:
    """The learned delay of one group, between ``least`` and ``most``.

    ``delay`` is the 99.9th percentile of the delays seen in the last five to ten minutes, and a quarter more. Slices
    overlap by that, or by what can be afforded: what is later than that is the first sweep's. The first slice overlaps
    by ``most``, and once every five minutes one does, to notice that the delay has grown. ``poll``: between two slices.
    """

    def __init__(self, least: int, most: int, poll: int) -> None:
        self._least = least
        self._most = most
        self._poll = poll
        self._counts = [0] * (most // _STEP + 1)
        self._earlier: list[int] | None = None
        self._period_end: int | None = None
        self._seen: dict[int, int] = {}
        self._mask = 0
        self._previous: tuple[int, Slice] | None = None
        self.delay = least

    def overlap(self, now: int) -> int:
        """How far the next slice must reach back behind the last one, at AWS's ``now``."""
        if self._period_end is None or now >= self._period_end:
            return self._most
        return max(self._least, min(self.delay, self._affordable()))

    def _affordable(self) -> int:
        """The longest overlap with which a record is found again ``_READ_AGAIN`` times on average.

        Slices that reach back by ``back`` find a record again while its age is less than that: for ``back`` less its
        delay. So a group whose records are all late by the same time is read again no oftener than a prompt one.
        """
        counts = self._both()
        total, visible, back = sum(counts), 0, 0
        found_again, most = 0.0, self._poll * _READ_AGAIN
        while back < self._most and found_again <= most:
            visible += counts[back // _STEP]
            found_again += _STEP * (visible / total if total else 1)
            back += _STEP
        return back

    def learn(self, records: Sequence[LogRecord], now: int) -> None:
        """Look at a page of a head slice that was begun at AWS's ``now``."""
        mask, seen = self._mask, self._seen
        for record in records:
            key = hash((record.stream.log_stream, record.log_id))
            if key & mask or key in seen or record.ingestion_time is None:
                continue
            seen[key] = time = record.timestamp // 1000
            self._count(time, record.ingestion_time // 1000, now)
        while len(seen) > _MOST_SAMPLES:
            self._mask = mask = mask * 2 + 1
            self._seen = seen = {key: time for key, time in seen.items() if not key & mask}

    def _count(self, time: int, ingested: int, now: int) -> None:
        waited = max(0, ingested - time)
        if self._previous is not None:
            before, window = self._previous
            known = ingested <= before - _DATE_ERROR
            expected = window.start <= time or waited <= self.delay
            if known and expected and time >= before - 2 * self._most:
                waited = min(max(waited, now - time), self._most)
        if waited <= self._most:
            self._counts[waited // _STEP] += 1

    def finished(self, window: Slice, now: int) -> None:
        """The head slice ``window``, begun at AWS's ``now``, has been read to its end."""
        self._previous = (now, window)
        oldest = window.start - 2 * self._most
        self._seen = {key: time for key, time in self._seen.items() if time >= oldest}
        self.delay = self._learned()
        if self._period_end is None:
            self._period_end = now + _PERIOD
        elif now >= self._period_end:
            if sum(self._counts) >= _ENOUGH or self._earlier is not None:
                self._earlier, self._counts = self._counts, [0] * len(self._counts)
            self._period_end = now + _PERIOD

    def _both(self) -> list[int]:
        earlier = self._earlier or [0] * len(self._counts)
        return [a + b for a, b in zip(self._counts, earlier, strict=True)]

    def _learned(self) -> int:
        counts = self._both()
        total = sum(counts)
        if not total:
            return self.delay
        above, index = 0, len(counts) - 1
        while index and above + counts[index] <= total * (1 - _PERCENTILE):
            above += counts[index]
            index -= 1
        return min(self._most, max(self._least, (index + 1) * _STEP * 5 // 4))
