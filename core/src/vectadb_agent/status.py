"""``vectadb-agent status``: how the agent of a state directory is doing, or how far it was when it ended."""

from __future__ import annotations

import contextlib
import http.client
import socket
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from vectadb_agent.endpoint import SOCKET, socket_path
from vectadb_agent.errors import StateError
from vectadb_agent.reports import table
from vectadb_agent.state import State
from vectadb_agent.sweeps import LANE
from vectadb_agent.vitals import Status

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from vectadb_agent.components import Checkpoint
    from vectadb_agent.vitals import PipelineStatus, Sample

PATIENCE = 10.0
"""Seconds that the agent may take to answer."""
TERMS = ("delivered", "duplicate", "filtered", "quarantined", "expired", "in_flight")
LAG, COMPLETE = "lag_seconds", "complete_through_seconds"
_WAITING, _WAITING_BYTES, _RETRIES = "queued_events", "queued_bytes", "retries_total"
_MISSED, _MEMORY = "missed_events_total", "process_resident_memory_bytes"
_FAILING = "failing"
_SHOWN = frozenset({_WAITING, _WAITING_BYTES, _RETRIES, _MISSED, _FAILING})


class Saved(msgspec.Struct, frozen=True):
    """What the state file knows of a pipeline; ``complete_through``: by partition and sweep age, microseconds."""

    checkpoints: dict[str, Checkpoint]
    complete_through: dict[str, dict[str, int]]


class Rest(msgspec.Struct, frozen=True):
    """What is known while no agent runs. ``saved_seconds_ago``: since something was saved last."""

    state_dir: str
    saved_seconds_ago: float
    pipelines: dict[str, Saved]
    status: str = "not running"


class _SocketConnection(http.client.HTTPConnection):
    def __init__(self, state_dir: Path) -> None:
        super().__init__("agent", timeout=PATIENCE)
        self._state_dir = state_dir

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        with socket_path(self._state_dir) as path:
            self.sock.connect(path)


def connection(state_dir: Path) -> http.client.HTTPConnection:
    """Return a connection to the socket of the agent that runs on the state directory; opened by its first request."""
    return _SocketConnection(state_dir)


def ask(state_dir: Path) -> Status | None:
    """Ask the agent that runs on the state directory; ``None``: none does.

    Raises:
        StateError: one may be running, but it does not tell; says why.
    """
    path = state_dir / SOCKET
    with contextlib.closing(connection(state_dir)) as asked:
        try:
            asked.request("GET", "/status")
            reply = asked.getresponse()
            body = reply.read()
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError):
            return None
        except PermissionError as error:
            raise StateError(f"{path} belongs to another user: ask as the user that the agent runs as") from error
        except TimeoutError as error:
            raise StateError(f"the agent at {path} gave no answer in {PATIENCE:g} s: it is busy or hangs") from error
        except (OSError, http.client.HTTPException) as error:
            raise StateError(
                f"the agent at {path} gave no whole answer: {str(error) or type(error).__name__}"
            ) from error
    try:
        return msgspec.json.decode(body, type=Status)
    except msgspec.MsgspecError as error:
        raise StateError(
            f"the agent at {path} answered {reply.status} in a form that this version does not know ({error}). "
            "Is it of another version? Ask with the `vectadb-agent` that it was started with."
        ) from error


def at_rest(state_dir: Path, pipelines: Sequence[str]) -> Rest:
    """Read what the state file says of these pipelines, beside whoever else may use it.

    Raises:
        StateError: there is no such file, or it cannot be read.
    """
    ago = _saved_ago(state_dir)
    with State(state_dir, exclusive=False) as state:
        return Rest(str(state_dir), ago, {name: _saved(state, name) for name in pipelines})


def _saved(state: State, pipeline: str) -> Saved:
    complete: dict[str, dict[str, int]] = {}
    for (partition, lane), checkpoint in state.lanes(pipeline, LANE).items():
        complete.setdefault(partition, {})[lane.removeprefix(LANE)] = checkpoint["through"]
    return Saved(state.checkpoints(pipeline), complete)


def _saved_ago(state_dir: Path) -> float:
    times = []
    for name in ("state.db", "state.db-wal"):
        with contextlib.suppress(OSError):
            times.append((state_dir / name).stat().st_mtime)
    return max(0.0, time.time() - max(times, default=time.time()))


def as_json(status: Status | Rest) -> str:
    """Return everything, as JSON to read and to parse."""
    return msgspec.json.format(msgspec.json.encode(status), indent=2).decode()


# For people


def headline(status: Status) -> str:
    """Say in one line which agent it is, and whether it is well."""
    memory = [sample.value for sample in status.figures if sample.name == _MEMORY]
    about = [f"process {status.pid}", f"up {duration(status.uptime_seconds)}", *(_size(value) for value in memory)]
    failing = {sample.labels["sink"] for sample in status.figures if sample.name == _FAILING and sample.value}
    unread = [name for pipeline in status.pipelines for name in pipeline.unreadable]
    state = status.status
    if state == "ok":
        # For some minutes the agent is held to be well (`/health`); who asks here wants to know at once.
        troubles = [f"sink {', '.join(sorted(failing))} takes nothing"] if failing else []
        if unread:
            troubles.append(f"{unread[0] if len(unread) == 1 else f'{len(unread)} partitions'} cannot be read")
        state += f", but {' and '.join(troubles)}" if troubles else ""
    return f"vectadb-agent {status.version}: {state} ({', '.join(about)})"


def running_text(status: Status) -> str:
    """Say how a running agent is doing."""
    lines = [headline(status)]
    lines += [f"  {reason}" for reason in status.reasons]
    for pipeline in status.pipelines:
        own = [sample for sample in status.figures if sample.labels.get("pipeline") == pipeline.name]
        lines += ["", *_pipeline(pipeline, own, status.uptime_seconds)]
    lines += [""]
    for name in dict.fromkeys(name for pipeline in status.pipelines for name in pipeline.sinks):
        own = [sample for sample in status.figures if dict(sample.labels, sink=name) == sample.labels]
        more = _others(sample for sample in own if "pipeline" not in sample.labels)
        lines += [f"sink {name}: {more}"] if more else []
    kept = "cannot be told now" if status.quarantine is None else f"{_number(status.quarantine)} kept"
    lines += [f"quarantine: {kept}"]
    return "\n".join(lines)


def rest_text(rest: Rest) -> str:
    """Say how far an agent was that runs no more."""
    lines = [
        f"no agent is running with agent.state_dir {rest.state_dir} (nobody answers at {SOCKET})",
        f"  something was saved last {duration(rest.saved_seconds_ago)} ago",
    ]
    for name, saved in rest.pipelines.items():
        lines += ["", f"pipeline {name}"]
        rows = [
            (partition, _sweeps(saved.complete_through.get(partition, {})), _short(checkpoint))
            for partition, checkpoint in sorted(saved.checkpoints.items())
        ]
        lines += _indented(table([("PARTITION", "COMPLETE THROUGH", "CHECKPOINT"), *rows])) if rows else []
        lines += [] if rows else ["  no checkpoint was saved"]
    return "\n".join(lines)


def _pipeline(pipeline: PipelineStatus, samples: Sequence[Sample], uptime: float) -> list[str]:
    counts = pipeline.counts
    terms = " + ".join(f"{term.replace('_', ' ')} {_number(counts[term])}" for term in TERMS)
    rate = counts["read"] / uptime if uptime > 0 else 0.0
    lines = [
        f"pipeline {pipeline.name}: {pipeline.source} -> {', '.join(pipeline.sinks)}",
        f"  read {_number(counts['read'])} = {terms}",
        f"  {rate:,.1f} records/s since the start",
    ]
    lines += _partitions(samples)
    lines += [f"  cannot be read: {name}: {why}" for name, why in sorted(pipeline.unreadable.items())]
    for sink in pipeline.sinks:
        told = {sample.name: sample.value for sample in samples if sample.labels.get("sink") == sink}
        if told:
            waiting = f"{_number(told.get(_WAITING, 0))} events wait ({_size(told.get(_WAITING_BYTES, 0))})"
            missed = told.get(_MISSED, 0)
            words = [waiting, f"{_number(told.get(_RETRIES, 0))} retries"]
            words += [f"missed {_number(missed)}"] if missed else []
            words += ["FAILING (tried again; the log says why)"] if told.get(_FAILING) else []
            lines.append(f"  to {sink}: {', '.join(words)}")
    more = _others(sample for sample in samples if "partition" not in sample.labels and sample.name not in _SHOWN)
    return [*lines, f"  {more}"] if more else lines


def _partitions(samples: Sequence[Sample]) -> list[str]:
    lag = {sample.labels["partition"]: sample.value for sample in samples if sample.name == LAG}
    complete: dict[str, dict[str, int]] = {partition: {} for partition in lag}
    for sample in samples:
        if sample.name == COMPLETE:
            ages = complete.setdefault(sample.labels["partition"], {})
            ages[sample.labels["age"]] = int(sample.value * 1_000_000)
    rows = [
        (partition, duration(lag[partition]) if partition in lag else "unknown", _sweeps(ages))
        for partition, ages in sorted(complete.items())
    ]
    return _indented(table([("PARTITION", "LAG", "COMPLETE THROUGH"), *rows])) if rows else []


def _sweeps(ages: dict[str, int]) -> str:
    """Up to when the sweep of each age has read: ``2026-01-01 10:00:00 (after 5 min)``, the youngest age first."""
    told = sorted((float(age), through) for age, through in ages.items())
    return ", ".join(f"{_time(through)} (after {duration(age)})" for age, through in told) or "not swept yet"


def _others(samples: Iterable[Sample]) -> str:
    """Figures for which there is no better form; those of zero say nothing."""
    words = []
    for sample in samples:
        own = [value for name, value in sample.labels.items() if name not in ("pipeline", "source", "sink", "position")]
        if sample.value:
            # Prometheus's names: a figure of that end is seconds since the epoch.
            is_time = sample.name.endswith("_timestamp_seconds")
            value = _time(round(sample.value * 1_000_000)) if is_time else _number(sample.value)
            words.append(" ".join([sample.name.removesuffix("_total"), *own, value]))
    return ", ".join(words)


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _short(checkpoint: Checkpoint) -> str:
    text = msgspec.json.encode(checkpoint).decode()
    return text if len(text) <= 100 else text[:99] + "…"


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.3g}"


def _size(value: float) -> str:
    if value < 1_000_000:
        return f"{value / 1000:,.0f} KB" if value >= 1000 else f"{value:.0f} B"
    return f"{value / 1_000_000:,.0f} MB"


def duration(seconds: float) -> str:
    """``850 ms``, ``12 s``, ``5 min``, ``3 h 20 min``, ``13 d 12 h``."""
    if seconds < 1:
        return f"{max(0.0, seconds) * 1000:.0f} ms"
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86_400
    if days >= 2:
        return f"{int(days)} d" + (f" {int(hours % 24)} h" if int(hours % 24) else "")
    if hours >= 1:
        return f"{int(hours)} h" + (f" {int(minutes % 60)} min" if int(minutes % 60) else "")
    return f"{int(minutes)} min" if minutes >= 2 else f"{seconds:.0f} s"


def _time(us: int) -> str:
    return f"{datetime.fromtimestamp(us // 1_000_000, UTC):%Y-%m-%d %H:%M:%S}"
