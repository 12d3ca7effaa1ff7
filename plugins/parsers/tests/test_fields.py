from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent import Event
from vectadb_agent_parsers import literals
from vectadb_agent_parsers.fields import find_ids, level_name, microseconds

AT = 1_767_225_600_123_456


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2026-01-01T00:00:00.123456Z", AT),
        ("2026-01-01T00:00:00.123456789Z", AT),
        ("2026-01-01T01:00:00.123456+01:00", AT),
        ("2026-01-01 00:00:00,123456", AT),
        ("2026-01-01T00:00:00.123456+0000", AT),
        (1_767_225_600, 1_767_225_600_000_000),
        (1_767_225_600.5, 1_767_225_600_500_000),
        (1_767_225_600_123, 1_767_225_600_123_000),
        (AT, AT),
        (AT * 1000 + 999, AT),
        (str(AT), AT),
        ("1767225600.5", 1_767_225_600_500_000),
        (12.5, None),
        (0, None),
        (True, None),
        (float("nan"), None),
        (10**30, None),
        ("soon", None),
        ("2026-13-01T00:00:00Z", None),
        ("0001-01-01T00:00:00+23:59", None),
        (None, None),
        ({}, None),
    ],
)
def test_times(value, expected):
    if value == "0001-01-01T00:00:00+23:59":
        microseconds(value)  # before the year 1 in UTC: any answer, no exception
        return
    assert microseconds(value) == expected


@given(st.datetimes(min_value=datetime(1980, 1, 1), max_value=datetime(2200, 1, 1)))  # noqa: DTZ001 - made aware below
def test_iso_times_are_exact(moment):
    moment = moment.replace(tzinfo=UTC)
    expected = (moment - datetime(1970, 1, 1, tzinfo=UTC)).days * 86_400_000_000
    expected += ((moment.hour * 60 + moment.minute) * 60 + moment.second) * 1_000_000 + moment.microsecond
    assert microseconds(moment.isoformat()) == expected


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ("warn", "WARNING"),
        (" Error ", "ERROR"),
        ("FATAL", "CRITICAL"),
        (30, "INFO"),
        (True, None),
        ("x", None),
        ("", None),
    ],
)
def test_levels(value, name):
    assert level_name(value) == name


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("x request_id=r-1, next", {"request_id": "r-1"}),
        ("requestId: r-1.", {"request_id": "r-1"}),
        ('{"session_id": "s:1", "n": 1}', {"session_id": "s:1"}),
        ("gen_ai.conversation.id=c thread_id=t", {"session_id": "c"}),
        ("traceId='t' xray_trace_id=1-2", {"trace_id": "t"}),
        ("trace_id=Root=1-2", {}),
        ("my_request_id=r old.session_id=s", {}),
        ("request_id=", {}),
    ],
)
def test_ids_in_text(text, ids):
    event = Event()
    find_ids(event, text)
    found = {name: getattr(event, name) for name in ("trace_id", "request_id", "session_id") if getattr(event, name)}
    assert found == ids


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_reprs_are_read_back(value):
    assert literals.read(repr(value)) == value


@given(st.text() | st.text("{}[]()'\",:\\ 0a1.eTrue"))
def test_any_text_is_a_literal_or_is_not(text):
    with contextlib.suppress(literals.NotALiteral):
        literals.read(text)


@pytest.mark.parametrize("text", ["", "{1: 2}", "{1, 2}", "b'x'", "f(1)", "[1", "'a", "1 2", "'\\q'", "[" * 100_000])
def test_what_json_cannot_hold_is_no_literal(text):
    with pytest.raises(literals.NotALiteral):
        literals.read(text)
