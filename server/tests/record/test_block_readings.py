"""The block rule where the log was read again: the later reading wins, and no record loses its row."""

from __future__ import annotations

from itertools import pairwise, permutations

from hypothesis import given
from hypothesis import strategies as st

from vectadb_server.blocks import Key, Row, Verdict

from .test_block_rule import Extras, Held, after, arrive, check, key

LAST = 7


def made(first: int, last: int, read_at: int = 0) -> Row:
    """The block of the records ``first..last``, of a reading."""
    records = tuple(key(n) for n in range(first, last + 1))
    return Row(key=records[0], records=records, size=len(records), read_at=read_at)


def extra_of(row: Row, number: int = 1) -> Row:
    return Row(key=(row.key[0], f"{row.key[1]}.{number}"), head=row.key, size=row.size, read_at=row.read_at)


def blocks_of(held: Held) -> dict[Key, Row]:
    return {row.key: row for row in held.values() if row.size and not row.is_extra}


def owner(held: Held, record: Key) -> Key:
    row = held[record]
    return row.head or row.key


def check_readings(held: Held, extras: Extras) -> None:
    """One row for each record, which one block claims; extras only of blocks that are there, as they are."""
    check(held)
    for head, row in blocks_of(held).items():
        for record in row.records:
            assert owner(held, record) == head
    found = {row.key: row for row in held.values() if row.is_extra}
    assert found.keys() == {extra for versions in extras.values() for extra in versions}
    for row in found.values():
        assert row.head is not None
        assert held[row.head].version == row.version == extras[row.head][row.key]


@st.composite
def windows(draw: st.DrawFn, read_at: int, first: int = 0, last: int = LAST) -> list[Row]:
    """One complete reading of the window, cut into blocks somehow, some with an extra."""
    cuts = sorted({first, last + 1} | {n for n in range(first + 1, last + 1) if draw(st.booleans())})
    blocks = [made(a, b - 1, read_at) for a, b in pairwise(cuts)]
    return blocks + [extra_of(row) for row in blocks if draw(st.booleans())]


@st.composite
def anything(draw: st.DrawFn) -> list[Row]:
    """A batch of any blocks of any readings, each with or without an extra, in any order."""
    batch = []
    for _ in range(draw(st.integers(1, 6))):
        first, last = sorted((draw(st.integers(0, LAST)), draw(st.integers(0, LAST))))
        row = made(first, last, draw(st.integers(0, 3)))
        batch += [row, extra_of(row)] if draw(st.booleans()) else [row]
    return draw(st.permutations(batch))


@given(st.data())
def test_of_complete_readings_the_last_wins_in_any_order_and_number(data: st.DataObject) -> None:
    readings = [data.draw(windows(read_at)) for read_at in range(data.draw(st.integers(1, 4)))]
    sent = data.draw(st.permutations(readings + data.draw(st.lists(st.sampled_from(readings), max_size=3))))
    held, extras = after([list(data.draw(st.permutations(batch))) for batch in sent])
    check_readings(held, extras)
    last = {row.key: row for row in readings[-1]}
    assert {row.key: row for row in held.values() if row.size} == last


@given(st.data())
def test_readings_that_come_in_one_batch_count_in_the_order_they_were_made(data: st.DataObject) -> None:
    readings = [data.draw(windows(read_at)) for read_at in range(1, 4)]
    held, extras = after(
        [data.draw(windows(0)), data.draw(st.permutations([row for rows in readings for row in rows]))]
    )
    check_readings(held, extras)
    assert {row.key: row for row in held.values() if row.size} == {row.key: row for row in readings[-1]}


@given(st.data())
def test_readings_of_parts_of_the_log_each_win_where_they_are_the_last(data: st.DataObject) -> None:
    """Windows that end where blocks end, as slices of a backfill do."""
    edges = sorted(data.draw(st.sets(st.integers(1, LAST), max_size=2)) | {0, LAST + 1})
    slices = [(a, b - 1) for a, b in pairwise(edges)]
    sent: list[list[Row]] = []
    last: dict[Key, Row] = {}
    for first, end in slices:
        readings = [data.draw(windows(read_at, first, end)) for read_at in range(data.draw(st.integers(1, 3)))]
        sent += readings
        last |= {row.key: row for row in readings[-1]}
    held, extras = after(data.draw(st.permutations(sent)))
    check_readings(held, extras)
    assert {row.key: row for row in held.values() if row.size} == last


@given(st.data())
def test_whatever_comes_each_record_has_one_row_and_what_is_taken_is_held(data: st.DataObject) -> None:
    held: Held = {}
    extras: Extras = {}
    for batch in data.draw(st.lists(anything(), max_size=6)):
        before, versions = dict(held), {head: row.version for head, row in blocks_of(held).items()}
        verdicts = arrive(held, extras, batch)
        check_readings(held, extras)
        assert before.keys() - {row.key for row in before.values() if row.is_extra} <= held.keys()
        for row, verdict in zip(batch, verdicts, strict=True):
            if row.is_extra:
                continue
            unclaimed = {row.records[position] for position in verdict.unclaimed}
            assert bool(unclaimed) == (verdict.status == "overlap")
            for record in row.records:
                # What was unclaimed may have been taken by an event further on in the batch.
                assert record in held or record in unclaimed
            if verdict.status == "accepted":
                # It is held, or something that came with it took its place.
                assert held[row.key].is_stub or held[row.key].version >= row.version
        for head, row in blocks_of(held).items():
            assert row.version >= versions.get(head, row.version)
        again, more = dict(held), {head: dict(versions) for head, versions in extras.items()}
        assert not [verdict for verdict in arrive(again, more, batch) if verdict.status == "accepted"]
        assert again == held


@given(st.data())
def test_a_later_reading_is_never_replaced_by_an_earlier_one(data: st.DataObject) -> None:
    batches = data.draw(st.lists(anything(), max_size=5))
    held: Held = {}
    extras: Extras = {}
    for batch in batches:
        before = dict(held)
        arrive(held, extras, batch)
        for record, row in before.items():
            if not row.is_extra:
                assert held[owner(held, record)].read_at >= before[owner(before, record)].read_at


@given(st.data())
def test_a_reading_cut_short_by_a_crash_between_days_is_finished_when_it_comes_again(data: st.DataObject) -> None:
    """Whatever part of the changes was written: the same reading again ends as if there had been no crash."""
    first, second = data.draw(windows(0)), data.draw(windows(1))
    held, extras = after([first])
    whole, whole_extras = after([first, second])
    for record in data.draw(st.lists(st.sampled_from([key(n) for n in range(LAST + 1)]), unique=True)):
        # An event is written with its extras, and they go with it.
        for extra in [row.key for row in held.values() if row.is_extra and row.head == record]:
            del held[extra]
        held[record] = whole[record]
        held |= {row.key: row for row in whole.values() if row.is_extra and row.head == record}
        extras[record] = dict(whole_extras.get(record, {}))
    arrive(held, extras, second)
    check_readings(held, extras)
    assert held == whole


def test_two_blocks_that_contain_one_together_replace_it() -> None:
    held, extras = after([[made(1, 4), extra_of(made(1, 4))]])
    batch = [made(0, 2, 5), made(3, 4, 5), extra_of(made(3, 4, 5))]
    assert {verdict.status for verdict in arrive(held, extras, batch)} == {"accepted"}
    check_readings(held, extras)
    assert blocks_of(held) == {key(0): made(0, 2, 5), key(3): made(3, 4, 5)}
    assert [row.key for row in held.values() if row.is_extra] == [extra_of(made(3, 4)).key]


def test_of_blocks_that_do_not_contain_it_none_replaces_it() -> None:
    held, extras = after([[made(1, 4)]])
    assert arrive(held, extras, [made(0, 1, 5), made(2, 3, 5)]) == [Verdict("overlap", (0,)), Verdict("duplicate")]
    assert blocks_of(held) == {key(1): made(1, 4)}


def test_one_that_cannot_be_replaced_lets_go_of_what_hung_on_the_same_blocks() -> None:
    """0-1 | 2-3 | 4-5 held, the last of a later reading: 3-4 cannot be, so 1-2 and the rest cannot either."""
    rows = [made(0, 1), made(2, 3), made(4, 5, 9)]
    held, extras = after([rows])
    batch = [made(0, 0, 5), made(1, 2, 5), made(3, 4, 5), made(5, 5, 5), made(6, 6, 5)]
    assert [verdict.status for verdict in arrive(held, extras, batch)] == ["duplicate"] * 4 + ["accepted"]
    assert blocks_of(held) == {row.key: row for row in (*rows, made(6, 6, 5))}


def test_blocks_of_two_readings_do_not_count_as_one() -> None:
    for batch in permutations([made(0, 1, 5), made(2, 3, 6)]):
        held, extras = after([[made(0, 3)]])
        assert arrive(held, extras, list(batch)) == [Verdict("duplicate")] * 2


def test_the_same_records_read_later_are_replaced_with_their_extras() -> None:
    row = made(2, 4)
    held, extras = after([[row, extra_of(row, 1), extra_of(row, 2)]])
    anew = made(2, 4, 8)
    assert arrive(held, extras, [anew, extra_of(anew, 2)]) == [Verdict("accepted")] * 2
    assert arrive(held, extras, [row, extra_of(row, 1), made(2, 4, 7), anew]) == [Verdict("duplicate")] * 4
    assert held[row.key] == anew
    assert [extra.key for extra in held.values() if extra.is_extra] == [extra_of(row, 2).key]


def test_an_earlier_reading_does_not_replace_even_if_it_is_larger() -> None:
    held, extras = after([[made(2, 3, 8)]])
    assert arrive(held, extras, [made(2, 3, 7), made(1, 4, 7), made(1, 4)]) == [
        Verdict("duplicate"),
        Verdict("overlap", (0, 3)),
        Verdict("overlap", (0, 3)),
    ]


def test_an_extra_that_comes_before_its_block_waits_for_it() -> None:
    held, extras = after([[made(0, 3), extra_of(made(0, 3))]])
    late = made(2, 3, 5)
    assert arrive(held, extras, [extra_of(late)]) == [Verdict("accepted")]
    arrive(held, extras, [made(0, 1, 5), late])
    check_readings(held, extras)
    assert [row.key for row in held.values() if row.is_extra] == [extra_of(late).key]


def test_a_stub_adrift_is_held_by_nobody() -> None:
    """Its head gave it up, and a crash came before it had another."""
    held, extras = after([[made(0, 1, 5)]])
    held[key(3)] = Row(key=key(3), head=key(0), size=0)
    assert arrive(held, extras, [made(1, 3)]) == [Verdict("overlap", (1, 2))]
    assert arrive(held, extras, [made(3, 3)]) == [Verdict("accepted")]
    check(held)
