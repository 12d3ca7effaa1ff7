"""What goes wrong between a reader and CloudWatch, and when: decided by a seed, so that a run can be repeated."""

from __future__ import annotations

import random
from collections import Counter, deque
from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

Fate = Literal["", "error", "hang", "drop", "drop_after"]
"""What becomes of a request: nothing special, 500 or 503, no answer, the connection cut before or after its work."""

QUOTAS = {"FilterLogEvents": 25.0, "GetLogEvents": 25.0, "DescribeLogGroups": 10.0, "DescribeLogStreams": 25.0}
"""AWS's, in us-east-1: requests a second."""


class Faults(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What goes wrong. Chances are between 0 and 1, for each request; times in seconds.

    ``errors``: 500 or 503. ``hangs``: no answer for ``hang_seconds``, or until other faults are set, then the
    connection is cut. ``hanging``: groups whose every request hangs. ``drops``: the connection is cut, half of the
    times after the request was worked. ``short``: a page ends early, with a token. ``empty``: a page is empty, with a
    token. ``token_life``: how long a page token is good. ``quota``: requests a second by operation; more get
    ``ThrottlingException``. ``keys``: the access keys that are known, ``None``: any. ``expired``: access keys that
    were good once. ``denied``: groups that may not be read. ``clock_skew``: how far the ``Date`` of answers is ahead.
    ``delay``: seconds that each answer takes.
    """

    errors: float = 0
    hangs: float = 0
    hang_seconds: float = 60
    hanging: list[str] = []
    drops: float = 0
    short: float = 0
    empty: float = 0
    token_life: float = 86_400
    quota: dict[str, float] = {}
    keys: list[str] | None = None
    expired: list[str] = []
    denied: list[str] = []
    clock_skew: float = 0
    delay: float = 0


class Dice:
    """Chances that depend on the seed and on the number of the request of its kind, not on who came first.

    Readers work in parallel: so the same seed gives each group the same fates, however their requests interleave.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._asked: Counter[tuple[str, str]] = Counter()

    def next(self, operation: str, group: str) -> random.Random:
        """The dice of the next request of this operation on this group."""
        self._asked[operation, group] += 1
        return random.Random(f"{self.seed} {operation} {group} {self._asked[operation, group]}")


def fate(faults: Faults, dice: random.Random) -> Fate:
    """Throw for one request."""
    chances: list[tuple[float, Fate]] = [
        (faults.errors, "error"),
        (faults.hangs, "hang"),
        (faults.drops / 2, "drop"),
        (faults.drops / 2, "drop_after"),
    ]
    thrown = dice.random()
    for chance, what in chances:
        if thrown < chance:
            return what
        thrown -= chance
    return ""


class Arrival(msgspec.Struct, array_like=True):
    """One request: when it arrived (monotonic seconds), what it asked; the answer's error code and its events."""

    at: float
    operation: str
    group: str
    code: str = ""
    events: int = 0


class Quota:
    """Refuses what exceeds so many requests in any one second, as AWS does."""

    def __init__(self) -> None:
        self._recent: dict[str, deque[float]] = {}

    def refuses(self, operation: str, limit: float, now: float) -> bool:
        """Count a request at ``now``; say whether it is one too many."""
        recent = self._recent.setdefault(operation, deque())
        while recent and recent[0] <= now - 1:
            recent.popleft()
        if len(recent) >= limit:
            return True
        recent.append(now)
        return False


def most_within(times: Iterable[float], seconds: float) -> int:
    """The greatest number of requests in any stretch of so many seconds."""
    window: deque[float] = deque()
    most = 0
    for at in sorted(times):
        window.append(at)
        while window[0] <= at - seconds:
            window.popleft()
        most = max(most, len(window))
    return most
