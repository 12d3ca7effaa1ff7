"""Whether an event or a trace is what a filter asks for: the meaning of each filter, whoever looks for it and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from vectadb_server import vocabulary as vocab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from vectadb_server.model import Event, Trace
    from vectadb_server.stores.base import EventFilter, TraceFilter


def is_event(event: Event, where: EventFilter) -> bool:
    """Whether all that ``where`` gives holds of the event."""
    source = event.source
    return (
        where.trace in (None, event.trace)
        and where.session_id in (None, event.session_id)
        and where.agent_id in (None, event.agent_id)
        and (not where.event_types or event.event_type in where.event_types)
        and where.log_group in (None, source.log_group if source is not None else None)
        and where.log_stream in (None, source.log_stream if source is not None else None)
        and (where.since is None or where.since <= event.timestamp)
        and (where.until is None or event.timestamp < where.until)
        and where.request_id in (None, event.request_id)
        and (not where.levels or vocab.level(event) in where.levels)
        and (where.failed is None or where.failed == (vocab.failure(event) is not None))
        and (where.tool is None or where.tool == vocab.tool(event))
        and (where.model is None or where.model == vocab.model(event))
        and (where.text is None or _says(where.text, event))
    )


def is_trace(trace: Trace, where: TraceFilter) -> bool:
    """Whether all that ``where`` gives holds of the trace."""
    calls = {(calls.kind, calls.name) for calls in trace.calls}
    return (
        (not where.statuses or trace.status in where.statuses)
        and (where.agent_id is None or where.agent_id in trace.agents)
        and (where.session_id is None or where.session_id in trace.sessions)
        and (trace.basis == where.basis if where.basis is not None else trace.basis != "time_window")
        and (where.since is None or where.since <= trace.start)
        and (where.until is None or trace.start < where.until)
        and (where.active_since is None or where.active_since <= trace.end or trace.status == "running")
        and where.request_id in (None, trace.request_id)
        and (where.tool is None or ("tool", where.tool) in calls)
        and (where.model is None or ("llm", where.model) in calls)
        and (where.min_duration is None or trace.end - trace.start >= where.min_duration)
        and (where.failed is None or where.failed == (trace.errors > 0))
        and (not where.event_types or not set(where.event_types).isdisjoint(trace.event_types))
        and (where.log_group is None or where.log_group in trace.log_groups)
        and (where.text is None or _occurs(where.text, (trace.input, trace.output, trace.first_error)))
    )


def _says(text: str, event: Event) -> bool:
    if _occurs(text, (event.raw,)):
        return True
    # Quicker than to go through it.
    if not _occurs(as_json(text), (msgspec.json.encode(event.properties).decode(),)):
        return False
    return _occurs(text, _texts(event.properties))


def _occurs(text: str, among: Iterable[str | None]) -> bool:
    """Whether one of the texts has it, in letters of either case."""
    same = same_case(text)
    wanted = same(text)
    return any(wanted in same(each) for each in among if each is not None)


def same_case(text: str) -> Callable[[str], str]:
    """Return how letters of either case are made the same where ``text`` is looked for.

    Lower case alone will not do for all scripts: that of Σ depends on what follows.
    """
    return str.lower if text.isascii() else _lower_then_upper


def _lower_then_upper(text: str) -> str:
    return text.lower().upper()


def _texts(value: Any) -> Iterator[str]:
    """Yield keys and values, at any depth, as people read them."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)
    else:
        yield value if isinstance(value, str) else msgspec.json.encode(value).decode()


def as_json(text: str) -> str:
    """The text as it stands inside a JSON string."""
    return msgspec.json.encode(text).decode()[1:-1]
