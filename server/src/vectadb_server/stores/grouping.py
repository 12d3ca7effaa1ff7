"""Sessions and agents, summed up from the summaries of their traces when somebody asks: nothing of them is kept."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from vectadb_server import usage
from vectadb_server.model import Tokens
from vectadb_server.stores import members, newest, rows
from vectadb_server.stores.base import Cursor, Group, Page
from vectadb_server.stores.engine import key_of
from vectadb_server.stores.newest import ByIndex, Listing, Newest, Place, Range

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from vectadb_server.model import Trace
    from vectadb_server.stores.base import Grouping
    from vectadb_server.stores.segments import Segments

#: Traces that the figures of one page are over, at most, and those of one group, at least.
PAGE_TRACES, GROUP_TRACES = 10_000, 200
#: Of a row, that it counts for where in the list its group stands.
_COUNTS = "(arrived ?? 0) < $arrived"
#: Agents of a day that are looked up by name; where there are more, traces are gone through instead.
FEW_NAMES = 200


class _Seen(NamedTuple):
    place: Place
    name: str


class _Among(NamedTuple):
    """A trace, and the groups that it is among the traces of."""

    place: Place
    names: list[str]


class Groups:
    """One request. ``days``: with their latest time, in descending order of it; ``times`` are those of traces' starts.

    Traces that arrived from ``arrived`` on count in the figures, but not for a group's place in the list.
    """

    def __init__(
        self,
        segments: Segments,
        days: Sequence[tuple[str, tuple[int, int]]],
        kind: Grouping,
        times: Range,
        arrived: int = 2**62,
    ) -> None:
        self._segments, self._kind, self._times, self._arrived = segments, kind, times, arrived
        self._days = [(day, bounds) for day, bounds in days if -bounds[1] <= times.last]
        self._index = f"{kind}_trace WITH INDEX {kind}_trace_name WHERE name"

    async def page(self, *, limit: int, after: Cursor | None) -> Page[Group]:
        """Return groups by the start of their newest trace, the newest first; their figures are over ``times``."""
        place = Place(-after.us, after.id) if after is not None else None
        names = await self._few() if self._kind == "agent" else None
        if names is None:
            found, following = await self._gone_through(limit, place)
        else:
            places = await self._places(names)
            ordered = sorted(_Seen(at, name) for name, at in places.items() if place is None or at > place)
            found, following = ordered[:limit], ordered[limit - 1].place if len(ordered) > limit else None
        figures = await self.figures([each.name for each in found])
        groups = [figures[each.name] for each in found if each.name in figures]
        return Page(groups, None if following is None else Cursor(-following.nus, following.id))

    async def _gone_through(self, limit: int, after: Place | None) -> tuple[list[_Seen], Place | None]:
        """Go through traces, the newest first: each group is met first at its newest."""
        until = time.monotonic() + newest.SECONDS
        listing = self._listing()
        conditions = [f"({self._kind}s ?? []) != []", _COUNTS]
        chunks = ByIndex(self._segments, listing, conditions, {"arrived": self._arrived}, None)
        walk = Newest(self._days, listing.place, chunks)
        found: dict[str, _Seen] = {}
        place = after and Place(after.nus, members.behind(after.id))
        while True:
            cursor = None if place is None else Cursor(-place.nus, place.id)
            page = await walk.page(self._times, limit=newest.FEW, after=cursor, seconds=until - time.monotonic())
            firsts: dict[str, _Seen] = {}
            for trace in page.items:
                for name in sorted(trace.names):
                    each = _Seen(_place(trace.place.nus, [trace.place.id, name]), name)
                    if name not in found and (after is None or each.place > after):
                        firsts.setdefault(name, each)
            # One whose newest trace is another was on an earlier page.
            places = await self._places(firsts) if after is not None else {}
            found |= {name: each for name, each in firsts.items() if places.get(name, each.place) == each.place}
            if len(found) > limit:
                listed = list(found.values())[:limit]
                return listed, listed[-1].place
            place = None if page.next is None else Place(-page.next.us, page.next.id)
            if place is None:
                return list(found.values()), None
            if len(found) == limit or time.monotonic() > until:
                return list(found.values()), Place(place.nus, members.id_text([place.id, members.LAST]))

    def _listing(self) -> Listing[_Among]:
        def read(row: Sequence[Any], _day: str) -> _Among:
            return _Among(Place(row[0], key_of(row[1])), row[2])

        def place(trace: _Among) -> Place:
            return trace.place

        columns = f"nstart, id, {self._kind}s"
        return Listing("trace WITH INDEX trace_newest", "nstart", columns, read, place, rows.trace_ref)

    async def _few(self) -> list[str] | None:
        """Return the names of all groups, from name to name over the index; ``None`` if they are many."""
        found: set[str] = set()
        for day, _ in self._days:
            last, some = "", 0
            async with self._segments.use(day) as db:
                # What is greater than a name is, for the engine, behind all of its rows: it goes through them. A name
                # with the least character that a name may have is not there, and behind them too.
                while row := await db.one(
                    f"SELECT VALUE name FROM {self._index} >= $next ORDER BY name LIMIT 1",  # noqa: S608 - no values
                    {"next": last + "\x01" if last else ""},
                ):
                    [last] = row
                    found.add(last)
                    some += 1
                    if some > FEW_NAMES:
                        return None
        return sorted(found)

    async def _places(self, names: Collection[str]) -> dict[str, Place]:
        """Return the place of each group's newest trace, of those that have one."""
        sql = f"SELECT VALUE [nstart, id] FROM (SELECT nstart, id FROM {self._index} = $n{{}} AND nstart >= $from AND nstart <= $to AND {_COUNTS} ORDER BY nstart, id LIMIT 1)"  # noqa: S608, E501 - no values
        found: dict[str, Place] = {}

        def take(name: str, result: list[Any]) -> None:
            for nstart, reference in result:
                place = _place(nstart, key_of(reference))
                found[name] = min(found.get(name, place), place)

        for day, _ in self._days:
            await self._each(day, names, sql, {"arrived": self._arrived}, take)
        return found

    async def figures(self, names: Sequence[str]) -> dict[str, Group]:
        """Sum up each group's traces, of those that have some in ``times``."""
        most = max(GROUP_TRACES, PAGE_TRACES // max(1, len(names)))
        sql = f"SELECT VALUE body FROM (SELECT nstart, id, of.body AS body FROM {self._index} = $n{{}} AND nstart >= $from AND nstart <= $to ORDER BY nstart, id LIMIT $most)"  # noqa: S608, E501 - no values
        traces: dict[str, list[Trace]] = {name: [] for name in names}

        def take(name: str, result: list[str]) -> None:
            traces[name] += [rows.trace({"body": body}) for body in result]

        for day, _ in self._days:
            await self._each(day, names, sql, {"most": most + 1}, take)
        return {name: _summed(name, some, most) for name, some in traces.items() if some}

    async def _each(
        self,
        day: str,
        names: Collection[str],
        sql: str,
        values: Mapping[str, Any],
        take: Callable[[str, list[Any]], None],
    ) -> None:
        """Ask the same of each group. Never ``IN``: that scans the table."""
        asked = list(names)
        common = {**values, "from": self._times.first, "to": self._times.last}
        async with self._segments.use(day) as db:
            for i in range(0, len(asked), 100):
                some = asked[i : i + 100]
                text = ";".join(sql.format(number) for number in range(len(some)))
                results = await db.run(text, {**common, **{f"n{number}": name for number, name in enumerate(some)}})
                for name, result in zip(some, results, strict=True):
                    take(name, result)


def _place(nstart: int, key: Sequence[str]) -> Place:
    """Where a group stands whose newest trace, by ``[trace, name]``, is this."""
    return Place(nstart, members.id_text(key))


def _summed(name: str, traces: list[Trace], most: int) -> Group:
    traces.sort(key=lambda trace: (-trace.start, trace.trace_id))
    complete = len(traces) <= most
    del traces[most:]
    # A quarter of an hour of a stream is no trace that anybody would count.
    listed = [trace for trace in traces if trace.basis != "time_window"]
    tokens = Tokens()
    for trace in traces:
        tokens = usage.plus(tokens, trace.tokens)
    costs = [trace.cost_usd for trace in traces if trace.cost_usd is not None]
    return Group(
        id=name,
        first=min(trace.start for trace in traces),
        last=max(trace.end for trace in traces),
        status=traces[0].status,
        traces=len(listed),
        failed=sum(trace.status == "error" for trace in listed),
        events=sum(trace.events for trace in traces),
        errors=sum(trace.errors for trace in traces),
        tokens=tokens,
        cost_usd=round(math.fsum(costs), 9) if costs else None,
        agents=sorted({agent_id for trace in traces for agent_id in trace.agents}),
        complete=complete,
    )
