"""The source ``logsearch``: a paged HTTP API with cursors and rate limits, in the shape of DataDog's log search.

``POST url`` with ``{"filter": {"query", "from", "to"}, "page": {"limit", "cursor"?}, "sort": "timestamp"}``, times in
milliseconds as text, gives ``{"data": [{"id", "attributes": {"timestamp", "message", "service"?}}], "meta": {"page":
{"after"?}}}``. Time is read in rounds, each to its last page, and each begins ``overlap`` before the end of the former:
so what became visible late is found. What comes again has the same id, and the pipeline passes it on once.
"""

import logging
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import anyio
import httpx
from pydantic import Field, SecretStr

from vectadb_agent import Batch, ComponentConfig, Duration, LogRecord, LogStream, Source, errors, hookimpl

VECTADB_AGENT_API = 1
_log = logging.getLogger("vectadb_agent.logsearch")


class LogSearchConfig(ComponentConfig):
    """Options of ``logsearch``."""

    url: str
    """Where logs are searched."""
    api_key: SecretStr = SecretStr("")
    """Sent as ``DD-API-KEY``; keep it in an environment variable."""
    query: str = "*"
    """Which logs."""
    lookback: Duration = 3600.0
    """How far back the first reading begins, e.g. 1h."""
    overlap: Duration = 60.0
    """How far back each round reads again."""
    poll_interval: Duration = 10.0
    """Time from one round to the next."""
    page_size: int = Field(default=1000, ge=1, le=5000)
    """Records in a page."""


class LogSearchSource(Source):
    """Reads logs from a search API, page by page."""

    name = "logsearch"
    Config = LogSearchConfig

    async def __aenter__(self) -> Self:
        """Open the client."""
        headers = {"DD-API-KEY": self.config.api_key.get_secret_value()}
        self._client = httpx.AsyncClient(headers=headers, timeout=30)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self._client.aclose()

    async def check(self) -> list[str]:
        """Ask for one record."""
        now = self.now() // 1000
        try:
            found = await self._page(now - 3_600_000, now, None, limit=1)
        except httpx.HTTPError as error:
            raise errors.CheckError(f"{self.config.url}: {error}; see `url:`", fatal=False) from error
        return [f"{self.config.url}: {len(found['data']) or 'no'} record in the last hour"]

    async def read(self, after: Mapping[str, dict[str, Any]], *, drain: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield pages, and begin a new round when one is read to its end."""
        query, overlap = self.config.query, int(self.config.overlap * 1000)
        mark = dict(after.get(query, {"since": self.now() // 1000 - int(self.config.lookback * 1000)}))
        while True:
            until = mark.setdefault("until", self.now() // 1000)
            page = await self._patiently(mark["since"], until, mark.get("cursor"))
            cursor = page["meta"]["page"].get("after")
            records = [self._record(entry) for entry in page["data"]]
            if cursor:  # where an agent that stops here goes on
                mark = {**mark, "cursor": cursor}
                yield Batch(partition=query, records=records, checkpoint=mark)
                continue
            mark = {"since": until - overlap}
            end = mark["since"] * 1000
            yield Batch(partition=query, records=records, checkpoint=mark, read_through=until * 1000, forget_before=end)
            if drain:
                return
            await anyio.sleep(self.config.poll_interval)

    async def _patiently(self, since: int, until: int, cursor: str | None) -> dict[str, Any]:
        """Ask for a page until there is one; a cursor that is good no longer begins the round anew."""
        pause = 1.0
        while True:
            try:
                return await self._page(since, until, cursor)
            except httpx.HTTPStatusError as error:
                reply = error.response
                if reply.status_code == 400 and cursor:
                    cursor = None
                    continue
                wait = reply.headers.get("X-RateLimit-Reset") or reply.headers.get("Retry-After") or ""
                seconds, why = float(wait) if wait.isdecimal() else pause, f"it answers {reply.status_code}"
            except httpx.HTTPError as error:
                seconds, why = pause, str(error) or type(error).__name__
            _log.warning("%s: %s; asking again in %.0f s", self.config.url, why, seconds)
            await anyio.sleep(seconds)
            pause = min(pause * 2, 60.0)

    async def _page(self, since: int, until: int, cursor: str | None, limit: int | None = None) -> dict[str, Any]:
        page = {"limit": limit or self.config.page_size} | ({"cursor": cursor} if cursor else {})
        chosen = {"query": self.config.query, "from": str(since), "to": str(until)}
        asked = {"filter": chosen, "page": page, "sort": "timestamp"}
        reply = await self._client.post(self.config.url, json=asked)
        if reply.status_code in (401, 403):
            raise errors.CheckError(f"{self.config.url} does not take this `api_key:` ({reply.status_code})")
        found: dict[str, Any] = reply.raise_for_status().json()
        return found

    def _record(self, entry: dict[str, Any]) -> LogRecord:
        attributes = entry["attributes"]
        stream = LogStream("logsearch", "", "", self.config.query, attributes.get("service") or "")
        at = datetime.fromisoformat(attributes["timestamp"])
        return LogRecord(stream, entry["id"], round(at.timestamp() * 1_000_000), attributes["message"])


@hookimpl
def vectadb_register_sources() -> list[type[Source]]:
    """What this plugin brings."""
    return [LogSearchSource]
