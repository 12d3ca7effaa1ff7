from __future__ import annotations

from pathlib import Path

import pytest

from vectadb_server.model import Tokens
from vectadb_server.prices import Price, Prices, load
from vectadb_server.settings import SettingsError

MILLION = Tokens(1_000_000, 1_000_000)


@pytest.mark.parametrize(
    ("model", "cost"),
    [
        ("gpt-4o", 12.5),
        ("gpt-4o-2024-11-20", 12.5),
        ("gpt-4o-mini-2024-07-18", 0.75),
        ("GPT-4.1-Mini", 2.0),
        ("openai/gpt-4.1", 10.0),
        ("anthropic.claude-3-5-sonnet-20241022-v2:0", 18.0),
        ("us.anthropic.claude-sonnet-4-20250514-v1:0", 18.0),
        ("claude-sonnet-4-5-20250929", 18.0),
        ("arn:aws:bedrock:eu-west-1:1:inference-profile/eu.amazon.nova-pro-v1:0", 4.0),
        ("amazon.nova-micro-v1:0", 0.175),
        ("gpt-4", None),
        ("gpt-4oo", None),
        ("my-own", None),
        ("", None),
        (None, None),
    ],
)
def test_the_longest_name_that_fits_tells_the_price(model: str | None, cost: float | None) -> None:
    assert Prices().of(model, MILLION) == cost


def test_without_tokens_nothing_is_known() -> None:
    assert Prices().of("gpt-4o", Tokens()) is None
    assert Prices().of("gpt-4o", Tokens(0, None)) == 0
    assert Prices().of("gpt-4o", Tokens(None, 2)) == 0.00002


def test_own_prices_add_and_overrule(tmp_path: Path) -> None:
    file = tmp_path / "prices.toml"
    file.write_text('"my-own" = { input = 1, output = 2.5 }\n"gpt-4o" = { input = 0.0, output = 0.0 }\n')
    prices = load(file)
    assert prices.of("my-own-v2", MILLION) == 3.5
    assert prices.of("gpt-4o-2024-11-20", MILLION) == 0
    assert prices.of("gpt-4o-mini", MILLION) == 0.75


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('"a" = 3', "Expected `object`, got `int` - at `$[...]`"),
        ('"a" = { input = 3 }', "missing required field `output`"),
        ('"a" = { input = -1, output = 0 }', "a price is a number of US dollars, 0 or more"),
        ('"a" = { input = nan, output = 0 }', "a price is a number of US dollars, 0 or more"),
        ("= 1", "not TOML"),
    ],
)
def test_a_mistake_in_the_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "prices.toml"
    file.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load(file)
    assert told in str(caught.value)
    assert str(file) in str(caught.value)
    assert '"my-model" = { input = 3.0, output = 15.0 }' in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"prices: .*none\.toml: cannot be read"):
        load(tmp_path / "none.toml")


def test_prices_are_told_apart_by_what_follows_the_name() -> None:
    assert Prices({"x": Price(1, 1)}).of("x1", MILLION) is None
    assert Prices({"x": Price(1, 1)}).of("x:1", MILLION) == 2
