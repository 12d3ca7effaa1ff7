"""The rule for any event at all, and for seeded mutations (longer: ``python -m server.tests.hostile.fuzz``)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.tests.hostile import contents
from server.tests.hostile.fuzz import play
from server.tests.hostile.rule import FIELDS, TIME

if TYPE_CHECKING:
    from server.tests.hostile.rule import Server

TEXT = st.one_of(st.text(st.characters(codec=None), max_size=30), st.sampled_from(list(contents.TEXTS.values())))
#: Keys that differ, but not once they are escaped or have underscores behind them, are `escapes`' own tests.
KEYS = st.text(st.characters(exclude_characters="\x1a_", exclude_categories=["Cs"]), min_size=1, max_size=20)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), INTEGERS, st.floats(allow_nan=False, allow_infinity=False), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=10,
)
EVENTS = st.fixed_dictionaries(
    {"timestamp": st.just(TIME), "raw": TEXT, "properties": st.dictionaries(KEYS, VALUES, max_size=5)},
    optional=dict.fromkeys(FIELDS, TEXT),
)


@settings(settings.get_profile("hostile"))
@given(events=st.lists(EVENTS, min_size=1, max_size=6))
def test_any_event_is_stored_as_it_was_sent(server: Server, events: list[dict[str, Any]]) -> None:
    assert None not in server.judge(*map(json.dumps, events))


@pytest.mark.parametrize("seed", range(1, 5))
def test_mutations(server: Server, seed: int) -> None:
    play(server, seed)
