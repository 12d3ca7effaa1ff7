"""Rate limits: what n servers let through together, whatever they are asked and when."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server.limits import LEASE, Bucket, Lease, Limiter, block, capacity, leased
from vectadb_server.stores.buckets import BucketStore
from vectadb_server.stores.surreal import SurrealStore

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Time:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Shared:
    """The buckets, by a clock that a test turns."""

    def __init__(self, time: Time) -> None:
        self.time = time
        self.held: dict[tuple[str, ...], Bucket] = {}
        self.leases = 0

    async def lease(self, name: list[str], rate: float, *, spent: float, wanted: float) -> Lease:
        self.leases += 1
        now = int(self.time.seconds * 1e6)
        self.held[tuple(name)], lease = leased(self.held.get(tuple(name)), now, rate, spent=spent, wanted=wanted)
        return lease


requests = st.lists(st.tuples(st.floats(0, 2), st.integers(0, 2)), max_size=60)


@given(rate=st.sampled_from([0.5, 1, 3, 10, 100]), asked=requests, at_once=st.integers(1, 30))
@settings(max_examples=150, derandomize=True, deadline=None)
def test_servers_together_let_through_no_more(rate: float, asked: list[tuple[float, int]], at_once: int) -> None:
    async def run() -> None:
        time = Time()
        shared = Shared(time)
        servers = [Limiter(shared, time) for _ in range(3)]
        through: list[float] = []
        for pause, number in asked:
            time.seconds += pause
            for _ in range(at_once):
                wait = await servers[number].spend("k", "requests", rate)
                if not wait:
                    through.append(time.seconds)
                else:
                    assert 0 < wait <= 1 / rate + 1e-6
        for first, start in enumerate(through):
            for last in range(first, len(through)):
                most = rate * (through[last] - start) + capacity(rate) + len(servers) * block(rate)
                assert last - first + 1 <= most + 1e-6

    asyncio.run(run())


@given(rate=st.sampled_from([1, 7, 50]), sizes=st.lists(st.integers(1, 400), min_size=1, max_size=30))
@settings(max_examples=100, derandomize=True, deadline=None)
def test_large_batches_are_let_through_and_paid_off(rate: float, sizes: list[int]) -> None:
    async def run() -> None:
        time = Time()
        limiter = Limiter(Shared(time), time)
        for size in sizes:
            while wait := await limiter.spend("k", "events", rate, size):
                time.seconds += wait + 1e-6
        # All came through, at the rate: what the last owes is still to be waited for.
        assert sum(sizes[:-1]) <= rate * time.seconds + capacity(rate) + block(rate)
        assert time.seconds <= sum(sizes) / rate + len(sizes) * (LEASE + 1 / rate)

    asyncio.run(run())


async def test_one_server_that_asks_steadily_gets_its_rate() -> None:
    time = Time()
    shared = Shared(time)
    limiter = Limiter(shared, time)
    through = 0
    for _ in range(4000):
        through += not await limiter.spend("k", "requests", 20)
        time.seconds += 0.01
    assert 20 * 40 <= through <= 20 * 41
    assert shared.leases < 1700  # refusals ask nobody until there is something to be had


async def test_a_server_that_is_idle_holds_nothing_up() -> None:
    time = Time()
    shared = Shared(time)
    one, other = Limiter(shared, time), Limiter(shared, time)
    assert not await one.spend("k", "requests", 4)  # and now it holds a block
    time.seconds += 100
    through = 0
    while not await other.spend("k", "requests", 4):
        through += 1
    assert through == 4


async def test_keys_and_kinds_are_apart() -> None:
    time = Time()
    limiter = Limiter(Shared(time), time)
    assert not await limiter.spend("a", "requests", 1)
    assert await limiter.spend("a", "requests", 1)
    assert not await limiter.spend("a", "events", 1)
    assert not await limiter.spend("b", "requests", 1)
    assert not await limiter.wait("c", "events", 1)
    assert not await limiter.wait("c", "events", 1)


async def test_two_servers_on_one_record(tmp_path: Path) -> None:
    store = await SurrealStore.open(tmp_path)
    try:
        # A clock that stands still for the servers, and so slow a rate that the record's does so too.
        servers = [Limiter(BucketStore(store.segments), lambda: 0.0) for _ in range(2)]
        for rate, most in ((0.001, 1), (0.01, 1)):
            name = f"key {rate}"
            waits = await asyncio.gather(
                *(servers[i % 2].spend(name, "requests", rate) for i in range(20)),
            )
            assert sum(not wait for wait in waits) == most
            assert all(wait <= 1 / rate for wait in waits)
        # Many leases at once: none is lost, and none counted twice.
        buckets = BucketStore(store.segments)
        leases = await asyncio.gather(*(buckets.lease(["many", "x"], 0.001, spent=1, wanted=0) for _ in range(8)))
        assert all(lease.granted == 0 for lease in leases)
        last = await buckets.lease(["many", "x"], 0.001, spent=0, wanted=0)
        assert last.wait == pytest.approx(8 / 0.001, rel=0.01)
    finally:
        await store.close()
