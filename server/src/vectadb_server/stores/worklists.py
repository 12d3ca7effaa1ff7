"""What the indexer takes from the record and writes back: its lists, and what follows from them."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from uuid import UUID

import msgspec

from vectadb_server import ids
from vectadb_server.stores import digests, members, minutes, rows
from vectadb_server.stores.engine import key_of, record
from vectadb_server.stores.reading import Reading
from vectadb_server.stores.segments import META
from vectadb_server.stores.tail import Tail
from vectadb_server.stores.writes import entry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence

    from vectadb_server.attribution import Boundary
    from vectadb_server.stores.engine import Connection
    from vectadb_server.stores.leases import Fence, Stage
    from vectadb_server.stores.segments import Segments
    from vectadb_server.stores.writes import Entry

_encode = msgspec.json.Encoder().encode
#: Counted where they are: in a long backlog, handing over the ids would take as long as some of its work.
_WAITING = """\
SELECT count() FROM outbox GROUP ALL; SELECT count() FROM stale GROUP ALL;
SELECT count() FROM pending GROUP ALL;
SELECT VALUE id FROM outbox ORDER BY id LIMIT 1; SELECT VALUE id FROM pending ORDER BY id LIMIT 1
"""

#: Of a trace's row, what else is written with it hangs on.
_WRITTEN = "id, nstart, arrived, agents, sessions, edges"
#: What is written with traces, by what it is.
_PUT = {
    "dropped": "DELETE $dropped RETURN NONE",
    "edges": "INSERT RELATION IGNORE INTO causes $edges RETURN NONE",
    "joined": "FOR $m IN $joined { UPSERT $m.id REPLACE $m RETURN NONE }",
    "summaries": "FOR $s IN $summaries { UPSERT $s.id REPLACE $s RETURN NONE }",
    "done": "FOR $d IN $done { DELETE $d.id WHERE version = $d.version RETURN NONE }",
}
#: Rows in one transaction, about: a remote engine takes the square of the time for more.
_ROWS = 1_000

#: Ranges asked for in one query. What the engine does for each grows with all that the query holds; measured with core
#: 3.2.4: 110 us for each of 50, 250 for each of 1,000, and 1,000 where each is a statement with values of its own.
AT_ONCE = 50
#: Seconds that a day may take to say what waits in it, and for which what it said last is told instead.
MOMENT, RECENTLY = 0.5, 10.0

Waiting = tuple[int, int, int, float | None]


class WorkLists(Reading):
    """The indexer's half of the store."""

    def __init__(self, segments: Segments) -> None:
        super().__init__(segments)
        #: Days in which the indexer has something to do, and a signal that there is one.
        self.dirty: set[str] = set()
        self.changed = asyncio.Event()
        self.tail = Tail(segments)
        #: Days of which the server that indexes is still to be told, where several share the record.
        self.unannounced: set[str] = set()
        self._waited: dict[str, tuple[float, Waiting]] = {}
        #: What keeps an earlier indexer's writes out, where several share the record.
        self.fence: Fence | None = None

    def wake(self, day: str) -> None:
        """Tell the indexer that there is something to do."""
        if self._segments.shared:
            self.unannounced.add(day)
        self.dirty.add(day)
        self.changed.set()

    async def outbox(self, day: str, limit: int) -> list[tuple[Any, Entry]]:
        """Return the oldest rows that are not applied yet, with their references."""
        if not await self._segments.has(day):
            return []
        async with self._entered(day) as db:
            found = await db.one("SELECT id, body FROM outbox ORDER BY id LIMIT $limit", {"limit": limit})
        return [(row["id"], entry(row["body"])) for row in found]

    async def unapplied(self, boundaries: Iterable[Boundary]) -> list[Boundary]:
        """Return those whose outbox row is still there, and perhaps some whose is not any more.

        A day's outbox is applied in the order of its ids, so that what is older than the oldest has been.
        """
        by_day: dict[str, list[Boundary]] = defaultdict(list)
        for boundary in boundaries:
            by_day[rows.day_of(boundary.order[0])].append(boundary)
        found: list[Boundary] = []
        for day, some in by_day.items():
            async with self._segments.use(day) as db:
                oldest = await db.one("SELECT VALUE id FROM outbox ORDER BY id LIMIT 1")
            found += [each for each in some if oldest and each.commit >= str(key_of(oldest[0]))]
        return found

    async def commits_waiting(self, days: Iterable[str]) -> set[str]:
        """Return the commits in these days that are on the outbox, as boundaries name them."""
        found: set[str] = set()
        for day in days:
            async with self._segments.use(day) as db:
                found.update(str(key_of(ref)) for ref in await db.one("SELECT VALUE id FROM outbox"))
        return found

    async def pending(self, day: str, limit: int) -> list[tuple[Any, list[str]]]:
        """Return the oldest lists of ids that the search index has not heard of yet, with their references."""
        if not await self._segments.has(day):
            return []
        async with self._entered(day) as db:
            found = await db.one("SELECT id, body FROM pending ORDER BY id LIMIT $limit", {"limit": limit})
        return [(row["id"], msgspec.json.decode(row["body"], type=list[str])) for row in found]

    async def forget_pending(self, day: str, refs: Sequence[Any]) -> None:
        """The search index has heard of these."""
        await self._transact(day, "search", ["DELETE $refs RETURN NONE"], {"refs": list(refs)})

    async def waiting(self, day: str) -> Waiting:
        """Return how many rows each stage of the indexer has before it, and when the oldest was written, seconds."""
        if not await self._segments.has(day):
            return 0, 0, 0, None
        async with self._segments.use(day) as db:
            *counts, outbox, pending = await db.run(_WAITING)
        oldest = min((rows.written_at(ref) for ref in (*outbox, *pending)), default=None)
        first, second, third = (sum(row["count"] for row in found) for found in counts)
        return first, second, third, oldest

    async def waiting_about(self, day: str) -> Waiting:
        """As :meth:`waiting`, for people: what was found last where the day is not to be had for a moment.

        That is while the embedded engine closes it and opens it again.

        Raises:
            TimeoutError: nothing was found in the last seconds.
        """
        try:
            async with asyncio.timeout(MOMENT):
                self._waited[day] = time.monotonic(), await self.waiting(day)
        except TimeoutError:
            if day not in self._waited or time.monotonic() - self._waited[day][0] > RECENTLY:
                raise
        return self._waited[day][1]

    async def agents_of(self, day: str, stream_keys: Collection[str]) -> dict[str, list[str]]:
        """Return, by stream, the agents that its weak events named that day."""
        found: dict[str, list[str]] = {}
        asked = list(stream_keys)
        async with self._segments.use(day) as db:
            for i in range(0, len(asked), AT_ONCE):
                some = asked[i : i + AT_ONCE]
                query = "RETURN $streams.map(|$s| (SELECT VALUE id FROM agent:[$s, NONE]..[$s, ..]))"
                named = await db.one(query, {"streams": some})
                found |= {stream: [key_of(ref)[1] for ref in refs] for stream, refs in zip(some, named, strict=True)}
        return found

    async def weak_events(
        self, day: str, traces: Collection[str], stream_key: str, first: int, last: int
    ) -> list[rows.StoredEvent]:
        """Return the events of these traces that boundaries decide, of the stream and its time, both inclusive."""
        group, stream = stream_key.split("\x1f")[3:]
        found: list[rows.StoredEvent] = []
        asked = list(traces)
        async with self._segments.use(day) as db:
            for i in range(0, len(asked), 30):
                result = await db.one(
                    f"SELECT {rows.WHOLE} FROM event WHERE trace IN $traces AND stream = $stream AND grp = $grp "  # noqa: S608 - no values
                    "AND at >= $first AND at <= $last AND basis IN $weak",
                    {
                        "traces": asked[i : i + 30],
                        "stream": stream,
                        "grp": group,
                        "first": first,
                        "last": last,
                        "weak": list(rows.WEAK),
                    },
                )
                found += [each for each in (rows.whole(row, day) for row in result) if each is not None]
        return [each for each in found if each.event.source and each.event.source.stream_key() == stream_key]

    async def span_days(self, day: str, traces: Collection[str]) -> None:
        """Note that the traces have events in the day."""
        refs = [record("trace_days", trace) for trace in traces]
        async with self._segments.use(META) as meta:
            known = await meta.one("SELECT id, days FROM array::distinct($ids) WHERE id != NONE", {"ids": refs})
            lacking = set(traces) - {key_of(row["id"]) for row in known if day in row["days"]}
            if lacking:
                # Retention may have removed or changed a row since.
                await meta.run(
                    "INSERT INTO trace_days $rows ON DUPLICATE KEY UPDATE days += $input.days RETURN NONE",
                    {"rows": [{"id": trace, "days": [day]} for trace in lacking]},
                )

    async def applied(
        self,
        day: str,
        refs: Sequence[Any],
        moved: Sequence[tuple[rows.StoredEvent, str | None]],
        traces: Collection[str],
        search: Collection[str],
    ) -> None:
        """Delete outbox rows and write what follows from them, in one transaction.

        ``moved``: events with their new trace, each with the old one; ``traces`` are to be recomputed; ``search`` are
        the ids that the index is to hear of.

        Raises:
            Conflict: somebody writes the same rows; do it again.
        """
        sql = ["DELETE $refs RETURN NONE"] if refs else []
        values: dict[str, Any] = {"refs": list(refs)}
        if moved:
            values["moved"] = [
                {
                    "id": rows.event_ref(new.key[1]),
                    "trace": new.event.trace,
                    "basis": new.event.basis,
                    "old": old,
                    "reading": 0 if new.event.source is None else new.event.source.read_at,
                }
                for new, old in moved
            ]
            sql.append(
                "FOR $m IN $moved { UPDATE $m.id SET trace = $m.trace, basis = $m.basis "
                "WHERE size > 0 AND trace = $m.old AND (reading ?? 0) = $m.reading RETURN NONE }"
            )
        if traces:
            values["stale"] = [{"id": trace, "version": ids.uuid7()} for trace in traces]
            sql.append("INSERT INTO stale $stale ON DUPLICATE KEY UPDATE version = $input.version RETURN NONE")
        if search:
            values["pending"] = [{"id": UUID(ids.uuid7()), "body": _encode(list(search)).decode()}]
            sql.append("INSERT INTO pending $pending RETURN NONE")
        if sql:
            await self._transact(day, "apply", sql, values)

    async def to_reindex(self) -> dict[str, str]:
        """Return the days for which the index is made anew, each with the id up to which it has come (or ``""``)."""
        async with self._segments.use(META) as meta:
            return {key_of(row["id"]): row["after"] for row in await meta.one("SELECT id, after FROM reindex")}

    async def stale(self, day: str) -> dict[str, str]:
        """Return the traces that are to be recomputed, each with the version of that wish."""
        if not await self._segments.has(day):
            return {}
        async with self._entered(day) as db:
            return {key_of(row["id"]): row["version"] for row in await db.one("SELECT id, version FROM stale")}

    async def put_traces(
        self, day: str, summaries: Sequence[dict[str, Any]], gone: Sequence[str], done: Mapping[str, str]
    ) -> None:
        """Replace summaries, remove others, and drop the wishes in ``done`` if they are the same.

        Edges and members of the traces follow.
        """
        refs = [record("trace", row["id"]) for row in summaries] + [record("trace", trace) for trace in gone]
        async with self._entered(day) as db:
            found = (
                await db.one(f"SELECT {_WRITTEN} FROM array::distinct($ids) WHERE id != NONE", {"ids": refs})  # noqa: S608 - no values
                if refs
                else []
            )
        before = {key_of(row["id"]): row for row in found}
        after, going = {row["id"]: row for row in summaries}, set(gone)
        values: dict[str, list[Any]] = defaultdict(list)
        for trace in dict.fromkeys((*after, *gone, *done)):
            known, wanted = _edges(before.get(trace)), _edges(after.get(trace))
            values["edges"] += [_edge(trace, *edge) for edge in wanted - known]
            values["dropped"] += [_edge_ref(trace, *edge) for edge in known - wanted]
            was, is_now = members.of_trace(trace, before.get(trace)), members.of_trace(trace, after.get(trace))
            values["joined"] += [member.row for member in is_now - was]
            staying = {(member.kind, member.name) for member in is_now}
            values["dropped"] += [member.reference for member in was if (member.kind, member.name) not in staying]
            if trace in after:
                values["summaries"].append({**after[trace], "id": record("trace", trace)})
            elif trace in going:
                values["dropped"].append(record("trace", trace))
            if trace in done:
                values["done"].append({"id": record("stale", trace), "version": done[trace]})
            if sum(map(len, values.values())) >= _ROWS:
                await self._put(day, values)
                values.clear()
        await self._put(day, values)

    async def _put(self, day: str, values: dict[str, list[Any]]) -> None:
        if sql := [statement for name, statement in _PUT.items() if values.get(name)]:
            await self._transact(day, "apply", sql, values)

    @asynccontextmanager
    async def _entered(self, day: str) -> AsyncIterator[Connection]:
        """Lend a day's database to the indexer, of which earlier ones are shut out."""
        async with self._segments.use(day) as db:
            if self.fence is not None:
                await self.fence.plant(day, db)
            yield db

    async def _transact(self, day: str, stage: Stage, sql: Sequence[str], values: dict[str, Any]) -> None:
        """Run the indexer's statements in one transaction.

        Raises:
            Conflict: somebody writes the same rows; nothing was done.
            Fenced: another server indexes by now; nothing was done.
        """
        async with self._entered(day) as db:
            if self.fence is not None:
                await self.fence.run(db, stage, "; ".join(sql), values)
            else:
                await db.run(f"BEGIN; {'; '.join(sql)}; COMMIT;", values)

    async def compact(self, day: str, *, at_least: int = 200) -> None:
        """Add up the deltas of digest and counts, the digest's where there are many; readers see no difference."""
        async with self._segments.use(day) as db:
            await digests.compact(db, at_least)
            await minutes.compact(db)


def _edges(row: Mapping[str, Any] | None) -> set[tuple[str, ...]]:
    return {tuple(edge) for edge in row["edges"]} if row is not None else set()


def _edge(trace: str, cause: str, effect: str, kind: str) -> dict[str, Any]:
    return {"id": [trace, cause, effect], "in": rows.event_ref(cause), "out": rows.event_ref(effect), "kind": kind}


def _edge_ref(trace: str, cause: str, effect: str, _kind: str) -> Any:
    return record("causes", [trace, cause, effect])
