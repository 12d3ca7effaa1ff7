"""Sample lines through parsers, without a source or a sink: what ``vectadb-agent parse`` does."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from vectadb_agent.components import Parser
from vectadb_agent.errors import UsageError
from vectadb_agent.host import load
from vectadb_agent.join import Joined, Joiner
from vectadb_agent.parsing import Parsing
from vectadb_agent.records import LogRecord, LogStream, sendable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vectadb_agent.config import Pipeline

STREAM = LogStream("sample", "", "", "sample", "stdin")


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
            parser = provided.component(provided.component.Config(type=name))
        except ValueError as error:
            raise UsageError(
                f"parser {name!r} cannot be used without options; write a configuration and use --config. ({error})"
            ) from error
        assert isinstance(parser, Parser)
        parsers.extend(parser.members())
    return tuple(parsers)


def parse(
    lines: Iterable[str], parsers: Sequence[Parser], agent_id: str | None, show: Callable[[str], object]
) -> dict[str, int]:
    """Join and parse lines as one stream, and show each event as a line of JSON, in its wire form.

    Returns:
        How many records each parser took, by its name; under ``""`` those that none did.
    """
    joiner: Joiner[None] = Joiner(parsers)
    parsing = Parsing(parsers, agent_id, pipeline="sample")
    taken: dict[str, int] = {}

    def put_out(finished: list[Joined[None]]) -> None:
        for joined in finished:
            before = dict(parsing.taken)
            for event in parsing.events(joined):
                show(msgspec.json.encode(event.wire()).decode())
            (name,) = (name for name, count in parsing.taken.items() if count != before.get(name, 0))
            taken[name] = taken.get(name, 0) + joined.block.parts.count("0")

    now = time.time_ns() // 1000
    for number, line in enumerate(lines):
        record = LogRecord(STREAM, str(number + 1), now + number, sendable(line.removesuffix("\n")))
        put_out(joiner.add(record, None, now))
    put_out(joiner.flush())
    return taken
