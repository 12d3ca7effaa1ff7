"""A whole site: what stands in for CloudWatch, the fault proxy, the real server behind it, real agents."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from demo import processes
from demo.oracle import Verdict, judge, rows
from tests.faults.programs import Program
from vectadb_agent.state import State
from vectadb_agent.testing.cloudwatch.application import CloudWatch, served
from vectadb_agent.testing.cloudwatch.store import Put
from vectadb_agent.testing.proxy import FaultProxy, in_thread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from anyio.from_thread import BlockingPortal

    from vectadb_agent.quarantine import Kept

BATCHES = "/api/v1/events"


@dataclass
class Site:
    """One emulated CloudWatch, one server, a fault proxy between agents and server. ``at`` is CloudWatch's address."""

    directory: Path
    cloudwatch: CloudWatch
    at: str
    proxy: FaultProxy
    portal: BlockingPortal
    server: Program
    direct: str
    """The server's own address, without the proxy."""
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def start_server(self) -> None:
        """Start the server, and wait until it answers."""
        self.server.start()
        self.wait(lambda: processes.answers(f"{self.direct}/health"), "vectadb serve", self.server)

    def refuse(self) -> None:
        """Have agents find no server at its address."""
        self.portal.call(self.proxy.refuse)

    def accept(self) -> None:
        """Have agents find the server again."""
        self.portal.call(self.proxy.accept)

    def group(self) -> str:
        """A name that no other group has."""
        return f"/faults/{next(self._numbers)}"

    def put(self, group: str, messages: Sequence[str], *, stream: str = "s", ago: float = 5, lag: float = 0) -> None:
        """Put messages, one a millisecond, the last of them ``ago`` seconds old, visible after ``lag`` seconds."""
        first = self.cloudwatch.now - int(ago * 1000) - len(messages)
        self.cloudwatch.put(group, stream, [Put(first + at, text, int(lag * 1000)) for at, text in enumerate(messages)])

    def agent(
        self,
        *groups: Any,
        drain: bool = False,
        parsers: str = "[{type: json}, {type: python_logging}]",
        sink: dict[str, Any] | None = None,
        at: str | None = None,
        env: dict[str, str] | None = None,
        **source: Any,
    ) -> Program:
        """An agent with a state directory of its own that reads the groups; not started yet."""
        directory = self.directory / f"agent-{next(self._numbers)}"
        directory.mkdir()
        options = {"region": "us-east-1", "poll_interval": "500ms", "lookback": "10m", "log_groups": list(groups)}
        options = {"type": "cloudwatch"} | options | source
        sinks = {"vectadb": {"type": "vectadb", "endpoint": self.proxy.url} | (sink or {})}
        config = directory / "agent.yaml"
        config.write_text(
            f"agent: {{state_dir: {directory}/state}}\n"
            # Events that name no trace are of their agent's: one for all tests would grow and grow.
            f"pipelines:\n  p: {{agent_id: {directory.name}, source: {json.dumps(options)}, "
            f"parsers: {parsers}, sinks: [vectadb]}}\n"
            f"sinks: {json.dumps(sinks)}\n"
        )
        command = [processes.BIN / "vectadb-agent", "run", "--config", config, *(["--drain"] if drain else [])]
        agent = Program(command, directory / "agent.log", processes.aws(at or self.at) | (env or {}))
        self._stack.callback(agent.kill)
        return agent

    def drain(self, *groups: Any, **options: Any) -> Program:
        """Run an agent until it has delivered all that is visible."""
        agent = self.agent(*groups, drain=True, **options)
        agent.start()
        assert agent.wait(processes.PATIENCE) == 0, agent.said
        return agent

    @contextlib.contextmanager
    def running(self, *groups: Any, **options: Any) -> Iterator[Program]:
        """Run an agent while the block lasts."""
        agent = self.agent(*groups, **options)
        agent.start()
        try:
            yield agent
        finally:
            agent.stop()

    def end_agents(self) -> None:
        """Kill the agents that still run."""
        self._stack.close()

    def quarantined(self, agent: Program) -> list[Kept]:
        """What the agent holds in its quarantine now, oldest first."""
        with State(state_of(agent), exclusive=False) as state:
            found = [state.kept.read(entry.id) for entry in state.kept.entries()]
        return [kept for kept in found if kept is not None]

    def held(self, *groups: str) -> int:
        """How many records of the groups the server holds; -1 where it does not say."""
        since = (datetime.now(UTC) - timedelta(days=20)).isoformat()
        until = (datetime.now(UTC) + timedelta(hours=3)).isoformat()
        try:
            hours = [
                hour
                for group in groups
                for hour in processes.asking()
                .get(
                    f"{self.direct}/api/v1/events/digest",
                    params={"log_group": group, "since": since, "until": until},
                    timeout=30,
                )
                .raise_for_status()
                .json()["hours"]
            ]
        except (httpx.HTTPError, KeyError):
            return -1
        return sum(hour["count"] for hour in hours)

    def wait(self, condition: Callable[[], bool], what: str, program: Program, patience: float = 60) -> None:
        """Wait for a condition; fail with the end of the program's log, at once where the program has ended."""
        processes.until(lambda: condition() or not program.running, what, program.log, patience)
        assert program.running or condition(), f"ended while waiting for {what}: {program.said[-2_000:]}"

    def wait_for(self, count: int, *groups: str, agent: Program, patience: float = 60) -> None:
        """Wait until the server holds so many records of the groups."""
        self.wait(lambda: self.held(*groups) >= count, f"{count} records", agent, patience)

    def wait_for_all(self, *groups: str, agent: Program, patience: float = 60) -> None:
        """Wait until the server holds as many records as were ever put into the groups."""
        self.wait_for(self.cloudwatch.count(*groups), *groups, agent=agent, patience=patience)

    def verdict(self, *groups: str) -> Verdict:
        """Compare all that was ever put into the groups with what the server gives back, byte by byte."""
        found = itertools.chain.from_iterable(rows(self.direct, "events", log_group=group) for group in groups)
        return judge(self.cloudwatch.ledger(*groups), found)


@contextlib.contextmanager
def site(directory: Path, *, seed: int = 0) -> Iterator[Site]:
    """Run a site while the block lasts; its agents are ended with it."""
    with contextlib.ExitStack() as stack:
        cloudwatch = CloudWatch(seed=seed)
        at = stack.enter_context(served(cloudwatch))
        port = processes.free_port()
        command = [processes.BIN / "vectadb", "serve", "--port", port, "--data-dir", directory / "data"]
        server = Program(command, directory / "server.log")
        stack.callback(server.stop)
        proxy = FaultProxy("127.0.0.1", port)
        portal = stack.enter_context(in_thread(proxy))
        agents = stack.enter_context(contextlib.ExitStack())
        made = Site(directory, cloudwatch, at, proxy, portal, server, f"http://127.0.0.1:{port}", agents)
        made.start_server()
        yield made


def state_of(agent: Program) -> Path:
    """The state directory of an agent that a site has made."""
    return agent.log.parent / "state"


def lines(count: int, tag: str = "") -> list[str]:
    """Messages, no two alike."""
    return [
        json.dumps({"level": "info", "msg": f"line {number} {tag}", "at": time.time_ns()}) for number in range(count)
    ]
