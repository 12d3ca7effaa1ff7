"""Settling: what became of each record that was read, and how far a lane's pages are done with.

The accounts of what is in flight are kept here: the records' terms, the bytes that they take, the pieces of each page
that are open. A page is settled when all its pieces are; the unbroken run of settled pages from the oldest on is what a
lane has to save.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from vectadb_agent.components import Outcome
from vectadb_agent.records import record_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectadb_agent.components import Source
    from vectadb_agent.join import Joined
    from vectadb_agent.lanes import Lane, Page, Ticket
    from vectadb_agent.parsing import Parsing
    from vectadb_agent.records import LogRecord
    from vectadb_agent.saving import Saving

OVERHEAD = 1_500
"""Bytes that a record in flight takes beside its text, about: its event, ids and bookkeeping."""
HOUR = 3_600_000_000
"""Microseconds."""


class Counts(msgspec.Struct):
    """What became of the records read. Each is in exactly one term, or in flight."""

    read: int = 0
    delivered: int = 0
    duplicate: int = 0
    filtered: int = 0
    quarantined: int = 0
    expired: int = 0

    @property
    def in_flight(self) -> int:
        """Records read whose fate is still open."""
        return self.read - self.delivered - self.duplicate - self.filtered - self.quarantined - self.expired


class Settling:
    """Keeps the accounts of one pipeline. ``changed`` is called whenever a page may have been settled."""

    def __init__(
        self, source: Source, parsing: Parsing, saving: Saving, *, notes_unsent: bool, changed: Callable[[], None]
    ) -> None:
        self.counts = Counts()
        self.bytes = 0
        """What the records in flight take."""
        self.latest = time.monotonic()
        """When a record was settled last, seconds."""
        self._source = source
        self._parsing = parsing
        self._saving = saving
        self._notes_unsent = notes_unsent
        self._changed = changed

    def piece_taken(self, ticket: Ticket) -> None:
        """Take a piece of a record into the accounts."""
        ticket.pending += 1
        ticket.page.pending += 1
        self.bytes += OVERHEAD

    def settle(self, joined: Joined[Ticket], fate: str, *, note: bool = True) -> None:
        """Note the fate of a block's records: count each once, by its first piece, and free what they held."""
        block = joined.block
        counts = self.counts
        self.latest = time.monotonic()
        touched: dict[int, Lane] = {}
        size = len(block.records)
        for record, line, part, ticket in zip(block.records, block.lines, block.parts, joined.tags, strict=True):
            page = ticket.page
            lane = page.lane
            page.pending -= 1
            touched[id(lane)] = lane
            self.bytes -= len(line) + OVERHEAD
            ticket.pending -= 1
            if part == "0":
                setattr(counts, fate, getattr(counts, fate) + 1)
                if fate != "filtered":
                    setattr(page, fate, getattr(page, fate) + 1)
                if self._notes_unsent and fate in ("filtered", "quarantined"):
                    self._note_unsent(lane, page, record, ticket)
            if ticket.key is not None and note:
                self._note_delivered(lane, record, part, ticket, size)
            size = 0
        for lane in touched.values():
            self.advance(lane)

    def abandon(self, lane: Lane) -> None:
        """Let go of blocks that a later reading would have completed: their pages are read again by the next run."""
        for joined in lane.joiner.flush():
            for line, ticket in zip(joined.block.lines, joined.tags, strict=True):
                self.bytes -= len(line) + OVERHEAD
                ticket.page.pending -= 1
                if not ticket.page.torn:
                    ticket.page.torn = True
                    ticket.page.pending += 1

    def advance(self, lane: Lane) -> None:
        """Move the lane's checkpoint over its settled pages, oldest first."""
        unsaved = lane.unsaved
        while lane.pages and lane.pages[0].pending == 0:
            page = lane.pages.popleft()
            batch = page.batch
            if batch.checkpoint is not None:
                unsaved.checkpoint = lane.checkpoint = batch.checkpoint
            if batch.forget_before is not None:
                # Sweeps will ask the ledger: until they say how far back, nothing is forgotten.
                keep = lane.keep_from if self._source.sweep_ages else batch.forget_before
                unsaved.forget_before = None if keep is None else min(batch.forget_before, keep)
            if batch.read_through is not None:
                unsaved.read_through = batch.read_through
            if batch.read_from is not None:
                unsaved.begins = lane.begins = batch.read_from
            batch.settle(outcome(page, durable=True))
            lane.dirty = True
        if unsaved.delivered or unsaved.unsent:
            lane.dirty = True
        if lane.dirty:
            self._saving.due()
        self._changed()

    def _note_delivered(self, lane: Lane, record: LogRecord, part: str, ticket: Ticket, size: int) -> None:
        """Enter the piece in the ledger, but not before all pieces of its record are settled."""
        assert ticket.key is not None
        row = (record.timestamp, ticket.key if part == "0" else key_of(self._parsing.id_of(record, part)), size)
        if ticket.pending:
            ticket.rows = [*(ticket.rows or ()), row]
            return
        if ticket.rows:
            lane.unsaved.delivered += ticket.rows
        lane.unsaved.delivered.append(row)

    def _note_unsent(self, lane: Lane, page: Page, record: LogRecord, ticket: Ticket) -> None:
        if page.held is not None and ticket.key in page.held:
            return
        hour = record.timestamp // HOUR * HOUR
        count, digest = lane.unsaved.unsent.get(hour, (0, 0))
        lane.unsaved.unsent[hour] = (count + 1, (digest + record_hash(self._parsing.id_of(record))) % 2**128)


def key_of(event_id: str) -> bytes:
    """The 16 bytes of an id."""
    return bytes.fromhex(event_id.replace("-", ""))


def outcome(page: Page, *, durable: bool) -> Outcome:
    """What the page's source is told of it."""
    return Outcome(
        durable=durable,
        delivered=page.delivered,
        duplicate=page.duplicate,
        quarantined=page.quarantined,
        expired=page.expired,
    )
