"""Agents' last reports, in the record store, where all servers find them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from vectadb_server.reports import Report, ToldReport
from vectadb_server.stores.engine import insisted, record
from vectadb_server.stores.segments import META

if TYPE_CHECKING:
    from vectadb_server.stores.segments import Segments

MOST = 200
"""So many agents' are kept; beyond, those go that reported longest ago."""
KEPT = 7 * 86_400_000_000
"""Microseconds after which an agent that reports no more is forgotten."""


class ReportStore:
    """Table ``report`` of ``meta``: one row for each agent."""

    def __init__(self, segments: Segments) -> None:
        self._segments = segments

    async def put(self, told: ToldReport) -> None:
        """Keep an agent's report instead of its last one."""
        name = hashlib.sha256(told.report.agent.encode("utf-8", "surrogatepass")).hexdigest()
        row = {"at": told.at, "body": msgspec.json.encode(told.report).decode()}
        async with self._segments.use(META) as meta:
            await insisted(meta, "UPSERT $ref CONTENT $row RETURN NONE", {"ref": record("report", name), "row": row})
            held = sorted(await meta.one("SELECT VALUE [at, id] FROM report"), key=lambda each: -each[0])
            going = [ref for place, (at, ref) in enumerate(held) if place >= MOST or at < told.at - KEPT]
            if going:
                await insisted(meta, "DELETE $refs RETURN NONE", {"refs": going})

    async def all(self) -> list[ToldReport]:
        """Return the last report of each agent, by their names."""
        async with self._segments.use(META) as meta:
            rows = await meta.one("SELECT VALUE [at, body] FROM report")
        found = [ToldReport(at, msgspec.json.decode(body, type=Report)) for at, body in rows]
        return sorted(found, key=lambda told: told.report.agent)
