"""Request rates: AWS's quotas are per account and region, so all sources of the process draw from one bucket."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SHARE = 0.8
"""Part of the quota that is ours; the rest is for people at the console."""
_RECOVERY = 60.0
"""Seconds in which a rate grows from nothing to full."""
_LEAST = 1 / 32
"""Part of the full rate that is kept however often AWS throttles."""

_PER_SECOND: dict[str, tuple[float, dict[str, float]]] = {
    "FilterLogEvents": (
        10,
        {
            "us-east-1": 25,
            "ap-northeast-3": 5,
            "ap-southeast-3": 5,
            "ca-west-1": 5,
            "eu-central-1": 5,
            "il-central-1": 5,
        },
    ),
    "GetLogEvents": (
        25,
        {
            "us-west-2": 10,
            "ap-northeast-3": 10,
            "ap-southeast-3": 10,
            "ca-west-1": 10,
            "eu-central-1": 10,
            "eu-west-1": 10,
            "eu-west-3": 30,
            "il-central-1": 10,
        },
    ),
    "DescribeLogGroups": (10, {}),
    "DescribeLogStreams": (25, {}),
}


def fair_rate(operation: str, region: str) -> float:
    """Requests a second that we allow ourselves: AWS's documented quota minus the share of others."""
    usual, by_region = _PER_SECOND[operation]
    return by_region.get(region, usual) * _SHARE


class TokenBucket:
    """Spaces requests, first come first served; slower when AWS throttles, and slowly back to the full rate.

    A burst of a quarter second's requests is let through at once, so that any second stays within the full quota.
    Not for several threads.
    """

    def __init__(self, full_rate: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.full_rate = full_rate
        self.rate = full_rate
        self._monotonic = monotonic
        self._free_at = monotonic()
        self._cut_at = -1.0
        self._grown_at = self._free_at

    def reserve(self) -> float:
        """Take a turn, and return the seconds to wait for it. A turn taken is used up, even if not waited for."""
        now = self._monotonic()
        burst = max(self.rate / 4 - 1, 0) / self.rate
        turn = max(self._free_at, now - burst)
        self._free_at = turn + 1 / self.rate
        return max(0.0, turn - now)

    def throttled(self) -> None:
        """AWS refused a request: halve the rate, at most once a second, for refusals come in crowds."""
        now = self._monotonic()
        self._grown_at = now
        if now - self._cut_at >= 1 or self._cut_at < 0:
            self._cut_at = now
            self.rate = max(self.rate / 2, self.full_rate * _LEAST)

    def succeeded(self) -> None:
        """AWS answered: let the rate grow with the time that has passed without a refusal."""
        now = self._monotonic()
        if self.rate < self.full_rate:
            self.rate = min(self.full_rate, self.rate + self.full_rate * (now - self._grown_at) / _RECOVERY)
        self._grown_at = now


_shared: weakref.WeakValueDictionary[tuple[str, str, str], TokenBucket] = weakref.WeakValueDictionary()


def shared_bucket(operation: str, account: str, region: str, limit: float | None = None) -> TokenBucket:
    """The process's bucket for this operation, account and region; lives as long as somebody holds it.

    ``limit`` (requests a second) replaces the default. Where two ask for different limits, the lower one holds.
    """
    key = (operation, account, region)
    bucket = _shared.get(key)
    rate = fair_rate(operation, region) if limit is None else limit
    if bucket is None:
        bucket = _shared[key] = TokenBucket(rate)
    elif rate < bucket.full_rate:
        bucket.full_rate = rate
        bucket.rate = min(bucket.rate, rate)
    return bucket
