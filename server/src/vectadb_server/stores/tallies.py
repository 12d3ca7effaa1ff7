"""What is counted of a stretch of time."""

from __future__ import annotations

import msgspec

from vectadb_server.model import Tokens


class StatsBucket(msgspec.Struct):
    """What happened from ``start`` on, for the length of one bucket (microseconds).

    ``types`` counts events by ``event_type``; ``errors`` those of the type ``error``. The rest is over the traces that
    started in the bucket: ``failed`` ended in an error; ``durations`` are theirs, microseconds, ascending;
    ``models``: what they called each for.
    """

    start: int
    events: int
    types: dict[str, int]
    errors: int
    traces: int
    failed: int
    input_tokens: int
    output_tokens: int
    durations: list[int]
    cost_usd: float | None = None
    models: dict[str, Tally] = {}


class Tally(msgspec.Struct):
    """Calls of a tool or model, or traces of an agent. ``durations``: of those that ended, microseconds, ascending."""

    count: int
    errors: int
    tokens: Tokens
    cost_usd: float | None
    durations: list[int]


class Stats(msgspec.Struct):
    """What happened: in each bucket, and in all by the names of tools, models and agents."""

    buckets: list[StatsBucket]
    tools: dict[str, Tally] = {}
    models: dict[str, Tally] = {}
    agents: dict[str, Tally] = {}


class StartedTraces(msgspec.Struct):
    """Traces that started in a bucket from ``start`` on; ``failed`` ended in an error."""

    start: int
    traces: int = 0
    failed: int = 0


class Histogram(msgspec.Struct):
    """Traces by their start; before ``complete_from``, microseconds, there may be more than were counted."""

    buckets: list[StartedTraces]
    complete_from: int


class TooMuch(Exception):
    """What was asked for would take too long; ask for less."""
