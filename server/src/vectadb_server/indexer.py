"""The indexer: applies what ingest wrote to traces, graph and search index.

Three stages, each with its list in the record store, so that a crash anywhere only repeats work:

1. *outbox*: attributes weak events again with the boundaries that are visible now, and those that late boundaries
   may have moved; names the traces that are stale and the documents that the index is to hear of.
2. *stale*: recomputes the summary and the edges of each stale trace from all its events. A trace of many events that is
   touched again and again is recomputed every so often only.
3. *pending*: hands documents to the search index. While that is unavailable, the other stages go on.

Everything is recomputed from the events, never incremented, so that repetition changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter, OrderedDict, defaultdict
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

import msgspec

from vectadb_server import spans, tracing
from vectadb_server.attribution import (
    Boundaries,
    affected,
    attribute,
    breaks_needed,
    candidate_traces,
    needed,
    needed_around,
    needed_at_length,
)
from vectadb_server.erasing import erase_leftovers
from vectadb_server.outcome import RUNNING_FOR
from vectadb_server.stores.base import Cursor, SearchUnavailable, StoreUnavailable, TraceFilter
from vectadb_server.stores.engine import Conflict, key_of
from vectadb_server.stores.leases import Fenced
from vectadb_server.stores.rows import DAY, StoredEvent, day_of, trace_row, written_at
from vectadb_server.stores.writes import Entry, Write
from vectadb_server.telling import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from types import TracebackType
    from typing import Any

    from vectadb_server.attribution import Affected, Boundary
    from vectadb_server.blocks import Key
    from vectadb_server.model import Basis, Span, Trace
    from vectadb_server.prices import Prices
    from vectadb_server.stores.base import SearchIndex
    from vectadb_server.stores.surreal import SurrealStore

logger = logging.getLogger(__name__)

Move = tuple[StoredEvent, str | None]
"""An event with its new trace, and its old one."""

#: Commits taken from the outbox, or lists from `pending`, at once.
BATCH = 16
#: Rounds of a day's outbox after which the deltas of digest and counts are added up; fewer wait for `CLOCK`.
COMPACT_EVERY = 64
#: Boundaries that are looked at beside a round's own; in a backlog every one would bring the next, to its end.
BESIDE = 100
#: Traces recomputed at once.
TRACES = 120
#: A trace of more events is summed up in a thread: tens of thousands take seconds, and requests go on meanwhile.
MANY = 2_000
#: Seconds between two computations of a trace, for each of its events beyond the first hundred.
SECONDS_PER_EVENT = 0.0002
#: Pause after a failure, seconds.
RETRY = 1.0
#: Seconds between two looks at what only the clock brings: an open trace ends `RUNNING_FOR` after its last event.
CLOCK = 30.0
#: While ingest is saturated the indexer does nothing, unless what it had in hand was written so many seconds ago.
PATIENCE = 5.0
#: Seconds after which it looks again whether ingest is.
LOOK = 0.05
#: Open traces read at once after a start.
RECALLED = 500
#: Lists of traces leave out what is only a quarter of an hour of a stream, unless it is asked for.
_BASES: tuple[Basis | None, ...] = (None, "time_window")


class Lag(msgspec.Struct):
    """How far the indexer is behind: rows of each stage, and the age of the oldest, seconds."""

    outbox: int
    stale_traces: int
    search: int
    seconds: float


async def lag_of(store: SurrealStore, days: Iterable[str]) -> Lag:
    """Return what is left to do in these days."""
    made, oldest = Lag(0, 0, 0, 0.0), None
    for day in sorted(days):
        outbox, stale, pending, since = await store.waiting_about(day)
        made.outbox += outbox
        made.stale_traces += stale
        made.search += pending
        oldest = min((at for at in (oldest, since) if at is not None), default=None)
    if oldest is not None:
        made.seconds = max(0.0, time.time() - oldest)
    return made


class Indexer:
    """One for each record: ``async with Indexer(store, index): ...`` runs it; leaving stops it where it stands."""

    def __init__(
        self,
        store: SurrealStore,
        index: SearchIndex | None,
        prices: Prices = spans.LISTED,
        *,
        saturated: Callable[[], bool] = lambda: False,
        erased: Callable[[int], None] = lambda _: None,
        built: Callable[[Trace, list[Span]], None] = lambda _, __: None,
    ) -> None:
        """Take the engines; ``saturated()`` says that ingest has all it can do, and that indexing is to give way.

        ``erased()`` is told how many events came to erased traces all the same, and were erased; ``built()`` each trace
        that was summed up.
        """
        self._erased = erased
        self._built = built
        self._store = store
        self._index = index
        self._prices = prices
        self._saturated = saturated
        # When the oldest commit in hand was written, of the outbox and of what search has not heard of.
        self._applying = self._handing = 0.0
        self._tasks: list[asyncio.Task[None]] = []
        self._stale: set[str] = set()
        self._pending: set[str] = set(store.dirty)
        # Days taken off these lists since it was last idle: what they wait for is still to be told of.
        self._in_hand: set[str] = set()
        self._pended = asyncio.Event()
        self._pended.set()
        self._due: dict[str, float] = {}
        self._running: dict[str, tuple[int, str]] = {}
        self._clock, self._recalled = 0.0, False
        self._spanned: OrderedDict[Key, None] = OrderedDict()
        self._rounds: Counter[str] = Counter()
        self._hurry = 0
        self._at_work = 0
        self._idle = asyncio.Condition()
        #: What keeps it from working now, for people to read.
        self.failure: str | None = None
        self._broken: Exception | None = None

    async def __aenter__(self) -> Self:
        """Start. What an earlier run left undone is done first."""
        self._stale |= self._store.dirty
        self._store.changed.set()
        self._tasks = [asyncio.create_task(self._apply_loop()), asyncio.create_task(self._search_loop())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop; what is undone stays in the record's lists."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def wait_idle(self) -> None:
        """Return when everything that was ingested before the call is visible in traces and search.

        Raises:
            Exception: what indexing failed at, where that is not one of the stores.
        """
        self._hurry += 1
        try:
            self._store.changed.set()
            async with self._idle:
                await self._idle.wait_for(lambda: self._is_idle() or self._broken is not None)
            if self._broken is not None:
                raise self._broken
        finally:
            self._hurry -= 1

    async def lag(self) -> Lag:
        """Return how far behind it is."""
        return await lag_of(self._store, self.days())

    @property
    def here(self) -> bool:
        """It works for this server; see :class:`~vectadb_server.indexing.Indexing` where several share the record."""
        return True

    def days(self) -> set[str]:
        """Return the days in which there may be something to do."""
        return self._store.dirty | self._stale | self._pending | self._in_hand

    def is_through(self, day: str) -> bool:
        """Return whether it knows of nothing to do in the day."""
        return not self._at_work and day not in self.days()

    def _is_idle(self) -> bool:
        return not (self._at_work or self._store.dirty or self._stale or self._pending)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """What is in hand is on none of the lists."""
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1
            if not self._at_work:
                self._in_hand.clear()

    async def _give_way(self, since: float) -> None:
        """Leave the machine to ingest where that is saturated.

        But not where what was in hand has waited since long ago (``since``: seconds since the epoch).
        """
        for _ in range(round(PATIENCE / LOOK)):
            if not self._saturated() or self._hurry or time.time() - since >= PATIENCE:
                return
            await asyncio.sleep(LOOK)

    async def _news(self) -> None:
        async with self._idle:
            self._idle.notify_all()

    # ---- stages 1 and 2 ----

    async def _apply_loop(self) -> None:
        while True:
            try:
                await self._give_way(self._applying)
                with self._working():
                    busy = await self._apply()
                self.failure = self._broken = None
            except Conflict:
                busy = True  # Ingest wrote the same rows; once more, from what is there now.
            except StoreUnavailable as error:
                self.failure = str(error)
                logger.warning("indexing waits: %s", error)
                await asyncio.sleep(RETRY)
                busy = True
            except Exception as error:
                # A mistake in here must not end indexing for good: what it failed at is still on its list.
                self._broken = error
                self.failure = repr(error)
                logger.exception("indexing failed; it is tried again")
                await self._news()
                await asyncio.sleep(RETRY)
                busy = True
            await self._news()
            if not busy:
                await self._wait()
                self._applying = time.time()

    async def _wait(self) -> None:
        """Wait for a commit, or until a trace is due."""
        now = time.monotonic()
        until = min((due - now for due in self._due.values()), default=CLOCK) if self._stale else CLOCK
        try:
            async with asyncio.timeout(max(0.01, min(until, CLOCK))):
                await self._store.changed.wait()
        except TimeoutError:
            pass

    async def _apply(self) -> bool:
        """Do one round; return whether there is more to do at once."""
        self._store.changed.clear()
        await self._by_the_clock()
        more = False
        for day in sorted(self._store.dirty):
            self._store.dirty.discard(day)
            self._in_hand.add(day)
            self._stale.add(day)
            try:
                if await self._outbox(day):
                    more = True
                    self._rounds[day] += 1
                if self._rounds[day] >= COMPACT_EVERY:
                    await self._compact(day)
            except BaseException:
                self._store.dirty.add(day)
                raise
        return await self._recompute() or more

    async def _compact(self, day: str) -> None:
        await self._store.compact(day, at_least=COMPACT_EVERY)
        self._rounds.pop(day, None)

    async def _outbox(self, day: str) -> bool:
        found = await self._store.outbox(day, BATCH)
        if not found:
            return False
        with tracing.span("indexer outbox", {"vectadb.day": day, "vectadb.commits": len(found)}):
            await self._take(day, found)
        return True

    async def _take(self, day: str, found: list[tuple[Any, Entry]]) -> None:
        self._store.dirty.add(day)
        self._applying = written_at(found[0][0])
        entries = [entry for _, entry in found]
        traces = {trace for entry in entries for trace in entry.traces}
        search = {event_id for entry in entries for event_id in (*entry.events, *entry.gone)}
        await self._store.tail.append(day, [(key_of(ref), entry.events) for ref, entry in found if not entry.again])
        moved = await self._attribute(day, entries)
        for where, moves in moved.items():
            touched = {trace for new, old in moves for trace in (new.event.trace, old) if trace is not None}
            if where == day:
                traces |= touched
                search |= {new.key[1] for new, _ in moves}
            else:
                await self._apply_to(where, [], moves, touched, {new.key[1] for new, _ in moves})
        await self._apply_to(day, [ref for ref, _ in found], moved.get(day, []), traces, search)

    async def _apply_to(
        self, day: str, refs: Sequence[Any], moves: Sequence[Move], traces: set[str], search: set[str]
    ) -> None:
        await self._span(day, traces)
        try:
            await self._store.applied(day, refs, moves, traces, search)
        finally:
            # Also after an error: a commit whose reply was lost is a commit.
            self._stale.add(day)
            self._to_search(day)

    async def _attribute(self, day: str, entries: list[Entry]) -> dict[str, list[Move]]:
        """Return, by day, the events that sit in another trace than they should, with their old one."""
        suspects: dict[Key, StoredEvent] = {}
        weak = list(dict.fromkeys(event_id for entry in entries for event_id in entry.weak))
        for each in await self._store.stored(day, weak):
            suspects[each.key] = each
        changed = [boundary for entry in entries for boundary in entry.boundaries]
        for each in await self._around(changed):
            suspects[each.key] = each
        if not suspects:
            return {}
        old = {key: each.event.trace for key, each in suspects.items()}
        by_id = {each.event.event_id: each for each in suspects.values()}
        events = [each.event for each in suspects.values()]
        known = Boundaries(await self._with_breaks(await self._store.boundaries(needed(events))))
        moved: dict[str, list[Move]] = defaultdict(list)
        for event in attribute(events, known):
            each = by_id[event.event_id]
            moved[each.key[0]].append((each, old[each.key]))
        return moved

    async def _around(self, changed: list[Boundary]) -> list[StoredEvent]:
        """Weak events that boundaries, come or gone, may have moved."""
        if not changed:
            return []
        changed, gone, known = await self._complete(changed)
        held = set(await self._store.days())
        stretches = affected(changed, known, gone)
        streams: dict[str, set[str]] = defaultdict(set)
        for late in stretches:
            for day in _days_of(late) & held:
                streams[day].add(late.stream_key)
        named = {day: await self._store.agents_of(day, keys) for day, keys in streams.items()}
        found: list[StoredEvent] = []
        for late in stretches:
            days = sorted(_days_of(late) & held)
            agents = {agent for day in days for agent in named[day][late.stream_key]}
            traces = candidate_traces(late, agents, known)
            for day in days:
                found += await self._store.weak_events(day, traces, late.stream_key, late.from_us, late.to_us)
        return found

    async def _complete(self, changed: list[Boundary]) -> tuple[list[Boundary], list[Boundary], Boundaries]:
        """Add those near that are visible, though their own turn is still to come, as the attribution asks for.

        Returns them all, those of them that are gone, and what is known around them.
        """
        told_first = changed
        while True:
            near = await self._store.boundaries(needed_around(changed))
            visible = {_place(each): each for each in await self._with_breaks(near, changed)}
            told = {_place(each) for each in changed}
            # Asked after the boundaries were read: what was visible then and is not applied yet is on the outbox now.
            more = [each for each in await self._store.unapplied(visible.values()) if _place(each) not in told]
            if not more:
                gone = [each for each in changed if _place(each) not in visible]
                return changed, gone, Boundaries([*visible.values(), *changed])
            changed = [*changed, *more]
            if len(changed) > len(told_first) + BESIDE:
                return await self._as_applied(told_first)

    async def _as_applied(self, changed: list[Boundary]) -> tuple[list[Boundary], list[Boundary], Boundaries]:
        """As :meth:`_complete`, but what waits for its turn is left out: as if it were to be committed only then.

        So every turn finds the record as the one before left it. Each stretch is the longer for it.
        """
        near = await self._with_breaks(await self._store.boundaries(needed_at_length(changed)), changed)
        # Asked for afterwards, as above. What was attributed by one that waits, that one's turn looks at again.
        waiting = await self._store.commits_waiting({day_of(each.order[0]) for each in near})
        visible = {_place(each) for each in near}
        gone = [each for each in changed if _place(each) not in visible]
        return changed, gone, Boundaries([*(each for each in near if each.commit not in waiting), *changed])

    async def _with_breaks(self, held: list[Boundary], more: Sequence[Boundary] = ()) -> list[Boundary]:
        """Add the breaks that matter to these and to ``more``."""
        return [*held, *await self._store.boundaries(breaks_needed([*held, *more]))]

    async def _span(self, day: str, traces: Iterable[str]) -> None:
        """Note where the traces have events, before anybody looks for them there."""
        new = [trace for trace in traces if (day, trace) not in self._spanned]
        if new:
            await self._store.span_days(day, new)
        for trace in new:
            self._spanned[day, trace] = None
        while len(self._spanned) > 20_000:
            self._spanned.popitem(last=False)

    async def _recompute(self) -> bool:
        """Recompute stale traces that are due; return whether more are."""
        now = time.monotonic()
        wishes: dict[str, dict[str, str]] = {}
        for day in sorted(self._stale):
            self._stale.discard(day)
            self._in_hand.add(day)
            try:
                wishes[day] = await self._store.stale(day)
            except BaseException:
                self._stale.add(day)
                raise
        waiting = {trace for stale in wishes.values() for trace in stale}
        ready = [trace for trace in waiting if self._hurry or self._due.get(trace, 0.0) <= now]
        self._stale |= {day for day, stale in wishes.items() if stale}
        if ready:
            with tracing.span("indexer traces", {"vectadb.traces": len(ready[:TRACES])}):
                await self._summarise(ready[:TRACES], wishes)
        return bool(ready)

    async def _summarise(self, traces: list[str], wishes: Mapping[str, Mapping[str, str]]) -> None:
        days_of = await self._store.days_of_traces(traces)
        found = await self._store.stored_of_traces(days_of)
        self._erased(await erase_leftovers(self._store, found, traces))
        puts: dict[str, list[dict[str, Any]]] = {}
        gone: dict[str, list[str]] = defaultdict(list)
        for trace in traces:
            stored = found.get(trace, [])
            first = min((each.key[0] for each in stored), default=None)
            if first is not None:
                puts.setdefault(first, []).append(await self._summary(trace, stored))
            wished = {day for day, stale in wishes.items() if trace in stale}
            for day in wished.union(days_of.get(trace, [])):
                if day != first:
                    gone[day].append(trace)
            await asyncio.sleep(0)  # A summary is pure CPU: let requests in between two.
        done = {day: {trace: stale[trace] for trace in traces if trace in stale} for day, stale in wishes.items()}
        held = set(await self._store.days())
        days = {*puts, *gone, *(day for day, some in done.items() if some)} & held
        if len(days) > 1:
            # The new place first, then the old ones, and the wishes last: a crash in between repeats it.
            for day, summaries in puts.items():
                await self._store.put_traces(day, summaries, [], {})
            puts = {}
        for day in days:
            await self._store.put_traces(day, puts.get(day, []), gone.get(day, []), done.get(day, {}))

    async def _summary(self, trace: str, stored: list[StoredEvent]) -> dict[str, Any]:
        events = [each.event for each in stored]
        now = time.time_ns() // 1000
        if len(events) > MANY:
            summary, made, causes = await asyncio.to_thread(spans.rebuild, events, now=now, prices=self._prices)
        else:
            summary, made, causes = spans.rebuild(events, now=now, prices=self._prices)
        self._built(summary, made)
        related = {each.event.event_id for each in stored if each.relate}
        edges = [edge for edge in causes if edge[0] in related and edge[1] in related]
        pause = (len(events) - 100) * SECONDS_PER_EVENT
        if pause > 0:
            self._due[trace] = time.monotonic() + pause
        else:
            self._due.pop(trace, None)
        if summary.status == "running":
            last = max(event.timestamp for event in events)
            self._running[trace] = (last + RUNNING_FOR, min(each.key[0] for each in stored))
        else:
            self._running.pop(trace, None)
        return trace_row(summary, edges, min(event.created_at for event in events))

    async def _by_the_clock(self) -> None:
        """Every `CLOCK` seconds: let traces end that are open and silent, and add up what came."""
        if time.monotonic() < self._clock:
            return
        if not self._recalled:
            await self._recall()
            self._recalled = True
        now = time.time_ns() // 1000
        ended: dict[str, list[str]] = defaultdict(list)
        for trace, (at, day) in self._running.items():
            if at < now:
                ended[day].append(trace)
        held = set(await self._store.days())
        for day, traces in ended.items():
            if day in held:
                await self._store.applied(day, [], [], traces, [])
                self._stale.add(day)
            for trace in traces:
                self._running.pop(trace, None)
        for day in list(self._rounds):
            if day in held:
                await self._compact(day)
        self._clock = time.monotonic() + CLOCK

    async def _recall(self) -> None:
        """Learn which traces were open when an earlier run stopped: nothing else may ever touch them again."""
        for basis in _BASES:
            page: list[Trace] = []
            while True:
                after = Cursor(page[-1].start, page[-1].trace_id) if page else None
                where = TraceFilter(statuses=("running",), basis=basis)
                page = await self._store.traces(where, limit=RECALLED, after=after)
                days = await self._store.days_of_traces([trace.trace_id for trace in page])
                for trace in page:
                    if trace.trace_id in days:
                        self._running[trace.trace_id] = (trace.end + RUNNING_FOR, days[trace.trace_id][0])
                if len(page) < RECALLED:
                    break

    # ---- stage 3 ----

    def _to_search(self, day: str) -> None:
        self._pending.add(day)
        self._pended.set()

    async def _search_loop(self) -> None:
        while True:
            self._pended.clear()
            try:
                await self._give_way(self._handing)
                with self._working():
                    await self._hand_over_all()
            except (SearchUnavailable, StoreUnavailable, Conflict) as error:
                logger.warning("the search index lags: %s", error)
                await asyncio.sleep(RETRY)
                self._pended.set()
            except Exception as error:
                self._broken = error
                logger.exception("handing over to the search index failed; it is tried again")
                await self._news()
                await asyncio.sleep(RETRY)
                self._pended.set()
            await self._news()
            if not self._pended.is_set():
                await self._pended.wait()
                self._handing = time.time()

    async def _hand_over_all(self) -> None:
        for day in sorted(self._pending):
            self._pending.discard(day)
            self._in_hand.add(day)
            try:
                more = await self._hand_over(day)
            except BaseException:
                self._pending.add(day)
                raise
            if more:
                self._to_search(day)

    async def _hand_over(self, day: str) -> bool:
        found = await self._store.pending(day, BATCH)
        if not found:
            return False
        with tracing.span("indexer search", {"vectadb.day": day, "vectadb.commits": len(found)}):
            return await self._hand(day, found)

    async def _hand(self, day: str, found: list[tuple[Any, list[str]]]) -> bool:
        self._handing = written_at(found[0][0])
        if self._index is not None:
            asked = list(dict.fromkeys(event_id for _, event_ids in found for event_id in event_ids))
            await tell(self._index, self._store, day, asked)
        try:
            await self._store.forget_pending(day, [ref for ref, _ in found])
        except Fenced:
            # The server that indexes now may have handed over later states of these before ours arrived: once more.
            again = [event_id for _, event_ids in found for event_id in event_ids]
            await self._store.commit(day, Write(entry=Entry(events=list(dict.fromkeys(again)), again=True)))
            raise
        return True


def _days_of(late: Affected) -> set[str]:
    return {day_of(number * DAY) for number in range(late.from_us // DAY, late.to_us // DAY + 1)}


def _place(boundary: Boundary) -> tuple[Any, ...]:
    return (boundary.stream_key, boundary.kind, boundary.start, boundary.trace, boundary.ends, *boundary.position)
