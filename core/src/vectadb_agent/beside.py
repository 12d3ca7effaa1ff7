"""What ``audit`` and ``backfill`` share: they work on the configured pipelines beside a running agent."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import anyio

from vectadb_agent.errors import UsageError, VectaDBAgentError, unknown_name
from vectadb_agent.pipeline import Pipeline

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from anyio.abc import TaskStatus

    from vectadb_agent import config
    from vectadb_agent.config import Configuration
    from vectadb_agent.state import State

_RELATIVE = re.compile(r"(\d+(?:\.\d+)?)(m|h|d)")
_MICROSECONDS = {"m": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}


def time_given(text: str, option: str) -> int:
    """Microseconds since the epoch, from RFC 3339 (``2026-11-23T14:00:00Z``, a day) or ``24h``, ``7d``: so long ago.

    Raises:
        UsageError: it is neither, or before 1970; ``option`` is named.
    """
    relative = _RELATIVE.fullmatch(text.strip().removeprefix("-"))
    if relative:
        found = time.time_ns() // 1000 - float(relative[1]) * _MICROSECONDS[relative[2]]
    else:
        found = _dated(text, option)
    if found < 0:
        raise UsageError(f"{option} {text} is before 1970; right would be 24h, 7d or a later time")
    return int(found)


def _dated(text: str, option: str) -> int:
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise UsageError(
            f"{option} {text!r} is no time; right would be 24h, 7d, 2026-11-23 or 2026-11-23T14:00:00Z"
        ) from None
    found = found if found.tzinfo else found.replace(tzinfo=UTC)
    return int(found.timestamp()) * 1_000_000 + found.microsecond


def chosen(configuration: Configuration, name: str | None) -> Sequence[config.Pipeline]:
    """The pipelines of that name, or all; only those whose past can be read again.

    Raises:
        UsageError: there is no such pipeline, or its source cannot be read again.
    """
    names = [pipeline.name for pipeline in configuration.pipelines]
    if name is not None and name not in names:
        raise unknown_name("--pipeline", name, names)
    found = [pipeline for pipeline in configuration.pipelines if name in (None, pipeline.name)]
    able = [pipeline for pipeline in found if pipeline.source.seekable]
    if not able:
        kinds = ", ".join(sorted({pipeline.source.name for pipeline in found}))
        raise UsageError(f"the past of this source cannot be read again: {kinds}")
    return able


@contextlib.asynccontextmanager
async def opened(configuration: Configuration, settings: config.Pipeline, state: State) -> AsyncIterator[Pipeline]:
    """One pipeline with its components open."""
    async with contextlib.AsyncExitStack() as stack:
        for name in settings.sinks:
            await stack.enter_async_context(configuration.sinks[name])
        await stack.enter_async_context(settings.source)
        for component in (*settings.parsers, *settings.processors):
            await stack.enter_async_context(component)
        yield Pipeline(settings, configuration.sinks, state)


async def until_signalled(work: Callable[[anyio.Event], Awaitable[None]], *, cancel: bool) -> bool:
    """Run ``work(stop)``; return whether it ran to its end.

    SIGINT or SIGTERM sets ``stop`` and, with ``cancel``, also cancels the work. A second signal ends the process at
    once, with exit code 130.

    Raises:
        VectaDBAgentError: what ``work`` raised, by itself and not in a group.
    """
    stop = anyio.Event()
    scope = anyio.CancelScope()
    errors: list[VectaDBAgentError] = []

    async def watch(*, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            task_status.started()
            async for _ in signals:
                if stop.is_set():
                    os._exit(130)
                stop.set()
                if cancel:
                    scope.cancel()

    async with anyio.create_task_group() as group:
        await group.start(watch)
        try:
            with scope:
                await work(stop)
        except VectaDBAgentError as error:
            errors.append(error)
        group.cancel_scope.cancel()
    if errors:
        raise errors[0]
    return not stop.is_set()


async def reading(pipelines: Sequence[config.Pipeline], only: Sequence[str]) -> list[tuple[config.Pipeline, list[str]]]:
    """The pipelines that read any of the partitions asked for, each with those; where none is asked for all, with none.

    Raises:
        UsageError: one that is asked for is read by none of them.
        CheckError: a pipeline's partitions cannot be listed.
    """
    if not only:
        return [(settings, []) for settings in pipelines]
    reads: dict[str, list[str]] = {}
    for settings in pipelines:
        async with settings.source as source:
            reads[settings.name] = await source.partitions()
    known = list(dict.fromkeys(name for names in reads.values() for name in names))
    for name in only:
        if name not in known:
            names, right = ", ".join(reads), ", ".join(known[:20])
            raise UsageError(f"--log-group {name} is not read by pipeline {names}; right would be one that is: {right}")
    asked = [(settings, [name for name in only if name in reads[settings.name]]) for settings in pipelines]
    return [(settings, names) for settings, names in asked if names]
