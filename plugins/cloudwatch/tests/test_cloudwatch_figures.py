"""What the source tells the metrics."""

from __future__ import annotations

import re
from contextlib import aclosing
from typing import Any

import pytest

from plugins.cloudwatch.tests.consuming import Forward, messages, source, until
from vectadb_agent import Batch
from vectadb_agent_cloudwatch import CloudWatchSource
from vectadb_agent_cloudwatch.reader import GroupReader, Pace
from vectadb_agent_cloudwatch.slices import Position

pytestmark = pytest.mark.anyio


def told(reads: CloudWatchSource) -> dict[tuple[str, ...], float]:
    figures = list(reads.figures())
    keys = [(figure.name, *(value for _, value in figure.labels)) for figure in figures]
    assert len(set(keys)) == len(keys)
    assert all(figure.name.endswith("_total") == (figure.kind == "counter") for figure in figures)
    assert all(figure.help.endswith(".") and re.fullmatch("source_[a-z_]+", figure.name) for figure in figures)
    return dict(zip(keys, (figure.value for figure in figures), strict=True))


async def test_requests_pages_errors_and_rates(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectadb_agent_cloudwatch.api.full_jitter", lambda *_: 0.01)
    group = aws.group()
    time = aws.put(group, "a", "b")
    throttled = (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
    troubles: Any = iter([throttled, (500, {}), throttled])

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        return next(troubles, None) or forward()

    aws.faults.hooks["FilterLogEvents"] = hook
    reads = source(group, max_requests_per_second=100)
    assert told(reads) == {
        ("source_pages_total", "head"): 0,
        ("source_pages_total", "again"): 0,
        ("source_records_total", "head"): 0,
        ("source_records_total", "again"): 0,
        ("source_throttles_total",): 0,
    }
    async with reads:
        async for _ in reads.read({}, drain=True):
            pass
        async for _ in reads.reread(group, 0, reads.now() + 10**9):
            pass
    values = told(reads)
    polls = values["source_pages_total", "head"]
    assert values["source_pages_total", "again"] >= 1
    assert values["source_records_total", "again"] == 2
    assert values["source_records_total", "head"] == 2
    assert values["source_throttles_total",] == 2
    assert values["source_errors_total", "transient"] == 1
    requests = values["source_requests_total", "FilterLogEvents"]
    assert requests == len(aws.faults.requests("FilterLogEvents")) == polls + values["source_pages_total", "again"] + 3
    assert 0 < values["source_allowed_requests_per_second", "FilterLogEvents"] <= 50
    assert values["source_newest_record_timestamp_seconds", group] == time / 1000
    assert values["source_lag_seconds", group] == 0


async def test_figures_are_of_the_groups_being_read(aws: Any) -> None:
    groups = [aws.group(f"/app/{name}") for name in "ab"]
    aws.group("/other")
    for group in groups:
        aws.put(group, group)
    reads = source({"prefix": "/app/"})
    async with reads, aclosing(reads.read({})) as batches:
        await until(batches, lambda taken: set(groups) <= set(messages(taken)))
        values = told(reads)
    assert {key[1] for key in values if key[0] == "source_lag_seconds"} == set(groups)


async def test_lag() -> None:
    """Newest visible less what is read; where nobody has looked for long, or not to the end, up to the present."""
    now = [1_800_000_000_000]

    async def take(batch: Batch) -> None:
        pass

    async def sleep(_: float) -> None:
        pass

    reader = GroupReader(
        "g",
        Position.resumed(now[0] - 60_000),
        None,
        take,
        pace=Pace(10, 1, 2),
        now=lambda: now[0],
        sleep=sleep,  # type: ignore[arg-type]
    )
    assert reader.newest is None
    assert reader.lag == 60  # a minute unread
    reader.position = Position.resumed(now[0])
    assert reader.lag == 0
    now[0] += 8_000
    assert reader.lag == 0  # nothing newer has been seen
    reader._newest = now[0] - 1000
    assert reader.lag == 7
    reader._newest = now[0] + 7_200_000
    assert reader.lag == 8
    now[0] += 100_000
    assert reader.lag == 108
