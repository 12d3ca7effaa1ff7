"""What VectaDB tells of what it holds: how it is asked, and what its replies mean. No I/O, no HTTP library."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, TypeVar

import msgspec

from vectadb_agent import HeldRecord, Holding
from vectadb_agent.errors import RetryableError
from vectadb_agent_sinks.replies import Answer, failure, not_ours, retry_after, said_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from vectadb_agent import LogStream

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_DAY = 86_400_000_000
_STRETCH = 180 * _DAY
"""Most time that is asked about at once: the server tells of a year."""

_Time = Annotated[datetime, msgspec.Meta(tz=True)]


class _Hour(msgspec.Struct):
    log_group: str
    hour: _Time
    count: Annotated[int, msgspec.Meta(ge=0)]
    digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]
    system: str | None = None
    account: str | None = None
    region: str | None = None


class _DigestReply(msgspec.Struct):
    hours: list[_Hour]
    horizon: _Time | None = None


class _MissingReply(msgspec.Struct):
    missing: list[str]
    horizon: _Time | None = None


class _Record(msgspec.Struct):
    event_id: str
    log_stream: str
    log_id: str
    timestamp: _Time


class _RecordsReply(msgspec.Struct):
    records: list[_Record]
    next_cursor: str | None = None


_Reply = TypeVar("_Reply")
_digest_reply = msgspec.json.Decoder(_DigestReply)
_missing_reply = msgspec.json.Decoder(_MissingReply)
_records_reply = msgspec.json.Decoder(_RecordsReply)


def digest_queries(origin: LogStream, since: int, until: int) -> Iterator[dict[str, str]]:
    """Yield the query of each request that is needed to learn of ``since`` <= hour < ``until``, microseconds."""
    names = {name: getattr(origin, name) for name in ("system", "account", "region", "log_group")}
    for start in range(since, until, _STRETCH):
        times = {"since": _written(start), "until": _written(min(start + _STRETCH, until))}
        yield {**names, **times}


def read_digest(answer: Answer, origin: LogStream, place: str) -> tuple[list[Holding], int | None]:
    """Return the hours held of the origin, and the horizon.

    Raises:
        RetryableError: the server did not tell, is too old to, or what answers is no VectaDB.
    """
    reply = _decoded(_digest_reply, answer, place)
    if any(hour.system is None or hour.account is None or hour.region is None for hour in reply.hours):
        raise _too_old(answer, place, "its digest does not name accounts")
    # A server that takes an empty name for "all" tells of others, too.
    wanted = (origin.system, origin.account, origin.region, origin.log_group)
    hours = [
        Holding(_read(hour.hour), hour.count, int(hour.digest, 16))
        for hour in reply.hours
        if (hour.system, hour.account, hour.region, hour.log_group) == wanted
    ]
    return hours, None if reply.horizon is None else _read(reply.horizon)


def missing_body(records: Sequence[tuple[str, int]]) -> bytes:
    """Return the request that asks which of the records, ids and times, are not held.

    A record whose time cannot be written is left out: no server ever takes it.
    """
    asked = []
    for event_id, timestamp in records:
        try:
            asked.append({"event_id": event_id, "timestamp": _EPOCH + timestamp * _US})
        except OverflowError:
            continue
    return msgspec.json.encode({"records": asked})


def read_missing(answer: Answer, records: Sequence[tuple[str, int]], place: str) -> set[str]:
    """Return the ids that the server does not hold.

    Raises:
        RetryableError: the server did not tell, is too old to, or what answers is no VectaDB.
    """
    missing = set(_decoded(_missing_reply, answer, place).missing)
    if not missing <= {event_id for event_id, _ in records}:
        raise not_ours(answer, place, "it misses records that it was not asked about")
    return missing


def records_query(origin: LogStream, since: int, until: int, after: str | None) -> dict[str, str]:
    """Return the query of a page of the records held."""
    names = {name: getattr(origin, name) for name in ("system", "account", "region", "log_group")}
    page = {} if after is None else {"cursor": after}
    return {**names, "since": _written(since), "until": _written(until), **page}


def read_records(answer: Answer, place: str) -> tuple[list[HeldRecord], str | None]:
    """Return a page of records, and what the next one is asked for with.

    Raises:
        RetryableError: the server did not tell, is too old to, or what answers is no VectaDB.
    """
    reply = _decoded(_records_reply, answer, place)
    found = [HeldRecord(each.event_id, each.log_stream, each.log_id, _read(each.timestamp)) for each in reply.records]
    return found, reply.next_cursor


def _decoded(decoder: msgspec.json.Decoder[_Reply], answer: Answer, place: str) -> _Reply:
    if answer.status in (404, 405):
        raise _too_old(answer, place, f"{answer.status}: {said_by(answer)}")
    if answer.status not in (200, 201):
        error = failure(answer, place)
        # Nothing was offered, so that nothing can be refused for good.
        raise error if isinstance(error, RetryableError) else RetryableError(str(error))
    try:
        return decoder.decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise not_ours(answer, place, str(error)) from error


def _too_old(answer: Answer, place: str, found: str) -> RetryableError:
    return RetryableError(
        f"{place} cannot tell what it holds ({found}): this VectaDB is too old to compare; update it. "
        "Until then events are delivered, but nothing proves that all have arrived",
        retry_after=retry_after(answer.headers),
    )


def _written(us: int) -> str:
    try:
        return str(msgspec.to_builtins(_EPOCH + us * _US))
    except OverflowError as error:
        raise RetryableError(f"{us} µs since 1970 cannot be asked about: the year is not in 1…9999") from error


def _read(at: datetime) -> int:
    return (at - _EPOCH) // _US
