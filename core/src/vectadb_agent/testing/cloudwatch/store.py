"""What stands in for CloudWatch Logs holds: groups, streams, events, and when each of them becomes visible.

In memory, and fast where moto is slow: a page of 10,000 events out of 1,000,000 takes milliseconds, since a group's
events are kept in order. ``test_store_against_moto.py`` holds it to moto, where moto is right.
"""

from __future__ import annotations

import bisect
import itertools
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

PAGE_EVENTS = 10_000
PAGE_BYTES = 1_048_576
EVENT_OVERHEAD = 26
"""Bytes that AWS counts for each event beside its message."""
OLDEST = 14 * 86_400_000
NEWEST = 2 * 3_600_000
"""How far from the present an event may be dated, milliseconds."""


class Event(NamedTuple):
    """One log event, in the order of a page: by time, ingestion time, and the order in which they were put."""

    timestamp: int
    ingested: int
    number: int
    visible_at: int
    stream: str
    message: str

    @property
    def event_id(self) -> str:
        """AWS's are decimal numbers of 56 digits. Unique over all groups, and stable."""
        return f"{self.number:056d}"

    @property
    def size(self) -> int:
        """Bytes that it takes of a page."""
        return len(self.message.encode("utf-8", "surrogatepass")) + EVENT_OVERHEAD


class Put(msgspec.Struct, array_like=True):
    """An event to put: its time in milliseconds, its text, and how long after now it becomes visible (ms)."""

    timestamp: int
    message: str
    lag: int = 0


Key = tuple[str, str, str, str]
"""What names a record: account, log group, log stream, log id."""


class Group:
    """A log group. ``born`` tells it from one of the same name that was deleted before; times in milliseconds."""

    def __init__(self, name: str, born: int, created: int) -> None:
        self.name = name
        self.born = born
        self.created = created
        self.streams: dict[str, int] = {}
        self._events: list[Event] = []
        self._latest_visible = 0

    def add(self, events: Sequence[Event]) -> None:
        """Keep events, in their order among the others."""
        for event in events:
            self.streams.setdefault(event.stream, event.ingested)
        self._latest_visible = max([self._latest_visible, *(event.visible_at for event in events)])
        if len(events) < 50:
            for event in events:
                bisect.insort(self._events, event)
        else:
            self._events.extend(events)
            self._events.sort()  # of runs that are sorted already: a merge

    def between(
        self,
        start: int,
        end: int,
        now: int,
        *,
        after: tuple[int, int, int] | None = None,
        streams: frozenset[str] = frozenset(),
    ) -> Iterator[Event]:
        """The events dated ``start`` <= time <= ``end`` that are visible ``now``, those up to ``after`` left out."""
        events = self._events
        first = bisect.bisect_left(events, (start,))
        if after is not None:
            first = max(first, bisect.bisect_left(events, (*after[:2], after[2] + 1)))
        for at in range(first, bisect.bisect_left(events, (end + 1,))):
            event = events[at]
            if event.visible_at <= now and (not streams or event.stream in streams):
                yield event

    def visible(self, now: int) -> bool:
        """Whether all its events are visible by now."""
        return self._latest_visible <= now

    def __len__(self) -> int:
        return len(self._events)


class Page(NamedTuple):
    """Events, and where the next page starts; ``None``: there is none."""

    events: list[Event]
    after: tuple[int, int, int] | None


def page(events: Iterable[Event], limit: int = PAGE_EVENTS, most_bytes: int = PAGE_BYTES) -> Page:
    """Cut a page off: at most so many events, and so many bytes unless it is one event alone."""
    taken: list[Event] = []
    size = 0
    for event in events:
        size += event.size
        if len(taken) == limit or (taken and size > most_bytes):
            return Page(taken, taken[-1][:3])
        taken.append(event)
    return Page(taken, None)


class LogStore:
    """The groups of one account and region, and the ledger of all that was ever put. Not for several threads."""

    def __init__(self, account: str = "123456789012", region: str = "us-east-1") -> None:
        self.account = account
        self.region = region
        self.groups: dict[str, Group] = {}
        self.numbers = itertools.count(1)
        self._born = itertools.count(1)
        self._put: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)

    def create_group(self, name: str, now: int) -> Group:
        """Create a group, empty, also where one of this name was deleted."""
        group = self.groups[name] = Group(name, next(self._born), now)
        return group

    def delete_group(self, name: str) -> None:
        """Delete a group with all its events; the ledger still knows them."""
        del self.groups[name]

    def put(self, group: Group, stream: str, puts: Iterable[Put], now: int) -> int:
        """Keep events that arrive now; return how many. ``group`` and ``stream`` are created where they lack."""
        events = [Event(put.timestamp, now, next(self.numbers), now + put.lag, stream, put.message) for put in puts]
        group.streams.setdefault(stream, now)
        self._put[group.name, stream] += [(event.number, event.message) for event in events]
        if events:
            group.add(events)
        return len(events)

    def ledger(self, *groups: str) -> dict[Key, str]:
        """Every record ever put (into ``groups``, if any are named), with its message."""
        return {
            (self.account, group, stream, f"{number:056d}"): message
            for (group, stream), put in self._put.items()
            if not groups or group in groups
            for number, message in put
        }

    def count(self, *groups: str) -> int:
        """How many records were ever put."""
        return sum(len(put) for (group, _), put in self._put.items() if not groups or group in groups)
