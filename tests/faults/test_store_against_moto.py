"""The store that stands in for CloudWatch says what moto says, where moto is right: moto is the reference."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

from vectadb_agent.testing.cloudwatch.application import CloudWatch, served
from vectadb_agent.testing.cloudwatch.faults import Dice, Faults
from vectadb_agent.testing.cloudwatch.operations import AwsError, Context, call
from vectadb_agent.testing.cloudwatch.store import PAGE_BYTES, LogStore, Put

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = int(time.time() * 1000)
STREAMS = ("s", "t", "u")
texts = st.text(min_size=1, max_size=8).filter(lambda text: text.isprintable())
puts = st.lists(
    st.tuples(st.sampled_from(STREAMS), st.lists(st.tuples(st.integers(-40, 40), texts), min_size=1, max_size=12)),
    max_size=6,
)
numbers = itertools.count()


@pytest.fixture(scope="module")
def moto() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client("logs", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        yield client
        client.close()


class Ours:
    """Our store behind the same calls."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.store = LogStore()
        self.faults = faults or Faults()
        self.dice = Dice(0)
        self.now = NOW + 1000

    def __call__(self, operation: str, **request: Any) -> dict[str, Any]:
        dice = self.dice.next(operation, request.get("logGroupName", ""))
        return call(operation, request, Context(self.store, self.faults, dice, self.now))


def read(filter_log_events: Any, group: str, **options: Any) -> list[tuple[int, str, str]]:
    found: list[Any] = []
    token: dict[str, str] = {}
    while True:
        answer = filter_log_events(logGroupName=group, **options, **token)
        found += [(event["timestamp"], event["logStreamName"], event["message"]) for event in answer["events"]]
        if not answer.get("nextToken"):
            return found
        token = {"nextToken": answer["nextToken"]}


@settings(derandomize=True, max_examples=25, deadline=None)
@given(puts, st.integers(-40, 40), st.integers(0, 40), st.sampled_from([None, ["s"], ["s", "u"]]), st.integers(1, 9))
def test_any_puts_and_any_query_give_what_moto_gives(
    moto: Any,
    batches: list[tuple[str, list[tuple[int, str]]]],
    start: int,
    length: int,
    streams: list[str] | None,
    limit: int,
) -> None:
    group = f"/g{next(numbers)}"
    ours = Ours(Faults(short=0.3, empty=0.2))
    calls = {
        "CreateLogGroup": moto.create_log_group,
        "CreateLogStream": moto.create_log_stream,
        "PutLogEvents": moto.put_log_events,
    }

    def both(operation: str, **request: Any) -> None:
        calls[operation](**request)
        ours(operation, **request)

    both("CreateLogGroup", logGroupName=group)
    for stream in STREAMS:
        both("CreateLogStream", logGroupName=group, logStreamName=stream)
    for stream, lines in batches:
        events = [{"timestamp": NOW + at, "message": text} for at, text in sorted(lines)]
        both("PutLogEvents", logGroupName=group, logStreamName=stream, logEvents=events)
    options: dict[str, Any] = {"startTime": NOW + start, "endTime": NOW + start + length}
    options |= {"logStreamNames": streams} if streams else {}
    theirs = read(moto.filter_log_events, group, interleaved=True, **options)
    found = read(lambda **request: ours("FilterLogEvents", **request), group, limit=limit, **options)
    assert sorted(found) == sorted(theirs)
    assert [at for at, _, _ in found] == [at for at, _, _ in theirs], "in the order of time"
    for stream in streams or STREAMS:
        theirs_got = moto.get_log_events(
            logGroupName=group, logStreamName=stream, startFromHead=True, startTime=NOW + start, endTime=NOW + length
        )
        # moto includes endTime here; AWS documents that it does not, and so do we.
        got = get_all(ours, group, stream, startTime=NOW + start, endTime=NOW + length + 1)
        assert sorted(got) == sorted((event["timestamp"], event["message"]) for event in theirs_got["events"])


def get_all(ours: Ours, group: str, stream: str, **options: Any) -> list[tuple[int, str]]:
    found: list[Any] = []
    token: dict[str, str] = {}
    while True:
        answer = ours("GetLogEvents", logGroupName=group, logStreamName=stream, startFromHead=True, **options, **token)
        found += [(event["timestamp"], event["message"]) for event in answer["events"]]
        if answer["nextForwardToken"] == token.get("nextToken"):
            return found
        token = {"nextToken": answer["nextForwardToken"]}


def test_an_event_is_visible_from_its_time_on_and_not_before() -> None:
    ours = Ours()
    group = ours.store.create_group("/g", NOW)
    ours.store.put(group, "s", [Put(NOW, "now"), Put(NOW + 1, "later", lag=5_000)], ours.now)
    assert [text for _, _, text in read(lambda **r: ours("FilterLogEvents", **r), "/g")] == ["now"]
    assert not group.visible(ours.now)
    ours.now += 5_000
    assert group.visible(ours.now)
    assert [text for _, _, text in read(lambda **r: ours("FilterLogEvents", **r), "/g")] == ["now", "later"]


def test_what_appears_behind_a_token_while_paging_is_not_in_later_pages_and_shifts_none() -> None:
    ours = Ours()
    group = ours.store.create_group("/g", NOW)
    ours.store.put(group, "s", [Put(NOW + n * 10, str(n)) for n in range(6)], ours.now)
    first = ours("FilterLogEvents", logGroupName="/g", limit=3)
    ours.store.put(group, "s", [Put(NOW + 5, "behind"), Put(NOW + 45, "ahead")], ours.now)
    rest = ours("FilterLogEvents", logGroupName="/g", limit=3, nextToken=first["nextToken"])
    assert [event["message"] for event in rest["events"]] == ["3", "4", "ahead"]


def test_a_page_has_at_most_10_000_events_and_one_megabyte() -> None:
    ours = Ours()
    group = ours.store.create_group("/g", NOW)
    ours.store.put(group, "many", [Put(NOW, "x")] * 10_001, ours.now)
    ours.store.put(group, "large", [Put(NOW + 1, "é" * 100_000)] * 11, ours.now)
    sizes: list[int] = []
    token: dict[str, str] = {}
    while True:
        answer = ours("FilterLogEvents", logGroupName="/g", **token)
        sizes.append(len(answer["events"]))
        assert sum(len(event["message"].encode()) + 26 for event in answer["events"]) <= PAGE_BYTES
        if "nextToken" not in answer:
            break
        token = {"nextToken": answer["nextToken"]}
    assert sizes == [10_000, 1 + 5, 5, 1]


@pytest.mark.parametrize("change", ["query", "old", "recreated", "nonsense"])
def test_a_token_is_refused_for_another_query_when_old_and_when_the_group_is_another(change: str) -> None:
    ours = Ours(Faults(token_life=60))
    group = ours.store.create_group("/g", NOW)
    ours.store.put(group, "s", [Put(NOW, "x")] * 2, ours.now)
    query = {"logGroupName": "/g", "limit": 1}
    token = ours("FilterLogEvents", **query)["nextToken"]
    assert ours("FilterLogEvents", **query, nextToken=token)["events"]
    if change == "query":
        query["endTime"] = NOW + 5
    elif change == "old":
        ours.now += 61_000
    elif change == "recreated":
        ours("DeleteLogGroup", logGroupName="/g")
        ours("CreateLogGroup", logGroupName="/g")
    else:
        token = "x"
    with pytest.raises(AwsError, match="nextToken"):
        ours("FilterLogEvents", **query, nextToken=token)


def test_ids_are_stable_unique_and_survive_a_recreated_group_in_the_ledger() -> None:
    ours = Ours()
    for _ in range(2):
        ours("CreateLogGroup", logGroupName="/g")
        ours("CreateLogStream", logGroupName="/g", logStreamName="s")
        ours("PutLogEvents", logGroupName="/g", logStreamName="s", logEvents=[{"timestamp": NOW, "message": "same"}])
        assert len(ours("FilterLogEvents", logGroupName="/g")["events"]) == 1
        ours("DeleteLogGroup", logGroupName="/g")
    ledger = ours.store.ledger()
    assert list(ledger.values()) == ["same", "same"]
    assert all(len(log_id) == 56 and log_id.isdigit() for *_, log_id in ledger)


def test_boto3_reads_lone_surrogates_and_errors_over_http() -> None:
    rig = CloudWatch()
    with served(rig) as url:
        client = boto3.client(
            "logs", endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        rig.put("/g", "s", [Put(rig.now, "half \ud800 pair")])
        assert client.filter_log_events(logGroupName="/g")["events"][0]["message"] == "half \ud800 pair"
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.filter_log_events(logGroupName="/none")
        old = {"timestamp": rig.now - 15 * 86_400_000, "message": "too old"}
        new = [{"timestamp": rig.now, "message": "good"}, {"timestamp": rig.now + 3 * 3_600_000, "message": "too new"}]
        reply = client.put_log_events(logGroupName="/g", logStreamName="s", logEvents=[old, *new])
        assert reply["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 2}
        client.close()
    assert sorted(rig.ledger().values()) == sorted(["half \ud800 pair", "good"])


def test_the_rig_s_own_doors_put_set_and_tell() -> None:
    import httpx

    rig = CloudWatch()
    with served(rig) as url, httpx.Client(base_url=url) as client:
        put = {"group": "/g", "stream": "s", "events": [[rig.now, "a"], [rig.now, "b", 60_000]]}
        assert client.post("/_rig/put", json=put).json() == {"put": 2}
        assert client.get("/_rig/visible").json() is False
        assert [row[-1] for row in client.get("/_rig/ledger").json()] == ["a", "b"]
        assert client.post("/_rig/faults", json={"errors": 1}).status_code == 200
        assert client.get("/_rig/faults").json()["errors"] == 1
        assert client.post("/_rig/faults", json={"eror": 1}).status_code == 422
        asked = client.post(
            "/", content=json.dumps({"logGroupName": "/g"}), headers={"x-amz-target": "Logs_20140328.FilterLogEvents"}
        )
        assert asked.status_code in (500, 503)
        assert [row[1:3] for row in client.get("/_rig/arrivals").json()] == [["FilterLogEvents", "/g"]]
