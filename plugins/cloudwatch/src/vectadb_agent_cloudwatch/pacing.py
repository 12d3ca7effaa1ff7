"""When the next request may be sent: pure arithmetic on what all who share a quota know of it. Times in seconds.

The generic cell rate algorithm: each request takes the next turn, turns are ``1 / rate`` apart, and an idle while lets
a burst through at once. Adapting to AWS is the AIMD of TCP: halved on a refusal, and growing by the same step for
everybody, which brings any number of machines that know nothing of each other to fair shares.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec

WINDOW = 10.0
"""In no window of this length, however it lies, are there more requests than the limit times its length."""
LATE = 0.5
"""A turn that could not be used within this time is given up: it would crowd those after it."""

_TRANSIT = 0.5
"""Seconds by which requests differ in how long they take to reach AWS, at most."""
_BURST = 0.25
"""Seconds' worth of requests that an idle while lets through at once."""
_RECOVERY = 60.0
"""Seconds in which a rate grows from nothing to full."""
_LEAST = 1 / 32
"""Part of the full rate that is kept however often AWS throttles."""
_CUT_ONCE_IN = 1.0


@dataclass(frozen=True)
class Allowance:
    """What one who shares a quota allows itself: ``rate`` requests a second, ``burst`` at once.

    With ``tolerance = (burst - 1) / rate``, requests that arrive at most ``delay`` behind their turns number at most
    ``ceil(rate * (WINDOW + delay) + burst - 1)`` in any window: :meth:`within` solves this for the rate.
    """

    rate: float
    burst: float

    @classmethod
    def within(cls, limit: float) -> Allowance:
        """What keeps any ten seconds within ``limit`` requests a second."""
        burst = max(1.0, limit * _BURST)
        most = max(1, math.floor(limit * WINDOW))
        return cls(min(limit, (most - burst + 1) / (WINDOW + LATE + _TRANSIT)), burst)

    def cut(self, share: float) -> Allowance:
        """The part that AWS lets us have."""
        return Allowance(self.rate * share, max(1.0, self.burst * share))

    @property
    def tolerance(self) -> float:
        """How far before its time a turn may be taken, seconds."""
        return (self.burst - 1) / self.rate


class Pacing(msgspec.Struct):
    """What all who share a quota know of it.

    ``free_at``: the next turn that nobody has taken. ``share``: the part of the full rate that AWS lets us have.
    ``cut_at``: when it was last halved. ``grown_at``: up to when its growth is counted in.
    """

    free_at: float
    cut_at: float
    grown_at: float
    share: float = 1.0

    @classmethod
    def fresh(cls, now: float) -> Pacing:
        """Nothing known yet."""
        return cls(now, now - _CUT_ONCE_IN, now)

    def plausible(self, now: float, allowance: Allowance) -> bool:
        """Whether this can have been written on this machine since it was started."""
        queue = max(600.0, 64 / (allowance.rate * _LEAST))
        return (
            0 < self.share <= 1
            and 0 <= self.free_at <= now + queue
            and max(self.cut_at, self.grown_at) <= now + _CUT_ONCE_IN
        )

    def take(self, now: float, allowance: Allowance) -> float:
        """Take a turn, and return its time, ``now`` or later. It is used up, even if nobody comes."""
        given = allowance.cut(self.share)
        turn = max(self.free_at, now - given.tolerance)
        self.free_at = turn + 1 / given.rate
        return max(turn, now)

    def wait_to_give_way(self, now: float, allowance: Allowance) -> float:
        """Seconds until a turn is free for one who gives way, if nobody else comes: 0 is now.

        Nobody is waiting then, and half a burst stays for whoever comes next.
        """
        return max(0.0, self.free_at + allowance.cut(self.share).tolerance / 2 - now)

    def throttled(self, now: float) -> None:
        """AWS refused a request: halve the rate, at most once a second, for refusals come in crowds."""
        self.grown_at = now
        if now - self.cut_at >= _CUT_ONCE_IN:
            self.cut_at = now
            self.share = max(self.share / 2, _LEAST)

    def succeeded(self, now: float) -> None:
        """AWS answered: let the rate grow with the time that has passed without a refusal."""
        if self.share < 1:
            self.share = min(1.0, self.share + max(0.0, now - self.grown_at) / _RECOVERY)
        self.grown_at = now
