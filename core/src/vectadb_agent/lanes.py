"""Lanes: what a pipeline keeps in mind of each ordered reading of a partition.

The *head* lane is the source's own reading, which leaves out what was delivered before it joins records to blocks. The
others read stretches of the past *again*: they join everything anew and ship only the blocks that differ from what was
delivered, or, where the parsers have changed, all of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from vectadb_agent.components import Batch, Checkpoint
    from vectadb_agent.join import Joiner

HEAD = ""
"""Name of the lane that a source's own reading fills."""
BEGIN = "begin"
"""Under this name a partition's checkpoint ``{"since": µs}`` says what its first reading began with."""
SHAPE_UNKNOWN = -1
"""In :attr:`Page.held`: the sink holds the record; in which block nobody remembers."""

Held = Mapping[bytes, int]
"""What is known to be delivered: the key of each piece, and the number of pieces in the block whose head it is.

0: it is inside another's block. :data:`SHAPE_UNKNOWN`: that is not known, and stands for all pieces of the record.
"""


class Page(msgspec.Struct):
    """A batch in flight. ``pending``: pieces of its records that are not settled, and one while it is being taken.

    ``torn``: the pipeline was stopped while taking it; it never settles, and is read again. ``held``: of a page that is
    read again, what was delivered of it. ``taken_at``: since when it is in flight, seconds of ``time.monotonic``.
    """

    batch: Batch
    lane: Lane
    held: Held | None = None
    taken_at: float = 0.0
    pending: int = 1
    torn: bool = False
    delivered: int = 0
    duplicate: int = 0
    quarantined: int = 0
    expired: int = 0


class Ticket(msgspec.Struct, gc=False):
    """Goes with a record through the joining: the page to settle, and the record's key in the ledger.

    ``pending``: its pieces that are not settled. Only when all are may the ledger say that the record was delivered;
    until then ``rows`` keeps what it will say.
    """

    page: Page
    key: bytes | None
    pending: int = 0
    rows: list[tuple[int, bytes, int]] | None = None


class Unsaved(msgspec.Struct):
    """What the next save of a lane writes. ``unsent``: by hour, records that were not sent on, and their digest."""

    checkpoint: Checkpoint | None = None
    delivered: list[tuple[int, bytes, int]] = []
    forget_before: int | None = None
    read_through: int | None = None
    begins: int | None = None
    unsent: dict[int, tuple[int, int]] = {}


@dataclass
class Lane:
    """One ordered reading of a partition.

    ``ships``: what leaves it, ``new`` records (the head), the blocks that ``differ``, or ``all``. ``read_at``: when an
    again-reading began, microseconds.
    """

    partition: str
    name: str
    joiner: Joiner[Ticket]
    ships: Literal["new", "differing", "all"] = "new"
    read_at: int | None = None
    pages: deque[Page] = field(default_factory=deque)
    known: set[bytes] = field(default_factory=set)
    """Head only: keys of records in flight, or delivered but not yet in the ledger."""
    unsaved: Unsaved = field(default_factory=Unsaved)
    dirty: bool = False
    saving: int = 0
    """Records on their way into the ledger."""
    ledger_end: int | None = None
    reports_progress: bool = False
    checkpoint: Checkpoint | None = None
    """That of the latest settled page which had one."""
    saved_through: int | None = None
    """The source has been read up to here, and all of that is settled and saved; microseconds."""
    begins: int | None = None
    """Head only: nothing older was wanted when the partition was read for the first time; microseconds."""
    keep_from: int | None = None
    """Head only: later readings will ask the ledger about records from here on; microseconds."""

    @property
    def is_head(self) -> bool:
        """Whether this is the source's own reading."""
        return self.name == HEAD
