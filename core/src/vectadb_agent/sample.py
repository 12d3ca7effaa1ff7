"""Sample lines through parsers and processors, without a source or a sink: what ``vectadb-agent parse`` does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from pydantic import ValidationError

from vectadb_agent.components import Parser
from vectadb_agent.errors import ParseError, UsageError
from vectadb_agent.host import load
from vectadb_agent.join import Joined, Joiner
from vectadb_agent.parsing import Parsing
from vectadb_agent.records import Event, LogRecord, LogStream, sendable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from vectadb_agent.components import Processor
    from vectadb_agent.config import Pipeline
    from vectadb_agent.records import Block

STREAM = LogStream("sample", "", "", "sample", "stdin")


class Chain(NamedTuple):
    """What lines go through."""

    parsers: Sequence[Parser]
    processors: Sequence[Processor] = ()
    agent_id: str | None = None


def choose(pipelines: Sequence[Pipeline], name: str | None) -> Pipeline:
    """Return the pipeline of that name, or the only one.

    Raises:
        UsageError: there is no such pipeline, or there are several and none is named.
    """
    known = ", ".join(pipeline.name for pipeline in pipelines)
    if name is None and len(pipelines) == 1:
        return pipelines[0]
    for pipeline in pipelines:
        if pipeline.name == name:
            return pipeline
    raise UsageError(
        f"which pipeline? Name one with --pipeline: {known}"
        if name is None
        else f"no pipeline {name!r} in the configuration (there are: {known})"
    )


def parsers_by_name(names: Sequence[str]) -> tuple[Parser, ...]:
    """Make parsers of those types with their default options.

    Raises:
        UsageError: one is unknown, or needs options.
    """
    host = load()
    parsers: list[Parser] = []
    for name in names:
        provided = host.components["parser"].get(name)
        if provided is None:
            raise UsageError(host.unknown("parser", name))
        try:
            parser = provided.make(provided.component.Config(type=name))
        except ValueError as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            reason = reason.removeprefix("Value error, ")
            raise UsageError(
                f"parser {name!r} cannot be used without options: {reason}. Write a configuration, and use --config"
            ) from error
        except Exception as error:
            whose = f"parser {name!r} of {provided.distribution} {provided.version}"
            raise UsageError(f"{whose} failed: {type(error).__name__}: {error}") from error
        assert isinstance(parser, Parser)
        parsers.extend(parser.members())
    return tuple(parsers)


class Taken(msgspec.Struct):
    """What became of one block: where its lines are, counted from 1, who took it, and into what.

    ``heads``: how many lines begin in it; a line that was cut is in several blocks. ``why``: what the parser says.
    ``others``: what the other parsers say, in the order in which they were asked or would have been; ``asked`` of them
    were before it was taken.
    """

    lines: list[int]
    heads: int
    text: str
    parser: str | None
    why: str | None
    events: list[Event]
    others: dict[str, str] = {}
    asked: int = 0


def parse(lines: Iterable[str], chain: Chain, *, explain: bool = False) -> Iterator[Taken]:
    """Join and parse lines as the records of one stream; yield what becomes of each block, as soon as it is done."""
    parsers = chain.parsers
    joiner: Joiner[int] = Joiner(parsers)
    parsing = Parsing(parsers, chain.agent_id, processors=chain.processors, pipeline="sample")

    def told(joined: Joined[int]) -> Taken:
        taker, events = parsing.parse(joined)
        block = joined.block
        name = None if taker is None else taker.name
        taken = Taken([*dict.fromkeys(joined.tags)], block.parts.count("0"), block.text, name, None, events)
        if explain:
            order = [parsers[index] for index in parsing.order(joined.owner)]
            taken.asked = order.index(taker) if taker is not None else len(order)
            taken.why = None if taker is None else taker.explain(block)
            taken.others = {other.name: _says(other, block) for other in order if other is not taker}
        return taken

    now = time.time_ns() // 1000
    for number, line in enumerate(lines, 1):
        record = LogRecord(STREAM, str(number), now + number, sendable(line.removesuffix("\n")))
        yield from map(told, joiner.add(record, number, now))
    yield from map(told, joiner.flush())


def _says(parser: Parser, block: Block) -> str:
    """Why a parser does not take a block, or what it would make of it."""
    try:
        events = parser.parse(block)
    except ParseError as error:
        return f"malformed: {error}"
    except Exception as error:  # noqa: BLE001 - a parser may raise anything; that is what the user is told
        return f"failed: {type(error).__name__}: {error}"
    if events is None:
        return parser.explain(block) or "not its format"
    return "would take it, as " + (", ".join(event.event_type for event in events) or "nothing")
