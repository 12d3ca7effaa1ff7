"""The reader against a model of CloudWatch in virtual time: whatever it does, nothing is lost."""

from __future__ import annotations

import random
from bisect import bisect_left, bisect_right
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent import Batch, LogRecord, LogStream
from vectadb_agent_cloudwatch.failures import ApiError
from vectadb_agent_cloudwatch.pages import Page, Pass
from vectadb_agent_cloudwatch.reader import GroupReader, Pace, watermark_of
from vectadb_agent_cloudwatch.slices import Position, Slice

START = 1_800_000_000_000
SETTLE = 20_000
STREAM = LogStream("cloudwatch", "1", "r", "g", "s")


class Over(BaseException):
    """The model's time is up."""


@dataclass(frozen=True)
class Entry:
    number: int
    time: int
    visible: int


class Model:
    """Records with their own times and later visibility; pages short, empty, with tokens repeated or expired."""

    def __init__(self, entries: list[Entry], faults: Iterator[str], end: int, page_size: int, frozen: bool) -> None:
        self.entries = sorted(entries, key=lambda entry: (entry.time, entry.number))
        self.faults, self.end, self.page_size, self.frozen = faults, end, page_size, frozen
        self._times = [entry.time for entry in self.entries]
        self._asked: tuple[int, int, int] | None = None
        self._answer: list[Entry] = []
        self.now = START
        self.began = START
        self._last_token: str | None = None
        self.delivered: set[int] = set()
        self.batches: list[tuple[Batch, int]] = []
        self.order: list[int] = []
        self.forgotten = 0
        self._proven = 0
        self.certain = SETTLE
        """What is visible this long after its own time is read before the watermark passes it; else a sweep's."""

    def clock(self) -> int:
        self.began = self.now
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += int(seconds * 1000) + 1
        if self.now > self.end:
            raise Over

    async def passes(self) -> list[Pass]:
        return [Pass()]

    def _found(self, start: int, end: int, at: int) -> list[Entry]:
        if self._asked != (start, end, at):
            self._asked = (start, end, at)
            low, high = bisect_left(self._times, start), bisect_right(self._times, end)
            self._answer = [entry for entry in self.entries[low:high] if entry.visible <= at]
        return self._answer

    @asynccontextmanager
    async def page(self, part: Pass, window: Slice, token: str | None) -> AsyncIterator[Page]:
        if self.now > self.end:
            raise Over
        fault = next(self.faults)
        if fault == "slow":  # throttled, and tried again by the API layer
            self.now += 7000
        if fault == "expired" and token is not None:
            raise ApiError("token", "The specified nextToken is invalid.")
        began, offset = (self.now, 0) if token is None else map(int, token.split(".")[:2])
        found = self._found(window.start, window.end, began if self.frozen else self.now)
        size = 0 if fault == "empty" else 1 if fault == "short" else self.page_size
        chosen = found[offset : offset + size]
        following: str | None = f"{began}.{offset + size}.{random.getrandbits(32)}"
        if fault == "repeated" and self._last_token is not None and token is not None:
            following = token
        elif offset + size >= len(found) and fault != "empty":
            following = None
        self._last_token = following
        self.now += 50
        yield Page([LogRecord(STREAM, str(e.number), e.time * 1000, "m", e.time * 1000) for e in chosen], following)

    async def emit(self, batch: Batch) -> None:
        self.now += 20
        for record in batch.records:
            assert record.timestamp >= self.forgotten, "delivered again after the ledger may have forgotten it"
            self.delivered.add(int(record.log_id))
            self.order.append(int(record.log_id))
        if batch.forget_before is not None:
            self.forgotten = max(self.forgotten, batch.forget_before)
        if batch.checkpoint is not None:
            watermark = watermark_of(batch.checkpoint)
            assert watermark <= self.now, "the watermark is in the future"
            for entry in self.entries[self._proven : bisect_right(self._times, watermark)]:
                if entry.visible <= min(self.began, entry.time + self.certain):
                    assert entry.number in self.delivered, "the watermark passed a visible record that was not read"
            self._proven = bisect_left(self._times, watermark - 120_000)
        self.batches.append((batch, len(self.order)))


def drive(coroutine: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine that never really waits."""
    try:
        coroutine.send(None)
    except (StopIteration, Over):
        return
    raise AssertionError("the reader waited for something that is not of the model")


def reader_of(model: Model, position: Position, settle: int = SETTLE) -> GroupReader:
    pace = Pace(10.0, settle, settle)
    return GroupReader("g", position, model, model.emit, pace=pace, now=model.clock, sleep=model.sleep)


entries = st.lists(
    st.tuples(
        # backlog, around now, or dated into the future; often in one and the same millisecond
        st.one_of(st.integers(-3_000_000, 200_000), st.sampled_from([-1000, 0, 1, 9_999, 7_200_000, 100_000])),
        st.integers(0, SETTLE - 2000),
    ),
    max_size=60,
)
faults = st.lists(st.sampled_from(["ok", "ok", "ok", "empty", "short", "slow", "expired", "repeated"]), max_size=80)


def script(drawn: list[str]) -> Iterator[str]:
    yield from drawn
    while True:
        yield "ok"


def build(drawn: list[tuple[int, int]]) -> list[Entry]:
    made = []
    for number, (offset, lag) in enumerate(drawn):
        time = START + offset
        # what is dated ahead exists from some moment on; anything else once its time has come, and a while later
        visible = START + lag if offset > 200_000 else max(time, time + lag)
        made.append(Entry(number, time, visible))
    return made


@given(entries, faults, st.integers(1, 7), st.booleans(), st.data())
def test_nothing_is_lost(
    drawn: list[tuple[int, int]], trouble: list[str], page_size: int, frozen: bool, data: st.DataObject
) -> None:
    made = build(drawn)
    model = Model(made, script(trouble), START + 1_500_000, page_size, frozen)
    drive(reader_of(model, Position.resumed(START - 3_600_000)).run())
    assert model.delivered == {entry.number for entry in made}

    # and from any checkpoint on, another process reads what that one had not made durable
    saved = [(batch.checkpoint, had) for batch, had in model.batches if batch.checkpoint is not None]
    checkpoint, had = data.draw(st.sampled_from(saved))
    assert checkpoint is not None
    second = Model(made, script(trouble[::-1]), START + 1_500_000, page_size, frozen)
    second.now = max(START, watermark_of(checkpoint) + data.draw(st.integers(0, 600_000)))
    second.delivered = set(model.order[:had])
    drive(reader_of(second, Position.resumed(watermark_of(checkpoint))).run())
    assert second.delivered == {entry.number for entry in made}


@given(entries, faults)
def test_drain_ends_and_reads_all_that_is_visible(drawn: list[tuple[int, int]], trouble: list[str]) -> None:
    made = build(drawn)
    model = Model(made, script(trouble), START + 10**9, 3, frozen=True)
    drive(reader_of(model, Position.resumed(START - 3_600_000)).run(drain=True))
    assert model.delivered >= {entry.number for entry in made if entry.visible <= START}
    assert model.now < START + 10**9


@given(st.integers(0, 59_000), st.integers(1, 20))
def test_late_but_within_the_most_is_found_once_it_has_been_learned(lag: int, count: int) -> None:
    made = [Entry(i, START + i * 3000, START + i * 3000 + lag) for i in range(200 + count)]
    model = Model(made, script([]), START + 840_000, 5, frozen=True)
    model.certain = 5000
    pace = Pace(10.0, 5000, 60_000)
    reader = GroupReader(
        "g", Position.fresh(START - 1000), model, model.emit, pace=pace, now=model.clock, sleep=model.sleep
    )
    drive(reader.run())
    first_look = 110  # the slice that overlaps by the most comes after five minutes: before, the sweep finds them
    assert model.delivered >= set(range(first_look, 200 + count))


def test_backlog_is_read_without_pauses_and_with_checkpoints() -> None:
    made = [Entry(i, START - 86_400_000 + i * 1000, 0) for i in range(86_000)]
    model = Model(made, script([]), START + 10**9, 100, frozen=True)
    pauses: list[float] = []
    sleep: Callable[[float], Any] = model.sleep

    async def noted(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds)

    reader = reader_of(model, Position.resumed(START - 86_400_000))
    reader._sleep = noted
    drive(reader.run(drain=True))
    assert pauses == []
    assert len(model.delivered) == 86_000
    checkpoints = [batch for batch, _ in model.batches if batch.checkpoint is not None]
    assert 10 <= len(checkpoints) <= 100
    assert len(model.batches) < 1.2 * 860 + len(checkpoints)


def test_a_slice_that_turns_out_too_long_is_cut() -> None:
    """Quiet for hours, then dense: the slice grown in the quiet must not hold up checkpoints."""
    made = [Entry(i, START - 30_000_000 + i * 10, 0) for i in range(60_000)]
    model = Model(made, script([]), START + 10**9, 50, frozen=True)
    drive(reader_of(model, Position.resumed(START - 8_640_000_000)).run(drain=True))
    assert len(model.delivered) == 60_000
    marks = [i for i, (batch, _) in enumerate(model.batches) if batch.checkpoint is not None]
    assert max(after - before for before, after in pairwise(marks)) < 900


def test_idle_group_writes_a_checkpoint_a_minute() -> None:
    model = Model([], script([]), START + 600_000, 10, frozen=True)
    drive(reader_of(model, Position.fresh(START)).run())
    assert 9 <= len(model.batches) <= 13


def test_read_through_passes_the_last_record_soon() -> None:
    model = Model([Entry(1, START - 100, START)], script([]), START + 90_000, 10, frozen=True)
    drive(reader_of(model, Position.fresh(START - 5000)).run())
    through = [batch.read_through for batch, _ in model.batches if batch.read_through]
    assert through == sorted(through)
    assert through[-1] > (START + 10_000) * 1000
