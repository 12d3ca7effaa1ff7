"""Following: events as they become known, in order of arrival, to any number of clients, each at its own pace.

One task for all clients looks for new rows of the tail and keeps the newest of them with their events; a client that is
slower than that reads the rows itself, and so never costs more memory than one row. One that is slower than rows are
kept is told that there is a gap.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Literal, NamedTuple

from vectadb_server.expiry import nothing_expired
from vectadb_server.selection import is_event
from vectadb_server.stores.base import StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from vectadb_server.expiry import Expired
    from vectadb_server.model import Event
    from vectadb_server.stores.base import EventFilter, RecordReader
    from vectadb_server.stores.tail import Tail, TailRow

_log = logging.getLogger(__name__)

#: Seconds between two looks for what other servers wrote, and between two signs of life.
POLL, HEARTBEAT = 0.5, 15.0
#: Rows that are kept with their events.
KEPT = 16
_PLACE = re.compile(r"(\d{1,18})\.(\d{1,9})", re.ASCII)


class TooMany(Exception):
    """There are as many followers as there may be."""


class Place(NamedTuple):
    """What a follower has: all of the rows before ``number``, and so many events of that one."""

    number: int
    events: int = 0

    def __str__(self) -> str:
        return f"{self.number}.{self.events}"


class Note(NamedTuple):
    """What a follower is told. ``place``: where to resume after it.

    ``gap``: events between the place before and this one are not known any more; ``alive``: nothing new.
    """

    kind: Literal["event", "gap", "alive"]
    place: Place
    event: Event | None = None


class _Loaded(NamedTuple):
    number: int
    events: list[tuple[int, Event]]


def read_place(text: str) -> Place:
    """Undo ``str(place)``.

    Raises:
        ValueError: it is no place.
    """
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(f"found {text[:100]!r}; expected the id of an event of this stream, as it was")
    return Place(int(found[1]), int(found[2]))


class Following:
    """One for each server: ``async with Following(…)`` runs it; :meth:`stop` ends all followers."""

    def __init__(
        self,
        tail: Tail,
        record: RecordReader,
        *,
        most: int = 64,
        expired: Callable[[], Awaitable[Expired]] = nothing_expired,
    ) -> None:
        """Take what there is to follow; ``expired()`` says which traces were erased, ``most`` how many may follow."""
        self._tail, self._record, self._most, self._expired = tail, record, most, expired
        self._erased: Mapping[str, frozenset[str]] = {}
        self._recent: deque[_Loaded] = deque(maxlen=KEPT)
        self._newest = 0  # what the task has come to
        self._news = asyncio.Condition()
        self._stopping = False
        self._task: asyncio.Task[None] | None = None
        #: How many follow now.
        self.followers = 0

    async def __aenter__(self) -> Following:
        """Nothing runs before there is a follower."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    async def stop(self) -> None:
        """End all followers, in order."""
        self._stopping = True
        await self._end_task()
        async with self._news:
            self._news.notify_all()

    @contextlib.asynccontextmanager
    async def joined(self) -> AsyncIterator[None]:
        """Count as a follower.

        Raises:
            TooMany: there are too many.
            StoreUnavailable: the record does not answer.
        """
        if self.followers >= self._most:
            raise TooMany(f"{self._most} clients follow already, the most that there may be")
        self.followers += 1
        try:
            if self._task is None:
                self._newest = await self._tail.last()
                self._recent.clear()
                if self._task is None:
                    self._task = asyncio.create_task(self._look(), name="looking for new events")
            yield
        finally:
            self.followers -= 1
            if not self.followers:
                await self._end_task()

    async def follow(self, where: EventFilter, place: Place | None = None) -> AsyncIterator[Note]:
        """Tell of events that became known after ``place`` (``None``: from now on), and every so often of none.

        It ends when the server stops. An event whose text has grown comes again.

        Raises:
            StoreUnavailable: the record does not answer; resume at the last note's place.
        """
        at = place or Place(self._newest + 1)
        if at.number > self._newest + 1:  # of another record, or of one that was restored
            at = Place(self._newest + 1)
            yield Note("gap", at)
        else:
            yield Note("alive", at)
        told = time.monotonic()
        while not self._stopping:
            if at.number <= self._newest:
                erased = await self._erased_now()
                row = await self._row(at.number)
                if row is not None and row.number > at.number:
                    at = Place(row.number)
                    yield Note("gap", at)
                for position, event in row.events if row is not None else ():
                    if position >= at.events and event.trace not in erased and is_event(event, where):
                        told = time.monotonic()
                        yield Note("event", Place(at.number, position + 1), event)
                at = Place(at.number + 1 if row is not None else self._newest + 1)
            else:
                await self._wait(told + HEARTBEAT - time.monotonic(), at.number)
            if time.monotonic() - told >= HEARTBEAT:
                told = time.monotonic()
                yield Note("alive", at)

    async def _wait(self, seconds: float, number: int) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, seconds)), self._news:
                await self._news.wait_for(lambda: self._stopping or self._newest >= number)

    async def _erased_now(self) -> Mapping[str, frozenset[str]]:
        """Return the traces that were erased; what was read before more of them were is forgotten."""
        erased = (await self._expired()).erased
        if erased is not self._erased:
            self._erased = erased
            self._recent.clear()
        return erased

    async def _row(self, number: int) -> _Loaded | None:
        for row in self._recent:
            if row.number == number:
                return row
        found = await self._tail.rows(number, 1)
        return await self._load(found[0]) if found else None

    async def _load(self, row: TailRow) -> _Loaded:
        held = {event.event_id: event for event in await self._record.events_of(row.keys)}
        events = [(at, held[event_id]) for at, (_, event_id) in enumerate(row.keys) if event_id in held]
        return _Loaded(row.number, events)

    async def _look(self) -> None:
        while True:
            try:
                self._tail.news.clear()
                found = await self._tail.rows(self._newest + 1, KEPT)
                for row in found:
                    self._recent.append(await self._load(row))
                    async with self._news:
                        self._newest = row.number
                        self._news.notify_all()
            except StoreUnavailable as error:
                _log.warning("followers wait: %s", error)
                found = []
            if not found:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(POLL):
                        await self._tail.news.wait()

    async def _end_task(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
