"""How a slice's records are fetched: by FilterLogEvents, or by GetLogEvents. The reader sees the same either way.

A slice is read in one or more *passes* (some streams each), a pass in pages chained by tokens.
"""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from vectadb_agent import LogRecord, LogStream
from vectadb_agent_cloudwatch.answers import page_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    import anyio

    from vectadb_agent_cloudwatch.answers import LogEvent
    from vectadb_agent_cloudwatch.api import LogsApi
    from vectadb_agent_cloudwatch.quota import Turns
    from vectadb_agent_cloudwatch.slices import Slice

STREAMS_PER_CALL = 100
_FULL_PAGE = 10_000


@dataclass
class Page:
    """Records, maybe none, and the token of the next page; ``None``: there is none. ``weight``: 1 for a full page."""

    records: list[LogRecord]
    next: str | None
    weight: float = 1.0


@dataclass
class Pass:
    """The streams that one chain of pages covers; none: all of the group."""

    streams: tuple[str, ...] = ()
    occurrences: dict[str, int] = field(default_factory=dict)
    occurrences_at: int = -1


class Pages(Protocol):
    """Where a reader gets its pages from."""

    async def passes(self) -> Sequence[Pass]:
        """The passes that make up a slice; asked anew for each slice.

        Raises:
            ApiError: the group cannot be read.
        """

    def page(self, part: Pass, window: Slice, token: str | None) -> AbstractAsyncContextManager[Page]:
        """Fetch one page, and hold its place in memory until the block is left.

        Raises:
            ApiError: the page cannot be had; never for throttling, or for what passes by itself.
        """


@dataclass(frozen=True)
class Group:
    """Whose records are read."""

    name: str
    account: str
    region: str

    def stream(self, name: str) -> LogStream:
        """One of its log streams."""
        return LogStream("cloudwatch", self.account, self.region, self.name, name)


class FilterPages:
    """FilterLogEvents: the whole group in one pass, or up to 100 named streams in each."""

    def __init__(
        self,
        api: LogsApi,
        group: Group,
        *,
        turns: Turns,
        slots: anyio.Semaphore,
        limit: int,
        streams: Sequence[str] = (),
        pattern: str | None = None,
    ) -> None:
        self._api, self._group, self._turns, self._slots = api, group, turns, slots
        self._streams = tuple(dict.fromkeys(streams))
        self._pattern = pattern
        self._limit = limit

    async def passes(self) -> list[Pass]:
        """One, or one for each hundred streams."""
        if not self._streams:
            return [Pass()]
        count = len(self._streams)
        return [Pass(self._streams[i : i + STREAMS_PER_CALL]) for i in range(0, count, STREAMS_PER_CALL)]

    def page(self, part: Pass, window: Slice, token: str | None) -> AbstractAsyncContextManager[Page]:
        """See :class:`Pages`."""
        parameters: dict[str, Any] = {
            "logGroupName": self._group.name,
            "startTime": window.start,
            "endTime": window.end,
            "limit": self._limit,
            "interleaved": True,  # AWS always does; what stands in for it in tests does not
        }
        if part.streams:
            parameters["logStreamNames"] = list(part.streams)
        if self._pattern is not None:
            parameters["filterPattern"] = self._pattern
        if token is not None:
            parameters["nextToken"] = token
        return self._api.held("FilterLogEvents", parameters, self._convert, turns=self._turns, slots=self._slots)

    def _convert(self, response: dict[str, Any]) -> Page:
        answer = page_of(response)
        streams: dict[str, LogStream] = {}
        records = []
        for event in answer.events or ():
            name = event.log_stream_name
            stream = streams.get(name)
            if stream is None:
                stream = streams[name] = self._group.stream(name)
            if event.event_id is None:
                raise ValueError("an event without eventId")
            records.append(_record(stream, event.event_id, event))
        return Page(records, answer.next_token or None)


class GetPages:
    """GetLogEvents: a pass for each stream. AWS gives no ids here: they are made from the content."""

    def __init__(
        self,
        api: LogsApi,
        group: Group,
        *,
        turns: Turns,
        slots: anyio.Semaphore,
        listing: Turns,
        streams: Sequence[str] = (),
    ) -> None:
        self._api, self._group, self._turns, self._slots = api, group, turns, slots
        self._listing = listing
        self._streams = tuple(dict.fromkeys(streams))

    async def passes(self) -> list[Pass]:
        """One for each stream. None is skipped for its ``lastEventTimestamp``, which may lag an hour."""
        names = list(self._streams)
        token, seen = None, set[str]()
        while not self._streams:
            parameters = {"logGroupName": self._group.name} | ({"nextToken": token} if token else {})
            async with self._api.held(
                "DescribeLogStreams", parameters, dict, turns=self._listing, slots=self._slots
            ) as answer:
                names += [stream["logStreamName"] for stream in answer.get("logStreams") or ()]
                token = answer.get("nextToken")
            if not token or token in seen:
                break
            seen.add(token)
        return [Pass((name,)) for name in dict.fromkeys(names)]

    @asynccontextmanager
    async def page(self, part: Pass, window: Slice, token: str | None) -> AsyncIterator[Page]:
        """See :class:`Pages`."""
        parameters: dict[str, Any] = {
            "logGroupName": self._group.name,
            "logStreamName": part.streams[0],
            "startTime": window.start,
            "endTime": window.end + 1,  # exclusive here, inclusive for FilterLogEvents
            "startFromHead": True,
        }
        if token is not None:
            parameters["nextToken"] = token
        stream = self._group.stream(part.streams[0])

        def convert(response: dict[str, Any]) -> Page:
            answer = page_of(response)
            records = [_record(stream, _made_id(stream, event, part), event) for event in answer.events or ()]
            following = answer.next_forward_token or None
            # the token that was sent comes back: the end. An empty page with another token is not.
            return Page(records, None if following == token else following, len(records) / _FULL_PAGE)

        async with self._api.held("GetLogEvents", parameters, convert, turns=self._turns, slots=self._slots) as page:
            yield page


def _record(stream: LogStream, log_id: str, event: LogEvent) -> LogRecord:
    ingested = event.ingestion_time
    return LogRecord(
        stream, log_id, event.timestamp * 1000, event.message, None if ingested is None else ingested * 1000
    )


def _made_id(stream: LogStream, event: LogEvent, part: Pass) -> str:
    """An id for an event that has none. Equal ones are numbered: sharing a millisecond, no slice parts them."""
    if event.timestamp != part.occurrences_at:
        part.occurrences_at = event.timestamp
        part.occurrences.clear()
    content = content_id(stream.log_stream, event.timestamp, event.ingestion_time, event.message)
    occurrence = part.occurrences.get(content, 0)
    part.occurrences[content] = occurrence + 1
    return f"{content}-{occurrence}"


def content_id(stream: str, timestamp: int, ingested: int | None, message: str) -> str:
    """An id for a record that has none: the same whenever the same record is read. Equal records share it."""
    head = msgspec.json.encode([stream, timestamp, ingested])
    return hashlib.sha256(head + message.encode("utf-8", "surrogatepass")).hexdigest()[:40]
