"""Parsers by themselves: lines a second through joining and parsing, and a million lines that nobody meant to print."""

from __future__ import annotations

import json
import random
import time
from typing import TYPE_CHECKING

from benchmarks.accuracy import recordings
from benchmarks.accuracy.running import noise
from benchmarks.table import Row, median
from vectadb_agent import LogRecord, LogStream
from vectadb_agent.join import Joiner
from vectadb_agent.parsing import Parsing
from vectadb_agent.sample import parsers_by_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

RUNS = 3
JSON_LINES = 100_000
MIXED_LINES = 100_000
MUTATED_LINES = 1_000_000
LONGEST = 20_000
"""Characters of a recorded line that are used: the speed of long ones is that of searching a text."""
STREAM = LogStream("aws", "123456789012", "eu-west-1", "/benchmark", "s")
PIECES = ("\x1b[0m", "\x1b[32;1m\x1b[1;3m", *"{}\"'[(=\\\n\r\0é\ud800", "")


def speed() -> list[Row]:
    """Lines a second on one core, records made beforehand, events complete with ids."""
    dice = random.Random(20261124)
    objects = [
        json.dumps(
            {
                "timestamp": "2026-01-01T00:00:00.123Z",
                "level": "INFO",
                "message": f"order {number} taken",
                "requestId": f"8f5d1c3a-0000-4000-8000-{number:012d}",
                "order": {"id": number, "lines": [1, 2]},
            }
        )
        + "\n"
        for number in range(JSON_LINES)
    ]
    printed, ordinary = recorded_lines(), ordinary_lines()
    mixed = [dice.choice(printed if dice.random() < 0.5 else ordinary) for _ in range(MIXED_LINES)]
    rows = []
    for name, lines, wanted in (("json", objects, 60_000), ("auto", mixed, 30_000)):
        rates = [len(lines) / taken(name, lines)[0] for _ in range(RUNS)]
        rows.append(
            Row(
                name=f"parser {name}",
                what=f"parser: {name}, join and parse",
                measured=median(rates),
                unit="lines/s",
                wanted=wanted,
                runs=rates,
                note="half of frameworks' recordings, half ordinary logs" if name == "auto" else "110 bytes a line",
            )
        )
    return rows


def mutated() -> list[Row]:
    """A million random and mutated lines through ``auto``: nothing raised, nothing lost, and how long it took."""
    seed = 20261124
    dice = random.Random(seed)
    lines = list(mutations(dice, MUTATED_LINES))
    seconds, failed, lost = taken("auto", lines)
    half, _, _ = taken("auto", lines[: MUTATED_LINES // 2])
    return [
        Row(name="mutated", what="parser: mutated lines that raised", measured=failed, unit="lines", wanted=0,
            at_least=False, note=f"seed {seed}; {MUTATED_LINES:,} lines, {MUTATED_LINES / seconds:,.0f}/s"),
        Row(name="mutated", what="  characters of them that were lost", measured=lost, unit="", wanted=0,
            at_least=False),
        Row(name="mutated", what="  time for all of them / twice that for half", measured=seconds / (2 * half), unit="",
            wanted=1.5, at_least=False, note="linear: 1"),
    ]  # fmt: skip


def taken(name: str, lines: Sequence[str]) -> tuple[float, int, int]:
    """Seconds of processor time to join and parse lines; how many blocks a parser raised at; characters lost."""
    parsers = parsers_by_name([name])
    joiner: Joiner[int] = Joiner(parsers)
    parsing = Parsing(parsers)
    records = [LogRecord(STREAM, f"{n:09d}", n * 1000, line, n * 1000) for n, line in enumerate(lines)]
    kept = 0
    began = time.process_time()
    for number, record in enumerate(records):
        for joined in joiner.add(record, number, 0):
            parsing.events(joined)
            kept += sum(map(len, joined.block.lines))
    for joined in joiner.flush():
        parsing.events(joined)
        kept += sum(map(len, joined.block.lines))
    return time.process_time() - began, parsing.failed + joiner.failed, sum(map(len, lines)) - kept


def recorded_lines() -> list[str]:
    """Every line of the open recordings, as frameworks printed them."""
    texts = [each.text for each in recordings.read() if not each.held_out and each.text]
    return [f"{line}\n" for text in texts for line in text.split("\n") if len(line) < LONGEST]


def ordinary_lines() -> list[str]:
    """Lines of ordinary logs."""
    folder = recordings.RECORDINGS / "noise"
    return [line for path in sorted(folder.glob("*.txt.gz")) for line in noise(path) if len(line) < LONGEST]


def mutations(dice: random.Random, count: int) -> Iterator[str]:
    """Recorded lines with pieces cut out, put in and swapped; one in ten is noise from end to end."""
    lines = [line[:400] for line in recorded_lines()]
    for _ in range(count):
        if dice.random() < 0.1:
            yield "".join(dice.choices((*PIECES, *"a 1:-<>"), k=dice.randrange(40)))
            continue
        line = dice.choice(lines)
        for _ in range(dice.randrange(3)):
            at = dice.randrange(len(line) + 1)
            put_in = dice.choice(PIECES) if dice.random() < 0.7 else dice.choice(lines)[: dice.randrange(60)]
            line = line[:at] + put_in + line[at + dice.randrange(6) :]
        yield line
