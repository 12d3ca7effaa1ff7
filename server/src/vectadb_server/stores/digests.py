"""Counts and digests of records, by log group and hour: append-only deltas, of which an hour's figures are the sum.

A delta is written in the transaction that writes the records' rows, so that the two cannot differ, and no row is hot.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from vectadb_server import ids
from vectadb_server.stores.engine import key_of

if TYPE_CHECKING:
    from vectadb_server.model import Event
    from vectadb_server.stores.engine import Connection

VERSION = 2
"""Of the rows' keys. In the first, groups of one name in two accounts were one."""

_HOUR = 3_600_000_000
_MODULUS = 2**128


class GroupHour(NamedTuple):
    """One log group of one account and region, and the start of an hour, microseconds."""

    log_group: str
    system: str
    account: str
    region: str
    hour: int


def whole_record(event: Event, position: int) -> tuple[str, int] | None:
    """Return log id and time (microseconds) of the record at this position of the event's block.

    ``None``: it is a piece of one that is counted elsewhere, or of no log, or nobody knows its time.
    """
    source = event.source
    if source is None or source.timestamp is None or not source.log_id:
        return None
    part = source.parts[position] if source.parts else source.part if position == 0 else "0"
    if part != "0":
        return None
    log_id = source.log_ids[position] if source.log_ids else source.log_id
    return log_id, source.timestamps[position] if source.timestamps else source.timestamp


class Totals:
    """Number of records and sum of their hashes, by group and hour."""

    def __init__(self) -> None:
        # By what makes a GroupHour: to make one for each of an ingest's events takes as long as to hash its id.
        self._sums: dict[tuple[str, str, str, str, int], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, where: GroupHour, count: int, total: int) -> None:
        """Add so many records with that sum."""
        sums = self._sums[where]
        sums[0] += count
        sums[1] += total

    def count(self, record_id: str, event: Event, position: int) -> None:
        """Add the record at this position of the event's block, if it is a whole one, of a log, with a time."""
        held = whole_record(event, position)
        if held is not None and (source := event.source) is not None:
            hour = held[1] // _HOUR * _HOUR
            sums = self._sums[source.log_group, source.system, source.account, source.region, hour]
            sums[0] += 1
            sums[1] += ids.record_hash(record_id)

    def items(self) -> list[tuple[GroupHour, int, int]]:
        """Return group and hour, count and sum, in order."""
        return [(GroupHour(*where), count, total % _MODULUS) for where, (count, total) in sorted(self._sums.items())]

    def rows(self) -> list[dict[str, Any]]:
        """Return the deltas that say all this."""
        return [
            {"id": [*where, UUID(ids.uuid7())], "n": count, "sum": f"{total:032x}"}
            for where, count, total in self.items()
        ]


async def read(db: Connection, log_group: str | None) -> list[tuple[Any, GroupHour, int, int]]:
    """Return a day's deltas, of one group or of all: reference, group and hour, count, sum."""
    if log_group is None:
        found = await db.one("SELECT id, n, sum FROM digest")
    else:
        found = await db.one("SELECT id, n, sum FROM digest:[$group, NONE]..[$group, ..]", {"group": log_group})
    return [(row["id"], GroupHour(*key_of(row["id"])[:5]), row["n"], int(row["sum"], 16)) for row in found]


async def erased(db: Connection) -> Totals:
    """Return those of a day's records that no event tells of any more."""
    totals = Totals()
    for row in await db.one("SELECT id, n, sum FROM erased"):
        totals.add(GroupHour(*key_of(row["id"])[:5]), row["n"], int(row["sum"], 16))
    return totals


async def compact(db: Connection, at_least: int) -> None:
    """Add up the deltas of an hour where there are so many; readers see no difference.

    Raises:
        Conflict: somebody else does; what was done so far stays done.
    """
    deltas: dict[GroupHour, list[Any]] = defaultdict(list)
    totals: dict[GroupHour, Totals] = defaultdict(Totals)
    for reference, where, count, total in await read(db, None):
        deltas[where].append(reference)
        totals[where].add(where, count, total)
    for where, references in deltas.items():
        if len(references) >= at_least:
            # Another server may have added them up since they were read.
            delete = "LET $gone = (DELETE $refs RETURN BEFORE); IF array::len($gone) != $count { THROW 'changed' }"
            await _replace(db, delete, totals[where], references)


async def rewrite(db: Connection, totals: Totals) -> None:
    """Replace all deltas of a day."""
    await _replace(db, "DELETE digest RETURN NONE", totals, [])


async def _replace(db: Connection, delete: str, totals: Totals, references: list[Any]) -> None:
    insert = "INSERT INTO digest $rows RETURN NONE"
    await db.run(
        f"BEGIN; {delete}; {insert}; COMMIT;", {"refs": references, "count": len(references), "rows": totals.rows()}
    )
