"""``make demo``: puts logs into an emulated CloudWatch, runs server and agent, shows what came out, and checks it."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3

from demo import logs
from demo.oracle import judge, ledger, stored
from demo.processes import BIN, agent, asking, aws, cloudwatch, server, together, until

CONFIG = """\
agent: {{state_dir: {directory}/state}}
pipelines:
  research:
    agent_id: research-agent
    source: {{type: cloudwatch, region: us-east-1, log_groups: [{research}], poll_interval: 2s, lookback: 10m}}
    sinks: [vectadb]
  support:
    agent_id: support-agent
    source: {{type: cloudwatch, region: us-east-1, log_groups: [{support}], poll_interval: 2s, lookback: 10m}}
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
        endpoint, url = stack.enter_context(together(cloudwatch(directory), server(directory)))
        os.environ |= aws(endpoint)
        client = boto3.client("logs")
        started = time.monotonic()
        count = logs.put(client, time.time_ns() // 1000)
        _say(f"{count} log records of real LangChain runs and of a shop lie in 3 log groups of an emulated CloudWatch.")
        _say(f"vectadb serve                  {url}")
        config = directory / "agent.yaml"
        config.write_text(
            CONFIG.format(directory=directory, url=url, research=logs.RESEARCH, support=logs.SUPPORT, shop=logs.SHOP)
        )
        stack.enter_context(agent(config, directory))
        _say(f"vectadb-agent run --config {config}")
        wait_until_all_is_there(url, count, directory)
        _say(f"Everything arrived {time.monotonic() - started:.1f} s after the logs were written.\n")
        events, traces = stored(url, "events"), stored(url, "traces")
        _show(url, traces)
        verdict = judge(ledger(client), events)
        _say(str(verdict))
        if not once:
            _say(
                f"\nIt stays up until Ctrl-C. Try:\n  {url}/                 traces in the browser\n"
                f"  {url}/schema           the API\n  {BIN}/vectadb search 'what failed?' --url {url}"
            )
            with contextlib.suppress(KeyboardInterrupt):
                signal.pause()
        summary = {
            "records": verdict.records,
            "events": len(events),
            "traces": len(traces),
            "tool_calls": sum(event["event_type"] == "tool_call" for event in events),
            "lost": len(verdict.lost) + len(verdict.altered) + len(verdict.unknown),
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
    width = {} if sys.stdout.isatty() else {"COLUMNS": "150"}
    subprocess.run([BIN / "vectadb", *arguments, "--url", url], check=True, env={**os.environ, **width})
    print(flush=True)


def _say(text: str) -> None:
    print(text, flush=True)


def wait_until_all_is_there(url: str, records: int, directory: Path) -> None:
    """Wait until the server holds so many records and its indexer is through."""

    def there() -> bool:
        digest = asking().get(f"{url}/api/v1/events/digest").raise_for_status().json()
        if sum(hour["count"] for hour in digest["hours"]) < records:
            return False
        return not asking().get(f"{url}/health/ready").json()["engines"]["indexer"]["pending"]

    until(there, "the records to arrive", directory / "agent.log")


if __name__ == "__main__":
    raise SystemExit(main())
