"""A source as the tests configure it, and small consumers of what it reads."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio

from vectadb_agent import Batch
from vectadb_agent_cloudwatch import CloudWatchSource

REGION = "eu-west-1"

Forward = Callable[..., tuple[int, dict[str, Any]]]


def source(*groups: Any, **options: Any) -> CloudWatchSource:
    """A source in a hurry."""
    defaults = {"region": REGION, "max_requests_per_second": 10_000, "poll_interval": "50ms", "rediscover": "50ms"}
    config = {"type": "cloudwatch", "log_groups": list(groups), **defaults, **options}
    return CloudWatchSource(CloudWatchSource.Config.model_validate(config))


async def drained(reads: CloudWatchSource, after: Mapping[str, dict[str, Any]] | None = None) -> list[Batch]:
    """All that is visible now."""
    batches = []
    async with reads:
        with anyio.fail_after(20):
            async for batch in reads.read(after or {}, drain=True):
                batches.append(batch)  # noqa: PERF401 - within the timeout
    return batches


async def until(batches: AsyncIterator[Batch], enough: Callable[[list[Batch]], bool]) -> list[Batch]:
    """What is read until it is enough."""
    taken: list[Batch] = []
    with anyio.fail_after(20):
        async for batch in batches:
            taken.append(batch)
            if enough(taken):
                return taken
    raise AssertionError("the reading ended by itself")


def messages(batches: list[Batch]) -> list[str]:
    """The texts of the records, as they came."""
    return [record.message for batch in batches for record in batch.records]


def last_checkpoint(batches: list[Batch]) -> dict[str, dict[str, Any]]:
    """What would have been saved, had all batches been delivered."""
    return {batch.partition: batch.checkpoint for batch in batches if batch.checkpoint is not None}
