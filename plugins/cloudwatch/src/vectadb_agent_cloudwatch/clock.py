"""AWS's present, taken from the ``Date`` headers of its answers.

The watermark of a group must never pass AWS's now: records dated after it may still appear before it. The machine's
own clock may be minutes off, so it only counts the time since the last answer.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_STEP = 2.0
"""Seconds; an answer further behind says that the clock was put back, or that this machine slept."""


class AwsClock:
    """A lower bound of AWS's now, in milliseconds since the epoch; behind by little more than a second."""

    def __init__(
        self, *, monotonic: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._seen: tuple[float, float] | None = None
        self.answered = False

    def observe(self, date: str | None) -> None:
        """Take the ``Date`` header of an answer just received; one without or with an unreadable date changes nothing.

        Called from any thread.
        """
        self.answered = True
        try:
            served = parsedate_to_datetime(date or "").timestamp()
        except ValueError:
            return
        at = self._monotonic()
        seen = self._seen
        # The header is cut to the second: of several answers the one that tells the latest time is the nearest.
        if seen is None or not 0 <= seen[0] + at - seen[1] - served < _STEP:
            self._seen = (served, at)

    def now(self) -> int:
        """AWS's now in milliseconds; this machine's as long as no answer has told better."""
        seen = self._seen
        if seen is None:
            return int(self._wall() * 1000)
        served, at = seen
        return int((served + self._monotonic() - at) * 1000)
