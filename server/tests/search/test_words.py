from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server.words import HEAD, TAIL, asked, clip, sparse, sparse_query, terms


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Timeout, after 30s!", ["timeout", "after", "30s"]),
        ("Café NAÏVE Straße Ørsted", ["cafe", "naive", "strasse", "orsted"]),
        ("cafe\u0301", ["cafe"]),
        ("searchFlights", ["searchflights", "search", "flights"]),
        ("HTTPServer", ["httpserver", "http", "server"]),
        ("get_user_id", ["get_user_id", "get", "user", "id"]),
        ("__init__", ["init"]),
        ("gpt-4o", ["gpt-4o", "gpt", "4o"]),
        ("langchain.agents", ["langchain.agents", "langchain", "agents"]),
        ("a1b2-C3", ["a1b2-c3", "a1b2", "c3"]),
        ("订机票", ["订", "订机", "机", "机票", "票"]),
        ("調用getWeather失敗", ["調", "調用", "用", "getweather", "get", "weather", "失", "失敗", "敗"]),
        ("ガイド", ["ガ", "ガイ", "イ", "イド", "ド"]),
        ("가격", ["가", "가격", "격"]),
        ("\u1100\u1161", ["가"]),  # the same syllable, taken apart
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("нашёл", ["нашел"]),
        ("ＡＰＩ", ["api"]),
        ("", []),
        ("!?… -- 😀", []),
        ("a\x00b", ["a", "b"]),
        ("a\ud800b", ["a", "b"]),
    ],
)
def test_words_of_a_text(text: str, expected: list[str]) -> None:
    assert terms(text) == expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("search_flights", "searchFlights"),
        ("search_flights", "search flights"),
        ("getUserID", "user"),
        ("résumé", "RESUME"),
        ("预订机票", "机票"),
    ],
)
def test_spellings_find_each_other(one: str, other: str) -> None:
    assert set(sparse_query(one)) & set(sparse(other)[0])


def test_the_exact_identifier_shares_most() -> None:
    query = set(sparse_query("search_flights"))
    exact, loose = (len(query & set(sparse(text)[0])) for text in ("search_flights(1)", "flights to search"))
    assert exact > loose


@settings(derandomize=True, max_examples=200)
@given(st.text())
def test_a_sparse_vector_is_sound(text: str) -> None:
    indices, values = sparse(text)
    assert len(indices) == len(values) == len(set(indices))
    assert all(0 <= index < 2**32 for index in indices)
    assert all(0 < value < 2.2 for value in values)
    assert bool(indices) == bool(terms(text))
    asked_for = set(sparse_query(text, 10_000))
    assert asked_for <= set(indices)
    assert bool(asked_for) == bool(indices)


@settings(derandomize=True, max_examples=100)
@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=20))
def test_letters_and_digits_always_give_a_word(text: str) -> None:
    assert terms(text)


def test_a_repeated_word_weighs_more_but_less_each_time() -> None:
    once, twice, often = (dict(zip(*sparse("error " * n + "x " * (50 - n)), strict=True)) for n in (1, 2, 40))
    (word,) = sparse_query("error")
    assert once[word] < twice[word] < often[word]
    assert twice[word] - once[word] > (often[word] - twice[word]) / 38


def test_a_query_asks_for_the_first_words_once() -> None:
    assert sparse_query("b x b c", most=2) == sparse_query("b x")
    assert len(sparse_query(" ".join(map(str, range(1000))))) == 64


@pytest.mark.parametrize(
    "text", ["x" * 10**6, "aB1_" * 250_000, "字" * 10**6, "ﷺ" * 10**6, "a-" * 500_000, "a " * 500_000]
)
def test_a_huge_text_is_bounded(text: str) -> None:
    indices, _ = sparse(text)
    assert 0 < len(indices) < 100_000


def test_clipping_keeps_head_and_tail() -> None:
    assert clip("abcdef", 4, 2) == "abcdef"
    assert clip("abcdefg", 4, 2) == "abcd\nfg"
    text = "first " + "x " * (HEAD + TAIL) + "ValueError"
    assert {*sparse_query("first ValueError")} <= {*sparse(text)[0]}


def test_what_is_said_of_a_text_is_told_from_its_own_words() -> None:
    plain, told = sparse("kyiv weather"), sparse("kyiv weather", "the user asked")
    assert told[0][:2] == plain[0]
    assert len(told[0]) == 5
    assert set(sparse_query("user weather")) & set(told[0]) == set(sparse_query("weather"))
    assert len(set(sparse_query("user weather", about=True)) & set(told[0])) == 2
    assert sparse("", "the user asked") == ([], [])


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("why did it fail?", "fail"),
        ("What's wrong with the agent’s payment, and who called it?", "wrong agent payment called"),
        ("It is not there", "not"),
        ("who is it", "who is it"),
        ("IT department of the US", "IT department US"),
        ("the_end", "the_end"),
        ("为什么失败", "为什么失败"),
    ],
)
def test_a_question_is_its_words_that_say_something(query: str, words: str) -> None:
    assert asked(query) == terms(words)
    assert sparse_query(query) == sparse_query(words)
