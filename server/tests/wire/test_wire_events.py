import json
import uuid

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server import ids
from vectadb_server.escapes import held, held_name
from vectadb_server.model import Event, Source
from vectadb_server.wire import BadRequest, decode_batch, decode_event, encode_event

bounded = settings(derandomize=True, max_examples=200, deadline=None)

T0 = 1_767_225_600_000_000
NOW = "2026-01-01T00:00:00Z"
STREAM = {"system": "cloudwatch", "account": "1", "region": "r", "log_group": "g", "log_stream": "s"}


def decoded(**fields) -> Event:
    return decode_event(json.dumps({"timestamp": NOW, **fields}).encode())


def refusal(**fields) -> str:
    with pytest.raises(BadRequest) as caught:
        decoded(**fields)
    assert caught.value.status == 422
    return str(caught.value)


def row(log_id, part="0"):
    return ids.uuid5(ids.EVENTS, ["cloudwatch", "1", "r", "g", "s", log_id, part])


class TestFields:
    def test_defaults(self):
        event = decoded()
        assert event == Event(event_id=event.event_id, timestamp=T0, record_ids=[event.event_id])
        assert (event.event_type, event.properties, event.basis, event.trace) == ("log", {}, "none", None)

    def test_null_and_empty_ids_are_absent(self):
        names = ("trace_id", "request_id", "session_id", "agent_id", "parent_event_id", "event_id", "event_type")
        for value in (None, ""):
            event = decoded(**dict.fromkeys(names, value))
            assert event == Event(event_id=event.event_id, timestamp=T0, record_ids=[event.event_id])
        assert decoded(properties=None, source=None, raw=None).source is None
        assert decoded(raw="").raw == ""

    def test_unknown_keys_are_folded_into_properties_and_nothing_is_lost(self):
        event = decoded(
            message="top",
            tool={"a": 1},
            none=None,
            properties={"message": "inner", "message_": 1},
            source={"log_id": "1"},
        )
        assert event.properties == {
            "message": "inner",
            "message_": 1,
            "message__": "top",
            "tool": {"a": 1},
            "none": None,
        }

    def test_unknown_keys_of_source_too(self):
        event = decoded(**{"source": {"log_stream": "s", "pod": "p"}, "source.pod": "top", "properties": {"a": 1}})
        assert event.properties == {"a": 1, "source.pod": "top", "source.pod_": "p"}
        assert event.source == Source(log_stream="s")

    def test_of_duplicate_keys_the_last_wins(self):
        event = decode_event(
            b'{"timestamp": "x", "timestamp": "2026-01-01T00:00:00Z", '
            b'"properties": {"a": 1, "a": 2}, "raw": "q", "raw": "r"}'
        )
        assert (event.timestamp, event.properties, event.raw) == (T0, {"a": 2}, "r")

    def test_source_times(self):
        source = decoded(
            source={"timestamp": "2026-01-01T00:00:01+00:00", "ingestion_time": "2026-01-01T00:00:02.5Z"}
        ).source
        assert (source.timestamp, source.ingestion_time) == (T0 + 1_000_000, T0 + 2_500_000)


class TestIds:
    def test_from_the_source(self):
        event = decoded(source={**STREAM, "log_id": "a"})
        assert (event.event_id, event.record_ids) == (row("a"), [row("a")])
        event = decoded(source={**STREAM, "log_id": "a", "part": "1"}, event_id=row("a", "1").upper())
        assert (event.event_id, event.record_ids) == (row("a", "1"), [row("a", "1")])

    @pytest.mark.parametrize(
        "spelling", ["0123ABCD-0123-0123-0123-0123456789AB", "0123abcd012301230123" + "0123456789ab"]
    )
    def test_given_ones_are_normalised(self, spelling):
        event = decoded(event_id=spelling, source=STREAM)
        assert (event.event_id, event.record_ids) == (str(uuid.UUID(spelling)), [str(uuid.UUID(spelling))])

    def test_given_and_source_must_agree(self):
        given_id = "0123abcd-0123-0123-0123-0123456789ab"
        assert refusal(event_id=given_id, source={**STREAM, "log_id": "a"}) == (
            f"event.event_id: found {given_id}, but source and its log_id make {row('a')}; "
            "expected these to agree: omit one"
        )

    def test_new_ones_without_source(self):
        one, other = decoded(), decoded(source=STREAM)
        assert uuid.UUID(one.event_id).version == uuid.UUID(other.event_id).version == 7
        assert one.event_id != other.event_id

    def test_by_idempotency_key_and_index(self):
        body = json.dumps({"events": [{"timestamp": NOW}, {}, {"timestamp": NOW}, {"timestamp": NOW, "x": 1}]}).encode()
        once, again = (decode_batch(body, idempotency_key="k") for _ in range(2))
        made = [event.event_id for event in once.events]
        assert made == [event.event_id for event in again.events]
        assert made == [ids.uuid5(ids.EVENTS, ["idempotency-key", "k", index]) for index in ("0", "2", "3")]
        assert decode_event(json.dumps({"timestamp": NOW}).encode(), idempotency_key="k").event_id == made[0]
        assert made[0] != decode_batch(body, idempotency_key="l").events[0].event_id


class TestBlocks:
    def test_each_record_has_its_row(self):
        times = ["2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z", "2026-01-01T00:00:01Z"]
        event = decoded(
            source={**STREAM, "log_id": "a", "log_ids": ["a", "b", "b"], "timestamps": times, "parts": ["0", "0", "1"]}
        )
        assert event.event_id == row("a")
        assert event.record_ids == [row("a"), row("b"), row("b", "1")]
        assert event.source.log_ids == ["a", "b", "b"]
        assert event.source.parts == ["0", "0", "1"]
        assert event.source.timestamps == [T0, T0 + 1_000_000, T0 + 1_000_000]
        assert event.source.timestamp == T0

    def test_when_it_was_read_is_known_and_0_if_it_was_the_first_time(self):
        assert decoded(source={**STREAM, "log_id": "a", "read_at": "2026-01-01T00:00:01Z"}).source.read_at == T0 + 10**6
        for first in ({}, {"read_at": None}):
            assert decoded(source={**STREAM, "log_id": "a", **first}).source.read_at == 0

    def test_without_times_all_records_of_a_block_are_of_the_first_one_s(self):
        event = decoded(source={**STREAM, "log_id": "a", "log_ids": ["a", "b"], "timestamp": NOW})
        assert (len(event.record_ids), event.source.timestamps) == (2, [])

    def test_parts_are_0_but_the_heads(self):
        event = decoded(source={**STREAM, "log_id": "a", "part": "2", "log_ids": ["a", "b"]})
        assert event.record_ids == [row("a", "2"), row("b")]
        assert event.source.parts == ["2", "0"]

    @pytest.mark.parametrize("part", ["0.1", "2.1"])
    def test_a_further_event_has_no_rows(self, part):
        event = decoded(source={**STREAM, "log_id": "a", "part": part, "log_ids": ["a", "b"]})
        assert (event.event_id, event.record_ids) == (row("a", part), [])
        assert event.source.parts == [part[0], "0"]

    def test_a_block_of_one_is_none(self):
        event = decoded(source={**STREAM, "log_id": "a", "log_ids": ["a"], "parts": ["0"], "timestamps": [NOW]})
        assert event.record_ids == [row("a")]
        assert (event.source.log_ids, event.source.parts, event.source.timestamps) == ([], [], [])
        assert event.source.timestamp == T0

    @pytest.mark.parametrize(
        ("source", "error"),
        [
            (
                {"log_id": "b", "log_ids": ["a", "b"]},
                'event.source.log_ids[0]: found the text "a", and source.log_id is the text "b"; '
                "expected the same: the block's first record",
            ),
            (
                {"log_ids": ["a", "b"]},
                'event.source.log_ids[0]: found the text "a", and source.log_id is null; '
                "expected the same: the block's first record",
            ),
            (
                {"log_id": "a", "log_ids": ["a", "b"], "timestamps": [NOW]},
                "event.source.timestamps: found 1, and source.log_ids has 2; expected one for each record of the block",
            ),
            (
                {"log_id": "a", "parts": ["0"]},
                "event.source.parts: found 1, and source.log_ids has 0; expected one for each record of the block",
            ),
            (
                {"log_id": "a", "log_ids": ["a", "b"], "parts": ["1", "0"]},
                'event.source.parts[0]: found the text "1"; expected source.part, which is the text "0"',
            ),
            (
                {"log_id": "a", "log_ids": ["a", "b"], "parts": ["0", "0.1"]},
                'event.source.parts[1]: found the text "0.1"; expected the number of a piece, without a dot',
            ),
            (
                {"log_id": "a", "read_at": "soon"},
                'event.source.read_at: found the text "soon": not a time; '
                'expected RFC 3339, e.g. "2026-01-31T12:00:00.000Z"',
            ),
            (
                {"log_id": "a", "read_at": 5},
                'event.source.read_at: found the number 5; expected RFC 3339 text, e.g. "2026-01-31T12:00:00.000Z"',
            ),
            (
                {"log_id": "a", "log_ids": ["a"], "parts": ["1"]},
                'event.source.parts[0]: found the text "1"; expected source.part, which is the text "0"',
            ),
            (
                {"log_id": "a", "log_ids": ["a", "b", "a"]},
                "event.source.log_ids: found one record (log id and part) twice; expected each record once",
            ),
            (
                {"log_id": "a", "log_ids": ["a", "b"], "timestamps": [NOW, "?"]},
                'event.source.timestamps[1]: found the text "?": not a time; expected RFC 3339, '
                'e.g. "2026-01-31T12:00:00.000Z"',
            ),
            (
                {"log_id": "0", "log_ids": [str(i) for i in range(5001)]},
                "event.source.log_ids: found an array of 5,001; expected an array of at most 5,000 texts",
            ),
        ],
    )
    def test_what_does_not_fit_together(self, source, error):
        assert refusal(source={**STREAM, **source}) == error


class TestEscapes:
    def test_what_engines_cannot_hold_is_escaped_where_they_would_have_to(self):
        event = decoded(
            raw="\ud800 \0 🤖",
            properties={"\udfff": ["a\x1a"], "nul": "\0"},
            session_id="s\0\ud800",
            source={"log_group": "g\0", "log_id": "\0"},
        )
        assert event.raw == "\x1ad800 \0 🤖"
        assert event.properties == {"\x1adfff": ["a\x1a001a"], "nul": "\0"}
        assert event.session_id == "s\x1a0000\x1ad800"
        assert (event.source.log_group, event.source.log_id) == ("g\x1a0000", "\x1a0000")

    def test_the_same_alone_and_among_ordinary_events(self):
        """msgspec reads U+001A and U+0000, so the way that is taken must not matter."""
        event = {"timestamp": NOW, "raw": "\x1a", "agent_id": "\0", "properties": {"\x1a": "\0"}, "event_id": row("a")}
        quick = decode_batch(json.dumps({"events": [event, {"timestamp": NOW}]}).encode()).events[0]
        slow = decode_batch(json.dumps({"events": [event, {"timestamp": NOW, "raw": "\ud800"}]}).encode()).events[0]
        assert quick == slow == decoded(**event)
        assert (quick.raw, quick.agent_id, quick.properties) == ("\x1a001a", "\x1a0000", {"\x1a001a": "\0"})

    def test_keys_that_become_one_are_both_kept(self):
        assert decoded(properties={"\x1a": 1, "\x1a001a": 2}).properties == {"\x1a001a": 1, "\x1a001a_": 2}

    def test_ids_are_made_of_the_names_as_they_came(self):
        event = decoded(source={**STREAM, "log_id": "\x1a"})
        assert event.event_id == row("\x1a")
        assert decoded(source={**STREAM, "log_id": "\ud800"}).event_id == row("\x1ad800")

    @bounded
    @given(st.text(st.characters() | st.sampled_from("\x1a\0\ud800\udfff01ad8"), max_size=8))
    def test_what_is_held_can_be_sent_again(self, text):
        for escape in (held, held_name):
            once = escape(text)
            assert escape(once) == once
            assert once.encode().decode() == once
        assert "\0" not in held_name(text)


class TestReplies:
    def test_an_event(self):
        event = decoded(
            event_type="tool_call",
            raw="r",
            trace_id="mine",
            properties={"a": 1},
            source={**STREAM, "log_id": "a", "log_ids": ["a", "b"], "timestamps": [NOW, NOW], "ingestion_time": NOW},
        )
        event.trace, event.basis, event.created_at = "0123", "trace_id", T0 + 1
        at = "2026-01-01T00:00:00.000000Z"
        assert encode_event(event) == {
            "event_id": row("a"),
            "timestamp": at,
            "event_type": "tool_call",
            "trace_id": "0123",
            "trace_basis": "trace_id",
            "given_trace_id": "mine",
            "request_id": None,
            "session_id": None,
            "agent_id": None,
            "parent_event_id": None,
            "properties": {"a": 1},
            "raw": "r",
            "source": {
                **STREAM,
                "log_id": "a",
                "timestamp": at,
                "ingestion_time": at,
                "log_ids": ["a", "b"],
                "timestamps": [at, at],
                "parts": ["0", "0"],
            },
            "created_at": "2026-01-01T00:00:00.000001Z",
        }
        msgspec.json.encode(encode_event(event))

    def test_no_source_and_no_trace_of_its_own(self):
        event = decoded()
        event.trace, event.basis = "0123", "event"
        body = encode_event(event)
        assert body["source"] is None
        assert "given_trace_id" not in body
        event.trace_id = "0123"
        assert "given_trace_id" not in encode_event(event)

    def test_a_reply_says_all_that_a_source_does(self):
        source = {**STREAM, "log_id": "a", "part": "0.1", "timestamp": NOW}
        body = encode_event(decoded(source=source))["source"]
        assert decoded(source=body) == decoded(source=source)


def test_an_event_alone_that_is_too_large_is_refused_as_such() -> None:
    body = b'{"timestamp": "2026-01-01T00:00:00Z", "raw": "long"}'
    with pytest.raises(
        BadRequest, match="event: found 52 bytes; expected at most 51: shorten raw or properties"
    ) as caught:
        decode_event(body, max_event_bytes=51)
    assert caught.value.status == 413
