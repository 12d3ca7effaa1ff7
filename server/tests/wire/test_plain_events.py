"""Plain events, as ``vectadb-native`` reads them, are what this package makes of them; all others are left to it."""

import json
from types import SimpleNamespace

import cbor2
import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server import plain
from vectadb_server.arrivals import arriving, homeless
from vectadb_server.attribution import Boundaries, attribute, boundary_of
from vectadb_server.planning import all_new
from vectadb_server.stores import engine
from vectadb_server.wire import BadRequest, Options, decode_batch

compiled = pytest.mark.skipif(not plain.installed(), reason="vectadb-native is not installed: there is no cargo")

NOW = 1_796_000_000_123_456
LIMIT = 2**23
SOURCE = {
    "system": "cloudwatch",
    "account": "123456789012",
    "region": "eu-central-1",
    "log_group": "/aws/lambda/f",
    "log_stream": "2026/01/31/[$LATEST]0",
    "log_id": "37",
    "timestamp": "2026-01-31T12:00:00.000001Z",
    "ingestion_time": "2026-01-31T12:00:01.5Z".replace(".5Z", ".500Z"),
}
EVENT = {
    "timestamp": "2026-01-31T12:00:00Z",
    "event_type": "tool_call",
    "properties": {"level": "INFO", "n": [1, -2, 0.5, None, True], "deep": {"é": '"\\\n'}, "empty": [{}, []]},
    "raw": 'a line, "quoted"\n\twith all',
    "trace_id": "t",
    "request_id": "r",
    "session_id": "s",
    "agent_id": "bot",
    "parent_event_id": "p",
    "source": SOURCE,
}


def body_of(*events, ascii_only=False):
    return json.dumps({"events": events}, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")


def made_of(events):
    """The transactions that store the events, by day, with the rows in the engine's form."""
    for event in events:
        event.created_at = NOW
    attribute(events, Boundaries([each for event in events if (each := boundary_of(event))]), auto_create_traces=True)
    return all_new(events, [arriving(event, {}) for event in events], Options())


def both(body):
    """The batch as it is usually decoded and with plain events told apart, which say the same."""
    usual = decode_batch(body, idempotency_key="k")
    decoded = decode_batch(body, idempotency_key="k", now=NOW)
    assert (decoded.errors, decoded.options) == (usual.errors, usual.options)
    events = dict(zip(usual.indexes, usual.events, strict=True))
    assert decoded.indexes == usual.indexes
    if decoded.among is None:
        assert decoded.events == usual.events
        return usual, decoded
    found = decoded.among.plain
    assert decoded.events == [events[index] for index in decoded.among.others]
    assert decoded.among.all(decoded.events) == usual.events
    same = [events[index] for index in found.indexes]
    assert homeless(same) == {}
    assert [boundary_of(event) for event in same] == [None] * len(same)
    [(day, write)] = made_of(same).items()
    assert b"".join(cbor2.dumps(row) for row in write.insert) == found.rows
    assert [event.event_id for event in same] == found.ids
    assert [event.trace for event in same] == found.traces
    quick = all_new([], [], Options(), found)[day]
    assert (quick.least, quick.most, found.recorded) == (write.least, write.most, min(e.recorded for e in same))
    assert (quick.entry, quick.inserted, quick.boundaries, quick.agents) == (write.entry, write.inserted, [], [])
    assert [[*row["id"][:-1], row["n"], row["sum"]] for row in quick.digest] == [
        [*row["id"][:-1], row["n"], row["sum"]] for row in write.digest
    ]
    assert minutes_of(quick) == minutes_of(write)
    return usual, decoded


def minutes_of(write):
    return sorted((row["id"][0], json.loads(row["body"]), json.loads(row.get("named", "{}"))) for row in write.minutes)


def is_plain(event):
    _, decoded = both(body_of(event, ascii_only=True))
    return decoded.among is not None


def nested(levels):
    return json.loads("[" * levels + "]" * levels)


@compiled
def test_a_record_that_names_its_trace_is_plain():
    assert is_plain(EVENT)
    assert is_plain({**EVENT, "raw": "\x1b[31mred\x1b[0m, as of /path, \\/path"})
    assert both(body_of(EVENT).replace(b'"raw": "a line', b'"raw": "a\\/line'))[1].among is not None
    small = {
        "timestamp": EVENT["timestamp"],
        "trace_id": "t",
        "source": {name: SOURCE[name] for name in ("log_id", "timestamp")},
    }
    assert is_plain(small)
    assert is_plain({**small, "trace_id": "", "request_id": "r"})
    assert is_plain({**small, "properties": {"x": nested(63), "k" * 256: 2**63 - 1}})
    assert is_plain({**small, "trace_id": None, "session_id": "s", "properties": None, "raw": "", "event_type": ""})


@compiled
def test_names_are_plain_as_they_are_and_not_with_escapes():
    strange = {**EVENT, "agent_id": "Zoë", "source": {**SOURCE, "log_group": "/é/日本"}}
    assert both(body_of(strange))[1].among is not None
    assert both(body_of(strange, ascii_only=True))[1].among is None


@compiled
@pytest.mark.parametrize(
    "trace_id", ["0C8C1B3E-3F0A-5F7E-8D53-0D6F3C0F4A11", "0c8c1b3e3f0a5f7e8d530d6f3c0f4a11", "+" * 32]
)
def test_a_trace_that_is_named_by_a_uuid(trace_id):
    assert is_plain({**EVENT, "trace_id": trace_id})


@compiled
@pytest.mark.parametrize(
    "time",
    ["1970-01-01T00:00:00Z", "2000-02-29T23:59:59.999Z", "2100-02-28T00:00:00.000001Z", "2200-12-31T23:59:59.999999Z"],
)
def test_times_of_the_usual_forms(time):
    assert is_plain({**EVENT, "timestamp": time, "source": {**SOURCE, "timestamp": time, "ingestion_time": time}})


@compiled
@pytest.mark.parametrize(
    "other",
    [
        {"timestamp": "2100-02-29T00:00:00Z"},
        {"timestamp": "2026-01-31T12:00:60Z"},
        {"timestamp": "2026-01-31 12:00:00"},
        {"timestamp": "2201-01-01T00:00:00Z"},
        {"timestamp": None},
        {"event_type": "agent_start"},
        {"event_type": "error"},
        {"event_type": "t" * 1025},
        {"properties": {"run_boundary": "next"}},
        {"properties": {"x": 2**63}},
        {"properties": {"x": 2**70}},
        {"properties": {"k" * 257: 1}},
        {"properties": {"x": nested(64)}},
        {"properties": []},
        {"raw": "a\0b"},
        {"raw": 5},
        {"raw": ["a"]},
        {"raw": "\ud800"},
        {"raw": "\x1a"},
        {"agent_id": "a\x1f"},
        {"trace_id": "", "request_id": "", "session_id": ""},
        {"trace_id": 'with "quotes"'},
        {"trace_id": 5},
        {"event_id": "0c8c1b3e-3f0a-5f7e-8d53-0d6f3c0f4a11"},
        {"unknown": 1},
        {"source": None},
        {"source": {**SOURCE, "log_id": ""}},
        {"source": {**SOURCE, "timestamp": None}},
        {"source": {**SOURCE, "part": "1"}},
        {"source": {**SOURCE, "log_ids": ["37", "38"]}},
        {"source": {**SOURCE, "log_ids": []}},
        {"source": {**SOURCE, "read_at": "2026-01-31T12:00:00Z"}},
        {"source": {**SOURCE, "log_group": "a\tb"}},
        {"source": {**SOURCE, "shard": 1}},
    ],
)
def test_what_is_unusual_is_left_to_others(other):
    assert not is_plain({**EVENT, **other})
    # And its neighbours are as plain as before.
    _, decoded = both(body_of(EVENT, {**EVENT, **other}, EVENT, ascii_only=True))
    assert decoded.among.plain.indexes == [0, 2]


@compiled
def test_an_event_that_knows_its_id_is_plain():
    [event_id] = plain.read(body_of(EVENT), NOW, LIMIT).ids
    assert is_plain({**EVENT, "event_id": event_id})
    assert not is_plain({**EVENT, "event_id": event_id.upper()})


@compiled
def test_plain_events_of_a_batch_are_of_one_day():
    late = {**SOURCE, "timestamp": "2026-02-01T00:00:00.000000Z"}
    _, decoded = both(body_of(EVENT, {**EVENT, "source": late}, EVENT))
    assert decoded.among.plain.indexes == [0, 2]


@compiled
def test_duplicate_keys_are_left_to_others():
    twice = body_of(EVENT).replace(b'"raw":', b'"raw": "first", "raw":')
    assert both(twice)[1].among is None
    inside = body_of(EVENT).replace(b'"level":', b'"level": "first", "level":')
    decoded = decode_batch(inside, now=NOW)
    row = engine.unpacked(decoded.among.plain.rows)
    assert msgspec.json.decode(row["body"])["properties"]["level"] == "INFO"
    assert decoded.among.all([]) == decode_batch(inside).events


@compiled
def test_batches_with_options_or_of_another_shape_are_left_to_others():
    assert plain.read(body_of(EVENT), NOW, LIMIT) is not None
    assert plain.read(body_of(EVENT)[:-1] + b', "options": null, "x": [1]}', NOW, LIMIT) is not None
    for body in (
        body_of(EVENT)[:-1] + b', "options": {"generate_embeddings": false}}',
        body_of(EVENT)[:-1] + b', "events": []}',
        body_of(EVENT)[:-1],
        body_of(EVENT) + b"x",
        b"[]",
        b'{"events": []}',
        b'{"events": null}',
        b"\xff",
    ):
        assert plain.read(body, NOW, LIMIT) is None
    assert plain.read(body_of(EVENT), NOW, 100) is None


@compiled
def test_more_events_than_may_be_are_refused():
    with pytest.raises(BadRequest) as caught:
        decode_batch(body_of(EVENT, EVENT), max_events=1, now=NOW)
    assert caught.value.status == 413


texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\/\n\t\x08\x0c\x0b\x1f\x7f\0\x1aé'), max_size=12
)
numbers = st.integers(-(2**64), 2**64) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
times = st.datetimes().map(lambda at: f"{at.isoformat()}Z") | st.sampled_from(
    [EVENT["timestamp"], "2026-01-31T23:59:59.999999Z", "2026-02-30T00:00:00Z", "1969-12-31T23:59:59Z"]
)
names = st.none() | texts | st.sampled_from(["a", "b", "0c8c1b3e-3f0a-5f7e-8d53-0d6f3c0f4a11"])
records = st.fixed_dictionaries(
    {"log_id": st.integers(0, 9**20).map(str), "timestamp": st.just(SOURCE["timestamp"]) | times},
    optional={
        **dict.fromkeys(("system", "account", "region", "log_group", "log_stream"), names),
        "ingestion_time": times,
        "part": st.sampled_from([None, "0", "0", "1", "0.1"]),
    },
)
events = st.fixed_dictionaries(
    {"timestamp": st.just(EVENT["timestamp"]) | times, "source": records},
    optional={
        **dict.fromkeys(("trace_id", "request_id", "session_id", "agent_id", "parent_event_id", "raw"), names),
        "event_type": names | st.sampled_from(["log", "error", "agent_end"]),
        "properties": st.none() | st.dictionaries(texts | st.just("run_boundary"), values, max_size=4),
    },
)


@compiled
@settings(derandomize=True, max_examples=600, deadline=None)
@given(st.lists(events | events | values, min_size=1, max_size=5), st.booleans())
def test_whatever_the_events_both_ways_say_the_same(batch, ascii_only):
    both(body_of(*batch, ascii_only=ascii_only))


@compiled
@settings(derandomize=True, max_examples=200, deadline=None)
@given(
    st.binary(max_size=60) | st.text(st.sampled_from('{}[]",:\\ events0nul'), max_size=40).map(str.encode), st.data()
)
def test_any_bytes_are_read_or_left(body, data):
    whole = body_of(EVENT)
    place = data.draw(st.integers(0, len(whole)))
    plain.read(body, NOW, LIMIT)
    plain.read(whole[:place] + body + whole[place:], NOW, LIMIT)


@compiled
def test_floats_are_the_same_in_every_digit():
    floats = [0.1 + 0.2, 1e16, 1e-7, 5e-324, 123456789.12345679, -0.0, 9007199254740993.0, 2.5e17]
    found = decode_batch(body_of({**EVENT, "properties": {"all": floats}}), now=NOW).among
    assert found is not None
    rows = engine.unpacked(found.plain.rows)
    assert msgspec.json.decode(rows["body"])["properties"]["all"] == floats


def test_one_that_makes_other_rows_is_not_used(monkeypatch):
    monkeypatch.setattr(plain, "_native", SimpleNamespace(FORM=plain.FORM + 1))
    assert not plain.installed()
    assert plain.read(body_of(EVENT), NOW, LIMIT) is None
    assert plain.misfit() == (
        "vectadb-native makes rows of form 2, and this server those of form 1: it is not used. "
        "Next: pip install 'vectadb-server[native]'"
    )


def test_without_it_every_event_goes_the_usual_way(monkeypatch):
    monkeypatch.setattr(plain, "_native", None)
    assert plain.misfit() is None
    decoded = decode_batch(body_of(EVENT), now=NOW)
    assert (decoded.among, decoded.indexes, len(decoded.events)) == (None, [0], 1)
