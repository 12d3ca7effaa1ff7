"""Log lines as an agent's structured logger writes them: JSON objects of 1 KiB, no two alike."""

from __future__ import annotations

import json
import random

SIZE = 1024
"""Bytes of each message."""
STAMP = "@STAMP@"
"""Stands for the date and time down to the second in each message: ``2026-01-01T00:00:00``."""

WORDS = """
account agent answer archive balance batch book branch budget cache carrier chapter check city claim client column
compare context contract cost country customer date decide delay deliver document draft email error estimate evidence
figure file filter final find flight forecast found graph harbour hotel index invoice item journal lead ledger letter
list load market match memory message model month number offer office option order page parcel passage payment person
plan point policy price product profile project query question quote range rate reason record refund region reply
report request result return review route rule sales sample schedule search section service ship source state station
stock store summary supplier table task team ticket tool total trade train transfer travel update user value vendor
version visit warehouse weather week weight window word year
""".split()
TOOLS = ("search_orders", "get_weather", "read_document", "query_ledger", "book_flight", "send_email")


def messages(count: int, *, seed: int = 0) -> list[str]:
    """``count`` messages of ``SIZE`` bytes each, ASCII, with :data:`STAMP` where the time goes."""
    random_ = random.Random(seed)
    return [_message(random_, number) for number in range(count)]


def _message(random_: random.Random, number: int) -> str:
    result = number % 2 == 1
    members = {
        "timestamp": f"{STAMP}.{number % 1000:03d}Z",
        "level": "ERROR" if number % 97 == 0 else "INFO",
        "logger": "agent.tools",
        "event_type": "tool_result" if result else "tool_call",
        "request_id": _hex(random_, 32),
        "session_id": f"session-{random_.randrange(10**6)}",
        "gen_ai.tool.name": random_.choice(TOOLS),
        "gen_ai.tool.call.id": f"call_{_hex(random_, 24)}",
        "gen_ai.tool.call.arguments": {"query": _text(random_, 6), "limit": random_.randrange(100), "exact": result},
        "usage": {"input_tokens": random_.randrange(4000), "output_tokens": random_.randrange(900)},
        "duration_ms": round(random_.uniform(1, 4000), 2),
        "message": _text(random_, 12),
        "detail": "",
    }
    bare = len(json.dumps(members)) + len("2026-01-01T00:00:00") - len(STAMP)
    text = _text(random_, 140)
    members["detail"] = text[: SIZE - bare]
    return json.dumps(members)


def _text(random_: random.Random, words: int) -> str:
    return " ".join(random_.choices(WORDS, k=words))


def _hex(random_: random.Random, digits: int) -> str:
    return f"{random_.getrandbits(digits * 4):0{digits}x}"
