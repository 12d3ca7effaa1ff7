"""``make smoke-aws``: writes lines into a log group of a real account, ships them, prints the completeness certificate.

For somebody who has credentials and may make a test log group. Costs a few requests. Nothing else of the account is
touched; the group is removed at the end unless ``--keep`` is given or it was there before.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from demo.processes import BIN, server

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """\
agent: {{state_dir: {directory}/state}}
pipelines:
  smoke:
    source: {{type: cloudwatch, log_groups: [{group}], lookback: 9m}}
    sinks: [vectadb]
sinks:
  vectadb: {{type: vectadb, endpoint: "{url}", api_key: "${{VECTADB_API_KEY:-}}"}}
"""
VISIBLE_WITHIN = 120.0
"""Seconds in which CloudWatch shows what was written; mostly it takes fewer than ten."""


def main() -> int:
    """Run it; return 0 where the certificate says that all arrived, else 1."""
    parser = argparse.ArgumentParser(prog="python -m demo.smoke", description=__doc__.partition("\n")[0])
    parser.add_argument("--group", default="/vectadb/smoke", help="log group to write to (default: /vectadb/smoke)")
    parser.add_argument("--lines", type=int, default=1000, help="lines to write (default: 1000)")
    parser.add_argument("--keep", action="store_true", help="leave the log group as it is at the end")
    options = parser.parse_args()
    try:
        return _run(options)
    except (BotoCoreError, ClientError) as error:
        _say(f"AWS: {error}\nNext: docs/iam.md names the actions that this needs; `aws sts get-caller-identity`")
        return 1


def _run(options: argparse.Namespace) -> int:
    client = boto3.client("logs")
    with tempfile.TemporaryDirectory(prefix="vectadb-smoke-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        stream = stack.enter_context(_stream(client, options.group, keep=options.keep))
        written = _write(client, options.group, stream, options.lines)
        _say(f"{written} lines written to {options.group}, stream {stream}")
        url = os.environ.get("VECTADB_URL") or stack.enter_context(server(directory))
        config = directory / "agent.yaml"
        config.write_text(CONFIG.format(directory=directory, group=options.group, url=url))
        _wait_until_visible(client, options.group, stream, written)
        _agent("check", config)
        _agent("run", config, "--drain", "--log-level", "warning")
        certificate = _agent("audit", config, "--since", "15m")
        _say(certificate.stdout.strip())
        if certificate.returncode == 0 and f": {written} records" not in certificate.stdout:
            _say(f"The certificate is not of the {written} lines: does anybody else write to {options.group}?")
            return 1
        return certificate.returncode


@contextlib.contextmanager
def _stream(client: Any, group: str, *, keep: bool) -> Iterator[str]:
    """A new log stream, in a group that is made where it is not there, and then removed."""
    made = False
    with contextlib.suppress(client.exceptions.ResourceAlreadyExistsException):
        client.create_log_group(logGroupName=group)
        made = True
    stream = f"smoke-{time.time_ns()}"
    client.create_log_stream(logGroupName=group, logStreamName=stream)
    try:
        yield stream
    finally:
        if made and not keep:
            client.delete_log_group(logGroupName=group)


def _write(client: Any, group: str, stream: str, count: int) -> int:
    """Write lines, of each ten a tool's call, its result, and an error; dated so that an audit goes beyond them."""
    start = time.time_ns() // 1_000_000 - 480_000
    texts = [_line(number) for number in range(count)]
    events = [{"timestamp": start + n * 300_000 // count, "message": text} for n, text in enumerate(texts)]
    for begin in range(0, count, 5_000):
        chunk = events[begin : begin + 5_000]
        client.put_log_events(logGroupName=group, logStreamName=stream, logEvents=chunk)
    return count


def _line(number: int) -> str:
    ids = {"trace_id": f"smoke-{number // 10}", "tool_name": "search"}
    match number % 10:
        case 1:
            return json.dumps({"event_type": "tool_call", **ids, "tool_input": {"number": number}})
        case 2:
            return json.dumps({"event_type": "tool_result", **ids, "tool_output": f"found {number}"})
        case 3:
            return f"ERROR order {number} failed"
    return f"INFO line {number} of the smoke test"


def _wait_until_visible(client: Any, group: str, stream: str, count: int) -> None:
    """Wait until CloudWatch shows the lines: until then an audit would not know of them.

    Raises:
        SystemExit: it did not within two minutes.
    """
    pages = client.get_paginator("filter_log_events")
    deadline = time.monotonic() + VISIBLE_WITHIN
    while True:
        found = pages.paginate(logGroupName=group, logStreamNames=[stream])
        seen = sum(len(page["events"]) for page in found)
        if seen >= count:
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"CloudWatch shows {seen} of {count} lines after {VISIBLE_WITHIN:.0f} s; try again later")
        time.sleep(2)


def _agent(command: str, config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a command of the agent.

    Raises:
        SystemExit: it could not work; what it said stands above.
    """
    done = subprocess.run(
        [BIN / "vectadb-agent", command, "--config", config, *options], capture_output=True, text=True, check=False
    )
    if done.returncode and command != "audit":
        _say(done.stdout + done.stderr)
        raise SystemExit(done.returncode)
    return done


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
