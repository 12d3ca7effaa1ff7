"""Where the rows of an arriving event are: the day and id of each of its records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_server import ids
from vectadb_server.blocks import Row
from vectadb_server.stores.rows import day_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from vectadb_server.model import Event, Source


def homeless(batch: Sequence[Event]) -> dict[str, str]:
    """Return the ids whose day is no function of the id, each with the day that it would go to.

    A record of a log has its time for ever, and so its day. An id that a client made up may come with another time
    when it comes again: the store remembers where it put it.
    """
    found: dict[str, str] = {}
    for event in batch:
        source = event.source
        if source is not None and source.log_id and source.timestamp is not None:
            if len(event.record_ids) > 1 and not source.timestamps:
                found.update(dict.fromkeys(event.record_ids[1:], day_of(source.timestamp)))
            continue
        day = day_of(event.recorded)
        for event_id in event.record_ids or (event.event_id,):
            found.setdefault(event_id, day)
    return found


def arriving(event: Event, homes: Mapping[str, str]) -> Row:
    """Return the event's row, as the block rule asks for it; ``homes`` are the days of the homeless."""
    source = event.source
    key = (homes.get(event.event_id) or day_of(event.recorded), event.event_id)
    read_at = 0 if source is None else source.read_at
    if source is None or len(event.record_ids) == 1:
        return Row(key=key, records=(key,), read_at=read_at)
    size = len(source.log_ids) or 1
    if not event.record_ids:
        if event.event_id in homes:
            # Nobody knows the day of its block: it stands by itself.
            return Row(key=key, records=(key,), read_at=read_at)
        return Row(key=key, head=(key[0], _head_id(source)), size=size, read_at=read_at)
    times = source.timestamps or [source.timestamp or event.timestamp] * size
    records = [(homes.get(id_) or day_of(at), id_) for id_, at in zip(event.record_ids, times, strict=True)]
    return Row(key=key, records=(key, *records[1:]), size=size, read_at=read_at)


def _head_id(source: Source) -> str:
    stream = [source.system, source.account, source.region, source.log_group, source.log_stream]
    return ids.uuid5(ids.EVENTS, [*stream, source.log_id, source.part.partition(".")[0]])
