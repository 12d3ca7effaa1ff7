from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server.stores import framing
from vectadb_server.stores.base import Hit, SearchFilter
from vectadb_server.stores.framing import Delete, DropDays, Frames, Hello, Refusal, Reply, Search

CALLS = [Search(1, "naïve", "hybrid", SearchFilter(since=5), 10), Delete(2, [("2026-01-01", "a")]), DropDays(3, "x")]


@settings(derandomize=True, max_examples=100)
@given(st.lists(st.sampled_from(CALLS), max_size=5), st.lists(st.integers(1, 40), min_size=1))
def test_messages_survive_any_cutting_of_the_stream(calls: list[framing.Call], cuts: list[int]) -> None:
    stream = b"".join(map(framing.frame, calls))
    frames, found, at, turn = Frames(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        found += frames.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert [framing.decode_call(message) for message in found] == calls


@pytest.mark.parametrize("answer", [Hello(5, 6, 7), Refusal("no"), Reply(1, 2, 3, [Hit("a", "b", 0.5)], "e")])
def test_answers_come_back(answer: framing.Answer) -> None:
    (message,) = Frames().feed(framing.frame(answer))
    assert framing.decode_answer(message) == answer


def test_a_length_beyond_all_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="4294967295 bytes"):
        Frames().feed(b"\xff\xff\xff\xff")
