"""The ``vectadb`` sink asked what the server holds: the requests, and what it makes of each kind of answer."""

from __future__ import annotations

import contextlib
import json
from urllib.parse import parse_qsl, urlsplit

import pytest

from vectadb_agent import AgentReport, Holding, Holdings, LogStream
from vectadb_agent.errors import RetryableError
from vectadb_agent_sinks.encoding import encode_events
from vectadb_agent_sinks.vectadb import VectaDBConfig, VectaDBSink

pytestmark = pytest.mark.anyio

ORIGIN = LogStream("cloudwatch", "123456789012", "eu-central-1", "/aws/lambda/a b&c", "")
NAMES = {"system": "cloudwatch", "account": "123456789012", "region": "eu-central-1", "log_group": "/aws/lambda/a b&c"}
HOUR = 3_600_000_000
T0 = 1_767_225_600_000_000
"""2026-01-01."""


def sink_for(peer, **options):
    return VectaDBSink(VectaDBConfig(type="vectadb", endpoint=peer.url, **options))


def row(hour="2026-01-01T00:00:00.000000Z", count=3, digest="f" * 32, **more):
    return {**NAMES, "hour": hour, "count": count, "digest": digest, **more}


async def holdings(peer, since=T0, until=T0 + 2 * HOUR, **options):
    async with sink_for(peer, **options) as sink:
        return await sink.holdings(ORIGIN, since, until)


async def missing(peer, records, **options):
    async with sink_for(peer, **options) as sink:
        return await sink.missing(records)


def test_the_sink_says_that_it_tells():
    assert VectaDBSink.tells


async def test_holdings_are_asked_by_name_and_time(peer):
    peer.says(200, {"hours": [row(digest="0" * 31 + "a")], "horizon": "2025-12-01T00:00:00.000001Z"})
    told = await holdings(peer)
    assert told == Holdings([Holding(T0, 3, 10)], T0 - 31 * 24 * HOUR + 1)
    (request,) = peer.requests
    url = urlsplit(request.path)
    assert (request.method, url.path) == ("GET", "/api/v1/events/digest")
    assert dict(parse_qsl(url.query)) == {**NAMES, "since": "2026-01-01T00:00:00Z", "until": "2026-01-01T02:00:00Z"}


async def test_hours_of_other_origins_are_left_out(peer):
    others = [row(account="9"), row(region=""), row(log_group="/x"), row(system="s")]
    peer.says(200, {"hours": [*others, row(hour="2026-01-01T01:00:00Z")], "horizon": None})
    assert await holdings(peer) == Holdings([Holding(T0 + HOUR, 3, 2**128 - 1)], None)


async def test_a_long_time_is_asked_about_in_stretches_that_join(peer):
    years = 365 * 24 * HOUR
    for _ in range(3):
        peer.says(200, {"hours": [row()], "horizon": None})
    assert len((await holdings(peer, T0, T0 + years)).hours) == 3
    asked = [dict(parse_qsl(urlsplit(request.path).query)) for request in peer.requests]
    assert asked[0]["since"] == "2026-01-01T00:00:00Z"
    assert asked[-1]["until"] == "2027-01-01T00:00:00Z"
    assert [query["until"] for query in asked[:-1]] == [query["since"] for query in asked[1:]]


async def test_a_report_is_passed_on_and_a_server_that_knows_none_is_left_alone(peer):
    told = AgentReport("host:/state", "1", [], [])
    peer.says(200, {"at": "2026-01-01T00:00:00Z"})
    peer.says(404, {"error": "not_found", "message": "nothing there"})
    peer.says(403, {"error": "forbidden", "message": "no scope"})
    async with sink_for(peer) as sink:
        await sink.report(told)
        await sink.report(told)
        with pytest.raises(RetryableError, match="no scope"):
            await sink.report(told)
    request = peer.requests[0]
    assert (request.method, request.path) == ("POST", "/api/v1/agents/reports")
    assert request.json == {"agent": "host:/state", "version": "1", "reasons": [], "readings": []}


async def test_missing_asks_by_id_and_time(peer):
    peer.says(200, {"missing": ["b"], "horizon": None})
    assert await missing(peer, [("a", T0), ("b", T0 + 1)]) == {"b"}
    (request,) = peer.requests
    assert (request.method, request.path) == ("POST", "/api/v1/events/missing")
    assert request.json == {
        "records": [
            {"event_id": "a", "timestamp": "2026-01-01T00:00:00Z"},
            {"event_id": "b", "timestamp": "2026-01-01T00:00:00.000001Z"},
        ]
    }


@pytest.mark.parametrize(("compress", "encoding"), [(True, "gzip"), (False, None)])
async def test_a_long_question_is_gzipped(peer, compress, encoding):
    peer.says(200, {"missing": [], "horizon": None})
    assert await missing(peer, [(f"id-{n}", T0 + n) for n in range(10_000)], compress=compress) == set()
    assert peer.requests[0].headers.get("content-encoding") == encoding
    assert len(peer.requests[0].json["records"]) == 10_000


async def test_nothing_is_asked_about_no_records(peer):
    assert await missing(peer, []) == set()
    assert peer.requests == []


async def test_a_time_that_cannot_be_written_is_not_asked_about(peer):
    peer.says(200, {"missing": [], "horizon": None})
    assert await missing(peer, [("a", 10**20), ("b", T0)]) == set()
    assert [record["event_id"] for record in peer.requests[0].json["records"]] == ["b"]
    with pytest.raises(RetryableError, match="1…9999"):
        await holdings(peer, 10**20, 10**20 + 1)


# --- Answers that are none

OLD = {"hours": [{"log_group": "/g", "hour": "2026-01-01T00:00:00Z", "count": 1, "digest": "0" * 32}], "horizon": None}
OURS = {"error": "x", "message": "that is how it is"}


@pytest.mark.parametrize("ask", [holdings, lambda peer: missing(peer, [("a", T0)])], ids=["holdings", "missing"])
@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, OURS, "too old to compare; update it"),
        (405, OURS, "too old to compare; update it"),
        (400, OURS, "that is how it is"),
        (401, OURS, "api_key"),
        (413, OURS, "413"),
        (422, OURS, "that is how it is"),
        (429, OURS, "429"),
        (503, OURS, "503"),
        (200, b"<html>", "proxy"),
        (200, {}, "proxy"),
        (200, {"hours": 1, "missing": 1}, "proxy"),
        (200, {"hours": [], "missing": [], "horizon": "2026-01-01T00:00:00"}, "proxy"),
    ],
)
async def test_every_failure_may_pass_and_says_what_to_do(peer, ask, status, body, words):
    peer.says(status, body)
    with pytest.raises(RetryableError) as caught:
        await ask(peer)
    assert peer.url in str(caught.value)
    assert words in str(caught.value)


async def test_a_digest_without_accounts_is_too_old(peer):
    peer.says(200, OLD)
    with pytest.raises(RetryableError, match="too old to compare"):
        await holdings(peer)


@pytest.mark.parametrize("wrong", [{"digest": "f" * 31}, {"digest": "G" * 32}, {"count": -1}, {"hour": "today"}])
async def test_a_digest_that_is_none_is_not_believed(peer, wrong):
    peer.says(200, {"hours": [row(**wrong)], "horizon": None})
    with pytest.raises(RetryableError, match="not as VectaDB does"):
        await holdings(peer)


async def test_an_answer_about_other_records_is_not_believed(peer):
    peer.says(200, {"missing": ["b"], "horizon": None})
    with pytest.raises(RetryableError, match="not asked about"):
        await missing(peer, [("a", T0)])


# --- Beside that


async def test_read_at_goes_onto_the_wire(peer, make_event):
    events = [make_event(0), make_event(1, read_at=T0 + 1)]
    lines = encode_events(events).lines
    assert [json.loads(line) for line in lines] == [event.wire() for event in events]
    async with sink_for(peer) as sink:
        await sink.write(events)
    first, second = (event["source"] for event in peer.requests[0].json["events"])
    assert "read_at" not in first
    assert second["read_at"] == "2026-01-01T00:00:00.000001Z"


async def test_figures_count_requests_by_how_they_ended(peer, make_event):
    for status in (503, 401, 429, 200):
        peer.says(status, {"missing": []})
    peer.says(200, send=5)
    async with sink_for(peer) as sink:
        for _ in range(4):
            with contextlib.suppress(RetryableError):
                await sink.missing([("a", T0)])
        with pytest.raises(RetryableError):
            await sink.write([make_event()])
        figures = list(sink.figures())
    outcomes = {dict(figure.labels)["outcome"]: figure.value for figure in figures if figure.labels}
    assert outcomes == {"ok": 1, "refused": 1, "unavailable": 2, "unanswered": 1}
    others = {figure.name: figure.value for figure in figures if not figure.labels}
    assert others["sink_sent_bytes_total"] == sum(len(request.raw) for request in peer.requests)
    assert others["sink_request_seconds_total"] > 0
    assert all(figure.kind == "counter" and figure.name.endswith("_total") and figure.help for figure in figures)
