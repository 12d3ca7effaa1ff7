import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server.wire import BadRequest, Options, decode_batch, decode_event

bounded = settings(derandomize=True, max_examples=200, deadline=None)

GOOD = '{"timestamp": "2026-01-01T00:00:00Z", "raw": "good"}'
HEAD = '{"timestamp": "2026-01-01T00:00:00Z", '


def refused(event: str, **options) -> str:
    """The error of one bad event, which leaves both of its neighbours good."""
    decoded = decode_batch(f'{{"events": [{GOOD}, {event}, {GOOD}]}}'.encode("utf-8", "surrogateescape"), **options)
    assert decoded.indexes == [0, 2]
    assert [good.raw for good in decoded.events] == ["good", "good"]
    (error,) = decoded.errors
    assert error.index == 1
    error.error.encode()
    return error.error


RFC = 'expected RFC 3339 text, e.g. "2026-01-31T12:00:00.000Z"'


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ("{}", f"events[1].timestamp: found nothing; {RFC}"),
        ('{"timestamp": null}', f"events[1].timestamp: found nothing; {RFC}"),
        ('{"timestamp": 1767225600}', f"events[1].timestamp: found the number 1767225600; {RFC}"),
        (
            '{"timestamp": "today"}',
            'events[1].timestamp: found the text "today": not a time; expected RFC 3339, '
            'e.g. "2026-01-31T12:00:00.000Z"',
        ),
        (
            '{"timestamp": "58000-01-01T00:00:00Z"}',
            'events[1].timestamp: found the text "58000-01-01T00:00:00Z": not a time; expected RFC 3339, '
            'e.g. "2026-01-31T12:00:00.000Z"',
        ),
        ("3", "events[1]: found the number 3; expected an event: a JSON object"),
        ("null", "events[1]: found null; expected an event: a JSON object"),
        ("[1, 2]", "events[1]: found an array of 2; expected an event: a JSON object"),
        (HEAD + '"properties": []}', "events[1].properties: found an array of 0; expected a JSON object"),
        (HEAD + '"properties": "p", "x": 1}', 'events[1].properties: found the text "p"; expected a JSON object'),
        (HEAD + '"raw": {}}', "events[1].raw: found an object of 0 keys; expected text"),
        (HEAD + '"trace_id": 5}', "events[1].trace_id: found the number 5; expected text of at most 1,024 characters"),
        (
            HEAD + f'"session_id": "{"s" * 1025}"}}',
            f'events[1].session_id: found a text of 1,025 characters, "{"s" * 39}…; '
            "expected text of at most 1,024 characters",
        ),
        (HEAD + '"event_id": "mine"}', 'events[1].event_id: found the text "mine"; expected a UUID, or nothing'),
        (
            HEAD + '"source": {"log_ids": ["a", true]}}',
            "events[1].source.log_ids[1]: found true; expected text of at most 1,024 characters",
        ),
        (HEAD + '"source": {"timestamp": 5}}', f"events[1].source.timestamp: found the number 5; {RFC}"),
        (HEAD + '"source": {"timestamps": [5]}}', f"events[1].source.timestamps[0]: found the number 5; {RFC}"),
        (
            HEAD + '"properties": {"a": {"b": [0, 9223372036854775808]}}}',
            "events[1].properties.a.b[1]: found the number 9223372036854775808; "
            "expected at most 64 bits, signed: send it as text",
        ),
        (
            HEAD + f'"properties": {{"a": -{"9" * 5000}}}}}',
            f"events[1].properties.a: found the number -{'9' * 39}; expected at most 64 bits, signed: send it as text",
        ),
        (
            HEAD + '"a": [NaN]}',
            "events[1].properties.a[0]: found the number NaN; expected a finite number, null, or text",
        ),
        (
            HEAD + '"a": -Infinity}',
            "events[1].properties.a: found the number -Infinity; expected a finite number, null, or text",
        ),
        (
            HEAD + '"a": 1e999}',
            "events[1].properties.a: found the number Infinity; expected a finite number, null, or text",
        ),
        (
            HEAD + f'"properties": {{"{"é" * 513}": 1}}}}',
            "events[1].properties: found a key of 1,026 bytes; expected at most 1,024",
        ),
        (HEAD + '"raw": "\udcff"}', "events[1]: found bytes that are not UTF-8, from its byte 46; expected UTF-8"),
    ],
)
def test_a_bad_event_is_told_what_is_wrong_and_its_neighbours_are_kept(event, error):
    assert refused(event) == error


@pytest.mark.parametrize("levels", [65, 500, 990, 5_000, 100_000])
@pytest.mark.parametrize("extra", ["", '"unknown": 1, '])
def test_nesting_has_a_limit(levels, extra):
    event = f'{HEAD}{extra}"properties": {{"a": {"[" * (levels - 1)}{"]" * (levels - 1)}}}}}'
    assert refused(event).endswith("found nesting of over 64 levels; expected less: send what is inside as text")


def test_64_levels_and_the_ends_of_64_bits_and_long_keys_are_kept():
    properties = f'{{"a": {"[" * 63}{"]" * 63}, "b": [{2**63 - 1}, {-(2**63)}], "{"é" * 512}": 1e308}}'
    event = decode_event(f'{HEAD} "properties": {properties}}}'.encode())
    assert event.properties == json.loads(properties)


def test_an_event_has_a_limit_in_bytes_and_a_batch_has_not():
    event = f'{HEAD}"raw": "{"x" * 100}"}}'
    size = len(event)
    assert refused(event, max_event_bytes=120) == (
        f"events[1]: found {size} bytes; expected at most 120: shorten raw or properties"
    )
    assert len(decode_batch(f'{{"events": [{event}, {event}]}}'.encode(), max_event_bytes=size).events) == 2


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"", 400, "body: not JSON: Expecting value at byte 0 of 0;"),
        (b"hello", 400, "body: not JSON: Expecting value at byte 0 of 5;"),
        (b'{"events": [', 400, "body: not JSON: Expecting value at byte 12 of 12;"),
        (b'{"events": [{}, {}', 400, "body: not JSON: Expecting ',' delimiter at byte"),
        (b'{"events": [{}, , {}]}', 400, "body: not JSON: Expecting value at byte"),
        (
            '{"events": [{"é": 1}, {"é": NaN}], oops}'.encode(),
            400,
            "body: not JSON: Expecting property name enclosed in double quotes at byte 37 of 42;",
        ),
        (b'{"events": [{}, {"a": }]}', 400, "events[1]: not JSON: Expecting value at its character 6"),
        (b'{"events": [{}, {"a": "\n"}]}', 400, "events[1]: not JSON: Invalid control character"),
        (b"\xff\xfe[\x00", 400, "body: not JSON: found bytes that are not UTF-8;"),
        (b"[" * 100_000, 400, "body: found too many brackets in brackets;"),
        (b"[]", 422, "body: found an array of 0;"),
        (b"null", 422, "body: found null;"),
        (b"{}", 422, 'events: found nothing; expected {"events": [{"timestamp": …}, …]}'),
        (b'{"events": null}', 422, "events: found null;"),
        (b'{"events": {"a": [1]}}', 422, "events: found an object of 1 key;"),
        (b'{"other": {"events": [1]}, "list": ["events", [2]]}', 422, "events: found nothing;"),
        (b'{"events": [], "options": []}', 422, "options: found an array of 0; expected a JSON object"),
        (
            b'{"events": [], "options": {"generate_embeddings": "yes"}}',
            422,
            'options.generate_embeddings: found the text "yes"; expected true or false',
        ),
    ],
)
def test_a_body_that_is_none(body, status, error):
    with pytest.raises(BadRequest) as caught:
        decode_batch(body)
    assert caught.value.status == status
    assert str(caught.value).startswith(error)


def test_options_keep_their_defaults_and_unknown_ones_are_ignored():
    assert decode_batch(b'{"events": []}').options == Options(
        auto_create_traces=True, generate_embeddings=True, extract_relationships=True
    )
    body = b'{"options": {"auto_create_traces": false, "generate_embeddings": null, "newer": 1}, "events": []}'
    assert decode_batch(body).options == Options(auto_create_traces=False)


@pytest.mark.parametrize("spoiler", ["{}", HEAD + '"a": NaN}', HEAD + '"a": 1}', HEAD + '"raw": "\\ud800"}'])
def test_the_options_arrive_whatever_the_events(spoiler):
    for body in (
        f'{{"options": {{"auto_create_traces": false}}, "events": [{spoiler}]}}',
        f'{{"events": [{spoiler}], "options": {{"auto_create_traces": false}}}}',
    ):
        assert decode_batch(body.encode()).options == Options(auto_create_traces=False)


def test_a_byte_order_mark_is_skipped():
    assert len(decode_batch(f'{{"events": [{GOOD}]}}'.encode("utf-8-sig")).events) == 1
    assert decode_event(GOOD.encode("utf-8-sig")).raw == "good"


def test_one_event_is_refused_in_the_same_words():
    with pytest.raises(BadRequest) as caught:
        decode_event(b'{"timestamp": 5}')
    assert (caught.value.status, caught.value.path) == (422, "event.timestamp")
    assert caught.value.message == f"found the number 5; {RFC}"
    with pytest.raises(BadRequest) as caught:
        decode_event(b"{")
    assert (caught.value.status, caught.value.path) == (400, "event")


texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\[]{},:\0\x1aé'), max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts.filter(bool), inner, max_size=3),
    max_leaves=8,
)


@bounded
@given(st.lists(st.dictionaries(texts.filter(bool), values, max_size=4), max_size=4), st.booleans(), st.data())
def test_events_cut_apart_are_what_they_were(properties, escaped, data):
    """A neighbour that only the tolerant way reads changes nothing in what the others are."""
    events = [{"timestamp": "2026-01-01T00:00:00Z", "properties": each} for each in properties]
    plain = decode_batch(json.dumps({"events": events}, ensure_ascii=escaped).encode())
    place = data.draw(st.integers(0, len(events)))
    strange = [*events[:place], {"timestamp": "2026-01-01T00:00:00Z", "x": float("nan")}, *events[place:]]
    cut = decode_batch(json.dumps({"events": strange}, ensure_ascii=escaped).encode())
    assert [error.index for error in cut.errors] == [place]
    assert [event.properties for event in cut.events] == [event.properties for event in plain.events]
    assert len(plain.events) == len(events)


@bounded
@given(st.binary(max_size=60) | st.text(st.sampled_from('{}[]",:\\ events0nul'), max_size=40).map(str.encode))
def test_any_bytes_are_decoded_or_refused(body):
    for whole in (body, b'{"events": [' + body + b"]}"):
        with contextlib.suppress(BadRequest):
            decode_batch(whole)
