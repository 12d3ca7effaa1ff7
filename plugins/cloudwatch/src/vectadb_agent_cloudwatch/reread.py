"""Reads a stretch of a group's past once more, whoever has read it before. All times are milliseconds.

FilterLogEvents gives a whole group in the order of time: its pages are handed on as they come. Where a stretch takes
several passes (more streams than one request may name, or GetLogEvents), it is cut so short that all passes together
make about a page, which is then sorted.
"""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING

import anyio

from vectadb_agent import Batch
from vectadb_agent_cloudwatch.failures import ApiError, full_jitter, is_round
from vectadb_agent_cloudwatch.pages import STREAMS_PER_CALL, Page, Pass
from vectadb_agent_cloudwatch.slices import MOST_SIZE, TOO_MANY_PAGES, Slice, shorten
from vectadb_agent_cloudwatch.tally import AGAIN, Tally

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

    from vectadb_agent import LogRecord
    from vectadb_agent_cloudwatch.pages import Pages

log = logging.getLogger("vectadb_agent.cloudwatch")

_RESTART_CAP = 20.0
_FEW_PAGES = 10
_MOST_GATHERED = 10_000
_MOST_GATHERED_CHARACTERS = 1_000_000


class _StreamMissing(Exception):
    """AWS refuses a request because one of these streams does not exist."""

    def __init__(self, streams: tuple[str, ...]) -> None:
        super().__init__()
        self.streams = streams


class _TooLong(Exception):
    """The stretch is better not read to its end in one go."""


class Rereading:
    """One reading of a group, from ``start`` to ``end``, both included.

    ``gathering`` lets one rereading at a time put together the passes of a stretch, which takes memory.
    """

    def __init__(
        self,
        group: str,
        pages: Pages,
        start: int,
        end: int,
        *,
        gathering: anyio.Semaphore,
        tally: Tally | None = None,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self._group = group
        self._pages = pages
        self._mark = start  # all before it has been handed on, and of its own millisecond the records of these ids
        self._ids: set[tuple[str, str]] = set()
        self._end = end
        self._gathering = gathering
        self._tally = tally or Tally()
        self._sleep = sleep
        self._size = MOST_SIZE
        self._restarts = 0
        self._absent: set[str] = set()
        self._width = STREAMS_PER_CALL

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Yield all records that are visible now, in the order of time.

        Raises:
            ApiError: the group cannot be read, and trying again would not help.
        """
        while self._mark <= self._end:
            begun = self._mark
            window = Slice(begun, min(self._end, begun + self._size - 1), head=False)
            together = False
            try:
                parts = self._present(await self._pages.passes())
                together = len(parts) > 1 and window.end > window.start
                pages = self._gathered(parts, window) if together else self._chained(parts, window)
                async with aclosing(pages):
                    async for page in pages:
                        page.records = self._fresh(page.records, window)
                        if page.records:
                            yield Batch(partition=self._group, records=_emptied(page))
            except _TooLong:
                if together:
                    self._size = max(1, (window.end - window.start + 1) // 8)
            except _StreamMissing as missing:
                self._leave_out(missing.streams)
            except ApiError as error:
                if error.kind != "token":
                    raise
                self._restarts = self._restarts + 1 if self._mark == begun else 1
                await self._pause(error)
            else:
                self._mark, self._ids, self._restarts = window.end + 1, set(), 0
                if len(parts) > 1 and not together:  # it was a single millisecond
                    self._size = 4

    async def _chained(self, parts: Sequence[Pass], window: Slice) -> AsyncGenerator[Page, None]:
        """The pages of a stretch as they come; the taker empties each."""
        for part in parts:
            token, seen, weight = None, set[str](), 0.0
            while True:
                try:
                    async with self._pages.page(part, window, token) as page:
                        token, weight = page.next, weight + page.weight
                        self._tally.page(AGAIN, len(page.records))
                        yield page
                except ApiError as error:
                    if error.missing_stream and part.streams:
                        raise _StreamMissing(part.streams) from error
                    raise
                if token is None:
                    break
                if token in seen:
                    raise ApiError("token", "AWS gave the same page token twice")
                seen.add(token)
                # A token is good for a day: none gets old if now and then a chain begins anew, at the last record.
                if weight >= TOO_MANY_PAGES and len(parts) == 1 and self._mark > window.start:
                    raise _TooLong
        if len(parts) == 1 and weight < _FEW_PAGES:
            self._size *= 8

    async def _gathered(self, parts: Sequence[Pass], window: Slice) -> AsyncGenerator[Page, None]:
        """One page, made of all passes."""
        async with self._gathering:
            whole, characters = Page([], None), 0
            async with aclosing(self._chained(parts, window)) as pages:
                async for page in pages:
                    whole.records += page.records
                    characters += sum(len(record.message) for record in page.records)
                    page.records = []
                    if len(whole.records) > _MOST_GATHERED or characters > _MOST_GATHERED_CHARACTERS:
                        raise _TooLong
            if len(whole.records) < _MOST_GATHERED // 8 and characters < _MOST_GATHERED_CHARACTERS // 8:
                self._size *= 4
            whole.records.sort(key=_in_order)
            yield whole

    def _fresh(self, records: list[LogRecord], window: Slice) -> list[LogRecord]:
        """Those of the records that are of the stretch and have not been handed on; the mark moves to the last."""
        first, last = window.start * 1000, window.end * 1000
        if self._ids or (records and not first <= records[0].timestamp <= records[-1].timestamp <= last):
            records = [r for r in records if first <= r.timestamp <= last and _identity(r) not in self._ids]
        if records:
            time = records[-1].timestamp
            if time != self._mark * 1000:
                self._mark, self._ids = time // 1000, set()
            for record in reversed(records):
                if record.timestamp != time:
                    break
                self._ids.add(_identity(record))
        return records

    def _present(self, passes: Sequence[Pass]) -> list[Pass]:
        """The passes without the streams that are known not to exist, none of more streams than AWS has taken."""
        named = [part for part in passes if part.streams]
        if not named or (not self._absent and self._width >= STREAMS_PER_CALL):
            return list(passes)
        parts = []
        for part in named:
            streams = [stream for stream in part.streams if stream not in self._absent]
            parts += [Pass(tuple(streams[i : i + self._width])) for i in range(0, len(streams), self._width)]
        return parts

    def _leave_out(self, streams: tuple[str, ...]) -> None:
        """One of the streams does not exist: ask for fewer at once until that one is alone, then never for it."""
        if len(streams) == 1:
            self._absent.update(streams)
            self._width = STREAMS_PER_CALL
        else:
            self._width = len(streams) // 2

    async def _pause(self, error: ApiError) -> None:
        if is_round(self._restarts):
            log.warning(
                "page token lost, reading on from the last record",
                extra={
                    "log_group": self._group,
                    "from_ms": self._mark,
                    "failures": self._restarts,
                    "error": str(error),
                },
            )
        if self._restarts > 2:
            self._size = min(self._size, shorten(self._size))
        await self._sleep(full_jitter(self._restarts, _RESTART_CAP))


def _emptied(page: Page) -> list[LogRecord]:
    """The page's records, which the taker alone holds from here on."""
    records, page.records = page.records, []
    return records


def _identity(record: LogRecord) -> tuple[str, str]:
    return record.stream.log_stream, record.log_id


def _in_order(record: LogRecord) -> tuple[int, int]:
    return record.timestamp, record.ingestion_time or 0
