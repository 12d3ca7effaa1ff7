"""``redact``: what is found wherever it stands, what is left alone, and what stands in its place."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from vectadb_agent import Event
from vectadb_agent_processors import RedactProcessor
from vectadb_agent_processors.secrets import is_card

if TYPE_CHECKING:
    from .conftest import Make

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow==\nx/y+z\n-----END RSA PRIVATE KEY-----"
SALT = "0123456789abcdef0123456789abcdef"
#: The text, what must not be left of it, and the kind. Nothing here is a real secret.
FOUND = [
    ("write to ann.lee+shop@mail.example.co.uk today", "ann.lee+shop@mail.example.co.uk", "email"),
    ("from 用户@例子.公司 to", "用户@例子.公司", "email"),
    ("<bob_1@x-y.io>,", "bob_1@x-y.io", "email"),
    ("id AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE", "key"),
    ("aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI", "key"),
    ("key sk-proj-" + "a1B2" * 8 + ".", "a1B2a1B2", "key"),
    ("ANTHROPIC_API_KEY=sk-ant-api03-" + "Zz9" * 9, "Zz9Zz9", "key"),
    ("rk_" + "live_" + "4eC39HqLyjWDarjtT1", "4eC39HqLyjWDarjtT1", "key"),
    ("AIza" + "Sy" * 16 + "abc0", "SySySy", "key"),
    ("hf_" + "AbCd" * 8, "AbCdAbCd", "key"),
    ("see " + PEM + " end", "MIIEow", "key"),
    ("-----BEGIN PRIVATE KEY-----\nMIIEow==\nand it was cut", "MIIEow", "key"),
    ('{"password": "hun\\"ter2", "user": "ann"}', 'ter2"', "key"),
    ('{\\"db_password\\": \\"hunter2\\", \\"n\\": 1}', "hunter2", "key"),
    ("{'client_secret': 'tops3cret'}", "tops3cret", "key"),
    ("login with password=hunter2&user=ann", "hunter2", "key"),
    ("refresh-token: 12345-abcde", "12345-abcde", "key"),
    (f"cookie {JWT}", "eyJzdWIi", "token"),
    ("Authorization: Bearer abc.DEF-123~456", "abc.DEF-123~456", "token"),
    ("authorization: basic QWxhZGRpbjpvcGVu", "QWxhZGRpbjpvcGVu", "token"),
    ("ghp_" + "Ab1" * 12, "Ab1Ab1", "token"),
    ("xoxb-" + "123456789012-abcdef", "123456789012-abcdef", "token"),
    ("postgres://shop:s3cr3t@db.internal/orders", "s3cr3t", "token"),
    ("paid with 4111 1111 1111 1111 ok", "1111 1111", "card"),
    ("paid with 5500-0055-5555-5559 ok", "5500-0055", "card"),
    ("amex 378282246310005.", "378282246310005", "card"),
]
LEFT = [
    "max_tokens=100, token_usage: {'total_tokens': 5, 'prompt_tokens': 7}",
    'on_llm_new_token {"token": "Hello"}',
    "Password reset: done. The secret of success is work",
    "order 4111-1111-1111-1112, and 1234567890123456",
    "1795898556298007 3f453201-5112-8303-6656-123456789012",
    "at 12:30 @home, cc @bob; price 3@4",
    "https://example.com:8080/a/b?c=d",
    "basic facts about bearer bonds",
    "request 8f3b2c1d9e4a5f6b7c8d9e0f1a2b3c4d took 4.2 s",
    "> Entering new AgentExecutor chain...\nAction: search\nAction Input: weather in Rome",
]


def redact(**options: Any) -> RedactProcessor:
    return RedactProcessor(RedactProcessor.Config.model_validate({"type": "redact", **options}))


@pytest.mark.parametrize(("text", "secret", "kind"), FOUND)
def test_a_secret_is_taken_out_and_all_around_it_is_left(text: str, secret: str, kind: str) -> None:
    processor = redact()
    after = processor.redacted(text)
    assert secret not in after
    assert f"[{kind}]" in after
    before, _, behind = after.partition(f"[{kind}]")
    assert text.startswith(before)
    assert text.endswith(behind)
    assert (processor.found[kind], sum(processor.found.values())) == (1, 1)
    assert processor.redacted(after) == after
    others = redact(kinds=[each for each in ("email", "key", "token", "card") if each != kind])
    assert "://" in text or others.redacted(text) == text


@pytest.mark.parametrize("text", LEFT)
def test_what_only_looks_a_little_like_one_is_left_alone(text: str) -> None:
    assert redact().redacted(text) == text


def test_every_place_of_an_event_is_looked_at(make: Make) -> None:
    address = "ann@example.com"
    event = make(
        f"mail {address}",
        properties={
            "gen_ai.tool.call.arguments": {"to": [address, {"cc": address}], address: 1, "n": 4_111_111_111_111_111},
            "password": "hunter2",
            "http.request.header.authorization": "Custom xyz",
            "gen_ai.usage.input_tokens": 17,
            "ok": True,
            "none": None,
        },
        session_id=address,
        agent_id="shop",
    )
    after = redact().process(event)
    assert after is not None
    assert address not in str(after.wire())
    assert after.properties == {
        "gen_ai.tool.call.arguments": {"to": ["[email]", {"cc": "[email]"}], "[email]": 1, "n": "[card]"},
        "password": "[key]",
        "http.request.header.authorization": "[key]",
        "gen_ai.usage.input_tokens": 17,
        "ok": True,
        "none": None,
    }
    assert re.fullmatch(r"\[email:[0-9a-f]{12}\]", after.session_id or "")
    assert after.agent_id == "shop"
    kept = redact(keep_properties=["password"]).process(make(properties={"password": "hunter2"}))
    assert kept is not None
    assert kept.properties == {"password": "hunter2"}


def test_hashes_tell_secrets_apart_and_only_who_has_the_salt_can_make_them(make: Make) -> None:
    text = "ann@example.com bob@example.com ann@example.com"
    one = redact(replacement="hash", salt=SALT).redacted(text).split()
    assert one[0] == one[2] != one[1]
    assert redact(replacement="hash", salt=SALT).redacted(text).split() == one
    assert redact(replacement="hash", salt=SALT[::-1]).redacted(text).split()[0] != one[0]
    sessions = [redact().process(make(session_id=f"{name}@example.com")) for name in ("ann", "bob", "ann")]
    ids = [event.session_id for event in sessions if event is not None]
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize("options", [{"replacement": "hash"}, {"replacement": "hash", "salt": "short"}])
def test_hashes_without_a_salt_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least 16 characters"):
        redact(**options)


def test_the_salt_is_not_told() -> None:
    assert SALT not in repr(redact(replacement="hash", salt=SALT).config)


def test_own_patterns_replace_their_groups_or_all_that_they_match() -> None:
    processor = redact(
        kinds=[],
        patterns=[{"name": "customer", "pattern": r"C-\d{6}"}, {"name": "pin", "pattern": r"(?i)pin[ =](\d{4})\b"}],
    )
    assert processor.redacted("customer C-123456 has PIN 1234 and C-1") == "customer [customer] has PIN [pin] and C-1"
    assert processor.found == {"customer": 1, "pin": 1}
    assert redact(kinds=[]).redacted("ann@example.com") == "ann@example.com"


@pytest.mark.parametrize("pattern", [r"(?=x)", r"(a", r"(a)\1"])
def test_a_pattern_that_cannot_be_used_is_a_mistake_in_the_configuration(pattern: str) -> None:
    with pytest.raises(ValidationError, match="no pattern that RE2 takes"):
        redact(patterns=[{"name": "x", "pattern": pattern}])


@given(st.text(max_size=200), st.sampled_from(FOUND), st.text(max_size=200))
def test_a_secret_is_found_whatever_stands_around_it(before: str, case: tuple[str, str, str], behind: str) -> None:
    text, secret, _ = case
    assert secret not in redact().redacted(f"{before}\n{text}\n{behind}").replace(before, "").replace(behind, "")


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=20))
def test_any_event_passes_and_a_second_time_changes_nothing(value: Any) -> None:
    once = redact().process(Event(raw="x", properties={"value": value, "more": {"value": value}}))
    assert once is not None
    properties = repr(once.properties)
    twice = redact().process(once)
    assert twice is not None
    assert repr(twice.properties) == properties


def test_luhns_checksum() -> None:
    random_ = random.Random(1)
    for _ in range(200):
        digits = [random_.choice((3, 4, 5, 6)), *(random_.randrange(10) for _ in range(14))]
        made = [number for number in range(10) if is_card("".join(map(str, [*digits, number])))]
        assert len(made) == 1
    assert not is_card("4" * 16)
    assert not is_card("411111111111")
