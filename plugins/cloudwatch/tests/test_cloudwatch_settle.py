from __future__ import annotations

import pytest

from vectadb_agent import LogRecord, LogStream
from vectadb_agent_cloudwatch.settle import Settle
from vectadb_agent_cloudwatch.slices import Position, Slice, advance, plan

STREAM = LogStream("cloudwatch", "1", "r", "g", "s")
START = 1_800_000_000_000


def record(number: int, time: int, ingested: int | None) -> LogRecord:
    return LogRecord(STREAM, str(number), time * 1000, "m", None if ingested is None else ingested * 1000)


def poll(settle: Settle, now: int, records: list[LogRecord]) -> None:
    window = Slice(now - 10_000 - settle.overlap(now), now + 7_200_000, head=True)
    settle.learn(records, now)
    settle.finished(window, now)


def run(settle: Settle, *, minutes: int, waited: int, visible_after: int = 0, first: int = 0) -> int:
    """Poll every ten seconds; a record a second, ingested ``waited`` ms after its time, visible later still."""
    begin = START + first * 60_000
    for now in range(begin, begin + minutes * 60_000, 10_000):
        window = now - 10_000 - settle.overlap(now)
        times = range(window // 1000 * 1000, now - waited - visible_after, 1000)
        poll(settle, now, [record(time // 1000, time, time + waited) for time in times])
    return begin + minutes * 60_000


def test_the_first_slice_and_one_in_five_minutes_overlap_by_the_most() -> None:
    settle = Settle(5000, 60_000, 10_000)
    assert settle.overlap(START) == 60_000
    assert settle.delay == 5000
    run(settle, minutes=4, waited=100)
    assert settle.overlap(START + 240_000) == 5000
    assert settle.overlap(START + 300_000) == 60_000


def test_prompt_group_comes_down_to_the_least() -> None:
    settle = Settle(5000, 60_000, 10_000)
    now = run(settle, minutes=11, waited=100)
    assert settle.delay == 5000
    assert settle.overlap(now) == 5000


def test_late_ingestion_is_learned() -> None:
    settle = Settle(5000, 60_000, 10_000)
    now = run(settle, minutes=11, waited=20_000)
    assert 20_000 <= settle.overlap(now) <= 30_000


def test_late_visibility_is_learned() -> None:
    settle = Settle(5000, 60_000, 10_000)
    now = run(settle, minutes=11, waited=0, visible_after=24_000)
    assert settle.overlap(now) >= 24_000


def test_grown_delay_is_noticed_within_five_minutes() -> None:
    settle = Settle(5000, 60_000, 10_000)
    now = run(settle, minutes=11, waited=100)
    assert settle.overlap(now) == 5000
    run(settle, minutes=6, waited=0, visible_after=40_000, first=11)
    assert settle.delay >= 40_000


def test_never_leaves_its_bounds_and_survives_strange_times() -> None:
    settle = Settle(5000, 60_000, 10_000)
    for i in range(100):
        now = START + i * 10_000
        poll(
            settle, now, [record(i, now - 10**9, now), record(i + 1000, now + 10**6, now), record(i + 9000, now, None)]
        )
        assert 5000 <= settle.delay <= 60_000


@pytest.mark.parametrize(
    "waits",
    [[100], [2_000], [20_000], [55_000], list(range(100, 60_000, 1_700)), [100] * 20 + [50_000]],
    ids=["prompt", "usual", "late", "very late", "all sorts", "a few late"],
)
def test_the_head_reads_each_record_about_twice_at_most(waits: list[int]) -> None:
    settle = Settle(5000, 60_000, 10_000)
    position, read, end = Position.resumed(START), 0, START + 30 * 60_000
    entries = [(time, time + waits[time // 1000 % len(waits)]) for time in range(START, end, 1000)]
    for now in range(START, end, 10_000):
        window = plan(position, now=now, overlap=settle.overlap(now), settle_max=60_000, size=60_000)
        found = [(time, seen) for time, seen in entries if window.start <= time <= window.end and seen <= now]
        settle.learn([record(time // 1000, time, seen) for time, seen in found], now)
        settle.finished(window, now)
        position = advance(position, window, now=now)
        read += len(found)
    assert read / sum(seen <= end for _, seen in entries) <= 2.1


def test_memory_is_bounded() -> None:
    settle = Settle(5000, 60_000, 10_000)
    settle.learn([record(i, START, START) for i in range(100_000)], START)
    assert len(settle._seen) <= 1024
