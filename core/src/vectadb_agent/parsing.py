"""Parsing: from a joined block to the events that leave the pipeline, whatever parsers and processors do."""

from __future__ import annotations

import logging
import traceback
from typing import TYPE_CHECKING, Any

from vectadb_agent.errors import ParseError
from vectadb_agent.records import Event, id_maker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectadb_agent.components import Parser, Processor
    from vectadb_agent.join import Joined
    from vectadb_agent.records import Block, LogRecord, LogStream

logger = logging.getLogger("vectadb_agent.parsing")

MOST_AHEAD = 86_400_000_000
"""Microseconds that an event's own time may be ahead of its record's: by a zone or a wrong clock. What is further ahead
is another time that the text tells, and would stand on top of every list for as long."""

STREAMS = 10_000
"""Streams whose id maker is kept at hand; beyond that all are made anew."""


class Parsing:
    """The parsers of one pipeline, asked in order, and its processors.

    ``taken`` counts the blocks that each parser took, by its name; under ``""`` those that none did. ``failed``: blocks
    at which a parser raised what no parser should. ``left_out``: events that each processor left out; ``withheld``:
    those at which it raised.
    """

    def __init__(
        self,
        parsers: Sequence[Parser],
        agent_id: str | None = None,
        *,
        processors: Sequence[Processor] = (),
        pipeline: str = "",
    ) -> None:
        self.taken: dict[str, int] = {}
        self.failed = 0
        self.left_out: dict[str, int] = {processor.name: 0 for processor in processors}
        self.withheld: dict[str, int] = {processor.name: 0 for processor in processors}
        self._parsers = parsers
        self._processors = processors
        self._agent_id = agent_id
        self._pipeline = pipeline
        self._ids: dict[LogStream, Callable[[str, str], str]] = {}

    def events(self, joined: Joined[Any]) -> list[Event]:
        """Make the block's events, complete with ids, records and text. Never raises for a parser's fault.

        The parser that joined the block is asked first, then the others in order; what none takes becomes a ``log``
        event. The list is empty where a parser took the block and made nothing of it, or the processors left out all.
        """
        return self.parse(joined)[1]

    def parse(self, joined: Joined[Any]) -> tuple[Parser | None, list[Event]]:
        """Do what :meth:`events` does, and name the parser that took the block, if one did."""
        block = joined.block
        taker: Parser | None = None
        events: list[Event] | None = None
        for index in self.order(joined.owner):
            events = self._ask(self._parsers[index], block)
            if events is not None:
                taker = self._parsers[index]
                break
        name = "" if taker is None else taker.name
        self.taken[name] = self.taken.get(name, 0) + 1
        return taker, self.finished([Event()] if events is None else events, block)

    def finished(self, events: list[Event], block: Block) -> list[Event]:
        """Return what leaves the pipeline of what a parser made of the block."""
        events = self._completed(events, block)
        for processor in self._processors:
            events = self._processed(processor, events)
        return self._named(events, block)

    def id_maker(self, stream: LogStream) -> Callable[[str, str], str]:
        """Return the function that makes the event ids of a stream."""
        maker = self._ids.get(stream)
        if maker is None:
            if len(self._ids) >= STREAMS:
                self._ids.clear()
            maker = self._ids[stream] = id_maker(stream)
        return maker

    def id_of(self, record: LogRecord, part: str = "0") -> str:
        """Return the event id of a record, or of a piece of it."""
        return self.id_maker(record.stream)(record.log_id, part)

    def order(self, owner: int | None) -> Sequence[int]:
        """Return the positions of the parsers in the order in which they are asked about a block of ``owner``'s."""
        count = len(self._parsers)
        return range(count) if owner is None else (owner, *(index for index in range(count) if index != owner))

    def _ask(self, parser: Parser, block: Block) -> list[Event] | None:
        try:
            return parser.parse(block)
        except ParseError as error:
            reason = str(error)
            logger.warning(
                "malformed log text; kept whole as a log event", extra=self._where(parser, block, self._tellable(error))
            )
        except Exception as error:
            self.failed += 1
            reason = f"{type(error).__name__}: {error}"
            where = self._where(parser, block, self._tellable(error))
            logger.exception(
                "parser failed; the text is kept whole as a log event", extra=where, exc_info=not self._processors
            )
        return [Event(properties={"vectadb.parser": parser.name, "vectadb.parse_error": reason})]

    def _tellable(self, error: Exception) -> str:
        """What the log may tell of an error that may quote the text: processors have not seen it yet."""
        return type(error).__name__ if self._processors else str(error)

    def _where(self, parser: Parser, block: Block, error: str | None = None) -> dict[str, Any]:
        head = block.head
        where = {
            "pipeline": self._pipeline,
            "parser": parser.name,
            "log_group": head.stream.log_group,
            "log_stream": head.stream.log_stream,
            "log_id": head.log_id,
        }
        return where if error is None else {**where, "error": error}

    def _completed(self, events: list[Event], block: Block) -> list[Event]:
        """Fill in what parsers leave to the pipeline, but for the ids."""
        for number, event in enumerate(events):
            event.block = block
            event.raw = block.text if number == 0 else None
            if event.timestamp is None or event.timestamp > block.timestamp + MOST_AHEAD:
                event.timestamp = block.timestamp
            if event.agent_id is None:
                event.agent_id = self._agent_id
        return events

    def _processed(self, processor: Processor, events: list[Event]) -> list[Event]:
        """Return the events that a processor lets through; the block's text stays with the first of them."""
        made = [(event, self._process(processor, event)) for event in events]
        kept = [after for _, after in made if after is not None]
        self.left_out[processor.name] += len(events) - len(kept)
        if kept and made[0][1] is None:
            kept[0].raw = made[0][0].raw
        return kept

    def _process(self, processor: Processor, event: Event) -> Event | None:
        block, timestamp = event.block, event.timestamp
        try:
            return processor.process(event)
        except Exception as error:  # noqa: BLE001 - a plugin may raise anything
            # Neither the event nor the log may tell what the processor was there to hide: no message, no values.
            assert block is not None
            kind = type(error).__name__
            last = traceback.extract_tb(error.__traceback__)[-1]
            where = {"pipeline": self._pipeline, "processor": processor.name, "log_group": block.stream.log_group}
            where |= {"log_stream": block.stream.log_stream, "log_id": block.head.log_id, "error": kind}
            where |= {"at": f"{last.filename}:{last.lineno}"}
            logger.error("processor failed; the event goes on without its words", extra=where)  # noqa: TRY400 - a traceback tells values
            self.withheld[processor.name] += 1
            told = {"vectadb.processor": processor.name, "vectadb.processor_error": kind}
            return Event(timestamp=timestamp, block=block, agent_id=self._agent_id, properties=told)

    def _named(self, events: list[Event], block: Block) -> list[Event]:
        """Number the events and give them their ids."""
        head, base = block.records[0], block.parts[0]
        event_id = self.id_maker(head.stream)
        for number, event in enumerate(events):
            event.part = base if number == 0 else f"{base}.{number}"
            event.event_id = event_id(head.log_id, event.part)
        return events
