"""Reads one log group, slice by slice, for ever or up to now."""

from __future__ import annotations

import logging
import random
import zlib
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vectadb_agent import Batch
from vectadb_agent_cloudwatch.failures import ApiError, full_jitter, is_round
from vectadb_agent_cloudwatch.remedies import remedy
from vectadb_agent_cloudwatch.settle import Settle
from vectadb_agent_cloudwatch.slices import FIRST_SIZE, TOO_MANY_PAGES, Position, Slice, advance, plan, resize, shorten
from vectadb_agent_cloudwatch.tally import HEAD, Tally

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from vectadb_agent_cloudwatch.pages import Pages, Pass

log = logging.getLogger("vectadb_agent.cloudwatch")

CHECKPOINT_VERSION = 1
_FORGET_MARGIN = 60_000
_CHECKPOINT_EVERY = 60_000
_QUIET = 10_000
_RESTART_CAP = 20.0
_TROUBLE_CAP = 300.0
_PHASES = 20
_POLLS_MISSED = 2
_POLL_TAKES = 5_000


@dataclass(frozen=True)
class Pace:
    """Times of a group's reading: ``poll`` in seconds, the others in milliseconds."""

    poll: float
    settle_min: int
    settle_max: int


class _GivenUp(Exception):
    """The slice is too long; a shorter one comes next."""


def watermark_of(checkpoint: dict[str, Any]) -> int:
    """The watermark in a saved checkpoint, in milliseconds.

    Raises:
        ValueError: the checkpoint is not one of ours, or of a later version.
    """
    version, watermark = checkpoint.get("version"), checkpoint.get("watermark")
    if version != CHECKPOINT_VERSION or not isinstance(watermark, int):
        raise ValueError(f"expected version {CHECKPOINT_VERSION} and a watermark in microseconds, found {checkpoint!r}")
    return watermark // 1000


def checkpoint_of(watermark: int) -> dict[str, Any]:
    """The checkpoint to save for a watermark in milliseconds."""
    return {"version": CHECKPOINT_VERSION, "watermark": watermark * 1000}


def until_next_poll(name: str, poll: float, now: float) -> float:
    """Seconds until a group's next turn: each has its phase of the interval, so that not all poll at once.

    Some do: polls that follow each other closely find the processor's caches warm, and cost a quarter less.
    """
    phase = zlib.crc32(name.encode()) % _PHASES * poll / _PHASES
    return poll - (now - phase) % poll


class GroupReader:
    """The reading of one group: knows its position, hands batches to ``emit``, which returns when they are taken.

    ``now``: AWS's now in milliseconds. ``sleep``: waits that many seconds.
    """

    def __init__(
        self,
        name: str,
        position: Position,
        pages: Pages,
        emit: Callable[[Batch], Awaitable[None]],
        *,
        pace: Pace,
        now: Callable[[], int],
        sleep: Callable[[float], Awaitable[None]],
        tally: Tally | None = None,
    ) -> None:
        self.name = name
        self.position = position
        self.settle = Settle(pace.settle_min, pace.settle_max, int(pace.poll * 1000))
        self._pages = pages
        self._emit = emit
        self._pace = pace
        self._now = now
        self._sleep = sleep
        self._size = FIRST_SIZE
        self._began = 0
        self._newest = 0
        self._read_through = 0
        self._saved: int | None = None
        self._unmentioned = True
        self.failed: ApiError | None = None
        """Why the group could not be read when that was tried last."""
        self._tally = tally or Tally()

    @property
    def newest(self) -> int | None:
        """Time of the newest record seen, milliseconds."""
        return self._newest or None

    @property
    def lag(self) -> float:
        """Seconds between the newest record that can be seen and the time up to which all has been read.

        Where a few polls have passed without reading to the end, nobody knows what can be seen: up to the present.
        """
        now = self._now()
        if now - self.position.watermark > _POLLS_MISSED * self._pace.poll * 1000 + _POLL_TAKES:
            seen = now
        else:
            seen = min(self._newest, now)
        return max(0, seen - self.position.watermark) / 1000

    async def run(self, *, drain: bool = False) -> None:
        """Read for ever; with ``drain``, until the head has been read once, or the group cannot be read.

        Raises:
            ApiError: kind ``credentials`` or ``setup``: nothing can be read at all.
        """
        restarts = troubles = 0
        await self._mark_start()
        while True:
            now = self._began = self._now()
            window = self._plan(now, self._size)
            try:
                pages = await self._read(window)
            except _GivenUp:
                self._size = shorten(self._size)
                log.info("slice too long, reading shorter ones", extra=self._context(window))
            except ApiError as error:
                if error.kind in ("credentials", "setup"):
                    raise
                if error.kind == "token":
                    restarts += 1
                    await self._restart(window, restarts, error)
                elif drain:
                    self._report(error, 1, 0)
                    return
                else:
                    troubles += 1
                    pause = min(_TROUBLE_CAP, self._pace.poll * 2 ** min(troubles - 1, 30))
                    pause *= random.uniform(0.75, 1)
                    self._report(error, troubles, pause)
                    await self._sleep(pause)
            else:
                if troubles:
                    log.info("log group is readable again", extra={"log_group": self.name})
                restarts = troubles = 0
                self.failed = None
                if not window.head:
                    self._size = resize(self._size, pages)
                elif drain:
                    return
                else:
                    await self._sleep(until_next_poll(self.name, self._pace.poll, self._now() / 1000))

    def _plan(self, now: int, size: int) -> Slice:
        overlap = self.settle.overlap(now)
        return plan(self.position, now=now, overlap=overlap, settle_max=self._pace.settle_max, size=size)

    async def _read(self, window: Slice) -> float:
        """Read a slice to its end; return its pages, in full ones.

        Raises:
            _GivenUp: it is too long.
            ApiError: it, or the rest of it, cannot be had.
        """
        passes = deque(await self._pages.passes())
        weight, anything = 0.0, False
        while passes:
            part = passes.popleft()
            token, seen = None, set[str]()
            while True:
                try:
                    async with self._pages.page(part, window, token) as page:
                        weight += page.weight
                        self._tally.page(HEAD, len(page.records))
                        anything = anything or bool(page.records)
                        if page.records and window.head:
                            self.settle.learn(page.records, self._began)
                        if page.next is None and not passes:
                            await self._finish(window, page.records, anything)
                            return weight
                        if page.records:
                            self._noted(page.records)
                            await self._emit(Batch(partition=self.name, records=page.records))
                        token = page.next
                        del page  # or each waiting group would keep its last page in memory
                except ApiError as error:
                    if not (error.missing_stream and part.streams):
                        raise
                    passes.extendleft(self._without_missing(part, error))
                    break
                if token is None:
                    break
                if token in seen:
                    raise ApiError("token", "AWS gave the same page token twice")
                seen.add(token)
                if weight >= TOO_MANY_PAGES and self._plan(self._began, shorten(self._size)).end < window.end:
                    raise _GivenUp
        await self._finish(window, [], anything)
        return weight

    def _without_missing(self, part: Pass, error: ApiError) -> list[Pass]:
        """AWS refuses a request in which one stream does not exist: halve it until that one is alone."""
        streams = part.streams
        if len(streams) == 1:
            if self._unmentioned:
                self._unmentioned = False
                log.warning(
                    "log stream does not exist",
                    extra={
                        "log_group": self.name,
                        "log_stream": streams[0],
                        "error": str(error),
                        "remedy": remedy(error, self.name),
                    },
                )
            return []
        half = len(streams) // 2
        return [type(part)(streams[half:]), type(part)(streams[:half])]

    async def _finish(self, window: Slice, records: list[Any], anything: bool) -> None:
        """The slice's last page: only now does the watermark move, and the checkpoint with it."""
        self._noted(records)
        now = self._began
        position = advance(self.position, window, now=now)
        if window.head:
            self.settle.finished(window, now)
        self._read_through = max(self._read_through, min(window.end, now - self.settle.delay))
        # An idle group would otherwise cost a write to the disk at each poll.
        quiet = self._read_through > self._newest + _QUIET and not anything and window.head
        self.position = position
        if quiet and self._saved is not None and position.watermark < self._saved + _CHECKPOINT_EVERY:
            return
        self._saved = position.watermark if self._read_through > self._newest + _QUIET else None
        await self._emit(self._checkpoint_batch(records))

    async def _mark_start(self) -> None:
        """Have the start of a group never read saved, so that a restart before its first slice does not move it."""
        if self.position.floor:
            batch = self._checkpoint_batch([])
            batch.read_from = self.position.floor * 1000
            await self._emit(batch)

    def _checkpoint_batch(self, records: list[Any]) -> Batch:
        forget = self.position.oldest_reread - self._pace.settle_max - _FORGET_MARGIN
        return Batch(
            partition=self.name,
            records=records,
            checkpoint=checkpoint_of(self.position.watermark),
            read_through=self._read_through * 1000 or None,
            forget_before=max(0, forget) * 1000,
        )

    def _noted(self, records: list[Any]) -> None:
        if records:
            self._newest = max(self._newest, max(record.timestamp for record in records) // 1000)

    async def _restart(self, window: Slice, restarts: int, error: ApiError) -> None:
        if is_round(restarts):
            log.warning(
                "page token lost, reading the slice again from its beginning",
                extra=self._context(window) | {"failures": restarts, "error": str(error)},
            )
        if restarts > 2:
            self._size = shorten(self._size)
        await self._sleep(full_jitter(restarts, _RESTART_CAP))

    def _report(self, error: ApiError, troubles: int, pause: float) -> None:
        self.failed = error
        log.warning(
            "log group cannot be read",
            extra={
                "log_group": self.name,
                "error": str(error),
                "remedy": remedy(error, self.name),
                "failures": troubles,
                "pause_seconds": round(pause, 1),
            },
        )

    def _context(self, window: Slice) -> dict[str, Any]:
        return {"log_group": self.name, "slice_start_ms": window.start, "slice_end_ms": window.end}
