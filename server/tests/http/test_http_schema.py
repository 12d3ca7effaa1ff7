from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from openapi_schema_validator import validate
from openapi_spec_validator import OpenAPIV31SpecValidator

from vectadb_server.routes import docs

pytestmark = pytest.mark.anyio

EVENT = {
    "timestamp": "2026-01-31T12:00:00Z",
    "event_type": "error",
    "raw": "x",
    "source": {"log_id": "1", "system": "s"},
}


@pytest.fixture
async def schema(fake: Any) -> Any:
    return await fake.ok("/schema")


async def test_it_is_valid_openapi(schema: Any) -> None:
    OpenAPIV31SpecValidator(schema).validate()


async def test_every_route_is_in_it_with_words_and_errors(schema: Any) -> None:
    assert set(schema["paths"]) == {
        "/health",
        "/health/ready",
        "/health/details",
        "/metrics",
        "/api/v1/events",
        "/api/v1/events/batch",
        "/api/v1/events/digest",
        "/api/v1/events/missing",
        "/api/v1/events/records",
        "/api/v1/events/stream",
        "/api/v1/events/{event_id}",
        "/api/v1/events/{event_id}/similar",
        "/api/v1/traces",
        "/api/v1/traces/{trace_id}",
        "/api/v1/traces/{trace_id}/outline",
        "/api/v1/sessions",
        "/api/v1/sessions/{session_id}",
        "/api/v1/agents",
        "/api/v1/agents/reports",
        "/api/v1/search",
        "/api/v1/stats",
        "/api/v1/stats/traces",
        "/api/v1/auth/me",
        "/api/v1/auth/session",
        "/api/v1/auth/keys",
        "/api/v1/auth/keys/{key_id}",
        "/api/v1/admin/backup",
        "/api/v1/admin/check",
        "/api/v1/admin/reindex",
    }
    for path, item in schema["paths"].items():
        for operation in item.values():
            assert operation["description"]
            assert all(parameter["description"] for parameter in operation.get("parameters", []))
            if path.startswith("/api/"):
                for_all = path in ("/api/v1/auth/me", "/api/v1/auth/session")
                assert {"403", "503"} | (set() if for_all else {"401", "429"}) <= set(operation["responses"])
                assert {"200", "201"} & set(operation["responses"])

    def named(path: str) -> set[str]:
        return {parameter["name"] for parameter in schema["paths"][path]["get"]["parameters"]}

    assert named("/api/v1/traces") - named("/api/v1/stats/traces") == {"fields", "format", "limit", "cursor"}
    names = [parameter["name"] for parameter in schema["paths"]["/api/v1/events"]["get"]["parameters"]]
    assert sorted(names) == sorted(
        [
            *("trace", "session", "agent", "type", "log_group", "log_stream", "since", "until", "limit", "cursor"),
            *("request_id", "level", "error", "tool", "model", "q", "fields", "format"),
        ]
    )


async def test_its_examples_are_taken(client: Any, schema: Any) -> None:
    paths = ("/api/v1/events", "/api/v1/events/batch", "/api/v1/events/missing", "/api/v1/search")
    for path in (*paths, "/api/v1/agents/reports"):
        body = schema["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        for example in body["examples"].values():
            validate(example["value"], _whole(body["schema"], schema))
            reply = await client.post(path, json=example["value"])
            assert reply.status_code == 200, reply.text
            assert reply.json().get("failed", 0) == 0, reply.text


async def test_replies_are_as_it_says(client: Any, schema: Any, unique: Any) -> None:
    taken = await client.take({**EVENT, "trace_id": unique}, {"timestamp": "x"})
    [event_id] = taken["event_ids"]
    requests: list[tuple[str, str, Any]] = [
        ("POST", "/api/v1/events", EVENT),
        ("POST", "/api/v1/events", {}),
        ("POST", "/api/v1/events/batch", {"events": [EVENT, 5]}),
        (
            "POST",
            "/api/v1/events/missing",
            {"records": [{"event_id": str(uuid.uuid4()), "timestamp": "2026-01-31T12:00:00Z"}]},
        ),
        ("POST", "/api/v1/events/missing", {"records": [{}]}),
        ("POST", "/api/v1/search", {"query": "x"}),
        ("GET", f"/api/v1/events/{event_id}", None),
        ("GET", f"/api/v1/events/{uuid.uuid4()}", None),
        ("GET", "/api/v1/events?limit=2", None),
        ("GET", "/api/v1/events?limit=0", None),
        ("GET", "/api/v1/events/digest", None),
        ("GET", f"/api/v1/traces/{unique}", None),
        ("GET", "/api/v1/traces", None),
        ("GET", "/api/v1/traces?status=x", None),
        ("GET", "/api/v1/stats?bucket=6h", None),
        ("GET", "/health", None),
        ("GET", "/health/ready", None),
    ]
    for method, path, body in requests:
        reply = await client.request(method, path, json=body)
        bare = path.partition("?")[0]
        template = next(
            known
            for known in sorted(schema["paths"], key=lambda known: "{" in known)
            if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", known), bare)
        )
        said = schema["paths"][template][method.lower()]["responses"][str(reply.status_code)]
        validate(reply.json(), _whole(said["content"]["application/json"]["schema"], schema))


async def test_examples_of_replies_are_as_it_says(schema: Any) -> None:
    page = schema["paths"]["/api/v1/events"]["get"]["responses"]["200"]["content"]["application/json"]
    assert page["examples"]
    for example in page["examples"].values():
        validate(example["value"], _whole(page["schema"], schema))
    assert docs.EVENT_FOUND["properties"] == docs.EVENT["properties"]


def _whole(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "components": document["components"]}
