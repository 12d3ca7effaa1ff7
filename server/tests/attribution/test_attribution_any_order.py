"""The heart of attribution: whatever the order, the batches, the replays, the same events end in the same traces.

``Stored`` is a store in memory that hands out exactly what it is asked for, and ingest's use of the module. ``told``
is an oracle: the rules of ``ARCHITECTURE.md`` in their plainest form, over the whole set at once.
"""

import os

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from vectadb_server.attribution import (
    INVOCATION_CAP,
    Affected,
    Boundaries,
    Boundary,
    Need,
    affected,
    attribute,
    boundary_of,
    breaks_needed,
    candidate_traces,
    explicit,
    needed,
    needed_around,
)
from vectadb_server.model import Event, Source

#: More examples, and new ones each time: ATTRIBUTION_EXAMPLES=20000.
MANY = os.environ.get("ATTRIBUTION_EXAMPLES")
bounded = settings(derandomize=not MANY, max_examples=int(MANY or 300), deadline=None)

MINUTE = 60_000_000
T0 = 1_767_225_600_000_000


class Stored:
    def __init__(self):
        self.events: dict[str, Event] = {}
        self.boundaries: dict[str, Boundary] = {}

    def known(self, needs: list[Need], more: list[Boundary] = ()) -> list[Boundary]:
        found = [*self.load(needs), *more]
        return [*found, *self.load(breaks_needed(found))]

    def load(self, needs: list[Need]) -> list[Boundary]:
        found = []
        for need in needs:
            line = sorted(
                (b for b in self.boundaries.values() if (b.stream_key, b.kind) == (need.stream_key, need.kind)),
                key=lambda b: b.position,
            )
            found += [b for b in line if need.from_us <= b.order[0] <= need.to_us]
            near = [b for b in line if need.from_us - INVOCATION_CAP <= b.order[0] <= need.to_us + INVOCATION_CAP]
            found += [b for b in near if b.order[0] < need.from_us][-1:] if need.before else []
            found += [b for b in near if b.order[0] > need.to_us][:1] if need.after else []
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
        for event_id in gone:
            del self.events[event_id]
        fresh = [event for event in come if event.event_id not in self.events]
        for boundary in filter(None, map(boundary_of, fresh)):
            self.boundaries[boundary.event_id] = boundary
            changed.append(boundary)
        attribute(fresh, Boundaries(self.known(needed(fresh))))
        self.events.update({event.event_id: event for event in fresh})
        known = Boundaries(self.known(needed_around(changed), changed))
        for late in affected(changed, known):
            weak = self.within(late, candidate_traces(late, self.agents(late.stream_key), known))
            attribute(weak, Boundaries(self.known(needed(weak))))


class Decoupled(Stored):
    """Events are visible at once; the look around their boundaries comes later, by day, in the order of the commits."""

    def __init__(self):
        super().__init__()
        self.outboxes: dict[int, list[tuple[str, list[str], list[Boundary]]]] = {0: [], 1: []}
        self.commits = 0

    def commit(self, come: list[Event], gone: list[str] = ()) -> None:
        days = {event_id: day_of(self.events[event_id]) for event_id in gone}
        for day, outbox in self.outboxes.items():
            self.commits += 1
            commit = f"{self.commits:04}"
            leaving = [event_id for event_id in gone if days[event_id] == day]
            changed = [self.boundaries.pop(event_id) for event_id in leaving if event_id in self.boundaries]
            for event_id in leaving:
                del self.events[event_id]
            fresh = [event for event in come if day_of(event) == day and event.event_id not in self.events]
            for boundary in filter(None, map(boundary_of, fresh)):
                self.boundaries[boundary.event_id] = msgspec.structs.replace(boundary, commit=commit)
                changed.append(boundary)
            attribute(fresh, Boundaries(self.known(needed(fresh))))
            self.events.update({event.event_id: event for event in fresh})
            outbox.append((commit, [event.event_id for event in fresh], changed))

    def turn(self, day: int) -> None:
        """Apply the oldest entry of a day."""
        if not self.outboxes[day]:
            return
        _, fresh, changed = self.outboxes[day][0]
        weak = [self.events[event_id] for event_id in fresh if event_id in self.events]
        attribute(weak, Boundaries(self.known(needed(weak))))
        while changed:
            visible = self.known(needed_around(changed), changed)
            told = set(map(place, changed))
            waiting = {number: entries[0][0] for number, entries in self.outboxes.items() if entries}
            more = [b for b in visible if b.commit >= waiting.get(day_at(b.order[0]), "~") and place(b) not in told]
            if not more:
                break
            changed = [*changed, *more]
        known = Boundaries(self.known(needed_around(changed), changed))
        gone = [
            b for b in changed if b.event_id not in self.boundaries or place(self.boundaries[b.event_id]) != place(b)
        ]
        for late in affected(changed, known, gone):
            weak = self.within(late, candidate_traces(late, self.agents(late.stream_key), known))
            attribute(weak, Boundaries(self.known(needed(weak))))
        del self.outboxes[day][0]


def day_at(us: int) -> int:
    return int(us >= T0 + 16 * MINUTE)


def day_of(event: Event) -> int:
    return day_at(event.order[0])


def place(boundary: Boundary) -> tuple[object, ...]:
    return (boundary.stream_key, boundary.kind, boundary.start, boundary.trace, boundary.ends, *boundary.position)


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
        invocation, runs, broken = None, [], False
        for other in line:
            if (other.order, other.event_id) > at:
                break
            itself = other.event_id == event.event_id
            if other.event_type == "invocation_start":
                invocation = other
            elif other.event_type == "invocation_end" and not itself:
                invocation = None
            which = kind_of(other)
            if which in ("start", "next", "call"):
                if broken:
                    runs = []
                elif which == "next" and runs and kind_of(runs[-1]) == "next":
                    runs.pop()
                runs.append(other)
            elif which == "end" and not itself:
                if runs and kind_of(runs[-1]) == "next":
                    runs.pop()
                if runs:
                    runs.pop()
            broken = which == "error" or (broken and which is None)
        now = event.order[0]
        if invocation is not None and now - invocation.order[0] <= 15 * MINUTE:
            return boundary_of(invocation).trace, "invocation"
        runs = [run for run in runs if now - run.order[0] <= 60 * MINUTE and kind_of(run) != "call"]
        if runs:
            return boundary_of(runs[0]).trace, "run"
    elif not event.agent_id:
        return None, "event"
    return None, "time_window"


def kind_of(event: Event) -> str | None:
    if event.event_type == "error" and explicit(event) is None:
        return "error"
    types = {"agent_start": "start", "agent_end": "end"}
    return event.properties.get("run_boundary", types.get(event.event_type))


# Few streams, few times, these near the caps: what collides, nests and expires is the point. Each example has a focus.
nothing = st.none()


def sketches_of(kinds, minutes, streams="a", requests=nothing, sessions=nothing, agents=nothing):
    beside = st.sampled_from([0, 0, 1])  # microseconds
    ids = (requests, sessions, agents)
    return st.tuples(st.sampled_from(streams), st.sampled_from(minutes), beside, st.sampled_from(kinds), *ids)


INVOCATIONS = ["log", "log", "invocation_start", "invocation_start", "invocation_end"]
RUNS = ["log", "log", "agent_start", "agent_start", "agent_end"]
#: Frameworks that print no ends, calls that hold runs, and errors that break runs off.
OPEN = ["log", "log", "agent_start", "agent_end", "next", "next", "call", "end", "error"]
invocations = sketches_of(INVOCATIONS, [0, 1, 2, 15, 16, 17, 30])
runs = sketches_of(RUNS, [0, 1, 2, 30, 59, 60, 61, 90, 120], agents=st.sampled_from([None, None, "bot"]))
open_runs = sketches_of(OPEN, [0, 1, 2, 3, 4, 5, 59, 60, 61, 62])
both = sketches_of([*INVOCATIONS, *RUNS, *OPEN], [0, 1, 2, 15, 16, 60, 61])
anything = sketches_of(
    [*INVOCATIONS, *RUNS, *OPEN, "tool_call"],
    [0, 1, 2, 14, 15, 16, 29, 30, 45, 59, 60, 61, 75, 120, 135],
    streams=["a", "a", "b", None],
    requests=st.sampled_from([None, None, None, "r1", "r2"]),
    sessions=st.sampled_from([None, None, None, None, "s1"]),
    agents=st.sampled_from([None, None, "bot", "bot 2"]),
)


foci = st.sampled_from([invocations, runs, open_runs, both, anything])
#: Events, each with the number of the batch it comes in.
scenes = foci.flatmap(lambda sketch: st.lists(st.tuples(sketch, st.integers(0, 4)), max_size=10))
#: Events as above, and then changes one by one: the event of that number goes, or becomes another.
changing = foci.flatmap(
    lambda sketch: st.tuples(
        st.lists(st.tuples(sketch, st.integers(0, 2)), max_size=7),
        st.lists(st.tuples(st.integers(0, 6), nothing | sketch), max_size=4),
    )
)


SAID = ("next", "call", "end")


def event_of(number: int, sketch) -> Event:
    stream, minute, beside, kind, request, session, agent = sketch
    us = T0 + minute * MINUTE + beside
    source = None if stream is None else Source(account="1", log_stream=stream, log_id=f"{number:03}", timestamp=us)
    return Event(
        event_id=f"{number:03}",
        timestamp=us,
        event_type="log" if kind in SAID else kind,
        properties={"run_boundary": kind} if kind in SAID else {},
        source=source,
        request_id=request,
        session_id=session,
        agent_id=agent,
    )


def stored_in_batches(scene) -> Stored:
    stored = Stored()
    for number in sorted({batch for _, batch in scene}):
        stored.apply([event_of(i, sketch) for i, (sketch, batch) in enumerate(scene) if batch == number])
    return stored


def stored_at_once(events) -> Stored:
    stored = Stored()
    stored.apply(list(events))
    return stored


def found(stored: Stored) -> dict[str, tuple[str | None, str]]:
    return {event_id: (event.trace, event.basis) for event_id, event in stored.events.items()}


def check_against_oracle(stored: Stored) -> None:
    everything = list(stored.events.values())
    for event in everything:
        trace, basis = told(event, everything)
        assert event.basis == basis, event
        assert trace is None or event.trace == trace, event


@bounded
@given(scenes, st.sets(st.integers(0, 9)))
def test_any_order_and_any_batches_end_in_the_same_traces(scene, replayed):
    events = [event_of(i, sketch) for i, (sketch, _) in enumerate(scene)]
    stored = stored_in_batches(scene)
    stored.apply([event_of(i, scene[i][0]) for i in replayed if i < len(scene)])
    assert found(stored) == found(stored_at_once(events))
    check_against_oracle(stored)


turns = st.lists(st.sampled_from(["commit", "commit", 0, 1]), max_size=20)
#: Around the change of days, and one event in each batch: what one look around hides from another is the point.
near = st.sampled_from(
    [
        sketches_of(INVOCATIONS, [10, 15, 16, 17, 18]),
        sketches_of(RUNS, [0, 15, 16, 17]),
        sketches_of(OPEN, [0, 14, 15, 16, 17, 75]),
        sketches_of([*INVOCATIONS, *RUNS, *OPEN], [10, 15, 16, 17]),
    ]
)
crossing = near.flatmap(
    lambda sketch: st.tuples(
        st.lists(st.tuples(sketch, st.integers(0, 7)), min_size=3, max_size=9),
        st.lists(st.tuples(st.integers(0, 8), nothing | sketch), max_size=3),
    )
)


@settings(bounded, max_examples=int(MANY or 1_000))
@given(crossing, turns)
def test_whenever_the_look_around_comes_the_traces_are_the_same_in_the_end(changes, turns):
    """Of several batches that are visible the later one's turn may come first, where they lie in two days."""
    scene, later = changes
    stored = Decoupled()
    batches = sorted({batch for _, batch in scene})
    commits = [([event_of(i, s) for i, (s, b) in enumerate(scene) if b == batch], []) for batch in batches]
    commits += [([] if s is None else [event_of(number, s)], [f"{number:03}"]) for number, s in later]

    def commit() -> None:
        come, gone = commits.pop(0)
        stored.commit(come, [event_id for event_id in gone if event_id in stored.events])

    for turn in turns:
        if turn != "commit":
            stored.turn(turn)
        elif commits:
            commit()
    while commits:
        commit()
    while any(stored.outboxes.values()):
        for day in stored.outboxes:
            stored.turn(day)
    remaining = [msgspec.structs.replace(event, trace=None, basis="none") for event in stored.events.values()]
    assert found(stored) == found(stored_at_once(remaining))
    check_against_oracle(stored)


def test_a_window_whose_end_came_with_later_windows_lets_go_of_what_it_held():
    start, end = ("a", 10, 0, "invocation_start", None, None, None), ("a", 15, 0, "invocation_end", None, None, None)
    log = ("a", 18, 0, "log", None, None, None)
    later = [("a", 16, 0, "invocation_start", None, None, None), ("a", 17, 0, "invocation_end", None, None, None)]
    stored = Decoupled()
    stored.commit([event_of(0, start), event_of(1, log)])
    stored.turn(0)
    stored.turn(1)
    assert stored.events["001"].basis == "invocation"
    stored.commit([event_of(2, end)])
    stored.commit([event_of(number, sketch) for number, sketch in enumerate(later, 3)])
    for day in (0, 0, 1, 1):
        stored.turn(day)
    assert not any(stored.outboxes.values())
    check_against_oracle(stored)


@bounded
@given(changing)
def test_events_that_go_or_change_leave_no_trace_behind(changes):
    """A larger block takes the place of stored events: boundaries vanish, or turn into something else."""
    scene, later = changes
    stored = stored_in_batches(scene)
    for number, sketch in later:
        gone = [event_id for event_id in stored.events if event_id == f"{number:03}"]
        stored.apply([] if sketch is None else [event_of(number, sketch)], gone)
    remaining = [msgspec.structs.replace(event, trace=None, basis="none") for event in stored.events.values()]
    assert found(stored) == found(stored_at_once(remaining))
    check_against_oracle(stored)


@bounded
@given(scenes, st.integers(0, 9))
def test_what_is_older_than_the_cap_plays_no_part(scene, asked):
    """Runs: only what lies in [t - RUN_CAP, t] counts; invocations: only the nearest boundary."""
    if asked >= len(scene):
        return
    stored = stored_in_batches(scene)
    event = stored.events[f"{asked:03}"]
    us, was = event.order[0], (event.trace, event.basis)
    invocations_before = [b for b in stored.boundaries.values() if b.kind == "invocation"]
    recent_runs = [
        b for b in stored.boundaries.values() if b.kind != "invocation" and us - 60 * MINUTE <= b.order[0] <= us
    ]
    attribute([event], Boundaries([*invocations_before, *recent_runs]))
    assert (event.trace, event.basis) == was
