"""What happened in stretches of time, summed up when somebody asks.

Events are counted by the minute as they come (:mod:`~.minutes`); where it is not about whole minutes, or about a
session, their rows are counted. The rest is in the trace summaries.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

from vectadb_server import usage
from vectadb_server.model import Tokens
from vectadb_server.stores import minutes, rows
from vectadb_server.stores.base import TraceFilter
from vectadb_server.stores.conditions import traces_of
from vectadb_server.stores.tallies import Stats, StatsBucket, Tally, TooMuch

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vectadb_server.model import Trace
    from vectadb_server.stores.segments import Segments

#: Seconds after which counting is given up.
SECONDS = 10.0
#: A day is counted in stretches of at least an hour, and at most so many.
_STRETCHES = 24
_COUNTED = (
    "SELECT type, math::floor((us - $since) / $bucket) AS slot, count() AS n FROM event WITH INDEX event_newest "
    "WHERE nus >= $from AND nus <= $to"
)


async def count(
    segments: Segments,
    days: Sequence[tuple[str, tuple[int, int]]],
    times: tuple[int, int, int],
    agent_id: str | None,
    session_id: str | None,
) -> Stats:
    """Count what happened; ``days`` have their least and most event time, ``times`` are those of a reader's ``stats``.

    Raises:
        TooMuch: it would take too long.
    """
    since, until, bucket = times
    found = Stats([StatsBucket(start, 0, {}, 0, 0, 0, 0, 0, []) for start in range(since, until, bucket)])
    if not found.buckets:
        return found
    deadline = time.monotonic() + SECONDS
    types: list[Counter[str]] = [Counter() for _ in found.buckets]
    conditions = ""
    values: dict[str, Any] = {"since": since, "bucket": bucket}
    for column, name in (("session", session_id), ("agent", agent_id)):
        if name is not None:
            conditions += f" AND {column} = $the_{column}"
            values[f"the_{column}"] = name
    summed, summed_values = _summed(agent_id, session_id)
    by_the_minute = session_id is None and not (since % minutes.MINUTE or bucket % minutes.MINUTE)
    for day, (least, most) in days:
        if most < since:
            continue
        async with segments.use(day) as db:
            first, last = max(since, least), min(until, most + 1)
            if by_the_minute:
                first, last = first - first % minutes.MINUTE, last + -last % minutes.MINUTE
            for start, end in _stretches(first, last):
                if time.monotonic() > deadline:
                    raise TooMuch(f"counting takes longer than {SECONDS:.0f} s")
                if by_the_minute:
                    for kind, number in (await minutes.read(db, start, end)).items():
                        if agent_id is None or kind.agent == agent_id:
                            types[(kind.minute - since) // bucket][kind.event_type] += number
                    continue
                asked = {**values, "from": -end + 1, "to": -start}
                for row in await db.one(f"{_COUNTED}{conditions} GROUP BY slot, type", asked):
                    types[int(row["slot"])][row["type"]] += row["n"]
            for body in await db.one(summed, {**summed_values, "from": -until + 1, "to": -since}):
                _add(found, rows.trace({"body": body}), since, bucket)
    for each, counts in zip(found.buckets, types, strict=True):
        each.types = dict(sorted((+counts).items()))  # Without those of which nothing is left.
        each.events, each.errors = counts.total(), counts["error"]
        each.durations.sort()
    for tallies in (found.tools, found.models, found.agents, *(each.models for each in found.buckets)):
        for tally in tallies.values():
            tally.durations.sort()
    return found


def _summed(agent_id: str | None, session_id: str | None) -> tuple[str, dict[str, Any]]:
    """Return the question for the summaries of traces with events of these, with its values but for the times."""
    at = traces_of(TraceFilter(agent_id=agent_id, session_id=session_id))
    sql = f"SELECT VALUE {at.of}body FROM {at.source} WHERE nstart >= $from AND nstart <= $to"  # noqa: S608 - no values
    values = dict(at.values)
    if at.bound:
        sql += f" AND {at.bound}"
    if agent_id is not None and session_id is not None:
        sql += f" AND {at.of}agents CONTAINS $the_agent"
        values["the_agent"] = agent_id
    return sql, values


def _stretches(since: int, until: int) -> Iterator[tuple[int, int]]:
    step = max(rows.HOUR, (until - since) // _STRETCHES + 1)
    for start in range(since, until, step):
        yield start, min(start + step, until)


def _add(found: Stats, trace: Trace, since: int, bucket: int) -> None:
    each = found.buckets[(trace.start - since) // bucket]
    # A quarter of an hour of a stream is no trace that lists show; what was called in it counts all the same.
    counted = trace.basis != "time_window"
    failed = counted and trace.status == "error"
    ended = [trace.end - trace.start] if counted and trace.status in ("ok", "error") else []
    each.traces += counted
    each.failed += failed
    each.input_tokens += trace.tokens.input or 0
    each.output_tokens += trace.tokens.output or 0
    each.durations += ended
    if trace.cost_usd is not None:
        each.cost_usd = round((each.cost_usd or 0.0) + trace.cost_usd, 9)
    for calls in trace.calls:
        for kind in (found.tools,) if calls.kind == "tool" else (found.models, each.models):
            _tally(kind, calls.name, calls.count, calls.errors, calls.tokens, calls.cost_usd, calls.durations)
    for agent_id in trace.agents:
        _tally(found.agents, agent_id, int(counted), int(failed), trace.tokens, trace.cost_usd, ended)


def _tally(
    among: dict[str, Tally], name: str, number: int, errors: int, tokens: Tokens, cost: float | None, took: list[int]
) -> None:
    tally = among.setdefault(name, Tally(0, 0, Tokens(), None, []))
    tally.count += number
    tally.errors += errors
    tally.tokens = usage.plus(tally.tokens, tokens)
    tally.durations += took
    if cost is not None:
        tally.cost_usd = round((tally.cost_usd or 0.0) + cost, 9)
