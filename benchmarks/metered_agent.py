"""The agent, run until it has drained its sources, with a meter before its sink.

``python -m benchmarks.metered_agent CONFIG [--null]``: as ``vectadb-agent run --drain``; with ``--null`` the sinks take
everything and do nothing. It writes what the meter says, as JSON, as the last line of its output.
"""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from vectadb_agent import Event, Result, Sink, config, logs, runner

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Self


class Reading(msgspec.Struct):
    """What passed between the first and the last write that the sink finished: so neither start nor end count.

    ``cpu_seconds`` is the processor time of the whole process in that time; ``total``: all events since the start.
    """

    events: int = 0
    seconds: float = 0
    cpu_seconds: float = 0
    total: int = 0


class Meter(Sink):
    """Stands before a sink and counts what it takes; without one, takes everything itself."""

    def __init__(self, inner: Sink, *, null: bool) -> None:
        super().__init__(inner.config)
        self.reading = Reading()
        self._inner = inner
        self._null = null
        self._began: tuple[float, float] | None = None

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
        now = time.monotonic(), time.process_time()
        reading = self.reading
        reading.total += len(events)
        if self._began is None:
            self._began = now
        else:
            reading.events += len(events)
            reading.seconds = now[0] - self._began[0]
            reading.cpu_seconds = now[1] - self._began[1]
        return result


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
