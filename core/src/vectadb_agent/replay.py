"""Offering quarantined events to their sink once more, from the wire form that was kept of them."""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, Literal

import anyio.to_thread
import msgspec

from vectadb_agent.components import Result, Sink, SinkConfig
from vectadb_agent.errors import CheckError, PermanentError, RetryableError
from vectadb_agent.quarantine import microseconds
from vectadb_agent.records import Block, Event, LogRecord, LogStream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from vectadb_agent.quarantine import Entry, Kept, Quarantine

logger = logging.getLogger("vectadb_agent.quarantine")

Fate = Literal["delivered", "duplicate", "expired", "refused again", "cannot now"]
LEAVES: frozenset[Fate] = frozenset(("delivered", "duplicate", "expired"))
"""The fates with which an entry leaves the quarantine."""

_SOURCE = ("system", "account", "region", "log_group", "log_stream")
_IDS = ("trace_id", "request_id", "session_id", "agent_id", "parent_event_id", "raw")


class Replayed(msgspec.Struct, frozen=True):
    """What became of one entry; ``reason``: why it stays."""

    id: int
    event_id: str
    sink: str
    fate: Fate
    reason: str | None = None


def event_of(wire: Mapping[str, Any]) -> Event:
    """Make the event again whose :meth:`Event.wire` this is: it gives the same again.

    The wire does not tell the border between records where one of them holds several lines: then the last record of
    the block holds the rest of the text. Of ingestion times it tells the head's.
    """
    event = Event(
        event_type=wire["event_type"],
        timestamp=microseconds(wire["timestamp"]) if "timestamp" in wire else None,
        properties=wire["properties"],
        event_id=wire["event_id"],
        **{name: wire[name] for name in _IDS if name in wire},
    )
    source = wire.get("source")
    if source is None:
        return event
    event.part = source.get("part", "0")
    event.read_at = microseconds(source["read_at"]) if "read_at" in source else None
    stream = LogStream(*(source[name] for name in _SOURCE))
    log_ids: Sequence[str] = source.get("log_ids") or [source["log_id"]]
    times: Sequence[str] = source.get("timestamps") or [source["timestamp"]]
    # A block's further events have the number of its first piece and one of their own: "0.1".
    parts: Sequence[str] = source.get("parts") or [event.part.partition(".")[0]] + ["0"] * (len(log_ids) - 1)
    lines = (wire.get("raw") or "").split("\n", len(log_ids) - 1)
    lines += [""] * (len(log_ids) - len(lines))
    ingested = microseconds(source["ingestion_time"]) if "ingestion_time" in source else None
    records = tuple(
        LogRecord(stream, log_id, microseconds(time_), line, None if at else ingested)
        for at, (log_id, time_, line) in enumerate(zip(log_ids, times, lines, strict=True))
    )
    event.block = Block(records, tuple(lines), tuple(parts))
    return event


async def replay(
    kept: Quarantine, sinks: Mapping[str, Sink], entries: Sequence[Entry], tell: Callable[[Replayed], None]
) -> None:
    """Offer each entry to its sink; take out what arrived, note the new reason of what was refused again.

    ``sinks`` are not open yet. ``tell`` is called once for each entry, when its fate is kept.
    """
    for name in dict.fromkeys(entry.sink for entry in entries):
        of_sink = [entry for entry in entries if entry.sink == name]
        if name not in sinks:
            reason = f"no sink {name!r} is configured (configured: {', '.join(sorted(sinks))})"
            await _put_off(of_sink, reason, tell)
            continue
        try:
            async with sinks[name] as sink:
                await _replay_to(kept, sink, of_sink, tell)
        except CheckError as error:
            # From opening it: what is raised by a write is dealt with below.
            await _put_off(of_sink, str(error), tell)


async def _replay_to(kept: Quarantine, sink: Sink, entries: Sequence[Entry], tell: Callable[[Replayed], None]) -> None:
    failed: str | None = None
    for chunk in _chunks(entries, sink.config):
        if failed is not None:
            await _put_off(chunk, failed, tell)
            continue
        found = [(entry, await anyio.to_thread.run_sync(kept.read, entry.id)) for entry in chunk]
        events: list[tuple[Kept, Event]] = []
        for entry, one in found:
            if one is None:
                await _put_off([entry], "it is not in the quarantine any more", tell)
            elif one.wire is None:
                await _put_off([entry], "it is not as it was written: state.db is damaged", tell)
            else:
                events.append((one, event_of(one.wire)))
        failed = await _offer(kept, sink, events, tell)


def _chunks(entries: Sequence[Entry], config: SinkConfig) -> Iterator[list[Entry]]:
    chunk: list[Entry] = []
    size = 0
    for entry in entries:
        if chunk and (len(chunk) >= config.batch_size or size + entry.size > config.batch_bytes):
            yield chunk
            chunk, size = [], 0
        chunk.append(entry)
        size += entry.size
    if chunk:
        yield chunk


async def _offer(
    kept: Quarantine, sink: Sink, offered: Sequence[tuple[Kept, Event]], tell: Callable[[Replayed], None]
) -> str | None:
    """Write some entries; return why the sink takes nothing now, if so."""
    if not offered:
        return None
    try:
        result = await sink.write([event for _, event in offered])
    except PermanentError as error:
        if len(offered) > 1:
            # One event that the other side cannot take must not condemn its neighbours.
            middle = len(offered) // 2
            failed = await _offer(kept, sink, offered[:middle], tell)
            if failed is None:
                return await _offer(kept, sink, offered[middle:], tell)
            await _put_off([one.entry for one, _ in offered[middle:]], failed, tell)
            return failed
        result = Result(refused=[(event.event_id, str(error), False) for _, event in offered])
    except (RetryableError, CheckError) as error:
        await _put_off([one.entry for one, _ in offered], str(error), tell)
        return str(error)
    except Exception as error:
        logger.exception("sink failed unexpectedly", extra={"sink": sink.name})
        failed = f"{type(error).__name__}: {error}"
        await _put_off([one.entry for one, _ in offered], failed, tell)
        return failed
    for one, fate, reason in _fates(offered, result):
        if fate in LEAVES:
            await anyio.to_thread.run_sync(functools.partial(kept.arrived, one, stored=fate != "expired"))
        elif fate == "refused again":
            await anyio.to_thread.run_sync(kept.refused_again, one.entry.id, reason or "")
        tell(Replayed(one.entry.id, one.entry.event_id, one.entry.sink, fate, reason))
    return None


def _fates(offered: Sequence[tuple[Kept, Event]], result: Result) -> Iterator[tuple[Kept, Fate, str | None]]:
    duplicate, expired, overlapping = set(result.duplicate), set(result.expired), dict(result.overlapping)
    refused = {event_id: (reason, retryable) for event_id, reason, retryable in result.refused}
    for one, event in offered:
        id_ = event.event_id
        if id_ in refused:
            reason, retryable = refused[id_]
            yield one, "cannot now" if retryable else "refused again", reason
        elif id_ in overlapping:
            yield (
                one,
                "refused again",
                f"the sink holds some of its records in other blocks, and lacks {len(overlapping[id_])}: "
                "`vectadb-agent audit --repair` ships those from the source",
            )
        elif id_ in duplicate:
            yield one, "duplicate", None
        elif id_ in expired:
            yield one, "expired", None
        else:
            yield one, "delivered", None


async def _put_off(entries: Sequence[Entry], reason: str, tell: Callable[[Replayed], None]) -> None:
    for entry in entries:
        tell(Replayed(entry.id, entry.event_id, entry.sink, "cannot now", reason))
