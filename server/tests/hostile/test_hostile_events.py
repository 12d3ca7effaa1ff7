"""Hostile content in every field of an event, through a real server: stored faithfully, or refused by itself."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from server.tests.hostile import contents
from server.tests.hostile.rule import BATCH, FIELDS, ONE, SOURCE, TIME, Server, event, same

RAW = ("raw",)
STREAM = {"log_group": "g", "log_stream": "s"}


def with_source(**source: Any) -> str:
    return event(source={**STREAM, **source})


@pytest.mark.parametrize("name", FIELDS)
def test_any_text_in_a_name(server: Server, name: str) -> None:
    taken = server.judge(*(event(**{name: text}) for text in contents.TEXTS.values()))
    assert None not in taken
    assert server.judge(event(**{name: contents.TOO_LONG})) == [None]


@pytest.mark.parametrize("name", SOURCE)
def test_any_text_in_the_source(server: Server, name: str) -> None:
    events = [
        with_source(**{"log_id": f"{name} {number}", "timestamp": TIME, name: text})
        for number, text in enumerate(contents.TEXTS.values())
    ]
    server.judge(*events)
    assert server.judge(with_source(**{name: contents.TOO_LONG})) == [None]


def test_windows_of_streams_with_hostile_names(server: Server) -> None:
    """A start whose stream's name held the separator of stream keys stopped the indexing of its day for good."""
    for number, text in enumerate(contents.TEXTS.values()):
        source = dict.fromkeys(("system", "account", "region", "log_group", "log_stream"), text)
        texts = [
            event(event_type=kind, source={**source, "log_id": f"window {number} {kind}", "timestamp": TIME})
            for kind in ("invocation_start", "agent_start", "log", "agent_end", "invocation_end")
        ]
        assert None not in server.judge(*texts)
    server.settle()


def test_a_source_of_nothing_but_hostile_texts(server: Server) -> None:
    for text in contents.TEXTS.values():
        source = dict.fromkeys(SOURCE, text) | {"part": "0"}
        whole = dict.fromkeys(FIELDS, text)
        server.judge(event(**whole, raw=text, properties={text or "e": text}, source=source))


def test_every_list_finds_what_was_stored_under_a_hostile_name(server: Server) -> None:
    for key, text in contents.TEXTS.items():
        if not text:
            continue
        mark = f"listed {key}"
        source = {**STREAM, "log_id": mark, "log_group": f"{text}1"[:1024], "log_stream": text}
        fields = {"session_id": text, "agent_id": text, "trace_id": text, "event_type": text}
        [event_id] = server.judge(event(**fields, raw=mark, source=source, properties={"for": mark}))
        got = server.get(f"{ONE}/{event_id}")
        # A filter takes the name as replies have it.
        filters = {"session": got["session_id"], "agent": got["agent_id"], "type": got["event_type"]}
        filters |= {"log_group": got["source"]["log_group"], "log_stream": got["source"]["log_stream"]}
        filters["trace"] = got["trace_id"]
        for some in [*({name: value} for name, value in filters.items()), filters]:
            found = [each["event_id"] for each in server.get(ONE, limit=1000, **some)["events"]]
            assert event_id in found, (key, some)
        server.settle()
        whole = server.get(f"/api/v1/traces/{got['trace_id']}")
        assert event_id in [each["event_id"] for each in whole["events"]], key
        for some in ({"session": got["session_id"]}, {"agent": got["agent_id"]}):
            traces = server.get("/api/v1/traces", limit=1000, **some)["traces"]
            assert got["trace_id"] in [trace["trace_id"] for trace in traces], (key, some)
        for mode in ("hybrid", "semantic", "text"):
            reply = server.ask("POST", "/api/v1/search", json={"query": mark, "mode": mode, "filters": filters})
            assert event_id in [each["event"]["event_id"] for each in reply.json()["results"]], (key, mode)


def test_an_event_id_is_a_uuid_or_refused(server: Server) -> None:
    for text in contents.TEXTS.values():
        [taken] = server.judge(event(event_id=text))
        assert (taken is None) == bool(text)
    for text in (*contents.KEYS, contents.TOO_LONG, "{%s}" % ("0" * 32), "urn:uuid:" + "0" * 32, "٣" * 32, "0" * 33):
        assert server.judge(event(event_id=text)) == [None]
    odd = "00000000-0000-0000-0000-00000000000A"
    assert server.judge(event(event_id=odd)) == [odd.lower()]
    assert server.judge(event(event_id="f" * 32)) == ["ffffffff-ffff-ffff-ffff-ffffffffffff"]
    for path in (*contents.TEXTS.values(), *contents.KEYS):
        quoted = "".join(f"%{byte:02x}" for byte in path.encode("utf-8", "surrogatepass"))
        server.ask("GET", f"{ONE}/{quoted}")
        server.ask("GET", f"/api/v1/traces/{quoted}")


def test_any_text_in_raw_and_properties(server: Server) -> None:
    told = (
        "message",
        "gen_ai.tool.name",
        "gen_ai.tool.call.arguments",
        "error.type",
        "level",
        "path",
        "role",
        "span_id",
    )
    kinds = (
        "log",
        "tool_call",
        "tool_result",
        "llm_end",
        "agent_start",
        "error",
        "query",
        "message",
        "invocation_start",
    )
    for key, text in contents.TEXTS.items():
        events = [event(raw=text), event(properties={"text": text}), event(properties={"list": [text, {"in": text}]})]
        events += [
            event(event_type=kind, trace_id=f"told {key}", raw=text, properties=dict.fromkeys(told, text))
            for kind in kinds
        ]
        events += [event(properties={text: 1, "in": {text: 2}, "a": 3})] if text else []
        taken = server.judge(*events)
        assert None not in taken[: 3 + len(kinds)]


def test_keys(server: Server) -> None:
    assert None not in server.judge(*(event(properties={key: key, "in": {key: [1]}}) for key in contents.KEYS))
    # At the top of an event, what is unknown goes to its properties.
    unknown = [key for key in contents.KEYS if key not in ("source", "properties")]
    assert None not in server.judge(*(event(**{key: {"kept": 1}}) for key in unknown))
    assert None not in server.judge(*(event(properties={key: 1}, **{key: {"kept": 1}}) for key in unknown))
    assert None not in server.judge(event(properties={"k" * 1024: 1}))
    # A tool's arguments may have a key without a name: `{"": []}` is JSON.
    nameless = (event(properties={"": 1}), event(properties={"in": [{"": 1}]}), event(**{"": 1}))
    assert None not in server.judge(*nameless)
    for key in ("k" * 1025, "é" * 513, "k" * 1_000_000):
        assert server.judge(event(properties={key: 1}), event(properties={"in": [{key: 1}]})) == [None, None]


def test_numbers(server: Server) -> None:
    taken = server.take(
        *(f'{{"timestamp":"{TIME}","properties":{{"v":{value}}}}}' for value in contents.VALUES.values())
    )
    for (key, text), event_id in zip(contents.VALUES.items(), taken, strict=True):
        refused = key in ("2^63", "-2^63 - 1", "2^64", "2^70", "-2^70") or "digits" in key
        refused |= key in ("1e309", "1e400", "-1e400", "huge exponent") or "nan" in key.lower() or "inf" in key.lower()
        assert (event_id is None) == refused, key
        if event_id is not None:
            got = server.get(f"{ONE}/{event_id}")["properties"]["v"]
            assert key.startswith("duplicate") or same(json.loads(text), got), (key, got)
    server.settle()


@pytest.mark.parametrize("place", ["raw", "timestamp", "properties", "source", "event_id", *FIELDS])
def test_numbers_where_none_belong(server: Server, place: str) -> None:
    """Each is refused by itself; neighbours are stored."""
    fields = {"timestamp": f'"{TIME}"'}
    texts = [
        "{" + ",".join(f'"{k}":{v}' for k, v in {**fields, place: value}.items()) + "}"
        for value in contents.VALUES.values()
    ]
    first, *taken, last = server.take(event(raw="before"), *texts, event(raw="after"))
    assert first
    assert last
    for (key, value), event_id in zip(contents.VALUES.items(), taken, strict=True):
        fits = value == "null" if place != "properties" else value[0] == "{" or value == "null"
        assert (event_id is not None) == (
            (fits and place != "timestamp")
            or (place == "source" and value == "{}")
            or (place == "source" and "dup" in key)
        ), (place, key)


def test_what_is_no_json_spoils_its_batch_at_most(server: Server) -> None:
    for bad in contents.BAD_VALUES:
        odd = f'{{"timestamp":"{TIME}","properties":{{"v":{bad}}}}}'
        reply = server.ask("POST", BATCH, content=f'{{"events":[{event()},{odd},{event()}]}}')
        if reply.status_code == 200:
            assert reply.json()["statuses"] == ["accepted", "failed", "accepted"]
        else:
            assert reply.status_code == 400


def test_wrong_types(server: Server) -> None:
    for place in ("raw", "timestamp", "event_id", *FIELDS):
        taken = server.judge(*(event(**{place: value}) for value in contents.WRONG_TYPES))
        assert set(taken) == {None}, place
    for value in contents.WRONG_TYPES:
        taken = server.judge(event(source=value), event(properties=value))
        assert taken == [None, None] or isinstance(value, dict)
        for name in (*SOURCE, "timestamp", "ingestion_time"):
            assert server.judge(with_source(**{name: value})) == [None]
        for name in ("log_ids", "timestamps", "parts"):
            if value != []:
                assert server.judge(with_source(log_id="x", **{name: [value]})) == [None]
    for odd in ("1", "null", "[]", '"event"', "true", "NaN", "[" * 100 + "]" * 100):
        assert server.take(event(), odd, event())[1] is None


@pytest.mark.parametrize("of", ["[", "{"])
def test_nesting(server: Server, of: str) -> None:
    for depth in (10, 60, 63, 64, 65, 200, 1_000, 10_000, 100_000):
        deep = f'{{"timestamp":"{TIME}","properties":{{"v":{contents.nested(depth, of=of)}}}}}'
        taken = server.take(event(raw="before"), deep, event(raw="after"))
        assert taken[0]
        assert taken[2]
        assert (taken[1] is not None) == (depth < 64), depth
        if taken[1] is not None:
            assert same(json.loads(deep)["properties"], server.get(f"{ONE}/{taken[1]}")["properties"])
        for place in ("raw", "source", "timestamp", "event_id", "unknown"):
            odd = f'{{"timestamp":"{TIME}","{place}":{contents.nested(depth, of=of)}}}'
            taken = server.take(event(), odd, event())
            assert taken[0]
            assert taken[2]
        # As text it is inert, also where the server looks into a tool's input.
        text = contents.nested(depth, of=of)
        told = (("tool_call", "tool_input"), ("tool_result", "tool_output"), ("log", "message"))
        server.judge(
            *(
                event(
                    timestamp=f"2026-03-01T12:00:0{second}Z",
                    event_type=kind,
                    trace_id=f"deep {depth} {of}",
                    raw=text,
                    properties={"tool_name": "t", name: text},
                )
                for second, (kind, name) in enumerate(told)
            )
        )
        server.settle()
        whole = server.get(f"/api/v1/traces/deep {depth} {of}")
        assert len(whole["spans"]) == 1
    server.settle()


def test_deep_json_in_a_tools_input_of_a_large_trace(server: Server) -> None:
    """Spans of a large trace are built beside the event loop, with another stack."""
    events = [
        event(event_type="tool_call", trace_id="deep large", properties={"tool_input": contents.nested(depth)})
        for depth in (500, 800, 900, 930, 950, 960, 970, 980, 985, 990, 995)
    ]
    server.judge(*events)
    server.take(*(event(trace_id="deep large", raw=str(n)) for n in range(600)))
    server.settle()
    assert len(server.get("/api/v1/traces/deep large")["spans"]) == len(events)


@pytest.mark.parametrize("place", ["timestamp", "source.timestamp", "source.ingestion_time", "source.timestamps"])
def test_times_at_the_edges(server: Server, place: str) -> None:
    def made(number: int, text: str) -> str:
        if place == "timestamp":
            return event(timestamp=text)
        name = place.partition(".")[2]
        if name == "timestamps":
            ids = [f"{number} head", f"{number} next"]
            return with_source(log_id=ids[0], log_ids=ids, timestamps=[text, text])
        return with_source(log_id=f"{name} {number}", **{name: text})

    taken = server.judge(*(made(number, text) for number, text in enumerate(contents.TIMES)))
    for (text, fits), event_id in zip(contents.TIMES.items(), taken, strict=True):
        assert (event_id is not None) == fits, text
        if event_id is not None and place == "timestamp":
            assert datetime.fromisoformat(server.get(f"{ONE}/{event_id}")["timestamp"]) == moment(text), text
    server.settle()


def moment(text: str) -> datetime:
    text, late = text.upper(), ":60" in text
    found = datetime.fromisoformat(text.replace(":60", ":59"))
    return (found if found.tzinfo else found.replace(tzinfo=UTC)) + timedelta(seconds=late)


def test_figures_beyond_sense(server: Server) -> None:
    """Durations and tokens without bound do not put a trace's start outside of time."""
    names = ("duration_ms", "faas.duration_ms", "latency_ms", "gen_ai.usage.input_tokens", "output_tokens")
    values = (2**53 - 1, 2**53, 2**63 - 1, -(2**63), -1, 1e308, 5e-324, 1e15, 1e12, 0.1)
    kinds = ("llm_end", "tool_result", "invocation_end", "agent_end", "retrieval", "log")
    for kind in kinds:
        events = [
            event(event_type=kind, trace_id=f"figures {kind} {value}", properties=dict.fromkeys(names, value))
            for value in values
        ]
        assert None not in server.judge(*events)
    many = [
        event(event_type="llm_end", trace_id="many tokens", properties={"input_tokens": 2**53 - 1}, raw=str(n))
        for n in range(30)
    ]
    assert None not in server.take(*many)
    server.settle()
    for trace in server.pages("/api/v1/traces", "traces"):
        assert trace["start"] > "1968"
        assert trace["tokens"]["input"] is None or trace["tokens"]["input"] < 2**53


def test_large_texts(server: Server) -> None:
    mega = 1_000_000
    for text in (
        "x" * mega,
        "é" * mega,
        "word " * (mega // 5),
        "\U0001f600" * (mega // 4),
        "\n" * mega,
        '"' * (mega - 1),
    ):
        [taken] = server.judge(json.dumps({"timestamp": TIME, "raw": text}, ensure_ascii=False))
        assert taken, text[:10]
    assert server.judge(event(properties={"message": "y" * mega})) != [None]
    # Beyond the limit for one event it is refused, and its neighbours are not.
    assert server.judge(event(raw="x" * (9 * mega))) == [None]
    # Records of a megabyte that JSON makes six of, and JSON lines that are sent twice.
    assert None not in server.judge(event(raw="\x1b" * mega))
    assert None not in server.judge(event(raw="{" + "y" * mega, properties={"message": "y" * mega}))


def test_huge_numbers_of_properties(server: Server) -> None:
    many = {f"key {number}": number for number in range(50_000)}
    assert server.judge(event(properties=many), event(properties={"list": list(range(100_000))})) != [None, None]
    server.judge(event(properties={"wide": [{} for _ in range(100_000)]}))
    server.judge(event(**{f"unknown {number}": number for number in range(20_000)}))


def test_the_same_through_the_route_for_one_event(server: Server) -> None:
    for text in contents.TEXTS.values():
        body = event(raw=text, agent_id=text, properties={"text": text})
        reply = server.ask("POST", ONE, content=body)
        assert reply.status_code == 200
        got = server.get(f"{ONE}/{reply.json()['event_id']}")
        assert same(json.loads(body)["raw"], got["raw"])
    for value in (*contents.VALUES.values(), *contents.BAD_VALUES, contents.nested(10_000)):
        server.ask("POST", ONE, content=f'{{"timestamp":"{TIME}","properties":{{"v":{value}}}}}')
        server.ask("POST", ONE, content=value)
