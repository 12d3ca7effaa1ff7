"""The four kinds of component that a plugin brings, and what each promises.

A component class has a ``name`` (the ``type`` in YAML) and a ``Config``. It is made without I/O, opened with
``async with``, and closed by leaving it. ``check()`` says what is wrong in words a user can act on.
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from vectadb_agent.records import Block, Event, LogRecord, LogStream, Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
    from types import TracebackType

API_VERSION = 1
"""Version of this contract. A plugin module may state ``VECTADB_AGENT_API = 1``; another number is refused by name."""

Checkpoint = dict[str, Any]
"""Where a source resumes in one partition: a JSON object that only the source understands."""

_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)\s*")
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|KiB|MiB|GiB)\s*")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def _duration(value: object) -> object:
    if isinstance(value, str):
        found = _DURATION.fullmatch(value)
        if not found:
            raise ValueError("a duration is a number and a unit: 500ms, 10s, 5m, 24h or 7d")
        return float(found[1]) * _SECONDS[found[2]]
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"a duration needs a unit, e.g. {value}s (ms, s, m, h or d)")  # noqa: TRY004 - pydantic wants ValueError
    return value


def _size(value: object) -> object:
    if isinstance(value, str) and not value.isdigit():
        found = _SIZE.fullmatch(value)
        if not found:
            raise ValueError("a size is a number and a unit: 512KB, 8MB, 1MiB")
        return int(float(found[1]) * _BYTES[found[2]])
    return value


Duration = Annotated[float, BeforeValidator(_duration, json_schema_input_type=str)]
"""Seconds, written in YAML as ``10s``, ``5m``, ``24h``."""

Size = Annotated[int, BeforeValidator(_size, json_schema_input_type=str)]
"""Bytes, written in YAML as ``512KB``, ``8MB``."""


class ComponentConfig(BaseModel):
    """Base of every component's ``Config``. Unknown keys are refused; each field's docstring is its reference text."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    type: str
    """Which component this configures: the ``name`` of an installed one."""


class Figure(msgspec.Struct, frozen=True):
    """One number that a component tells of itself, for the agent's metrics.

    ``name`` follows Prometheus: a counter ends in ``_total``, a unit is the base one (``_seconds``, ``_bytes``). The
    agent puts ``vectadb_agent_`` before it and adds the labels of the pipeline and the component.
    """

    name: str
    help: str
    value: float
    kind: Literal["counter", "gauge"] = "gauge"
    labels: tuple[tuple[str, str], ...] = ()


class Component:
    """What sources, parsers, processors and sinks have in common."""

    name: ClassVar[str]
    Config: ClassVar[type[ComponentConfig]] = ComponentConfig

    def __init__(self, config: Any) -> None:
        """Keep the configuration, an instance of ``Config``. No I/O here.

        Raises:
            ValueError: the options contradict each other; shown to the user as a mistake in the configuration.
        """
        self.config = config

    async def __aenter__(self) -> Self:
        """Acquire what the component needs for its lifetime. Called once, before any other async method."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Release it. Called even when the component failed; must not raise."""

    async def check(self) -> list[str]:
        """Try credentials, permissions and endpoint; change nothing.

        Returns:
            What was found, a line each, for the ``check`` command's table.

        Raises:
            CheckError: what is wrong, and what the user should do.
        """
        return []

    def figures(self) -> Iterable[Figure]:
        """Return what the component tells of itself now; called in the event loop at each scrape, must be quick."""
        return ()


class Outcome(msgspec.Struct, frozen=True):
    """What became of a batch, in records. ``durable`` is false when the pipeline stopped before it could say."""

    durable: bool
    delivered: int = 0
    duplicate: int = 0
    quarantined: int = 0
    expired: int = 0


class Batch(msgspec.Struct, kw_only=True):
    """Records of one partition, in the source's order.

    ``checkpoint``: saved once this batch and all before it in the partition are durable; ``None`` where the source
    cannot resume at this point. ``read_through``: the source has read the partition up to this time (microseconds);
    blocks that were quiet before it are closed (for a partition that never says so, two seconds of wall clock count).
    ``read_from``: of a partition read for the first time: nothing older than this is wanted (microseconds).
    ``forget_before``: once this batch is settled :meth:`Source.read` will not deliver older records again, so that the
    ledger may drop them.
    An empty batch is legal: it carries a checkpoint or ``read_through``.
    """

    partition: str
    records: Sequence[LogRecord]
    checkpoint: Checkpoint | None = None
    read_through: int | None = None
    read_from: int | None = None
    forget_before: int | None = None

    def settle(self, outcome: Outcome) -> None:
        """Told once, when every record of the batch is durable or refused for good, or the pipeline stopped before.

        A pull source ignores it. A push source overrides it to answer its client.
        """


class Source(Component):
    """Delivers records, at least once.

    ``rereads`` says whether a record may be delivered again after it was settled (overlapping reads, a resume that is
    not exact): the pipeline then keeps a ledger of what was delivered, and passes each record on once.

    A source whose past can be read again sets ``seekable`` and defines :meth:`partitions`, :meth:`origin` and
    :meth:`reread`. It can then be swept, audited and backfilled.
    """

    rereads: ClassVar[bool] = True
    seekable: ClassVar[bool] = False

    @property
    def sweep_ages(self) -> Sequence[float]:
        """Ages, in seconds, ascending, at which records are read again to find those that became visible late."""
        return ()

    def trouble(self) -> str | None:
        """Why nothing can be read, in words, if that has been so for a while; the source goes on trying meanwhile."""
        return None

    def unreadable(self) -> Mapping[str, str]:
        """Which partitions cannot be read now though others may be, and why; the source goes on trying meanwhile."""
        return {}

    def now(self) -> int:
        """The source's own present, microseconds; the best it knows."""
        return time.time_ns() // 1000

    async def partitions(self) -> list[str]:
        """Return the names of all partitions that the configuration means, those found by a prefix included.

        Raises:
            CheckError: they cannot be listed.
        """
        raise NotImplementedError

    async def origin(self, partition: str) -> LogStream:
        """Return where the partition's records come from: its ``log_stream`` is empty.

        Raises:
            CheckError: it cannot be found out.
        """
        raise NotImplementedError

    def reread(self, partition: str, since: int, until: int) -> AsyncGenerator[Batch, None]:
        """Yield once all records visible now that are dated ``since`` <= time < ``until``, microseconds; then end.

        An async generator, in the order of :meth:`read`: ascending time, so that after a batch whose last record is of
        time *t* the reading can be taken up again at *t*. Batches carry records only. It gives way to :meth:`read`
        where both share a quota. What passes is waited for within, without end.

        Raises:
            CheckError: the partition cannot be read, and waiting for a while would not help; the text says why.
                ``AbsentError`` where that is because it does not exist.
        """
        raise NotImplementedError

    def read(self, after: Mapping[str, Checkpoint], *, drain: bool = False) -> AsyncGenerator[Batch, None]:
        """Yield batches for ever, or with ``drain`` until all that is visible now has been read. An async generator.

        ``after`` holds the saved checkpoint of each known partition. Order and checkpoints are per partition. The next
        batch is asked for only when the pipeline has room: a source keeps no more than a page or two in memory. Errors
        that may pass are logged and retried within; the iterator raises only what ends the pipeline.

        Raises:
            CheckError: the source cannot work at all.
        """
        raise NotImplementedError


class Parser(Component):
    """Makes events of blocks. Synchronous and pure: the same block gives the same events, and nothing else changes."""

    def members(self) -> Sequence[Parser]:
        """Return the parsers that stand in this one's place, in order: for most, itself alone.

        A parser such as ``auto`` names others here; it is never asked about a record itself.
        """
        return (self,)

    def parse(self, block: Block) -> list[Event] | None:
        """Make events of the block.

        Returns:
            ``None``: not mine, the next parser is asked. A list, maybe empty: mine. The first event of the list carries
            the block's text and its records; an empty list means that the block is counted as filtered.

        Raises:
            ParseError: mine, but malformed. The block is kept whole as a ``log`` event with the error noted.
        """
        raise NotImplementedError

    def explain(self, block: Block) -> str | None:
        """Say in a few words why the block is this parser's, or is not, for ``vectadb-agent parse --explain``.

        Never asked where events are made. ``None``: there is nothing to say beyond yes or no.
        """
        return None

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Cut one record's text, for output that spans records or shares them. Most parsers need not define this.

        ``state`` is what this parser said of the stream's open block if it started that block, else ``None``. The
        texts of the pieces, put together, are ``text``. An empty result means that none of it is this parser's
        business. Must be quick: it is asked about every record that no other parser has claimed.
        """
        return ()


class Processor(Component):
    """Changes events, or leaves them out, between parser and sinks. Synchronous and pure, as a parser is.

    It is asked in the order of the configuration, about each event by itself: the same event must give the same, since
    what was cut off in the middle is read and processed again.
    """

    def process(self, event: Event) -> Event | None:
        """Return the event, changed in place or another; ``None``: it is left out.

        ``block``, ``raw``, ``timestamp`` and ``agent_id`` are filled in; the ids come later. Where a block's first
        event is left out its text goes on with the next one; where all are, its records count as filtered. One that
        raises does not let the event's words through: a bare ``log`` event takes its place, which says so.
        """
        raise NotImplementedError


class Result(msgspec.Struct, kw_only=True):
    """What a sink did with a batch of events, by event id. Ids that stand nowhere count as ``delivered``.

    ``refused``: ``(event_id, reason, retryable)`` each. ``overlapping``: ``(event_id, unclaimed)`` for a block of which
    the sink already holds some records in another block and lacks others: nothing of it was stored; ``unclaimed`` are
    the positions in ``event.block.records`` that it lacks, which the pipeline then ships by themselves.
    """

    duplicate: Sequence[str] = ()
    expired: Sequence[str] = ()
    refused: Sequence[tuple[str, str, bool]] = ()
    overlapping: Sequence[tuple[str, Sequence[int]]] = ()


class Holding(msgspec.Struct, frozen=True):
    """What a sink holds of one partition in one hour, in records.

    ``hour``: its start, microseconds. ``digest``: the sum, modulo 2**128, of :func:`vectadb_agent.records.record_hash`
    over the ids of its records.
    """

    hour: int
    count: int
    digest: int


class Holdings(msgspec.Struct, frozen=True):
    """What a sink holds of one partition. Records dated before ``horizon`` (microseconds) it does not keep."""

    hours: Sequence[Holding]
    horizon: int | None = None


class HeldRecord(msgspec.Struct, frozen=True):
    """A record that a sink holds: its id (as an event, part ``"0"``), and what names it at the source.

    ``timestamp``: the record's own, microseconds.
    """

    event_id: str
    log_stream: str
    log_id: str
    timestamp: int


class SinkConfig(ComponentConfig):
    """Base of every sink's ``Config``: how the pipeline hands events to it. A sink itself need not look at these."""

    batch_size: int = Field(default=100, ge=1, le=10_000)
    """Most events in one write."""
    batch_bytes: Size = Field(default=1_000_000, ge=1_000)
    """Most bytes of log text in one write; a larger event is written alone."""
    batch_age: Duration = Field(default=0.5, ge=0)
    """Longest time that an event waits for its batch to fill."""
    concurrency: int = Field(default=4, ge=1, le=64)
    """Most writes under way at once, for each pipeline."""
    required: bool = True
    """Whether checkpoints wait for this sink. One that is not required may lag; what it misses is counted."""


class Reading(msgspec.Struct, frozen=True):
    """How far a pipeline has read a partition of its source; times are RFC 3339.

    ``read_through``: everything visible up to there was delivered, saved; ``None``: nothing yet. ``complete_through``:
    up to there it was read again and nothing was missing, by the age at which that was done, seconds.
    """

    pipeline: str
    partition: str
    read_through: str | None = None
    complete_through: dict[str, str] = {}


class AgentReport(msgspec.Struct, frozen=True):
    """How a running agent is doing. ``agent`` tells agents apart; ``reasons``: why it is not well, empty if it is."""

    agent: str
    version: str
    reasons: list[str]
    readings: list[Reading]


class Sink(Component):
    """Takes events. ``idempotent`` says whether a repeated event id changes nothing; otherwise it is at-least-once.

    A sink that can say what it holds sets ``tells`` and defines :meth:`holdings` and :meth:`missing`. What it holds can
    then be compared with the source, however long ago it was delivered.
    """

    Config: ClassVar[type[ComponentConfig]] = SinkConfig
    idempotent: ClassVar[bool] = False
    tells: ClassVar[bool] = False

    async def holdings(self, origin: LogStream, since: int, until: int) -> Holdings:
        """Return counts and digests of the hours that begin in ``since`` <= hour < ``until``, microseconds.

        Hours of which nothing is held may be left out. ``origin.log_stream`` is ignored.

        Raises:
            RetryableError: it cannot be told now.
        """
        raise NotImplementedError

    async def missing(self, records: Sequence[tuple[str, int]]) -> set[str]:
        """Return the ids of those records that the sink does not hold and still would take.

        ``records``: at most 10,000, each the id of the record (as an event, part ``"0"``) and its time, microseconds.

        Raises:
            RetryableError: it cannot be told now.
        """
        raise NotImplementedError

    async def held(
        self, origin: LogStream, since: int, until: int, after: str | None = None
    ) -> tuple[Sequence[HeldRecord], str | None]:
        """Return a page of the records held that are dated ``since`` <= time < ``until``, at most an hour.

        With it what follows: the ``after`` of the next page, or ``None``. The order is free; ``origin.log_stream`` is
        ignored. Without this method an audit counts what a sink holds too much, but cannot name it.

        Raises:
            RetryableError: it cannot be told now.
        """
        return (), None

    async def report(self, told: AgentReport) -> None:
        """Pass on how the agent is doing, where the sink's side can show it; called every quarter of a minute.

        Whatever it raises is logged once, and changes nothing: delivery does not depend on it.
        """

    async def write(self, events: Sequence[Event]) -> Result:
        """Deliver the events; return only when they are durable. Called concurrently.

        Raises:
            RetryableError: nothing is known to be delivered; the same batch comes again. Any other exception counts as
                one, and is logged with its traceback.
            PermanentError: the batch will never be taken; its events go to the quarantine.
            CheckError: the sink will never work again; the pipeline ends.
            TooLargeError: the batch is split and its halves are tried.
        """
        raise NotImplementedError
