"""What is counted of a stretch of time."""

from __future__ import annotations

import msgspec

from vectadb_server.model import Tokens


class StatsBucket(msgspec.Struct):
    """What happened from ``start`` on, for the length of one bucket (microseconds).

    ``types`` counts events by ``event_type``; ``errors`` those of the type ``error``. The rest is over the traces that
    started in the bucket: ``failed`` ended in an error; ``durations`` are theirs, microseconds, ascending.
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


class TooMuch(Exception):
    """What was asked for would take too long; ask for less."""
