"""Batches of events as the agent ships them, rendered and compressed beforehand."""

from __future__ import annotations

import gzip
import json
import time
from datetime import UTC, datetime
from typing import Any

from benchmarks.cloudwatch_stub import ACCOUNT
from benchmarks.messages import STAMP, messages
from benchmarks.stored_events import STEP_US, Feed

BATCH = 500
"""Events in each batch."""
_PER_TRACE = 25
_FORM = "%Y-%m-%dT%H:%M:%S"


def batches(count: int, *, ends: float | None = None) -> list[bytes]:
    """``count`` bodies for ``POST /api/v1/events/batch``, one event a millisecond, 25 to a trace, the last one now.

    ``ends``: epoch seconds of the last one, if not now.
    """
    total = count * BATCH
    first = (time.time() if ends is None else ends) - total / 1000
    events = [_event(text, number, first + number / 1000) for number, text in enumerate(messages(total))]
    return [json.dumps({"events": events[at : at + BATCH]}).encode() for at in range(0, total, BATCH)]


def small(count: int) -> list[bytes]:
    """As :func:`batches`, of some 500 bytes an event: what a million of are stored by ``make bench ARGS=stored``."""
    feed = Feed(int(time.time() * 1e6) - count * BATCH * STEP_US)
    return [feed.batch(number * BATCH, BATCH) for number in range(count)]


#: By what an event takes.
KINDS = {"500 bytes": small, "2 KB": batches}


def windows(count: int) -> list[bytes]:
    """As a Lambda prints them: only the first and last line of an invocation names it, and its stream holds the rest.

    An event every 2.5 ms, of each of 20 streams in turn, ten to an invocation.
    """
    total = count * BATCH
    first = time.time() - total / 400
    events = [_line(text, number, first + number / 400) for number, text in enumerate(messages(total))]
    return [json.dumps({"events": events[at : at + BATCH]}).encode() for at in range(0, total, BATCH)]


def compressed(bodies: list[bytes]) -> list[bytes]:
    """The bodies under gzip, packed as fast as the agent does it."""
    return [gzip.compress(body, 1) for body in bodies]


def _line(text: str, number: int, at: float) -> dict[str, Any]:
    event = _event(text, number, at)
    turn = number // 20
    del event["trace_id"]
    event["source"]["log_stream"] = f"2026/01/01/[$LATEST]{number % 20:032x}"
    if turn % 10 in (0, 9):
        kind = "start" if turn % 10 == 0 else "end"
        request = f"00000000-0000-4000-8000-{number % 20:04x}{turn // 10:08x}"
        event |= {
            "event_type": f"invocation_{kind}",
            "request_id": request,
            "properties": {},
            "raw": f"{kind} {request}",
        }
    return event


def _event(text: str, number: int, at: float) -> dict[str, Any]:
    moment = datetime.fromtimestamp(at, UTC)
    text = text.replace(STAMP, moment.strftime(_FORM))
    when = f"{moment.strftime(_FORM)}.{moment.microsecond:06d}Z"
    properties = json.loads(text)
    del properties["timestamp"], properties["request_id"], properties["session_id"]
    return {
        "timestamp": when,
        "event_type": properties.pop("event_type"),
        "trace_id": f"trace-{number // _PER_TRACE}-{int(at)}",
        "properties": properties,
        "raw": text,
        "source": {
            "system": "cloudwatch",
            "account": ACCOUNT,
            "region": "us-east-1",
            "log_group": "/benchmark/server",
            "log_stream": f"stream-{number // _PER_TRACE % 5}",
            "log_id": f"{int(at * 1000)}-{number}",
            "timestamp": when,
            "ingestion_time": when,
        },
    }
