"""How the server and its agents are: what agents report, and what is shown of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.anyio
REPORTS, DETAILS = "/api/v1/agents/reports", "/health/details"
READING = {
    "pipeline": "prod",
    "partition": "/aws/lambda/a",
    "read_through": "2026-01-31T12:00:00Z",
    "complete_through": {"300": "2026-01-31T11:54:00Z"},
}


async def test_the_last_report_of_each_agent_is_shown(real: Any, unique: str) -> None:
    async def told() -> list[dict[str, Any]]:
        return [each for each in (await real.ok(DETAILS))["agents"] if each["agent"].startswith(unique)]

    for agent, reasons in (("b", []), ("a", []), ("b", ["pipeline prod: stuck"])):
        report = {"agent": f"{unique}-{agent}", "version": "1", "reasons": reasons, "readings": [READING]}
        assert (await real.post(REPORTS, json=report)).status_code == 200
    found = await told()
    assert [each["agent"][-1] for each in found] == ["a", "b"]
    assert [each["reasons"] for each in found] == [[], ["pipeline prod: stuck"]]
    assert found[0]["readings"] == [READING]
    assert found[0]["at"] <= found[1]["at"]


async def test_details_name_engines_capacity_and_retention(real: Any) -> None:
    found = await real.ok(DETAILS)
    assert {name: engine["status"] for name, engine in found["engines"].items()} == {
        "record": "ok",
        "search": "ok",
        "indexer": "ok",
    }
    assert found["indexing_here"] is True
    assert (found["horizon"], found["retain_seconds"], found["warnings"]) == (None, None, [])
    assert {use["of"] for use in found["capacity"]} <= {"events", "day", "disk", "memory"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"version": "1"}, 422),
        ({"agent": "", "version": "1"}, 422),
        ({"agent": "a", "version": "1", "readings": [{**READING, "read_through": "noon"}]}, 422),
        ({"agent": "a", "version": "1", "readings": [{**READING, "complete_through": {"300": "soon"}}]}, 422),
        ({"agent": "a", "version": "1", "readings": [READING] * 2_001}, 422),
        ({"agent": "a" * 2**20, "version": "1"}, 413),
    ],
)
async def test_bad_reports_are_refused(fake: httpx.AsyncClient, body: Any, status: int) -> None:
    reply = await fake.post(REPORTS, json=body)
    assert reply.status_code == status, reply.text
