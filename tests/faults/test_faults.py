"""The moods of what stands in for CloudWatch: each is seen by a client, and each is repeated by its seed."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from vectadb_agent.testing.cloudwatch.application import CloudWatch, served
from vectadb_agent.testing.cloudwatch.faults import Arrival, Dice, Faults, Quota, fate, most_within
from vectadb_agent.testing.cloudwatch.store import Put

if TYPE_CHECKING:
    from collections.abc import Iterator


class Client:
    """Asks as AWS's clients do, without their retries."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=20)

    def __call__(self, operation: str = "FilterLogEvents", *, key: str = "good", **request: Any) -> httpx.Response:
        headers = {
            "x-amz-target": f"Logs_20140328.{operation}",
            "authorization": f"AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/logs/aws4_request, Signature=0",
        }
        return self.http.post("/", content=json.dumps({"logGroupName": "/g"} | request), headers=headers)


@pytest.fixture
def rig() -> CloudWatch:
    rig = CloudWatch(seed=1)
    rig.put("/g", "s", [Put(rig.now, f"line {n}") for n in range(3)])
    return rig


@pytest.fixture
def client(rig: CloudWatch) -> Iterator[Client]:
    with served(rig) as url:
        client = Client(url)
        yield client
        client.http.close()


def code(answer: httpx.Response) -> str:
    return str(answer.json().get("__type", ""))


def test_fates_follow_the_seed_and_not_the_order_in_which_groups_ask() -> None:
    faults = Faults(errors=0.2, hangs=0.1, drops=0.3)

    def fates(order: list[str], seed: int = 5) -> dict[str, list[str]]:
        dice, found = Dice(seed), dict[str, list[str]]()
        for group in order:
            found.setdefault(group, []).append(fate(faults, dice.next("FilterLogEvents", group)))
        return found

    one = fates(["/a"] * 50 + ["/b"] * 50)
    assert one == fates(["/b", "/a"] * 50)
    assert one != fates(["/a"] * 50 + ["/b"] * 50, seed=6)
    assert {*one["/a"], *one["/b"]} == {"", "error", "hang", "drop", "drop_after"}


def test_errors_are_500_and_503(rig: CloudWatch, client: Client) -> None:
    rig.faults = Faults(errors=1)
    assert {client().status_code for _ in range(12)} == {500, 503}


def test_connections_are_cut(rig: CloudWatch, client: Client) -> None:
    rig.faults = Faults(drops=1)
    with pytest.raises(httpx.TransportError):
        client()


def test_a_request_hangs_and_then_the_connection_is_cut(rig: CloudWatch, client: Client) -> None:
    rig.faults = Faults(hangs=1, hang_seconds=0.05)
    with pytest.raises(httpx.TransportError):
        client()
    assert [arrival.code for arrival in rig.arrivals] == ["hang"]


def test_credentials_expire_and_are_rotated(rig: CloudWatch, client: Client) -> None:
    rig.faults = Faults(keys=["good"])
    assert client().status_code == 200
    assert code(client(key="other")) == "UnrecognizedClientException"
    rig.faults = Faults(keys=["new"], expired=["good"])
    assert code(client()) == "ExpiredTokenException"
    assert client(key="new").status_code == 200


def test_one_group_is_denied(rig: CloudWatch, client: Client) -> None:
    rig.put("/other", "s", [])
    rig.faults = Faults(denied=["/g"])
    assert code(client()) == "AccessDeniedException"
    assert client(logGroupName="/other").status_code == 200


def test_what_exceeds_the_quota_is_throttled_and_each_operation_has_its_own(rig: CloudWatch, client: Client) -> None:
    rig.faults = Faults(quota={"FilterLogEvents": 2})
    assert [code(client()) for _ in range(3)] == ["", "", "ThrottlingException"]
    assert client("DescribeLogGroups").status_code == 200
    assert [arrival.code for arrival in rig.requests("FilterLogEvents", "/g")] == ["", "", "ThrottlingException"]


def test_the_quota_counts_any_one_second() -> None:
    quota = Quota()
    refused = [quota.refuses("x", 2, at) for at in (0.0, 0.9, 0.95, 1.1, 1.2, 1.95)]
    assert refused == [False, False, True, False, True, False]


def test_most_within_finds_the_fullest_stretch() -> None:
    assert most_within([0, 1, 5, 9.5, 10, 10.5, 30], 10) == 5
    assert most_within([], 10) == 0


def test_the_date_is_right_unless_it_is_to_be_wrong(rig: CloudWatch, client: Client) -> None:
    from email.utils import parsedate_to_datetime

    assert abs(parsedate_to_datetime(client().headers["date"]).timestamp() - time.time()) < 30
    rig.faults = Faults(clock_skew=-3600)
    assert abs(parsedate_to_datetime(client().headers["date"]).timestamp() + 3600 - time.time()) < 30


def test_arrivals_go_over_the_wire_as_rows() -> None:
    assert Arrival(1.0, "a", "b", "c").code == "c"
