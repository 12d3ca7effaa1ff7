"""``make demo``: puts logs into an emulated CloudWatch, runs server and agent, shows what came out, and checks it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx

from demo import logs
from demo.oracle import Key, Verdict, judge

if TYPE_CHECKING:
    from collections.abc import Iterator

BIN = Path(sys.executable).parent
PATIENCE = 120.0
"""Seconds that the whole way may take on a slow machine."""

CONFIG = """\
agent: {{state_dir: {directory}/state}}
pipelines:
  research:
    agent_id: research-agent
    source: {{type: cloudwatch, region: us-east-1, log_groups: [{research}], poll_interval: 2s, lookback: 10m}}
    parsers: [{{type: lambda}}, {{type: langchain}}, {{type: python_logging}}]
    sinks: [vectadb]
  support:
    agent_id: support-agent
    source: {{type: cloudwatch, region: us-east-1, log_groups: [{support}], poll_interval: 2s, lookback: 10m}}
    parsers: [{{type: lambda}}, {{type: langchain}}, {{type: python_logging}}]
    sinks: [vectadb]
  shop:
    agent_id: shop-api
    source: {{type: cloudwatch, region: us-east-1, log_groups: [{{prefix: /ecs/}}], poll_interval: 2s, lookback: 10m}}
    parsers:
      - {{type: json}}
      - {{type: python_logging}}
      - {{type: regex, pattern: '(?P<level>ERROR|FATAL) (?P<message>.*)', event_type: error}}
    sinks: [vectadb]
sinks:
  vectadb: {{type: vectadb, endpoint: "{url}"}}
"""


def main() -> int:
    """Run the demo; return 0 where everything arrived, else 1."""
    options = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    options.add_argument("--once", action="store_true", help="end when all is shown, also on a terminal")
    once = options.parse_args().once or not sys.stdout.isatty()
    with tempfile.TemporaryDirectory(prefix="vectadb-demo-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        endpoint = stack.enter_context(_cloudwatch(directory))
        os.environ |= {
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_ACCESS_KEY_ID": "demo",
            "AWS_SECRET_ACCESS_KEY": "demo",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        client = boto3.client("logs")
        started = time.monotonic()
        count = logs.put(client, time.time_ns() // 1000)
        _say(f"{count} log records of real LangChain runs and of a shop lie in 3 log groups of an emulated CloudWatch.")
        url = stack.enter_context(_server(directory))
        _say(f"vectadb serve                  {url}")
        config = directory / "agent.yaml"
        config.write_text(
            CONFIG.format(directory=directory, url=url, research=logs.RESEARCH, support=logs.SUPPORT, shop=logs.SHOP)
        )
        stack.enter_context(_agent(config, directory))
        _say(f"vectadb-agent run --config {config}")
        _wait_until_all_is_there(url, count, directory)
        _say(f"Everything arrived {time.monotonic() - started:.1f} s after the logs were written.\n")
        events, traces = _all(url, "events"), _all(url, "traces")
        _show(url, traces)
        verdict = judge(_ledger(client), events)
        _say(_in_words(verdict))
        if not once:
            _say(
                f"\nIt stays up until Ctrl-C. Try:\n  {url}/                 traces in the browser\n"
                f"  {url}/schema           the API\n  {BIN}/vectadb --url {url} search 'what failed?'"
            )
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
        summary = {
            "records": verdict.records,
            "events": len(events),
            "traces": len(traces),
            "tool_calls": sum(event["event_type"] == "tool_call" for event in events),
            "lost": len(verdict.lost) + len(verdict.unknown),
            "duplicates": len(verdict.duplicates),
        }
        print(json.dumps(summary), flush=True)
        return 0 if verdict else 1


def _show(url: str, traces: list[dict[str, Any]]) -> None:
    _vectadb(url, "traces")
    shown = next(trace for trace in traces if trace["tool_calls"] == 2 and trace["agent_id"] == "research-agent")
    _vectadb(url, "trace", shown["trace_id"])
    _vectadb(url, "search", "what did the agent look up?", "--limit", "5")


def _vectadb(url: str, *arguments: str) -> None:
    _say("$ vectadb " + " ".join(f"'{word}'" if " " in word else word for word in arguments))
    subprocess.run([BIN / "vectadb", "--url", url, *arguments], check=True)
    print(flush=True)


def _in_words(verdict: Verdict) -> str:
    if verdict:
        return f"All {verdict.records} records are there, each in exactly one event, not a byte altered."
    return f"WRONG: {len(verdict.lost)} records lost, {len(verdict.duplicates)} twice: {verdict.lost[:5]}"


def _say(text: str) -> None:
    print(text, flush=True)


@contextlib.contextmanager
def _cloudwatch(directory: Path) -> Iterator[str]:
    port = _free_port()
    with _process([BIN / "moto_server", "-p", str(port)], directory / "moto.log"):
        url = f"http://127.0.0.1:{port}"
        _until(lambda: _answers(f"{url}/moto-api/data.json"), "the emulated CloudWatch", directory / "moto.log")
        yield url


@contextlib.contextmanager
def _server(directory: Path) -> Iterator[str]:
    port = _free_port()
    log = directory / "server.log"
    command = [BIN / "vectadb", "serve", "--port", str(port), "--data-dir", directory / "data"]
    with _process(command, log):
        url = f"http://127.0.0.1:{port}"
        _until(lambda: _answers(f"{url}/health"), "vectadb serve", log)
        yield url


def _agent(config: Path, directory: Path) -> contextlib.AbstractContextManager[None]:
    return _process([BIN / "vectadb-agent", "run", "--config", config], directory / "agent.log")


@contextlib.contextmanager
def _process(command: list[Any], log: Path) -> Iterator[None]:
    """Run a process of ours; on leaving, ask it to end, and see to it."""
    with log.open("wb") as output, subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_all_is_there(url: str, records: int, directory: Path) -> None:
    def there() -> bool:
        digest = httpx.get(f"{url}/api/v1/events/digest").raise_for_status().json()
        if sum(row["count"] for row in digest["digest"]) < records:
            return False
        ready = httpx.get(f"{url}/health/ready").json()
        return not ready["engines"]["indexer"]["lag"]

    _until(there, "the records to arrive", directory / "agent.log")


def _until(condition: Any, what: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise SystemExit(f"waited {PATIENCE:.0f} s for {what}; the end of its log:\n{tail}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _all(url: str, what: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = httpx.get(f"{url}/api/v1/{what}", params={"limit": 500} | ({"cursor": cursor} if cursor else {}))
        body = page.raise_for_status().json()
        rows += body[what]
        cursor = body["next_cursor"]
        if not cursor:
            return rows


def _ledger(client: Any) -> dict[Key, str]:
    """Read what the source holds, by its own API."""
    ledger: dict[Key, str] = {}
    for group in client.describe_log_groups()["logGroups"]:
        name, token = group["logGroupName"], ""
        while True:
            page = client.filter_log_events(logGroupName=name, **({"nextToken": token} if token else {}))
            for event in page["events"]:
                ledger[name, event["logStreamName"], event["eventId"]] = event["message"]
            token = page.get("nextToken", "")
            if not token:
                break
    return ledger


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    raise SystemExit(main())
