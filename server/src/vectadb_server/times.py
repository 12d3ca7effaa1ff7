"""Time as people and programs write it, to integer microseconds since the epoch (UTC), and back."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

#: 1970-01-01 and 2201-01-01: times outside are taken for mistakes (an epoch number read in the wrong unit, mostly).
EARLIEST = 0
BEYOND = 7_289_654_400_000_000

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_UNITS = {"s": _SECOND, "m": 60 * _SECOND, "h": 3_600 * _SECOND, "d": _DAY, "w": 7 * _DAY}

# `datetime.fromisoformat` reads much that is neither RFC 3339 nor what `isoformat` writes (week dates, 20260101).
_SHAPE = re.compile(
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d(?::\d\d)?)?",
    re.ASCII,
)
_AGO = re.compile(r"-?(\d{1,9})([smhdw])", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


# An event carries most times twice or three times.
@lru_cache(4096)
def parse_rfc3339(text: str) -> int:
    """Microseconds since the epoch of an RFC 3339 time; digits beyond the microsecond are cut off.

    Also read: what Python's ``isoformat()`` writes (a time without an offset is taken as UTC; seconds may be missing),
    small ``t`` and ``z``, a leap second (``:60`` is the second after ``:59``).

    Raises:
        ValueError: not such a time, or its year is not in 1970…2200; the text says which, for people to read.
    """
    # What agents send, `2026-01-31T12:00:00.000000Z`: its neighbours are of the same second.
    if len(text) == 27 and text[19] == "." and text[26] == "Z" and text.isascii() and text[20:26].isdecimal():
        return _whole_second(text[:19]) + int(text[20:26])
    return _parsed(text)


@lru_cache(4096)
def _whole_second(text: str) -> int:
    return _parsed(f"{text}Z")


def _parsed(text: str) -> int:
    try:
        if _SHAPE.fullmatch(text) is None:
            return _unusual(text)
        at = datetime.fromisoformat(text)
    except ValueError:
        return _unusual(text)
    since = (at if at.tzinfo is not None else at.replace(tzinfo=UTC)) - _EPOCH
    us = since.days * _DAY + since.seconds * _SECOND + since.microseconds
    if not EARLIEST <= us < BEYOND:
        raise ValueError(f"a time of the year {at.year}; expected one in 1970…2200")
    return us


def _unusual(text: str) -> int:
    """Read small letters and leap seconds; raise for anything else."""
    upper = text.upper()
    if upper[17:19] == "60" and upper[16:17] == ":":
        return parse_rfc3339(f"{upper[:17]}59{upper[19:]}") + _SECOND
    if upper != text:
        return parse_rfc3339(upper)
    raise ValueError('not a time; expected RFC 3339, e.g. "2026-01-31T12:00:00.000Z"')


def rfc3339(us: int) -> str:
    """Microseconds since the epoch as RFC 3339, UTC, e.g. ``2026-01-01T00:00:00.000001Z``.

    Raises:
        OverflowError: the year is not in 1…9999.
    """
    return (_EPOCH + timedelta(microseconds=us)).isoformat(timespec="microseconds")[:-6] + "Z"


def parse_when(text: str, now: int) -> int:
    """Microseconds since the epoch of a time in a query.

    That is RFC 3339, a date (when it begins, UTC), ``now``, or ``-15m`` or ``15m``: so long before ``now``. Units are
    ``s m h d w``. ``now`` is in microseconds since the epoch.

    Raises:
        ValueError: neither form, or before 1970; the text says so, for people to read.
    """
    text = text.strip()
    if text == "now":
        return now
    ago = _AGO.fullmatch(text)
    if ago is None:
        try:
            return parse_rfc3339(f"{text}T00:00:00Z" if _DATE.fullmatch(text) else text)
        except ValueError as error:
            raise ValueError(f"{error}; or a date; or a time before now: -90s, -15m, -2h, -7d, -4w") from None
    us = now - int(ago[1]) * _UNITS[ago[2]]
    if us < EARLIEST:
        raise ValueError(f"{text} is before 1970")
    return us
