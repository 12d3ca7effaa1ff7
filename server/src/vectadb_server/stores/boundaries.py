"""Boundaries as the record has them: what attribution asks for, read, or kept where only this process writes them.

With each batch of a stream the same are asked for, twice and more: the invocation before, and all runs of an hour,
which are a thousand in a busy stream. To read one takes 25 us.
"""

from __future__ import annotations

import asyncio
from bisect import bisect_left
from collections import Counter, OrderedDict, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple, Protocol

from vectadb_server.attribution import INVOCATION_CAP, Boundary, Window
from vectadb_server.stores.engine import Conflict
from vectadb_server.stores.space import StoreFull

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from vectadb_server.attribution import Need, Position

_OF = "(SELECT * FROM boundary:[$p[0], $p[1], $p[2]]..[$p[0], $p[1], $p[3]])"
#: Of many places, as lists: all, the first, the last. Sliced, since the engine reads a range to its end whatever the
#: limit (core 3.2.4), and from its end (``DESC``) thirty times as slowly.
ALL, FIRST, LAST = (
    f"RETURN $places.map(|$p| {of})" for of in (_OF, f"array::slice({_OF}, 0, 1)", f"array::slice({_OF}, -1)")
)
#: How far the nearest is looked for, microseconds. A busy stream has thousands of boundaries in the last of these, but
#: also one in the first, and that is enough.
_NEAR = (10_000_000, 120_000_000, INVOCATION_CAP)

_HOUR = 3_600_000_000
#: Boundaries kept: some 30 MB of them. A line takes the room of ten.
MOST, _LINE = 50_000, 10
#: A stream's are kept for so long behind the newest, and no stretch is read for it alone that is longer, microseconds.
_KEPT, _LONGEST = 4 * _HOUR, 6 * _HOUR

Key = tuple[str, str, Window]
"""Day, stream, kind."""


class Place(NamedTuple):
    """Where boundaries are looked for: ``first <= order[0] < behind``."""

    stream_key: str
    kind: Window
    first: int
    behind: int


class Read(Protocol):
    """Asks a day for what is in each place."""

    async def __call__(self, query: str, places: Sequence[Place]) -> list[list[Boundary]]:
        """Return the answers to :data:`ALL`, :data:`FIRST` or :data:`LAST`, in order."""
        ...


# ---- read each time ------------------------------------------------------------------------------------------------


async def read_anew(needs: Sequence[Need], read: Read) -> list[Boundary]:
    """Return what is asked for of a day; some perhaps twice."""
    before = [Place(need.stream_key, need.kind, 0, need.from_us) for need in needs if need.before]
    after = [Place(need.stream_key, need.kind, need.to_us + 1, 0) for need in needs if need.after]
    found = [
        *await read(ALL, _merged(map(_between, needs))),
        *await _nearest(LAST, before, read),
        *await _nearest(FIRST, after, read),
    ]
    return [each for some in found for each in some]


def _merged(places: Iterable[Place]) -> list[Place]:
    """Ask for each once: those around a batch's boundaries overlap."""
    found: list[Place] = []
    for each in sorted(places):
        last = found[-1] if found else None
        if last is not None and last[:2] == each[:2] and each.first <= last.behind:
            found[-1] = last._replace(behind=max(last.behind, each.behind))
        else:
            found.append(each)
    return found


async def _nearest(query: str, places: Iterable[Place], read: Read) -> list[list[Boundary]]:
    """Look for the last before, or first after, ever further away."""
    found: list[list[Boundary]] = []
    left = list(dict.fromkeys(places))
    for reach in _NEAR:
        if not left:
            break
        asked = [
            each._replace(first=each.behind - reach) if query is LAST else each._replace(behind=each.first + reach)
            for each in left
        ]
        results = await read(query, asked)
        found += results
        left = [each for each, result in zip(left, results, strict=True) if not result]
    return found


# ---- kept ----------------------------------------------------------------------------------------------------------


class _Line:
    """All boundaries of one kind in one stream and day with ``first <= order[0] < behind``, by position."""

    def __init__(self, first: int, behind: int) -> None:
        self.first, self.behind = first, behind
        self.positions: list[Position] = []
        self.boundaries: list[Boundary] = []

    def add(self, some: Iterable[Boundary]) -> None:
        """Add those that belong here and are not here yet."""
        for each in some:
            if not self.first <= each.order[0] < self.behind:
                continue
            position = each.position
            index = bisect_left(self.positions, position)
            if self.positions[index : index + 1] != [position]:
                self.positions.insert(index, position)
                self.boundaries.insert(index, each)

    def cut(self, first: int) -> None:
        """Let go of what is before."""
        index = bisect_left(self.positions, (first,))
        del self.positions[:index], self.boundaries[:index]
        self.first = first

    @property
    def weight(self) -> int:
        """In boundaries. A stream without any has lines all the same."""
        return len(self.boundaries) + _LINE

    def answer(self, needs: Sequence[Need]) -> list[Boundary]:
        """Return what is asked for; it lies inside. Some perhaps twice."""
        found: list[Boundary] = []
        for place in _merged(map(_between, needs)):
            found += self.boundaries[self._index(place.first) : self._index(place.behind)]
        for need in needs:
            if need.before and (index := self._index(need.from_us)):
                found += self._near(index - 1, need.from_us - INVOCATION_CAP, need.from_us)
            if need.after and (index := self._index(need.to_us + 1)) < len(self.positions):
                found += self._near(index, need.to_us, need.to_us + INVOCATION_CAP)
        return found

    def _near(self, index: int, first: int, last: int) -> list[Boundary]:
        return [self.boundaries[index]] if first <= self.positions[index][0] <= last else []

    def _index(self, us: int) -> int:
        return bisect_left(self.positions, (us,))


class _Reads:
    """Of a day: one at a time asks it, and ``came`` and ``bars`` are what was added and barred meanwhile."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.came: list[tuple[Key, Boundary]] = []
        self.bars: set[Key] = set()


class Kept:
    """What this process has read and written lately, of a record that only it writes.

    A line is what was read, and since then told by :meth:`writing`; of what is longer ago or further on, only what
    lacks is read.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lines: OrderedDict[Key, _Line] = OrderedDict()
        self._reads: defaultdict[str, _Reads] = defaultdict(_Reads)
        #: Of which nothing is kept: something of it is being taken away; for ever, if nobody knows what became of it.
        self._barred = Counter[Key]()
        self._writing: dict[asyncio.Event, set[Key]] = {}
        self._days: Collection[str] = ()

    def only(self, days: Collection[str]) -> None:
        """Forget other days."""
        if days == self._days:
            return
        self._days = days
        for key in [key for key in (*self._lines, *self._barred) if key[0] not in days]:
            self._lines.pop(key, None)
            self._barred.pop(key, None)
        for day in [day for day, reads in self._reads.items() if day not in days and not reads.lock.locked()]:
            del self._reads[day]

    @contextmanager
    def writing(self, day: str, added: Sequence[Boundary], changed: Sequence[Boundary]) -> Iterator[None]:
        """Note what a transaction adds, and what it takes away or changes, around it."""
        adds, bars = _keys(day, added), _keys(day, changed)
        done = asyncio.Event()
        self._writing[done] = adds | bars
        self._bar(bars)
        certain = False
        try:
            yield
            for each in added:
                if (line := self._lines.get(_key(day, each))) is not None:
                    line.add([each])
                if (reads := self._reads[day]).lock.locked():
                    reads.came.append((_key(day, each), each))
            certain = True
        except (Conflict, StoreFull):  # Nothing was done.
            certain = True
            raise
        finally:
            if not certain:
                self._bar(adds | bars)  # It may become true yet, at any time.
            self._barred.subtract(bars)
            self._barred = +self._barred
            del self._writing[done]
            done.set()

    def _bar(self, keys: set[Key]) -> None:
        self._barred.update(keys)
        for key in keys:
            self._reads[key[0]].bars.add(key)
            self._lines.pop(key, None)

    async def find(self, day: str, needs: Sequence[Need], read: Read, *, settled: bool) -> list[Boundary]:
        """Return what is asked for of a day; some perhaps twice.

        ``settled``: also of transactions that others see already, while their end is not known here.
        """
        by_key: dict[Key, list[Need]] = defaultdict(list)
        for need in needs:
            by_key[day, need.stream_key, need.kind].append(need)
        if settled:
            for done in [done for done, keys in self._writing.items() if not keys.isdisjoint(by_key)]:
                await done.wait()
        reads = self._reads[day]
        async with reads.lock:
            reads.came.clear()
            reads.bars = set(self._barred)
            return await self._find(by_key, read, reads)

    async def _find(self, by_key: dict[Key, list[Need]], read: Read, reads: _Reads) -> list[Boundary]:
        lines: dict[Key, _Line] = {}
        lacking: list[tuple[Key, Place]] = []
        anew: list[Need] = []
        for key, needs in by_key.items():
            wanted, line = _span(needs), self._lines.get(key)
            if line is None or wanted.first > line.behind + _LONGEST:
                line = _Line(wanted.first, wanted.first)
            if max(line.first - wanted.first, wanted.behind - line.behind) > _LONGEST:
                anew += needs
                continue
            lines[key] = line
            if wanted.first < line.first:
                lacking.append((key, wanted._replace(behind=line.first)))
            if wanted.behind > line.behind:
                lacking.append((key, wanted._replace(first=line.behind)))
        found = await read_anew(anew, read) if anew else []
        results = await read(ALL, [place for _, place in lacking]) if lacking else []
        for (key, place), some in zip(lacking, results, strict=True):
            line = lines[key]
            line.first, line.behind = min(line.first, place.first), max(line.behind, place.behind)
            line.add(some)
            line.add(each for came, each in reads.came if came == key)
        for key, line in lines.items():
            found += line.answer(by_key[key])
            if key not in reads.bars:
                self._keep(key, line)
        self._shrink()
        return found

    def _keep(self, key: Key, line: _Line) -> None:
        if line.behind - line.first > 2 * _KEPT:
            line.cut(line.behind - _KEPT)
        self._lines[key] = line
        # One that alone is too much is the first to go.
        self._lines.move_to_end(key, last=line.weight <= self._most)

    @property
    def weight(self) -> int:
        """How much is kept, in boundaries."""
        return sum(line.weight for line in self._lines.values())

    def _shrink(self) -> None:
        weight = self.weight
        while weight > self._most:
            weight -= self._lines.popitem(last=False)[1].weight


def _between(need: Need) -> Place:
    return Place(need.stream_key, need.kind, need.from_us, need.to_us + 1)


def _span(needs: Sequence[Need]) -> Place:
    """All of one kind in one stream that the needs are about."""
    first = min(need.from_us - INVOCATION_CAP * need.before for need in needs)
    last = max(need.to_us + INVOCATION_CAP * need.after for need in needs)
    return Place(needs[0].stream_key, needs[0].kind, first, last + 1)


def _key(day: str, boundary: Boundary) -> Key:
    return day, boundary.stream_key, boundary.kind


def _keys(day: str, some: Iterable[Boundary]) -> set[Key]:
    return {_key(day, each) for each in some}
