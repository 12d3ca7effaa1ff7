"""SIGKILLs of agent, server and search process while events flow: nothing missing, nothing twice, nothing altered."""

from __future__ import annotations

import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.chaos_feed import feeding, judged, messages, wait
from demo.processes import answers
from tests.faults.site import site
from vectadb_agent.testing.cloudwatch.store import Put

if TYPE_CHECKING:
    from benchmarks.table import Row
    from tests.faults.programs import Program
    from tests.faults.site import Site

GROUPS, STREAMS = 3, 4
LONGEST_PAUSE = 0.4
"""Seconds between two kills, at most; beside the time that the victim takes to work again."""
IN_MID_START = 0.5
"""Part of the kills that hit a process while it starts; the others wait until it works, so that there is progress."""


def kills(seed: int, short: bool) -> list[Row]:
    """500 kills while 100,000 events flow; short: 6 and 1,500."""
    rounds, total = (6, 1_500) if short else (500, 100_000)
    dice = random.Random(seed)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vectadb-chaos-") as name, site(Path(name), seed=seed) as stage:
        groups = [stage.group() for _ in range(GROUPS)]
        for group in groups:
            stage.put(group, [])
        told = messages(dice, total, "kills")

        def put(first: int, count: int) -> None:
            for at in range(first, first + count, 10):  # a few lines of one stream together, as they are written
                stream = (at // 10) % (GROUPS * STREAMS)
                lines = told[at : min(at + 10, first + count)]
                now = stage.cloudwatch.now
                events = [Put(now, line, 0) for line in lines]
                stage.cloudwatch.put(groups[stream % GROUPS], f"s{stream // GROUPS}", events)

        agent = stage.agent(*groups, settle_min="1s", settle_max="5s")
        agent.start()
        done: Counter[str] = Counter()
        with feeding(total, rounds * 0.8, put) as fed:
            for _ in range(rounds):
                victim = dice.choices(["agent", "server", "search"], [4, 3, 3])[0]
                patient, pause = dice.random() >= IN_MID_START, dice.uniform(0, LONGEST_PAUSE)
                _kill(stage, agent, victim, patient=patient, pause=pause)
                done[victim] += 1
            wait(fed.is_set, "the last events to be put", 600)
        stage.start_server()
        agent.start()
        wait(lambda: stage.held(*groups) >= total, f"{total} records", 600)
        agent.stop()
        verdict = stage.verdict(*groups)
    note = f"seed {seed}; {', '.join(f'{count} of {what}' for what, count in sorted(done.items()))}; "
    note += f"{total:,} events, {time.monotonic() - began:.0f} s"
    return judged("kills", f"{rounds} SIGKILLs", verdict, note)


def _kill(stage: Site, agent: Program, victim: str, *, patient: bool, pause: float) -> None:
    """Kill one, where ``patient`` only when it works again, and start it anew at once."""
    if patient or victim == "search":
        wait(lambda: answers(f"{stage.direct}/health"), "the server", 120, every=0.05)
    if victim == "agent":
        seen = len(stage.cloudwatch.arrivals)
        agent.start()
        if patient:
            wait(lambda: len(stage.cloudwatch.arrivals) > seen, "the agent", 120, every=0.05)
    time.sleep(pause)
    if victim == "search":
        wait(lambda: stage.server.kill_child("edge_process"), "a search process", 120, every=0.05)
        return
    program = agent if victim == "agent" else stage.server
    program.kill()
    program.start()
