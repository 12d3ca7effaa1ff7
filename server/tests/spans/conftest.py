from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import pytest

from vectadb_server import spans
from vectadb_server.model import Event, Source

if TYPE_CHECKING:
    from vectadb_server.model import Span, Trace

SECOND = 1_000_000
START = 1_800_000_000 * SECOND
LATER = START + 3600 * SECOND
#: The names that a scenario may write with an underscore for each dot.
ALIAS = {
    "tool": "gen_ai.tool.name",
    "call": "gen_ai.tool.call.id",
    "args": "gen_ai.tool.call.arguments",
    "result": "gen_ai.tool.call.result",
    "agent": "gen_ai.agent.name",
    "model": "gen_ai.request.model",
    "tokens_in": "gen_ai.usage.input_tokens",
    "tokens_out": "gen_ai.usage.output_tokens",
    "error_type": "error.type",
    "faas_ms": "faas.duration_ms",
}


class Scenario:
    """Writes a log, one line a second, and reads the trace that is made of it."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._ticks = itertools.count()

    def __call__(
        self,
        event_type: str,
        *,
        stream: str = "s",
        at: float | None = None,
        own_time: float | None = None,
        event_id: str | None = None,
        raw: str | None = None,
        parent_event_id: str | None = None,
        request_id: str | None = None,
        agent_id: str | None = None,
        session_id: str | None = None,
        basis: Any = "run",
        **properties: Any,
    ) -> str:
        tick = next(self._ticks)
        logged = START + int((tick if at is None else at) * SECOND)
        event = Event(
            event_id=event_id or f"e{tick}",
            timestamp=logged if own_time is None else START + int(own_time * SECOND),
            event_type=event_type,
            properties={ALIAS.get(key, key): value for key, value in properties.items()},
            raw=raw,
            parent_event_id=parent_event_id,
            request_id=request_id,
            agent_id=agent_id,
            session_id=session_id,
            trace="t",
            basis=basis,
            source=Source(
                system="cloudwatch", log_group="/aws/g", log_stream=stream, log_id=f"{tick}", timestamp=logged
            )
            if stream
            else None,
        )
        self.events.append(event)
        return event.event_id

    def build(self, now: int = LATER) -> tuple[Trace, dict[str, Span]]:
        """Return the trace, and its spans by the id of the event that opens them."""
        trace, found = spans.build(self.events, now=now)
        return trace, {span.span_id: span for span in found}

    def tree(self, now: int = LATER) -> list[str]:
        """Return the spans as an indented list: name and status."""
        found = spans.build(self.events, now=now)[1]
        lines: list[str] = []

        def show(parent: str | None, depth: int) -> None:
            for span in found:
                if span.parent_span_id == parent:
                    lines.append(f"{'  ' * depth}{span.kind} {span.name} {span.status}")
                    show(span.span_id, depth + 1)

        show(None, 0)
        return lines


@pytest.fixture
def log() -> Scenario:
    return Scenario()
