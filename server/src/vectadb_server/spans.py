"""Spans and the summary of a trace, rebuilt from its events: a function of the set of events and of the clock.

No order of arrival, no delay and no replay changes what comes out, and no event, however malformed, makes it raise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from vectadb_server import usage
from vectadb_server import vocabulary as vocab
from vectadb_server.model import Span
from vectadb_server.nesting import LEAVES
from vectadb_server.outcome import Outcomes
from vectadb_server.pairing import pair
from vectadb_server.prices import Prices
from vectadb_server.summary import summarise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_server.model import Event, Tokens, Trace
    from vectadb_server.nesting import Node

LISTED = Prices()
Cause = Literal["result", "end"]
"""How one event led to another: a call to its result, a start to its end."""


def build(events: Sequence[Event], *, now: int, prices: Prices = LISTED) -> tuple[Trace, list[Span]]:
    """Rebuild one trace from all its events, given in any order and as often as you like.

    Args:
        events: all events of the trace, at least one.
        now: the present, microseconds since the epoch: what is open is ``running`` for 15 minutes after the last event.
        prices: what models cost.

    Returns:
        The summary, and the spans in the order they begin in the log. Each span's parent is among them, and no event is
        in two spans.

    Raises:
        ValueError: there are no events.
    """
    trace, spans, _ = rebuild(events, now=now, prices=prices)
    return trace, spans


def rebuild(
    events: Sequence[Event], *, now: int, prices: Prices = LISTED
) -> tuple[Trace, list[Span], list[tuple[str, str, Cause]]]:
    """As :func:`build`; and the graph's edges ``(cause_id, effect_id, kind)``, from call to result and start to end."""
    if not events:
        raise ValueError("a trace without events has no summary: delete it instead")
    found = pair(events)
    outcomes = Outcomes(found, now=now)
    tokens = {node: usage.of_node(node) for node in found.nodes}
    spans = [_span(node, outcomes, tokens[node], prices) for node in found.nodes]
    causes: list[tuple[str, str, Cause]] = [
        (node.opener.event_id, node.closer.event_id, "result" if node.kind == "tool" else "end")
        for node in found.nodes
        if node.closer is not None and node.closer is not node.opener
    ]
    return summarise(found, spans, outcomes, tokens), spans, causes


def _span(node: Node, outcomes: Outcomes, tokens: Tokens, prices: Prices) -> Span:
    status = outcomes.status[node]
    start, end = _times(node)
    if end is None and status != "running":
        # It stopped without a word: the last sign of life is the best that is known.
        end = outcomes.last_seen[node]
    given, returned = _values(node)
    model = _model(node)
    return Span(
        span_id=node.opener.event_id,
        parent_span_id=node.parent.opener.event_id if node.parent is not None else None,
        kind=node.kind,
        name=node.name or node.kind,
        start=start,
        end=None if end is None else max(start, end),
        status=status,
        input=given,
        output=returned,
        error=outcomes.error(node),
        model=model,
        tokens=tokens,
        cost_usd=prices.of(model, tokens),
        event_ids=[event.event_id for event in node.members],
    )


def _times(node: Node) -> tuple[int, int | None]:
    """Start, and end if one is known; the end may yet lie before the start."""
    opener, closer = node.opener, node.closer
    # A second line may follow the end and tell how long it took, as Lambda's REPORT does.
    ends = [e for e in node.members if e is not closer and (e.event_type in vocab.CLOSES or vocab.is_report(e))]
    told = (vocab.duration(event) for event in (closer, *ends) if event is not None)
    took = next((us for us in told if us is not None), None)
    if closer is None:
        return opener.timestamp, node.finished.timestamp if node.finished is not None else None
    if closer is opener:
        if opener.event_type in vocab.CLOSES:
            return opener.timestamp - (took or 0), opener.timestamp
        return opener.timestamp, opener.timestamp + (took or 0)
    if took is not None and not _has_own_time(closer):
        return opener.timestamp, opener.timestamp + took
    return opener.timestamp, closer.timestamp


def _has_own_time(event: Event) -> bool:
    """Whether the application wrote the time itself, rather than the log when it took the line in."""
    return event.source is None or event.source.timestamp is None or event.source.timestamp != event.timestamp


def _values(node: Node) -> tuple[Any, Any]:
    """What the span was given and what it returned: the first and the last that its own events say."""
    given = returned = None
    for event in node.members:
        type_ = event.event_type
        own = vocab.OPENS.get(type_) or vocab.CLOSES.get(type_) or ("retrieval" if type_ == "retrieval" else None)
        if own is None and type_ == "agent_action" and node.kind == "tool":
            own = "tool"
        if type_ == "message" and (id_ := vocab.span_id(event)) is not None and id_ == vocab.span_id(node.opener):
            # What a span was given and returned may be logged apart from it, under its id.
            own = node.kind
        if own is not None and (own in LEAVES) == (node.kind in LEAVES):
            if given is None:
                given = vocab.given(event, node.kind)
            if (output := vocab.returned(event, node.kind)) is not None:
                returned = output
    if returned is None and node.finished is not None:
        returned = vocab.answer(node.finished)
    if given is None and node.kind not in LEAVES:
        given = next((vocab.question(event) for event in node.members if event.event_type == "query"), None)
    if returned is None and node.closer is not None and node.closer.event_type in ("tool_result", "llm_end"):
        returned = vocab.message(node.closer) or None
    if node.kind == "tool":
        return vocab.parsed(given), vocab.parsed(returned)
    return given, returned


def _model(node: Node) -> str | None:
    if node.kind not in ("llm", "agent"):
        return None
    ends = (event for event in (node.opener, node.closer) if event is not None)
    return next((model for event in ends if (model := vocab.model(event)) is not None), None)
