"""Requests that schemathesis makes of the OpenAPI document: whatever they are, the server does not fail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.tests.hostile.rule import serving

if TYPE_CHECKING:
    from collections.abc import Iterator

OPERATIONS = 17
"""As many there are at least: a document that lists fewer would make this test easier."""


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving(tmp_path_factory.mktemp("server")) as running:
        yield running.http


def test_no_operation_fails(api: httpx.Client) -> None:
    document = api.get("/schema/openapi.json").json()
    operations = [found.ok() for found in schemathesis.openapi.from_dict(document).get_all_operations()]
    assert len(operations) >= OPERATIONS
    for operation in operations:
        assert _answers(api, operation), operation.label


def _answers(api: httpx.Client, operation: Any) -> set[int]:
    """Return what the operation answers to well-formed and to malformed requests: nothing of it is a 5xx."""
    seen: set[int] = set()
    cases = [operation.as_strategy(), operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)]

    @given(st.one_of(cases))
    @settings(max_examples=8, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    def ask(case: Any) -> None:
        sent = case.as_transport_kwargs(base_url=str(api.base_url))
        sent.pop("cookies", None)
        if isinstance(sent.get("data"), bytes | str):
            sent["content"] = sent.pop("data")  # as httpx has it
        try:
            with api.stream(**{name: value for name, value in sent.items() if value is not None}) as reply:
                if not reply.headers.get("content-type", "").startswith("text/event-stream"):  # which never ends
                    reply.read()
        except (httpx.InvalidURL, httpx.LocalProtocolError, UnicodeEncodeError):
            return  # not a request that this client can send
        seen.add(reply.status_code)
        assert reply.status_code < 500, (sent, reply)

    ask()
    return seen
