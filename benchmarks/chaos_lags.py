"""Events that become visible late, days late, and early: nothing missing, nothing twice, after sweeps and the audit."""

from __future__ import annotations

import json
import random
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.chaos_feed import feeding, judged, messages, wait
from benchmarks.processes import BenchmarkFailed
from benchmarks.table import Row
from demo.processes import BIN
from tests.faults.site import site
from vectadb_agent.testing.cloudwatch.faults import QUOTAS, Faults, most_within
from vectadb_agent.testing.cloudwatch.store import Put

if TYPE_CHECKING:
    from tests.faults.programs import Program

GROUPS, STREAMS = 3, 20
LATE, EARLY = 0.01, 0.001
DAY, HOUR = 86_400_000, 3_600_000
LONGEST_EARLY = 2 * HOUR - 60_000
MOST_READ = 6.0
"""Times the data that all reads together may be."""


def lags(seed: int, short: bool) -> list[Row]:
    """200,000 events with lags of 0 to 120 s; short: 3,000 with lags of 0 to 6 s. Real seconds both."""
    total, seconds, most_lag = (3_000, 5.0, 6_000) if short else (200_000, 180.0, 120_000)
    past = "8h" if short else "14d"
    dice = random.Random(seed)
    told = messages(dice, total, "lags")
    times = [_time(dice, 7 * HOUR if short else 13 * DAY) for _ in range(total)]
    delays = [dice.randrange(most_lag) for _ in range(total)]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vectadb-chaos-") as name, site(Path(name), seed=seed) as stage:
        groups = [stage.group() for _ in range(GROUPS)]
        for group in groups:
            stage.put(group, [])
        stage.cloudwatch.faults = Faults(quota=QUOTAS, short=0.02, empty=0.02, errors=0.005)

        def put(first: int, count: int) -> None:
            now = stage.cloudwatch.now
            shares: dict[int, list[Put]] = {}
            for at in range(first, first + count):
                event = Put(now + times[at], told[at], delays[at])
                shares.setdefault(at * 7919 % (GROUPS * STREAMS), []).append(event)
            for stream, events in shares.items():
                stage.cloudwatch.put(groups[stream % GROUPS], f"s{stream // GROUPS}", events)

        options: dict[str, Any] = {"sweeps": ["150s", "1h", "24h", "13.5d"]}
        if short:
            options = {"settle_min": "500ms", "settle_max": "1s", "sweeps": ["8s", "24h"]}
        agent = stage.agent(*groups, poll_interval="1s", lookback=past, **options)
        agent.start()
        with feeding(total, seconds, put) as fed:
            wait(fed.is_set, "the last events to be put", seconds * 4)
        wait(stage.cloudwatch.all_visible, "all events to be visible", most_lag / 1000 + 60)
        # What the head misses the sweep at the last lag finds: each record is that old, and a little more, by now.
        in_time = sum(at > -HOUR for at in times)
        swept_by = time.monotonic() + (5 if short else 240)
        wait(lambda: stage.held(*groups) >= in_time or time.monotonic() > swept_by, "the sweep", 600)
        agent.stop()
        before = len(stage.verdict(*groups).lost)
        took = _audit(agent, past)
        verdict = stage.verdict(*groups)
        reads = stage.cloudwatch.requests("FilterLogEvents")
    note = f"seed {seed}; {before} were left to the audit, which took {took:.0f} s; {time.monotonic() - began:.0f} s"
    return [
        *judged("lags", f"{total:,} events with lags", verdict, note),
        Row(
            name="lags",
            what="events read, by head, sweeps and audit",
            measured=sum(read.events for read in reads) / total,
            unit="x data",
            wanted=MOST_READ,
            at_least=False,
        ),
        Row(
            name="lags",
            what="FilterLogEvents in the fullest 10 s, of AWS's quota",
            measured=100 * most_within([read.at for read in reads], 10) / (10 * QUOTAS["FilterLogEvents"]),
            unit="%",
            wanted=80,
            at_least=False,
            note=f"{sum(read.code == 'ThrottlingException' for read in reads)} of {len(reads):,} were throttled",
        ),
    ]


def _time(dice: random.Random, latest: int) -> int:
    """How an event is dated against the moment at which it is put, milliseconds."""
    thrown = dice.random()
    if thrown < LATE:
        return -dice.randrange(latest)
    if thrown < LATE + EARLY:
        return dice.randrange(LONGEST_EARLY)
    return 0


def _audit(agent: Program, since: str) -> float:
    """Repair what is missing; return the seconds that it took.

    Raises:
        BenchmarkFailed: the audit does not end, or says that something is missing still.
    """
    config = agent.command[agent.command.index("--config") + 1]
    began = time.monotonic()
    ahead = (datetime.now(UTC) + timedelta(hours=2)).isoformat(timespec="seconds")  # early events too
    words = ["audit", "--config", config, "--since", since, "--until", ahead, "--repair", "--json"]
    done = subprocess.run(
        [BIN / "vectadb-agent", *words], env=agent.env, capture_output=True, text=True, timeout=1_800, check=False
    )
    if done.returncode != 0:
        raise BenchmarkFailed(f"audit: exit code {done.returncode}\n{done.stderr[-2_000:]}{done.stdout[-2_000:]}")
    assert json.loads(done.stdout)["certificates"]
    return time.monotonic() - began
