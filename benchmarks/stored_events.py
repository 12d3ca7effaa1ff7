"""Many small events as a server gets them, each a function of its number: some 500 bytes of JSON, 100 to a trace."""

from __future__ import annotations

import json
import random
import zlib
from datetime import UTC, datetime
from functools import lru_cache

from benchmarks.messages import TOOLS, WORDS

PER_TRACE = 100
TOGETHER = 8
"""Traces that go on at the same time."""
AGENTS = 20
STEP_US = 345_600
"""Microseconds between two events: a million of them take four days."""


class Feed:
    """Event number ``n`` happened at ``start_us + n * STEP_US``."""

    def __init__(self, start_us: int) -> None:
        self.start_us = start_us

    def at(self, number: int) -> int:
        """When an event happened, microseconds since the epoch."""
        return self.start_us + number * STEP_US

    def trace(self, number: int) -> str:
        """The trace that its client put an event into."""
        return f"run-{number // (PER_TRACE * TOGETHER) * TOGETHER + number % TOGETHER}"

    def batch(self, first: int, count: int) -> bytes:
        """A body for ``POST /api/v1/events/batch`` of the events from ``first`` on."""
        return b'{"events":[' + b",".join(self._event(number) for number in range(first, first + count)) + b"]}"

    def _event(self, number: int) -> bytes:
        when = rfc3339(self.at(number))
        trace = self.trace(number)
        step = number // TOGETHER % PER_TRACE
        kind, properties = _said(random.Random(number), step)
        agent = f"agent-{hash_of(trace) % AGENTS}"
        return (
            f'{{"timestamp":"{when}","event_type":"{kind}","trace_id":"{trace}","agent_id":"{agent}",'
            f'"properties":{properties},"source":{{"system":"cloudwatch","account":"123456789012","region":"us-east-1",'
            f'"log_group":"/ecs/agents","log_stream":"stream-{number % TOGETHER}","log_id":"{number:020}",'
            f'"timestamp":"{when}","ingestion_time":"{when}"}}}}'
        ).encode()


def words(random_: random.Random, count: int) -> str:
    """So many words, all equally likely."""
    return " ".join(random_.choices(WORDS, k=count))


def hash_of(text: str) -> int:
    """A number that follows from a text, the same in every process."""
    return zlib.crc32(text.encode())


def rfc3339(us: int) -> str:
    """Microseconds since the epoch, as the wire has them."""
    return f"{_second(us // 1_000_000)}.{us % 1_000_000:06d}Z"


@lru_cache(1024)
def _second(second: int) -> str:
    return f"{datetime.fromtimestamp(second, UTC):%Y-%m-%dT%H:%M:%S}"


def _said(random_: random.Random, step: int) -> tuple[str, str]:
    tool = TOOLS[step // 4 % len(TOOLS)]
    if step == 0:
        return "agent_start", json.dumps({"message": words(random_, 12)})
    if step == PER_TRACE - 1:
        return "agent_finish", json.dumps({"message": words(random_, 16)})
    match step % 4:
        case 1:
            call = {"gen_ai.tool.name": tool, "gen_ai.tool.call.arguments": {"query": words(random_, 5), "limit": step}}
            return "tool_call", json.dumps(call)
        case 2:
            return "tool_result", json.dumps({"gen_ai.tool.name": tool, "gen_ai.tool.call.result": words(random_, 14)})
        case 3:
            usage = {"gen_ai.usage.input_tokens": random_.randrange(4000), "gen_ai.usage.output_tokens": step}
            return "llm_end", json.dumps({"gen_ai.request.model": "model-a", **usage, "message": words(random_, 10)})
    kind = "error" if random_.randrange(25) == 0 else "agent_thought"
    return kind, json.dumps({"message": words(random_, 15)})
