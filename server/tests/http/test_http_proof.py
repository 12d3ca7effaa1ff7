"""What proves that all arrived, over HTTP: digests of each account's groups, and the records that are missing."""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from vectadb_server.app import application
from vectadb_server.ids import EVENTS, uuid5
from vectadb_server.times import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    from vectadb_server.services import Services

pytestmark = pytest.mark.anyio

MISSING = "/api/v1/events/missing"
DIGEST = "/api/v1/events/digest"
JSON = {"content-type": "application/json"}
ID = str(uuid.UUID(int=1))
WHEN = "2026-01-31T12:00:00Z"
DAY = {"since": "2026-01-31T00:00:00Z", "until": "2026-02-01T00:00:00Z"}


def logged(group: str, log_id: str, when: str = WHEN, *, account: str = "1", **more: Any) -> dict[str, Any]:
    source = {
        "system": "cloudwatch",
        "account": account,
        "region": "eu-central-1",
        "log_group": group,
        "log_stream": "s",
        "log_id": log_id,
        "timestamp": when,
    }
    return {"timestamp": when, "source": {**source, **more}}


def record_id(group: str, log_id: str, account: str = "1") -> str:
    return uuid5(EVENTS, ["cloudwatch", account, "eu-central-1", group, "s", log_id, "0"])


def asked(*records: tuple[str, str]) -> dict[str, Any]:
    return {"records": [{"event_id": event_id, "timestamp": when} for event_id, when in records]}


async def test_groups_of_one_name_in_two_accounts_are_counted_apart(client: Any, unique: Any) -> None:
    await client.take(*(logged(unique, "1", account=account) for account in "12"), logged(unique, "2", account="2"))
    both = (await client.ok(DIGEST, log_group=unique, **DAY))["hours"]
    assert [(hour["account"], hour["count"]) for hour in both] == [("1", 1), ("2", 2)]
    for hour in both:
        names = {name: hour[name] for name in ("system", "account", "region", "log_group")}
        assert (await client.ok(DIGEST, **names, **DAY))["hours"] == [hour]
    assert (await client.ok(DIGEST, log_group=unique, region="us-east-1", **DAY))["hours"] == []


async def test_records_are_those_held_of_one_group_and_time(client: Any, unique: Any) -> None:
    block = {
        "log_ids": ["2", "3"],
        "timestamps": [WHEN, "2026-01-31T12:00:01Z"],
    }
    await client.take(
        logged(unique, "1"),
        logged(unique, "2", **block),
        logged(unique, "4", "2026-01-31T14:00:00Z"),
        logged(unique, "5", account="2"),
    )
    names = {"system": "cloudwatch", "account": "1", "region": "eu-central-1", "log_group": unique}
    hour = {"since": "2026-01-31T12:00:00Z", "until": "2026-01-31T13:00:00Z"}
    found = await client.ok("/api/v1/events/records", **names, **hour)
    assert found["next_cursor"] is None
    assert {(each["log_id"], each["event_id"], each["timestamp"][:19]) for each in found["records"]} == {
        ("1", record_id(unique, "1"), WHEN[:-1]),
        ("2", record_id(unique, "2"), WHEN[:-1]),
        ("3", record_id(unique, "3"), "2026-01-31T12:00:01"),
    }
    assert (await client.ok("/api/v1/events/records", log_group=unique, **hour))["records"] == []


@pytest.mark.parametrize("us", [2**62 - 1, 1 - 2**62, 2**61])
async def test_a_forged_cursor_of_records_whose_time_is_of_no_day_is_answered(
    client: Any, unique: Any, us: int
) -> None:
    await client.take(logged(unique, "1"))
    forged = base64.urlsafe_b64encode(json.dumps([us, ID]).encode()).decode().rstrip("=")
    assert (await client.ok("/api/v1/events/records", log_group=unique, cursor=forged, **DAY))["records"] == []


async def test_missing_are_those_that_are_neither_events_nor_in_a_block(client: Any, unique: Any) -> None:
    midnight, before = "2026-01-31T00:00:00Z", "2026-01-30T23:59:59Z"
    block = logged(unique, "2", before, log_ids=["2", "3"], timestamps=[before, midnight])
    await client.take(logged(unique, "1"), block)
    held = [(record_id(unique, "1"), WHEN), (record_id(unique, "2"), before), (record_id(unique, "3"), midnight)]
    absent = [(record_id(unique, log_id), when) for log_id, when in (("9", WHEN), ("8", "1999-01-01T00:00:00Z"))]
    reply = await client.post(MISSING, json=asked(absent[0], *held, absent[1], absent[0]))
    assert reply.status_code == 200
    assert reply.json() == {"missing": [absent[0][0], absent[1][0]], "horizon": None}
    assert (await client.post(MISSING, json=asked())).json()["missing"] == []


async def test_ids_are_answered_as_they_were_spelt(client: Any) -> None:
    spelt = uuid.uuid4().hex.upper()
    assert (await client.post(MISSING, json=asked((spelt, WHEN)))).json()["missing"] == [spelt]


async def test_an_id_that_a_client_made_up_is_found_under_another_time(real: Any) -> None:
    mine = str(uuid.uuid4())
    await real.take({"event_id": mine, "timestamp": WHEN})
    assert (await real.post(MISSING, json=asked((mine, "2026-01-02T00:00:00Z")))).json()["missing"] == []


async def test_what_is_expired_is_not_missing(services_of: Callable[..., Services]) -> None:
    services = replace(services_of(), horizon=lambda: parse_rfc3339(WHEN))
    transport = httpx.ASGITransport(app=application(services))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        new = str(uuid.uuid4())
        reply = await client.post(MISSING, json=asked((str(uuid.uuid4()), "2026-01-31T11:59:59.999999Z"), (new, WHEN)))
    assert reply.json() == {"missing": [new], "horizon": "2026-01-31T12:00:00.000000Z"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("{", 400, "not JSON"),
        ([], 422, 'expected {"records"'),
        ({}, 422, "records"),
        ({"records": [], "since": 1}, 422, "since"),
        ({"records": [5]}, 422, "records[0]"),
        ({"records": [{"event_id": "x", "timestamp": WHEN}]}, 422, "records[0].event_id: found the text"),
        ({"records": [{"event_id": ID}]}, 422, "timestamp"),
        ({"records": [{"event_id": ID, "timestamp": "soon"}]}, 422, "records[0].timestamp"),
        ({"records": [{"event_id": ID, "timestamp": 5}]}, 422, "records[0].timestamp"),
        ({"records": [{"event_id": ID, "timestamp": WHEN, "part": 1}]}, 422, "part"),
    ],
)
async def test_a_question_of_another_shape_is_refused(fake: Any, body: Any, status: int, said: str) -> None:
    content = body if isinstance(body, str) else json.dumps(body)
    reply = await fake.post(MISSING, content=content, headers=JSON)
    assert reply.status_code == status
    assert said in reply.json()["message"]


async def test_ten_thousand_records_may_be_asked_about_and_no_more(real: Any) -> None:
    many = asked(*((str(uuid.UUID(int=n)), WHEN) for n in range(10_001)))
    reply = await real.post(MISSING, json=many)
    assert reply.status_code == 413
    assert "10,001 records" in reply.json()["message"]
    del many["records"][3]
    found = (await real.post(MISSING, content=json.dumps(many), headers=JSON)).json()["missing"]
    assert found == [record["event_id"] for record in many["records"]]
