"""Agents' reports in the record store: the last of each, of so many agents, for so long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from vectadb_server.reports import Report, ToldReport
from vectadb_server.stores import reports

if TYPE_CHECKING:
    from vectadb_server.stores.surreal import SurrealStore

pytestmark = pytest.mark.anyio


async def test_the_last_reports_are_kept(store: SurrealStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "MOST", 2)
    monkeypatch.setattr(reports, "KEPT", 100)
    kept = reports.ReportStore(store.segments)

    async def after(agent: str, at: int) -> list[tuple[str, int]]:
        await kept.put(ToldReport(at, Report(agent, "1")))
        return [(told.report.agent, told.at) for told in await kept.all()]

    assert await after("b", 1) == [("b", 1)]
    assert await after("a", 2) == [("a", 2), ("b", 1)]
    assert await after("b", 3) == [("a", 2), ("b", 3)]
    assert await after("c", 4) == [("b", 3), ("c", 4)]
    assert await after("d", 150) == [("d", 150)]
