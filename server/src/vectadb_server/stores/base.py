"""What the use cases ask of a store. One suite of tests runs against every implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, Protocol, TypedDict, TypeVar

import msgspec

from vectadb_server.model import Basis, Event, SpanStatus, Tokens, Trace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_server.stores.tallies import Histogram, Stats

Mode = Literal["hybrid", "semantic", "text"]
Grouping = Literal["session", "agent"]
T = TypeVar("T")


class Document(msgspec.Struct, kw_only=True):
    """One event as the search index sees it. ``us``: event time, microseconds; ``day``: UTC day of its segment.

    ``text`` is what the event says, found by meaning and by word; ``rest`` is what else stands in it, found by word.
    ``about`` is what we say of it: it counts for meaning and in hybrid search, and is no word of the event's.
    """

    event_id: str
    day: str
    text: str
    us: int
    event_type: str
    agent_id: str | None = None
    session_id: str | None = None
    trace: str | None = None
    system: str | None = None
    log_group: str | None = None
    log_stream: str | None = None
    about: str = ""
    rest: str = ""

    @property
    def meaning(self) -> str:
        """The text that an embedder is given."""
        return f"{self.about}\n{self.text}" if self.about else self.text

    @property
    def words(self) -> str:
        """The text whose words are indexed."""
        return f"{self.text}\n{self.rest}" if self.rest else self.text


class SearchFilter(msgspec.Struct, kw_only=True, frozen=True):
    """All that are given must hold. ``since`` is inclusive, ``until`` exclusive, microseconds of event time.

    ``event_types``: the event's is one of these, where there are any.
    """

    event_types: tuple[str, ...] = ()
    agent_id: str | None = None
    session_id: str | None = None
    trace: str | None = None
    system: str | None = None
    log_group: str | None = None
    log_stream: str | None = None
    since: int | None = None
    until: int | None = None


class Hit(msgspec.Struct):
    """One search result; a larger score is a better one."""

    event_id: str
    day: str
    score: float


class Health(TypedDict):
    """How the search process is. ``pid``: while it is alive. ``error``: why it refuses to work, if it does."""

    alive: bool
    pid: int | None
    restarts: int
    documents: int
    shards: int
    error: str | None


class SearchIndex(Protocol):
    """A search index over events, by UTC day; can be rebuilt from the record at any time.

    Every method but :meth:`close` may raise :class:`SearchUnavailable`.
    """

    @property
    def generation(self) -> int:
        """Another number when the index was made anew, so that all must be indexed again; 0 before the first start."""
        ...

    async def start(self) -> None:
        """Connect and make sure that the index can be used.

        Raises:
            SearchUnavailable: the engine does not answer, or the index was made with another embedder.
        """
        ...

    async def upsert(self, documents: Sequence[Document]) -> None:
        """Index the documents, replacing those of the same id; return when a crash cannot lose them.

        Raises:
            SearchUnavailable: the engine is not there now; try again.
        """
        ...

    async def delete(self, event_ids: Sequence[tuple[str, str]]) -> None:
        """Remove documents, each given as ``(day, event_id)``; unknown ones are ignored."""
        ...

    async def search(self, query: str, *, mode: Mode, where: SearchFilter, limit: int) -> list[Hit]:
        """Return the best ``limit`` documents, best first.

        Raises:
            MeaningUnavailable: the embedder does not answer now: only the mode ``text`` works.
            SearchUnavailable: the engine is not there now; try again.
        """
        ...

    async def days(self) -> list[str]:
        """Return the days that have documents, ascending."""
        ...

    async def begin(self, day: str) -> bool:
        """Make a day anew, or go on: what was there answers until :meth:`finish`, beside what is written from now on.

        Returns whether all of the day must be written again.
        """
        ...

    async def finish(self, day: str) -> None:
        """Leave of a day only what was written since it was begun; done twice it changes nothing."""
        ...

    async def renew(self) -> None:
        """Where the index cannot be used as it is, have an empty one made in its place; else do nothing."""
        ...

    async def survey(self, day: str) -> list[tuple[int, int]]:
        """Return the number of the day's documents and the sum of their marks for each bucket, modulo 2**128.

        See :func:`~vectadb_server.stores.framing.bucket_of` and :func:`~vectadb_server.stores.framing.mark_of`.
        """
        ...

    async def listing(self, day: str, buckets: Sequence[int]) -> dict[str, int]:
        """Return the mark of each document of these buckets, by event id."""
        ...

    async def drop_days(self, before: str) -> None:
        """Remove every day before ``before`` (``YYYY-MM-DD``) and give its space back."""
        ...

    async def count(self) -> int:
        """Return the number of documents."""
        ...

    def health(self) -> Health:
        """Say how the search process is, without asking it: the counts are those of its last answer."""
        ...

    async def close(self) -> None:
        """Flush and stop."""
        ...


class SearchUnavailable(Exception):
    """The search engine does not answer now. The record is unharmed."""


class MeaningUnavailable(SearchUnavailable):
    """The embedder does not answer now, so that only words can be searched for."""


# ---- the record ----------------------------------------------------------------------------------------------------


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a page of a newest-first list ended: the next one begins right after ``(us, id)``."""

    us: int
    id: str


class Page(msgspec.Struct, Generic[T]):
    """A part of a list. ``next``: where it goes on; ``None``: nowhere. It may be short, even empty, and yet go on."""

    items: list[T]
    next: Cursor | None


class EventFilter(msgspec.Struct, kw_only=True, frozen=True):
    """All that are given must hold; of a tuple one is enough, and an empty one is not given.

    ``since`` is inclusive, ``until`` exclusive, microseconds of event time. ``levels`` are in capitals. ``failed``:
    whether the event tells of a failure. ``tool``, ``model``: names, of calls and results. ``text`` occurs in the raw
    text or the properties, in letters of either case.
    """

    trace: str | None = None
    session_id: str | None = None
    agent_id: str | None = None
    event_types: tuple[str, ...] = ()
    log_group: str | None = None
    log_stream: str | None = None
    since: int | None = None
    until: int | None = None
    request_id: str | None = None
    levels: tuple[str, ...] = ()
    failed: bool | None = None
    tool: str | None = None
    model: str | None = None
    text: str | None = None


class TraceFilter(msgspec.Struct, kw_only=True, frozen=True):
    """All that are given must hold; ``since`` and ``until`` are about the trace's start.

    ``agent_id``, ``session_id``: that it has events of.

    Traces that are only a quarter of an hour of a stream (basis ``time_window``) are left out unless ``basis`` asks
    for them. ``active_since``: that was going on then or later. ``tool``, ``model``: that it called. ``min_duration``:
    microseconds. ``failed``: whether any event of it tells of a failure. ``event_types``: it has an event of one of
    these. ``log_group``: it has an event from there. ``text`` occurs in what was asked, answered, or the first error,
    in letters of either case.
    """

    statuses: tuple[SpanStatus, ...] = ()
    agent_id: str | None = None
    session_id: str | None = None
    basis: Basis | None = None
    since: int | None = None
    until: int | None = None
    active_since: int | None = None
    request_id: str | None = None
    tool: str | None = None
    model: str | None = None
    min_duration: int | None = None
    failed: bool | None = None
    event_types: tuple[str, ...] = ()
    log_group: str | None = None
    text: str | None = None

    @property
    def of_columns(self) -> bool:
        """Whether columns of its row tell if a trace is meant, without its body."""
        inside = (self.request_id, self.tool, self.model, self.failed, self.log_group, self.text)
        times = (self.min_duration, self.active_since)
        return not self.event_types and all(asked is None for asked in (*inside, *times))


class Group(msgspec.Struct, kw_only=True):
    """The traces with events of one session or agent that started in a stretch of time, summed up, each as a whole.

    Times are microseconds. ``agents``: all that took part in these traces. ``status``: of the newest trace.
    ``complete``: the figures are over all of its traces; else over the newest of them.
    """

    id: str
    first: int
    last: int
    status: SpanStatus
    traces: int = 0
    failed: int = 0
    events: int = 0
    errors: int = 0
    tokens: Tokens
    cost_usd: float | None = None
    agents: list[str] = []
    complete: bool = True


class LogGroup(NamedTuple):
    """A log group, and whose it is."""

    log_group: str
    system: str
    account: str
    region: str


class HeldRecord(msgspec.Struct):
    """A record that is held, as an event or inside the block of another; ``timestamp``: its own, microseconds."""

    event_id: str
    log_stream: str
    log_id: str
    timestamp: int


class DigestHour(msgspec.Struct):
    """The records of one log group, of one system, account and region, whose time is in one hour.

    ``hour``: its start, microseconds. ``digest``: the sum, modulo 2**128, of :func:`~vectadb_server.ids.record_hash`.
    """

    log_group: str
    hour: int
    count: int
    digest: int
    system: str = ""
    account: str = ""
    region: str = ""


class RecordReader(Protocol):
    """What the routes ask of the record. Every method may raise :class:`StoreUnavailable`."""

    async def event(self, event_id: str) -> Event | None:
        """Return the event of this id; for the id of a record inside a block, the block's event."""
        ...

    async def events_of(self, keys: Sequence[tuple[str, str]]) -> list[Event]:
        """Return the events given as ``(day, event_id)``, as a search hit names them; those not held are left out.

        They come in the order asked for.
        """
        ...

    async def events(self, where: EventFilter, *, limit: int, after: Cursor | None = None) -> list[Event]:
        """Return the newest events first, those of one time by ascending id, at most ``limit``.

        The next page starts after ``Cursor(last.timestamp, last.event_id)``. With ``where.trace``, events of a day that
        is new to the trace are seen once they are indexed, a second or two later.
        """
        ...

    async def event_page(self, where: EventFilter, *, limit: int, after: Cursor | None = None) -> Page[Event]:
        """As :meth:`events`, in bounded time: a page that was long to look for is short, and goes on after ``next``."""
        ...

    async def trace(self, trace_id: str) -> Trace | None:
        """Return the summary of the trace: at most a few seconds behind its events."""
        ...

    async def trace_events(self, trace_id: str) -> list[Event]:
        """Return all events of the trace, by time then id."""
        ...

    async def traces(self, where: TraceFilter, *, limit: int, after: Cursor | None = None) -> list[Trace]:
        """Return the summaries, newest start first, ties by id; the next page is after ``Cursor(start, trace_id)``."""
        ...

    async def trace_page(self, where: TraceFilter, *, limit: int, after: Cursor | None = None) -> Page[Trace]:
        """As :meth:`traces`, in bounded time: a page that was long to look for is short, and goes on after ``next``."""
        ...

    async def trace_histogram(self, where: TraceFilter, since: int, until: int, bucket: int) -> Histogram:
        """Count the traces that start in each ``bucket`` microseconds of ``[since, until)``, newest first, bounded."""
        ...

    async def groups(
        self, kind: Grouping, since: int, until: int, *, arrived: int, limit: int, after: Cursor | None = None
    ) -> Page[Group]:
        """Return sessions or agents with traces that started in ``[since, until)``, the newest such start first.

        Only traces of which something was held before ``arrived`` (microseconds of the servers' clock) say where in
        the list a group stands, so that pages which share it neither repeat nor leave out what is new meanwhile.
        Bounded as :meth:`event_page`.
        """
        ...

    async def group(self, kind: Grouping, name: str, since: int, until: int) -> Group | None:
        """Return one session or agent, if traces of it started in ``[since, until)``."""
        ...

    async def digest(
        self,
        log_group: str | None,
        since: int,
        until: int,
        *,
        system: str | None = None,
        account: str | None = None,
        region: str | None = None,
    ) -> list[DigestHour]:
        """Return counts and digests of whole hours, by group, system, account, region and hour; ``None`` for any.

        ``since`` and ``until`` are record times, microseconds; hours that begin in ``[since, until)`` are returned.
        """
        ...

    async def records(
        self, where: LogGroup, since: int, until: int, *, limit: int, after: Cursor | None = None
    ) -> tuple[list[HeldRecord], Cursor | None]:
        """Return the records held of a log group, dated ``since`` <= time < ``until`` (microseconds), in no order.

        At most about ``limit``, and where the next page begins; ``None``: there is none.
        """
        ...

    async def lacking(self, records: Sequence[tuple[str, int]]) -> set[int]:
        """Return the positions of those records, each given by its id and time (microseconds), that have no row.

        A record has one as an event or inside the block of another.
        """
        ...

    async def stats(
        self, since: int, until: int, bucket: int, *, agent_id: str | None = None, session_id: str | None = None
    ) -> Stats:
        """Return one bucket for each ``bucket`` microseconds of ``[since, until)``, empty ones included, in order.

        Raises:
            TooMuch: counting would take too long.
        """
        ...

    async def days(self) -> list[str]:
        """Return the UTC days (``YYYY-MM-DD``) of which something is held, ascending."""
        ...

    async def check(self) -> None:
        """Return if the engine answers.

        Raises:
            StoreUnavailable: it does not; the text says why.
        """
        ...


class StoreUnavailable(Exception):
    """The record store does not answer now, or cannot be opened; the text says what to do."""
