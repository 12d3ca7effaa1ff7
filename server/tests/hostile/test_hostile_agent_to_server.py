"""From the agent's lines, through every parser and the sink, to a real server and back: the text that was put."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from server.tests.hostile import contents
from server.tests.hostile.rule import ONE, unescaped
from vectadb_agent import LogRecord, LogStream
from vectadb_agent.join import Joiner
from vectadb_agent.parsing import Parsing
from vectadb_agent.records import sendable
from vectadb_agent_parsers import vectadb_register_parsers
from vectadb_agent_sinks.vectadb import VectaDBConfig, VectaDBSink

if TYPE_CHECKING:
    from server.tests.hostile.rule import Server
    from vectadb_agent import Event

STREAM = LogStream("aws", "1", "eu-west-1", "/hostile", "s")
AT = 1_772_366_400_000_000


def lines() -> list[str]:
    """Return hostile texts, also inside what parsers look for."""
    frames = (
        "%s",
        '{"message": "%s"}',
        "Action: %s\n",
        "[ERROR]\t2026-01-01T00:00:00.123Z\tx\t%s",
        "\x1b[32;1m\x1b[1;3m%s\x1b[0m\n",
    )
    made = [frame.replace("%s", text) for text in contents.TEXTS.values() for frame in frames]
    made += [contents.nested(10_000), contents.nested(10_000, of="{"), '{"a":' + "9" * 5_000 + "}", '{"a":1e400}']
    return [*made, "x" * 1_000_000, "é" * 500_000, '{"message":"' + "y" * 500_000 + '"}', "\x1b" * 100_000]


def events_of(texts: list[str]) -> list[Event]:
    parsers = [
        cls(cls.Config(type=cls.name, **({"pattern": "(?P<message>.*)"} if cls.name == "regex" else {})))
        for cls in vectadb_register_parsers()
    ]
    joiner: Joiner[int] = Joiner(parsers)
    parsing = Parsing(parsers)
    done = []
    for number, text in enumerate(texts):
        # As the source hands it on: what UTF-8 cannot carry is escaped.
        done += joiner.add(LogRecord(STREAM, str(number), AT + number, sendable(text)), number, AT)
    return [event for joined in [*done, *joiner.flush()] for event in parsing.events(joined)]


def test_the_text_read_back_is_the_text_put(server: Server) -> None:
    texts = lines()
    events = events_of(texts)

    async def ship() -> list[tuple[str, str, bool]]:
        refused = []
        async with VectaDBSink(VectaDBConfig(type="vectadb", endpoint=str(server.http.base_url))) as sink:
            for at in range(0, len(events), 50):
                refused += (await sink.write(events[at : at + 50])).refused
        return refused

    assert anyio.run(ship) == []
    read: dict[str, list[tuple[str, str]]] = {}
    for event in events:
        got = server.get(f"{ONE}/{event.event_id}")
        if event.raw is None:
            assert got["raw"] is None
            continue
        assert event.block is not None
        assert got["raw"] == event.block.text
        for record, part, text in zip(event.block.records, event.block.parts, event.block.lines, strict=True):
            read.setdefault(record.log_id, []).append((part, text))
    for number, text in enumerate(texts):
        pieces = sorted(read[str(number)], key=lambda piece: int(piece[0]))
        assert unescaped("".join(text for _, text in pieces)) == text
