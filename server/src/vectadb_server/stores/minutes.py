"""Counts of events by the minute of their time, by agent and type: append-only deltas, of which the counts are the sum.

A delta is written in the transaction that writes the events' rows, so that the two cannot differ, and no row is hot.
Counting the rows themselves takes the engine some 50 µs an event: an hour of a busy service would take seconds.

Where few events of a kind come, a delta names them: what is rare is then found by its ids, without a look at all that
happened in the same minutes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec

from vectadb_server import ids
from vectadb_server.stores.engine import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from vectadb_server.stores.engine import Connection

VERSION = 1
MINUTE = 60_000_000
"""Microseconds."""
NAMED = 3
"""Events of a kind that one delta names, at most; once deltas have been added up, :data:`NAMED_ADDED`."""
NAMED_ADDED = 8

_READ = "SELECT VALUE [id, body] FROM minute:[$since]..[$until]"
_NAMED = "SELECT VALUE [id, body, named] FROM array::distinct($refs) WHERE id != NONE"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, dict[str, int]]).decode
_decode_named = msgspec.json.Decoder(dict[str, dict[str, list[str]]]).decode


class Kind(NamedTuple):
    """Events of one minute (its start, microseconds), agent (``""``: none) and type."""

    minute: int
    agent: str
    event_type: str


@dataclass
class Minute:
    """A minute, for who looks for some kinds: its deltas' ids, how many events it has, how many of them ``ours``."""

    start: int
    deltas: list[Any] = field(default_factory=list)
    events: int = 0
    ours: int = 0


class Delta(NamedTuple):
    """How many more events of a kind there are, and which ones came (``None``: not said)."""

    more: int
    came: Sequence[str] | None


class Changes:
    """Events that come and go in one transaction."""

    def __init__(self) -> None:
        self._came: dict[Kind, list[str]] = defaultdict(list)
        self._went: dict[Kind, set[str]] = defaultdict(set)

    def come(self, kind: Kind, event_id: str) -> None:
        """One more event of the kind."""
        self._came[kind].append(event_id)

    def go(self, kind: Kind, event_id: str) -> None:
        """One less."""
        self._went[kind].add(event_id)

    def rows(self) -> list[dict[str, Any]]:
        """Return the deltas that say so."""
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
    for reference, body in await db.one(_READ, {"since": since, "until": until}):
        for kind, delta in _deltas(reference, body, None):
            counts[kind] += delta.more
    return counts


async def numbers(
    db: Connection, since: int, until: int, agent_id: str | None, event_types: Collection[str]
) -> list[Minute]:
    """Return the minutes that start in this time, newest first. ``None`` and no types: of any."""
    found: dict[int, Minute] = {}
    for reference, body in await db.one(_READ, {"since": since, "until": until}):
        start = key_of(reference)[0]
        minute = found.setdefault(start, Minute(start))
        minute.deltas.append(reference)
        for agent, types in _decode(body).items():
            minute.events += (every := sum(types.values()))
            if agent_id is None or agent == agent_id:
                minute.ours += sum(types.get(name, 0) for name in event_types) if event_types else every
    return sorted(found.values(), key=lambda minute: -minute.start)


async def named(
    db: Connection, looked_at: Sequence[Minute], agent_id: str | None, event_types: Collection[str]
) -> dict[int, set[str]]:
    """Return the ids of the events of the agent and types, and perhaps of others that were such, by minute.

    Minutes of which not all are known are left out.
    """
    references = [reference for minute in looked_at for reference in minute.deltas]
    found: dict[int, set[str]] = {minute.start: set() for minute in looked_at}
    read = await db.one(_NAMED, {"refs": references}) if references else []
    if len(read) < len(references):
        return {}  # They have been added up since.
    for reference, body, names in read:
        start = key_of(reference)[0]
        for kind, delta in _deltas(reference, body, names, agent_id):
            if event_types and kind.event_type not in event_types:
                continue
            if delta.came is None:
                found.pop(start, None)
            elif start in found:
                found[start].update(delta.came)
    return found


async def compact(db: Connection) -> None:
    """Add up the deltas of each minute that has several; readers see no difference.

    Raises:
        Conflict: somebody else does; nothing was done.
    """
    deltas: dict[int, list[tuple[Any, str, str | None]]] = defaultdict(list)
    for reference, body, named in await db.one("SELECT VALUE [id, body, named] FROM minute"):
        deltas[key_of(reference)[0]].append((reference, body, named))
    references: list[Any] = []
    sums: dict[Kind, Delta] = {}
    for several in deltas.values():
        if len(several) > 1:
            for reference, body, named in several:
                references.append(reference)
                for kind, delta in _deltas(reference, body, named):
                    sums[kind] = _sum(sums.get(kind), delta)
    if references:
        # Another server may have added them up since they were read.
        delete = "LET $gone = (DELETE $refs RETURN BEFORE); IF array::len($gone) != $count { THROW 'changed' }"
        await _replace(db, delete, {kind: delta for kind, delta in sums.items() if delta.more}, references)


async def rewrite(db: Connection, counts: Mapping[Kind, int]) -> None:
    """Replace all deltas of a day."""
    await _replace(db, "DELETE minute RETURN NONE", {kind: Delta(count, None) for kind, count in counts.items()}, [])


async def _replace(db: Connection, delete: str, deltas: Mapping[Kind, Delta], references: list[Any]) -> None:
    await db.run(
        f"BEGIN; {delete}; INSERT INTO minute $rows RETURN NONE; COMMIT;",
        {"refs": references, "count": len(references), "rows": _rows(deltas)},
    )


def _deltas(reference: Any, body: str, named: str | None, agent_id: str | None = None) -> Iterator[tuple[Kind, Delta]]:
    """What a row says, of one agent or (``None``) of all."""
    minute = key_of(reference)[0]
    known = _decode_named(named) if named else {}
    for agent, types in _decode(body).items():
        if agent_id in (None, agent):
            for event_type, more in types.items():
                yield Kind(minute, agent, event_type), Delta(more, known.get(agent, {}).get(event_type))


def _sum(one: Delta | None, other: Delta) -> Delta:
    if one is None:
        return other
    came = None if one.came is None or other.came is None else {*one.came, *other.came}
    return Delta(one.more + other.more, None if came is None or len(came) > NAMED_ADDED else sorted(came))
