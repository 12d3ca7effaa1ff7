"""Request rates. AWS's quotas are per account and region: all sources of the machine's user share one bucket."""

from __future__ import annotations

import json
import time
import weakref
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

import anyio

from vectadb_agent_cloudwatch.pacing import LATE, Allowance, Pacing
from vectadb_agent_cloudwatch.quotafile import QuotaFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

_AWS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
"""How the names of AWS's own endpoints end, those inside a VPC included."""

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


def documented_quota(operation: str, region: str) -> float:
    """Requests a second that AWS allows an account in a region; not adjustable."""
    usual, by_region = _PER_SECOND[operation]
    return by_region.get(region, usual)


class Turns(Protocol):
    """Whom to ask before a request is sent, and to tell what came of it."""

    async def turn(self) -> None:
        """Wait for a turn; the request is to be sent at once when this returns."""

    async def throttled(self) -> None:
        """AWS refused the request for its rate."""

    async def succeeded(self) -> None:
        """AWS answered."""


class TokenBucket:
    """Spaces the requests of one operation, first come first served, among all who share ``known``.

    ``limit``: requests a second that no ten seconds exceed. Whoever shares the bucket under another limit keeps to
    that one by itself; together they keep to the highest.
    """

    def __init__(
        self,
        limit: float,
        known: QuotaFile,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
    ) -> None:
        self.allowance = Allowance.within(limit)
        self.giving_way = GivingWay(self)
        self._known = known
        self._monotonic = monotonic
        self._sleep = sleep

    @property
    def rate(self) -> float:
        """Requests a second that are let through at present, as far as this process has seen."""
        return self.allowance.rate * self._known.seen.share

    @property
    def full_rate(self) -> float:
        """The same as long as AWS does not throttle."""
        return self.allowance.rate

    async def turn(self) -> None:
        """Wait for a turn, in the order of asking."""
        while True:
            at = await self._change(self._take)
            await self._sleep(max(0.0, at - self._monotonic()))
            if self._monotonic() - at <= LATE:
                return

    async def turn_giving_way(self) -> None:
        """Wait until nobody else waits and half a burst is left over; then take a turn."""
        while pause := await self._change(self._take_what_is_left):
            await self._sleep(pause)

    async def throttled(self) -> None:
        """Slow down."""
        await self._change(Pacing.throttled)

    async def succeeded(self) -> None:
        """Go a little faster, where AWS had slowed us down."""
        if self._known.seen.share < 1:
            await self._change(Pacing.succeeded)

    async def _change(self, change: Callable[[Pacing, float], T]) -> T:
        return await self._known.change(change, self._plausible)

    def _plausible(self, pacing: Pacing, now: float) -> bool:
        return pacing.plausible(now, self.allowance)

    def _take(self, pacing: Pacing, now: float) -> float:
        return pacing.take(now, self.allowance)

    def _take_what_is_left(self, pacing: Pacing, now: float) -> float:
        pause = pacing.wait_to_give_way(now, self.allowance)
        if not pause:
            pacing.take(now, self.allowance)
        return pause


class GivingWay:
    """A bucket as those see it who give way to all others."""

    def __init__(self, bucket: TokenBucket) -> None:
        self._bucket = bucket
        self.turn = bucket.turn_giving_way
        self.throttled = bucket.throttled
        self.succeeded = bucket.succeeded


_files: weakref.WeakValueDictionary[str, QuotaFile] = weakref.WeakValueDictionary()


def shared_bucket(operation: str, account: str, region: str, endpoint: str, limit: float) -> TokenBucket:
    """A bucket for this operation, account and region, shared with all others of this user on this machine.

    ``endpoint`` tells what is not AWS from AWS, and from each other.
    """
    host = urlsplit(endpoint).hostname or ""
    place = "aws" if host.endswith(_AWS) else endpoint
    name = json.dumps([operation, account, region, place])
    known = _files.get(name)
    if known is None:
        known = _files[name] = QuotaFile(name)
    return TokenBucket(limit, known)
