"""What holds for every set of events, however they arrive and whatever is in them."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server import spans, vocabulary
from vectadb_server.model import Event, Source, Span, Trace

TYPES = [*vocabulary.OPENS, *vocabulary.CLOSES, "agent_action", "agent_thought", "agent_finish", "query", "retrieval"]
TYPES += ["message", "error", "log", "", "söme other"]
NAMES = ["gen_ai.tool.name", "gen_ai.agent.name", "model", "name", "gen_ai.tool.call.id", "span_id", "parent_span_id"]
NAMES += ["tool_input", "tool_output", "input", "output", "messages", "usage", "input_tokens", "output_tokens", "level"]
NAMES += ["gen_ai.tool.call.arguments", "gen_ai.tool.call.result", "duration_ms", "faas.duration_ms", "error.type"]
NAMES += ["error", "message", "role", "status", "is_error", "content", "id", "path", "resumes"]
PATHS = ["chain:a", "chain:a > chain:b", "chain:a > tool:a", "chain:a > llm:a", "chain:a > tool:a > chain:b"]
NOW = 10_000_000_000

words = st.sampled_from(
    ["a", "b", "c", "ERROR", "user", "failed", "", " ", '{"a": 1}', "[1", "9" * 30, "1e999", "\ud800"]
)
numbers = st.sampled_from([0, 1, -1, 2**63, -(2**70), 10**400, 1.5, float("nan"), float("inf"), True, False, None])
hostile = st.recursive(
    words | numbers,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["text", "content", "messages", "input_tokens", "role", "x"]), inner, max_size=3
        )
    ),
    max_leaves=4,
)
properties = st.dictionaries(st.sampled_from(NAMES), words | st.sampled_from(PATHS) | hostile, max_size=5)
sources = st.none() | st.builds(
    Source,
    log_stream=st.sampled_from(["one", "two"]),
    log_id=st.sampled_from(["1", "2", "10", "x"]),
    part=st.sampled_from(["0", "0.1", "0.10", "1", "odd."]),
    timestamp=st.none() | st.integers(0, 20),
    ingestion_time=st.none() | st.integers(0, 3),
)
ids = st.integers(0, 40).map(str)
events = st.lists(
    st.builds(
        Event,
        event_id=ids,
        timestamp=st.integers(0, 20),
        event_type=st.sampled_from(TYPES),
        properties=properties,
        raw=st.none() | st.sampled_from(["text", "Traceback (most recent call last):\n\n", "\x1b[0m"]),
        parent_event_id=st.none() | ids,
        request_id=st.none() | st.sampled_from(["r1", "r2"]),
        source=sources,
    ),
    min_size=1,
    max_size=40,
)
check = settings(derandomize=True, max_examples=150, deadline=None)


def causes_of(log: list[Event]) -> list[tuple[str, str, spans.Cause]]:
    trace, found, causes = spans.rebuild(log, now=NOW)
    assert (trace, found) == spans.build(log, now=NOW)
    return causes


def shown(result: tuple[Trace, list[Span]]) -> str:
    """A text to compare by, since NaN is not equal to itself."""
    return repr(result)


@check
@given(events, st.randoms(use_true_random=False))
def test_any_order_and_any_repetition_give_the_same(log: list[Event], chance: random.Random) -> None:
    mixed = [*log, *(msgspec.structs.replace(event) for event in chance.choices(log, k=5))]
    chance.shuffle(mixed)
    assert shown(spans.build(mixed, now=NOW)) == shown(spans.build(log, now=NOW))
    assert causes_of(mixed) == causes_of(log)


@check
@given(events, st.sampled_from([10, NOW]))
def test_spans_are_a_forest_and_events_belong_to_one_at_most(log: list[Event], now: int) -> None:
    trace, found = spans.build(log, now=now)
    known = {event.event_id for event in log}
    by_id = {span.span_id: span for span in found}
    assert len(by_id) == len(found) == trace.spans
    members = [event_id for span in found for event_id in span.event_ids]
    assert len(members) == len(set(members))
    assert set(members) <= known
    assert trace.events == len(known)
    for span in found:
        assert span.span_id in span.event_ids
        above, steps = span, 0
        while above.parent_span_id is not None:
            above, steps = by_id[above.parent_span_id], steps + 1
            assert steps <= len(found)
        assert (span.end is None) == (span.status == "running")
        assert span.end is None or trace.start <= span.start <= span.end <= trace.end
        assert (span.error is not None) == (span.status == "error")
    assert (trace.first_error is not None) == (trace.errors > 0)
    assert trace.status != "running" or any(span.status == "running" for span in found)
    openers = {span.span_id for span in found}
    for cause, effect, kind in causes_of(log):
        assert cause in openers
        assert effect in by_id[cause].event_ids
        assert effect != cause
        assert kind in ("result", "end")


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[Event], dict[str, str | None], dict[str, str]]:
    """A well-formed log of nested agents and tools without ids, with the truth about parents and ends."""
    log: list[Event] = []
    parents: dict[str, str | None] = {}
    ends: dict[str, str] = {}
    unnamed = draw(st.booleans())

    def line(event_type: str, **named: Any) -> str:
        at = len(log)
        log.append(
            Event(
                event_id=f"e{at}",
                timestamp=at,
                event_type=event_type,
                properties={} if unnamed and event_type in ("tool_result", "agent_end", "chain_end") else named,
                source=Source(log_stream="s", log_id=str(at), timestamp=at // 3),
            )
        )
        return f"e{at}"

    def work(parent: str | None, depth: int) -> None:
        for _ in range(draw(st.integers(1, 3))):
            kind = draw(st.sampled_from(["tools", "agent", "chain", "llm"] if depth < 3 else ["tools", "llm"]))
            if kind == "llm":
                opener = line("llm_start", model="m")
                parents[opener] = parent
                ends[opener] = line("llm_end", model="m")
            elif kind == "tools":
                names = draw(st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=3))
                calls = [line("tool_call", tool_name=name) for name in names]
                parents.update(dict.fromkeys(calls, parent))
                nested = depth < 3 and draw(st.booleans())
                for call, name in zip(calls, names, strict=True):
                    if nested:
                        agent(call, "agent", depth)
                    ends[call] = line("tool_result", tool_name=name)
            else:
                agent(parent, kind, depth)

    def agent(parent: str | None, kind: str, depth: int) -> None:
        name = draw(st.sampled_from(["p", "q"]))
        opener = line(f"{kind}_start", name=name)
        parents[opener] = parent
        work(opener, depth + 1)
        ends[opener] = line(f"{kind}_end", name=name)

    agent(None, "agent", 0)
    return log, parents, ends


@check
@given(runs())
def test_nesting_is_rebuilt_without_any_id(run: tuple[list[Event], dict[str, str | None], dict[str, str]]) -> None:
    log, parents, ends = run
    trace, found = spans.build(log, now=NOW)
    assert {span.span_id: span.parent_span_id for span in found} == parents
    assert {cause: effect for cause, effect, _ in causes_of(log)} == ends
    assert trace.status == "ok"
    assert all(span.status == "ok" for span in found)


@check
@given(runs(), st.data())
def test_a_lost_line_leaves_the_other_calls_paired_by_their_ids(
    run: tuple[list[Event], dict[str, str | None], dict[str, str]], data: st.DataObject
) -> None:
    log, _, ends = run
    for number, (opener, closer) in enumerate(ends.items()):
        for event in log:
            if event.event_id in (opener, closer) and event.event_type.startswith("tool"):
                event.properties = {**event.properties, "gen_ai.tool.call.id": f"c{number}"}
    lost = data.draw(st.sampled_from(log)).event_id
    edges = {c: e for c, e, kind in causes_of([e for e in log if e.event_id != lost]) if kind == "result"}
    calls = {event.event_id for event in log if event.event_type == "tool_call"}
    assert edges == {c: e for c, e in ends.items() if c in calls and lost not in (c, e)}
