r"""Turn a recording's printed text into the CloudWatch records of a Python Lambda.

The frame (START, END, REPORT and one record for every printed line) follows the "Example log
output" of "Log and monitor Python Lambda functions" in the AWS Lambda Developer Guide:
https://docs.aws.amazon.com/lambda/latest/dg/python-logging.html

Where that page shows aligned spaces in the REPORT line, CloudWatch holds tabs, one of them before
the line's end. A record's message keeps its newline; an empty printed line is a record ``"\n"``.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Mapping, Sequence

__all__ = ["frame", "interleave"]

Record = tuple[int, str]
"""Microseconds since the epoch, a whole number of milliseconds, and the message."""


def frame(
    stdout: str,
    *,
    request_id: str,
    start_us: int,
    step_us: int = 400,
    version: str = "$LATEST",
    memory_mb: int = 512,
    used_mb: int = 141,
    init_ms: float | None = None,
) -> list[Record]:
    r"""The records of one invocation that printed ``stdout``.

    Each record comes ``step_us`` after the one before it; times are cut to the millisecond, as
    CloudWatch keeps them, so that several records share one. Lines end at ``\n`` alone: a carriage
    return or a Unicode line separator is part of its line. A last line without a newline is a
    record without one. ``init_ms`` adds the cold start's ``Init Duration`` to the REPORT line.
    """
    if step_us < 0:
        raise ValueError(f"step_us must not be negative: {step_us}")
    lines = [f"{line}\n" for line in stdout.split("\n")]
    last = lines.pop()[:-1]
    if last:
        lines.append(last)
    duration_ms = step_us * (len(lines) + 1) / 1000
    report = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_ms:.2f} ms",
        f"Billed Duration: {math.ceil(duration_ms + (init_ms or 0.0))} ms",
        f"Memory Size: {memory_mb} MB",
        f"Max Memory Used: {used_mb} MB",
        *([f"Init Duration: {init_ms:.2f} ms"] if init_ms is not None else []),
        "\n",
    ]
    messages = [
        f"START RequestId: {request_id} Version: {version}\n",
        *lines,
        f"END RequestId: {request_id}\n",
        "\t".join(report),
    ]
    return [((start_us + index * step_us) // 1000 * 1000, message) for index, message in enumerate(messages)]


def interleave(streams: Mapping[str, Sequence[Record]], seed: int) -> list[tuple[str, int, str]]:
    """Merge several streams by time into ``(stream, microseconds, message)``.

    Each stream keeps its own order. Among records of one millisecond the seed decides which stream
    comes next; equal arguments give equal results.
    """
    chance = random.Random(seed)
    waiting: list[tuple[int, float, str, int]] = []
    for name in sorted(streams):
        if streams[name]:
            heapq.heappush(waiting, (streams[name][0][0], chance.random(), name, 0))
    merged: list[tuple[str, int, str]] = []
    while waiting:
        _, _, name, index = heapq.heappop(waiting)
        when, message = streams[name][index]
        merged.append((name, when, message))
        if index + 1 < len(streams[name]):
            heapq.heappush(waiting, (streams[name][index + 1][0], chance.random(), name, index + 1))
    return merged
