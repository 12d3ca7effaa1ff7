"""Counts of events by the minute of their time, by agent and type: append-only deltas, of which the counts are the sum.

A delta is written in the transaction that writes the events' rows, so that the two cannot differ, and no row is hot.
Counting the rows themselves takes the engine some 50 µs an event: an hour of a busy service would take seconds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec

from vectadb_server import ids
from vectadb_server.stores.engine import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from vectadb_server.stores.engine import Connection

VERSION = 1
MINUTE = 60_000_000
"""Microseconds."""

_READ = "SELECT VALUE [id, body] FROM minute:[$since]..[$until]"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, dict[str, int]]).decode


class Kind(NamedTuple):
    """Events of one minute (its start, microseconds), agent (``""``: none) and type."""

    minute: int
    agent: str
    event_type: str


def kind_of(us: int, agent_id: str | None, event_type: str) -> Kind:
    """Return what an event of this time counts as."""
    return Kind(us // MINUTE * MINUTE, agent_id or "", event_type)


def rows(counts: Mapping[Kind, int]) -> list[dict[str, Any]]:
    """Return the deltas that say all this: one for each minute."""
    bodies: dict[int, dict[str, dict[str, int]]] = defaultdict(lambda: defaultdict(dict))
    for kind, count in counts.items():
        if count:
            bodies[kind.minute][kind.agent][kind.event_type] = count
    return [{"id": [minute, UUID(ids.uuid7())], "body": _encode(body).decode()} for minute, body in bodies.items()]


async def read(db: Connection, since: int, until: int) -> Counter[Kind]:
    """Return the counts of a day's events in the minutes that start from ``since`` on and before ``until``."""
    counts: Counter[Kind] = Counter()
    for reference, body in await db.one(_READ, {"since": since, "until": until}):
        _add(counts, reference, body)
    return counts


async def numbers(
    db: Connection, since: int, until: int, agent_id: str | None, event_types: Collection[str]
) -> list[tuple[int, int, int]]:
    """Return, newest first, the minutes that start in this time: when, all events, and those of the agent and types.

    ``None`` and no types: of any.
    """
    found: dict[int, list[int]] = defaultdict(lambda: [0, 0])
    for reference, body in await db.one(_READ, {"since": since, "until": until}):
        sums = found[key_of(reference)[0]]
        for agent, types in _decode(body).items():
            sums[0] += sum(types.values())
            if agent_id is None or agent == agent_id:
                sums[1] += sum(types.get(name, 0) for name in event_types) if event_types else sum(types.values())
    return [(minute, sums[0], sums[1]) for minute, sums in sorted(found.items(), reverse=True)]


async def compact(db: Connection) -> None:
    """Add up the deltas of each minute that has several; readers see no difference.

    Raises:
        Conflict: somebody else does; nothing was done.
    """
    deltas: dict[int, list[tuple[Any, str]]] = defaultdict(list)
    for reference, body in await db.one("SELECT VALUE [id, body] FROM minute"):
        deltas[key_of(reference)[0]].append((reference, body))
    references: list[Any] = []
    counts: Counter[Kind] = Counter()
    for several in deltas.values():
        if len(several) > 1:
            for reference, body in several:
                references.append(reference)
                _add(counts, reference, body)
    if references:
        # Another server may have added them up since they were read.
        delete = "LET $gone = (DELETE $refs RETURN BEFORE); IF array::len($gone) != $count { THROW 'changed' }"
        await _replace(db, delete, counts, references)


async def rewrite(db: Connection, counts: Mapping[Kind, int]) -> None:
    """Replace all deltas of a day."""
    await _replace(db, "DELETE minute RETURN NONE", counts, [])


async def _replace(db: Connection, delete: str, counts: Mapping[Kind, int], references: list[Any]) -> None:
    await db.run(
        f"BEGIN; {delete}; INSERT INTO minute $rows RETURN NONE; COMMIT;",
        {"refs": references, "count": len(references), "rows": rows(counts)},
    )


def _add(counts: Counter[Kind], reference: Any, body: str) -> None:
    minute = key_of(reference)[0]
    for agent, types in _decode(body).items():
        for event_type, count in types.items():
            counts[Kind(minute, agent, event_type)] += count
