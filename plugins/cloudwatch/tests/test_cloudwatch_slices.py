from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent_cloudwatch.slices import FUTURE, Position, Slice, advance, plan, resize, shorten

NOW = 1_800_000_000_000
SETTLE = 60_000


def test_fresh_group_starts_at_its_lookback_and_not_before() -> None:
    position = Position.fresh(NOW - 300_000)
    window = plan(position, now=NOW, overlap=SETTLE, settle_max=SETTLE, size=10_000_000)
    assert window == Slice(NOW - 300_000, NOW + FUTURE, head=True)


def test_resumed_group_reads_the_overlap_again() -> None:
    window = plan(Position.resumed(NOW - 1000), now=NOW, overlap=SETTLE, settle_max=SETTLE, size=60_000)
    assert window.start == NOW - 1000 - SETTLE


def test_far_behind_reads_slices_that_nothing_can_appear_in() -> None:
    window = plan(Position.resumed(NOW - 86_400_000), now=NOW, overlap=SETTLE, settle_max=SETTLE, size=600_000)
    assert not window.head
    assert window.end - window.start == 600_000


def test_checkpoint_from_the_future_is_not_believed() -> None:
    window = plan(Position.resumed(NOW + 999_999_999), now=NOW, overlap=SETTLE, settle_max=SETTLE, size=60_000)
    assert window.start <= NOW
    assert window.end > NOW


def test_future_slice_end_does_not_move_the_watermark_past_now() -> None:
    position = advance(Position.resumed(NOW - 5000), Slice(NOW - 65_000, NOW + FUTURE, head=True), now=NOW)
    assert position.watermark == NOW


@given(
    st.integers(0, 10**9),
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1000, 10**7), st.integers(0, SETTLE)), max_size=30),
)
def test_slices_leave_no_gap(behind: int, steps: list[tuple[int, int, int]]) -> None:
    """Each slice starts within what earlier ones made complete, whatever the sizes, delays and overlaps."""
    now = NOW
    position = Position.resumed(NOW - behind)
    complete = position.watermark - SETTLE  # read, and nothing can appear before
    for passed, size, overlap in steps:
        window = plan(position, now=now, overlap=SETTLE, settle_max=SETTLE, size=size)
        assert window.start <= max(complete, 0) <= window.end
        complete = max(complete, min(window.end, now - SETTLE))
        after = advance(position, window, now=now)
        assert position.watermark <= after.watermark <= now
        narrow = plan(after, now=now + passed, overlap=overlap, settle_max=SETTLE, size=size)
        assert narrow.start <= now - overlap or narrow.start <= window.end
        assert narrow.start >= after.oldest_reread - SETTLE
        position = after
        now += passed


@given(st.integers(1000, 86_400_000), st.floats(0, 100_000))
def test_sizes_stay_bounded_and_go_the_right_way(size: int, pages: float) -> None:
    following = resize(size, pages)
    assert 1000 <= following <= 86_400_000
    if pages < 10:
        assert following >= size
    if pages > 50:
        assert following <= size
    assert 1000 <= shorten(size) <= size
