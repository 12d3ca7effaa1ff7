"""A source whose every call fails says so, and no longer once one is answered."""

from __future__ import annotations

import pytest

from vectadb_agent_cloudwatch import api
from vectadb_agent_cloudwatch.api import Access, LogsApi
from vectadb_agent_cloudwatch.clock import AwsClock
from vectadb_agent_cloudwatch.failures import ApiError

pytestmark = pytest.mark.anyio


async def test_trouble_is_told_after_a_while_and_ends_with_the_first_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(api.time, "monotonic", lambda: now)
    calls = LogsApi(Access(region="eu-west-1"), AwsClock())
    calls._note_failure(ApiError("denied", "not allowed"))
    now = 200.0
    assert calls.trouble() is None, "one group that may not be read is no trouble of all"
    calls._note_failure(ApiError("transient", "no route to host"))
    now = 230.0
    assert calls.trouble() is None
    now = 290.0
    calls._note_failure(ApiError("transient", "still no route"))
    assert calls.trouble() == "no call has succeeded for 90 s: still no route"

    async def answered(*_: object) -> dict[str, str]:
        return {}

    async def opened() -> None:
        return None

    monkeypatch.setattr(calls, "_in_thread", answered)
    monkeypatch.setattr(calls, "open", opened)
    await calls.attempt("FilterLogEvents", {}, dict)
    assert calls.trouble() is None
