"""One row per record: which rows a block, arriving late, early or again, leaves behind.

A pure rule over the rows held, so that it can be tested by itself. Every record has one row under its own id: the event
that it is the head of, or a stub that names that event. In short: the larger block wins.

- All its records are held, and not all in smaller blocks: a duplicate.
- It contains every block that it touches: it replaces them, and their rows become stubs.
- Otherwise it overlaps: it is refused, with the positions of the records that nobody holds.

An *extra* is a further event of a block: it has no record of its own and lives and dies with its block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Key = tuple[str, str]
"""``(day, id)``: where a row is."""


class Row(msgspec.Struct, frozen=True):
    """What the rule knows of a row.

    ``records``: of an event, the keys of its block's records, its own first; of a stub and an extra nothing. ``head``:
    of a stub, the event it is part of; of an extra, the event it belongs to. ``size``: records of the block; 0 for a
    stub.
    """

    key: Key
    records: tuple[Key, ...] = ()
    head: Key | None = None
    size: int = 1

    @property
    def is_stub(self) -> bool:
        """Whether the record is inside the block of another."""
        return self.size == 0

    @property
    def is_extra(self) -> bool:
        """Whether this is a further event of a block."""
        return self.head is not None and self.size > 0


class Verdict(msgspec.Struct, frozen=True):
    """What becomes of one arriving event. ``unclaimed``: positions in its block of the records that nobody holds."""

    status: Literal["accepted", "duplicate", "overlap"]
    unclaimed: tuple[int, ...] = ()


_ACCEPTED = Verdict("accepted")
_DUPLICATE = Verdict("duplicate")


class Rows:
    """The rows held, as the arriving events change them one after the other.

    ``held`` must have the row, where there is one, of every arriving event and record, and of the head of each of
    those that is a stub or an extra; ``extras`` the extras, with their sizes, of every record of an arriving block and
    of the head of every arriving extra.
    """

    def __init__(self, held: Mapping[Key, Row], extras: Mapping[Key, Mapping[Key, int]]) -> None:
        self._held = held
        self._now: dict[Key, Row | None] = {}
        self._extras = {head: dict(sizes) for head, sizes in extras.items()}
        self._extras_changed: set[Key] = set()
        self._rests_on: set[Key] = set()

    def place(self, arriving: Sequence[Row]) -> list[Verdict]:
        """Judge the events in order, extras after all blocks; return the verdicts in the order given."""
        verdicts: dict[int, Verdict] = {}
        refused: set[Key] = set()
        for index, row in enumerate(arriving):
            if not row.is_extra:
                verdicts[index] = verdict = self._block(row)
                if verdict.status == "overlap":
                    refused.add(row.key)
        for index, row in enumerate(arriving):
            if row.is_extra:
                verdicts[index] = Verdict("overlap") if row.head in refused else self._extra(row)
        return [verdicts[index] for index in range(len(arriving))]

    def changes(self) -> dict[Key, Row | None]:
        """Return the rows that differ from what was held; ``None``: removed."""
        return {key: row for key, row in self._now.items() if row != self._held.get(key)}

    def extras_changed(self) -> dict[Key, dict[Key, int]]:
        """Return, for each head whose extras differ, those it has now."""
        return {head: self._extras.get(head, {}) for head in self._extras_changed}

    def rests_on(self) -> list[Row]:
        """Return the rows held whose being so decided something, or that change: they must still be so."""
        keys = self._rests_on | {key for key in self.changes() if key in self._held}
        return [self._held[key] for key in sorted(keys) if key in self._held]

    def _row(self, key: Key) -> Row | None:
        return self._now[key] if key in self._now else self._held.get(key)

    def _block(self, new: Row) -> Verdict:
        if new.size == 1:
            if self._row(new.key) is not None:
                return _DUPLICATE
            self._now[new.key] = new
            return _ACCEPTED
        rows = [self._row(key) for key in new.records]
        owners = {row.head or row.key for row in rows if row is not None}
        ours = set(new.records)
        mine = self._row(new.key)
        if mine is not None and set(mine.records) == ours:
            # A crash between two days may have left records of ours to themselves.
            lost = [key for key, row in zip(new.records, rows, strict=True) if self._lost(row, new, ours)]
            self._take(new, lost)
            return _DUPLICATE
        self._rests_on |= owners
        if all(self._within(owner, ours) for owner in owners):
            self._now[new.key] = new
            self._take(new, new.records[1:])
            self._keep_extras(new.key, at_least=new.size)
            return _ACCEPTED
        unclaimed = tuple(index for index, row in enumerate(rows) if row is None)
        return Verdict("overlap", unclaimed) if unclaimed else _DUPLICATE

    def _within(self, owner: Key, ours: set[Key]) -> bool:
        row = self._row(owner)
        # Without its row (its day was dropped) nobody knows what else the owner holds.
        return row is not None and not row.is_stub and set(row.records) <= ours

    def _lost(self, row: Row | None, new: Row, ours: set[Key]) -> bool:
        if row is None:
            return True
        owner = row.head or row.key
        return owner != new.key and self._within(owner, ours)

    def _take(self, new: Row, keys: Sequence[Key]) -> None:
        for key in keys:
            self._now[key] = Row(key=key, head=new.key, size=0)
            self._keep_extras(key, at_least=None)

    def _keep_extras(self, head: Key, *, at_least: int | None) -> None:
        sizes = self._extras.get(head, {})
        for key in [key for key, size in sizes.items() if at_least is None or size < at_least]:
            del sizes[key]
            self._now[key] = None
            self._extras_changed.add(head)

    def _extra(self, new: Row) -> Verdict:
        assert new.head is not None
        head, mine = self._row(new.head), self._row(new.key)
        if head is not None:
            self._rests_on.add(new.head)
            if head.is_stub or head.size > new.size:
                return _DUPLICATE
        if mine is not None and mine.size >= new.size:
            return _DUPLICATE
        self._now[new.key] = new
        self._extras.setdefault(new.head, {})[new.key] = new.size
        self._extras_changed.add(new.head)
        return _ACCEPTED
