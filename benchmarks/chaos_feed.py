"""What flows while things go wrong: log lines of a seed, put at a steady rate; and the rows that judge what arrived."""

from __future__ import annotations

import contextlib
import json
import random
import threading
import time
from typing import TYPE_CHECKING

from benchmarks.processes import BenchmarkFailed
from benchmarks.table import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from demo.oracle import Verdict

_TRACEBACK = (
    "2026-01-01 00:00:00,000 ERROR app: order {number} failed",
    "Traceback (most recent call last):",
    '  File "app.py", line {number}, in <module>',
    "    charge(order)",
    "ValueError: no such order: {number}",
)
STEP = 0.25
"""Seconds between two puts."""


def messages(dice: random.Random, count: int, tag: str) -> list[str]:
    """``count`` lines, no two alike but those inside of tracebacks: three in four JSON, the rest tracebacks."""
    lines: list[str] = []
    while len(lines) < count:
        number = f"{tag}-{len(lines)}-{dice.randrange(10**9)}"
        if dice.random() < 0.07:
            lines += [line.format(number=number) for line in _TRACEBACK]
        else:
            lines.append(json.dumps({"level": "info", "msg": f"order {number} " + "x" * dice.randrange(120)}))
    return lines[:count]


@contextlib.contextmanager
def feeding(total: int, seconds: float, put: Callable[[int, int], None]) -> Iterator[threading.Event]:
    """Call ``put(first, count)`` at a steady rate, from a thread, until ``total`` are put; yield what is set then.

    Leaving the block early ends it.
    """
    done, stop = threading.Event(), threading.Event()

    def feed() -> None:
        began, fed = time.monotonic(), 0
        while fed < total and not stop.wait(STEP):
            due = min(total, int(total * (time.monotonic() - began) / seconds))
            if due > fed:
                put(fed, due - fed)
                fed = due
        done.set()

    thread = threading.Thread(target=feed, name="feed")
    thread.start()
    try:
        yield done
    finally:
        stop.set()
        thread.join()


def wait(condition: Callable[[], bool], what: str, seconds: float, *, every: float = 0.2) -> None:
    """Wait for a condition.

    Raises:
        BenchmarkFailed: it does not come about.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"waited {seconds:.0f} s for {what}")
        time.sleep(every)


def judged(name: str, what: str, verdict: Verdict, note: str) -> list[Row]:
    """The rows of a verdict: none missing, none twice, none altered."""
    counts = {
        "missing": len(verdict.lost),
        "twice": len(verdict.duplicates) + len(verdict.unknown),
        "altered": len(verdict.altered),
    }
    said = note if verdict else f"{note}; {verdict}"
    return [
        Row(
            name=name,
            what=f"{what}: {kind}",
            measured=count,
            unit="records",
            wanted=0,
            at_least=False,
            note=said if kind == "missing" else "",
        )
        for kind, count in counts.items()
    ]
