"""Delivery: from finished blocks to a sink, in batches, until the sink has taken or refused each event.

An :class:`Outlet` joins one pipeline to one sink. It never drops: what cannot be delivered now is tried again for as
long as it takes, what never will be goes to the quarantine. What bounds its memory is the pipeline's budget of bytes in
flight (for a sink that is not required, its own).
"""

from __future__ import annotations

import logging
import math
import random
from collections import deque
from typing import TYPE_CHECKING, Literal

import anyio
import msgspec

from vectadb_agent.components import Figure, Result
from vectadb_agent.errors import CheckError, PermanentError, RetryableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence

    from vectadb_agent.components import Sink, SinkConfig
    from vectadb_agent.records import Event

logger = logging.getLogger("vectadb_agent.delivery")

Fate = Literal["delivered", "duplicate", "expired", "quarantined"]

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
"""Bounds of the pause between tries, seconds; each pause is drawn from 0 to a bound that doubles (full jitter)."""


RATE_MEMORY = 120.0
"""Seconds over which the usual rate of writes is averaged."""
RATE_KNOWN_AFTER = 15.0
"""Seconds that a sink must have worked for its usual rate to be known."""
LEAST_RATE = 0.2
"""Writes a second that are allowed after an outage, however few were usual."""
CATCH_UP_FACTOR = 20
"""How many times ``batch_size`` a batch may hold while an outage is caught up with; ``batch_bytes`` still holds."""


SMALL_IN_A_ROW = 3
"""Batches of the usual size, one after the other, after which an outage counts as caught up with."""


class Parcel(msgspec.Struct, gc=False):
    """The events of one block, first the one that carries its records; ``size`` in characters of log text."""

    events: list[Event]
    size: int


class Overlap(msgspec.Struct):
    """A block that shares only some of its records with what the sink has; ``unclaimed``: positions of the others."""

    parcel: Parcel
    unclaimed: list[int]


class _Pace:
    """How fast writes may go once a sink is back: at most twice as often as before it failed, until all is caught up.

    A server that comes back is met by what piled up for it; the herd must not push it over again. Times in seconds.
    """

    def __init__(self) -> None:
        self._rate = 0.0
        self._at: float | None = None
        self._since: float | None = None
        self._next = 0.0
        self._limit: float | None = None
        self._small = 0

    @property
    def limited(self) -> bool:
        """Whether an outage is being caught up with."""
        return self._limit is not None

    def wrote(self, now: float) -> None:
        """A write is made while all is well."""
        if self.limited:
            return
        if self._at is None or self._since is None:
            self._at = self._since = now
        self._rate = self._rate * math.exp((self._at - now) / RATE_MEMORY) + 1 / RATE_MEMORY
        self._at = now

    def failed(self, now: float) -> None:
        """The sink has begun to fail. What it was used to is known only if it worked for a while."""
        if self.limited or self._since is None or self._at is None or now - self._since < RATE_KNOWN_AFTER:
            return
        seen = 1 - math.exp((self._since - now) / RATE_MEMORY)
        usual = self._rate * math.exp((self._at - now) / RATE_MEMORY) / seen
        self._limit = max(2 * usual, LEAST_RATE)
        self._next = now

    def wait(self, now: float) -> float:
        """Take the next turn; return the seconds to wait for it."""
        if self._limit is None:
            return 0.0
        turn = max(self._next, now)
        self._next = turn + 1 / self._limit
        return turn - now

    def took(self, *, small: bool) -> None:
        """A turn was used. Several small batches in a row say that what had piled up is gone."""
        if self._limit is None:
            return
        self._small = self._small + 1 if small else 0
        if self._small >= SMALL_IN_A_ROW:
            self._limit = self._at = self._since = None
            self._rate, self._small = 0.0, 0


class Outlet:
    """The way from one pipeline to one sink.

    ``settled(parcel, fate)`` is called once for each parcel; ``quarantine(parcel, refused)`` must keep events durably;
    ``overlapping(overlap)`` is called instead of ``settled`` for a block whose other records must be shipped anew.
    ``failed(error)`` is called when the sink says that it will never work again; its events stay unsettled.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        *,
        settled: Callable[[Parcel, Fate], None],
        overlapping: Callable[[Overlap], None],
        quarantine: Callable[[Parcel, Sequence[tuple[Event, str]]], Awaitable[None]],
        failed: Callable[[CheckError], None],
        most_bytes: int,
    ) -> None:
        self.name = name
        self.sink = sink
        config: SinkConfig = sink.config
        self.config = config
        self.missed = 0
        """Events that a sink which is not required lagged too far behind to be offered."""
        self.retries = 0
        self._settled = settled
        self._overlapping = overlapping
        self._quarantine = quarantine
        self._failed = failed
        self._most_bytes = most_bytes
        self._queue: deque[tuple[float, Parcel]] = deque()
        self._queued_events = 0
        self._queued_bytes = 0
        self._offered = anyio.Event()
        self._slots = anyio.Semaphore(config.concurrency)
        self._failing_since: float | None = None
        self._probe = anyio.Lock()
        self._pace = _Pace()
        self.trouble: str | None = None
        """Why the sink takes nothing now, in its own words."""
        self.hurry = False
        """Do not wait for batches to fill: the pipeline is ending."""

    def offer(self, parcel: Parcel) -> None:
        """Queue a block's events. Does not wait: the caller keeps the budget."""
        if not self.config.required and self._queued_bytes + parcel.size > self._most_bytes and self._queue:
            if not self.missed:
                logger.warning(
                    "sink lags behind and is not required: it misses events from now on", extra={"sink": self.name}
                )
            self.missed += len(parcel.events)
            self._settled(parcel, "delivered")
            return
        self._queue.append((anyio.current_time(), parcel))
        self._queued_events += len(parcel.events)
        self._queued_bytes += parcel.size
        self._offered.set()

    async def run(self) -> None:
        """Deliver what is offered, until cancelled."""
        async with anyio.create_task_group() as group:
            while True:
                await self._wait_for_batch()
                await self._slots.acquire()
                if self._failing_since is None:
                    await anyio.sleep(self._pace.wait(anyio.current_time()))
                if not self._queue:
                    self._slots.release()
                    continue
                parcels = self._take()
                if self._failing_since is None:
                    count = sum(len(parcel.events) for parcel in parcels)
                    self._pace.took(small=count <= self.config.batch_size)
                group.start_soon(self._deliver_and_release, parcels)

    def rush(self) -> None:
        """Send what is queued without waiting for batches to fill."""
        self.hurry = True
        self._offered.set()

    async def _wait_for_batch(self) -> None:
        while True:
            if not self._queue:
                self._offered = anyio.Event()
                await self._offered.wait()
                continue
            full = self._queued_events >= self.config.batch_size or self._queued_bytes >= self.config.batch_bytes
            wait = self._queue[0][0] + self.config.batch_age - anyio.current_time()
            if full or self.hurry or wait <= 0:
                return
            self._offered = anyio.Event()
            with anyio.move_on_after(wait):
                await self._offered.wait()

    def _take(self) -> list[Parcel]:
        parcels: list[Parcel] = []
        count = size = 0
        # What an outage has piled up goes in large batches: fewer requests for the same events.
        most = self.config.batch_size * (CATCH_UP_FACTOR if self._pace.limited else 1)
        while self._queue:
            parcel = self._queue[0][1]
            count += len(parcel.events)
            size += parcel.size
            if parcels and (count > most or size > self.config.batch_bytes):
                break
            self._queue.popleft()
            self._queued_events -= len(parcel.events)
            self._queued_bytes -= parcel.size
            parcels.append(parcel)
        return parcels

    async def _deliver_and_release(self, parcels: list[Parcel]) -> None:
        try:
            await self._deliver(parcels)
        finally:
            self._slots.release()

    async def _deliver(self, parcels: list[Parcel]) -> None:
        attempt = 0
        while parcels:
            try:
                result = _told(await self._write(parcels))
            except CheckError as error:
                self._failed(error)
                await anyio.sleep_forever()
            except PermanentError as error:
                if len(parcels) > 1:
                    # One event that the other side cannot take must not condemn its neighbours.
                    middle = len(parcels) // 2
                    await self._deliver(parcels[:middle])
                    await self._deliver(parcels[middle:])
                else:
                    await self._refuse(parcels[0], [(event, str(error)) for event in parcels[0].events])
                return
            except RetryableError as error:
                await self._pause(attempt, str(error), error.retry_after)
            except Exception as error:
                logger.exception("sink failed unexpectedly", extra={"sink": self.name})
                await self._pause(attempt, f"{type(error).__name__}: {error}", None)
            else:
                parcels = await self._sort_out(parcels, result)
                if parcels:
                    await self._pause(attempt, "the sink asked to be offered some events again", None)
            attempt += 1

    async def _write(self, parcels: list[Parcel]) -> Result:
        events = [event for parcel in parcels for event in parcel.events]
        if self._failing_since is None:
            self._pace.wrote(anyio.current_time())
            return await self.sink.write(events)
        # While the other side is down one batch at a time asks whether it is back: no herd when it is.
        async with self._probe:
            result = await self.sink.write(events)
        if self._failing_since is not None:
            logger.info(
                "sink takes events again",
                extra={"sink": self.name, "after_seconds": round(anyio.current_time() - self._failing_since, 1)},
            )
            self._failing_since = self.trouble = None
        return result

    async def _pause(self, attempt: int, reason: str, retry_after: float | None) -> None:
        self.retries += 1
        bound = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** min(attempt, 16))
        pause = max(random.uniform(0, bound), min(retry_after or 0, 300))
        self.trouble = reason
        if self._failing_since is None:
            self._failing_since = anyio.current_time()
            self._pace.failed(self._failing_since)
            logger.warning(
                "sink does not take events; nothing is lost, trying again",
                extra={"sink": self.name, "error": reason, "pause_seconds": round(pause, 2)},
            )
        elif attempt and attempt % 8 == 0:
            logger.warning(
                "sink still does not take events",
                extra={
                    "sink": self.name,
                    "error": reason,
                    "for_seconds": round(anyio.current_time() - self._failing_since),
                },
            )
        await anyio.sleep(pause)

    async def _sort_out(self, parcels: list[Parcel], result: Result) -> list[Parcel]:
        """Settle what the sink decided; return what it wants to be offered again."""
        if not (result.duplicate or result.expired or result.refused or result.overlapping):
            for parcel in parcels:
                self._settled(parcel, "delivered")
            return []
        duplicate, expired = set(result.duplicate), set(result.expired)
        refused = {event_id: (reason, retryable) for event_id, reason, retryable in result.refused}
        overlapping = dict(result.overlapping)
        again: list[Parcel] = []
        for parcel in parcels:
            first = parcel.events[0].event_id
            lost = [(event, refused[event.event_id]) for event in parcel.events if event.event_id in refused]
            if any(retryable for _, (_, retryable) in lost):
                again.append(parcel)
            elif lost:
                await self._refuse(parcel, [(event, reason) for event, (reason, _) in lost])
            elif first in overlapping:
                self._overlapping(Overlap(parcel, list(overlapping[first])))
            elif first in duplicate:
                self._settled(parcel, "duplicate")
            elif first in expired:
                self._settled(parcel, "expired")
            else:
                self._settled(parcel, "delivered")
        return again

    async def _refuse(self, parcel: Parcel, refused: list[tuple[Event, str]]) -> None:
        await self._quarantine(parcel, refused)
        head = parcel.events[0].event_id
        self._settled(parcel, "quarantined" if any(e.event_id == head for e, _ in refused) else "delivered")

    def figures(self) -> Iterator[Figure]:
        """Tell how the sink is doing."""
        yield Figure("queued_events", "Events that wait for their batch.", self._queued_events)
        yield Figure("queued_bytes", "Log text that waits for its batch.", self._queued_bytes)
        yield Figure("retries_total", "Writes that were put off after a failure.", self.retries, "counter")
        yield Figure(
            "missed_events_total", "Events that a lagging optional sink was not offered.", self.missed, "counter"
        )
        yield Figure("failing", "1 while the sink takes nothing.", float(self._failing_since is not None))


def _told(result: object) -> Result:
    """What a sink returned, if it is what a sink must return: else its batch would be settled on a guess."""
    if not isinstance(result, Result):
        raise TypeError(f"write() returned {result!r}; a Result is wanted")
    return result
