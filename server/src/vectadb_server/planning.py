"""What events do to the rows, as transactions: one for each day, in an order that a crash may break off anywhere."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_server.attribution import boundary_of, explicit
from vectadb_server.blocks import ERASED
from vectadb_server.stores import minutes
from vectadb_server.stores.digests import GroupHour, Totals
from vectadb_server.stores.engine import Encoded
from vectadb_server.stores.minutes import Changes, Kind
from vectadb_server.stores.rows import HeldRow, day_of, event_row, mark_of, marked, stub_row
from vectadb_server.stores.writes import Entry, Write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vectadb_server import blocks
    from vectadb_server.attribution import Boundary
    from vectadb_server.blocks import Key, Row
    from vectadb_server.model import Event
    from vectadb_server.plain import Plain
    from vectadb_server.wire import Options

_STAGES = 3


class Plan:
    """What a batch does to the rows, as transactions. Those from ``standing`` on are to say nothing."""

    def __init__(
        self,
        batch: Sequence[Event],
        rows: Sequence[Row],
        table: blocks.Rows,
        held: Mapping[Key, HeldRow],
        options: Options,
        standing: int,
    ) -> None:
        self.options = options
        self.changed = table.changes()
        self.events = {key: batch[index] for key, index in table.winners().items()}
        self._records: dict[Key, tuple[Event, int]] = {}
        self._held = held
        self._extras = table.extras_changed()
        self._rests_on = table.rests_on()
        for index, (event, row) in enumerate(zip(batch, rows, strict=True)):
            for position, key in enumerate(row.records):
                now = self.changed.get(key)
                if now is None:
                    continue
                if now.head == ERASED if index >= standing else row.key in {now.key, now.head}:
                    self._records[key] = (event, position)
        self._buried = {row.key: event for event, row in zip(batch[standing:], rows[standing:], strict=True)}

    def buries(self, key: Key) -> bool:
        """Whether the event's row is one, from now on, that nobody says anything of."""
        row = self.changed.get(key)
        return row is not None and row.head == ERASED

    def written(self, day: str) -> set[Key]:
        """Keys of the events that the day's transaction stored."""
        return {key for key in self.changed if key[0] == day and key in self.events}

    def writes(self) -> list[dict[str, Write]]:
        """Return the transactions, in stages, so that a crash between two days leaves no record without its text.

        What goes with its head's day comes first, then the stubs of other days. Where a block of several days gives way
        to several others, its own row goes only when these are there. Of an event that is erased the head goes last: it
        alone says which records are to follow.
        """
        stages: list[dict[str, Write]] = [defaultdict(Write) for _ in range(_STAGES)]
        entries: dict[tuple[int, str], Entry] = {}
        digests: dict[tuple[int, str], Totals] = defaultdict(Totals)
        erased: dict[tuple[int, str], Totals] = defaultdict(Totals)
        counts: dict[tuple[int, str], Changes] = defaultdict(Changes)
        for key, row in self.changed.items():
            day, stage = key[0], self._stage(key)
            write = stages[stage][day]
            entry = entries.setdefault((stage, day), Entry())
            before = self._held.get(key)
            if row is None:
                write.remove.append(key[1])
            elif row.is_stub:
                (write.insert if before is None else write.change).append(stub_row(row))
                if row.head == ERASED:
                    if key in self._records:
                        erased[stage, day].count(key[1], *self._records[key])
                    self._keep_boundary(key, write, entry)
            else:
                write.entry = entry
                counts[stage, day].come(counted_as(self.events[key]), key[1])
                made = inserted(self.events[key], row, write, self.options)
                (write.insert if before is None else write.change).append(made)
            if before is not None and before.row.size > 0:
                if before.kind is not None:
                    counts[stage, day].go(before.kind, key[1])
                if before.trace is not None:
                    entry.traces.append(before.trace)
                if row is None or row.is_stub:
                    entry.gone.append(key[1])
                if before.mark is not None and not (row is not None and row.head == ERASED):
                    boundary = marked(before.mark)
                    write.boundaries_gone.append(boundary)
                    entry.boundaries.append(boundary)
            elif before is None and key in self._records:
                digests[stage, day].count(key[1], *self._records[key])
        for head, versions in self._extras.items():
            write = stages[self._stage(head)][head[0]]
            write.extras[head[1]] = {key[1]: version for key, version in versions.items()}
        for row in self._rests_on:
            # Before anything is written in its day, and when it is written itself.
            first = [number for number, stage in enumerate(stages) if row.key[0] in stage][:1]
            own = [self._stage(row.key)] if row.key in self.changed else []
            for number in {*first, *own}:
                stages[number][row.key[0]].unchanged.append(self._held[row.key])
        for (stage, day), entry in entries.items():
            entry.traces = list(dict.fromkeys(entry.traces))
            write = stages[stage][day]
            write.digest = digests[stage, day].rows()
            write.erased = erased[stage, day].rows()
            write.minutes = counts[stage, day].rows()
            write.entry = entry if entry.events or entry.gone or entry.boundaries else None
        return [dict(stage) for stage in stages]

    def _keep_boundary(self, key: Key, write: Write, entry: Entry) -> None:
        """Keep of an event that is erased where a window begins or ends: what comes late belongs to the same trace."""
        before = self._held.get(key)
        if before is not None and before.mark is not None:
            write.nameless.append(marked(before.mark))
        elif before is None and key in self._buried:
            boundary = boundary_of(self._buried[key])
            if boundary is not None:
                write.boundaries.append(_nameless(boundary))
                entry.boundaries.append(_nameless(boundary))

    def _stage(self, key: Key) -> int:
        row, before = self.changed.get(key), self._held.get(key)
        if row is not None and row.head == ERASED:
            return int(before is not None and before.row.size > 0)
        if row is None:  # an extra that goes, or a head that stays as it is
            gone = key in self.changed and before is not None and before.row.head
            return self._stage(gone) if gone else 0
        if row.is_extra and row.head is not None:
            return self._stage(row.head)
        late = int(before is not None and self._is_divided(before.row, row))
        if row.is_stub and row.head is not None:
            return max(late, self._stage(row.head) + (row.head[0] != key[0]))
        return late

    def _is_divided(self, before: Row, now: Row) -> bool:
        """Whether a block of several days gives way to one that does not hold all of it."""
        if all(record[0] == before.key[0] for record in before.records):
            return False
        block = now
        if now.is_stub and now.head is not None:
            block = self.changed.get(now.head) or self._held[now.head].row
        return not set(before.records) <= set(block.records)


def counted_as(event: Event) -> Kind:
    """Return what the event counts as in the figures by the minute."""
    return minutes.kind_of(event.timestamp, event.agent_id, event.event_type)


def all_new(
    batch: Sequence[Event], rows: Sequence[Row], options: Options, plain: Plain | None = None
) -> dict[str, Write]:
    """Return the transactions, by day, that store events of one record each, none of which is held."""
    writes: dict[str, Write] = {}
    digests: dict[str, Totals] = defaultdict(Totals)
    counts: dict[str, Changes] = defaultdict(Changes)
    if plain is not None:
        day = day_of(plain.recorded)
        writes[day] = Write(
            encoded=Encoded(len(plain.ids), plain.rows),
            entry=Entry(events=[*plain.ids], traces=[*plain.traces]),
            least=plain.least,
            most=plain.most,
        )
        for group, count, total in plain.digests:
            digests[day].add(GroupHour(*group), count, total)
        for kind, event_ids in plain.kinds:
            counts[day].come_all(Kind(*kind), event_ids)
    for event, row in zip(batch, rows, strict=True):
        day, event_id = row.key
        if day not in writes:
            writes[day] = Write(entry=Entry())
        write = writes[day]
        write.insert.append(inserted(event, row, write, options))
        digests[day].count(event_id, event, 0)
        counts[day].come(counted_as(event), event_id)
    for day, write in writes.items():
        assert write.entry is not None
        write.entry.traces = list(dict.fromkeys(write.entry.traces))
        write.digest = digests[day].rows()
        write.minutes = counts[day].rows()
    return writes


def inserted(event: Event, row: Row, write: Write, options: Options) -> dict[str, Any]:
    """Return the event's row, having noted in ``write`` all else that its transaction does for it."""
    entry = write.entry
    assert entry is not None
    made = event_row(event, row, search=options.generate_embeddings, relate=options.extract_relationships)
    entry.events.append(row.key[1])
    if event.trace is not None:
        entry.traces.append(event.trace)
    at = event.timestamp
    write.least = at if write.least is None else min(write.least, at)
    write.most = at if write.most is None else max(write.most, at)
    if options.auto_create_traces and event.source is not None and explicit(event) is None:
        entry.weak.append(row.key[1])
        if event.agent_id and [event.source.stream_key(), event.agent_id] not in write.agents:
            write.agents.append([event.source.stream_key(), event.agent_id])
    boundary = boundary_of(event)
    if boundary is not None:
        made["mark"] = mark_of(boundary)
        write.boundaries.append(boundary)
        entry.boundaries.append(boundary)
    return made


def _nameless(boundary: Boundary) -> Boundary:
    return msgspec.structs.replace(boundary, name="", request_id=None)
