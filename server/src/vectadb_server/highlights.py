"""Where in an event a query's words stand: plain text with ranges, to be marked by whoever shows it."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_server import words

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vectadb_server.model import Event

    Place = tuple[str, int, int]
    """A word, and ``[start, end)`` of it in a text."""

MOST = 3
"""Highlights of one event."""
WIDTH = 240
"""Characters of a highlight, about."""

_READ = 32_000  # characters of a field that are looked at
_BEFORE = 60  # characters shown before the first word
_WORDS = 64  # of the query: as many as the index looks for
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_PLAIN = ("properties.message", "raw")  # what is shown first of an event in which no word stands


class Highlight(msgspec.Struct):
    """A piece of a field, without colours and control characters. It is not HTML, and may hold any markup.

    ``field``: ``raw``, or ``properties.`` and a property's name. ``ranges``: where words of the query stand in
    ``text``, ``[start, end)`` in Unicode characters, ascending. ``text`` begins and ends with ``…`` where it is cut.
    """

    field: str
    text: str
    ranges: list[tuple[int, int]]


def highlights(event: Event, query: str) -> list[Highlight]:
    """Return the pieces that best show the query's words, or the beginning of the event's text if none stands there.

    Words are found as the index finds them: without accents and case, inside identifiers, in scripts without spaces.
    A further field is shown only for words that the ones before it do not have.
    """
    wanted = _wanted(query)
    fields = list(_fields(event))
    found = [(name, text, [place for place in words.located(text) if place[0] in wanted]) for name, text in fields]
    found.sort(key=lambda each: -_weight({term for term, _, _ in each[2]}))
    shown: list[Highlight] = []
    seen: set[str] = set()
    for name, text, places in found:
        terms = {term for term, _, _ in places}
        if len(shown) < MOST and not terms <= seen:
            shown.append(_piece(name, text, places))
            seen |= terms
    if not shown and fields:
        named = dict(fields)
        name = next((name for name in _PLAIN if name in named), fields[0][0])
        shown.append(_piece(name, named[name], []))
    return shown


def _wanted(query: str) -> frozenset[str]:
    """The words to mark. A letter of a script without spaces only where it stands alone: 手机 is no sign of 机票."""
    terms = dict.fromkeys(list(dict.fromkeys(words.asked(query)))[:_WORDS])
    paired = {letter for term in terms if len(term) == 2 and not term.isascii() for letter in term}
    return frozenset(terms.keys() - paired)


def _fields(event: Event) -> Iterator[tuple[str, str]]:
    """The texts of an event by name; what one has said, another does not say again."""
    said: set[str] = set()
    for name, value in [*((f"properties.{key}", value) for key, value in event.properties.items()), ("raw", event.raw)]:
        text = _CONTROL.sub(" ", _COLOUR.sub("", _as_text(value)[:_READ])).strip()
        if text and text not in said:
            said.add(text)
            yield name, text


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict | list):
        return ""  # Numbers and truth values are not searched for.
    try:
        return msgspec.json.encode(value).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        return ""


def _weight(terms: Iterable[str]) -> int:
    """How much it says to have these words: the longer ones are the rarer."""
    return sum(min(len(term), 12) for term in terms)


def _piece(name: str, text: str, places: Sequence[Place]) -> Highlight:
    """The piece of a text with most of the words."""
    start = _best(places)
    start = 0 if start <= _BEFORE else _near_space(text, start - _BEFORE, start)
    end = len(text) if len(text) <= start + WIDTH else _near_space(text, start + WIDTH - 40, start + WIDTH, last=True)
    before = "…" if start else ""
    shown = before + text[start:end] + ("…" if end < len(text) else "")
    inside = sorted((low, high) for _, low, high in places if low >= start and high <= end)
    ranges: list[tuple[int, int]] = []
    for low, high in ((low - start + len(before), high - start + len(before)) for low, high in inside):
        # An identifier and its parts, parts of one side by side, pairs of letters: one range.
        if ranges and (low <= ranges[-1][1] or shown[ranges[-1][1] : low] in {"-", ".", "_"}):
            ranges[-1] = (ranges[-1][0], max(high, ranges[-1][1]))
        else:
            ranges.append((low, high))
    return Highlight(name, shown, ranges)


def _best(places: Sequence[Place]) -> int:
    """Where the stretch begins that has most of the words; the first of several such."""
    best, at = 0, 0
    inside: Counter[str] = Counter()
    first = 0
    ordered = sorted(places, key=lambda place: place[1:])
    for term, _, end in ordered:
        inside[term] += 1
        while end - ordered[first][1] > WIDTH - _BEFORE - 40:
            inside[ordered[first][0]] -= 1
            first += 1
            if first == len(ordered):
                return at
        weight = _weight(+inside)
        if weight > best:
            best, at = weight, ordered[first][1]
    return at


def _near_space(text: str, low: int, high: int, *, last: bool = False) -> int:
    """The place behind the first space, or of the last one, within ``text[low:high]``; else its near end."""
    found = text.rfind(" ", low, high) if last else text.find(" ", low, high)
    if found < 0:
        return high if last else low
    return found if last else found + 1
