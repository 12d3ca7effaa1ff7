"""The three kinds of component that a plugin brings, and what each promises.

A component class has a ``name`` (the ``type`` in YAML) and a ``Config``. It is made without I/O, opened with
``async with``, and closed by leaving it. ``check()`` says what is wrong in words a user can act on.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import msgspec
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from vectadb_agent.records import Block, Event, LogRecord, Piece

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
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


class Component:
    """What sources, parsers and sinks have in common."""

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
    ``forget_before``: once this batch is settled the source will not deliver older records again, so that the ledger
    may drop them.
    An empty batch is legal: it carries a checkpoint or ``read_through``.
    """

    partition: str
    records: Sequence[LogRecord]
    checkpoint: Checkpoint | None = None
    read_through: int | None = None
    forget_before: int | None = None

    def settle(self, outcome: Outcome) -> None:
        """Told once, when every record of the batch is durable or refused for good, or the pipeline stopped before.

        A pull source ignores it. A push source overrides it to answer its client.
        """


class Source(Component):
    """Delivers records, at least once.

    ``rereads`` says whether a record may be delivered again after it was settled (overlapping reads, a resume that is
    not exact): the pipeline then keeps a ledger of what was delivered, and passes each record on once.
    """

    rereads: ClassVar[bool] = True

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

    def parse(self, block: Block) -> list[Event] | None:
        """Make events of the block.

        Returns:
            ``None``: not mine, the next parser is asked. A list, maybe empty: mine. The first event of the list carries
            the block's text and its records; an empty list means that the block is counted as filtered.

        Raises:
            ParseError: mine, but malformed. The block is kept whole as a ``log`` event with the error noted.
        """
        raise NotImplementedError

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Cut one record's text, for output that spans records or shares them. Most parsers need not define this.

        ``state`` is what this parser said of the stream's open block if it started that block, else ``None``. The
        texts of the pieces, put together, are ``text``. An empty result means that none of it is this parser's
        business. Must be quick: it is asked about every record that no other parser has claimed.
        """
        return ()


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


class Sink(Component):
    """Takes events. ``idempotent`` says whether a repeated event id changes nothing; otherwise it is at-least-once."""

    Config: ClassVar[type[ComponentConfig]] = SinkConfig
    idempotent: ClassVar[bool] = False

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
