"""Compares the record with what was made of it, and mends what differs: search index, digests, counts, trace summaries.

It runs beside everything else. What the indexer still has before it is no difference: an event's row is read first,
then the indexer's lists, then the index, so that what is on no list must be in the index. What differs nonetheless is
looked at once more from the beginning before it is reported: blocks may be replaced between two pages of rows.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from vectadb_server.arrivals import arriving
from vectadb_server.documents import document
from vectadb_server.stores import minutes
from vectadb_server.stores.base import SearchUnavailable, StoreUnavailable
from vectadb_server.stores.digests import GroupHour, Totals
from vectadb_server.stores.engine import Conflict
from vectadb_server.stores.framing import BUCKETS, bucket_of, mark_of
from vectadb_server.stores.minutes import Kind, kind_of
from vectadb_server.stores.rows import DAY, start_of
from vectadb_server.stores.writes import Entry, Write
from vectadb_server.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from vectadb_server.services import Follower
    from vectadb_server.stores.base import SearchIndex
    from vectadb_server.stores.rows import StoredEvent
    from vectadb_server.stores.surreal import SurrealStore

_log = logging.getLogger(__name__)

_PAGE = 500
#: Documents listed at once, about: for each listing the index goes through the whole day, and what it lists is one
#: message, 80 bytes each.
_LISTED = 200_000
_EXAMPLES = 20
_ALL = 2**31
_THROUGH = 60.0
"""Seconds that the indexer has for what was mended, before it is looked at again."""
_MODULUS = 2**128


class DayFound(msgspec.Struct, kw_only=True):
    """One UTC day. ``searchable``: events that the index ought to have.

    Of these it lacks ``missing``, has ``stale`` with another time or trace, and has ``extra`` that no event belongs to.
    ``digests``: hours of log groups whose count or sum is not that of their rows; ``traces``: summaries that are
    missing, left over, or count other events than there are; ``minutes``: those whose counts are not their events';
    ``waiting``: rows that the indexer has before it, and events that it is to have, the index being made anew.
    ``examples``: ids of the first events and traces that differ.
    """

    day: str
    events: int = 0
    searchable: int = 0
    missing: int = 0
    extra: int = 0
    stale: int = 0
    digests: int = 0
    traces: int = 0
    minutes: int = 0
    waiting: int = 0
    examples: list[str] = []

    @property
    def differs(self) -> bool:
        """Whether anything of it is not as the record says."""
        return bool(self.missing or self.extra or self.stale or self.digests or self.traces or self.minutes)


class Checked(msgspec.Struct, kw_only=True):
    """How far a check is, or what it found. ``complete`` is ``None`` until it is through; ``error``: why it ended."""

    running: bool = False
    repairing: bool = False
    day: str | None = None
    events: int = 0
    complete: bool | None = None
    error: str | None = None
    days: list[DayFound] = []


class _Traces(msgspec.Struct):
    """How many events of each trace were seen, and in which days."""

    events: dict[str, int] = {}
    days: dict[str, list[str]] = {}

    def saw(self, trace: str, day: str) -> None:
        self.events[trace] = self.events.get(trace, 0) + 1
        days = self.days.setdefault(trace, [])
        if day not in days[-1:]:
            days.append(day)


class _Look(msgspec.Struct):
    """What one look over all days found, and what mends it."""

    found: dict[str, DayFound]
    again: dict[str, list[str]] = {}
    gone: dict[str, list[str]] = {}
    traces: dict[str, list[str]] = {}
    digests: dict[str, Totals] = {}
    minutes: dict[str, Counter[Kind]] = {}

    @property
    def differs(self) -> bool:
        return any(each.differs for each in self.found.values())

    def note(self, day: str, examples: Iterable[str]) -> None:
        known = self.found[day].examples
        known += list(examples)[: max(0, _EXAMPLES - len(known))]


class Checker:
    """One for each server; one check at a time. Leaving ``async with`` stops the one that runs."""

    def __init__(self, store: SurrealStore, index: SearchIndex, indexer: Follower) -> None:
        self._store, self._index, self._indexer = store, index, indexer
        self._task: asyncio.Task[None] | None = None
        self._now = Checked()

    async def close(self) -> None:
        """Stop the check that runs; nothing is left half done."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def begin(self, *, repair: bool) -> Checked:
        """Begin a check; one that runs already goes on instead, as it was asked for."""
        if self._task is None or self._task.done():
            self._now = Checked(running=True)
            self._task = asyncio.create_task(self._run(repair=repair), name="check")
        return self._now

    def progress(self) -> Checked:
        """Return how far it is."""
        return self._now

    async def _run(self, *, repair: bool) -> None:
        now = self._now
        try:
            look = await self._look()
            if look.differs:
                look = await self._look()
            if repair and look.differs:
                now.repairing = True
                await self._mend(look)
                look = await self._look()
            now.days = [look.found[day] for day in sorted(look.found)]
            now.complete = not look.differs
        except (SearchUnavailable, StoreUnavailable, Conflict) as error:
            now.error = str(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, whoever asked must hear of it
            _log.exception("the check failed")
            now.error = repr(error)
        finally:
            now.running, now.day = False, None

    async def _look(self) -> _Look:
        days = sorted({*await self._store.days(), *await self._index.days()})
        look = _Look({day: DayFound(day=day) for day in days})
        held = set(await self._store.days())
        self._now.events = 0
        before = {day: await self._digests(day) for day in sorted(held)}
        counted = {day: await self._store.counts(day) for day in sorted(held)}
        totals = {day: Totals() for day in held}
        counts: dict[str, Counter[Kind]] = {day: Counter() for day in days}
        traces = _Traces()
        for day in days:
            self._now.day = day
            await self._compare_index(look, day, totals, counts[day], traces)
        for day in sorted(held):
            self._compare_digests(look, day, before[day], totals[day], await self._digests(day))
            self._compare_minutes(look, day, counted[day], counts[day], await self._store.counts(day))
        await self._compare_traces(look, held, traces)
        for day in sorted(held):
            look.found[day].waiting += sum((await self._store.waiting(day))[:3])
        return look

    # ---- the search index ----

    async def _compare_index(
        self, look: _Look, day: str, totals: dict[str, Totals], counts: Counter[Kind], traces: _Traces
    ) -> None:
        found = look.found[day]
        sums = [[0, 0] for _ in range(BUCKETS)]
        async for stored in self._store.scan(day, _PAGE):
            for each in stored:
                found.events += 1
                counts[kind_of(each.event.timestamp, each.event.agent_id, each.event.event_type)] += 1
                for position, (where, record_id) in enumerate(arriving(each.event, {}).records):
                    if where in totals:
                        totals[where].count(record_id, each.event, position)
                if each.event.trace is not None:
                    traces.saw(each.event.trace, day)
                if (mark := _mark(each)) is not None:
                    found.searchable += 1
                    bucket = sums[bucket_of(each.event.event_id)]
                    bucket[0] += 1
                    bucket[1] = (bucket[1] + mark) % _MODULUS
            self._now.events += len(stored)
        survey = await self._index.survey(day)
        wrong = {at for at, (ours, theirs) in enumerate(zip(sums, survey, strict=True)) if tuple(ours) != theirs}
        if wrong:
            await self._compare_buckets(look, day, wrong, sum(count for count, _ in survey))

    async def _compare_buckets(self, look: _Look, day: str, buckets: Collection[int], documents: int) -> None:
        ours: dict[str, int] = {}
        async for stored in self._store.scan(day, _PAGE):
            for each in stored:
                if bucket_of(each.event.event_id) in buckets and (mark := _mark(each)) is not None:
                    ours[each.event.event_id] = mark
        behind = (await self._store.to_reindex()).get(day)
        listed = await self._listed(day)
        if behind is not None:
            # Where the index is being made anew, these are to be listed yet.
            to_come = {event_id for event_id in ours if event_id > behind}
            look.found[day].waiting += len(to_come - listed)
            listed |= to_come
        theirs: dict[str, int] = {}
        asked = sorted(buckets)
        some = max(1, _LISTED * BUCKETS // max(1, documents))
        for start in range(0, len(asked), some):
            theirs |= await self._index.listing(day, asked[start : start + some])
        suspects = {event_id for event_id in {*ours, *theirs} if ours.get(event_id) != theirs.get(event_id)} - listed
        # What came or changed after the first look is on a list now, or in the index as it is now.
        fresh: dict[str, int | None] = {}
        looked = sorted(suspects)
        for start in range(0, len(looked), _PAGE):  # All of a day may differ: never all at once.
            stored = await self._store.stored(day, looked[start : start + _PAGE])
            fresh |= {each.event.event_id: _mark(each) for each in stored}
        listed |= await self._listed(day)
        missing, extra, stale = [], [], []
        for event_id in sorted(suspects - listed):
            due, held = fresh.get(event_id), theirs.get(event_id)
            if due is None and held is not None:
                extra.append(event_id)
            elif event_id in ours and due is not None and held is None:
                missing.append(event_id)
            elif due is not None and held is not None and due != held:
                stale.append(event_id)
        found = look.found[day]
        found.missing, found.extra, found.stale = len(missing), len(extra), len(stale)
        look.note(day, (*missing, *stale, *extra))
        look.again[day] = [*missing, *stale]
        look.gone[day] = extra

    async def _listed(self, day: str) -> set[str]:
        """Ids on the indexer's lists. What moves from the first to the second meanwhile is seen in the first."""
        if day not in await self._store.days():
            return set()
        outbox = await self._store.outbox(day, _ALL)
        pending = await self._store.pending(day, _ALL)
        ids = {event_id for _, entry in outbox for event_id in (*entry.events, *entry.gone)}
        return ids.union(*(event_ids for _, event_ids in pending))

    # ---- digests ----

    async def _digests(self, day: str) -> dict[GroupHour, tuple[int, int]]:
        """Return what the day's events ought to sum up to: what was erased is in the digest, and in no event."""
        start = start_of(day)
        due = Totals()
        for where, count, total in (await self._store.erased(day)).items():
            due.add(where, -count, -total)
        for each in await self._store.digest(None, start, start + DAY):
            where = GroupHour(each.log_group, each.system, each.account, each.region, each.hour)
            due.add(where, each.count, each.digest)
        return {where: (count, total) for where, count, total in due.items()}

    def _compare_digests(
        self,
        look: _Look,
        day: str,
        before: dict[GroupHour, tuple[int, int]],
        totals: Totals,
        after: dict[GroupHour, tuple[int, int]],
    ) -> None:
        due = {where: (count, total) for where, count, total in totals.items()}
        lacking = Totals()
        for where in {*due, *after}:
            count, total = due.get(where, (0, 0))
            held = after.get(where, (0, 0))
            # Where records arrived meanwhile, nothing can be said; the next check will.
            if held != (count, total) and held == before.get(where, (0, 0)):
                look.found[day].digests += 1
                look.note(day, [where.log_group])
                lacking.add(where, count - held[0], total - held[1])
        look.digests[day] = lacking

    # ---- counts by the minute ----

    def _compare_minutes(
        self, look: _Look, day: str, before: Counter[Kind], due: Counter[Kind], after: Counter[Kind]
    ) -> None:
        # As with the digests, nothing can be said of a kind of which events came meanwhile.
        lacking = Counter({kind: due[kind] - after[kind] for kind in {*due, *after} if after[kind] == before[kind]})
        look.minutes[day] = Counter({kind: number for kind, number in lacking.items() if number})
        wrong = {kind.minute for kind in look.minutes[day]}
        look.found[day].minutes = len(wrong)
        look.note(day, map(rfc3339, sorted(wrong)))

    # ---- trace summaries ----

    async def _compare_traces(self, look: _Look, held: Collection[str], seen: _Traces) -> None:
        counts: dict[str, int] = {}
        homes: dict[str, str] = {}
        for day in sorted(held):
            for trace, count in (await self._store.summarised(day)).items():
                counts[trace], homes[trace] = count, day
        due = seen.events
        suspects = {trace for trace in {*counts, *due} if counts.get(trace) != due.get(trace)}
        suspects |= {trace for trace in homes.keys() & due.keys() if homes[trace] != seen.days[trace][0]}
        suspects -= await self._touched(held)
        wrong: dict[str, list[str]] = {}
        for trace in sorted(suspects):
            days = {*(await self._store.days_of_traces([trace])).get(trace, []), *seen.days.get(trace, [])}
            events = (await self._store.stored_of_traces({trace: sorted(days)})).get(trace, [])
            summary = await self._store.trace(trace)
            found_in = sorted({each.key[0] for each in events})
            same_count = len(events) == (summary.events if summary is not None else 0)
            if not same_count or homes.get(trace) not in (None, *found_in[:1]):
                wrong[trace] = sorted({*found_in, *([homes[trace]] if trace in homes else [])})
        # What came after the first look is on a list now, or was there a moment ago and is as it should be.
        for trace in wrong.keys() - await self._touched(held):
            where = wrong[trace]
            look.found[where[0]].traces += 1
            look.note(where[0], [trace])
            for day in where:
                look.traces.setdefault(day, []).append(trace)

    async def _touched(self, held: Collection[str]) -> set[str]:
        """Traces that the indexer still has before it."""
        touched: set[str] = set()
        for day in held:
            for _, entry in await self._store.outbox(day, _ALL):
                touched.update(entry.traces)
            touched.update(await self._store.stale(day))
        return touched

    # ---- mending ----

    async def _mend(self, look: _Look) -> None:
        """Have the indexer do again what differs, and add to digests and counts what they lack."""
        held = set(await self._store.days())
        for day in sorted(look.found):
            gone = look.gone.get(day, [])
            if gone:
                await self._index.delete([(day, event_id) for event_id in gone])
            if day not in held:
                continue
            again, traces = look.again.get(day, []), look.traces.get(day, [])
            for start in range(0, max(len(again), len(traces)), _PAGE):
                part = slice(start, start + _PAGE)
                await self._store.commit(day, Write(entry=Entry(events=again[part], traces=traces[part], again=True)))
            lacking = Write(digest=look.digests[day].rows(), minutes=minutes.rows(look.minutes[day]))
            if lacking.digest or lacking.minutes:
                await self._store.commit(day, lacking)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_THROUGH):
                await self._indexer.wait_idle()


def _mark(stored: StoredEvent) -> int | None:
    """The mark that the event's document ought to have; ``None``: it is not one that can be searched for."""
    if not stored.search:
        return None
    made = document(stored)
    return mark_of(made.event_id, made.us, made.trace) if made.text else None
