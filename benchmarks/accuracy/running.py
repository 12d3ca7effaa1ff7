"""Recordings through the real agent and the real server: framed, interleaved, joined, parsed, sent, indexed, read."""

from __future__ import annotations

import gzip
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from benchmarks.accuracy.recordings import OWN_FRAME
from tests.recordings.lambda_framing import frame, interleave
from vectadb_agent import LogRecord, LogStream
from vectadb_agent.join import Joiner
from vectadb_agent.parsing import Parsing
from vectadb_agent.sample import parsers_by_name

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.accuracy.recordings import Recording
    from vectadb_agent.join import Joined

STREAMS = 8
_BATCH = 250
_STEP = 500
_NAMES = {"awslambdaric": "lambda", "lambda_platform": "lambda"}
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ALSO = ("lambda", "python_logging", "json")
"""Parsers that whoever names his framework's would name as well."""


@dataclass
class Outcome:
    """What came of one recording: the events of each of its lines; spans and traces as the server tells them."""

    recording: Recording
    lines: list[list[dict[str, Any]]]
    traces: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    shared: bool = False


def parsers_for(framework: str, mode: str) -> list[str]:
    """Names of the parsers that a user would configure: ``auto``, or the framework's own and those around it."""
    if mode == "auto":
        return ["auto"]
    own = _NAMES.get(framework, framework)
    return [*dict.fromkeys(("lambda", own, *_ALSO))]


def parse(recordings: Sequence[Recording], mode: str) -> tuple[list[Outcome], list[dict[str, Any]]]:
    """Run recordings through joiner and parsers, eight streams at a time, one record a line; return the events too."""
    outcomes: list[Outcome] = []
    events: list[dict[str, Any]] = []
    by_parsers: dict[tuple[str, ...], list[Recording]] = {}
    for recording in recordings:
        by_parsers.setdefault(tuple(parsers_for(recording.framework, mode)), []).append(recording)
    start = int(time.time() - 1_800) * 1_000_000
    for names, together in by_parsers.items():
        parsers = parsers_by_name(names)
        for at in range(0, len(together), STREAMS):
            chosen = together[at : at + STREAMS]
            framed = {recording.key: _framed(recording, start) for recording in chosen}
            of = {recording.key: Outcome(recording, [[] for _ in framed[recording.key]]) for recording in chosen}
            joiner: Joiner[tuple[str, int]] = Joiner(parsers)
            parsing = Parsing(parsers)
            counts = dict.fromkeys(framed, 0)
            done: list[Joined[tuple[str, int]]] = []
            for key, when, message in interleave(framed, seed=at):
                stream = LogStream("aws", "123456789012", "eu-west-1", f"/accuracy/{mode}", key)
                record = LogRecord(stream, f"{counts[key]:09d}", when, message, when)
                done += joiner.add(record, (key, counts[key]), when)
                counts[key] += 1
            done += joiner.flush()
            for joined in done:
                made = [msgspec.json.decode(msgspec.json.encode(event.wire())) for event in parsing.events(joined)]
                events += made
                for key, number in joined.tags:
                    of[key].lines[number] += made
            for outcome in of.values():
                if outcome.recording.framework not in OWN_FRAME:
                    outcome.lines = outcome.lines[1:-2]
            outcomes += of.values()
    return outcomes, events


def _framed(recording: Recording, start: int) -> list[tuple[int, str]]:
    request = str(uuid.uuid5(uuid.NAMESPACE_URL, recording.key))
    if recording.framework not in OWN_FRAME:
        return frame(recording.text, request_id=request, start_us=start, step_us=_STEP)
    # Recordings of one generator tell the same request ids: they were not made to be read together.
    text = _UUID.sub(lambda found: str(uuid.uuid5(uuid.NAMESPACE_URL, request + found[0])), recording.text)
    return frame(text, request_id=request, start_us=start, step_us=_STEP)[1:-2]


def serve(url: str, outcomes: Sequence[Outcome], events: Sequence[dict[str, Any]], mode: str) -> None:
    """Send the events to a running server, wait until they are indexed, and fill in traces and spans.

    Raises:
        RuntimeError: the server refused an event.
    """
    with httpx.Client(base_url=url, timeout=60) as client:
        for at in range(0, len(events), _BATCH):
            body = {"events": events[at : at + _BATCH]}
            reply = client.post("/api/v1/events/batch", json=body).raise_for_status().json()
            if reply["failed"]:
                raise RuntimeError(f"the server refused: {reply['errors'][:3]}")
        while client.get("/health/ready").json()["engines"]["indexer"]["pending"]:
            time.sleep(0.1)
        held: dict[str, dict[str, list[dict[str, Any]]]] = {}
        owners: dict[str, set[str]] = {}
        for event in _all_events(client, f"/accuracy/{mode}"):
            stream = event["source"]["log_stream"]
            held.setdefault(stream, {}).setdefault(event["trace_id"], []).append(event)
            owners.setdefault(event["trace_id"], set()).add(stream)
        for outcome in outcomes:
            outcome.traces = held.get(outcome.recording.key, {})
            outcome.shared = any(len(owners[trace]) > 1 for trace in outcome.traces)
            for trace in outcome.traces:
                told = client.get(f"/api/v1/traces/{trace}").raise_for_status().json()
                outcome.summaries.append(told["trace"])
                outcome.spans += told["spans"]
            outcome.spans.sort(key=lambda span: _place(span["event_ids"][0], outcome))


def _place(event_id: str, outcome: Outcome) -> tuple[int, int]:
    for number, made in enumerate(outcome.lines):
        for within, event in enumerate(made):
            if event["event_id"] == event_id:
                return number, within
    return len(outcome.lines), 0


def _all_events(client: httpx.Client, group: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    while cursor is not None:
        asked = {"log_group": group, "limit": "1000"} | ({"cursor": cursor} if cursor else {})
        page = client.get("/api/v1/events", params=asked).raise_for_status().json()
        found += page["events"]
        cursor = page["next_cursor"]
    return found


_LINE = re.compile(r"[^\n]*\n|[^\n]+\Z")


def noise(path: Path) -> list[str]:
    """The lines of a file of ordinary logs."""
    return _LINE.findall(gzip.decompress(path.read_bytes()).decode("utf-8"))
