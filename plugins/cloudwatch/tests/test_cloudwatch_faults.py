"""The source against moto with faults: nothing that passes ends the reading, and what does not is said plainly."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from threading import Event
from typing import Any

import anyio
import anyio.to_thread
import pytest

from plugins.cloudwatch.tests.consuming import REGION, Forward, source
from vectadb_agent import Batch
from vectadb_agent.errors import CheckError
from vectadb_agent_cloudwatch import CloudWatchSource
from vectadb_agent_cloudwatch.api import Access, LogsApi
from vectadb_agent_cloudwatch.clock import AwsClock
from vectadb_agent_cloudwatch.discovery import find_groups, start_of
from vectadb_agent_cloudwatch.failures import ApiError
from vectadb_agent_cloudwatch.quota import TokenBucket
from vectadb_agent_cloudwatch.quotafile import QuotaFile

pytestmark = pytest.mark.anyio

THROTTLED = (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
EXPIRED = (400, {"__type": "ExpiredTokenException", "message": "The security token included in the request is expired"})
DENIED = (
    400,
    {
        "__type": "AccessDeniedException",
        "message": "User: arn:aws:iam::1:user/x is not authorized to perform: logs:FilterLogEvents on resource: y",
    },
)
BAD_TOKEN = (400, {"__type": "InvalidParameterException", "message": "The specified nextToken is invalid."})


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vectadb_agent_cloudwatch.api.full_jitter", lambda *_: 0.01)
    monkeypatch.setattr("vectadb_agent_cloudwatch.reader.full_jitter", lambda *_: 0.01)
    monkeypatch.setattr("vectadb_agent_cloudwatch.api._CREDENTIALS_CAP", 0.01)


async def drained(reads: CloudWatchSource) -> list[str]:
    async with reads:
        with anyio.fail_after(20):
            return [record.message async for batch in reads.read({}, drain=True) for record in batch.records]


async def until(batches: AsyncIterator[Batch], enough: Callable[[list[str]], bool]) -> None:
    taken: list[str] = []
    with anyio.fail_after(20):
        async for batch in batches:
            taken += [record.message for record in batch.records]
            if enough(taken):
                return
    raise AssertionError("the reading ended by itself")


def replies(*first: tuple[int, dict[str, Any]]) -> Callable[..., tuple[int, dict[str, Any]]]:
    left: Iterator[tuple[int, dict[str, Any]]] = iter(first)

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        return next(left, None) or forward()

    return hook


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_server_errors(aws: Any, status: int) -> None:
    group = aws.group()
    aws.put(group, "x")
    aws.faults.hooks["FilterLogEvents"] = replies(*[(status, {"message": "oops"})] * 7)
    aws.faults.hooks["DescribeLogGroups"] = replies(*[(status, {})] * 5)
    assert await drained(source(group)) == ["x"]


async def test_token_repeated(aws: Any) -> None:
    group = aws.group()
    aws.put(group, *[f"m{i}" for i in range(30)])
    repeated = 0

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        nonlocal repeated
        status, reply = forward(body | {"limit": 10})
        if "nextToken" in body and repeated < 3:
            repeated += 1
            reply["nextToken"] = body["nextToken"]
        return status, reply

    aws.faults.hooks["FilterLogEvents"] = hook
    assert set(await drained(source(group))) == {f"m{i}" for i in range(30)}


async def test_group_missing_others_go_on(aws: Any, reports: Any) -> None:
    here = aws.group()
    reads = source("/not/here/yet", here)
    async with reads, aclosing(reads.read({})) as batches:
        aws.put(here, "one")
        await until(batches, lambda taken: "one" in taken)
        aws.put(here, "two", age=0)
        await until(batches, lambda taken: "two" in taken)
        report = await reports.saying("cannot be read", "/not/here/yet")
        assert "as soon as it exists" in report.remedy
        ((name, why),) = reads.unreadable().items()
        assert name == "/not/here/yet"
        assert "no log group /not/here/yet in this account and region" in why
        aws.group("/not/here/yet")
        aws.put("/not/here/yet", "three")
        await until(batches, lambda taken: "three" in taken)
        with anyio.fail_after(20):
            while reads.unreadable():
                await anyio.lowlevel.checkpoint()
    assert [r for r in reports.records if r.getMessage() == "log group is readable again"]


async def test_deleted_and_recreated_group_keeps_going(aws: Any, reports: Any) -> None:
    group = aws.group()
    reads = source(group)
    async with reads, aclosing(reads.read({})) as batches:
        aws.put(group, "before")
        await until(batches, lambda taken: "before" in taken)
        aws.client.delete_log_group(logGroupName=group)
        await reports.saying("cannot be read", group)
        aws.group(group)
        aws.put(group, "after", age=0)
        await until(batches, lambda taken: "after" in taken)


async def test_denied_group_names_the_action_and_others_go_on(aws: Any, reports: Any) -> None:
    secret, open_ = aws.group("/secret"), aws.group("/open")
    aws.put(open_, "x")

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        return DENIED if body["logGroupName"] == secret else forward()

    aws.faults.hooks["FilterLogEvents"] = hook
    reads = source(secret, open_)
    async with reads, aclosing(reads.read({})) as batches:
        await until(batches, lambda taken: "x" in taken)
        report = await reports.saying("cannot be read", secret)
    assert "logs:FilterLogEvents" in report.remedy

    with pytest.raises(CheckError, match=r"/secret: .*logs:FilterLogEvents"):
        await drained(source(secret, open_))


async def test_what_prefixes_find_in_vain_is_told_until_there_is_one(aws: Any) -> None:
    here = aws.group("/here")
    reads = source(here, {"prefix": "/tpyo/"}, {"prefix": "/closed/"})
    denied = (400, {"__type": "AccessDeniedException", "message": "not for you"})

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        return denied if body.get("logGroupNamePrefix") == "/closed/" else forward()

    aws.faults.hooks["DescribeLogGroups"] = hook
    async with reads, aclosing(reads.read({})) as batches:
        aws.put(here, "one")
        await until(batches, lambda taken: "one" in taken)
        with anyio.fail_after(20):
            while len(reads.unreadable()) < 2:
                await anyio.lowlevel.checkpoint()
        assert "yet; it is read as soon as" in reads.unreadable()["/tpyo/*"]
        assert "allow the IAM action logs:DescribeLogGroups" in reads.unreadable()["/closed/*"]
        aws.put(aws.group("/tpyo/after/all"), "two")
        await until(batches, lambda taken: "two" in taken)
        assert set(reads.unreadable()) == {"/closed/*"}


async def test_a_drain_does_not_pass_over_a_group_that_is_named_and_not_there(aws: Any) -> None:
    with pytest.raises(CheckError, match="not read to the end:\n/tpyo: no such log group in this account and region"):
        await drained(source("/tpyo"))  # nor is any other: the account is unknown
    here = aws.group("/here")
    aws.put(here, "x")
    taken: list[str] = []

    async def drain(reads: CloudWatchSource) -> None:
        async with reads:
            async for batch in reads.read({}, drain=True):
                taken.extend(record.message for record in batch.records)

    with pytest.raises(CheckError, match=r"not read to the end:\n/tpyo: .*no log group /tpyo in this account"):
        await drain(source("/tpyo", here, {"prefix": "/none/"}))
    assert taken == ["x"]


async def test_credentials_missing(aws: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    for use in (drained, _checked):
        with pytest.raises(CheckError, match="AWS_ACCESS_KEY_ID") as caught:
            await use(source("/x"))
        assert caught.value.fatal


async def test_credentials_refused_at_the_start(aws: Any) -> None:
    aws.faults.hooks["DescribeLogGroups"] = lambda *_: EXPIRED
    for options in ({}, {"account": "123456789012"}):
        with pytest.raises(CheckError, match="expired") as caught:
            await drained(source("/x", **options))
        assert caught.value.fatal


async def test_credentials_expired_later_are_looked_up_again(
    aws: Any, monkeypatch: pytest.MonkeyPatch, reports: Any
) -> None:
    group = aws.group()
    reads = source(group)
    async with reads, aclosing(reads.read({})) as batches:
        aws.put(group, "before")
        await until(batches, lambda taken: "before" in taken)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "rotated")
        old = reads.api._client
        aws.faults.hooks["FilterLogEvents"] = replies(*[EXPIRED] * 3)
        aws.put(group, "after", age=0)
        await until(batches, lambda taken: "after" in taken)
        assert reads.api._client is not old
        assert reads.api._client._request_signer._credentials.access_key == "rotated"
    assert [r.levelname for r in reports.records] == ["ERROR"] * 3


async def test_unknown_region_profile_and_account_are_errors_at_start(
    aws: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(CheckError, match="region"):
        await drained(source("/x", region=None))
    with pytest.raises(CheckError, match="nobody"):
        await drained(source("/x", profile="nobody"))
    aws.faults.hooks["DescribeLogGroups"] = lambda *_: (400, {"__type": "AccessDeniedException", "message": "no"})
    with pytest.raises(CheckError, match=r"logs:DescribeLogGroups.*`account`"):
        await drained(source("/x"))
    monkeypatch.setenv("AWS_REGION", REGION)
    aws.faults.hooks.clear()
    aws.put(aws.group("/x"), "m")
    assert await drained(source("/x", region=None)) == ["m"]


async def test_no_group_at_all_yet(aws: Any, reports: Any) -> None:
    reads = source("/first")
    async with reads, aclosing(reads.read({})) as batches, anyio.create_task_group() as tasks:
        tasks.start_soon(until, batches, lambda taken: "x" in taken)
        await reports.saying("no log group in this account and region yet")
        aws.put(aws.group("/first"), "x")


async def test_role_is_assumed(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "x")
    reads = source({"prefix": "/"}, role_arn="arn:aws:iam::123456789012:role/reader")
    async with reads:
        lines = await reads.check()
        assert reads.api._client._request_signer._credentials.method == "vectadb-assume-role"
    assert f"{group}: readable" in lines


async def test_hang_and_dropped_connection_are_tried_again(aws: Any) -> None:
    aws.group("/hang")
    release = Event()
    tried: list[int] = []

    def hang(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        tried.append(1)
        if len(tried) < 3:
            release.wait(5)
        return forward()

    aws.faults.hooks["DescribeLogGroups"] = hang
    api = LogsApi(Access(region=REGION), AwsClock(), read_timeout=0.2)
    found = await find_groups(api, "/hang", turns=TokenBucket(1000, QuotaFile("test")))
    assert [group.name for group in found] == ["/hang"]
    assert len(tried) >= 3
    release.set()
    await api.close()


async def test_hanging_request_does_not_hold_up_the_end(aws: Any) -> None:
    group = aws.group()
    release, asked = Event(), Event()

    def hang(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        asked.set()
        release.wait(20)
        return forward()

    aws.faults.hooks["FilterLogEvents"] = hang
    reads = source(group)
    with anyio.fail_after(10):
        async with reads, aclosing(reads.read({})) as batches:
            await anext(batches)
            assert await anyio.to_thread.run_sync(asked.wait, 5)
    release.set()


async def test_nobody_listens(aws: Any) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(CheckError, match="http://127") as caught:
            await _checked(source("/x", endpoint_url=url))
    assert not caught.value.fatal


async def _checked(reads: CloudWatchSource) -> list[str]:
    async with reads:
        return await reads.check()


async def test_check_names_each_group(aws: Any) -> None:
    aws.group("/app/a"), aws.group("/app/b")
    lines = await _checked(source("/app/a", {"prefix": "/app/"}, {"prefix": "/none"}))
    assert lines == [
        "account 123456789012, region eu-west-1",
        "prefix /app/: 2 log groups",
        "prefix /none: no log groups",
        "/app/a: readable",
        "/app/b: readable",
    ]


async def test_check_collects_all_problems(aws: Any) -> None:
    aws.group("/app/a"), aws.group("/app/b")

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        return DENIED if body["logGroupName"] == "/app/b" else forward()

    aws.faults.hooks["FilterLogEvents"] = hook
    with pytest.raises(CheckError) as caught:
        await _checked(source("/app/a", "/app/b", "/gone", account="999999999999"))
    text = str(caught.value)
    assert "/app/b" in text
    assert "logs:FilterLogEvents" in text
    assert "no log group /gone" in text
    assert "belong to 123456789012" in text
    assert not caught.value.fatal


async def test_malformed_answers_are_tried_again(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "x")
    aws.faults.hooks["FilterLogEvents"] = replies((200, []), (200, {"events": [{"message": "no id"}]}))  # type: ignore[arg-type]
    assert await drained(source(group)) == ["x"]


async def test_clock_is_that_of_aws() -> None:
    ticks = iter([10.0, 12.5, 12.5])
    clock = AwsClock(monotonic=lambda: next(ticks), wall=lambda: 1.0)
    assert clock.now() == 1000
    clock.observe(None)
    clock.observe("nonsense")
    assert clock.now() == 1000
    assert clock.answered
    clock.observe("Mon, 23 Nov 2026 21:02:39 GMT")
    assert clock.now() == 1795467759000 + 2500


def test_start_of_a_group() -> None:
    day = 86_400_000
    now = 100 * day
    assert start_of(now=now, lookback=1000, created=now - day, alive_since=None) == now - 1000
    assert start_of(now=now, lookback=1000, created=now - day, alive_since=now - 1) == now - 1000
    assert start_of(now=now, lookback=1000, created=now - day, alive_since=now - 2 * day) < now - day
    assert start_of(now=now, lookback=now + 1, created=None, alive_since=None) == 0


def test_errors_say_what_lacks() -> None:
    assert ApiError("denied", "no", operation="FilterLogEvents").action == "logs:FilterLogEvents"
    assert ApiError("denied", "is not authorized to perform: logs:GetLogEvents on", operation="X").action == (
        "logs:GetLogEvents"
    )
