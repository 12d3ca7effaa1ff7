"""Saving: the checkpoints and ledgers of a pipeline's lanes, written to its state."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from vectadb_agent.lanes import BEGIN, Unsaved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from vectadb_agent.lanes import Lane
    from vectadb_agent.state import State

logger = logging.getLogger("vectadb_agent.saving")

UNSAVED = 10_000
"""Most records of a lane that have arrived and are not in the ledger yet; 100 to 200 bytes each in memory."""


class Saving:
    """Saves what the lanes of one pipeline have to save. ``changed`` is called when a lane has been."""

    def __init__(
        self, name: str, state: State, lanes: Mapping[tuple[str, str], Lane], *, changed: Callable[[], None]
    ) -> None:
        self._name = name
        self._state = state
        self._lanes = lanes
        self._changed = changed
        self._dirty = anyio.Event()

    def has_room(self, lane: Lane) -> bool:
        """Whether more records of the lane may arrive before what has is in the ledger."""
        return len(lane.unsaved.delivered) + lane.saving < UNSAVED

    def due(self) -> None:
        """Say that a lane has something to save."""
        self._dirty.set()

    async def run(self) -> None:
        """Save whenever something is due, until cancelled."""
        while True:
            await self._dirty.wait()
            self._dirty = anyio.Event()
            await self.save()
            # Pages settle in bursts: one transaction for many.
            await anyio.sleep(0.1)

    async def save(self) -> None:
        """Save what there is now. What cannot be is kept, as far as memory allows, and is due again."""
        for lane in [lane for lane in self._lanes.values() if lane.dirty]:
            unsaved, lane.unsaved = lane.unsaved, Unsaved()
            lane.saving = len(unsaved.delivered)
            try:
                await anyio.to_thread.run_sync(self._write, lane, unsaved)
            except Exception as error:
                # A full disk must not stop delivery: the older checkpoint stays good, and this one is tried again.
                logger.exception("cannot save the checkpoint", extra={"pipeline": self._name, "error": str(error)})
                lane.unsaved = _merged(unsaved, lane.unsaved)
                lane.saving = 0
                self._forget_some(lane)
                self._dirty.set()
                continue
            lane.saving = 0
            lane.dirty = bool(lane.unsaved != Unsaved())
            lane.known.difference_update(key for _, key, _ in unsaved.delivered)
            lane.saved_through = unsaved.read_through or lane.saved_through
            if unsaved.delivered:
                latest = max(row[0] for row in unsaved.delivered)
                lane.ledger_end = max(lane.ledger_end or latest, latest)
            self._changed()

    def _forget_some(self, lane: Lane) -> None:
        """Keep the memory bounded while nothing can be saved: the ledger may forget, for the sinks know the ids."""
        rows = lane.unsaved.delivered
        if len(rows) >= UNSAVED // 2:
            lane.known.difference_update(key for _, key, _ in rows[: -UNSAVED // 4])
            del rows[: -UNSAVED // 4]
        self._changed()

    def _write(self, lane: Lane, unsaved: Unsaved) -> None:
        """Save what a lane has to save. Run in a thread."""
        if unsaved.begins is not None:
            # Before the head's checkpoint, which tells that the partition is not new any more. A backfill may have
            # been there first, and have read from further back.
            begun = self._state.checkpoints(self._name, BEGIN).get(lane.partition, {})
            since = min(unsaved.begins, begun.get("since", unsaved.begins))
            self._state.save(self._name, lane.partition, lane=BEGIN, checkpoint={"since": since})
        self._state.save(
            self._name,
            lane.partition,
            lane=lane.name,
            checkpoint=unsaved.checkpoint,
            delivered=unsaved.delivered,
            forget_before=unsaved.forget_before,
            unsent=unsaved.unsent,
        )


def _merged(older: Unsaved, newer: Unsaved) -> Unsaved:
    unsent = dict(older.unsent)
    for hour, (count, digest) in newer.unsent.items():
        before = unsent.get(hour, (0, 0))
        unsent[hour] = (before[0] + count, (before[1] + digest) % 2**128)
    return Unsaved(
        newer.checkpoint or older.checkpoint,
        older.delivered + newer.delivered,
        newer.forget_before or older.forget_before,
        newer.read_through or older.read_through,
        newer.begins or older.begins,
        unsent,
    )
