"""Shipping: a finished block's way to the sinks, and what they say of it.

A block is settled when every required sink has settled it. One that was read again is shipped only where it differs
from what was delivered; of one that a sink holds in part, the records that nobody holds go by themselves.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Literal

import anyio
import anyio.to_thread

from vectadb_agent.delivery import Fate, Outlet, Overlap, Parcel
from vectadb_agent.join import Joined
from vectadb_agent.lanes import SHAPE_UNKNOWN, Ticket
from vectadb_agent.records import Block
from vectadb_agent.settling import key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from vectadb_agent.components import Sink
    from vectadb_agent.errors import CheckError
    from vectadb_agent.parsing import Parsing
    from vectadb_agent.records import Event
    from vectadb_agent.settling import Settling
    from vectadb_agent.state import State
    from vectadb_agent.tap import Tap

logger = logging.getLogger("vectadb_agent.shipping")


class _Shipment(Parcel, gc=False):
    """A parcel with what is needed to settle it. ``waiting``: required sinks that have not settled it yet."""

    joined: Joined[Ticket]
    waiting: int
    fates: list[Fate]
    unclaimed: set[int] | None = None


_WORST_FIRST: tuple[Fate, ...] = ("quarantined", "delivered", "expired", "duplicate")


class Shipping:
    """Ships the blocks of one pipeline. ``failed`` is called when a sink will never work again."""

    def __init__(
        self,
        name: str,
        sinks: Mapping[str, Sink],
        parsing: Parsing,
        settling: Settling,
        state: State,
        *,
        most_bytes: int,
        failed: Callable[[CheckError], None],
        tap: Tap,
    ) -> None:
        self._name = name
        self._tap = tap
        self._state = state
        self.outlets = [
            Outlet(
                sink,
                sinks[sink],
                settled=self._settled if sinks[sink].config.required else _ignore,
                overlapping=self._overlapping if sinks[sink].config.required else _ignore_overlap,
                quarantine=functools.partial(self._quarantine, sink),
                failed=failed,
                most_bytes=most_bytes,
            )
            for sink in sinks
        ]
        self._parsing = parsing
        self._settling = settling
        self._required = sum(sink.config.required for sink in sinks.values())
        self._idempotent = all(sink.idempotent for sink in sinks.values())

    def rush(self) -> None:
        """Have every sink take what it was offered, full batch or not."""
        for outlet in self.outlets:
            outlet.rush()

    def emit(self, finished: Sequence[Joined[Ticket]]) -> None:
        """Ship finished blocks, or settle those that need no shipping."""
        for joined in finished:
            lane = joined.tags[0].page.lane
            if lane.ships == "differing" and not self._differs(joined):
                continue
            self._ship(joined, lane.read_at)

    def _ship(self, joined: Joined[Ticket], read_at: int | None) -> None:
        taker, events = self._parsing.parse(joined)
        if self._tap.lookers:
            self._tap.joined(joined.block)
            self._tap.parsed(joined.block, "" if taker is None else taker.name, events)
        if not events:
            self._settle(joined, "filtered")
            return
        if read_at is not None:
            for event in events:
                event.read_at = read_at
        size = sum(len(line) for line in joined.block.lines)
        shipment = _Shipment(events, size, joined, self._required, [])
        for outlet in self.outlets:
            outlet.offer(shipment)
        if not self._required:
            self._settle(joined, "delivered")

    def _settle(self, joined: Joined[Ticket], fate: Fate | Literal["filtered"]) -> None:
        if self._tap.lookers:
            self._tap.shipped(joined.block, fate)
        self._settling.settle(joined, fate)

    def _differs(self, joined: Joined[Ticket]) -> bool:
        """Whether a block that was read again is to be shipped as it is now. Where not, it is settled here."""
        block = joined.block
        missing: set[int] = set()
        reshaped = False
        for at, (record, part, ticket) in enumerate(zip(block.records, block.parts, joined.tags, strict=True)):
            held = ticket.page.held or {}
            whole = held.get(ticket.key) if ticket.key is not None else None
            size = (
                whole if part == "0" or whole == SHAPE_UNKNOWN else held.get(key_of(self._parsing.id_of(record, part)))
            )
            if size is None:
                missing.add(at)
            elif size not in (SHAPE_UNKNOWN, len(block.records) if at == 0 else 0):
                reshaped = True
        if self._idempotent and (missing or reshaped):
            return True
        if missing:
            # A sink that repeats what it is given again gets only what it never had.
            self._part(joined, missing)
        else:
            self._settling.settle(joined, "duplicate", note=False)
        return False

    def _part(self, joined: Joined[Ticket], missing: set[int]) -> None:
        """Ship the records that a sink lacks by themselves; the block's others it holds already."""
        block, tags = joined.block, joined.tags
        for at in range(len(block.records)):
            single = Joined(_part_of(block, at), None, (tags[at],))
            if at in missing:
                self._ship(single, tags[at].page.lane.read_at)
            else:
                self._settling.settle(single, "duplicate")

    def _settled(self, parcel: Parcel, fate: Fate) -> None:
        assert isinstance(parcel, _Shipment)
        parcel.fates.append(fate)
        parcel.waiting -= 1
        if parcel.waiting:
            return
        if parcel.unclaimed is not None:
            self._part(parcel.joined, parcel.unclaimed)
        else:
            self._settle(parcel.joined, next(fate for fate in _WORST_FIRST if fate in parcel.fates))

    def _overlapping(self, overlap: Overlap) -> None:
        parcel = overlap.parcel
        assert isinstance(parcel, _Shipment)
        parcel.unclaimed = (parcel.unclaimed or set()) | set(overlap.unclaimed)
        self._settled(parcel, "duplicate")

    async def _quarantine(self, sink: str, parcel: Parcel, refused: Sequence[tuple[Event, str]]) -> None:
        """Keep what a sink refused for good; return when it is kept, however long a full disk takes to be mended."""
        assert isinstance(parcel, _Shipment)
        partition = parcel.joined.tags[0].page.lane.partition
        rows = [(event.event_id, reason, event.wire()) for event, reason in refused]
        keep = functools.partial(self._state.quarantine, self._name, sink, rows, partition=partition)
        for event, reason in refused:
            logger.error(
                "event refused for good; kept in the quarantine",
                extra={"pipeline": self._name, "sink": sink, "event_id": event.event_id, "error": reason},
            )
        pause = 1.0
        while True:
            try:
                await anyio.to_thread.run_sync(keep)
            except Exception as error:
                logger.exception("cannot write the quarantine", extra={"pipeline": self._name, "error": str(error)})
                await anyio.sleep(pause)
                pause = min(2 * pause, 60.0)
            else:
                return


def _part_of(block: Block, position: int) -> Block:
    return Block((block.records[position],), (block.lines[position],), (block.parts[position],))


def _ignore(parcel: Parcel, fate: Fate) -> None:
    """Settle nothing: checkpoints do not wait for this sink."""


def _ignore_overlap(overlap: Overlap) -> None:
    """Ship nothing anew: checkpoints do not wait for this sink."""
