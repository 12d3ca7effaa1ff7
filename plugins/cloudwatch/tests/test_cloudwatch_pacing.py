"""The pacing of requests, simulated: many workers, processes and machines in virtual time."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent_cloudwatch.pacing import _TRANSIT, LATE, WINDOW, Allowance, Pacing

LIMITS = [0.05, 0.3, 1, 2, 4, 8, 20, 24, 100, 7.3]


def most_in_a_window(times: list[float], length: float = WINDOW) -> int:
    """The most of the times that any window of that length holds, however it lies."""
    held: deque[float] = deque()
    most = 0
    for time in sorted(times):
        held.append(time)
        while held[0] <= time - length + 1e-6:
            held.popleft()
        most = max(most, len(held))
    return most


def run(limit: float, seed: int, *, workers: int, givers: int, late: float = 0.0, busy: bool = False) -> list[float]:
    """Workers of any processes ask, wait, send, pause and ask again; return when their requests arrived."""
    chance = random.Random(seed)
    allowance = Allowance.within(limit)
    pacing = Pacing.fresh(0.0)
    arrived = []
    events = [(chance.choice([0.0, chance.uniform(0, 30)]), i) for i in range(workers + givers)]
    heapq.heapify(events)
    while events:
        now, worker = heapq.heappop(events)
        if now > 90:
            break
        if worker >= workers and (wait := pacing.wait_to_give_way(now, allowance)):
            heapq.heappush(events, (now + wait, worker))
            continue
        turn = pacing.take(now, allowance)
        sent = turn + chance.choice([0.0, late, chance.uniform(0, late)])
        if sent - turn <= LATE:  # else given up, and asked for again
            arrived.append(sent + chance.choice([0.0, _TRANSIT]))
        pause = 0.0 if busy else chance.choice([0.0, 0.0, 0.0, chance.uniform(0, 1), chance.uniform(0, 40)])
        heapq.heappush(events, (sent + pause + 1e-9, worker))
    return arrived


@given(
    st.sampled_from(LIMITS),
    st.integers(0, 2**32),
    st.integers(0, 40),
    st.integers(0, 5),
    st.sampled_from([0.0, LATE, 3.0]),
)
def test_no_ten_seconds_exceed_the_limit(limit: float, seed: int, workers: int, givers: int, late: float) -> None:
    arrived = run(limit, seed, workers=workers, givers=givers, late=late)
    assert most_in_a_window(arrived) <= max(1, math.floor(limit * WINDOW))


@pytest.mark.parametrize("limit", [4, 8, 20])
def test_nearly_all_of_the_limit_is_used(limit: float) -> None:
    assert len(run(limit, 1, workers=30, givers=0, busy=True)) > 0.85 * limit * 90
    assert len(run(limit, 1, workers=0, givers=3, busy=True)) > 0.85 * limit * 90


def test_an_idle_while_lets_a_burst_through() -> None:
    pacing, allowance = Pacing.fresh(0.0), Allowance.within(20)
    turns = [pacing.take(100.0, allowance) for _ in range(6)]
    assert turns[:5] == [100.0] * 5
    assert turns[5] > 100


def test_first_come_first_served() -> None:
    pacing, allowance = Pacing.fresh(0.0), Allowance.within(2)
    turns = [pacing.take(1.0 + i / 100, allowance) for i in range(20)]
    assert turns == sorted(turns)


@pytest.mark.parametrize("limit", LIMITS)
def test_who_gives_way_takes_no_turn_while_somebody_waits_and_leaves_half_a_burst(limit: float) -> None:
    pacing, allowance = Pacing.fresh(0.0), Allowance.within(limit)
    for _ in range(50):
        pacing.take(0.0, allowance)
    last = pacing.take(0.0, allowance)
    wait = pacing.wait_to_give_way(0.0, allowance)
    assert wait >= last
    now = wait
    assert pacing.wait_to_give_way(now, allowance) == 0
    pacing.take(now, allowance)
    spare = int((allowance.burst - 1) / 2)
    assert [pacing.take(now, allowance) for _ in range(spare)] == [now] * spare
    assert pacing.take(now, allowance) <= now + 1 / allowance.rate + 1e-9


def test_throttling_halves_once_a_second_and_recovers_slowly() -> None:
    pacing = Pacing.fresh(100.0)
    for _ in range(10):
        pacing.throttled(100.0)
    assert pacing.share == 1 / 2
    for second in range(20):
        pacing.throttled(101.0 + second)
    assert pacing.share == 1 / 32
    pacing.succeeded(150.0)
    assert 0.5 < pacing.share < 0.6
    pacing.succeeded(210.0)
    assert pacing.share == 1


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("machines", "quota"), [(2, 10), (3, 10), (5, 25), (2, 5)])
def test_machines_that_know_nothing_of_each_other_come_to_fair_shares(machines: int, quota: float, seed: int) -> None:
    """AWS refuses what is more than its quota; each machine, alone allowed 80 % of it, would take all it can get."""
    chance = random.Random(seed)
    allowance = Allowance.within(0.8 * quota)
    pacings = [Pacing.fresh(0.0) for _ in range(machines)]
    pacings[0].share = 1 / 32  # one begins far behind
    tokens, refilled = quota, 0.0
    served = [0] * machines
    refused = 0
    failures = [0] * machines * 2
    events = [(chance.uniform(0, 1), worker) for worker in range(machines * 2)]
    heapq.heapify(events)
    begin, until = 300.0, 1500.0
    while (event := heapq.heappop(events))[0] < until:
        now, worker = event
        tokens, refilled = min(quota, tokens + (now - refilled) * quota), now
        machine = worker // 2
        pacing = pacings[machine]
        if tokens >= 1:
            tokens -= 1
            failures[worker] = 0
            pacing.succeeded(now)
            served[machine] += now > begin
            asked = now + 0.05
        else:
            failures[worker] += 1
            pacing.throttled(now)
            refused += now > begin
            asked = now + chance.uniform(0, min(20, 0.2 * 2 ** failures[worker]))
        heapq.heappush(events, (max(asked, pacing.take(asked, allowance)), worker))
    total = sum(served)
    assert total > 0.7 * quota * (until - begin)
    assert refused < 0.1 * total
    fairness = total**2 / (machines * sum(count**2 for count in served))
    assert fairness > 0.98
    assert min(served) > 0.8 * total / machines
