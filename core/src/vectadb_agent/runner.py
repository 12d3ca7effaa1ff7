"""Runs and checks a configuration: opens its components, runs its pipelines, and ends them in order."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import anyio

from vectadb_agent import endpoint
from vectadb_agent.components import Component, Sink
from vectadb_agent.errors import CheckError, VectaDBAgentError
from vectadb_agent.pipeline import Pipeline
from vectadb_agent.state import State
from vectadb_agent.sweeps import Sweeper
from vectadb_agent.vitals import Vitals

if TYPE_CHECKING:
    from anyio.abc import TaskStatus

    from vectadb_agent.config import Configuration

logger = logging.getLogger("vectadb_agent.runner")

_M_ARENA_MAX = -8
"""glibc's ``mallopt`` parameter, from its ``malloc.h``."""
CHECK_TIMEOUT = 30.0
"""Seconds that one component's check may take."""
REPORT_EVERY = 60.0
"""Seconds between two lines that say how far the pipelines are."""
TELL_EVERY = 15.0
"""Seconds between two reports to the sinks."""


@dataclass(frozen=True)
class Finding:
    """What the check of one component found: lines that say so, or the reason why it cannot work."""

    component: str
    ok: bool
    lines: list[str]


def run(configuration: Configuration, *, drain: bool = False) -> int:
    """Run the pipelines until a signal, or with ``drain`` until they have caught up.

    SIGINT or SIGTERM ends them in order: reading stops, what was read is delivered, checkpoints are saved. A second
    signal ends the process at once, with exit code 130.

    Returns:
        0; with ``drain`` 1 where a signal came before they had caught up.

    Raises:
        StateError: the state directory cannot be used.
        CheckError: a source cannot work at all.
    """
    _keep_memory_together()
    agent = configuration.agent
    keep, most = agent.quarantine_keep, agent.quarantine_max
    with State(agent.state_dir, quarantine_keep=keep, quarantine_max=most) as state:
        return anyio.run(_run, configuration, state, drain)


def _keep_memory_together() -> None:
    """Let all threads allocate from one arena (glibc): those of their own kept 10 to 15 MB of pages long parsed.

    Must come before the first thread. Where there is no glibc it does nothing.
    """
    try:
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)
    except (AttributeError, OSError):
        logger.debug("no mallopt here")


async def _run(configuration: Configuration, state: State, drain: bool) -> int:
    stop = anyio.Event()
    failures: list[CheckError] = []
    undrained: list[str] = []
    vitals = Vitals(state)
    async with contextlib.AsyncExitStack() as stack:
        doors = await stack.enter_async_context(
            endpoint.listening(configuration.agent.state_dir, configuration.agent.listen)
        )
        for name, sink in configuration.sinks.items():
            await stack.enter_async_context(sink)
            vitals.listen_to(sink.figures, sink=name)
        pipelines = []
        for settings in configuration.pipelines:
            await stack.enter_async_context(settings.source)
            for component in (*settings.parsers, *settings.processors):
                await stack.enter_async_context(component)
            pipeline = Pipeline(settings, configuration.sinks, state)
            pipelines.append(pipeline)
            vitals.watch(pipeline, settings)

        async def run_one(pipeline: Pipeline) -> None:
            beside = []
            if not drain:
                sweeper = Sweeper(pipeline)
                vitals.listen_to(sweeper.figures, pipeline=pipeline.name)
                beside.append(sweeper.run)
            try:
                grace = configuration.agent.shutdown_timeout
                await pipeline.run(stop, drain=drain, shutdown_timeout=grace, beside=beside)
                if drain and (pipeline.counts.in_flight or not pipeline.read_to_end):
                    undrained.append(pipeline.name)
                    logger.warning(
                        "stopped before all that is visible was delivered; the next run goes on from there",
                        extra={"pipeline": pipeline.name, "in_flight": pipeline.counts.in_flight},
                    )
            except CheckError as error:
                logger.error("pipeline cannot work; stopping", extra={"pipeline": pipeline.name, "error": str(error)})  # noqa: TRY400 - the text is meant for the user, the traceback is not
                failures.append(error)
                if not drain:  # else the others come to their end by themselves
                    stop.set()
            _report(pipeline, "pipeline ended")

        async with anyio.create_task_group() as group:
            await group.start(_watch_signals, stop)
            group.start_soon(endpoint.serve, vitals, doors)
            group.start_soon(_report_now_and_then, pipelines)
            for plugin in configuration.host.plugins:
                for problem in plugin.problems:
                    logger.warning(
                        "plugin is left out, in whole or in part", extra={"plugin": str(plugin), "error": problem}
                    )
            for name, sink in configuration.sinks.items():
                if type(sink).report is not Sink.report:
                    group.start_soon(_tell, name, sink, vitals)
            logger.info("started", extra={"pipelines": [pipeline.name for pipeline in pipelines]})
            async with anyio.create_task_group() as running:
                for pipeline in pipelines:
                    running.start_soon(run_one, pipeline)
            group.cancel_scope.cancel()
    if failures:
        raise failures[0]
    return int(bool(undrained))


async def _watch_signals(stop: anyio.Event, *, task_status: TaskStatus[None]) -> None:
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        task_status.started()
        async for number in signals:
            if stop.is_set():
                logger.warning("second signal: ending at once; what was not delivered is read again by the next run")
                logging.shutdown()
                os._exit(130)
            logger.info("stopping: delivering what was read", extra={"signal": signal.Signals(number).name})
            stop.set()


async def _report_now_and_then(pipelines: list[Pipeline]) -> None:
    while True:
        await anyio.sleep(REPORT_EVERY)
        for pipeline in pipelines:
            _report(pipeline, "progress")


async def _tell(name: str, sink: Sink, vitals: Vitals) -> None:
    """Have a sink pass on how the agent is doing; that it cannot is said once, until it can."""
    failed = False
    while True:
        await anyio.sleep(TELL_EVERY)
        try:
            await sink.report(vitals.report())
            failed = False
        except Exception as error:
            if not failed and isinstance(error, VectaDBAgentError):
                logger.info("the sink does not take reports now", extra={"sink": name, "error": str(error)})
            elif not failed:
                logger.exception("the sink's report failed", extra={"sink": name})
            failed = True


def _report(pipeline: Pipeline, message: str) -> None:
    counts = pipeline.counts
    logger.info(
        message,
        extra={
            "pipeline": pipeline.name,
            "read": counts.read,
            "delivered": counts.delivered,
            "duplicate": counts.duplicate,
            "filtered": counts.filtered,
            "quarantined": counts.quarantined,
            "expired": counts.expired,
            "in_flight": counts.in_flight,
        },
    )


def check(configuration: Configuration) -> list[Finding]:
    """Check every component of a configuration; change nothing."""
    return anyio.run(_check, configuration)


async def _check(configuration: Configuration) -> list[Finding]:
    components: dict[str, Component] = {}
    for pipeline in configuration.pipelines:
        components[f"pipelines.{pipeline.name}.source ({pipeline.source.name})"] = pipeline.source
        # These are checked by being made. One that has something to try beyond that says so.
        for kind, made in (("parsers", pipeline.parsers), ("processors", pipeline.processors)):
            for each in made:
                if type(each).check is not Component.check:
                    components[f"pipelines.{pipeline.name}.{kind} ({each.name})"] = each
    for name, sink in configuration.sinks.items():
        components[f"sinks.{name} ({sink.name})"] = sink
    findings: dict[str, Finding] = {}
    async with anyio.create_task_group() as group:
        for name, component in components.items():
            group.start_soon(_check_one, name, component, findings)
    return [findings[name] for name in components]


async def _check_one(name: str, component: Component, findings: dict[str, Finding]) -> None:
    try:
        with anyio.fail_after(CHECK_TIMEOUT):
            async with component:
                findings[name] = Finding(name, True, await component.check() or ["ok"])
    except CheckError as error:
        findings[name] = Finding(name, False, str(error).splitlines())
    except TimeoutError:
        findings[name] = Finding(name, False, [f"no answer within {CHECK_TIMEOUT:g} s: is the endpoint reachable?"])
    except Exception as error:
        logger.debug("check failed", exc_info=True)
        findings[name] = Finding(name, False, [f"failed: {type(error).__name__}: {error}"])
