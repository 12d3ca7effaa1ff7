"""The source against moto: what is read, from where, and how a page is fetched."""

from __future__ import annotations

import logging
from contextlib import aclosing
from threading import Event
from typing import Any

import anyio
import anyio.to_thread
import pytest

from plugins.cloudwatch.tests.consuming import REGION, Forward, drained, last_checkpoint, messages, source, until
from vectadb_agent import LogStream
from vectadb_agent.errors import CheckError

pytestmark = pytest.mark.anyio

ACCOUNT = "123456789012"


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


async def test_a_page_has_no_more_records_than_are_asked_for(aws: Any) -> None:
    group = aws.group()
    aws.put(group, *(f"m{n}" for n in range(250)))
    batches = await drained(source(group, page_records=100))
    assert [len(batch.records) for batch in batches if batch.records] == [100, 100, 50]
    assert {body["limit"] for body in aws.faults.requests("FilterLogEvents")} == {100}


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
