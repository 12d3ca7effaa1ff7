"""What people watch at a terminal: ``tap``, what passes through a running agent, and ``top``, how it is doing."""

from __future__ import annotations

import contextlib
import http.client
import re
import shutil
import sys
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from vectadb_agent import status
from vectadb_agent.errors import StateError
from vectadb_agent.logs import coloured
from vectadb_agent.reports import table
from vectadb_agent.tap import Glimpse

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from vectadb_agent.vitals import Status

_COLOURS = {"read": "36", "joined": "34", "parsed": "33", "shipped": "32", "bad": "31"}
_CLEAR_LINE, _HOME, _CLEAR_BELOW = "\x1b[K", "\x1b[H", "\x1b[J"
_COLOUR_CODE = re.compile(r"\x1b\[[\d;]*m")


def glimpses(state_dir: Path) -> Iterator[tuple[bytes, Glimpse | None, int]]:
    """What passes through the agent that runs on the state directory, until it ends.

    Yields:
        The line as it came, what it shows, and how many glimpses were left out before it.

    Raises:
        StateError: no agent runs there, or it does not tell.
    """
    with contextlib.closing(status.connection(state_dir)) as connection:
        try:
            connection.request("GET", "/tap")
            reply = connection.getresponse()
        except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
            raise StateError(
                f"no agent runs on {state_dir}: this shows what a running one does, since to read beside it would use "
                "up its quota. Start it by `vectadb-agent run`; to try parsers on a file: `vectadb-agent parse`"
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise StateError(f"the agent on {state_dir} does not tell: {str(error) or type(error).__name__}") from error
        if reply.status != 200:
            raise StateError(f"the agent on {state_dir} answers {reply.status}: it is of a version without `tap`")
        with contextlib.suppress(OSError, http.client.HTTPException):  # it has ended
            while line := reply.readline():
                if line.strip():
                    yield _glimpse(line)


def _glimpse(line: bytes) -> tuple[bytes, Glimpse | None, int]:
    missed = msgspec.json.decode(line).get("missed", 0)
    return line, None if missed else msgspec.json.decode(line, type=Glimpse), missed


def tap(state_dir: Path, stages: Collection[str], pipeline: str | None, *, most: int | None, as_json: bool) -> None:
    """Print what passes through the agent, ``most`` lines of it, or until it ends.

    Raises:
        StateError: no agent runs there, or it does not tell.
    """
    out, colour, printed = sys.stdout, coloured(sys.stdout), 0
    width = shutil.get_terminal_size((120, 24)).columns if out.isatty() else 10_000
    for line, seen, missed in glimpses(state_dir):
        if seen is not None and (seen.stage not in stages or pipeline not in (None, seen.pipeline)):
            continue
        if as_json:
            out.write(line.decode())
        elif seen is None:
            out.write(f"… {missed:,} more passed too fast to be shown\n")
        else:
            out.write(shown(seen, width, colour=colour) + "\n")
        out.flush()
        printed += 1
        if printed == most:
            return
    sys.stderr.write("The agent has ended.\n")


def shown(seen: Glimpse, width: int, *, colour: bool) -> str:
    """``10:00:00.123 parsed  shop /aws/lambda/shop  langchain: tool_call  gen_ai.tool.name=search``."""
    at = datetime.fromtimestamp(seen.at / 1_000_000, UTC)
    stage = f"{seen.stage:<7}"
    text = f"{at:%H:%M:%S}.{at.microsecond // 1000:03d} {stage} {seen.pipeline} {seen.log_group}  {_words(seen)}"
    text = text if len(text) <= width else text[: max(1, width - 1)] + "…"
    if not colour:
        return text
    bad = seen.fate in ("quarantined", "expired") or (seen.event or {}).get("event_type") == "error"
    return text.replace(stage, f"\x1b[{_COLOURS['bad' if bad else seen.stage]}m{stage}\x1b[0m", 1)


def _words(seen: Glimpse) -> str:
    if seen.stage == "shipped":
        return f"{seen.fate}{'' if seen.records == 1 else f' ({seen.records} records)'}"
    if seen.event is not None:
        properties = " ".join(f"{name}={value}" for name, value in seen.event.get("properties", {}).items())
        return _plain(f"{seen.parser or 'nobody'}: {seen.event.get('event_type')}  {properties}")
    count = f"{seen.records} records  " if seen.records > 1 else ""
    return count + ("(not shown: a processor may hide it)" if seen.text is None else _plain(seen.text))


def _plain(text: str) -> str:
    """On one line, and without what a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in _COLOUR_CODE.sub("", text))


# How it is doing


def top(state_dir: Path, interval: float, most: int | None) -> None:
    """Show rates, lag and errors of the agent, anew every ``interval`` seconds, ``most`` times or until interrupted.

    On a terminal in place; elsewhere one below the other. It waits for an agent that is not there.
    """
    out, before, shown = sys.stdout, None, 0
    while True:
        now = _Moment.of(state_dir)
        screen = _screen(state_dir, now, before)
        if out.isatty():
            size = shutil.get_terminal_size()
            lines = [line[: size.columns] for line in screen[: size.lines - 1]]
            out.write((_HOME if shown else "\x1b[2J" + _HOME) + "".join(f"{line}{_CLEAR_LINE}\n" for line in lines))
            out.write(_CLEAR_BELOW)
        else:
            out.write("\n".join(screen) + "\n\n")
        out.flush()
        before, shown = now, shown + 1
        if shown == most:
            return
        time.sleep(interval)


class _Moment(msgspec.Struct):
    """What an agent told, and when (monotonic seconds); ``None``: none runs."""

    at: float
    told: Status | None
    why: str = ""

    @classmethod
    def of(cls, state_dir: Path) -> _Moment:
        try:
            return cls(time.monotonic(), status.ask(state_dir))
        except StateError as error:
            return cls(time.monotonic(), None, str(error))


def _screen(state_dir: Path, now: _Moment, before: _Moment | None) -> list[str]:
    clock = f"{datetime.now(UTC):%H:%M:%S}"
    told = now.told
    if told is None:
        return [f"{clock}  {now.why or f'no agent runs on {state_dir}; waiting for one'}"]
    same = before is not None and before.told is not None and before.told.pid == told.pid
    last, passed = (before.told, now.at - before.at) if same and before is not None else (None, 0.0)
    lines = [f"{clock}  {status.headline(told)}", *(f"  {reason}" for reason in told.reasons), ""]
    rows: list[tuple[str, ...]] = [
        ("PIPELINE", "READ/S", "DELIVERED/S", "IN FLIGHT", "DUPLICATE", "QUARANTINED", "LAG")
    ]
    for pipeline in told.pipelines:
        earlier = next((each.counts for each in last.pipelines if each.name == pipeline.name), {}) if last else {}
        lags = [
            sample.value
            for sample in told.figures
            if sample.name == status.LAG and sample.labels.get("pipeline") == pipeline.name
        ]
        rows.append(
            (
                pipeline.name,
                *(_rate(pipeline.counts[term], earlier.get(term), passed) for term in ("read", "delivered")),
                *(f"{pipeline.counts[term]:,}" for term in ("in_flight", "duplicate", "quarantined")),
                status.duration(max(lags)) if lags else "unknown",
            )
        )
    lines += [*table(rows).splitlines(), ""]
    sinks: list[tuple[str, ...]] = [("SINK", "WAITING", "RETRIES", "ERRORS/S", "")]
    for pipeline in told.pipelines:
        for sink in pipeline.sinks:
            figures = _of_sink(told, pipeline.name, sink)
            retries = figures.get("retries_total", 0)
            earlier_retries = _of_sink(last, pipeline.name, sink).get("retries_total") if last else None
            failing = "FAILING" if figures.get("failing") else ""
            row = (f"{pipeline.name} → {sink}", f"{figures.get('queued_events', 0):,.0f}", f"{retries:,.0f}")
            sinks.append((*row, _rate(retries, earlier_retries, passed), failing))
    return [*lines, *table(sinks).splitlines()]


def _of_sink(told: Status, pipeline: str, sink: str) -> dict[str, float]:
    return {
        sample.name: sample.value
        for sample in told.figures
        if sample.labels.get("pipeline") == pipeline and sample.labels.get("sink") == sink
    }


def _rate(now: float, before: float | None, seconds: float) -> str:
    return "…" if before is None or seconds <= 0 else f"{max(0.0, now - before) / seconds:,.1f}"
