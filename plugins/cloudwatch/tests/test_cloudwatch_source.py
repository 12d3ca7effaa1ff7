"""The source against moto: what is read, from where, and how a page is fetched."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from threading import Event
from typing import Any

import anyio
import anyio.to_thread
import pytest

from vectadb_agent import Batch, LogStream
from vectadb_agent.errors import CheckError
from vectadb_agent_cloudwatch import CloudWatchSource

pytestmark = pytest.mark.anyio

Forward = Callable[..., tuple[int, dict[str, Any]]]

ACCOUNT = "123456789012"
REGION = "eu-west-1"


def source(*groups: Any, **options: Any) -> CloudWatchSource:
    defaults = {"region": REGION, "max_requests_per_second": 10_000, "poll_interval": "50ms", "rediscover": "50ms"}
    config = {"type": "cloudwatch", "log_groups": list(groups), **defaults, **options}
    return CloudWatchSource(CloudWatchSource.Config.model_validate(config))


async def drained(reads: CloudWatchSource, after: Mapping[str, dict[str, Any]] | None = None) -> list[Batch]:
    batches = []
    async with reads:
        with anyio.fail_after(20):
            async for batch in reads.read(after or {}, drain=True):
                batches.append(batch)  # noqa: PERF401 - within the timeout
    return batches


async def until(batches: AsyncIterator[Batch], enough: Callable[[list[Batch]], bool]) -> list[Batch]:
    taken: list[Batch] = []
    with anyio.fail_after(20):
        async for batch in batches:
            taken.append(batch)
            if enough(taken):
                return taken
    raise AssertionError("the reading ended by itself")


def messages(batches: list[Batch]) -> list[str]:
    return [record.message for batch in batches for record in batch.records]


def last_checkpoint(batches: list[Batch]) -> dict[str, dict[str, Any]]:
    return {batch.partition: batch.checkpoint for batch in batches if batch.checkpoint is not None}


async def test_records_carry_their_whole_identity(aws: Any) -> None:
    group = aws.group()
    time = aws.put(group, "Action: search\n")
    batches = await drained(source(group))
    (record,) = [record for batch in batches for record in batch.records]
    assert record.stream == LogStream("cloudwatch", ACCOUNT, REGION, group, "s")
    assert record.timestamp == time * 1000
    assert record.ingestion_time is not None
    assert record.message == "Action: search\n"
    assert record.log_id
    assert {batch.partition for batch in batches} == {group}


async def test_checkpoint_resumes_and_an_unsaved_page_comes_again(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "old", age=100)
    first = await drained(source(group))
    assert messages(first) == ["old"]
    aws.put(group, "new")
    second = await drained(source(group), last_checkpoint(first))
    assert messages(second) == ["new"]
    assert messages(await drained(source(group))) == ["old", "new"]


async def test_lookback_is_where_a_new_group_starts(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "too old", age=7200)
    aws.put(group, "wanted", age=3000)
    assert messages(await drained(source(group, lookback="1h"))) == ["wanted"]


async def test_empty_page_with_a_token(aws: Any) -> None:
    group = aws.group()
    for message in "abc":
        aws.put(group, message)
    given = 0

    def empties(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        nonlocal given
        token = body.get("nextToken")
        if token is None or token.startswith("empty"):
            given += 1
            if given < 5:
                return 200, {"events": [], "nextToken": f"empty{given}"}
            body.pop("nextToken", None)
        return forward(body)

    aws.faults.hooks["FilterLogEvents"] = empties
    assert sorted(messages(await drained(source(group)))) == ["a", "b", "c"]


async def test_same_millisecond(aws: Any) -> None:
    group = aws.group()
    time = aws.put(group, *[f"first {i}" for i in range(50)])
    aws.faults.hooks["FilterLogEvents"] = lambda body, forward: forward(body | {"limit": 7})
    reads = source(group)
    async with reads, aclosing(reads.read({})) as batches:
        seen = await until(batches, lambda taken: len(set(messages(taken))) >= 50)
        aws.put(group, *[f"second {i}" for i in range(50)], at=time)
        seen += await until(batches, lambda taken: len({m for m in messages(taken) if "second" in m}) >= 50)
    assert set(messages(seen)) == {f"{word} {i}" for word in ("first", "second") for i in range(50)}


async def test_future_dated_event(aws: Any) -> None:
    group = aws.group()
    now = aws.put(group, "now", age=0)
    aws.put(group, "ahead", at=now + 7_000_000)
    reads = source(group)
    async with reads, aclosing(reads.read({})) as batches:
        seen = await until(batches, lambda taken: "ahead" in messages(taken))
        aws.put(group, "after it", age=0)
        seen += await until(batches, lambda taken: "after it" in messages(taken))
    marks = [batch.checkpoint["watermark"] for batch in seen if batch.checkpoint is not None]
    assert max(marks) < (now + 60_000) * 1000


async def test_late_visible_record_is_found(aws: Any) -> None:
    group = aws.group()
    reads = source(group)
    async with reads, aclosing(reads.read({})) as batches:
        aws.put(group, "prompt", age=0)
        await until(batches, lambda taken: len([m for m in messages(taken) if m == "prompt"]) > 2)
        aws.put(group, "dated half a minute before what has been read", age=30)
        await until(batches, lambda taken: "dated half a minute before what has been read" in messages(taken))


async def test_over_50_streams(aws: Any) -> None:
    names = [f"stream-{i:03}" for i in range(230)]
    group = aws.group(None, *names)
    for name in names:
        aws.put(group, name, stream=name)
    wanted = names[:225]
    batches = await drained(source(group, log_stream_names=wanted, lookback="30s"))
    assert sorted(messages(batches)) == wanted
    requests = aws.faults.requests("FilterLogEvents")
    assert all(len(request["logStreamNames"]) <= 100 for request in requests)
    assert len(requests) == 3


async def test_a_named_stream_that_does_not_exist_keeps_no_other_from_being_read(
    aws: Any, caplog: pytest.LogCaptureFixture
) -> None:
    group = aws.group(None, "a", "b", "c")
    for name in "abc":
        aws.put(group, name, stream=name)

    def like_aws(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        if "nope" in body["logStreamNames"]:
            return 400, {"__type": "ResourceNotFoundException", "message": "The specified log stream does not exist."}
        return forward()

    aws.faults.hooks["FilterLogEvents"] = like_aws
    with caplog.at_level(logging.WARNING, "vectadb_agent.cloudwatch"):
        batches = await drained(source(group, log_stream_names=["a", "b", "nope", "c"]))
    assert sorted(messages(batches)) == ["a", "b", "c"]
    assert group in last_checkpoint(batches)
    assert any(getattr(record, "log_stream", "") == "nope" for record in caplog.records)


async def test_backlog_drains_without_waiting_for_poll_interval(aws: Any) -> None:
    group = aws.group()
    for i in range(300):
        aws.put(group, f"m{i}", age=86_000 - i * 280)
    reads = source(group, lookback="24h", poll_interval="1h")
    async with reads, aclosing(reads.read({})) as batches:
        seen = await until(batches, lambda taken: len(set(messages(taken))) == 300)
    checkpoints = [batch.checkpoint["watermark"] for batch in seen if batch.checkpoint is not None]
    assert len(checkpoints) > 5
    assert checkpoints == sorted(checkpoints)


async def test_pages_come_one_by_one_and_the_checkpoint_with_the_last(aws: Any) -> None:
    group = aws.group()
    aws.put(group, *[f"m{i}" for i in range(25)])
    aws.faults.hooks["FilterLogEvents"] = lambda body, forward: forward(body | {"limit": 10})
    batches = [batch for batch in await drained(source(group)) if batch.records]
    assert [len(batch.records) for batch in batches] == [10, 10, 5]
    assert [batch.checkpoint is not None for batch in batches] == [False, False, True]
    assert batches[2].forget_before is not None
    assert batches[2].forget_before < batches[2].records[0].timestamp
    assert batches[0].read_through is None


async def test_no_more_pages_are_fetched_than_may_be_in_flight(aws: Any) -> None:
    groups = [aws.group() for _ in range(8)]
    for group in groups:
        aws.put(group, "x")
    too_many = Event()

    def counting(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        # one page taken, two fetched and waiting to be, and one asked for in place of the first
        if len(aws.faults.requests("FilterLogEvents")) > 4:
            too_many.set()
        return forward()

    aws.faults.hooks["FilterLogEvents"] = counting
    reads = source(*groups, pages_in_flight=2, lookback="30s")
    async with reads, aclosing(reads.read({})) as batches:
        while not (await anext(batches)).records:
            pass
        assert not await anyio.to_thread.run_sync(too_many.wait, 0.3)


async def test_prefix_discovers_a_new_group(aws: Any) -> None:
    old = aws.group("/app/old")
    aws.put(old, "old")
    reads = source({"prefix": "/app/"}, {"prefix": "/app/o"}, "/app/old", lookback="0s")
    async with reads, aclosing(reads.read({})) as batches:
        await until(batches, lambda taken: any(batch.partition == old for batch in taken))
        new = aws.group("/app/new")
        aws.put(new, "written before anyone looked", age=100)
        await until(batches, lambda taken: "written before anyone looked" in messages(taken))


async def test_prefix_that_matches_nothing_is_no_error(aws: Any, caplog: pytest.LogCaptureFixture) -> None:
    aws.group("/other")
    with caplog.at_level(logging.INFO, "vectadb_agent.cloudwatch"):
        assert await drained(source({"prefix": "/none/"})) == []
    assert [record.getMessage() for record in caplog.records].count(
        "no log group has this prefix yet; looking again"
    ) == 1


async def test_a_group_in_two_prefixes_is_read_once(aws: Any) -> None:
    group = aws.group("/app/one")
    aws.put(group, "x")
    assert messages(await drained(source({"prefix": "/app/"}, {"prefix": "/app/o"}, group))) == ["x"]


async def test_many_groups_found_by_prefix_are_all_drained(aws: Any) -> None:
    groups = [aws.group(f"/many/{i:03}") for i in range(60)]
    for group in groups:
        aws.put(group, group)
    assert sorted(messages(await drained(source({"prefix": "/many/"})))) == groups


async def test_filter_pattern_is_passed_on(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "keep this", "leave that")
    assert messages(await drained(source(group, filter_pattern="keep"))) == ["keep this"]


async def test_get_reader_makes_ids_of_the_content(aws: Any) -> None:
    group = aws.group(None, "a", "b")
    for stream in "ab":
        aws.put(group, "same", "same", "other", stream=stream)
    aws.faults.hooks["GetLogEvents"] = lambda body, forward: forward(body | {"limit": 2})
    first = [r for b in await drained(source(group, reader="get")) for r in b.records]
    again = [r for b in await drained(source(group, reader="get")) for r in b.records]
    assert sorted(r.message for r in first) == ["other", "other", "same", "same", "same", "same"]
    ids = {(r.stream.log_stream, r.log_id) for r in first}
    assert len(ids) == 6
    assert {(r.stream.log_stream, r.log_id) for r in again} == ids
    assert aws.faults.requests("FilterLogEvents") == []


async def test_get_reader_has_checkpoints_even_where_there_are_no_streams(aws: Any) -> None:
    group = aws.group()
    aws.client.delete_log_stream(logGroupName=group, logStreamName="s")
    assert group in last_checkpoint(await drained(source(group, reader="get")))


async def test_checkpoint_of_a_newer_version_is_refused_by_name(aws: Any) -> None:
    group = aws.group()
    with pytest.raises(CheckError, match=rf"{group}.*newer"):
        await drained(source(group), {group: {"version": 99, "mark": 1}})


async def test_configured_account_needs_no_listing_and_is_part_of_the_identity(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "x")
    aws.faults.hooks["DescribeLogGroups"] = lambda *_: (400, {"__type": "AccessDeniedException", "message": "no"})
    (record,) = [r for b in await drained(source(group, account="210987654321")) for r in b.records]
    assert record.stream.account == "210987654321"


async def test_cancelled_cleanly_in_mid_page(aws: Any) -> None:
    group = aws.group()
    aws.put(group, *[f"m{i}" for i in range(50)])
    aws.faults.hooks["FilterLogEvents"] = lambda body, forward: forward(body | {"limit": 10})
    reads = source(group)
    async with reads:
        async with aclosing(reads.read({})) as batches:
            await until(batches, lambda taken: len(messages(taken)) == 20)
        # nothing was saved: the same slice comes again
        async with aclosing(reads.read({})) as batches:
            seen = await until(batches, lambda taken: len(messages(taken)) >= 50)
    assert set(messages(seen)) == {f"m{i}" for i in range(50)}
    with anyio.move_on_after(0.2) as scope:
        async with reads:
            async for _ in reads.read({}):
                pass
    assert scope.cancelled_caught


async def test_reading_needs_to_be_entered(aws: Any) -> None:
    with pytest.raises(RuntimeError, match="async with"):
        await anext(source("/x").read({}))
