"""The oracle can fail: it sees every kind of loss, and says what differs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from demo.oracle import judge, unescaped
from vectadb_agent.records import join_lines, sendable

if TYPE_CHECKING:
    from demo.oracle import Key

SOURCE: dict[Key, str] = {("1", "/g", "s", str(n)): f"line {n}" for n in range(6)}


def key(number: int) -> Key:
    return ("1", "/g", "s", str(number))


def event(raw: str, *ids: int, parts: list[str] | None = None, part: str | None = None) -> dict[str, Any]:
    source: dict[str, Any] = {"account": "1", "log_group": "/g", "log_stream": "s", "log_id": str(ids[0])}
    if len(ids) > 1:
        source["log_ids"] = [str(number) for number in ids]
    source |= {"parts": parts} if parts else {}
    source |= {"part": part} if part else {}
    return {"event_id": f"e{ids}", "raw": raw, "source": source}


WELL = [
    event("line 0", 0),
    event("line 1\nline 2", 1, 2),
    event("line", 3, part="0"),
    event(" 3\nline 4", 3, 4, parts=["1", "0"]),
    event("line 5", 5),
    event("", 5, part="0.1"),
]


def test_all_is_well_with_blocks_and_pieces_and_further_events() -> None:
    verdict = judge(SOURCE, WELL)
    assert verdict, str(verdict)
    assert str(verdict).startswith("All 6 records are there")


@pytest.mark.parametrize("without", range(5))
def test_a_missing_event_is_missing_whichever_it_is(without: int) -> None:
    verdict = judge(SOURCE, [event for at, event in enumerate(WELL) if at != without])
    assert not verdict
    assert verdict.lost or verdict.altered
    assert not verdict.duplicates
    assert ("missing" if verdict.lost else "differ") in str(verdict)


@pytest.mark.parametrize("again", range(5))
def test_an_event_that_is_there_twice_is_seen_whichever_it_is(again: int) -> None:
    verdict = judge(SOURCE, [*WELL, WELL[again]])
    assert not verdict
    assert verdict.duplicates
    assert not verdict.lost


def test_one_record_in_two_different_blocks_is_twice() -> None:
    verdict = judge(SOURCE, [*WELL, event("line 0\nline 5", 0, 5)])
    assert verdict.duplicates == [key(0), key(5)]


def test_a_whole_record_with_a_further_piece_is_altered() -> None:
    verdict = judge(SOURCE, [*WELL, event("0", 0, part="1")])
    assert [difference.keys for difference in verdict.altered] == [(key(0),)]


@pytest.mark.parametrize("at", range(5))
def test_an_altered_text_is_seen_and_shown_whichever_it_is(at: int) -> None:
    changed = WELL[at] | {"raw": WELL[at]["raw"] + "!"}
    verdict = judge(SOURCE, [changed if place == at else event for place, event in enumerate(WELL)])
    assert verdict.altered
    assert not verdict.lost
    assert not verdict.duplicates
    assert "!" in str(verdict)


def test_an_event_of_another_account_or_unknown_record_is_unknown() -> None:
    other = event("line 0", 0)
    other["source"]["account"] = "2"
    verdict = judge(SOURCE, [*WELL, other, event("x", 99)])
    assert len(verdict.unknown) == 2
    assert not verdict.lost


anything = st.text(st.characters(codec=None) | st.sampled_from("\ud800\udfff\x1a\x00\n"), max_size=12)


@settings(derandomize=True, deadline=None)
@given(st.lists(anything, min_size=1, max_size=4))
def test_what_the_agent_does_to_odd_characters_is_undone(lines: list[str]) -> None:
    source = {key(number): line for number, line in enumerate(lines)}
    raw = sendable(join_lines(lines))
    assert unescaped(raw) == join_lines(lines)
    assert judge(source, [event(raw, *range(len(lines)))])


def test_it_is_quick_and_lean_enough_for_many() -> None:
    count = 100_000
    source = {key(number): f"line {number}" for number in range(count)}
    assert judge(source, (event(f"line {number}", number) for number in range(count)))
