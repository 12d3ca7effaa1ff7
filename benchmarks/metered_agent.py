"""The agent, run until it has drained its sources, with a meter before its sink.

``python -m benchmarks.metered_agent CONFIG [--null]``: as ``vectadb-agent run --drain``; with ``--null`` the sinks take
everything and do nothing. It writes what the meter says, as JSON, as the last line of its output.
"""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from benchmarks.processes import busy_seconds
from vectadb_agent import Event, Result, Sink, config, logs, runner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self


LOOK_EVERY = 0.25
"""Seconds between two looks at the clocks."""


class Reading(msgspec.Struct):
    """What passed between the first and the last look at the clocks, each just after a write: no start, no end.

    ``cpu_seconds`` is the processor time of the whole process in that time, ``taken_seconds`` what other processes took
    of the core it is pinned to. ``total``: all events since the start.
    """

    events: int = 0
    seconds: float = 0
    cpu_seconds: float = 0
    taken_seconds: float = 0
    total: int = 0


class Meter(Sink):
    """Stands before a sink and counts what it takes; without one, takes everything itself."""

    def __init__(self, inner: Sink, *, null: bool) -> None:
        super().__init__(inner.config)
        self.reading = Reading()
        self._inner = inner
        self._null = null
        self._core = _only_core()
        self._began: tuple[float, float, float, float] | None = None
        self._look_again = 0.0

    async def __aenter__(self) -> Self:
        """Open the sink."""
        await self._inner.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self._inner.__aexit__(kind, error, traceback)

    async def write(self, events: Sequence[Event]) -> Result:
        """Hand the events on, and count them once they are taken."""
        result = Result() if self._null else await self._inner.write(events)
        reading = self.reading
        reading.total += len(events)
        if time.monotonic() >= self._look_again:
            self._look()
        return result

    def _look(self) -> None:
        """Read the clocks; seldom, as the meter runs on the time of what it measures."""
        cpu = time.process_time()
        busy = None if self._core is None else busy_seconds(self._core)
        now = (self.reading.total, time.monotonic(), cpu, cpu if busy is None else busy)
        self._look_again = now[1] + LOOK_EVERY
        if self._began is None:
            self._began = now
        events, clock, used, busy = (latest - first for latest, first in zip(now, self._began, strict=True))
        reading = self.reading
        reading.events, reading.seconds, reading.cpu_seconds = int(events), clock, used
        reading.taken_seconds = max(0.0, busy - used)


def _only_core() -> int | None:
    allowed = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    return min(allowed) if len(allowed) == 1 else None


def main(file: str, *, null: bool) -> None:
    """Drain the configured sources, and print what the meter read."""
    logs.set_up("warning")
    configuration = config.read(Path(file))
    meters = {name: Meter(sink, null=null) for name, sink in configuration.sinks.items()}
    runner.run(dataclasses.replace(configuration, sinks=dict(meters)), drain=True)
    (meter,) = meters.values()
    print(msgspec.json.encode(meter.reading).decode())


if __name__ == "__main__":
    main(sys.argv[1], null="--null" in sys.argv[2:])
