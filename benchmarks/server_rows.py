"""The server: events acknowledged and indexed, and the time from a log line to its trace."""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import tempfile
import threading
import time
import urllib.error
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.agent_rows import PYTHON
from benchmarks.processes import AWS, BIN, BenchmarkFailed, Process, running
from benchmarks.served import free_port, get, pending, serving
from benchmarks.table import Row, median, percentile
from benchmarks.wire_batches import BATCH, KINDS, compressed, small, windows
from vectadb_server import plain

if TYPE_CHECKING:
    from collections.abc import Iterator

RUNS = 3
#: Of the server and the bare engine, one after the other: each of them swings by a tenth here.
PAIRS = 7
BATCHES = 80
CLIENTS = 2
PATH = "/api/v1/events/batch"
JSON = {"Content-Type": "application/json", "Content-Encoding": "gzip"}


def ingest() -> list[Row]:
    """Events a second that are acknowledged, beside what the bare engine takes, and until they are indexed."""
    return [*(row for kind in KINDS for row in _ingest(kind)), *_uncompiled(), *_windows()]


def _ingest(kind: str) -> list[Row]:
    ratios, bare, acknowledged, indexed = [], [], [], []
    for number in range(PAIRS):
        with tempfile.TemporaryDirectory(prefix="vectadb-benchmark-") as name:
            command = [PYTHON, "-m", "benchmarks.bare_insert", kind, BATCHES, Path(name) / "bare"]
            with running(command) as engine:
                bare.append(float(engine.finish(120).splitlines()[-1]))
            with serving(Path(name)) as (server, port):
                rates = _offered(server, port, compressed(KINDS[kind](1 + BATCHES)), index=number < RUNS)
        acknowledged.append(rates[0])
        indexed += rates[1:]
        ratios.append(acknowledged[-1] / bare[-1])
    events = f"{BATCHES * BATCH:,} events of {kind}, in batches of {BATCH}, gzip, {CLIENTS} connections"
    compiled = "with vectadb-native" if plain.installed() else "vectadb-native is not installed here"
    return [
        Row(name=f"acknowledged {kind}", what=f"server: events of {kind} acknowledged over HTTP",
            measured=median(acknowledged), unit="events/s", runs=acknowledged, note=f"{events}; {compiled}"),
        Row(name=f"bare {kind}", what="  the engine's bare insert loop, same rows", measured=median(bare),
            unit="events/s", runs=bare, note="same indexes and fsync, 2 transactions in flight, made beforehand"),
        Row(name=f"ratio {kind}", what="  acknowledged / bare, of each run", measured=median(ratios), unit="",
            wanted=0.80, runs=ratios),
        Row(name=f"indexed {kind}", what="server: events indexed (until nothing is pending)", measured=median(indexed),
            unit="events/s", wanted=4_000, runs=indexed,
            note="traces, spans and vectors; from the first request on"),
    ]  # fmt: skip


def _uncompiled() -> list[Row]:
    """What the server does where vectadb-native is not installed: one of another form of rows is as good as none."""
    acknowledged = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="vectadb-benchmark-") as name:
            (Path(name) / "vectadb_native.py").write_text("FORM = 0\n")
            with serving(Path(name), {"PYTHONPATH": name}) as (server, port):
                acknowledged.append(_offered(server, port, compressed(small(1 + BATCHES)), index=False)[0])
    return [
        Row(name="acknowledged uncompiled", what="server: the same, of 500 bytes, without vectadb-native",
            measured=median(acknowledged), unit="events/s", runs=acknowledged),
    ]  # fmt: skip


def _windows() -> list[Row]:
    acknowledged, indexed = [], []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="vectadb-benchmark-") as name, serving(Path(name)) as (server, port):
            rates = _offered(server, port, compressed(windows(1 + BATCHES)))
        acknowledged.append(rates[0])
        indexed.append(rates[1])
    events = f"{BATCHES * BATCH:,} lines of 20 Lambda streams, ten to an invocation, which its first and last name"
    return [
        Row(name="acknowledged windows", what="server: lines of Lambda acknowledged over HTTP",
            measured=median(acknowledged), unit="events/s", runs=acknowledged, note=events),
        Row(name="indexed windows", what="server: lines of Lambda indexed, as above", measured=median(indexed),
            unit="events/s", runs=indexed, note="their traces are found by the windows of their streams"),
    ]  # fmt: skip


def check() -> list[Row]:
    """What `vectadb check` takes, by the number of events: it goes through all of them."""
    rows = []
    bodies = compressed(small(200))
    with tempfile.TemporaryDirectory(prefix="vectadb-benchmark-") as name, serving(Path(name)) as (server, port):
        for first, behind in ((0, 50), (50, 200)):
            _post(port, iter(bodies[first:behind]), threading.Lock())
            server.wait_until(lambda: pending(port) == 0, "the indexer to be through", timeout=300)
            began = time.monotonic()
            command = [BIN / "vectadb", "check", "--url", f"http://127.0.0.1:{port}"]
            with running(command) as checked:
                said = checked.finish(300).strip().splitlines()[-1]
            took = time.monotonic() - began
            events = behind * BATCH
            rows.append(
                Row(name=f"check {events}", what=f"server: check of {events:,} events", measured=events / took,
                    unit="events/s", note=f"{took:.1f} s; {said}")
            )  # fmt: skip
    return rows


def freshness() -> list[Row]:
    """From the moment that CloudWatch shows a record to the moment that the API shows its trace."""
    count, poll, settle = 30, 1.0, 5.0
    with (
        tempfile.TemporaryDirectory(prefix="vectadb-benchmark-") as name,
        _moto() as endpoint,
        serving(Path(name)) as (_, port),
    ):
        # Only here: importing boto3 takes as long as some of the other measurements.
        import boto3

        client = boto3.client(
            "logs", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
        )
        client.create_log_group(logGroupName="/benchmark")
        client.create_log_stream(logGroupName="/benchmark", logStreamName="one")
        config = Path(name) / "agent.yaml"
        config.write_text(_freshness_config(name, endpoint, port, poll, settle))
        with running([BIN / "vectadb-agent", "run", "-c", config, "--log-level", "warning"], environment=AWS) as agent:
            _put(client, "warm-up")
            agent.wait_until(lambda: _visible(port, "warm-up"), "the first trace")
            delays = _delays(client, port, count)
    late = percentile(delays, 0.95)
    note = (
        f"{count} records at random moments, from PutLogEvents answered to GET /traces/ID answering with the event; "
        f"p50 {percentile(delays, 0.5):.2f} s, most {max(delays):.2f} s; wanted: poll_interval ({poll:g} s) + 2 s; "
        f"lines that join to blocks may take settle ({settle:g} s) more"
    )
    return [
        Row(name="freshness", what="record visible -> trace readable, p95", measured=late, unit="s", wanted=poll + 2,
            at_least=False, note=note),
    ]  # fmt: skip


def _delays(client: Any, port: int, count: int) -> list[float]:
    """Seconds from each record's visibility to its trace's.

    A task of its own puts the records: were the next put when the last one is there, all would meet the agent at the
    same moment of its interval.
    """
    random_ = random.Random(0)
    waiting: dict[str, float] = {}
    delays: list[float] = []

    def put() -> None:
        for number in range(count):
            time.sleep(random_.uniform(0.2, 1.2))
            trace = f"benchmark-{number}"
            _put(client, trace)
            waiting[trace] = time.monotonic()

    deadline = time.monotonic() + count * 1.2 + 60
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(put)
        while len(delays) < count:
            if time.monotonic() > deadline or (putting.done() and putting.exception()):
                raise BenchmarkFailed(f"of {count} records only {len(delays)} became traces: {putting.exception(0)}")
            for trace, since in list(waiting.items()):
                if _visible(port, trace):
                    delays.append(time.monotonic() - since)
                    del waiting[trace]
            time.sleep(0.02)
    return delays


def _freshness_config(directory: str, endpoint: str, port: int, poll: float, settle: float) -> str:
    return f"""\
agent: {{state_dir: {directory}/state}}
pipelines:
  benchmark:
    source:
      type: cloudwatch
      region: us-east-1
      endpoint_url: {endpoint}
      log_groups: [/benchmark]
      poll_interval: {poll:g}s
      settle_min: {settle:g}s
    parsers: [{{type: json}}]
    sinks: [vectadb]
sinks:
  vectadb: {{type: vectadb, endpoint: "http://127.0.0.1:{port}"}}
"""


def _put(client: Any, trace: str) -> None:
    text = json.dumps({"level": "INFO", "event_type": "tool_call", "message": "how fast", "trace_id": trace})
    event = {"timestamp": int(time.time() * 1000), "message": text}
    client.put_log_events(logGroupName="/benchmark", logStreamName="one", logEvents=[event])


def _visible(port: int, trace: str) -> bool:
    try:
        return bool(get(port, f"/api/v1/traces/{trace}")["events"])
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 404:
            raise BenchmarkFailed(f"GET /api/v1/traces/{trace} answered {error.code}") from error
        return False


def _offered(server: Process, port: int, bodies: list[bytes], *, index: bool = True) -> list[float]:
    """Post the bodies; return events acknowledged a second, and with ``index`` those that were indexed a second.

    The first body goes beforehand, by itself. What a start still has to do, loading the embedder first of all, and what
    the first event of a day does, making its database, is no part of this, nor of what the bare engine is measured at.
    """
    server.wait_until(lambda: _searches(port), "the search index")
    _post(port, iter(bodies[:1]), threading.Lock())
    server.wait_until(lambda: pending(port) == 0, "the indexer to be through", timeout=120)
    left, turn = iter(bodies[1:]), threading.Lock()
    began = time.monotonic()
    with ThreadPoolExecutor(CLIENTS) as pool:
        for each in [pool.submit(_post, port, left, turn) for _ in range(CLIENTS)]:
            each.result()
    took = [time.monotonic() - began]
    if index:
        server.wait_until(lambda: pending(port) == 0, "the indexer to be through", timeout=120)
        took.append(time.monotonic() - began)
    return [len(bodies[1:]) * BATCH / seconds for seconds in took]


def _post(port: int, left: Iterator[bytes], turn: threading.Lock) -> None:
    """Post body after body on one connection, until none is left."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
        while True:
            with turn:
                body = next(left, None)
            if body is None:
                return
            connection.request("POST", PATH, body, JSON)
            reply = connection.getresponse()
            said = reply.read()
            if reply.status != 200 or json.loads(said)["ingested"] != BATCH:
                raise BenchmarkFailed(f"POST {PATH} answered {reply.status}: {said[:300]!r}")


def _searches(port: int) -> bool:
    return bool(get(port, "/health/ready")["engines"]["search"]["status"] == "ok")


@contextlib.contextmanager
def _moto() -> Iterator[str]:
    port = free_port()
    with running([BIN / "moto_server", "-p", port]) as moto:
        moto.wait_until(lambda: _answers(port), "the emulated CloudWatch")
        yield f"http://127.0.0.1:{port}"


def _answers(port: int) -> bool:
    try:
        get(port, "/moto-api/data.json")
    except (urllib.error.URLError, ConnectionError):
        return False
    return True
