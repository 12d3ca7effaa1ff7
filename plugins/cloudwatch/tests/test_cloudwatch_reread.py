"""Reading a group's past again: all that is visible now, once, in the order of time, whatever the API does."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.cloudwatch.tests.consuming import REGION, Forward, source
from vectadb_agent import Batch, LogRecord, LogStream
from vectadb_agent.errors import AbsentError, CheckError
from vectadb_agent_cloudwatch import CloudWatchSource
from vectadb_agent_cloudwatch.failures import ApiError
from vectadb_agent_cloudwatch.pages import Page, Pass
from vectadb_agent_cloudwatch.reread import Rereading
from vectadb_agent_cloudwatch.slices import Slice

HOUR = 3_600_000_000


async def reread(reads: CloudWatchSource, group: str, since: int = 0, until: int = 0) -> list[str]:
    """What the batches hold, in milliseconds' time from ``since`` to before ``until``; else the last hour."""
    now = reads.now()
    taken: list[str] = []
    last = 0
    with anyio.fail_after(20):
        async with aclosing(reads.reread(group, since * 1000 or now - HOUR, until * 1000 or now + HOUR)) as batches:
            async for batch in batches:
                assert batch.partition == group
                assert (batch.checkpoint, batch.read_through, batch.read_from, batch.forget_before) == (None,) * 4
                assert batch.records
                for record in batch.records:
                    assert record.timestamp >= last
                    last = record.timestamp
                    taken.append(record.message)
    return taken


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("api", "reader", "reread"):
        monkeypatch.setattr(f"vectadb_agent_cloudwatch.{module}.full_jitter", lambda *_: 0.01)


@pytest.mark.anyio
@pytest.mark.parametrize("reader", ["filter", "get"])
async def test_both_ends_are_exact(aws: Any, reader: str) -> None:
    group = aws.group()
    first = aws.put(group, "0", age=100)
    for i in range(1, 6):
        aws.put(group, str(i), at=first + i)
    async with source(group, reader=reader) as reads:
        assert await reread(reads, group, first + 1, first + 4) == ["1", "2", "3"]
        assert await reread(reads, group, first + 2, first + 3) == ["2"]
        # microseconds between milliseconds: a record belongs to [since, until) by its own time
        between = [
            record.message
            async for batch in reads.reread(group, first * 1000 + 1, first * 1000 + 2001)
            for record in batch.records
        ]
        assert between == ["1", "2"]
        assert [batch async for batch in reads.reread(group, first * 1000 + 1, first * 1000 + 999)] == []
        assert [batch async for batch in reads.reread(group, first * 1000, first * 1000)] == []


@pytest.mark.anyio
async def test_records_are_those_that_reading_gave(aws: Any) -> None:
    group = aws.group(None, "a", "b")
    for stream in "ab":
        aws.put(group, "x", "x", "y", stream=stream)
    for reader in ("filter", "get"):
        async with source(group, reader=reader) as reads:
            with anyio.fail_after(20):
                read = [record async for batch in reads.read({}, drain=True) for record in batch.records]
                again = [r async for b in reads.reread(group, 0, reads.now() + HOUR) for r in b.records]
        assert set(again) == set(read)
        assert len(again) == len(set(read)) == 6


@pytest.mark.anyio
async def test_works_beside_reading_and_without_it(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "x", age=5)
    async with source(group) as reads:
        assert await reread(reads, group) == ["x"]
        async with aclosing(reads.read({})) as batches:
            await anext(batches)
            assert await reread(reads, group) == ["x"]


@pytest.mark.anyio
async def test_where_from(aws: Any) -> None:
    aws.group("/app/a"), aws.group("/app/b"), aws.group("/other")
    async with source("/not/yet", {"prefix": "/app/"}, "/app/b") as reads:
        assert sorted(await reads.partitions()) == ["/app/a", "/app/b", "/not/yet"]
        assert await reads.origin("/app/a") == LogStream("cloudwatch", "123456789012", REGION, "/app/a", "")
        assert reads.sweep_ages == [300, 3600, 86_400, 13.5 * 86_400]
    assert source("/a", sweeps=[]).sweep_ages == []


@pytest.mark.anyio
async def test_what_cannot_be_read_is_said_with_its_remedy(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    group = aws.group()
    denied = (400, {"__type": "AccessDeniedException", "message": "not authorized to perform: logs:FilterLogEvents on"})
    async with source(group, {"prefix": "/p"}) as reads:
        with pytest.raises(AbsentError, match="no log group /gone") as missing:
            await reread(reads, "/gone")
        aws.faults.hooks["FilterLogEvents"] = lambda *_: denied
        with pytest.raises(CheckError, match=f"{group}: .*allow the IAM action logs:FilterLogEvents") as refused:
            await reread(reads, group)
        aws.faults.hooks["DescribeLogGroups"] = lambda *_: denied
        with pytest.raises(CheckError, match=r"/p\*: .*allow the IAM action") as unlisted:
            await reads.partitions()
    assert not missing.value.fatal
    assert not refused.value.fatal
    assert not unlisted.value.fatal
    async with source(group) as reads:
        with pytest.raises(CheckError, match="account"):
            await reads.origin(group)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with source(group) as reads:
        with pytest.raises(CheckError, match="AWS_ACCESS_KEY_ID") as caught:
            await reread(reads, group)
    assert caught.value.fatal


@pytest.mark.anyio
async def test_what_passes_is_waited_for(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "x")
    throttled = (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
    expired = (400, {"__type": "ExpiredTokenException", "message": "expired"})
    troubles: Iterator[tuple[int, dict[str, Any]]] = iter([throttled, (500, {}), throttled, expired, (503, {})])

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        return next(troubles, None) or forward()

    aws.faults.hooks["FilterLogEvents"] = hook
    async with source(group, max_requests_per_second=20_000) as reads:
        assert await reread(reads, group) == ["x"]


@pytest.mark.anyio
async def test_a_lost_token_costs_one_page_and_repeats_nothing(aws: Any) -> None:
    group = aws.group()
    aws.put(group, *[f"a{i}" for i in range(15)], age=50)
    aws.put(group, *[f"b{i}" for i in range(15)], age=40)
    lost = 0

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        nonlocal lost
        if "nextToken" in body and lost < 4 and len(aws.faults.requests("FilterLogEvents")) % 2:
            lost += 1
            return 400, {"__type": "InvalidParameterException", "message": "The specified nextToken is invalid."}
        return forward(body | {"limit": 10})

    aws.faults.hooks["FilterLogEvents"] = hook
    async with source(group) as reads:
        seen = await reread(reads, group)
    assert Counter(seen) == Counter({f"{letter}{i}": 1 for letter in "ab" for i in range(15)})
    assert lost == 4


@pytest.mark.anyio
async def test_many_named_streams_some_missing_come_in_the_order_of_time(aws: Any) -> None:
    names = [f"stream-{i:03}" for i in range(120)]
    group = aws.group(None, *names)
    for i, name in enumerate(names):
        aws.put(group, name, stream=name, age=100 + i * 37 % 50)

    def like_aws(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        if {"nope", "neither"} & set(body["logStreamNames"]):
            return 400, {"__type": "ResourceNotFoundException", "message": "The specified log stream does not exist."}
        return forward()

    aws.faults.hooks["FilterLogEvents"] = like_aws
    async with source(group, log_stream_names=["nope", *names, "neither"]) as reads:
        assert sorted(await reread(reads, group)) == names


@pytest.mark.anyio
async def test_a_yielded_page_is_not_kept_while_the_next_is_fetched(aws: Any) -> None:
    group = aws.group()
    aws.put(group, *[f"m{i}" for i in range(20)])
    held: list[list[LogRecord]] = []
    owners: list[int] = []

    def counting(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        owners.extend(sys.getrefcount(records) for records in held)
        return forward(body | {"limit": 10})

    aws.faults.hooks["FilterLogEvents"] = counting
    async with source(group) as reads, aclosing(reads.reread(group, 0, reads.now() + HOUR)) as batches:
        async for batch in batches:
            held.append(batch.records)  # type: ignore[arg-type]
            del batch
    assert owners == [3]  # the list `held`, the loop's variable, and getrefcount's


@pytest.mark.anyio
async def test_reading_again_never_holds_up_the_head(aws: Any) -> None:
    group, other = aws.group(), aws.group()
    aws.put(group, *[f"m{i}" for i in range(20)])
    aws.faults.hooks["FilterLogEvents"] = lambda body, forward: forward(body | {"limit": 10})
    reads = source(group, other, pages_in_flight=1)
    async with reads, aclosing(reads.reread(group, 0, reads.now() + HOUR)) as again:
        await anext(again)  # keeps its page
        with anyio.fail_after(20):
            async with aclosing(reads.read({})) as batches:
                async for batch in batches:
                    if batch.partition == group and batch.records:
                        break


STREAMS = ("a", "b", "c")


class Model:
    """A group of three streams, in one pass or in three, whose API loses, repeats and empties pages."""

    def __init__(self, entries: Sequence[tuple[int, str]], faults: Iterator[str], size: int, parts: int) -> None:
        self.records = [
            LogRecord(LogStream("cloudwatch", "1", "r", "g", stream), str(i), time * 1000, "m")
            for i, (time, stream) in enumerate(sorted(entries))
        ]
        self.faults, self.size = faults, size
        self.parts = [Pass()] if parts == 1 else [Pass((stream,)) for stream in STREAMS]
        self.requests = 0

    async def passes(self) -> list[Pass]:
        return self.parts

    @asynccontextmanager
    async def page(self, part: Pass, window: Slice, token: str | None) -> AsyncIterator[Page]:
        self.requests += 1
        fault = next(self.faults, "ok")
        if fault == "lost" and token is not None:
            raise ApiError("token", "The specified nextToken is invalid.")
        found = [
            record
            for record in self.records
            if window.start <= record.timestamp // 1000 <= window.end
            and (not part.streams or record.stream.log_stream in part.streams)
        ]
        offset = int(token.split(".")[0]) if token else 0
        size = {"empty": 0, "short": 1}.get(fault, self.size)
        following: str | None = f"{offset + size}.{self.requests}"
        if fault == "repeated" and token is not None:
            following = token
        elif offset + size >= len(found) and fault != "empty":
            following = None
        yield Page(found[offset : offset + size], following, weight=50)


async def _at_once(_: float) -> None:
    pass


def rereading(model: Model, start: int, end: int) -> list[Batch]:
    made = Rereading("g", model, start, end, gathering=anyio.Semaphore(1), sleep=_at_once)

    async def collect() -> list[Batch]:
        return [batch async for batch in made.batches()]

    return anyio.run(collect)


@given(
    st.lists(st.tuples(st.integers(0, 40), st.sampled_from(STREAMS)), max_size=40),
    st.lists(st.sampled_from(["ok", "ok", "empty", "short", "lost", "repeated"]), max_size=40),
    st.integers(1, 5),
    st.sampled_from([1, 3]),
    st.integers(0, 40),
    st.integers(-1, 40),
    st.integers(1, 12),
)
def test_all_once_in_order(
    entries: list[tuple[int, str]], faults: list[str], size: int, parts: int, start: int, end: int, gathered: int
) -> None:
    model = Model(entries, iter(faults), size, parts)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vectadb_agent_cloudwatch.reread._MOST_GATHERED", gathered)
        records = [record for batch in rereading(model, start, end) for record in batch.records]
    assert Counter(records) == Counter(r for r in model.records if start <= r.timestamp // 1000 <= end)
    assert all(a.timestamp <= b.timestamp for a, b in pairwise(records))


def test_a_long_chain_of_pages_begins_anew_so_that_no_token_gets_old() -> None:
    model = Model([(i, "a") for i in range(50)], iter(()), 2, 1)
    lengths: list[int] = []
    page = model.page

    def counting(part: Pass, window: Slice, token: str | None) -> Any:
        if token is None:
            lengths.append(0)
        lengths[-1] += 1
        return page(part, window, token)

    model.page = counting  # type: ignore[method-assign]
    assert len([r for batch in rereading(model, 0, 100) for r in batch.records]) == 50
    assert max(lengths) <= 4  # 200 pages' weight, of 50 each
    assert len(lengths) > 5
