from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server.highlights import MOST, WIDTH, highlights
from vectadb_server.model import Event
from vectadb_server.words import located, terms


def event(raw: str | None = None, **properties: object) -> Event:
    return Event(event_id="e", timestamp=0, raw=raw, properties=properties)


def marked(raw: str, query: str) -> list[str]:
    """What is marked in the first highlight of an event with this text."""
    first = highlights(event(raw), query)[0]
    return [first.text[start:end] for start, end in first.ranges]


@pytest.mark.parametrize(
    ("text", "query", "expected"),
    [
        ("The flight was booked, a FLIGHT!", "flight", ["flight", "FLIGHT"]),
        ("Der Café-Besuch", "cafe", ["Café"]),
        ("cafe\u0301 au lait", "café", ["cafe\u0301"]),
        ("die Straße ist lang", "strasse", ["Straße"]),
        ("smörgåsbord", "Smorgasbord", ["smörgåsbord"]),
        ("called searchFlights(1)", "flights", ["Flights"]),
        ("called searchFlights(1)", "searchFlights", ["searchFlights"]),
        ("called searchFlights(1)", "search flights", ["searchFlights"]),
        ("calling get_user_id", "user", ["user"]),
        ("model gpt-4o-mini", "gpt", ["gpt"]),
        ("model gpt-4o-mini", "gpt-4o", ["gpt-4o"]),
        ("用户要求预订去上海的机票", "机票", ["机票"]),
        ("用户要求预订去上海的机票", "预订机票", ["预订", "机票"]),
        ("手机上订机票", "机票", ["机票"]),
        ("手机", "机", ["机"]),
        ("調用getWeather失敗", "weather", ["Weather"]),
        ("고객이 환불을 요청했습니다", "환불", ["환불"]),
        ("\u1100\u1161 \u1100\u1161\u11a8", "가", ["\u1100\u1161"]),
        ("ﾊﾞｽ停", "バス", ["ﾊﾞｽ"]),
        ("оплата заказа НЕ прошла", "не прошла", ["НЕ", "прошла"]),
        ("ลูกค้าต้องการจองโรงแรม", "โรงแรม", ["โรงแรม"]),
        ("ग्राहक ने कीमत पूछी", "कीमत", ["कीमत"]),
        ("\x1b[31mred \x1b[1merror\x1b[0m\x07", "error", ["error"]),
        ("<b>error</b> & more", "b error", ["b", "error", "b"]),
        ("nothing of it", "elsewhere", []),
        ("half \ud83d emoji", "emoji", ["emoji"]),
    ],
)
def test_words_are_marked_as_the_index_finds_them(text: str, query: str, expected: list[str]) -> None:
    assert marked(text, query) == expected


@settings(derandomize=True, max_examples=500)
@given(st.text() | st.text(alphabet="aB1_-.é\u0301ßŁ機票ガ가\u1100\u1161\u11a8ｶﾞ ﷺ字กำ"))
def test_located_words_are_the_words(text: str) -> None:
    found = list(located(text))
    assert [term for term, _, _ in found] == terms(text)
    assert all(0 <= start < end <= len(text) for _, start, end in found)


@settings(derandomize=True, max_examples=300)
@given(
    st.lists(
        st.sampled_from(["error", "机票", "search_flights", "x" * 90, "a", "\n", "Café", "\x1b[1m"]), max_size=120
    ),
    st.sampled_from(["error flights", "机票 cafe", "a", "", "nowhere"]),
)
def test_ranges_lie_in_the_text_and_hold_its_words(pieces: list[str], query: str) -> None:
    for each in highlights(event(" ".join(pieces), message="error here", n=5), query):
        assert 0 < len(each.text) <= WIDTH + 2
        assert "\x1b" not in each.text
        ends = [0]
        for start, end in each.ranges:
            assert ends[-1] <= start < end <= len(each.text)
            assert set(terms(each.text[start:end])) & set(terms(query))
            ends.append(end)


def test_the_piece_with_most_of_the_words_is_shown() -> None:
    raw = "refund asked. " + "so it goes on " * 60 + "the refund of order 12 was declined by the bank" + " and on" * 60
    (found,) = highlights(event(raw), "refund declined bank")
    assert "refund of order 12 was declined by the bank" in found.text
    assert found.text.startswith("…")
    assert found.text.endswith("…")
    assert [found.text[start:end] for start, end in found.ranges] == ["refund", "declined", "bank"]


def test_each_further_field_says_something_new() -> None:
    fields = {"message": "refund declined", "tool": {"args": "refund", "bank": "N26"}, "again": "declined", "n": 7}
    found = highlights(event("refund declined", **fields), "refund declined n26")
    assert [each.field for each in found] == ["properties.message", "properties.tool"]


def test_there_are_no_more_than_a_few() -> None:
    fields = {f"p{number}": f"word{number}" for number in range(10)}
    assert len(highlights(event(None, **fields), " ".join(fields.values()))) == MOST


def test_an_event_without_the_words_shows_its_beginning() -> None:
    assert [(each.field, each.text, each.ranges) for each in highlights(event("the card was declined"), "payment")] == [
        ("raw", "the card was declined", [])
    ]
    assert highlights(event(None, n=1), "payment") == []
