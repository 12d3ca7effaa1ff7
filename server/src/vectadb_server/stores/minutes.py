"""Counts of events by the minute of their time, by agent and type: append-only deltas, of which the counts are the sum.

A delta is written in the transaction that writes the events' rows, so that the two cannot differ, and no row is hot.
Counting the rows themselves takes the engine some 50 µs an event: an hour of a busy service would take seconds.

Where few events of a kind come, a delta names them: what is rare is then found by its ids, without a look at all that
happened in the same minutes.

The deltas of an hour are added up to one row now and then, whose key is that hour: handing over a row takes the engine
some 20 µs, and a list of what is rare looks at hundreds of minutes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import UUID

import msgspec

from vectadb_server import ids
from vectadb_server.stores.engine import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from vectadb_server.stores.engine import Connection

T = TypeVar("T")

VERSION = 1
MINUTE = 60_000_000
"""Microseconds."""
NAMED = 3
"""Events of a kind and minute that are named, at most."""
HOUR_BYTES = 256_000
"""Where the counts of an hour are more than that, they stay by the minute: who wants one minute reads them all."""

_HOUR = 60 * MINUTE
_COLUMNS = "SELECT VALUE [id, body, named, hour] FROM"
_READ = f"{_COLUMNS} minute:[$since]..[$until]"
# And what is said of the hour that `since` is in. It is one statement, since the deltas may be added up meanwhile.
_READ_WITHIN = f"{_READ}, minute:[$hour]..[$behind]"


class Kind(NamedTuple):
    """Events of one minute (its start, microseconds), agent (``""``: none) and type."""

    minute: int
    agent: str
    event_type: str


class Delta(NamedTuple):
    """How many more events of a kind there are, and which ones came (``None``: not said)."""

    more: int
    came: Sequence[str] | None


class Minute(msgspec.Struct):
    """A minute, for who looks for some kinds: how many events it has, and how many of them ``ours``.

    ``names``: the ids of ours, and perhaps of others that were such; ``None``: not all are known.
    """

    start: int
    events: int = 0
    ours: int = 0
    names: set[str] | None = msgspec.field(default_factory=set)


_Counts = list[tuple[int, int, list[str] | None]]
"""Of each minute its number in the hour, how many events there are, and which."""


class _Hour(msgspec.Struct):
    """An hour. ``events``: of each minute its number and how many it has; ``kinds``: by agent and type, `_Counts`."""

    events: list[tuple[int, int]]
    kinds: dict[str, dict[str, msgspec.Raw]]


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, dict[str, int]]).decode
_decode_named = msgspec.json.Decoder(dict[str, dict[str, list[str]]]).decode
_decode_hour = msgspec.json.Decoder(_Hour).decode
_decode_counts = msgspec.json.Decoder(_Counts).decode


class Changes:
    """Events that come and go in one transaction."""

    def __init__(self) -> None:
        self._came: dict[Kind, list[str]] = defaultdict(list)
        self._went: dict[Kind, set[str]] = defaultdict(set)

    def come(self, kind: Kind, event_id: str) -> None:
        """One more event of the kind."""
        self._came[kind].append(event_id)

    def come_all(self, kind: Kind, event_ids: Iterable[str]) -> None:
        """So many more of it."""
        self._came[kind].extend(event_ids)

    def go(self, kind: Kind, event_id: str) -> None:
        """One less."""
        self._went[kind].add(event_id)

    def rows(self) -> list[dict[str, Any]]:
        """Return the deltas that say so."""
        if not self._went:  # as nearly always
            return _rows(
                {kind: Delta(len(ids), ids if len(ids) <= NAMED else None) for kind, ids in self._came.items()}
            )
        deltas: dict[Kind, Delta] = {}
        for kind in self._came.keys() | self._went.keys():
            came, went = self._came.get(kind, []), self._went.get(kind, set())
            if went:
                came, went = [id_ for id_ in came if id_ not in went], went.difference(came)
            if came or went:
                deltas[kind] = Delta(len(came) - len(went), came if len(came) <= NAMED else None)
        return _rows(deltas)


def kind_of(us: int, agent_id: str | None, event_type: str) -> Kind:
    """Return what an event of this time counts as."""
    return Kind(us // MINUTE * MINUTE, agent_id or "", event_type)


def rows(counts: Mapping[Kind, int]) -> list[dict[str, Any]]:
    """Return the deltas that add so many, without names: one for each minute."""
    return _rows({kind: Delta(count, None) for kind, count in counts.items() if count})


def _rows(deltas: Mapping[Kind, Delta]) -> list[dict[str, Any]]:
    bodies: dict[int, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    named: dict[int, dict[str, dict[str, Sequence[str]]]] = defaultdict(lambda: defaultdict(dict))
    for (minute, agent, event_type), (more, came) in deltas.items():
        bodies[minute][agent][event_type] = more
        if came is not None:
            named[minute][agent][event_type] = came
    made: list[dict[str, Any]] = []
    for minute, body in bodies.items():
        row: dict[str, Any] = {"id": [minute, UUID(ids.uuid7())], "body": _encode(body).decode()}
        if minute in named:
            row["named"] = _encode(named[minute]).decode()
        made.append(row)
    return made


async def read(db: Connection, since: int, until: int) -> Counter[Kind]:
    """Return the counts of a day's events in the minutes that start from ``since`` on and before ``until``."""
    counts: Counter[Kind] = Counter()
    for row in await _read(db, since, until):
        for kind, delta in _said(row).kinds():
            if since <= kind.minute < until:
                counts[kind] += delta.more
    return counts


async def numbers(
    db: Connection, since: int, until: int, agent_id: str | None, event_types: Collection[str]
) -> list[Minute]:
    """Return the minutes that start in this time, newest first. ``None`` and no types: of any."""
    found: dict[int, Minute] = {}
    for row in await _read(db, since, until):
        said = _said(row)
        for start, events in said.events():
            if since <= start < until:
                found.setdefault(start, Minute(start)).events += events
        for kind, delta in said.kinds(agent_id, event_types):
            if since <= kind.minute < until:
                minute = found[kind.minute]
                minute.ours += delta.more
                if delta.came is None:
                    minute.names = None
                elif minute.names is not None:
                    minute.names.update(delta.came)
    return sorted(found.values(), key=lambda minute: -minute.start)


async def compact(db: Connection) -> None:
    """Add up the deltas of each hour; readers see no difference.

    Raises:
        Conflict: somebody else does; nothing was done.
    """
    hours: dict[int, list[_Row]] = defaultdict(list)
    for row in await db.one(f"{_COLUMNS} minute"):
        hours[key_of(row[0])[0] // _HOUR].append(row)
    references: list[Any] = []
    made: list[dict[str, Any]] = []
    for number, rows_ in hours.items():
        if not _divided(rows_):
            continue
        sums: dict[Kind, Delta] = {}
        for row in rows_:
            references.append(row[0])
            for kind, delta in _said(row).kinds():
                sums[kind] = _sum(sums.get(kind), delta)
        made += _added_up(number * _HOUR, {kind: delta for kind, delta in sums.items() if delta.more})
    if references:
        # Another server may have added them up since they were read.
        delete = "LET $gone = (DELETE $refs RETURN BEFORE); IF array::len($gone) != $count { THROW 'changed' }"
        await _replace(db, delete, made, references)


async def rewrite(db: Connection, counts: Mapping[Kind, int]) -> None:
    """Replace all deltas of a day."""
    await _replace(db, "DELETE minute RETURN NONE", rows(counts), [])


async def _replace(db: Connection, delete: str, made: list[dict[str, Any]], references: list[Any]) -> None:
    await db.run(
        f"BEGIN; {delete}; INSERT INTO minute $rows RETURN NONE; COMMIT;",
        {"refs": references, "count": len(references), "rows": made},
    )


_Row = tuple[Any, str | None, str | None, str | None]
"""Reference, body and names of a delta, or what is said of an hour."""


async def _read(db: Connection, since: int, until: int) -> list[_Row]:
    values = {"since": since, "until": until}
    hour = since - since % _HOUR
    if hour < since:
        return list(await db.one(_READ_WITHIN, {**values, "hour": hour, "behind": hour + 1}))
    return list(await db.one(_READ, values))


class _OfMinute(msgspec.Struct, gc=False):
    """What a delta says."""

    start: int
    counts: dict[str, dict[str, int]]
    named: dict[str, dict[str, list[str]]]

    def events(self) -> Iterator[tuple[int, int]]:
        """Yield each minute, and how many events more it has."""
        yield self.start, sum(sum(types.values()) for types in self.counts.values())

    def kinds(self, agent_id: str | None = None, event_types: Collection[str] = ()) -> Iterator[tuple[Kind, Delta]]:
        """Yield what is said of an agent and types; ``None`` and none: of any."""
        for agent, types in _of_agent(self.counts, agent_id):
            named = self.named.get(agent, {})
            for event_type, more in types.items():
                if not event_types or event_type in event_types:
                    yield Kind(self.start, agent, event_type), Delta(more, named.get(event_type))


class _OfHour(msgspec.Struct, gc=False):
    """What was added up of an hour, with the methods of :class:`_OfMinute`."""

    start: int
    hour: _Hour

    def events(self) -> Iterator[tuple[int, int]]:
        for number, events in self.hour.events:
            yield self.start + number * MINUTE, events

    def kinds(self, agent_id: str | None = None, event_types: Collection[str] = ()) -> Iterator[tuple[Kind, Delta]]:
        for agent, types in _of_agent(self.hour.kinds, agent_id):
            for event_type, counts in types.items():
                if not event_types or event_type in event_types:
                    for number, more, came in _decode_counts(counts):
                        yield Kind(self.start + number * MINUTE, agent, event_type), Delta(more, came)


def _of_agent(agents: Mapping[str, T], agent_id: str | None) -> Iterable[tuple[str, T]]:
    if agent_id is None:
        return agents.items()
    return [(agent_id, agents[agent_id])] if agent_id in agents else []


def _said(row: _Row) -> _OfMinute | _OfHour:
    reference, body, named, hour = row
    start = key_of(reference)[0]
    if hour:
        return _OfHour(start, _decode_hour(hour))
    return _OfMinute(start, _decode(body) if body else {}, _decode_named(named) if named else {})


def _divided(rows_: Sequence[_Row]) -> bool:
    """Whether an hour has deltas that can be added up."""
    several = len(rows_) > len({key_of(row[0])[0] for row in rows_})
    size = sum(len(body or "") + len(named or "") for _, body, named, _ in rows_)
    return several or (len(rows_) > 1 and size <= HOUR_BYTES)


def _added_up(hour: int, sums: Mapping[Kind, Delta]) -> list[dict[str, Any]]:
    """The rows of an hour: one, or one for each minute."""
    events: Counter[int] = Counter()
    kinds: dict[str, dict[str, _Counts]] = defaultdict(lambda: defaultdict(list))
    for (minute, agent, event_type), (more, came) in sorted(sums.items()):
        number = (minute - hour) // MINUTE
        events[number] += more
        kinds[agent][event_type].append((number, more, None if came is None else list(came)))
    text = _encode({"events": sorted(events.items()), "kinds": kinds}).decode()
    if len(text) > HOUR_BYTES:
        return _rows(sums)
    return [{"id": [hour, UUID(ids.uuid7())], "hour": text}] if sums else []


def _sum(one: Delta | None, other: Delta) -> Delta:
    if one is None:
        return other
    came = None if one.came is None or other.came is None else {*one.came, *other.came}
    return Delta(one.more + other.more, None if came is None or len(came) > NAMED else sorted(came))
