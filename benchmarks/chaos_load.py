"""Much at once: the agent's memory with a backlog of a million events, and an outage of the server."""

from __future__ import annotations

import random
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec

from benchmarks.chaos_feed import feeding, judged, messages, wait
from benchmarks.processes import BIN, BenchmarkFailed, running
from benchmarks.table import Row
from tests.faults.site import BATCHES, site
from vectadb_agent.testing.cloudwatch.faults import most_within
from vectadb_agent.testing.cloudwatch.store import Put

if TYPE_CHECKING:
    from tests.faults.site import Site

MOST_BYTES = 100e6
MOST_BEHIND = 5_000
"""Records that are under way at once, at most: what the order of arrival may differ by."""


def backlog(seed: int, short: bool) -> list[Row]:
    """Peak memory with 1,000,000 events to read (short: 12,000), against that with 10,000 (2,000)."""
    few, many = (2_000, 12_000) if short else (10_000, 1_000_000)
    peaks = []
    began = time.monotonic()
    for count in (few, many):
        with (
            tempfile.TemporaryDirectory(prefix="vectadb-chaos-") as name,
            running([BIN / "python", "-m", "benchmarks.ingest_stub"]) as stub,
            site(Path(name), seed=seed) as stage,
        ):
            peaks.append(_drained(stage, stub.line(), count, seed))
    return [
        Row(
            name="backlog",
            what=f"agent: peak memory at {many:,} events to read against at {few:,}",
            measured=100 * (peaks[1] / peaks[0] - 1),
            unit="% more",
            wanted=None if short else 10,  # 2,000 do not fill what may be in flight
            at_least=False,
            note=f"{peaks[0] / 1e6:.0f} and {peaks[1] / 1e6:.0f} MB; seed {seed}; {time.monotonic() - began:.0f} s",
        )
    ]


def _drained(stage: Site, stub: str, count: int, seed: int) -> int:
    """Have an agent read so many events; return its peak memory in bytes."""
    group = stage.group()
    now = stage.cloudwatch.now
    told = messages(random.Random(seed), min(count, 10_000), "backlog")
    first_at, span = now - 3_100_000, 3_000_000
    for first in range(0, count, len(told)):
        put = [Put(first_at + (first + at) * span // count, f"{text} {first}") for at, text in enumerate(told)]
        stage.cloudwatch.put(group, f"s{first // len(told) % 20}", put)
    agent = stage.agent(group, drain=True, lookback="1h", sink={"endpoint": stub}, max_requests_per_second=10_000)
    agent.start()
    wait(lambda: bool(agent.look()) and not agent.running, f"the agent to read {count:,} events", 1_200, every=0.05)
    with urllib.request.urlopen(f"{stub}/taken", timeout=10) as reply:
        taken = int(msgspec.json.decode(reply.read())["taken"])
    if not taken:
        raise BenchmarkFailed(f"nothing arrived: {agent.said[-2_000:]}")
    return agent.peak


def outage(seed: int, short: bool) -> list[Row]:
    """A server that is away for 10 minutes at 10,000 events a minute; short: for 4 s."""
    away, steady, rate = (4.0, 3.0, 10_000 / 60) if short else (600.0, 60.0, 10_000 / 60)
    after = steady
    total = int((steady + away + after) * rate)
    told = messages(random.Random(seed), total, "outage")
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="vectadb-chaos-") as name, site(Path(name), seed=seed) as stage:
        group = stage.group()
        stage.put(group, [])

        def put(first: int, count: int) -> None:
            now = stage.cloudwatch.now
            events = [Put(now, line) for line in told[first : first + count]]
            stage.cloudwatch.put(group, f"s{first % 7}", events)

        agent = stage.agent(group, poll_interval="1s", lookback="1h", settle_min="1s", settle_max="5s")
        agent.start()
        with feeding(total, steady + away + after, put) as fed:
            started = time.monotonic()
            wait(lambda: time.monotonic() - started > steady, "steady going", steady * 2)
            stage.refuse()
            stopped = time.monotonic()
            while time.monotonic() - stopped < away:
                agent.look()
                time.sleep(0.2)
            stage.accept()
            back = time.monotonic()
            behind = [0]

            def there() -> bool:
                agent.look()
                behind.append(_behind(stage, group))
                return fed.is_set() and stage.held(group) >= total

            wait(there, f"{total} records after the outage", 1_200)
        caught_up = time.monotonic() - back
        agent.stop()
        verdict = stage.verdict(group)
        sent = [request.at for request in stage.proxy.requests if request.path.startswith(BATCHES)]
    window = 5.0 if short else 20.0
    usual = most_within([at for at in sent if at < stopped], window)
    rush = most_within([at for at in sent if at >= back], window)
    note = f"seed {seed}; caught up {caught_up:.0f} s after the server was back; {time.monotonic() - began:.0f} s"
    return [
        *judged("outage", f"{away:.0f} s without a server, {total:,} events", verdict, note),
        Row(
            name="outage",
            what="agent: peak memory",
            measured=agent.peak / 1e6,
            unit="MB",
            wanted=MOST_BYTES / 1e6,
            at_least=False,
        ),
        Row(
            name="outage",
            what="requests once it is back, against steady going",
            measured=rush / max(1, usual),
            unit="x",
            wanted=None if short else 2,  # a few seconds of steady going are too few for the agent to know its rate
            at_least=False,
            note=f"{usual} and {rush} in the fullest {window:.0f} s",
        ),
        Row(
            name="outage",
            what="oldest first: records held out of their order",
            measured=max(behind),
            unit="records",
            wanted=MOST_BEHIND,
            at_least=False,
        ),
    ]


def _behind(stage: Site, group: str) -> int:
    """How many records put before the newest one held are not held; their ids follow the order of putting."""
    held = stage.held(group)
    newest = httpx.get(f"{stage.direct}/api/v1/events", params={"log_group": group, "limit": 1}, timeout=30).json()
    sources = [event["source"] for event in newest["events"]]
    ids = [int(log_id) for source in sources for log_id in source.get("log_ids") or [source["log_id"]]]
    return max([0, *ids]) - max(0, held)
