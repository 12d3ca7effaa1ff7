"""The sink ``ndjson``: events as lines of JSON, posted to a URL."""

import json
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import httpx
from pydantic import Field, SecretStr

from vectadb_agent import Duration, Event, Result, Sink, SinkConfig, errors, hookimpl

VECTADB_AGENT_API = 1


class NdjsonConfig(SinkConfig):
    """Options of ``ndjson``."""

    url: str
    """Where the events go."""
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    """Headers of each request, e.g. ``Authorization``."""
    timeout: Duration = 30.0
    """Longest time for one request."""


class NdjsonSink(Sink):
    """Posts events as NDJSON; any 2xx says that all of a batch are durable. At least once: the lines have event ids."""

    name = "ndjson"
    Config = NdjsonConfig

    async def __aenter__(self) -> Self:
        """Open the client."""
        headers = {name: value.get_secret_value() for name, value in self.config.headers.items()}
        self._client = httpx.AsyncClient(
            headers={**headers, "Content-Type": "application/x-ndjson"}, timeout=self.config.timeout
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        await self._client.aclose()

    async def check(self) -> list[str]:
        """Send no line at all: whoever takes events takes that, too."""
        try:
            await self._post("")
        except (errors.RetryableError, errors.PermanentError) as error:
            raise errors.CheckError(f"{error}; see `url:` and `headers:`", fatal=False) from error
        return [f"{self.config.url} takes events"]

    async def write(self, events: Sequence[Event]) -> Result:
        """Return when the other side has said that it has them."""
        await self._post("".join(json.dumps(event.wire()) + "\n" for event in events))
        return Result()

    async def _post(self, body: str) -> None:
        try:
            reply = await self._client.post(self.config.url, content=body)
        except httpx.TransportError as error:
            raise errors.RetryableError(f"{self.config.url}: {str(error) or type(error).__name__}") from error
        told = f"{self.config.url} answers {reply.status_code}: {reply.text[:200]}"
        if reply.status_code == 413:
            raise errors.TooLargeError(told)
        if reply.status_code in (401, 403, 408, 429) or reply.status_code >= 500:  # may pass, or be mended meanwhile
            wait = reply.headers.get("Retry-After", "")
            raise errors.RetryableError(told, retry_after=float(wait) if wait.isdecimal() else None)
        if not reply.is_success:
            raise errors.PermanentError(told)


@hookimpl
def vectadb_register_sinks() -> list[type[Sink]]:
    """What this plugin brings."""
    return [NdjsonSink]
