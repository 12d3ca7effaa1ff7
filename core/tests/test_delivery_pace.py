"""After an outage a sink is written to at most twice as often as before it, until what piled up is gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import anyio
import pytest

from vectadb_agent import Event, Result, delivery
from vectadb_agent.delivery import Outlet, Parcel, _Pace
from vectadb_agent.errors import RetryableError
from vectadb_agent.testing.fakes import MemorySink

pytestmark = pytest.mark.anyio


def after_an_outage(usual: float, *, worked_for: float = 600.0) -> tuple[_Pace, float]:
    """A pace that has seen ``usual`` writes a second, then a failure; and the time at which the sink is back."""
    pace, now = _Pace(), 0.0
    while now < worked_for:
        pace.wrote(now)
        now += 1 / usual
    pace.failed(now)
    return pace, now + 600


@pytest.mark.parametrize("worked_for", [20.0, 600.0])
@pytest.mark.parametrize("usual", [0.5, 1.7, 20])
def test_writes_go_at_most_twice_as_often_as_usual(usual: float, worked_for: float) -> None:
    pace, now = after_an_outage(usual, worked_for=worked_for)
    turns, end = 0, now + 100
    while True:
        now += pace.wait(now)
        if now >= end:
            break
        turns += 1
        pace.took(small=False)
    seen = 1 + 1 / (usual * worked_for)  # a rate is known by so many writes
    assert 1.7 * usual * 100 <= turns <= 2.05 * usual * 100 * seen + 1


def test_a_sink_that_failed_before_its_usual_rate_is_known_is_not_held_back() -> None:
    pace, now = after_an_outage(5, worked_for=10)
    assert (pace.limited, pace.wait(now)) == (False, 0)


def test_only_several_small_batches_in_a_row_end_it() -> None:
    pace, _ = after_an_outage(1)
    for small in (True, True, False, True, True):
        pace.took(small=small)
    assert pace.limited
    pace.took(small=True)
    assert not pace.limited


async def test_an_empty_queue_while_the_sink_is_down_is_no_sign_of_having_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(delivery, "RATE_MEMORY", 0.05)
    monkeypatch.setattr(delivery, "RATE_KNOWN_AFTER", 0.02)
    monkeypatch.setattr(delivery, "FIRST_PAUSE", 0.01)
    down = False
    asked = anyio.Event()

    def plan(events: Sequence[Event]) -> Result | None:
        if down:
            asked.set()
            raise RetryableError("away")
        return None

    async def ignore(*_: Any) -> None:
        return None

    settled: list[Parcel] = []
    outlet = Outlet(
        "memory",
        MemorySink(plan, batch_age="0s"),
        settled=lambda parcel, fate: settled.append(parcel),
        overlapping=lambda overlap: None,
        quarantine=ignore,
        failed=lambda error: None,
        most_bytes=1_000_000,
    )
    count = 0

    async def send(number: int) -> None:
        nonlocal count
        for _ in range(number):
            count += 1
            outlet.offer(Parcel([Event(event_id=str(count))], 1))
            await anyio.sleep(0.01)

    async def until_settled(number: int) -> None:
        while True:
            if len(settled) >= number:
                return
            await anyio.sleep(0.005)

    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            group.start_soon(outlet.run)
            await send(20)
            await until_settled(20)
            down = True
            await send(2)
            await asked.wait()
            assert not outlet._queued_events
            assert outlet._pace.limited
            down = False
            await send(1)
            await until_settled(23)
            await send(4)
            await until_settled(27)
            assert not outlet._pace.limited, "three small batches later it is as it was"
            group.cancel_scope.cancel()
