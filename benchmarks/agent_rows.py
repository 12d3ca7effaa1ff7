"""The agent alone: records a second on one core, memory with much to do, and what it costs when idle."""

from __future__ import annotations

import contextlib
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import yaml

from benchmarks.cloudwatch_stub import ACCOUNT, PER_PAGE, group_names
from benchmarks.metered_agent import Reading
from benchmarks.processes import AWS, BIN, BenchmarkFailed, cores, running
from benchmarks.table import Row, median

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHON = BIN / "python"
RUNS = 3
AGE = 120
"""Seconds between the end of the backlog and now: all of it is read in slices, none of it twice."""

CONFIG = """\
agent: {{state_dir: {directory}/state}}
pipelines:
  benchmark:
    source:
      type: cloudwatch
      region: us-east-1
      account: "{account}"
      endpoint_url: {cloudwatch}
      log_groups: [{groups}]
      lookback: {lookback}s
      poll_interval: 10s
      max_requests_per_second: 10000  # what is measured is the agent, not AWS's quota
    parsers: [{{type: json}}]
    sinks: [vectadb]
sinks:
  vectadb: {{type: vectadb, endpoint: "{server}"}}
"""


def parse_only() -> list[Row]:
    """CloudWatch, joining, JSON, delivery bookkeeping, ledger: everything but a sink."""
    rates, notes = _drained(null=True)
    return [
        Row(
            name="parse",
            what="agent: CloudWatch -> json -> null sink, one core",
            measured=median(rates),
            unit="records/s",
            wanted=25_000,
            runs=rates,
            note=notes,
        )
    ]


def ship() -> list[Row]:
    """The same with the ``vectadb`` sink, gzip and HTTP."""
    rates, notes = _drained(null=False)
    return [
        Row(
            name="ship",
            what="agent: CloudWatch -> json -> vectadb sink, gzip, one core",
            measured=median(rates),
            unit="records/s",
            wanted=12_000,
            runs=rates,
            note=notes,
        )
    ]


def _drained(*, null: bool) -> tuple[list[float], str]:
    """Records a second of each run, and a note on the processor time that they took.

    What other processes of this machine took of the agent's core in the meantime is no time of its own.
    """
    groups, seconds = 4, 20
    mine, _ = cores()
    flag = ["--null"] if null else []
    rates, by_the_clock, costs = [], [], []
    for _ in range(RUNS):
        with (
            _site(groups, seconds) as config,
            running([PYTHON, "-m", "benchmarks.metered_agent", config, *flag], core=mine, environment=AWS) as agent,
        ):
            reading = msgspec.json.decode(agent.finish(120).splitlines()[-1], type=Reading)
        if reading.total != groups * seconds * PER_PAGE:
            raise BenchmarkFailed(f"{groups * seconds * PER_PAGE} records were there, {reading.total} arrived")
        rates.append(reading.events / (reading.seconds - reading.taken_seconds))
        by_the_clock.append(reading.events / reading.seconds)
        costs.append(reading.cpu_seconds / reading.events)
    note = f"{1 / median(costs):,.0f} per second of processor time; by the clock {median(by_the_clock):,.0f}/s"
    return rates, note if mine is not None else f"{note}; not pinned: this system cannot"


def memory_and_idling() -> list[Row]:
    """One agent, 50 groups: first it works off a backlog, then there is nothing to do."""
    groups, seconds, window = 50, 3, 25.0
    mine, _ = cores()
    expected = groups * seconds * PER_PAGE
    with _site(groups, seconds) as config:
        server = yaml.safe_load(config.read_bytes())["sinks"]["vectadb"]["endpoint"]
        with running(
            [BIN / "vectadb-agent", "run", "--config", config, "--log-level", "warning"], core=mine, environment=AWS
        ) as agent:
            agent.wait_until(lambda: _taken(server) >= expected, f"{expected} records of 50 groups", timeout=120)
            _, peak = agent.memory()
            time.sleep(3)  # what follows a backlog, the last checkpoints, is not idling
            before, since = agent.cpu_seconds(), time.monotonic()
            time.sleep(window)
            used, lasted = agent.cpu_seconds() - before, time.monotonic() - since
            now, _ = agent.memory()
    return [
        Row(
            name="memory",
            what="agent: peak memory, 50 groups with a backlog",
            measured=peak,
            unit="MB",
            wanted=100,
            at_least=False,
            note=f"{expected:,} records of 1 KiB; {now:.0f} MB when it has become idle",
        ),
        Row(
            name="idle",
            what="agent: processor when idle, 50 groups, poll_interval 10s",
            measured=100 * used / lasted,
            unit="%",
            wanted=1,
            at_least=False,
            note=f"{used:.2f} s of processor time in {lasted:.0f} s",
        ),
    ]


@contextlib.contextmanager
def _site(groups: int, seconds: int) -> Iterator[Path]:
    """Both stand-ins, running, and a configuration file that names them. Each group holds ``seconds`` pages."""
    _, others = cores()
    end = int(time.time()) - AGE
    with (
        tempfile.TemporaryDirectory(prefix="vectadb-benchmark-") as directory,
        running([PYTHON, "-m", "benchmarks.cloudwatch_stub", groups, end - seconds, end], core=others) as cloudwatch,
        running([PYTHON, "-m", "benchmarks.ingest_stub"], core=others) as server,
    ):
        config = Path(directory) / "agent.yaml"
        config.write_text(
            CONFIG.format(
                directory=directory,
                account=ACCOUNT,
                cloudwatch=cloudwatch.line(),
                server=server.line(),
                groups=", ".join(group_names(groups)),
                lookback=AGE + seconds + 60,
            )
        )
        yield config


def _taken(server: str) -> int:
    with urllib.request.urlopen(f"{server}/taken", timeout=10) as reply:
        return int(msgspec.json.decode(reply.read())["taken"])
