"""The summary of a trace: what was asked, what came of it, and how much it took."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

from vectadb_server import usage
from vectadb_server import vocabulary as vocab
from vectadb_server.model import Basis, Calls, Tokens, Trace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectadb_server.model import Event, Span, SpanStatus
    from vectadb_server.nesting import Node
    from vectadb_server.outcome import Outcomes
    from vectadb_server.pairing import Pairing

#: A summary is a row in a list: longer texts are cut there. The spans and events hold them whole.
MAX_TEXT = 4000
#: Of a tool or model that was called more often, so many durations are kept, evenly spread over all.
MAX_DURATIONS = 500
#: Of agents, sessions, log groups, and types that clients make up, so many are kept.
MAX_NAMES = 100

_STRENGTH: dict[Basis, int] = {basis: rank for rank, basis in enumerate(get_args(Basis))}


def summarise(found: Pairing, spans: list[Span], outcomes: Outcomes, tokens: dict[Node, Tokens]) -> Trace:
    """Sum up the trace. ``tokens`` are those that each node tells of itself."""
    events, nodes = found.events, found.nodes
    status = outcomes.trace_status()
    times = [event.timestamp for event in events]
    agents = _first(event.agent_id for event in events)
    sessions = _first(event.session_id for event in events)
    return Trace(
        trace_id=next((event.trace for event in events if event.trace), ""),
        basis=min((event.basis for event in events), key=lambda basis: _STRENGTH.get(basis, len(_STRENGTH))),
        start=min([*times, *(span.start for span in spans)]),
        end=max([*times, *(span.end for span in spans if span.end is not None)]),
        status=status,
        name=_name(found),
        agent_id=agents[0] if agents else None,
        session_id=sessions[0] if sessions else None,
        request_id=next((event.request_id for event in events if event.request_id), None),
        events=len(events),
        spans=len(spans),
        tool_calls=sum(node.kind == "tool" for node in nodes),
        llm_calls=sum(node.kind == "llm" for node in nodes),
        errors=outcomes.errors,
        tokens=usage.of_trace(found, tokens),
        input=_shortened(_asked(events)),
        output=_shortened(_answered(found, status)),
        first_error=_shortened(outcomes.first_error),
        cost_usd=_cost(spans),
        calls=_calls(spans),
        agents=agents,
        sessions=sessions,
        event_types=sorted(_first(event.event_type for event in events)),
        log_groups=sorted(_first(event.source.log_group for event in events if event.source is not None)),
    )


def _first(texts: Iterable[str | None]) -> list[str]:
    """The different ones in the order in which they come, of very many the first."""
    return list(dict.fromkeys(text for text in texts if text))[:MAX_NAMES]


def _calls(spans: list[Span]) -> list[Calls]:
    """What each tool and model was called for, in the order of their first calls, tools first."""
    found: dict[tuple[str, str], Calls] = {}
    kinds: tuple[Literal["tool", "llm"], ...] = ("tool", "llm")
    for kind in kinds:
        for span in spans:
            if span.kind != kind:
                continue
            name = (span.model or span.name) if kind == "llm" else span.name
            calls = found.setdefault((kind, name), Calls(kind=kind, name=name, tokens=Tokens(), durations=[]))
            calls.count += 1
            calls.errors += span.status == "error"
            calls.tokens = usage.plus(calls.tokens, span.tokens)
            if span.cost_usd is not None:
                calls.cost_usd = round((calls.cost_usd or 0.0) + span.cost_usd, 9)
            if span.end is not None:
                calls.durations.append(span.end - span.start)
    for calls in found.values():
        calls.durations.sort()
        many = len(calls.durations)
        if many > MAX_DURATIONS:
            calls.durations = [calls.durations[i * (many - 1) // (MAX_DURATIONS - 1)] for i in range(MAX_DURATIONS)]
    return list(found.values())


def _cost(spans: Iterable[Span]) -> float | None:
    """What the model calls cost, as far as their prices are known; of agents' own sums only where no call has one."""
    of_models = [span.cost_usd for span in spans if span.kind == "llm" and span.cost_usd is not None]
    costs = of_models or [span.cost_usd for span in spans if span.cost_usd is not None]
    return round(math.fsum(costs), 9) if costs else None


def _name(found: Pairing) -> str:
    """The first agent's name, else the first outermost span's, else whatever names the agent."""
    agents = (node.name for node in found.nodes if node.kind == "agent")
    roots = (node.name for node in found.nodes if node.parent is None)
    stated = (event.properties.get("gen_ai.agent.name") or event.agent_id for event in found.events)
    return next((name for names in (agents, roots, stated) for name in names if name and isinstance(name, str)), "")


def _asked(events: Iterable[Event]) -> str | None:
    """The first question: a query, what an agent or chain was given, a user's message, or a prompt."""
    for event in events:
        text = ""
        kind = vocab.OPENS.get(event.event_type) or vocab.CLOSES.get(event.event_type)
        if event.event_type == "query":
            text = vocab.question(event)
        elif event.event_type == "message" and vocab.role(event) == "user":
            text = vocab.body(event)
        elif kind in ("agent", "chain", "llm"):
            text = vocab.as_text(vocab.given(event, kind))
        if text:
            return text
    return None


def _answered(found: Pairing, status: SpanStatus) -> str | None:
    """The last answer of an agent (of a chain, where there is no agent); of the model alone, if all went well."""
    by_model = None
    chains_count = all(node.kind != "agent" for node in found.nodes)
    for event in reversed(found.events):
        type_ = event.event_type
        node = found.of.get(event.event_id)
        text = ""
        if type_ == "agent_finish":
            text = vocab.answer(event)
        elif type_ == "agent_end" or (type_ == "chain_end" and (chains_count or _is_whole(node))):
            text = vocab.as_text(vocab.returned(event, "agent"))
        elif by_model is None and type_ == "llm_end":
            by_model = vocab.as_text(vocab.returned(event, "llm")) or None
        elif by_model is None and type_ == "message" and vocab.role(event) == "assistant":
            by_model = vocab.body(event) or None
        if text and vocab.failure(event) is None:
            return text
    return by_model if status == "ok" else None


def _is_whole(node: Node | None) -> bool:
    return node is not None and (node.parent is None or node.kind == "agent")


def _shortened(text: str | None) -> str | None:
    return text if text is None or len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
