r"""Words of a text as a sparse vector: what exact search counts.

A word is lower-cased and loses its accents. An identifier counts whole and by its parts, so that ``searchFlights``,
``search_flights`` and ``search flights`` find each other and the exact spelling still wins. Scripts that put no spaces
between words (Chinese, Japanese, Thai …) and Korean are cut into single characters and pairs.

>>> terms("Café: getUserId failed")
['cafe', 'getuserid', 'get', 'user', 'id', 'failed']
>>> terms("机票")
['机', '机票', '票']
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Most characters of a text that are looked at: its head and its tail (a traceback names the error last).
HEAD, TAIL = 24_000, 8_000

_LONGEST = 128  # characters of one word; a longer one is a blob, and its start names it
_LONGEST_CAMEL = 64  # nobody writes longer names; blobs of base64 would fall into hundreds of pieces
_REMEMBERED = 50_000  # chunks whose terms are kept: about 15 MB

# BM25's saturation of repeated words and its allowance for long texts, with a fixed average length, so that a text's
# weights never depend on the others. The engine multiplies by how rare a word is.
_K1, _B, _AVERAGE = 1.2, 0.75, 60.0

# Combining accents and vowel signs belong to their words, though `\w` leaves them out.
_JOINED = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
    "\u102b-\u103e\u17b4-\u17d3\u3099\u309a"
)
_MARKS = _JOINED + "\u0e31-\u0e4e\u0eb1-\u0ece"  # Thai and Lao have vowels among them that stand before their letter
_NO_SPACES = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30fa\u30fc-\u30ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
)

_ASCII_CHUNK = re.compile(r"[A-Za-z0-9]+(?:(?:_+|[-.])[A-Za-z0-9]+)*")
_CHUNK = re.compile(rf"(?:[^\W_]|[{_MARKS}])+(?:(?:_+|[-.])(?:[^\W_]|[{_MARKS}])+)*")
_SEPARATORS = re.compile(r"[-._]+")
_CAMEL = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+|[^A-Za-z0-9]+")
_RUNS = re.compile(rf"[{_NO_SPACES}]+|[^{_NO_SPACES}]+")
_UNSPACED = re.compile(rf"[{_NO_SPACES}]")
_PARTS = re.compile(r"[^-._]+")
# A letter and what is written onto it: marks, the other jamo of a Korean syllable, the voicing of narrow kana.
_LETTER = re.compile(rf"(?s).[{_JOINED}\uff9e\uff9f\u1160-\u11ff]*")
_ACCENTS = re.compile("[\u0300-\u036f]+")
_LETTERS = str.maketrans(
    {"ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "ı": "i"}
    | {"þ": "th", "Þ": "Th", "æ": "ae", "Æ": "Ae", "œ": "oe", "Œ": "Oe", "ß": "ss", "ẞ": "SS"}
)

# What English questions are built with; what else says something in a log is not among them (not, no, on, off, out, up,
# down, over, before, after, all). Of other languages much of this is a word of English, or the name of a program.
_ENGLISH = """
a an the this that these those there here it its i me my we us our you your he him his she her they them their
is are was were be been being am do does did doing have has had having can could should would will shall
of in to at by for from with as into about and or if then than so
what which who whom whose when where why how
"""
_FUNCTION_WORDS = frozenset(_ENGLISH.split())
_CONTRACTED = re.compile(rf"['’](?:s|t|re|ve|ll|d|m)(?![\w{_MARKS}])", re.IGNORECASE)

_remembered: dict[str, tuple[int, ...]] = {}


def clip(text: str, head: int, tail: int) -> str:
    """Return ``text``, or its first ``head`` and last ``tail`` characters where it is longer."""
    return text if len(text) <= head + tail else f"{text[:head]}\n{text[-tail:]}"


def terms(text: str) -> list[str]:
    """Return the words of ``text`` in order, with repetitions. Punctuation and symbols alone give none."""
    return [term for chunk in _chunks(text) for term in _split(chunk)]


def asked(text: str) -> list[str]:
    """Return the words of a query that say what is looked for: people ask in whole sentences.

    Where it has no others it is taken at its word.

    >>> asked("Why did it fail?"), asked("who is it")
    (['fail'], ['who', 'is', 'it'])
    """
    return [term for chunk in _asked(text) for term in _split(chunk)]


def _asked(text: str) -> list[str]:
    chunks = _chunks(_CONTRACTED.sub(" ", text)) or _chunks(text)
    # IT and US are written so.
    said = [each for each in chunks if each.lower() not in _FUNCTION_WORDS or (len(each) > 1 and each.isupper())]
    return said or chunks


def located(text: str) -> Iterator[tuple[str, int, int]]:
    """Yield the words that :func:`terms` gives, each with where it stands: ``text[start:end]``, accents and all.

    >>> list(located("Café!"))
    [('cafe', 0, 4)]
    """
    for found in (_ASCII_CHUNK if text.isascii() else _CHUNK).finditer(text):
        for term, start, end in _placed(found[0]):
            yield term, found.start() + start, found.start() + end


def sparse(text: str, about: str = "") -> tuple[list[int], list[float]]:
    """Return the sparse vector of a document: hashed words, no index twice, and the weight of each.

    Both lists are empty where the text has no word. Words of ``about`` stand for themselves: a query has them as such.
    """
    known = _remembered
    hashes: list[int] = []
    for chunk in _chunks(text):
        hashes += known.get(chunk) or _hashes(chunk)
    if hashes and about:
        hashes += _about(about)
    counts = Counter(hashes)
    length = _K1 * (1 - _B + _B * len(hashes) / _AVERAGE)
    once = (_K1 + 1) / (1 + length)  # as most are
    return list(counts), [once if n == 1 else (_K1 + 1) * n / (n + length) for n in counts.values()]


def sparse_query(text: str, most: int = 64, *, about: bool = False) -> list[int]:
    """Return the hashed words of a query that :func:`asked` gives, each once, in order; no more than ``most``.

    ``about``: and those that documents have in what is said of them.
    """
    found: dict[int, None] = {}
    for chunk in _asked(text):
        found.update(dict.fromkeys(_hashes(chunk)))
        if len(found) >= most:
            break
    words = list(found)[:most]
    return words + [_of_about(word) for word in words] if about else words


def _of_about(word: int) -> int:
    return word ^ 0xFFFF_FFFF


@lru_cache(64)
def _about(text: str) -> tuple[int, ...]:
    return tuple(_of_about(word) for chunk in _chunks(text) for word in _hashes(chunk))


def _chunks(text: str) -> list[str]:
    """Words and whole identifiers as they are written."""
    text = clip(text, HEAD, TAIL)
    return _ASCII_CHUNK.findall(text) if text.isascii() else _CHUNK.findall(text)


def _hashes(chunk: str) -> tuple[int, ...]:
    found = _remembered.get(chunk)
    if found is None:
        found = tuple([crc32(term.encode("utf-8", "surrogatepass")) for term in _split(chunk)])
        if len(chunk) <= _LONGEST:
            if len(_remembered) >= _REMEMBERED:
                _remembered.clear()
            _remembered[chunk] = found
    return found


def _split(chunk: str) -> list[str]:
    """The terms of one chunk: the whole, and its parts where it has several."""
    if chunk.isascii():
        return _names(chunk)
    folded = _fold(chunk)
    if not _UNSPACED.search(folded):
        return [term for name in _CHUNK.findall(folded) for term in _names(name)]
    return [
        term
        for run in _RUNS.findall(folded)
        for term in (_pairs(run) if _UNSPACED.match(run) else [t for name in _CHUNK.findall(run) for t in _names(name)])
    ]


def _fold(text: str) -> str:
    folded = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    # Composed again: NFKD has also taken Hangul syllables and voiced kana apart, which are letters of their own.
    return unicodedata.normalize("NFKC", folded).translate(_LETTERS)


def _placed(chunk: str) -> list[tuple[str, int, int]]:
    """What :func:`_split` gives, with the place of each term in the chunk."""
    if chunk.isascii():
        return _placed_names(chunk, 0, len(chunk))
    # Folding changes lengths: each letter is folded by itself, with the marks that follow it, to know where it went.
    groups = [found.span() for found in _LETTER.finditer(chunk)]
    pieces = [_fold(chunk[start:end]) for start, end in groups]
    folded = _fold(chunk)
    starts = [start for (start, _), piece in zip(groups, pieces, strict=True) for _ in piece]
    ends = [end for (_, end), piece in zip(groups, pieces, strict=True) for _ in piece]
    if "".join(pieces) != folded:
        starts, ends = [0] * len(folded), [len(chunk)] * len(folded)
    placed: list[tuple[str, int, int]] = []
    if not _UNSPACED.search(folded):
        for name in _CHUNK.finditer(folded):
            placed += _placed_names(folded, *name.span())
    else:
        for run in _RUNS.finditer(folded):
            if _UNSPACED.match(run[0]):
                placed += _placed_pairs(run[0], run.start())
            else:
                for name in _CHUNK.finditer(folded, *run.span()):
                    placed += _placed_names(folded, *name.span())
    return [(term, starts[start], ends[end - 1]) for term, start, end in placed]


def _placed_names(text: str, start: int, end: int) -> list[tuple[str, int, int]]:
    name = text[start:end]
    spans = [found.span() for found in _PARTS.finditer(name)]
    if len(name) <= _LONGEST_CAMEL:
        spans = [found.span() for part in spans for found in _CAMEL.finditer(name, *part)]
    spans = [(0, len(name)), *spans]
    found = zip(_names(name), spans, strict=False)  # A name of one part has that part for a whole.
    return [(term, start + low, start + high) for term, (low, high) in found]


def _placed_pairs(run: str, start: int) -> list[tuple[str, int, int]]:
    placed: list[tuple[str, int, int]] = []
    at = start
    for term in _pairs(run):
        at += len(term) == 1 and bool(placed)
        placed.append((term, at, at + len(term)))
    return placed


def _names(name: str) -> list[str]:
    """An identifier in lower case and, where it has several parts, those."""
    if name.islower() and name.isalnum():
        return [name[:_LONGEST].casefold()]
    parts = _SEPARATORS.split(name)
    if len(name) <= _LONGEST_CAMEL:
        parts = [piece for part in parts for piece in _CAMEL.findall(part)]
    whole = name[:_LONGEST].casefold()
    return [whole] if len(parts) == 1 else [whole, *(part[:_LONGEST].casefold() for part in parts)]


def _pairs(run: str) -> list[str]:
    """Each letter, followed by the pair that it begins."""
    pairs = [*(run[i : i + 2] for i in range(len(run) - 1)), ""]
    return [term for letter, pair in zip(run, pairs, strict=True) for term in (letter, pair) if term]
