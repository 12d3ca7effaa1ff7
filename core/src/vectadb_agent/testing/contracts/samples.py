"""What the suites work on: records, blocks, events, and texts that look like the author's samples and are not."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

from vectadb_agent.join import Joined
from vectadb_agent.parsing import Parsing
from vectadb_agent.records import Block, Event, LogRecord, LogStream, id_maker

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vectadb_agent.records import Piece

STREAM = LogStream("contract", "1", "test-1", "/contract", "one")
"""Where the samples come from."""
_ROUNDS = 300
_NOISE = (*"{}[]()\"'`:=,\\/ \n\r\t\0é✓", "\x1b[0m", "\x1b[32;1m\x1b[1;3m", "9" * 30, "null", "-1e999", "\u202e")


def log_records(count: int, stream: LogStream = STREAM) -> list[LogRecord]:
    """Records of one stream, a second apart."""
    return [LogRecord(stream, f"{n:04}", 1_767_225_600_000_000 + n * 1_000_000, f"line {n} é") for n in range(count)]


def made_events(count: int, stream: LogStream = STREAM) -> list[Event]:
    """Events as a pipeline without parsers makes them."""
    parsing = Parsing(())
    return [parsing.events(joined(Block((each,), (each.message,), ("0",))))[0] for each in log_records(count, stream)]


def event_with(fields: Mapping[str, Any]) -> Event:
    """An event with these fields, of a block of its text."""
    text = str(fields.get("raw", "a line"))
    event = Event(raw=text, timestamp=1_767_225_600_000_000, block=block_of(text))
    for name, value in fields.items():
        setattr(event, name, copy.deepcopy(value))
    return event


def block_of(text: str) -> Block:
    """A block whose lines are records."""
    lines = tuple(text.split("\n"))
    records = tuple(LogRecord(STREAM, str(number), number, line) for number, line in enumerate(lines))
    return Block(records, lines, ("0",) * len(lines))


def joined(block: Block) -> Joined[None]:
    """The block as the joining hands it on, where no parser has claimed it."""
    return Joined(block, None, (None,) * len(block.records))


def record_id(record: LogRecord) -> str:
    """The id of the record's event."""
    return id_maker(record.stream)(record.log_id, "0")


def state_after(pieces: Sequence[Piece], state: Any) -> Any:
    """What core hands the parser next: the state of the block that is open then."""
    for piece in pieces:
        if piece.kind == "start" or (piece.kind == "continue" and state is not None):
            state = None if piece.closes else True if piece.state is None else piece.state
    return state


def mutations(texts: Sequence[str]) -> list[str]:
    """Texts that look like the given ones, and noise; the same each time."""
    random_ = random.Random(0)
    seeds = [text for text in texts if text] or ["a line"]
    made = ["", *seeds]
    for _ in range(_ROUNDS):
        text = random_.choice(seeds)
        for _ in range(random_.randrange(1, 5)):
            at, cut = random_.randrange(len(text) + 1), random_.randrange(8)
            text = text[:at] + random_.choice([*_NOISE, "", random_.choice(seeds)]) + text[at + cut :]
        made.append(text)
    return made
