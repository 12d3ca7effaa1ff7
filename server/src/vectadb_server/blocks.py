"""One row per record: which rows a block, arriving late, early or again, leaves behind.

A pure rule over the rows held, so that it can be tested by itself. Every record has one row under its own id: the event
that it is the head of, or a stub that names that event. In short: the later reading wins, and within one reading the
larger block.

A *reading* is one pass over the log; ``read_at`` says when it began, and 0 stands for the first one, as records came
in. Of two readings the later has seen more. A block that arrives takes the place of a held one where

- the held one is of no later reading, and the arriving one contains it; or
- the held one is of an earlier reading, and the arriving blocks of one batch and one reading contain it together.

A block that touches none but such is accepted: what it touches is replaced, and the rows become stubs, or events of
their own. Any other leaves all as it was: where somebody holds each of its records it is a duplicate, else it overlaps
and is refused, with the positions of the records that nobody holds. So blocks are never taken apart, no record loses
its row, and the pair of reading and size under one head only ever grows.

An *extra* is a further event of a block: it has no record of its own and lives and dies with its block.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Key = tuple[str, str]
"""``(day, id)``: where a row is."""

Version = tuple[int, int]
"""Reading and size of a block: of two under one head the larger version stays."""


class Row(msgspec.Struct, frozen=True, gc=False):
    """What the rule knows of a row.

    ``records``: of an event, the keys of its block's records, its own first; of a stub and an extra nothing. ``head``:
    of a stub, the event it is part of; of an extra, the event it belongs to. ``size``: records of the block; 0 for a
    stub. ``read_at``: when the reading began that it is of, microseconds; 0 for the first one, and for a stub.
    """

    key: Key
    records: tuple[Key, ...] = ()
    head: Key | None = None
    size: int = 1
    read_at: int = 0

    @property
    def is_stub(self) -> bool:
        """Whether the record is inside the block of another."""
        return self.size == 0

    @property
    def is_extra(self) -> bool:
        """Whether this is a further event of a block."""
        return self.head is not None and self.size > 0

    @property
    def version(self) -> Version:
        """Reading and size."""
        return self.read_at, self.size


ERASED: Key = ("0000-00-00", "00000000-0000-0000-0000-000000000000")
"""What stubs of erased records name as their head. It has no row, so that they are held, and nobody can take them."""


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of one arriving event. ``unclaimed``: positions in its block of the records that nobody holds."""

    status: Literal["accepted", "duplicate", "overlap"]
    unclaimed: tuple[int, ...] = ()


_ACCEPTED = Verdict("accepted")
_DUPLICATE = Verdict("duplicate")


class Rows:
    """The rows held, as the arriving events change them one after the other.

    ``extras`` must have the extras, with their versions, of every record of an arriving block and of the head of every
    arriving extra; ``held`` the row, where there is one, of every arriving event and record, of all those extras, and
    of the head of each of them that is a stub or an extra.
    """

    def __init__(self, held: Mapping[Key, Row], extras: Mapping[Key, Mapping[Key, Version]]) -> None:
        self._held = held
        self._now: dict[Key, Row | None] = {}
        self._extras = {head: dict(versions) for head, versions in extras.items()}
        self._extras_changed: set[Key] = set()
        self._rests_on: set[Key] = set()
        self._winners: dict[Key, int] = {}
        self._placed = 0
        self._sets: dict[Key, tuple[Row, frozenset[Key]]] = {}

    def place(self, arriving: Sequence[Row]) -> list[Verdict]:
        """Judge the events, earlier readings first, extras after all blocks; return the verdicts in the order given."""
        first, self._placed = self._placed, self._placed + len(arriving)
        verdicts: dict[int, Verdict] = {}
        turned_away: dict[tuple[Key, Version], Verdict] = {}
        readings: dict[int, list[int]] = defaultdict(list)
        for index, row in enumerate(arriving):
            if not row.is_extra:
                readings[row.read_at].append(index)
        for read_at, indexes in sorted(readings.items()):
            together: set[int] = set()
            if read_at:
                together = self._together([(index, arriving[index]) for index in indexes], read_at)
            for index in sorted(indexes, key=lambda index: index not in together):
                row = arriving[index]
                verdicts[index] = verdict = self._block(row, agreed=index in together)
                if verdict.status == "accepted":
                    self._winners[row.key] = first + index
                else:
                    turned_away[row.key, row.version] = Verdict(verdict.status)
        for index, row in enumerate(arriving):
            if row.head is not None and row.is_extra:
                verdict = self._extra(row, turned_away.get((row.head, row.version)))
                verdicts[index] = verdict
                if verdict.status == "accepted":
                    self._winners[row.key] = first + index
        return [verdicts[index] for index in range(len(arriving))]

    def bury(self, arriving: Sequence[Row]) -> list[Verdict]:
        """Judge, behind all others, events that are to say nothing.

        What they would have taken, and of one that overlaps what nobody holds, is held by nobody who says anything. So
        nothing gives way to them that would not have given way to events that say something.
        """
        first = self._placed
        verdicts = self.place(arriving)
        for index, (row, verdict) in enumerate(zip(arriving, verdicts, strict=True), first):
            if self._winners.get(row.key) == index:
                self.erase(row.key)
            for key in (row.records[position] for position in verdict.unclaimed):
                if self._owner(key) is None:
                    self._erase(key)
        return verdicts

    def erase(self, key: Key) -> None:
        """Take away a held event; its records stay held, by nobody who says anything."""
        row = self._row(key)
        if row is None or row.is_stub:
            return
        if row.is_extra and row.head is not None:
            self._extras.get(row.head, {}).pop(key, None)
            self._extras_changed.add(row.head)
            self._erase(key)
        owners = {record: self._owner(record) for record in row.records}
        for record, owner in owners.items():
            if owner in (None, key):
                self._erase(record)

    def _erase(self, key: Key) -> None:
        self._now[key] = Row(key=key, head=ERASED, size=0)
        self._winners.pop(key, None)

    def winners(self) -> dict[Key, int]:
        """Return, for each event that changed, which one of all that were placed it is now, counted from 0."""
        return self._winners

    def changes(self) -> dict[Key, Row | None]:
        """Return the rows that differ from what was held; ``None``: removed."""
        return {key: row for key, row in self._now.items() if row != self._held.get(key)}

    def extras_changed(self) -> dict[Key, dict[Key, Version]]:
        """Return, for each head whose extras differ, those it has now."""
        return {head: self._extras.get(head, {}) for head in self._extras_changed}

    def rests_on(self) -> list[Row]:
        """Return the rows held whose being so decided something, or that change: they must still be so."""
        keys = self._rests_on | {key for key in self.changes() if key in self._held}
        return [self._held[key] for key in sorted(keys) if key in self._held]

    # ---- who holds what ----

    def _row(self, key: Key) -> Row | None:
        return self._now[key] if key in self._now else self._held.get(key)

    def _contents(self, row: Row) -> frozenset[Key]:
        known = self._sets.get(row.key)
        if known is None or known[0] is not row:
            known = self._sets[row.key] = (row, frozenset(row.records))
        return known[1]

    def _owner(self, key: Key) -> Key | None:
        """Return the head of the block that holds the record; ``None``: nobody does.

        A crash between two days may leave a stub adrift, whose head does not know of it: nobody holds that record. But
        where the head has no row its day was dropped, and nobody knows what else it holds.
        """
        row = self._row(key)
        if row is None or not row.is_stub or row.head is None:
            return None if row is None else row.key
        head = self._row(row.head)
        if head is None:
            return row.head
        return head.key if key in self._contents(head) else None

    def _owners(self, keys: Iterable[Key]) -> set[Key]:
        return {owner for key in keys if (owner := self._owner(key)) is not None}

    def _within(self, owner: Key, ours: frozenset[Key], read_at: int) -> bool:
        """Whether a block of that reading takes the other's place by itself."""
        row = self._row(owner)
        return row is not None and not row.is_stub and row.read_at <= read_at and self._contents(row) <= ours

    # ---- blocks ----

    def _together(self, blocks: Sequence[tuple[int, Row]], read_at: int) -> set[int]:
        """Return the indexes of those blocks of one reading that, together, contain all that they touch.

        The most that do so: of the blocks that share no record, those are taken out that touch what cannot be replaced,
        which may leave something else uncontained, and so on.
        """
        sharing: dict[int, frozenset[Key]] = {}
        claimed: set[Key] = set()
        for index, row in sorted(blocks, key=lambda block: -block[1].size):
            if claimed.isdisjoint(row.records):
                sharing[index] = frozenset(row.records)
                claimed.update(row.records)
        touching: dict[Key, set[int]] = defaultdict(set)
        for index, records in sharing.items():
            for owner in self._owners(records):
                touching[owner].add(index)
        containing: dict[Key, list[Key]] = defaultdict(list)
        staying: list[Key] = []
        for owner in touching:
            held = self._row(owner)
            if held is None or held.read_at >= read_at or not self._contents(held) <= claimed:
                staying.append(owner)
            else:
                for key in held.records:
                    containing[key].append(owner)
        stayed = set(staying)
        while staying:
            owner = staying.pop()
            for index in touching[owner]:
                ours = sharing.get(index)
                if ours is None or self._within(owner, ours, read_at):
                    continue
                del sharing[index]
                for key in ours:
                    # What it held together with this block is not contained any more.
                    freed = [other for other in containing.pop(key, ()) if other not in stayed]
                    stayed.update(freed)
                    staying += freed
        return set(sharing)

    def _block(self, new: Row, *, agreed: bool) -> Verdict:
        """Judge a block. ``agreed``: it is one of those that contain together what they touch."""
        if new.size == 1 and not new.read_at:  # nearly all: one line, as it came in
            if self._owner(new.key) is not None:
                return _DUPLICATE
            if self._row(new.key) is None:
                self._now[new.key] = new
                return _ACCEPTED
        ours = frozenset(new.records)
        owners = self._owners(new.records)
        self._rests_on |= {row.head or key for key in new.records if (row := self._row(key)) is not None}
        same = [row for owner in owners if (row := self._row(owner)) is not None and self._contents(row) == ours]
        if same and same[0].read_at >= new.read_at:
            self._mend(same[0], ours, all_of_it=agreed)
            return _DUPLICATE
        if agreed or all(self._within(owner, ours, new.read_at) for owner in owners):
            self._put(new, new.records[1:])
            return _ACCEPTED
        unclaimed = tuple(index for index, key in enumerate(new.records) if self._owner(key) is None)
        return Verdict("overlap", unclaimed) if unclaimed else _DUPLICATE

    def _put(self, new: Row, others: Iterable[Key]) -> None:
        self._now[new.key] = new
        self._take(new, others)
        self._drop_extras(new.key, below=new.version)

    def _take(self, new: Row, keys: Iterable[Key]) -> None:
        for key in keys:
            self._now[key] = Row(key=key, head=new.key, size=0)
            # Those of a later reading wait for their block.
            self._drop_extras(key, below=(new.read_at + 1, 0))

    def _mend(self, block: Row, ours: frozenset[Key], *, all_of_it: bool) -> None:
        """Give a block the records that a crash between two days left to themselves, or to what it has replaced."""
        lost = []
        for key in block.records[1:]:
            owner = self._owner(key)
            if owner != block.key and (owner is None or all_of_it or self._within(owner, ours, block.read_at)):
                lost.append(key)
        self._take(block, lost)

    # ---- extras ----

    def _drop_extras(self, head: Key, *, below: Version) -> None:
        versions = self._extras.get(head, {})
        for key in [key for key, version in versions.items() if version < below]:
            del versions[key]
            self._now[key] = None
            self._winners.pop(key, None)
            self._extras_changed.add(head)

    def _extra(self, new: Row, turned_away: Verdict | None) -> Verdict:
        """Judge an extra. ``turned_away``: what became of its block, if that came too and was not accepted."""
        assert new.head is not None
        head, mine = self._row(new.head), self._row(new.key)
        if turned_away is not None and (head is None or head.version != new.version):
            return turned_away
        if head is not None:
            self._rests_on.add(new.head)
            if self._is_over(head, new):
                return _DUPLICATE
        if mine is not None and (mine.is_stub or mine.version >= new.version):
            return _DUPLICATE
        self._now[new.key] = new
        self._extras.setdefault(new.head, {})[new.key] = new.version
        self._extras_changed.add(new.head)
        return _ACCEPTED

    def _is_over(self, head: Row, extra: Row) -> bool:
        """Whether the extra's block was replaced, or is not to come."""
        if not head.is_stub or head.head is None:
            return head.version > extra.version
        self._rests_on.add(head.head)
        owner = self._row(head.head)
        return owner is None or owner.read_at >= extra.read_at
