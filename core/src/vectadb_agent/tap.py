"""What passes through a pipeline, shown to whoever looks, stage by stage: read, joined, parsed, shipped.

Where nobody looks it costs nothing, and whoever looks holds nothing up: what is too fast for them is left out, and
counted. Of a pipeline with processors only what they let through is shown: texts before it may hold what they hide.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import anyio
import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence

    from vectadb_agent.records import Block, Event, LogRecord

Stage = Literal["read", "joined", "parsed", "shipped"]
MOST = 500
"""Glimpses that wait for one who looks; further ones are left out."""
PAUSE = 0.2
"""Seconds between two batches of glimpses: what is shown, at most 2,500 a second, costs the agent little."""
MOST_TEXT = 4_000
"""Characters of a text that are shown."""


class Glimpse(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that passed one stage.

    ``at``: the record's time, microseconds. ``text``: the record's, or the block's; ``None``: processors may hide it.
    ``records``: how many a block has. ``parser``: who took the block; empty: nobody. ``fate``: what became of a block's
    events: delivered, duplicate, quarantined, expired, or filtered where nothing was made of it.
    """

    stage: Stage
    pipeline: str
    log_group: str
    log_stream: str
    log_id: str
    at: int
    text: str | None = None
    records: int = 0
    parser: str = ""
    event: dict[str, Any] | None = None
    fate: str = ""


class Looker:
    """One who looks. ``missed``: how many glimpses were left out since :meth:`taken`."""

    def __init__(self) -> None:
        self.missed = 0
        self._waiting: deque[Glimpse] = deque()
        self._some = anyio.Event()

    def has_room(self) -> bool:
        """Whether there is room for one more; where not, that one counts as missed."""
        if len(self._waiting) < MOST:
            return True
        self.missed += 1
        return False

    def add(self, glimpse: Glimpse) -> None:
        """Show a glimpse."""
        self._waiting.append(glimpse)
        self._some.set()

    async def taken(self, patience: float) -> tuple[list[Glimpse], int]:
        """Wait for glimpses, at most so many seconds; return those that there are, and how many were missed."""
        with anyio.move_on_after(patience):
            await self._some.wait()
        taken, missed = list(self._waiting), self.missed
        self._waiting.clear()
        self._some, self.missed = anyio.Event(), 0
        return taken, missed


class Tap:
    """Where one pipeline can be looked into. ``hides``: texts before the processors are not shown."""

    def __init__(self, pipeline: str, *, hides: bool) -> None:
        self.lookers: set[Looker] = set()
        self._pipeline = pipeline
        self._hides = hides

    def read(self, records: Iterable[LogRecord]) -> None:
        """Records were read, and are no duplicates."""
        for record in records if self.lookers else ():
            for looker in self._with_room():
                looker.add(self._of("read", record, text=self._shown(record.message)))

    def joined(self, block: Block) -> None:
        """A block is whole."""
        for looker in self._with_room():
            text = self._shown(block.text)
            looker.add(self._of("joined", block.head, text=text, records=len(block.records)))

    def parsed(self, block: Block, parser: str, events: Sequence[Event]) -> None:
        """A parser made these events of a block, or nobody took it; the processors have seen them."""
        for event in events:
            for looker in self._with_room():
                looker.add(self._of("parsed", block.head, parser=parser, event=_told(event)))

    def shipped(self, block: Block, fate: str) -> None:
        """All required sinks have settled a block."""
        for looker in self._with_room():
            looker.add(self._of("shipped", block.head, records=len(block.records), fate=fate))

    def _with_room(self) -> list[Looker]:
        return [looker for looker in self.lookers if looker.has_room()]

    def _shown(self, text: str) -> str | None:
        return None if self._hides else text[:MOST_TEXT]

    def _of(self, stage: Stage, record: LogRecord, **more: Any) -> Glimpse:
        stream, at = record.stream, record.timestamp
        return Glimpse(stage, self._pipeline, stream.log_group, stream.log_stream, record.log_id, at, **more)


@contextmanager
def looking(taps: Sequence[Tap]) -> Iterator[Looker]:
    """Look into these pipelines while the block lasts."""
    looker = Looker()
    for each in taps:
        each.lookers.add(looker)
    try:
        yield looker
    finally:
        for each in taps:
            each.lookers.discard(looker)


async def lines(taps: Sequence[Tap], keep_alive: float = 5.0) -> AsyncGenerator[bytes, None]:
    """Yield glimpses as lines of JSON, and ``{"missed": n}`` where some were left out; without end.

    Where nothing passes an empty line comes every ``keep_alive`` seconds, by which the other side's end is noticed.
    """
    with looking(taps) as looker:
        while True:
            glimpses, missed = await looker.taken(keep_alive)
            told: list[Any] = [*glimpses, *([{"missed": missed}] if missed else [])]
            yield b"".join(msgspec.json.encode(each) + b"\n" for each in told) or b"\n"
            await anyio.sleep(PAUSE)


def _told(event: Event) -> dict[str, Any]:
    body = event.wire()
    body.pop("source", None)
    if isinstance(body.get("raw"), str):
        body["raw"] = body["raw"][:MOST_TEXT]
    return body
