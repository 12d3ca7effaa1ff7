"""The heart of attribution: whatever the order, the batches, the replays, the same events end in the same traces.

``Stored`` is a store in memory that hands out exactly what it is asked for, and ingest's use of the module. ``told``
is an oracle: the rules of ``ARCHITECTURE.md`` in their plainest form, over the whole set at once.
"""

import os

from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server.attribution import (
    Affected,
    Boundaries,
    Boundary,
    Need,
    affected,
    attribute,
    boundary_of,
    candidate_traces,
    explicit,
    needed,
    needed_around,
)
from vectadb_server.model import Event, Source

#: More examples, and new ones each time: ATTRIBUTION_EXAMPLES=20000.
MANY = os.environ.get("ATTRIBUTION_EXAMPLES")
bounded = settings(derandomize=MANY is None, max_examples=int(MANY or 300), deadline=None)

MINUTE = 60_000_000
T0 = 1_767_225_600_000_000


class Stored:
    def __init__(self):
        self.events: dict[str, Event] = {}
        self.boundaries: dict[str, Boundary] = {}

    def load(self, needs: list[Need]) -> list[Boundary]:
        found = []
        for need in needs:
            line = sorted(
                (b for b in self.boundaries.values() if (b.stream_key, b.kind) == (need.stream_key, need.kind)),
                key=lambda b: b.position,
            )
            found += [b for b in line if need.from_us <= b.order[0] <= need.to_us]
            found += [b for b in line if b.order[0] < need.from_us][-1:] if need.before else []
            found += [b for b in line if b.order[0] > need.to_us][:1] if need.after else []
        return found

    def within(self, late: Affected, traces: set[str]) -> list[Event]:
        """The store has an index on the trace, none on the stream."""
        found = [event for event in self.events.values() if event.trace in traces]
        return [e for e in found if key_of(e) == late.stream_key and late.from_us <= e.order[0] <= late.to_us]

    def agents(self, stream_key: str) -> set[str]:
        return {e.agent_id for e in self.events.values() if e.agent_id and key_of(e) == stream_key}

    def apply(self, come: list[Event], gone: list[str] = ()) -> None:
        """One batch: events that come, and ids of stored ones that a larger block has taken the place of."""
        changed = [self.boundaries.pop(event_id) for event_id in gone if event_id in self.boundaries]
        removed = list(changed)
        for event_id in gone:
            del self.events[event_id]
        fresh = [event for event in come if event.event_id not in self.events]
        for boundary in filter(None, map(boundary_of, fresh)):
            self.boundaries[boundary.event_id] = boundary
            changed.append(boundary)
        attribute(fresh, Boundaries(self.load(needed(fresh))))
        self.events.update({event.event_id: event for event in fresh})
        known = Boundaries([*removed, *self.load(needed_around(changed))])
        for late in affected(changed, known):
            weak = self.within(late, candidate_traces(late, self.agents(late.stream_key), known))
            attribute(weak, Boundaries(self.load(needed(weak))))


def key_of(event: Event) -> str | None:
    return None if event.source is None else event.source.stream_key()


def told(event: Event, everything: list[Event]) -> tuple[str | None, str]:
    """Which trace the event belongs to, told from all events there are, by replaying its stream from its beginning."""
    own = explicit(event)
    if own is not None:
        return own
    if event.source is not None and event.source.log_stream:
        at = (event.order, event.event_id)
        line = sorted((e for e in everything if key_of(e) == key_of(event)), key=lambda e: (e.order, e.event_id))
        invocation, runs = None, []
        for other in line:
            if (other.order, other.event_id) > at:
                break
            itself = other.event_id == event.event_id
            if other.event_type == "invocation_start":
                invocation = other
            elif other.event_type == "invocation_end" and not itself:
                invocation = None
            elif other.event_type == "agent_start":
                runs.append(other)
            elif other.event_type == "agent_end" and not itself and runs:
                runs.pop()
        now = event.order[0]
        if invocation is not None and now - invocation.order[0] <= 15 * MINUTE:
            return boundary_of(invocation).trace, "invocation"
        runs = [run for run in runs if now - run.order[0] <= 60 * MINUTE]
        if runs:
            return boundary_of(runs[0]).trace, "run"
    elif not event.agent_id:
        return None, "event"
    return None, "time_window"


# Few streams, few times, near the caps: what collides, nests and expires is the point.
minutes = st.sampled_from([0, 0, 1, 2, 3, 5, 14, 15, 16, 20, 29, 30, 44, 45, 59, 60, 61, 74, 75, 76, 90, 120, 135])
kinds = st.sampled_from(
    ["log", "log", "tool_call", "invocation_start", "invocation_end", "agent_start", "agent_start", "agent_end"]
)
sketches = st.tuples(
    st.sampled_from(["a", "a", "a", "b", None]),  # stream
    minutes,
    st.sampled_from([0, 0, 0, 1, -1]),  # microseconds beside it
    kinds,
    st.sampled_from([None, None, None, None, "r1", "r2"]),  # request
    st.sampled_from([None, None, None, None, None, "s1"]),  # session
    st.sampled_from([None, None, "bot", "bot 2"]),  # agent
)


def event_of(number: int, sketch) -> Event:
    stream, minute, beside, kind, request, session, agent = sketch
    us = T0 + minute * MINUTE + beside
    source = None if stream is None else Source(account="1", log_stream=stream, log_id=f"{number:03}", timestamp=us)
    return Event(
        event_id=f"{number:03}",
        timestamp=us,
        event_type=kind,
        source=source,
        request_id=request,
        session_id=session,
        agent_id=agent,
    )


def apart(order: list[int], cuts: set[int]) -> list[list[int]]:
    batches: list[list[int]] = [[]]
    for place, number in enumerate(order):
        if place in cuts:
            batches.append([])
        batches[-1].append(number)
    return batches


def found(stored: Stored) -> dict[str, tuple[str | None, str]]:
    return {event_id: (event.trace, event.basis) for event_id, event in stored.events.items()}


def check_against_oracle(stored: Stored) -> None:
    everything = list(stored.events.values())
    for event in everything:
        trace, basis = told(event, everything)
        assert event.basis == basis, event
        assert trace is None or event.trace == trace, event


@bounded
@given(st.lists(sketches, max_size=16), st.data())
def test_any_order_and_any_batches_end_in_the_same_traces(sketched, data):
    numbers = list(range(len(sketched)))
    whole = Stored()
    whole.apply([event_of(i, sketched[i]) for i in numbers])
    check_against_oracle(whole)

    order = data.draw(st.permutations(numbers))
    cuts = data.draw(st.sets(st.integers(1, max(1, len(numbers)))))
    piecewise = Stored()
    for batch in apart(order, cuts):
        piecewise.apply([event_of(i, sketched[i]) for i in batch])
        replayed = data.draw(st.sets(st.sampled_from(order))) if order else set()
        piecewise.apply([event_of(i, sketched[i]) for i in replayed if f"{i:03}" in piecewise.events])
    assert found(piecewise) == found(whole)


@bounded
@given(
    st.lists(sketches, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.none() | sketches), max_size=6),
    st.data(),
)
def test_events_that_go_or_change_leave_no_trace_behind(sketched, later, data):
    """A larger block takes the place of stored events: boundaries vanish, or turn into something else."""
    stored = Stored()
    cuts = data.draw(st.sets(st.integers(1, max(1, len(sketched)))))
    for batch in apart(list(range(len(sketched))), cuts):
        stored.apply([event_of(i, sketched[i]) for i in batch])
    current = {f"{i:03}": event_of(i, sketch) for i, sketch in enumerate(sketched)}
    for number, sketch in later:
        event_id = f"{number:03}"
        gone = [event_id] if current.pop(event_id, None) else []
        come = [] if sketch is None else [event_of(number, sketch)]
        current.update({event.event_id: event_of(number, sketch) for event in come})
        stored.apply(come, gone)
    whole = Stored()
    whole.apply(list(current.values()))
    assert found(stored) == found(whole)
    check_against_oracle(stored)


@bounded
@given(st.lists(sketches, max_size=16), sketches)
def test_what_is_older_than_the_cap_plays_no_part(sketched, asked):
    """Runs: only [t - RUN_CAP, t] counts; invocations: only the nearest boundary."""
    event = event_of(99, ("a", *asked[1:3], "log", None, None, None))
    boundaries = [b for i, s in enumerate(sketched) if (b := boundary_of(event_of(i, ("a", *s[1:])))) is not None]
    recent = [b for b in boundaries if b.order[0] >= event.order[0] - 60 * MINUTE or b.kind == "invocation"]
    one, other = event_of(99, ("a", *asked[1:3], "log", None, None, None)), event
    attribute([one], Boundaries(boundaries))
    attribute([other], Boundaries(recent))
    assert (one.trace, one.basis) == (other.trace, other.basis)
