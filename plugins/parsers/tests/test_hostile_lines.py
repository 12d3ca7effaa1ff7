"""Hostile log lines through every parser, and through all of them as a pipeline has them: nothing raises or is lost."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vectadb_agent import LogRecord, LogStream
from vectadb_agent.join import Joiner
from vectadb_agent.parsing import Parsing
from vectadb_agent_parsers import vectadb_register_parsers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Parser

STREAM = LogStream("aws", "1", "eu-west-1", "/g", "s")
RULES = {
    "rules": [{"pattern": r"(a+)+$"}, {"pattern": r"(?P<level>\w*)*(?P<message>(.|\n)*)x"}, {"pattern": r"(\s*\S*)*!"}]
}


def made(name: str) -> Parser:
    (cls,) = (cls for cls in vectadb_register_parsers() if cls.name == name)
    return cls(cls.Config(type=name, **(RULES if name == "regex" else {})))


NAMES = [cls.name for cls in vectadb_register_parsers()]
ALL = [made(name) for name in NAMES]


def deep(opens: str, closes: str, depth: int = 10_000) -> str:
    return opens * depth + "1" + closes * depth


LINES = {
    "empty": "",
    "nul": "\0" * 1_000,
    "control": "".join(map(chr, range(32))) * 30,
    "c1": "".join(map(chr, range(127, 160))) * 30,
    "surrogates": "\ud800" * 100 + "\udc00\ud800x",
    "line ends": "\r\n\r\r\n\n\x0b\x0c\x1c\x85\u2028\u2029" * 20,
    "arrays": deep("[", "]"),
    "objects": deep('{"a":', "}"),
    "objects unclosed": '{"a":' * 10_000,
    "arrays in an object": '{"a":' + deep("[", "]") + "}",
    "strings": '"' * 10_000,
    "2^70": '{"a":' + str(2**70) + "}",
    "digits": '{"a":' + "9" * 100_000 + "}",
    "1e400": '{"a":1e400,"time":1e400}',
    "nan": '{"a":NaN,"time":NaN}',
    "times": '{"timestamp":1e308}\n{"time":-1e18}\n{"ts":99999999999999999999}\n',
    "twice": '{"a":1,"a":2,"":3,"__proto__":{},"trace_id":[]}',
    "bom": '\ufeff{"a":1}',
    "json in json": '{"message":' + '"' + '\\"' * 5_000 + '"}',
    "escapes": "\x1b[" * 5_000,
    "colours": "\x1b[32;1m\x1b[1;3m" * 3_000,
    "huge colour": "\x1b[" + "9;" * 50_000 + "m",
    "reply": "Action: a\nAction Input: " + deep("{", "}"),
    "literal": "\x1b[32;1m\x1b[1;3m\nInvoking: `t` with `" + deep("{'a':", "}") + "`\n",
    "tool output": '[tool/end] [1:tool:x] [1ms] Exiting Tool run with output:\n"' + deep("[", "]") + '"',
    "debug object": "[chain/start] [1:chain:x] Entering Chain run with input:\n" + deep('{\n"a":', "}"),
    "lambda": "[ERROR]\t9999-99-99T99:99:99.999Z\t" + "x" * 10_000 + "\t",
    "report": "REPORT RequestId: " + "9" * 10_000 + "\tDuration: " + "9" * 400 + " ms\t",
    "logging": "9999-99-99 99:99:99,999 - a - ERROR - b\nTraceback (most recent call last):\n" + '  File "' * 5_000,
    "injection": "'; DELETE event; -- ⟩ ${jndi:ldap://x} <script>alert(1)</script> ../../etc/passwd %00%n",
    "many a": "a" * 50_000 + "!",
}


def through(texts: Sequence[str], parsers: Sequence[Parser] = ALL) -> list[tuple[str, str]]:
    """Join and parse texts as one stream; check every event; return ``(log_id, text)`` of all pieces in order."""
    joiner: Joiner[int] = Joiner(parsers)
    parsing = Parsing(parsers)
    done = []
    for number, text in enumerate(texts):
        done += joiner.add(LogRecord(STREAM, str(number), number, text), number, 0)
    done += joiner.flush()
    assert (joiner.held_bytes, joiner.held_pieces, len(joiner)) == (0, 0, 0)
    pieces = []
    for joined in done:
        for number, event in enumerate(parsing.events(joined)):
            assert event.raw == (joined.block.text if number == 0 else None)
            try:
                msgspec.json.encode(event.properties)
            except UnicodeEncodeError:
                assert any("\ud800" <= char <= "\udfff" for char in joined.block.text)
        block = joined.block
        pieces += [
            (int(record.log_id), int(part), text)
            for record, part, text in zip(block.records, block.parts, block.lines, strict=True)
        ]
    return [(str(log_id), text) for log_id, _, text in sorted(pieces)]


def nothing_is_lost(texts: Sequence[str], parsers: Sequence[Parser] = ALL) -> None:
    found = dict.fromkeys(map(str, range(len(texts))), "")
    for log_id, text in through(texts, parsers):
        found[log_id] += text
    assert list(found.values()) == list(texts)


@pytest.mark.parametrize("name", NAMES)
def test_each_line_through_each_parser(name: str) -> None:
    for text in LINES.values():
        nothing_is_lost([text], [made(name)])
        nothing_is_lost([f"{text}\n", text, f"\n{text}"], [made(name)])


def test_all_lines_in_one_stream() -> None:
    texts = list(LINES.values())
    for seed in range(5):
        random.Random(seed).shuffle(texts)
        nothing_is_lost(texts)


@given(st.lists(st.one_of(st.text(st.characters(codec=None)), st.sampled_from(list(LINES.values()))), max_size=12))
def test_any_lines_in_one_stream(texts: list[str]) -> None:
    nothing_is_lost(texts)


@pytest.mark.parametrize("filler", ["x", "\0", "\x1b", " ", "\n", '"', "{", "é", "a b\n", "\u2028"])
def test_a_line_of_a_megabyte(filler: str) -> None:
    text = (filler * 1_000_000)[:1_000_000]
    nothing_is_lost([text, '{"message":"' + text + '"}'])


def test_thousands_of_lines_that_each_open_a_block() -> None:
    openers = (
        "{\n",
        "Traceback (most recent call last):\n",
        "\x1b[1m> Entering new x chain...\x1b[0m\n",
        "[chain/start] [x\n",
        "DEBUG:openai.agents:Tool t returned x\n",
    )
    for opener in openers:
        nothing_is_lost([opener] * 5_000)
    nothing_is_lost([random.Random(1).choice(openers) for _ in range(5_000)])


GROWING = {
    "object": lambda n: '{"a":"' + '\\"' * n,
    "nested": lambda n: '{"a":' * n,
    "braces": lambda n: "{" * n,
    "colours": lambda n: "\x1b[32;1m\x1b[1;3m" * (n // 8),
    "escapes": lambda n: "\x1b[3" * (n // 4),
    "reply": lambda n: "Action: a\nAction Input" * (n // 20),
    "invoking": lambda n: "\x1b[32;1m\x1b[1;3m\nInvoking: `t` with `" + "{'a': '`" * (n // 8),
    "literal": lambda n: "\x1b[32;1m\x1b[1;3m\nInvoking: `t` with `{'a': " + "[" * n + "`\n",
    "fence": lambda n: '\x1b[32;1m\x1b[1;3m```json {"action"' * (n // 20),
    "traceback": lambda n: "Traceback (most recent call last):\n" * (n // 35),
    "frames": lambda n: "Traceback (most recent call last):\n" + "a.b: \n" * (n // 6),
    "messages": lambda n: "DEBUG:openai.agents:Tool t returned x\nmore\n" * (n // 43),
    "many a": lambda n: "a" * n + "!",
    "spaces": lambda n: "[ERROR]" + " " * n,
    "ids": lambda n: "session_id=" * (n // 11),
}


@pytest.mark.parametrize("name", GROWING)
def test_eight_times_the_text_takes_nothing_like_sixty_four_times_the_work(name: str) -> None:
    """In CPU time, and only where it is much at all: linear work on this text takes a tenth of that."""

    def cost(size: int) -> float:
        began = time.process_time()
        nothing_is_lost([GROWING[name](size), "}\n", "x"])
        return time.process_time() - began

    small = min(cost(40_000) for _ in range(2))
    large = min(cost(320_000) for _ in range(2))
    assert large < 0.3 or large < 32 * small, (small, large)
