"""The ways in which other CloudWatch pollers lose records, or never get on: one test each, named after it."""

from __future__ import annotations

import json
import threading
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from plugins.cloudwatch.tests.consuming import Forward, drained, last_checkpoint, messages, source, until
from vectadb_agent import Event, Result, Sink
from vectadb_agent.config import Pipeline as Settings
from vectadb_agent.errors import CheckError, RetryableError
from vectadb_agent.pipeline import Pipeline
from vectadb_agent.state import State
from vectadb_agent.testing.fakes import MemorySink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from vectadb_agent_cloudwatch import CloudWatchSource

pytestmark = pytest.mark.anyio

THROTTLED = (400, {"__type": "ThrottlingException", "message": "Rate exceeded"})
DENIED = (400, {"__type": "AccessDeniedException", "message": "not authorized to perform: logs:FilterLogEvents on y"})
BAD_TOKEN = (400, {"__type": "InvalidParameterException", "message": "The specified nextToken is invalid."})


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("api", "reader", "reread"):
        monkeypatch.setattr(f"vectadb_agent_cloudwatch.{module}.full_jitter", lambda *_: 0.01)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    with State(tmp_path / "state") as opened:
        yield opened


def piped(reads: CloudWatchSource, sink: Sink, state: State) -> Pipeline:
    settings = Settings("p", None, reads, (), ("sink",), 4_000_000)
    return Pipeline(settings, {"sink": sink}, state)


async def delivered(reads: CloudWatchSource, state: State) -> list[str]:
    """What one run of a whole pipeline delivers that ends once all that is visible has been."""
    sink = MemorySink()
    async with reads:
        with anyio.fail_after(20):
            await piped(reads, sink, state).run(anyio.Event(), drain=True)
    return sorted(str(event.raw) for event in sink.events.values())


def hide(aws: Any, hidden: set[str]) -> None:
    """Make the API give no record of these texts, as long as they are in the set."""

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        status, reply = forward()
        reply["events"] = [event for event in reply.get("events", ()) if event["message"] not in hidden]
        return status, reply

    aws.faults.hooks["FilterLogEvents"] = hook


def waits_for(*texts: str) -> Any:
    return lambda taken: set(texts) <= set(messages(taken))


async def test_event_visible_after_its_window_closed(aws: Any) -> None:
    """Within ``settle_min``, and what has been learned and can be afforded beyond it, the head itself finds it."""
    group = aws.group()
    hidden = {"late"}
    hide(aws, hidden)
    reads = source(group, settle_min="40s")
    async with reads, aclosing(reads.read({})) as batches:
        aws.put(group, "late", age=30)
        aws.put(group, "prompt", age=0)
        await until(batches, lambda taken: messages(taken).count("prompt") > 2)
        hidden.clear()
        await until(batches, waits_for("late"))


async def test_event_visible_long_after_its_window_closed(aws: Any) -> None:
    """Beyond ``settle_max`` it is reading again that finds it: the sweeps."""
    group = aws.group()
    hidden = {"very late"}
    hide(aws, hidden)
    time = aws.put(group, "very late", age=200)
    aws.put(group, "prompt")
    first = await drained(source(group))
    hidden.clear()
    assert messages(first) == ["prompt"]
    assert "very late" not in messages(await drained(source(group), last_checkpoint(first)))
    async with source(group) as reads:
        again = [
            r async for b in reads.reread(group, (time - 50_000) * 1000, (time + 50_000) * 1000) for r in b.records
        ]
    assert [record.message for record in again] == ["very late"]


async def test_same_millisecond_event_skipped_by_ts_plus_1(aws: Any) -> None:
    group = aws.group()
    time = aws.put(group, *[f"first {i}" for i in range(50)])
    aws.faults.hooks["FilterLogEvents"] = lambda body, forward: forward(body | {"limit": 7})
    reads = source(group)
    async with reads, aclosing(reads.read({})) as batches:
        seen = await until(batches, lambda taken: len(set(messages(taken))) >= 50)
        aws.put(group, *[f"second {i}" for i in range(50)], at=time)
        seen += await until(batches, lambda taken: len({m for m in messages(taken) if "second" in m}) >= 50)
    assert set(messages(seen)) == {f"{word} {i}" for word in ("first", "second") for i in range(50)}
    async with source(group) as reads:
        again = [r async for b in reads.reread(group, time * 1000, time * 1000 + 1) for r in b.records]
    assert len(again) == len({record.log_id for record in again}) == 100


async def test_empty_page_with_a_token_ends_the_poll(aws: Any) -> None:
    group = aws.group()
    for message in "abc":
        aws.put(group, message)
    given = 0

    def empties(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        nonlocal given
        token = body.get("nextToken")
        if token is None or token.startswith("empty"):
            given += 1
            if given % 5:
                return 200, {"events": [], "nextToken": f"empty{given}"}
            body.pop("nextToken", None)
        return forward(body)

    aws.faults.hooks["FilterLogEvents"] = empties
    assert sorted(messages(await drained(source(group)))) == ["a", "b", "c"]
    async with source(group) as reads:
        until_now = reads.now() + 10**9
        again = [r.message async for b in reads.reread(group, 0, until_now) for r in b.records]
    assert sorted(again) == ["a", "b", "c"]


async def test_a_group_wide_mark_loses_slower_streams(aws: Any) -> None:
    group = aws.group(None, "fast", "slow")
    hidden = {f"slow {i}" for i in range(5)}
    hide(aws, hidden)
    reads = source(group, settle_min="40s")
    async with reads, aclosing(reads.read({})) as batches:
        for i in range(5):
            aws.put(group, f"slow {i}", stream="slow", age=25)
            aws.put(group, f"fast {i}", stream="fast", age=0)
            await until(batches, waits_for(f"fast {i}"))
            hidden.discard(f"slow {i}")
            await until(batches, waits_for(f"slow {i}"))


async def test_two_prefixes_of_one_group_share_a_cursor(aws: Any) -> None:
    group = aws.group("/app/one", "a", "b")
    aws.put(group, "of a", stream="a")
    aws.put(group, "of b", stream="b")
    assert sorted(messages(await drained(source({"prefix": "/app/"}, {"prefix": "/app/o"}, group)))) == ["of a", "of b"]
    # nor do two sources of one group, each for streams of its own, one far behind the other
    behind = aws.put(group, "old of b", stream="b", age=250)
    ahead = last_checkpoint(await drained(source(group, log_stream_names=["a"])))
    assert messages(await drained(source(group, log_stream_names=["a"]), ahead)) == ["of a"]  # the overlap alone
    late = {group: {"version": 1, "watermark": (behind - 1000) * 1000}}
    assert messages(await drained(source(group, log_stream_names=["b"]), late)) == ["old of b", "of b"]


async def test_few_workers_skip_other_groups_windows(aws: Any) -> None:
    groups = [aws.group() for _ in range(12)]
    reads = source(*groups, pages_in_flight=1)
    async with reads, aclosing(reads.read({})) as batches:
        for turn in range(3):
            texts = [f"{group} {turn}" for group in groups]
            for group, text in zip(groups, texts, strict=True):
                aws.put(group, text, age=0)
            await until(batches, waits_for(*texts))


async def test_checkpoint_only_after_a_whole_backfill(aws: Any) -> None:
    group = aws.group()
    for i in range(100):
        aws.put(group, f"m{i}", age=86_000 - i * 840)
    reads = source(group, lookback="24h", poll_interval="1h")
    async with reads, aclosing(reads.read({})) as batches:
        seen = await until(batches, lambda taken: len(set(messages(taken))) == 100)
    marks = [batch.checkpoint["watermark"] for batch in seen if batch.checkpoint is not None]
    assert len(marks) > 5
    assert marks == sorted(marks)


async def test_no_state_a_restart_imports_all_again_or_skips(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "long ago", age=7200)
    aws.put(group, "before the start", age=200)
    reads = source(group, lookback="5m")
    async with reads, aclosing(reads.read({})) as batches:
        start = await anext(batches)
    # killed at once: the start is saved before anything is read, so that it does not move with the restart
    assert start.checkpoint is not None
    assert start.read_from is not None
    assert start.read_from == start.checkpoint["watermark"]
    after = last_checkpoint([start])
    first = await drained(source(group, lookback="0s"), after)
    assert messages(first) == ["before the start"]
    # and with what is saved then, a restart imports nothing but the overlap again
    assert messages(await drained(source(group, lookback="5m"), last_checkpoint(first))) == []


async def test_state_saved_before_the_data_is_out(aws: Any, state: State) -> None:
    group = aws.group()
    time = aws.put(group, "precious")
    tried = anyio.Event()

    def down(events: Sequence[Event]) -> Result | None:
        if events and len(sink.writes) > 1:
            tried.set()
        raise RetryableError("down", retry_after=0)

    sink = MemorySink(down)
    reads, stop = source(group), anyio.Event()
    async with reads, anyio.create_task_group() as tasks:
        pipeline = piped(reads, sink, state)
        with anyio.fail_after(20):
            tasks.start_soon(lambda: pipeline.run(stop, shutdown_timeout=0))
            await tried.wait()
            stop.set()
    assert state.checkpoints("p")[group]["watermark"] < time * 1000
    assert await delivered(source(group), state) == ["precious"]
    assert state.checkpoints("p")[group]["watermark"] > time * 1000


async def test_state_saved_after_an_api_error(aws: Any, state: State) -> None:
    group = aws.group()
    time = aws.put(group, *[f"m{i}" for i in range(30)])
    pages = 0

    def second_page_denied(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        nonlocal pages
        pages += 1
        return forward(body | {"limit": 10}) if pages < 2 else DENIED

    aws.faults.hooks["FilterLogEvents"] = second_page_denied
    with pytest.raises(CheckError, match="not read to the end"):
        await delivered(source(group), state)
    assert state.checkpoints("p")[group]["watermark"] < time * 1000
    aws.faults.hooks.clear()
    # nothing was saved: the page that had been delivered comes again, and the rest with it
    assert len(await delivered(source(group), state)) == 30
    assert state.checkpoints("p")[group]["watermark"] > time * 1000


async def test_cursor_reset_to_now(aws: Any) -> None:
    """Whatever happens after an outage of a day: reading goes on where it was, not at the present."""
    group = aws.group()
    for hours in (20, 10, 1):
        aws.put(group, f"{hours} h ago", age=hours * 3600)
    watermark = aws.put(group, "already read", age=22 * 3600) * 1000 + 120_000_000
    troubles: Iterator[tuple[int, dict[str, Any]]] = iter(
        [(500, {}), BAD_TOKEN, (503, {}), THROTTLED, BAD_TOKEN, (400, {"__type": "ExpiredTokenException"})]
    )

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        token = body.get("nextToken")
        if token is None:
            return 200, {"events": [], "nextToken": "first"}
        if token == "first":
            body.pop("nextToken")
        return next(troubles, None) or forward(body)

    aws.faults.hooks["FilterLogEvents"] = hook
    after = {group: {"version": 1, "watermark": watermark}}
    seen = messages(await drained(source(group), after))
    assert set(seen) == {"20 h ago", "10 h ago", "1 h ago"}
    with pytest.raises(CheckError, match="checkpoint"):  # nor where the saved cursor cannot be read
        await drained(source(group), {group: {"watermark": "?"}})


async def test_throttling_kills_the_thread(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "x")
    refusals = iter([THROTTLED] * 8)

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        return next(refusals, None) or forward()

    aws.faults.hooks["FilterLogEvents"] = hook
    reads = source(group, max_requests_per_second=5000)
    assert messages(await drained(reads)) == ["x"]
    bucket = reads.bucket("FilterLogEvents")
    assert bucket.rate < bucket.full_rate


@pytest.mark.parametrize("reader", ["filter", "get"])
async def test_expired_or_empty_saved_token_errors_for_ever(aws: Any, reader: str) -> None:
    group = aws.group()
    aws.put(group, *[f"m{i}" for i in range(30)])
    refused = 0

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        nonlocal refused
        assert body.get("nextToken") != ""
        if "nextToken" in body and refused < 4:
            refused += 1
            return BAD_TOKEN
        status, reply = forward(body | {"limit": 10})
        if len(reply.get("events", ())) < 10 and reader == "filter":
            reply["nextToken"] = ""  # the end, said like this
        return status, reply

    aws.faults.hooks["FilterLogEvents" if reader == "filter" else "GetLogEvents"] = hook
    batches = await drained(source(group, reader=reader))
    assert set(messages(batches)) == {f"m{i}" for i in range(30)}
    assert refused == 4
    # no token is ever saved
    assert all(checkpoint.keys() == {"version", "watermark"} for checkpoint in last_checkpoint(batches).values())


async def test_an_empty_token_is_the_end_of_a_stream(aws: Any) -> None:
    group = aws.group()
    aws.put(group, "x")

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        status, reply = forward()
        return status, reply | {"nextForwardToken": ""}

    aws.faults.hooks["GetLogEvents"] = hook
    assert messages(await drained(source(group, reader="get"))) == ["x"]


async def test_over_50_streams_endless_loop(aws: Any) -> None:
    names = [f"stream-{i:03}" for i in range(130)]
    group = aws.group(None, *names)
    for name in names:
        aws.put(group, name, stream=name)
    wanted = names[:125]
    batches = await drained(source(group, log_stream_names=wanted, lookback="30s"))
    assert sorted(messages(batches)) == wanted
    requests = aws.faults.requests("FilterLogEvents")
    assert all(len(request["logStreamNames"]) <= 100 for request in requests)
    assert len(requests) == 2
    aws.faults.hooks["DescribeLogStreams"] = lambda body, forward: forward(body | {"limit": 50})
    assert sorted(messages(await drained(source(group, reader="get", lookback="30s")))) == names


async def test_one_page_per_interval_a_backlog_never_drains(aws: Any) -> None:
    group = aws.group()
    for i in range(60):
        aws.put(group, f"m{i}", age=250 - i * 4)
    aws.faults.hooks["FilterLogEvents"] = lambda body, forward: forward(body | {"limit": 5})
    reads = source(group, poll_interval="1h")
    async with reads, aclosing(reads.read({})) as batches:
        await until(batches, lambda taken: len(set(messages(taken))) == 60)


async def test_a_cap_of_10000_events_per_poll_drops_the_rest(aws: Any) -> None:
    group = aws.group()
    texts = [f"m{i}" for i in range(25_000)]
    for at in range(0, 25_000, 5_000):
        aws.put(group, *texts[at : at + 5_000])
    reads = source(group, poll_interval="1h")
    async with reads, aclosing(reads.read({})) as batches:
        assert set(messages(await until(batches, lambda taken: len(messages(taken)) >= 25_000))) == set(texts)


async def test_oversized_json_cut_or_split(aws: Any) -> None:
    group = aws.group()
    document = {"prompt": "ü€😀\n" * 20_000, "nested": {"deep": ["\u2028", "\x00", "\r\n"] * 1000}}
    texts = [json.dumps(document, ensure_ascii=False), json.dumps(document, indent=2), "{" * 200_000]
    for text in texts:
        aws.put(group, text)
    assert max(len(text.encode()) for text in texts) > 200_000
    assert sorted(messages(await drained(source(group)))) == sorted(texts)
    async with source(group) as reads:
        again = [r.message async for b in reads.reread(group, 0, reads.now() + 10**9) for r in b.records]
    assert sorted(again) == sorted(texts)


async def test_a_future_dated_event_moves_the_mark_ahead(aws: Any) -> None:
    group = aws.group()
    now = aws.put(group, "now", age=0)
    aws.put(group, "ahead", at=now + 7_000_000)
    reads = source(group)
    async with reads, aclosing(reads.read({})) as batches:
        seen = await until(batches, waits_for("ahead"))
        aws.put(group, "after it", age=0)
        seen += await until(batches, waits_for("after it"))
    marks = [batch.checkpoint["watermark"] for batch in seen if batch.checkpoint is not None]
    assert max(marks) < (now + 60_000) * 1000


async def test_a_rejected_batch_counted_as_delivered(aws: Any, state: State) -> None:
    group = aws.group()
    aws.put(group, "good", "bad", "good too")

    def picky(events: Sequence[Event]) -> Result | None:
        return Result(refused=[(event.event_id, "never", False) for event in events if event.raw == "bad"])

    sink = MemorySink(picky)
    async with source(group) as reads:
        pipeline = piped(reads, sink, state)
        with anyio.fail_after(20):
            await pipeline.run(anyio.Event(), drain=True)
    counts = pipeline.counts
    assert (counts.read, counts.delivered, counts.quarantined, counts.in_flight) == (3, 2, 1, 0)
    assert {event.raw for event in sink.events.values()} == {"good", "good too"}


async def test_a_new_stream_is_not_noticed(aws: Any) -> None:
    group = aws.group()
    readers = [source(group), source(group, reader="get")]
    for number, reads in enumerate(readers):
        async with reads, aclosing(reads.read({})) as batches:
            await anext(batches)
            aws.client.create_log_stream(logGroupName=group, logStreamName=f"new-{number}")
            aws.put(group, f"of the new stream {number}", stream=f"new-{number}", age=0)
            await until(batches, waits_for(f"of the new stream {number}"))


async def test_a_request_that_is_never_answered_holds_up_everything(aws: Any) -> None:
    hanging, other = aws.group(), aws.group()
    aws.put(hanging, "of the hanging group")
    aws.put(other, "of the other")
    release = threading.Event()
    hung = 0

    def hook(body: dict[str, Any], forward: Forward) -> tuple[int, dict[str, Any]]:
        nonlocal hung
        if body["logGroupName"] == hanging and hung < 3:
            hung += 1
            release.wait(20)
        return forward()

    aws.faults.hooks["FilterLogEvents"] = hook
    reads = source(hanging, other)
    reads.api._read_timeout = 0.3
    try:
        async with reads, aclosing(reads.read({})) as batches:
            await until(batches, waits_for("of the hanging group", "of the other"))
    finally:
        release.set()
