"""Recordings through the real agent and the real server: framed, interleaved, joined, parsed, sent, indexed, read."""

from __future__ import annotations

import gzip
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx
import msgspec

from benchmarks.accuracy.framing import LINE, framed, in_streams, is_one_run, served
from tests.recordings.lambda_framing import interleave
from vectadb_agent import LogRecord, LogStream
from vectadb_agent.join import Joiner
from vectadb_agent.parsing import Parsing
from vectadb_agent.sample import parsers_by_name

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.accuracy.recordings import Recording
    from vectadb_agent.join import Joined

STREAMS = 8
_BATCH = 250
_NAMES = {"awslambdaric": "lambda", "lambda_platform": "lambda"}
_ALSO = ("lambda", "python_logging", "json")
"""Parsers that whoever names his framework's would name as well."""

Event = dict[str, Any]


@dataclass
class Outcome:
    """What came of one recording.

    ``lines``: the events of each line of its text; ``events``: all of its stream, the platform's lines' too; ``alone``:
    whether they are the same where no other stream is read beside it. The rest is what the server tells: its events by
    trace, traces, spans; ``shared``: whether one of these traces holds another recording's events.
    """

    recording: Recording
    lines: list[list[Event]]
    events: list[Event] = field(default_factory=list)
    alone: bool = True
    traces: dict[str, list[Event]] = field(default_factory=dict)
    summaries: list[dict[str, Any]] = field(default_factory=list)
    spans: list[dict[str, Any]] = field(default_factory=list)
    shared: bool = False


def parsers_for(framework: str, mode: str) -> list[str]:
    """Names of the parsers that a user would configure: ``auto``, or the framework's own and those around it."""
    if mode == "auto":
        return ["auto"]
    own = _NAMES.get(framework, framework)
    return [*dict.fromkeys(("lambda", own, *_ALSO))]


def parse(recordings: Sequence[Recording], mode: str) -> tuple[list[Outcome], list[Event]]:
    """Run recordings through joiner and parsers, at most eight streams at a time, one record a line.

    Returns what came of each, and all events in the order in which they were made.
    """
    outcomes: list[Outcome] = []
    events: list[Event] = []
    by_parsers: dict[tuple[str, ...], list[Recording]] = {}
    for recording in recordings:
        by_parsers.setdefault(tuple(parsers_for(recording.framework, mode)), []).append(recording)
    start = int(time.time() - 1_800) * 1_000_000
    for names, together in by_parsers.items():
        for at in range(0, len(together), STREAMS):
            chosen = {recording.key: recording for recording in together[at : at + STREAMS]}
            records = {key: framed(recording, start) for key, recording in chosen.items()}
            streams = {key: [(when, message) for when, message, _ in told] for key, told in records.items()}
            made = _through(names, streams, mode, seed=at)
            events += [event for _, _, some in made for event in some]
            for key, recording in chosen.items():
                outcome = Outcome(recording, [[] for _ in LINE.findall(recording.text)])
                own = [(tags, some) for stream, tags, some in made if stream == key]
                outcome.events = [event for _, some in own for event in some]
                outcome.alone = own == [
                    (tags, some) for _, tags, some in _through(names, {key: streams[key]}, mode, seed=at)
                ]
                for tags, some in own:
                    for number in tags:
                        line = records[key][number][2]
                        if line is not None:
                            outcome.lines[line] += some
                outcomes.append(outcome)
    return outcomes, events


def _through(
    names: Sequence[str], streams: Mapping[str, Sequence[tuple[int, str]]], mode: str, seed: int
) -> list[tuple[str, list[int], list[Event]]]:
    """Of each block in the order of their completion: its stream, its records' numbers, its events as sent."""
    parsers = parsers_by_name(names)
    joiner: Joiner[tuple[str, int]] = Joiner(parsers)
    parsing = Parsing(parsers)
    counts = dict.fromkeys(streams, 0)
    done: list[Joined[tuple[str, int]]] = []
    for key, when, message in interleave(streams, seed=seed):
        stream = LogStream("aws", "123456789012", "eu-west-1", f"/accuracy/{mode}", key)
        record = LogRecord(stream, f"{counts[key]:09d}", when, message, when)
        done += joiner.add(record, (key, counts[key]), when)
        counts[key] += 1
    done += joiner.flush()
    return [
        (
            joined.tags[0][0],
            [number for _, number in joined.tags],
            [msgspec.json.decode(msgspec.json.encode(event.wire())) for event in parsing.events(joined)],
        )
        for joined in done
    ]


def serve(url: str, outcomes: Sequence[Outcome], events: Sequence[Event], mode: str) -> None:
    """Send the events to a running server, wait until they are indexed, and fill in traces and spans.

    An event that the server refuses is told on stderr: it is in no trace, which counts against its recording.
    """
    with httpx.Client(base_url=url, timeout=60) as client:
        _send(client, events)
        held: dict[str, dict[str, list[Event]]] = {}
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
            places = {event["event_id"]: place for place, event in enumerate(outcome.events)}
            outcome.spans.sort(key=lambda span: places.get(span["event_ids"][0], len(places)))


def parse_served(recordings: Sequence[Recording], mode: str) -> tuple[list[Outcome], list[Event]]:
    """As :func:`parse`, but of services: in each of a framework's streams, runs that print one format, in sequence.

    Only the framework's own events are an outcome's: a service's log says of no other line whose it is.
    """
    events: list[Event] = []
    found: dict[str, Outcome] = {}
    services: dict[str, dict[str, list[Recording]]] = {}
    for recording in filter(is_one_run, recordings):
        _, _, printed = recording.name.partition(".")
        services.setdefault(recording.framework, {}).setdefault(printed, []).append(recording)
        found[recording.key] = Outcome(recording, [])
    start = int(time.time() - 1_800) * 1_000_000
    for framework, formats in services.items():
        streams = {
            f"{framework}-{printed}-{number}": served(runs, start)
            for printed, together in formats.items()
            for number, runs in enumerate(in_streams(together))
        }
        told = {key: [(when, message) for when, message, _ in records] for key, records in streams.items()}
        for stream, tags, some in _through(parsers_for(framework, mode), told, _served(mode), seed=0):
            own = [event for event in some if "framework" in event["properties"]]
            found[streams[stream][tags[0]][2]].events += own
            events += some
    return list(found.values()), events


def serve_served(url: str, outcomes: Sequence[Outcome], events: Sequence[Event], mode: str) -> None:
    """As :func:`serve`, for what :func:`parse_served` returns; fills in traces only."""
    with httpx.Client(base_url=url, timeout=60) as client:
        _send(client, events)
        held = {event["event_id"]: event for event in _all_events(client, f"/accuracy/{_served(mode)}")}
    owners: dict[str, set[str]] = {}
    for outcome in outcomes:
        for event in outcome.events:
            trace = held[event["event_id"]]["trace_id"]
            outcome.traces.setdefault(trace, []).append(held[event["event_id"]])
            owners.setdefault(trace, set()).add(outcome.recording.key)
    for outcome in outcomes:
        outcome.shared = any(len(owners[trace]) > 1 for trace in outcome.traces)


def _served(mode: str) -> str:
    return f"{mode}-ecs"


def _send(client: httpx.Client, events: Sequence[Event]) -> None:
    for at in range(0, len(events), _BATCH):
        body = {"events": events[at : at + _BATCH]}
        reply = client.post("/api/v1/events/batch", json=body).raise_for_status().json()
        for refused in reply["errors"]:
            print(f"the server refused an event: {refused['error']}", file=sys.stderr)
    while client.get("/health/ready").json()["engines"]["indexer"]["pending"]:
        time.sleep(0.1)


def _all_events(client: httpx.Client, group: str) -> list[Event]:
    found: list[Event] = []
    cursor: str | None = ""
    while cursor is not None:
        asked = {"log_group": group, "limit": "1000"} | ({"cursor": cursor} if cursor else {})
        page = client.get("/api/v1/events", params=asked).raise_for_status().json()
        found += page["events"]
        cursor = page["next_cursor"]
    return found


def noise(path: Path) -> list[str]:
    """The lines of a file of ordinary logs, gzipped or not."""
    stored = path.read_bytes()
    return LINE.findall((gzip.decompress(stored) if path.suffix == ".gz" else stored).decode("utf-8"))


def taken_for_frameworks(lines: Sequence[str]) -> list[str]:
    """The lines of which ``auto`` makes events of an agent framework."""
    taken: list[str] = []
    records = [(number * 1_000, line) for number, line in enumerate(lines)]
    for _, numbers, events in _through(["auto"], {"s": records}, "noise", seed=0):
        if any("framework" in event.get("properties", {}) for event in events):
            taken += [lines[number] for number in numbers]
    return taken
