"""What model calls cost, where the price is known: a table, which a user can add to and overrule.

Prices are US dollars for a million tokens, given and returned, without discounts for caching or batches. The table
below holds the public list prices of the makers as of November 2025 (openai.com/api/pricing, claude.com/pricing,
aws.amazon.com/bedrock/pricing); they change: see the setting ``prices``.
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from vectadb_server.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from vectadb_server.model import Tokens


class Price(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """US dollars for a million tokens."""

    input: float
    output: float

    def __post_init__(self) -> None:
        """Refuse what no price is.

        Raises:
            ValueError: it is negative, or no number.
        """
        if not (0 <= self.input < 1e9 and 0 <= self.output < 1e9):
            raise ValueError("a price is a number of US dollars, 0 or more")


class _Known(NamedTuple):
    input: float
    output: float


_LISTED: dict[str, _Known] = {
    "gpt-4o": _Known(2.50, 10.00),
    "gpt-4o-mini": _Known(0.15, 0.60),
    "gpt-4.1": _Known(2.00, 8.00),
    "gpt-4.1-mini": _Known(0.40, 1.60),
    "gpt-4.1-nano": _Known(0.10, 0.40),
    "gpt-5": _Known(1.25, 10.00),
    "gpt-5-mini": _Known(0.25, 2.00),
    "gpt-5-nano": _Known(0.05, 0.40),
    "o3": _Known(2.00, 8.00),
    "o4-mini": _Known(1.10, 4.40),
    "claude-3-haiku": _Known(0.25, 1.25),
    "claude-3-5-haiku": _Known(0.80, 4.00),
    "claude-3-5-sonnet": _Known(3.00, 15.00),
    "claude-3-7-sonnet": _Known(3.00, 15.00),
    "claude-sonnet-4": _Known(3.00, 15.00),
    "claude-haiku-4-5": _Known(1.00, 5.00),
    "claude-opus-4": _Known(15.00, 75.00),
    "amazon.nova-micro": _Known(0.035, 0.14),
    "amazon.nova-lite": _Known(0.06, 0.24),
    "amazon.nova-pro": _Known(0.80, 3.20),
}
#: Parts of a model's id that say who sells it or from where, not what it is: ``us.anthropic.claude-…``.
_SELLERS = re.compile(r"\A(?:(?:us|eu|apac|jp|au|global)\.|(?:anthropic|openai|bedrock|azure|converse)[./])*")


class Prices:
    """Prices by the beginning of a model's name: the longest that fits counts, so that dated names are found too."""

    def __init__(self, own: Mapping[str, Price] | None = None) -> None:
        listed = {name: Price(*price) for name, price in _LISTED.items()}
        self._prices = listed | {name.lower(): price for name, price in (own or {}).items()}
        self._found: dict[str, Price | None] = {}

    def of(self, model: str | None, tokens: Tokens) -> float | None:
        """Return US dollars, or ``None`` where the model, its price or the tokens are not known."""
        if not model or (tokens.input is None and tokens.output is None):
            return None
        if model not in self._found:
            if len(self._found) >= 1_000:
                self._found.clear()
            self._found[model] = self._price(model.lower())
        price = self._found[model]
        if price is None:
            return None
        return round(((tokens.input or 0) * price.input + (tokens.output or 0) * price.output) / 1e6, 9)

    def _price(self, model: str) -> Price | None:
        name = model.rpartition("/")[2] if model.startswith("arn:") else model
        bare = _SELLERS.sub("", name, count=1)
        fitting = [(len(each), each) for each in self._prices if _names(each, name) or _names(each, bare)]
        return self._prices[max(fitting)[1]] if fitting else None


def _names(name: str, model: str) -> bool:
    """Whether ``name`` is ``model`` or a beginning of it that a date or version follows: gpt-4 does not name gpt-4o."""
    return model.startswith(name) and not model[len(name) : len(name) + 1].isalnum()


def load(file: Path | None) -> Prices:
    """Read the prices of a TOML file, over those that are known.

    Raises:
        SettingsError: the file cannot be read or means nothing; the text says what would be right.
    """
    if file is None:
        return Prices()
    wanted = 'a line for each model is wanted: "my-model" = { input = 3.0, output = 15.0 }, US dollars a million tokens'
    try:
        found = tomllib.loads(file.read_text("utf-8"))
        return Prices(msgspec.convert(found, dict[str, Price]))
    except OSError as error:
        raise SettingsError(f"prices: {file}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"prices: {file}: not TOML: {error}; {wanted}") from error
    except msgspec.ValidationError as error:
        raise SettingsError(f"prices: {file}: {error}; {wanted}") from error
