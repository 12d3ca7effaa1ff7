from __future__ import annotations

import gc

import pytest

from vectadb_agent_cloudwatch.quota import TokenBucket, fair_rate, shared_bucket


class Ticker:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_no_second_exceeds_the_full_quota() -> None:
    ticker = Ticker()
    bucket = TokenBucket(20, monotonic=ticker)
    ticker.now += 60
    turns = [ticker.now + bucket.reserve() for _ in range(200)]
    for start in turns:
        assert sum(start <= turn < start + 1 for turn in turns) <= 25


def test_slow_rate_still_gets_its_turn() -> None:
    ticker = Ticker()
    bucket = TokenBucket(0.5, monotonic=ticker)
    assert bucket.reserve() == 0
    assert bucket.reserve() == pytest.approx(2)


def test_throttling_halves_once_a_second_and_recovers_slowly() -> None:
    ticker = Ticker()
    bucket = TokenBucket(16, monotonic=ticker)
    for _ in range(10):
        bucket.throttled()
    assert bucket.rate == 8
    for _ in range(20):
        ticker.now += 1
        bucket.throttled()
    assert bucket.rate == 0.5
    ticker.now += 30
    bucket.succeeded()
    assert 7 < bucket.rate < 10
    ticker.now += 60
    bucket.succeeded()
    assert bucket.rate == 16


def test_one_bucket_for_an_account_and_region() -> None:
    one = shared_bucket("FilterLogEvents", "1", "eu-central-1")
    assert one is shared_bucket("FilterLogEvents", "1", "eu-central-1")
    assert one is not shared_bucket("FilterLogEvents", "2", "eu-central-1")
    assert one.full_rate == 4
    assert shared_bucket("FilterLogEvents", "1", "eu-central-1", 2).full_rate == 2
    assert shared_bucket("FilterLogEvents", "1", "eu-central-1", 3) is one
    assert one.rate == 2
    del one
    gc.collect()
    assert shared_bucket("FilterLogEvents", "1", "eu-central-1").full_rate == 4


@pytest.mark.parametrize(
    ("operation", "region", "rate"),
    [
        ("FilterLogEvents", "us-east-1", 20),
        ("FilterLogEvents", "eu-west-1", 8),
        ("FilterLogEvents", "il-central-1", 4),
        ("GetLogEvents", "us-west-2", 8),
        ("DescribeLogGroups", "eu-west-1", 8),
    ],
)
def test_a_fifth_of_the_quota_is_left_to_people(operation: str, region: str, rate: float) -> None:
    assert fair_rate(operation, region) == rate
