"""What a running agent tells of itself: its metrics, whether it is well, and its status.

Everything is taken in one go in the event loop, between two steps of the pipelines, so that in every reply and for
every pipeline, in records, ``read = delivered + duplicate + filtered + quarantined + expired + in flight``.
"""

from __future__ import annotations

import logging
import os
import platform
import re
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import msgspec
from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric

from vectadb_agent import __version__
from vectadb_agent.components import AgentReport, Figure, Reading
from vectadb_agent.errors import VectaDBAgentError
from vectadb_agent.records import rfc3339
from vectadb_agent.settling import Counts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from vectadb_agent import config
    from vectadb_agent.pipeline import Pipeline
    from vectadb_agent.state import State
    from vectadb_agent.tap import Tap

logger = logging.getLogger("vectadb_agent.vitals")

PREFIX = "vectadb_agent_"
STATE_PATIENCE = 1.0
"""Seconds that a reply waits for the state file, which may be busy with a save; then it does without."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RECORDS = {
    "read": "Records read from the source; the sum of the other five and of those in flight.",
    "delivered": "Records that all required sinks have.",
    "duplicate": "Records that were delivered before.",
    "filtered": "Records that a parser left out.",
    "quarantined": "Records that a sink refused for good.",
    "expired": "Records older than what the sink keeps.",
}
assert tuple(_RECORDS) == Counts.__struct_fields__


class Sample(msgspec.Struct, frozen=True):
    """One figure with all its labels, as the status shows it; ``name`` is without the prefix."""

    name: str
    value: float
    labels: dict[str, str] = {}


class PipelineStatus(msgspec.Struct, frozen=True):
    """How one pipeline is doing. ``stuck``: why it gets nowhere, if it does not.

    ``unreadable``: the partitions that its source cannot read now, and why.
    """

    name: str
    source: str
    sinks: list[str]
    counts: dict[str, int]
    stuck: str | None = None
    unreadable: dict[str, str] = {}


class Status(msgspec.Struct, frozen=True):
    """What ``GET /status`` says. ``quarantine`` is the number of events kept there; ``None``: it cannot be told now."""

    version: str
    pid: int
    started_at: str
    uptime_seconds: float
    status: str
    reasons: list[str]
    pipelines: list[PipelineStatus]
    figures: list[Sample]
    quarantine: int | None = None


@dataclass(frozen=True)
class _Teller:
    """Who tells figures, and the labels that they are known by."""

    labels: tuple[tuple[str, str], ...]
    figures: Callable[[], Iterable[Figure]]


class Vitals:
    """Gathers what the agent's parts tell. One for a running agent; nothing happens until somebody asks."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._pipelines: dict[Pipeline, config.Pipeline] = {}
        self._tellers: list[_Teller] = []
        self._silenced: set[_Teller] = set()
        self._process = ProcessCollector(registry=None)
        # One thread at most, whoever asks how often: the pipelines need theirs.
        self._limiter = anyio.CapacityLimiter(1)
        self._began = time.monotonic()
        self._began_at = time.time_ns() // 1000

    def watch(self, pipeline: Pipeline, settings: config.Pipeline) -> None:
        """Tell of the pipeline, its source and its parsers from now on."""
        self._pipelines[pipeline] = settings
        self.listen_to(pipeline.figures, pipeline=pipeline.name)
        self.listen_to(lambda: _lags(pipeline), pipeline=pipeline.name)
        self.listen_to(settings.source.figures, pipeline=pipeline.name, source=settings.source.name)
        for position, parser in enumerate(settings.parsers):
            self.listen_to(parser.figures, pipeline=pipeline.name, parser=parser.name, position=str(position))
        for position, processor in enumerate(settings.processors):
            self.listen_to(processor.figures, pipeline=pipeline.name, processor=processor.name, position=str(position))

    def listen_to(self, figures: Callable[[], Iterable[Figure]], **labels: str) -> None:
        """Ask for these figures too, at each reply; ``labels`` are put before their own."""
        self._tellers.append(_Teller(tuple(labels.items()), figures))

    @property
    def taps(self) -> list[Tap]:
        """Where the pipelines can be looked into."""
        return [pipeline.tap for pipeline in self._pipelines]

    def reasons(self) -> list[str]:
        """Why the agent is not well, a sentence for each pipeline that is stuck; empty: it is well."""
        return [f"pipeline {pipeline.name}: {why}" for pipeline in self._pipelines if (why := pipeline.stuck())]

    def report(self) -> AgentReport:
        """What sinks may pass on: how far each partition is."""
        complete: dict[tuple[str, str], dict[str, str]] = {}
        for figure in self._told():
            if figure.name == "complete_through_seconds":
                labels = dict(figure.labels)
                ages = complete.setdefault((labels["pipeline"], labels["partition"]), {})
                ages[labels["age"]] = rfc3339(round(figure.value * 1_000_000))
        readings = [
            Reading(
                pipeline.name,
                lane.partition,
                None if lane.saved_through is None else rfc3339(lane.saved_through),
                complete.get((pipeline.name, lane.partition), {}),
            )
            for pipeline in self._pipelines
            for lane in pipeline.lanes.values()
            if lane.is_head
        ]
        return AgentReport(f"{platform.node()}:{self._state.directory}", __version__, self.reasons(), readings)

    async def metrics(self) -> bytes:
        """Everything, in Prometheus' text format."""
        kept = await self._quarantine()
        families = _families([*self._agent_figures(kept), *self._pipeline_figures(), *self._told()])
        return await anyio.to_thread.run_sync(self._text, families, limiter=self._limiter)

    async def status(self) -> Status:
        """Everything, for ``vectadb-agent status``."""
        kept = await self._quarantine()
        process = [Sample(sample.name, sample.value) for family in self._process.collect() for sample in family.samples]
        reasons = self.reasons()
        return Status(
            version=__version__,
            pid=os.getpid(),
            started_at=rfc3339(self._began_at),
            uptime_seconds=time.monotonic() - self._began,
            status="unhealthy" if reasons else "ok",
            reasons=reasons,
            pipelines=[_pipeline_status(pipeline, settings) for pipeline, settings in self._pipelines.items()],
            figures=[Sample(figure.name, figure.value, dict(figure.labels)) for figure in self._told()] + process,
            quarantine=kept,
        )

    def _agent_figures(self, kept: int | None) -> Iterator[Figure]:
        about = (("version", __version__), ("python", platform.python_version()))
        yield Figure("build_info", "1, with the versions as labels.", 1, labels=about)
        yield Figure("healthy", "1 while no pipeline is stuck.", float(not self.reasons()))
        if kept is not None:
            yield Figure("quarantine_events", "Events kept in the quarantine.", kept)

    def _pipeline_figures(self) -> Iterator[Figure]:
        for pipeline in self._pipelines:
            labels = (("pipeline", pipeline.name),)
            counts = pipeline.counts
            for term, text in _RECORDS.items():
                yield Figure(f"{term}_records_total", text, getattr(counts, term), "counter", labels)
            text = "Records read whose fate is open yet."
            yield Figure("in_flight_records", text, counts.in_flight, labels=labels)
            yield Figure("stuck", "1 while the pipeline gets nowhere.", float(bool(pipeline.stuck())), labels=labels)

    def _told(self) -> list[Figure]:
        """What the parts tell. One that fails to is left out, and logged once."""
        told: list[Figure] = []
        for teller in self._tellers:
            try:
                # All of one teller or nothing of it: half of its figures would look like all.
                told += [_labelled(teller, figure) for figure in teller.figures()]
            except Exception:
                if teller not in self._silenced:
                    self._silenced.add(teller)
                    logger.exception("figures cannot be told; they are left out", extra=dict(teller.labels))
        return told

    async def _quarantine(self) -> int | None:
        with anyio.move_on_after(STATE_PATIENCE):
            try:
                count, _ = await anyio.to_thread.run_sync(
                    self._state.kept.totals, abandon_on_cancel=True, limiter=self._limiter
                )
            except (sqlite3.Error, VectaDBAgentError):
                return None  # delivery and saving say what is wrong with it
            return count
        return None

    def _text(self, families: list[Metric]) -> bytes:
        return generate_latest(_Collected([*families, *self._process.collect()]))


def _lags(pipeline: Pipeline) -> Iterator[Figure]:
    text = "Between the source's present and the time up to which everything was read, delivered and saved."
    now = pipeline.source.now()
    for lane in pipeline.lanes.values():
        if lane.is_head and lane.saved_through is not None:
            lag = max(0, now - lane.saved_through) / 1_000_000
            yield Figure("lag_seconds", text, lag, labels=(("partition", lane.partition),))


class _Collected:
    """What was taken, in the form that ``generate_latest`` asks for."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Sequence[Metric]:
        return self._families


def _labelled(teller: _Teller, figure: Figure) -> Figure:
    labels = {**dict(figure.labels), **dict(teller.labels)}
    wrong = [name for name in (figure.name, *labels) if not _NAME.fullmatch(name)]
    if wrong:
        raise ValueError(f"{wrong[0]!r} is no name for a figure or a label; right would be small letters, digits and _")
    named = tuple((name, str(value)) for name, value in labels.items())
    return msgspec.structs.replace(figure, value=float(figure.value), labels=named)


def _families(figures: Iterable[Figure]) -> list[Metric]:
    """Put figures of one name together, as the format wants it; of two with the same labels the first counts."""
    families: dict[str, Metric] = {}
    seen: set[tuple[str, frozenset[tuple[str, str]]]] = set()
    for figure in figures:
        name = PREFIX + figure.name
        key = (name, frozenset(figure.labels))
        if key in seen:
            continue
        seen.add(key)
        family = families.get(name)
        if family is None:
            # The library itself puts `_total` behind a counter's name.
            kind = figure.kind if name.endswith("_total") else "gauge"
            family = families[name] = Metric(
                name.removesuffix("_total") if kind == "counter" else name, figure.help, kind
            )
        family.add_sample(name, dict(figure.labels), figure.value)
    return list(families.values())


def _pipeline_status(pipeline: Pipeline, settings: config.Pipeline) -> PipelineStatus:
    counts = pipeline.counts
    return PipelineStatus(
        name=pipeline.name,
        source=settings.source.name,
        sinks=list(settings.sinks),
        counts={**msgspec.structs.asdict(counts), "in_flight": counts.in_flight},
        stuck=pipeline.stuck(),
        unreadable=dict(settings.source.unreadable()),
    )
