"""``GET /api/v1/stats``: what happened, in stretches of time."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Annotated, Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import QueryParameter, SkipValidation

from vectadb_server.model import Tokens
from vectadb_server.routes import docs
from vectadb_server.routes import queries as q
from vectadb_server.routes.errors import Refusal
from vectadb_server.routes.replies import Figures, HistogramReply, Latency, Share, StartedReply, StatsReply
from vectadb_server.services import Services
from vectadb_server.stores.tallies import TooMuch
from vectadb_server.times import rfc3339

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_server.stores.tallies import StatsBucket, Tally

_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_STEPS = tuple(step * _SECOND for step in (60, 300, 900, 3_600, 6 * 3_600, 86_400, 7 * 86_400, 28 * 86_400))
_LONGEST = 365 * 86_400  # seconds of a bucket
_FEW, _MOST = 48, 1_000  # buckets: by default, and at all
_SHARES = 100

_Bucket = Annotated[
    str | None, QueryParameter(name="bucket", description="Length of a stretch: `60s`, `15m`, `1h`, `1d`.")
]


@get(
    "/api/v1/stats",
    opt={"scope": "read"},
    tags=["stats"],
    responses=docs.replies(StatsReply, "Counts, tokens and latency"),
)
async def read_stats(
    services: NamedDependency[SkipValidation[Services]],
    since: q.Since = None,
    until: q.Until = None,
    bucket: _Bucket = None,
    agent: q.AgentId = None,
    session: q.SessionId = None,
) -> Response[StatsReply]:
    """Count events by type, errors, tokens and latency, in stretches of time that `since` and `until` are widened to.

    Without them it is the last day. What cannot be counted in ten seconds is refused: ask for a shorter time.
    """
    start, end, length = _stretches(since, until, bucket, services.now())
    try:
        found = await services.record.stats(start, end, length, agent_id=agent or None, session_id=session or None)
    except TooMuch as error:
        raise Refusal(400, f"{error}. Next: ask for a shorter time", code="too_much") from None
    buckets = found.buckets
    return Response(
        StatsReply(
            since=rfc3339(start),
            until=rfc3339(end),
            bucket_seconds=length / _SECOND,
            total=_figures(start, buckets, found.models),
            buckets=[_figures(each.start, [each], each.models) for each in buckets],
            tools=_shares(found.tools),
            models=_shares(found.models),
            agents=_shares(found.agents),
        )
    )


@get(
    "/api/v1/stats/traces",
    opt={"scope": "read"},
    tags=["stats"],
    responses=docs.replies(HistogramReply, "How many started when"),
)
async def read_histogram(
    services: NamedDependency[SkipValidation[Services]],
    bucket: _Bucket = None,
    status: q.Statuses = None,
    agent: q.AgentId = None,
    session: q.SessionId = None,
    basis: q.OfBasis = None,
    since: q.Began = None,
    until: q.BeganBefore = None,
    active_since: q.ActiveSince = None,
    request_id: q.RequestId = None,
    tool: q.Tool = None,
    model: q.Model = None,
    min_duration: q.MinDuration = None,
    error: q.Failed = None,
    types: q.EventTypes = None,
    log_group: q.LogGroup = None,
    text: q.Text = None,
) -> Response[HistogramReply]:
    """Count the traces that `GET /api/v1/traces` lists with the same filters, by their start, in stretches of time.

    Stretches are as in `GET /api/v1/stats`; of the first and last, what is before `since` or after `until` is left out.
    """
    now = services.now()
    where = q.trace_filter(
        now,
        statuses=status,
        agent=agent,
        session=session,
        basis=basis,
        since=since,
        until=until,
        active_since=active_since,
        request_id=request_id,
        tool=tool,
        model=model,
        min_duration=min_duration,
        error=error,
        types=types,
        log_group=log_group,
        text=text,
    )
    start, end, length = _stretches(since, until, bucket, now)
    found = await services.record.trace_histogram(where, start, end, length)
    return Response(
        HistogramReply(
            since=rfc3339(start),
            until=rfc3339(end),
            bucket_seconds=length / _SECOND,
            complete_from=rfc3339(found.complete_from),
            traces=sum(each.traces for each in found.buckets),
            failed=sum(each.failed for each in found.buckets),
            buckets=[StartedReply(rfc3339(each.start), each.traces, each.failed) for each in found.buckets],
        )
    )


def _stretches(since: str | None, until: str | None, bucket: str | None, now: int) -> tuple[int, int, int]:
    """Return the whole stretches that hold the time asked about, and the length of one.

    Raises:
        Refusal: 400, they cannot be read, or are too many.
    """
    start, end = q.span_of_time(since, until, now, back=_DAY)
    length = _length(bucket) if bucket else next((step for step in _STEPS if end - start <= step * _FEW), _STEPS[-1])
    # They begin at round times, so that the same ones come back when somebody asks again.
    start, end = start - start % length, end + -end % length
    if (end - start) // length > _MOST:
        text = f"that makes more than {_MOST:,} buckets. Next: choose a longer bucket or a shorter time"
        raise Refusal(400, text, code="invalid_query")
    return start, end, length


def _length(text: str) -> int:
    found = _LENGTH.fullmatch(text)
    if found is None or not 0 < int(found[1]) * _UNITS[found[2]] <= _LONGEST:
        raise Refusal(
            400, f"bucket: found {text!r}; expected a length like 60s, 15m, 1h, 1d, up to 365d", code="invalid_query"
        )
    return int(found[1]) * _UNITS[found[2]] * _SECOND


def _figures(start: int, buckets: Sequence[StatsBucket], models: dict[str, Tally]) -> Figures:
    types: dict[str, int] = {}
    for bucket in buckets:
        for name, count in bucket.types.items():
            types[name] = types.get(name, 0) + count
    costs = [bucket.cost_usd for bucket in buckets if bucket.cost_usd is not None]
    durations = sorted(us for bucket in buckets for us in bucket.durations)
    return Figures(
        start=rfc3339(start),
        events=sum(bucket.events for bucket in buckets),
        types=dict(sorted(types.items(), key=lambda item: (-item[1], item[0]))),
        errors=sum(bucket.errors for bucket in buckets),
        traces=sum(bucket.traces for bucket in buckets),
        failed=sum(bucket.failed for bucket in buckets),
        tokens=Tokens(sum(bucket.input_tokens for bucket in buckets), sum(bucket.output_tokens for bucket in buckets)),
        latency_ms=_latency(durations),
        cost_usd=round(math.fsum(costs), 9) if costs else None,
        models=_shares(models),
    )


def _shares(tallies: dict[str, Tally]) -> list[Share]:
    most = sorted(tallies.items(), key=lambda item: (-item[1].count, item[0]))[:_SHARES]
    return [
        Share(name, each.count, each.errors, each.tokens, each.cost_usd, _latency(each.durations))
        for name, each in most
    ]


def _latency(ascending: Sequence[int]) -> Latency:
    return Latency(*(_percentile(ascending, share) for share in (50, 95, 100)))


def _percentile(ascending: Sequence[int], share: int) -> float | None:
    """The smallest value that ``share`` percent of all do not exceed, in milliseconds."""
    if not ascending:
        return None
    return ascending[max(0, -(-len(ascending) * share // 100) - 1)] / 1000


HANDLERS: list[Any] = [read_stats, read_histogram]
