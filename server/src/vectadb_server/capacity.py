"""How full the embedded store is, against what it was measured to bear and what its machine has.

What limits it: reads are quick while what they look at is in memory (2 KB an event; `stores/directories.py` bounds
it), the search index keeps days that are written to in memory, too, and everything is on one disk.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectadb_server.settings import Settings
    from vectadb_server.vitals import Figures

_log = logging.getLogger(__name__)

#: From which part of the capacity on it is said, and below which it is over.
NEARLY, OVER = 0.8, 0.75
#: Seconds after which it is logged again.
AGAIN = 86_400.0

Of = Literal["events", "day", "disk", "memory"]

_WAY_OUT = (
    "Next: keep less (VECTADB_RETAIN), or move to engines of their own: `vectadb migrate --to ws://… --qdrant http://…`"
)


class Use(NamedTuple):
    """So much ``of`` something is used, of so much that there is."""

    of: Of
    used: int
    most: int

    @property
    def ratio(self) -> float:
        """Which part is used."""
        return self.used / self.most if self.most > 0 else 1.0

    def __str__(self) -> str:
        part = f"{self.ratio:.0%}"
        match self.of:
            case "events":
                text, setting = f"the record holds {self.used:,} events", "VECTADB_CAPACITY_EVENTS"
            case "day":
                text, setting = f"the busiest day has {self.used:,} events", "VECTADB_CAPACITY_DAY_EVENTS"
            case "disk":
                return f"record and search index take {part} of the disk that they can have. {_WAY_OUT}"
            case "memory":
                return f"server and search process have {part} of this machine's memory. {_WAY_OUT}"
        return f"{text}, {part} of the {self.most:,} that it is to bear ({setting}). {_WAY_OUT}"


class Capacity:
    """What is used of each thing, and the words about what is nearly full: logged when that begins, then once a day."""

    def __init__(self, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._events, self._day = settings.capacity_events, settings.capacity_day_events
        self._clock = clock
        self._said: dict[Of, float] = {}
        self.uses: list[Use] = []

    def look(self, figures: Figures) -> None:
        """Take new figures."""
        self.uses = self._uses(figures)
        for use in self.uses:
            said = self._said.get(use.of)
            if use.ratio < (NEARLY if said is None else OVER):
                self._said.pop(use.of, None)
            elif said is None or self._clock() - said >= AGAIN:
                self._said[use.of] = self._clock()
                _log.warning("%s", use, extra={"of": use.of, "ratio": round(use.ratio, 3)})

    @property
    def warnings(self) -> list[Use]:
        """What is nearly full, or was a moment ago."""
        return [use for use in self.uses if use.of in self._said]

    def _uses(self, figures: Figures) -> list[Use]:
        found: list[Use] = []
        if figures.rows:
            found.append(Use("events", sum(figures.rows.values()), self._events))
            found.append(Use("day", max(figures.rows.values()), self._day))
        if figures.stored and figures.free is not None:
            stored = sum(figures.stored.values())
            found.append(Use("disk", stored, stored + figures.free))
        if figures.memory and figures.memory_limit:
            anonymous = sum(each.anonymous for each in figures.memory.values())
            found.append(Use("memory", anonymous, figures.memory_limit))
        return found
