"""The routes are tested twice: over engines in memory, which can be told to fail, and against a real server process."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import time
import uuid
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import anyio.lowlevel
import httpx
import pytest

from vectadb_server import spans
from vectadb_server.app import application
from vectadb_server.attribution import Boundaries, attribute
from vectadb_server.ids import record_hash
from vectadb_server.indexer import Lag
from vectadb_server.ingest import Outcome, Status
from vectadb_server.selection import is_event, is_trace
from vectadb_server.services import Services
from vectadb_server.settings import Settings, Size
from vectadb_server.stores.base import Cursor, DigestHour, HeldRecord, Hit, Page
from vectadb_server.stores.tallies import Histogram, StartedTraces, Stats, StatsBucket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from vectadb_server.model import Event, Trace
    from vectadb_server.stores.base import EventFilter, Group, Grouping, LogGroup, SearchFilter, TraceFilter
    from vectadb_server.wire import Among, Options

HOUR = 3_600_000_000
DEADLINE = 30.0
SMALL = {"max_body": Size(2**20), "max_batch_events": 500}


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


class Memory:
    """Record, ingest, index and indexer over one dict. ``failing`` names methods and what they raise."""

    here = True

    def __init__(self) -> None:
        self.held: dict[str, Event] = {}
        self.failing: dict[str, BaseException] = {}
        self.outcomes: list[Outcome] | None = None
        self.gate = anyio.Event()
        self.gate.set()
        self.entered = anyio.Event()
        self.pending = 0

    def _may(self, name: str) -> None:
        if name in self.failing:
            raise self.failing[name]

    async def ingest(self, events: Sequence[Event], options: Options, among: Among | None = None) -> list[Outcome]:
        events = events if among is None else among.all(events)
        self.entered.set()
        await self.gate.wait()
        self._may("ingest")
        if self.outcomes is not None:
            return self.outcomes
        attribute(events, Boundaries([]), auto_create_traces=options.auto_create_traces)
        outcomes = []
        for event in events:
            status: Status = "duplicate" if event.event_id in self.held else "accepted"
            event.created_at = time.time_ns() // 1000
            held = self.held.setdefault(event.event_id, event)
            outcomes.append(Outcome(event.event_id, status, held.trace, held.created_at))
        return outcomes

    async def check(self) -> None:
        self._may("check")

    async def event(self, event_id: str) -> Event | None:
        self._may("event")
        return self.held.get(event_id)

    async def events_of(self, keys: Sequence[tuple[str, str]]) -> list[Event]:
        return [self.held[event_id] for _, event_id in keys if event_id in self.held]

    async def event_page(self, where: EventFilter, *, limit: int, after: Cursor | None = None) -> Page[Event]:
        self._may("events")
        found = [event for event in self.held.values() if is_event(event, where)]
        return _page(found, lambda event: (-event.timestamp, event.event_id), limit, after)

    async def trace(self, trace_id: str) -> Trace | None:
        return next((trace for trace in self._traces() if trace.trace_id == trace_id), None)

    async def trace_events(self, trace_id: str) -> list[Event]:
        found = [event for event in self.held.values() if event.trace == trace_id]
        return sorted(found, key=lambda event: (event.timestamp, event.event_id))

    def _traces(self) -> list[Trace]:
        now = time.time_ns() // 1000
        by_trace = itertools.groupby(sorted(self.held.values(), key=lambda e: e.trace or ""), lambda e: e.trace)
        return [spans.build(list(events), now=now)[0] for trace, events in by_trace if trace]

    async def trace_page(self, where: TraceFilter, *, limit: int, after: Cursor | None = None) -> Page[Trace]:
        found = [trace for trace in self._traces() if is_trace(trace, where)]
        return _page(found, lambda trace: (-trace.start, trace.trace_id), limit, after)

    async def trace_histogram(self, where: TraceFilter, since: int, until: int, bucket: int) -> Histogram:
        self._may("histogram")
        found = [StartedTraces(start) for start in range(since, until, bucket)]
        for trace in self._traces():
            if is_trace(trace, where) and since <= trace.start < until:
                found[(trace.start - since) // bucket].traces += 1
                found[(trace.start - since) // bucket].failed += trace.status == "error"
        return Histogram(found, since)

    async def groups(self, kind: Grouping, since: int, until: int, **_: Any) -> Page[Group]:
        return Page([], None)

    async def group(self, kind: Grouping, name: str, since: int, until: int) -> Group | None:
        return None

    async def digest(
        self,
        log_group: str | None,
        since: int,
        until: int,
        *,
        system: str | None = None,
        account: str | None = None,
        region: str | None = None,
    ) -> list[DigestHour]:
        asked = (log_group, system, account, region)
        hours: dict[tuple[str, str, str, str, int], list[int]] = {}
        for event in self.held.values():
            source = event.source
            if source is not None and source.timestamp is not None:
                hour = source.timestamp // HOUR * HOUR
                names = (source.log_group, source.system, source.account, source.region)
                if since <= hour < until and all(a in (None, b) for a, b in zip(asked, names, strict=True)):
                    hours.setdefault((*names, hour), []).extend(map(record_hash, event.record_ids))
        return [
            DigestHour(group, hour, len(hashes), sum(hashes) % 2**128, system=a, account=b, region=c)
            for (group, a, b, c, hour), hashes in sorted(hours.items())
        ]

    async def records(
        self, where: LogGroup, since: int, until: int, *, limit: int, after: Cursor | None = None
    ) -> tuple[list[HeldRecord], Cursor | None]:
        found = []
        for event in self.held.values():
            source = event.source
            if source is not None and where == (source.log_group, source.system, source.account, source.region):
                ids = source.log_ids or [source.log_id]
                times = source.timestamps or [source.timestamp]
                named = zip(event.record_ids, ids, times, strict=True)
                found += [HeldRecord(id_, source.log_stream, log_id, at) for id_, log_id, at in named]
        return [each for each in found if since <= each.timestamp < until], None

    async def lacking(self, records: Sequence[tuple[str, int]]) -> set[int]:
        self._may("lacking")
        held = {record_id for event in self.held.values() for record_id in (event.event_id, *event.record_ids)}
        return {position for position, (event_id, _) in enumerate(records) if event_id not in held}

    async def stats(self, since: int, until: int, bucket: int, **filters: str | None) -> Stats:
        self._may("stats")
        traces = self._traces()
        buckets = []
        for start in range(since, until, bucket):
            stop = min(start + bucket, until)
            events = [event for event in self.held.values() if start <= event.timestamp < stop]
            begun = [trace for trace in traces if start <= trace.start < stop]
            types = [event.event_type for event in events]
            buckets.append(
                StatsBucket(
                    start=start,
                    events=len(events),
                    types={name: types.count(name) for name in types},
                    errors=types.count("error"),
                    traces=len(begun),
                    failed=sum(trace.status == "error" for trace in begun),
                    input_tokens=sum(trace.tokens.input or 0 for trace in begun),
                    output_tokens=sum(trace.tokens.output or 0 for trace in begun),
                    durations=sorted(trace.end - trace.start for trace in begun),
                )
            )
        return Stats(buckets)

    async def search(self, query: str, *, mode: str, where: SearchFilter, limit: int) -> list[Hit]:
        self._may("search")
        words = query.lower().split()
        hits = []
        for event in self.held.values():
            text = json.dumps([event.raw, event.properties], ensure_ascii=False).lower()
            score = sum(word in text for word in words)
            if score and _holds(event, where):
                hits.append(Hit(event.event_id, "2026-01-01", float(score)))
        return sorted(hits, key=lambda hit: -hit.score)[:limit]

    async def count(self) -> int:
        self._may("count")
        return len(self.held)

    async def lag(self) -> Lag:
        self._may("lag")
        return Lag(outbox=self.pending, stale_traces=0, search=0, seconds=1.5 * self.pending)

    async def wait_idle(self) -> None:
        return


def _page(items: list[Any], place: Callable[[Any], tuple[int, str]], limit: int, after: Cursor | None) -> Page[Any]:
    found = sorted((item for item in items if after is None or place(item) > (-after.us, after.id)), key=place)
    if len(found) <= limit:
        return Page(found, None)
    nus, id_ = place(found[limit - 1])
    return Page(found[:limit], Cursor(-nus, id_))


def _holds(event: Event, where: SearchFilter) -> bool:
    source = event.source
    given = {
        "trace": event.trace,
        "log_group": source.log_group if source else None,
        "log_stream": source.log_stream if source else None,
        **{name: getattr(event, name) for name in ("session_id", "agent_id")},
    }
    return (
        all(getattr(where, name) in (None, value) for name, value in given.items())
        and (not where.event_types or event.event_type in where.event_types)
        and (where.since is None or event.timestamp >= where.since)
        and (where.until is None or event.timestamp < where.until)
    )


@dataclass
class Process:
    """A running ``vectadb serve`` and its address."""

    popen: subprocess.Popen[bytes]
    url: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.popen.poll() is None:
            self.popen.send_signal(number)
        return self.popen.wait(DEADLINE)

    def rest(self) -> list[dict[str, Any]]:
        """Log lines written since it was ready; only once it has ended."""
        assert self.popen.stderr is not None
        return [json.loads(line) for line in self.popen.stderr.read().splitlines()]


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "vectadb_server", *arguments]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VECTADB_")}
    return {**kept, **variables}


@contextmanager
def serving(data_dir: Path, *arguments: str, **variables: str) -> Iterator[Process]:
    """Run a server on a free port; it is killed at the end if it still runs."""
    popen = subprocess.Popen(
        command("serve", "--port", "0", "--data-dir", str(data_dir), *arguments),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment(**variables),
    )
    try:
        assert popen.stderr is not None
        lines = []
        while True:
            readable, _, _ = select.select([popen.stderr], [], [], DEADLINE)
            assert readable, f"the server said nothing for {DEADLINE} s"
            line = popen.stderr.readline()
            assert line, f"the server ended with {popen.wait(DEADLINE)}"
            try:
                lines.append(json.loads(line))
            except ValueError:
                raise AssertionError(line + popen.stderr.read()) from None
            if "url" in lines[-1]:
                break
        yield Process(popen, lines[-1]["url"], lines)
    finally:
        if popen.poll() is None:
            popen.kill()
        popen.wait(DEADLINE)
        if popen.stderr is not None:
            popen.stderr.close()


@pytest.fixture(scope="session")
def start() -> Callable[..., Any]:
    return serving


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], bool]], None]:
    """Ask another process again and again until it says yes."""

    def ask(question: Callable[[], bool]) -> None:
        last = time.monotonic() + DEADLINE
        while not question():
            assert time.monotonic() < last, f"not so within {DEADLINE} s"

    return ask


@pytest.fixture(scope="session")
def run() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command to its end."""

    def run_command(*arguments: str, timeout: float = DEADLINE, **variables: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run_command


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    limits = {f"VECTADB_{name.upper()}": str(int(value)) for name, value in SMALL.items()}
    with serving(tmp_path_factory.mktemp("server"), **limits) as process:
        yield process
        assert process.stop() == 0


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture
def services_of(memory: Memory) -> Callable[..., Services]:
    def make(**changed: Any) -> Services:
        settings = Settings(**{**SMALL, **changed})
        return Services(settings=settings, record=memory, taker=memory, index=memory, indexer=memory)  # type: ignore[arg-type]

    return make


class Client(httpx.AsyncClient):
    """A client, and the wait until what it sent is visible everywhere."""

    settled: Callable[[], Any]

    async def take(self, *events: dict[str, Any], **more: Any) -> dict[str, Any]:
        reply = await self.post("/api/v1/events/batch", json={"events": list(events), **more})
        assert reply.status_code == 200, reply.text
        taken: dict[str, Any] = reply.json()
        await self.settled()
        return taken

    async def ok(self, path: str, **params: Any) -> dict[str, Any]:
        reply = await self.get(path, params=params)
        assert reply.status_code == 200, reply.text
        found: dict[str, Any] = reply.json()
        if found.get("next_cursor") and "limit" not in params:
            # A busy machine's pages are short.
            rest = await self.ok(path, **{**params, "cursor": found["next_cursor"]})
            for name, items in rest.items():
                found[name] = [*found[name], *items] if isinstance(items, list) else items
        return found


def in_memory(services: Services) -> Client:
    transport = httpx.ASGITransport(app=application(services), raise_app_exceptions=False)
    client = Client(transport=transport, base_url="http://127.0.0.1:8080")
    client.settled = anyio.lowlevel.checkpoint
    return client


@pytest.fixture
async def fake(services_of: Callable[..., Services]) -> AsyncIterator[Client]:
    async with in_memory(services_of()) as client:
        yield client


@pytest.fixture
def fake_of(services_of: Callable[..., Services]) -> Callable[..., Client]:
    return lambda **changed: in_memory(services_of(**changed))


@asynccontextmanager
async def over_http(process: Process) -> AsyncIterator[Client]:
    async with Client(base_url=process.url, timeout=DEADLINE) as client:

        async def settled() -> None:
            with anyio.fail_after(DEADLINE):
                while (await client.get("/health/ready")).json()["engines"]["indexer"]["pending"]:  # noqa: ASYNC110 - it is another process
                    await anyio.sleep(0.01)

        client.settled = settled
        yield client


@pytest.fixture
async def real(server: Process) -> AsyncIterator[Client]:
    """A client of a real server, which other tests use as well."""
    async with over_http(server) as client:
        yield client


@pytest.fixture(params=["memory", "process"])
async def client(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """A client of both kinds: whoever takes this, is run twice."""
    if request.param == "memory":
        made = in_memory(request.getfixturevalue("services_of")())
        async with made as client:
            yield client
    else:
        async with over_http(request.getfixturevalue("server")) as client:
            yield client


@pytest.fixture
def unique() -> str:
    """A name that no other test uses, for a trace, session or group of its own."""
    return f"t-{uuid.uuid4().hex[:12]}"
