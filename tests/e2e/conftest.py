"""The real processes: moto as CloudWatch, ``vectadb serve``, ``vectadb-agent run``. Waiting is on conditions."""

from __future__ import annotations

import contextlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest

from demo import processes
from demo.oracle import Verdict, judge, ledger, stored

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator


@dataclass
class Stage:
    """One emulated CloudWatch and one server, with what a test does to them."""

    directory: Path
    endpoint: str
    logs: Any
    port: int
    _server: contextlib.ExitStack

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start_server(self) -> None:
        self._server.enter_context(processes.server(self.directory, self.port))

    def stop_server(self) -> None:
        self._server.close()

    def put(self, group: str, stream: str, messages: list[str], *, ago: float = 60.0, step: float = 0.01) -> None:
        """Put messages, the first of them ``ago`` seconds old."""
        with contextlib.suppress(self.logs.exceptions.ResourceAlreadyExistsException):
            self.logs.create_log_group(logGroupName=group)
        with contextlib.suppress(self.logs.exceptions.ResourceAlreadyExistsException):
            self.logs.create_log_stream(logGroupName=group, logStreamName=stream)
        first = int((time.time() - ago) * 1000)
        events = [{"timestamp": first + int(n * step * 1000), "message": text} for n, text in enumerate(messages)]
        for start in range(0, len(events), 5_000):
            self.logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events[start : start + 5_000])

    def config(self, *groups: str, parsers: str = "[{type: json}]", **source: Any) -> Path:
        """Write a configuration of one pipeline that reads the groups; return its path."""
        options = {"region": "us-east-1", "poll_interval": "1s", "lookback": "10m"} | source
        path = self.directory / "agent.yaml"
        path.write_text(
            f"agent: {{state_dir: {self.directory}/state}}\n"
            "pipelines:\n  p:\n    agent_id: agent-1\n"
            f"    source: {json.dumps({'type': 'cloudwatch', 'log_groups': list(groups)} | options)}\n"
            f"    parsers: {parsers}\n    sinks: [vectadb]\n"
            f'sinks: {{vectadb: {{type: vectadb, endpoint: "{self.url}"}}}}\n'
        )
        return path

    def agent(
        self, config: Path, *options: str, **env: str
    ) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        return processes.agent(config, self.directory, *options, env=processes.aws(self.endpoint) | env)

    def drain(self, config: Path) -> None:
        """Run the agent until it has caught up."""
        with self.agent(config, "--drain") as agent:
            assert agent.wait(120) == 0, self.log("agent")
        self.wait_until_indexed()

    def wait(self, condition: Callable[[], bool], what: str) -> None:
        processes.until(condition, what, self.directory / "agent.log")

    def wait_until_indexed(self) -> None:
        self.wait(lambda: not self.get("/health/ready")["engines"]["indexer"]["pending"], "the indexer")

    def log(self, name: str) -> str:
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def get(self, path: str, **parameters: Any) -> Any:
        return processes.asking().get(self.url + path, params=parameters, timeout=30).json()

    def records(self) -> int:
        """How many records the server holds."""
        try:
            digest = self.get("/api/v1/events/digest")
        except httpx.TransportError:
            return -1
        return sum(hour["count"] for hour in digest["hours"])

    def events(self) -> list[dict[str, Any]]:
        return stored(self.url, "events")

    def traces(self) -> list[dict[str, Any]]:
        return stored(self.url, "traces")

    def verdict(self) -> Verdict:
        """Compare what moto holds with what the server gives back, byte by byte."""
        return judge(ledger(self.logs), self.events())


@pytest.fixture(scope="session")
def cloudwatch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The emulated CloudWatch of all tests: it starts slowly, and forgets all when it is told to."""
    with processes.cloudwatch(tmp_path_factory.mktemp("moto")) as endpoint:
        yield endpoint


@pytest.fixture
def stage(tmp_path: Path, cloudwatch: str) -> Iterator[Stage]:
    endpoint = cloudwatch
    httpx.post(f"{endpoint}/moto-api/reset", timeout=30).raise_for_status()
    with contextlib.ExitStack() as stack:
        client = boto3.client(
            "logs",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="x",
            aws_secret_access_key="x",
        )
        stack.callback(client.close)
        server = stack.enter_context(contextlib.ExitStack())
        made = Stage(tmp_path, endpoint, client, processes.free_port(), server)
        made.start_server()
        yield made
