"""The block rule by itself: whatever comes, in whatever order, each record has one row in the end."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server.blocks import Key, Row, Rows, Verdict, Version

settings.register_profile("record", derandomize=True, max_examples=150, deadline=None)
settings.load_profile("record")

Held = dict[Key, Row]
Extras = dict[Key, dict[Key, Version]]


def key(number: int) -> Key:
    return f"2026-01-{1 + number // 4:02}", f"r{number}"


def made(first: int, last: int) -> Row:
    """The block of the records ``first..last``."""
    records = tuple(key(n) for n in range(first, last + 1))
    return Row(key=records[0], records=records, size=len(records))


def extra_of(row: Row, number: int) -> Row:
    return Row(key=(row.key[0], f"{row.key[1]}.{number}"), head=row.key, size=row.size)


def arrive(held: Held, extras: Extras, batch: list[Row]) -> list[Verdict]:
    table = Rows(held, extras)
    verdicts = table.place(batch)
    for where, row in table.changes().items():
        if row is None:
            del held[where]
        else:
            held[where] = row
    extras.update(table.extras_changed())
    return verdicts


def after(arrivals: list[list[Row]]) -> tuple[Held, Extras]:
    held: Held = {}
    extras: Extras = {}
    for batch in arrivals:
        arrive(held, extras, batch)
    return held, {head: versions for head, versions in extras.items() if versions}


def check(held: Held) -> None:
    for where, row in held.items():
        assert row.key == where
        if row.is_stub:
            assert row.head is not None
            assert where in held[row.head].records
        elif not row.is_extra:
            assert all(held[record].head == where for record in row.records[1:])


@st.composite
def laminar(draw: st.DrawFn, first: int = 0, last: int = 11) -> list[tuple[int, int]]:
    """Ranges of which any two are nested or disjoint, as joining the same stream again and again makes them."""
    found = [(first, last)] if draw(st.booleans()) else []
    if first < last:
        cut = draw(st.integers(first, last - 1))
        found += draw(laminar(first, cut)) + draw(laminar(cut + 1, last))
    return found


@st.composite
def split(draw: st.DrawFn, rows: list[Row]) -> list[list[Row]]:
    """The rows, some of them again, in any order, in batches of any size."""
    if not rows:
        return []
    sent = draw(st.permutations(rows + draw(st.lists(st.sampled_from(rows), max_size=4))))
    cuts = sorted(draw(st.sets(st.integers(1, len(sent)), max_size=4)) | {0, len(sent)})
    return [list(sent[a:b]) for a, b in pairwise(cuts)]


@given(st.data())
def test_nested_and_disjoint_blocks_end_the_same_in_any_order(data: st.DataObject) -> None:
    blocks = [made(a, b) for a, b in data.draw(laminar())]
    rows = blocks + [extra_of(row, n) for row in blocks for n in range(data.draw(st.integers(0, 2)))]
    held, extras = after(data.draw(split(rows)))
    check(held)
    assert (held, extras) == after([sorted(rows, key=lambda row: (-row.size, row.key))])
    outermost = [row for row in blocks if not any(set(row.records) < set(other.records) for other in blocks)]
    assert {row.key for row in held.values() if row.size and not row.is_extra} == {row.key for row in outermost}
    assert {row.head for row in held.values() if row.is_extra} <= {row.key for row in outermost}


@given(st.data())
def test_overlapping_blocks_leave_one_row_for_each_record(data: st.DataObject) -> None:
    ends = st.tuples(st.integers(0, 11), st.integers(0, 11)).map(lambda pair: (min(pair), max(pair)))
    blocks = [made(a, b) for a, b in data.draw(st.lists(ends, max_size=8))]
    held: Held = {}
    extras: Extras = {}
    for batch in data.draw(split(blocks)):
        for row, verdict in zip(batch, arrive(held, extras, batch), strict=True):
            check(held)
            if verdict.status == "overlap":
                assert verdict.unclaimed
                # A later event of the batch may have claimed some of them: those are duplicates then.
                arrive(held, extras, [Row(key=row.records[i], records=(row.records[i],)) for i in verdict.unclaimed])
    assert set(held) == {record for row in blocks for record in row.records}
    again = dict(held)
    arrive(again, extras, blocks)
    check(again)
    assert set(again) == set(held)
    whole = made(0, 11)
    arrive(held, extras, [whole])
    check(held)
    assert held[whole.key] == whole
    assert sum(row.size > 0 for row in held.values()) == 1


def test_overlap_names_the_records_that_nobody_holds() -> None:
    held, extras = after([[made(0, 2), made(5, 5)]])
    assert arrive(held, extras, [made(2, 6)]) == [Verdict("overlap", (1, 2, 4))]


def test_a_block_refused_takes_its_extras_with_it() -> None:
    held, extras = after([[made(0, 2)]])
    late = made(1, 4)
    assert arrive(held, extras, [extra_of(late, 1), late]) == [Verdict("overlap"), Verdict("overlap", (2, 3))]
    assert (held, extras) == after([[made(0, 2)]])


def test_extras_that_a_larger_block_does_not_bring_are_removed() -> None:
    small, large = made(0, 1), made(0, 2)
    held, extras = after([[small, extra_of(small, 1), extra_of(small, 2)], [large, extra_of(large, 1)]])
    assert {row.key: row.size for row in held.values() if row.is_extra} == {extra_of(large, 1).key: 3}
    assert extras == {large.key: {extra_of(large, 1).key: (0, 3)}}


def test_what_a_crash_between_two_days_left_is_put_right_when_the_block_comes_again() -> None:
    whole, inner = made(2, 6), made(4, 5)
    held, extras = after([[inner, made(6, 6)]])
    held[whole.key] = whole
    held[key(3)] = Row(key=key(3), head=whole.key, size=0)
    assert arrive(held, extras, [whole]) == [Verdict("duplicate")]
    check(held)
    assert [row.key for row in held.values() if row.size] == [whole.key]


def test_a_dangling_stub_does_not_let_its_block_be_taken_apart() -> None:
    """The day of a block's head may be dropped before the day of its tail."""
    held: Held = {key(4): Row(key=key(4), head=key(3), size=0)}
    assert arrive(held, {}, [made(4, 5)]) == [Verdict("overlap", (1,))]
    assert arrive(held, {}, [made(4, 4)]) == [Verdict("duplicate")]
