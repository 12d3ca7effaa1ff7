"""Rate limits that several servers keep together: token buckets in the record store, leased in blocks.

A bucket holds at most a second's worth of tokens (at least one) and fills with ``rate`` a second. A server takes a
block of it, half a second's worth, and spends that without asking anyone; what it has not spent after a second it gives
back with its next lease, and loses if there is none. So ``n`` servers let through, in any ``t`` seconds, at most
``rate × (t + 1)`` and a block each. One spending that is larger than what there is, a batch of events, is let through
while anything is left, and the bucket owes the rest: the rate holds, and no batch is too large for ever.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

LEASE = 1.0
"""Seconds for which a server may spend a block."""
_BLOCK = 0.5  # seconds' worth of tokens
_BURST = 1.0


class Bucket(msgspec.Struct, frozen=True):
    """``tokens`` at ``at``, microseconds; fewer than none where they are owed."""

    tokens: float
    at: int


class Lease(msgspec.Struct, frozen=True):
    """``granted`` tokens; where there are none, ``wait`` seconds until there will be."""

    granted: float
    wait: float = 0.0


class Buckets(Protocol):
    """Where the buckets are; each is changed by one at a time."""

    async def lease(self, name: list[str], rate: float, *, spent: float, wanted: float) -> Lease:
        """Settle an earlier lease and take a new one; see :func:`leased`."""
        ...


def leased(bucket: Bucket | None, now: int, rate: float, *, spent: float, wanted: float) -> tuple[Bucket, Lease]:
    """Fill ``bucket`` (absent: a full one) up to ``now``, and take up to ``wanted`` tokens.

    Args:
        bucket: as it was left.
        now: microseconds; a clock that went back counts as one that stood still.
        rate: tokens a second.
        spent: beyond the last lease, to be owed; negative: what is given back of it.
        wanted: tokens.
    """
    most = capacity(rate)
    if bucket is None:
        tokens, at = most, now
    else:
        at = max(now, bucket.at)
        tokens = min(most, bucket.tokens + rate * (at - bucket.at) / 1e6)
    tokens = min(most, tokens - spent)
    # A token is whole: a fraction of one would let through one more.
    granted = max(0.0, min(wanted, float(math.floor(tokens + 1e-9))))
    wait = 0.0 if granted else max(0.0, 1 - tokens) / rate
    return Bucket(tokens - granted, at), Lease(granted, wait)


def capacity(rate: float) -> float:
    """Return the most tokens that a bucket holds."""
    return max(1.0, rate * _BURST)


def block(rate: float) -> float:
    """Return how many tokens a server takes at once."""
    return float(max(1, math.ceil(rate * _BLOCK)))


class _Held:
    """What one server has of one bucket. Below zero it owes."""

    def __init__(self) -> None:
        self.tokens = 0.0
        self.until = -math.inf
        self.closed_until = -math.inf
        self.turn = asyncio.Lock()


class Limiter:
    """One server's share of all buckets."""

    def __init__(self, buckets: Buckets, clock: Callable[[], float] = time.monotonic) -> None:
        self._buckets = buckets
        self._clock = clock
        self._held: dict[tuple[str, str], _Held] = {}
        #: How many leases were asked for.
        self.leases = 0

    @property
    def buckets(self) -> int:
        """How many buckets it has met."""
        return len(self._held)

    async def wait(self, key_id: str, kind: str, rate: float) -> float:
        """Return 0 where something may be spent now, else the seconds until it may. Nothing is spent."""
        return await self._wait(self._of(key_id, kind), [key_id, kind], rate)

    async def spend(self, key_id: str, kind: str, rate: float, amount: float = 1.0) -> float:
        """Spend ``amount`` tokens and return 0; or spend nothing, and return the seconds until there are any.

        Raises:
            StoreUnavailable: a lease is needed, and the record store is away.
        """
        held = self._of(key_id, kind)
        wait = await self._wait(held, [key_id, kind], rate)
        if not wait:
            held.tokens -= amount
        return wait

    def _of(self, key_id: str, kind: str) -> _Held:
        return self._held.setdefault((key_id, kind), _Held())

    async def _wait(self, held: _Held, name: list[str], rate: float) -> float:
        async with held.turn:
            now = self._clock()
            if now < held.closed_until:
                return held.closed_until - now
            if held.tokens >= 1 and now < held.until:
                return 0.0
            before = held.tokens
            held.tokens = min(0.0, before)  # Whoever is cancelled from here on does not give it back twice.
            self.leases += 1
            found = await self._buckets.lease(name, rate, spent=-before, wanted=block(rate))
            now = self._clock()
            held.tokens, held.until = found.granted, now + LEASE
            if not found.granted:
                held.closed_until = now + found.wait
            return found.wait
