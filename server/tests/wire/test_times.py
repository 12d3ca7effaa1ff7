from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server.times import BEYOND, parse_rfc3339, parse_when, rfc3339

T0 = 1_767_225_600_000_000
bounded = settings(derandomize=True, max_examples=200, deadline=None)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("2026-01-01T00:00:00Z", T0),
        ("2026-01-01T00:00:00.1Z", T0 + 100_000),
        ("2026-01-01T00:00:00.123456Z", T0 + 123_456),
        ("2026-01-01T00:00:00.123456999Z", T0 + 123_456),
        ("2026-01-01T00:00:00.99999999999999Z", T0 + 999_999),
        ("2026-01-01T05:30:00+05:30", T0),
        ("2025-12-31T16:00:00-0800", T0),
        ("2026-01-01 00:00:00+00:00", T0),
        ("2026-01-01t00:00:00z", T0),
        ("2026-01-01T00:00:00", T0),
        ("2026-01-01T00:00", T0),
        ("2025-12-31T23:59:60Z", T0),
        ("2025-12-31T23:59:60.5z", T0 + 500_000),
        ("1970-01-01T00:00:00Z", 0),
        ("2200-12-31T23:59:59.999999Z", BEYOND - 1),
    ],
)
def test_what_is_read(text, us):
    assert parse_rfc3339(text) == us


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "1767225600",
        "2026-01-01",
        "20260101T000000Z",
        "2026-W01-1T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:01Z",
        "2026-01-01T00:00:61Z",
        "2026-01-01T00:00:60:60Z",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00Z\n",
        "2026-01-01T00:00:00Z+01:00",
        "2026-01-01T00:00:00+25:00",
        "2026-01-01é00:00:00Z",
        "٢٠٢٦-01-01T00:00:00Z",
        "ß" * 20,
    ],
)
def test_what_is_not_read(text):
    with pytest.raises(ValueError, match="not a time; expected RFC 3339"):
        parse_rfc3339(text)


@pytest.mark.parametrize("text", ["1969-12-31T23:59:59Z", "2201-01-01T00:00:00Z", "1970-01-01T00:00:00+01:00"])
def test_years_out_of_range_are_mistakes(text):
    with pytest.raises(ValueError, match=r"expected one in 1970…2200"):
        parse_rfc3339(text)


@bounded
@given(st.integers(0, BEYOND - 1))
def test_what_is_written_is_read(us):
    assert parse_rfc3339(rfc3339(us)) == us
    assert rfc3339(us) == f"{datetime.fromtimestamp(us // 1_000_000, UTC):%Y-%m-%dT%H:%M:%S}.{us % 1_000_000:06}Z"


@bounded
@given(
    st.datetimes(datetime(1970, 1, 2), datetime(2200, 12, 30)),  # noqa: DTZ001 - naive ones are drawn, zones added
    st.none() | st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes))),
)
def test_what_isoformat_writes_is_read(at, zone):
    at = at.replace(tzinfo=zone)
    since = (at if zone else at.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    assert parse_rfc3339(at.isoformat()) == since // timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("text", "us"),
    [
        ("-90s", T0 - 90_000_000),
        ("-15m", T0 - 900_000_000),
        ("-2h", T0 - 7_200_000_000),
        ("-1d", T0 - 86_400_000_000),
        ("-1w", T0 - 7 * 86_400_000_000),
        ("15m", T0 - 900_000_000),
        ("2w", T0 - 14 * 86_400_000_000),
        (" now ", T0),
        ("2026-01-01", T0),
        ("2025-12-31", T0 - 86_400_000_000),
        ("2026-01-01T00:00:01Z", T0 + 1_000_000),
    ],
)
def test_when(text, us):
    assert parse_when(text, T0) == us


@pytest.mark.parametrize(
    "text", ["", "15", "-15", "-15x", "-1.5h", "yesterday", "-1h -1m", "+15m", "2026-02-30", "2026-1-1"]
)
def test_when_says_what_it_reads(text):
    with pytest.raises(ValueError, match=r"RFC 3339.* or a date; or a time before now: -90s, -15m"):
        parse_when(text, T0)


def test_when_is_after_1970():
    with pytest.raises(ValueError, match="-999999w is before 1970"):
        parse_when("-999999w", T0)
