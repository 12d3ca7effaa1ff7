from __future__ import annotations

from vectadb_agent_cloudwatch.clock import AwsClock


def test_answers_within_one_second_do_not_put_the_clock_back() -> None:
    ticks = [0.0]
    clock = AwsClock(monotonic=lambda: ticks[0], wall=lambda: 1.0)
    clock.observe("Thu, 01 Jan 2026 00:00:00 GMT")
    first = clock.now()
    ticks[0] = 0.7
    clock.observe("Thu, 01 Jan 2026 00:00:00 GMT")
    assert clock.now() == first + 700
    clock.observe("Thu, 01 Jan 2026 00:00:05 GMT")
    assert clock.now() == first + 5000
    clock.observe("Wed, 31 Dec 2025 23:00:00 GMT")
    assert clock.now() == first - 3_600_000
