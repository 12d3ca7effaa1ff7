"""Which trace an event belongs to: pure functions, first that applies (``ARCHITECTURE.md``, "Which trace").

What an event prints itself (:func:`explicit`) needs nothing else. The other, *weak* events belong to the window of
their log stream that holds them, and a window is known by its boundaries, which may arrive after the events inside.
So the use of this module is, for each batch::

    known = Boundaries(await load(needed(events)) + boundaries_of_the_batch)
    attribute(events, known)                              # then store them, and the boundaries; after that, for those
    known = Boundaries(await load(needed_around(new)))    # `new`: boundaries that were added or removed, both sides
    for late in affected(new, known, gone):               # where weak events may have moved from one trace to another
        weak = await load_events(candidate_traces(late, agents_of(late.stream_key), known), late)
        attribute(weak, Boundaries(await load(needed(weak))))

Whatever was loaded is to be followed by the breaks in it (:func:`breaks_needed`): only where runs are do these count.

The look around may come later than the batch, and in another order than the batches did. Then boundaries are visible
whose own look around is still to come, and they hide from this one which window an event was put into. So ``new`` must
hold all of these that lie near (:attr:`Boundary.commit` tells); looking around them again later changes nothing.

An event's trace is a function of the **set** of boundaries, whatever the order they came in:

- *Invocations* do not nest: the nearest boundary at or before the event decides. It is in the set or it is not.
- *Runs* nest, and their ends do not say which start they close. A start is open for :data:`RUN_CAP` at most, and

  - an *end* closes the most recent open start that needs one (:attr:`Boundary.ends`), and the one that needs none on
    top of it;
  - a start that needs no end closes one of its like that is on top: the next run ends the one before;
  - a start with a *break* (an error) right before it, no other boundary between them, closes all: of a run that died
    the end is never printed, and the next one is not inside it.

  Whether a start ``s`` is still open at a later position ``e`` is then decided by the boundaries between ``s`` and
  ``e`` alone: ends in there close starts in there first, these being more recent than ``s``; the first end that finds
  none of them to close closes ``s``, whatever lies below ``s`` on the stack; and so does the first start that finds
  nothing above ``s``, if neither of the two needs an end. So matching inside ``[t - RUN_CAP, t]`` does not depend on
  anything older, an end without a start in there can only close a start that no longer counts, and loading that range
  is enough. (Matching ends to starts by *name* would break this: an end whose start is older would close what is
  inside the range, or not.)

Positions in a stream are those of :attr:`Event.order`, so that windows go by the record's time, not the application's;
the quarter hours of the last resort do too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from functools import lru_cache
from itertools import pairwise
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from vectadb_server import ids
from vectadb_server.model import Basis, Event

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

Window = Literal["invocation", "run", "break"]
Position = tuple[int, int, str, str, str]

_MINUTE = 60_000_000
#: A Lambda invocation lasts at most so long.
INVOCATION_CAP = 15 * _MINUTE
#: A run whose end is missing is given up after so long.
RUN_CAP = 60 * _MINUTE
#: The last resort's windows.
QUARTER = 15 * _MINUTE


class Boundary(msgspec.Struct, kw_only=True, frozen=True):
    """One end of a window in a log stream: an event that starts or ends an invocation or a run, or breaks a run off.

    ``order`` is the event's :attr:`Event.order`; its first item is the record's time, microseconds. ``trace`` is the
    trace that a start gives to the weak events in its window; an end has none, nor has a call, in which runs may nest
    but which is none itself. ``ends``: of a start, whether it takes an end to end its window. ``name`` and
    ``request_id`` are for people to read. ``commit``: of a stored one, the id of the outbox row that tells of it; ids
    grow with time.
    """

    stream_key: str
    order: tuple[int, int, str, str]
    kind: Window
    start: bool
    event_id: str
    trace: str = ""
    ends: bool = True
    name: str = ""
    request_id: str | None = None
    commit: str = ""

    @property
    def position(self) -> Position:
        """Sort key within the stream, unique."""
        return (*self.order, self.event_id)


class Need(msgspec.Struct, kw_only=True, frozen=True):
    """Boundaries to load: those of the stream and kind with ``from_us <= order[0] <= to_us``, both inclusive.

    ``before``: and the last one in the :data:`INVOCATION_CAP` before ``from_us``. ``after``: and the first one in that
    after ``to_us``. Further away, it counts for nothing.
    """

    stream_key: str
    kind: Window
    from_us: int
    to_us: int
    before: bool = False
    after: bool = False


class Affected(msgspec.Struct, kw_only=True, frozen=True):
    """Where in a stream weak events may have changed their trace: record time, microseconds, both inclusive."""

    stream_key: str
    kind: Window
    from_us: int
    to_us: int


class _Line(msgspec.Struct):
    """The boundaries of one kind in one stream, by position.

    ``top[i]`` is the index of the innermost start that is open after boundary ``i``, and ``below[i]``, of a start, that
    of the one that was open before it; -1 where there is none. Starts too old to count stay in, at the bottom.
    """

    positions: list[Position] = []
    boundaries: list[Boundary] = []
    top: list[int] = []
    below: list[int] = []

    def add(self, boundary: Boundary, *, anew: bool = False) -> None:
        """Add one that comes after all others. ``anew``: as a start it closes what is open."""
        before = self.top[-1] if self.top else -1
        if anew and boundary.start:
            before = -1
        if not (boundary.start and boundary.ends) and before >= 0 and not self.boundaries[before].ends:
            before = self.below[before]
        self.below.append(before)
        if boundary.start:
            self.top.append(len(self.top))
        else:
            self.top.append(self.below[before] if before >= 0 else -1)
        self.positions.append(boundary.position)
        self.boundaries.append(boundary)


class Boundaries:
    """A set of boundaries, of any number of streams. Equal ones, whatever their names for people, count once.

    For :func:`attribute` it is to hold boundaries as they stand; where some were removed or changed, the look around
    (:func:`affected`, :func:`candidate_traces`) takes them from before and from after, together.
    """

    def __init__(self, boundaries: Iterable[Boundary] = ()) -> None:
        self._lines: dict[tuple[str, Window], _Line] = {}
        found: dict[tuple[str, Window], list[Boundary]] = defaultdict(list)
        for boundary in boundaries:
            found[boundary.stream_key, boundary.kind].append(boundary)
        for (stream_key, kind), some in found.items():
            if kind == "break":
                continue
            if kind == "run":
                some += found.get((stream_key, "break"), ())
            self._lines[stream_key, kind] = line = _Line()
            broken, last = False, None
            # Mostly they come in order.
            for key, boundary in sorted([(_sort_key(each), each) for each in some], key=itemgetter(0)):
                if key == last:
                    continue
                last = key
                if boundary.kind == "break":
                    broken = True
                    continue
                line.add(boundary, anew=broken)
                broken = False

    def between(self, stream_key: str, kind: Window, from_us: int, to_us: int) -> Sequence[Boundary]:
        """Those of ``from_us <= order[0] <= to_us``, in order."""
        line = self._lines.get((stream_key, kind), _NONE)
        return line.boundaries[bisect_left(line.positions, (from_us,)) : bisect_left(line.positions, (to_us + 1,))]

    def last(self, stream_key: str, kind: Window, before: tuple[Any, ...]) -> Boundary | None:
        """Return the last one before the position, of which leading items are enough: ``(us,)``."""
        line = self._lines.get((stream_key, kind), _NONE)
        index = bisect_left(line.positions, before)
        return line.boundaries[index - 1] if index else None

    def open_runs(self, stream_key: str, before: tuple[Any, ...]) -> list[Boundary]:
        """Starts of runs that count and are not closed just before the position, innermost first."""
        line = self._lines.get((stream_key, "run"), _NONE)
        index = bisect_left(line.positions, before)
        index = line.top[index - 1] if index else -1
        started: list[Boundary] = []
        while index >= 0 and line.positions[index][0] >= before[0] - RUN_CAP:
            started.append(line.boundaries[index])
            index = line.below[index]
        return started


def _sort_key(boundary: Boundary) -> tuple[Any, ...]:
    return boundary.position, boundary.kind, boundary.start, boundary.trace, boundary.ends


_NONE = _Line()


# ---- what the event prints itself ----------------------------------------------------------------------------------


@lru_cache(4096)
def given_trace(trace_id: str) -> str:
    """Return the id of the trace that a client calls ``trace_id``, wherever that is asked.

    A UUID, in any spelling, is itself: clients find their trace under the id they sent. Anything else is hashed.
    """
    return ids.read_uuid(trace_id) or ids.uuid5(ids.TRACES, ["trace_id", trace_id])


def explicit(event: Event, *, auto_create_traces: bool = True) -> tuple[str, Basis] | None:
    """Trace and basis by what the event itself carries, or ``None``: it is weak.

    Request and session ids make one trace within an account: only clients' ``trace_id`` is taken to be unique beyond.
    Without ``auto_create_traces`` a ``trace_id`` alone counts.
    """
    if event.trace_id:
        return given_trace(event.trace_id), "trace_id"
    if auto_create_traces:
        if event.request_id:
            return _request(event)
        if event.session_id:
            account = "" if event.source is None else event.source.account
            return ids.uuid5(ids.TRACES, ["session_id", account, event.session_id]), "session_id"
    return None


def _request(event: Event) -> tuple[str, Basis]:
    account = "" if event.source is None else event.source.account
    return ids.uuid5(ids.TRACES, ["request_id", account, event.request_id or ""]), "request_id"


#: What an event is by its type: a boundary of which window, and which one.
_EDGES: dict[str, tuple[Window, str]] = {
    "invocation_start": ("invocation", "start"),
    "invocation_end": ("invocation", "end"),
    "agent_start": ("run", "start"),
    "agent_end": ("run", "end"),
    "error": ("break", "end"),
}
_STARTS = ("start", "next", "call")
_SAID = (*_STARTS, "end", "none")


def _edge(event: Event) -> tuple[Window, str] | None:
    """Return of which window the event is a boundary, and which one.

    The property ``run_boundary`` goes before the type: ``start`` and ``end`` of a run, ``next`` (the start of one that
    is inside no other but in a call), ``call`` (the start of what runs may be inside of, and ``end`` ends) or ``none``.
    A sign of life (``resumes: true``) opens nothing: its agent runs already, and nothing might ever close it.
    """
    edge = _EDGES.get(event.event_type)
    if edge is not None and edge[0] == "invocation":
        return edge
    said = event.properties.get("run_boundary")
    if isinstance(said, str) and said in _SAID:
        return None if said == "none" else ("run", said)
    if edge is None or event.properties.get("resumes") is True:
        return None
    return edge if edge[0] == "run" or explicit(event) is None else None


def boundary_of(event: Event) -> Boundary | None:
    """Return the boundary that the event is, if it is one and was logged in a stream.

    A start gives its window the trace that it is in itself, so that a window never parts from its own start; but an
    invocation gives that of its request, which the framed lines inside it name.
    """
    edge = _edge(event)
    if edge is None:  # asked first: few events are
        return None
    stream_key = _stream(event)
    if stream_key is None:
        return None
    kind, which = edge
    trace = ""
    if which in ("start", "next"):
        own = _request(event) if kind == "invocation" and event.request_id else explicit(event)
        trace = own[0] if own is not None else ids.uuid5(ids.TRACES, [kind, event.event_id])
    name = event.properties.get("gen_ai.agent.name")
    return Boundary(
        stream_key=stream_key,
        order=event.order,
        kind=kind,
        start=which in _STARTS,
        event_id=event.event_id,
        trace=trace,
        ends=which != "next",
        name=name if isinstance(name, str) else "",
        request_id=event.request_id,
    )


# ---- windows -------------------------------------------------------------------------------------------------------


def needed(events: Iterable[Event]) -> list[Need]:
    """Which boundaries :func:`attribute` must know to attribute these events; those of the events themselves too."""
    times: dict[str, list[int]] = defaultdict(list)
    for event in events:
        if explicit(event) is None and (stream_key := _stream(event)) is not None:
            times[stream_key].append(event.recorded)
    needs = []
    for key, first, last in _stretches(times):
        needs.append(Need(stream_key=key, kind="invocation", from_us=first, to_us=last, before=True))
        needs.append(Need(stream_key=key, kind="run", from_us=first - RUN_CAP, to_us=last))
    return needs


def breaks_needed(known: Iterable[Boundary]) -> list[Need]:
    """Which breaks matter to these boundaries: those between runs'. A log of many errors and no runs has none."""
    times: dict[str, list[int]] = defaultdict(list)
    for boundary in known:
        if boundary.kind == "run":
            times[boundary.stream_key].append(boundary.order[0])
    return [
        Need(stream_key=key, kind="break", from_us=first, to_us=last)
        for key, first, last in _stretches(times)
        if len(times[key]) > 1
    ]


def _stretches(times: dict[str, list[int]]) -> Iterator[tuple[str, int, int]]:
    """Stream, first and last of times that are near each other.

    One event of last week beside one of today must not load the week between them.
    """
    for key, listed in times.items():
        listed.sort()
        first = listed[0]
        for us, following in pairwise([*listed, listed[-1] + RUN_CAP + 1]):
            if following - us > RUN_CAP:
                yield key, first, us
                first = following


def attribute(events: Iterable[Event], boundaries: Boundaries, *, auto_create_traces: bool = True) -> list[Event]:
    """Set ``trace`` and ``basis`` of the events; return those for which that changed something.

    ``boundaries`` holds at least what :func:`needed` asks for. Events stored with ``auto_create_traces=False`` and
    without a ``trace_id`` have no trace, and must not come here again.
    """
    changed = []
    for event in events:
        own = explicit(event, auto_create_traces=auto_create_traces)
        trace, basis = own or _weak(event, boundaries, auto_create_traces)
        if (event.trace, event.basis) != (trace, basis):
            event.trace, event.basis = trace, basis
            changed.append(event)
    return changed


def _weak(event: Event, boundaries: Boundaries, auto_create_traces: bool) -> tuple[str | None, Basis]:
    if not auto_create_traces:
        return None, "none"
    return _window(event, boundaries) or _last_resort(event)


def _window(event: Event, boundaries: Boundaries) -> tuple[str, Basis] | None:
    """Trace and basis by the window of its stream that holds the event."""
    stream_key = _stream(event)
    if stream_key is None:
        return None
    position: tuple[Any, ...] = (*event.order, event.event_id)
    us = event.recorded
    # A start belongs to the window that it opens, an end to the one that it closes: these look from behind themselves
    # and from before. Other events are no boundaries, and it is all the same.
    edge = _edge(event)
    if edge is not None and edge[1] in _STARTS:
        position = (*position, "")
    nearest = boundaries.last(stream_key, "invocation", position)
    if nearest is not None and nearest.start and us - nearest.order[0] <= INVOCATION_CAP:
        return nearest.trace, "invocation"
    runs = [run for run in boundaries.open_runs(stream_key, position) if run.trace]
    return (runs[-1].trace, "run") if runs else None


def _last_resort(event: Event) -> tuple[str, Basis]:
    stream_key = _stream(event)
    quarter = event.recorded // QUARTER
    if event.agent_id:
        account = "" if event.source is None else _account(event.source.stream_key())
        return _agent_trace(account, event.agent_id, quarter), "time_window"
    if stream_key is not None:
        return _stream_trace(stream_key, quarter), "time_window"
    return ids.uuid5(ids.TRACES, ["event", event.event_id]), "event"


def _agent_trace(account: str, agent_id: str, quarter: int) -> str:
    return ids.uuid5(ids.TRACES, ["agent", account, agent_id, str(quarter)])


def _stream_trace(stream_key: str, quarter: int) -> str:
    return ids.uuid5(ids.TRACES, ["stream", stream_key, str(quarter)])


def _account(stream_key: str) -> str:
    return stream_key.split("\x1f")[1]


def _stream(event: Event) -> str | None:
    """Key of the event's stream; ``None`` where its source names neither a group nor a stream, or it has none."""
    source = event.source
    if source is None or not (source.log_stream or source.log_group):
        return None
    return source.stream_key()


# ---- boundaries that come late, or go ------------------------------------------------------------------------------


def needed_around(changed: Iterable[Boundary]) -> list[Need]:
    """Which boundaries :func:`affected` and :func:`candidate_traces` must know, for boundaries added or removed."""
    needs = []
    for boundary in changed:
        us = boundary.order[0]
        key, kind = boundary.stream_key, boundary.kind
        if kind == "invocation":
            needs.append(Need(stream_key=key, kind=kind, from_us=us, to_us=us, before=True, after=True))
            needs.append(Need(stream_key=key, kind="run", from_us=us - RUN_CAP, to_us=us + INVOCATION_CAP))
        else:
            needs.append(Need(stream_key=key, kind="run", from_us=us - RUN_CAP, to_us=us + RUN_CAP))
    return needs


def needed_at_length(changed: Iterable[Boundary]) -> list[Need]:
    """As :func:`needed_around`, where not the nearest boundary counts but all that may: few, long ranges."""
    needs: list[Need] = []
    for boundary in sorted(changed, key=lambda each: (each.stream_key, each.order[0])):
        us, key = boundary.order[0], boundary.stream_key
        last = needs[-1] if needs else None
        if last is not None and last.stream_key == key and us - RUN_CAP <= last.to_us:
            needs[-2:] = [msgspec.structs.replace(each, to_us=us + RUN_CAP) for each in needs[-2:]]
        else:
            kinds: tuple[Window, ...] = ("invocation", "run")
            needs += [Need(stream_key=key, kind=kind, from_us=us - RUN_CAP, to_us=us + RUN_CAP) for kind in kinds]
    return needs


def affected(
    changed: Iterable[Boundary], known: Boundaries, gone: Collection[Boundary] = frozenset()
) -> list[Affected]:
    """Where weak events may have moved when boundaries were added or removed; what overlaps is merged.

    A boundary acts forwards only: a start for as long as it counts (:data:`INVOCATION_CAP`, :data:`RUN_CAP`), an end
    for as long as the start that it closes would have counted, which is no longer. An invocation's acts no further
    than to the next boundary of its kind; unless it is one of those that are ``gone``: the look around that next one
    may have come between its going and now, and have missed what lies behind. A break acts through a start behind it.
    """
    merged: list[Affected] = []
    spans: set[tuple[str, Window, int, int]] = set()
    for b in changed:
        us = b.order[0]
        if b.kind != "break":
            spans.add((b.stream_key, b.kind, us, _reach(b, known, is_gone=b in gone)))
        elif any(run.start for run in known.between(b.stream_key, "run", us, us + RUN_CAP)):
            spans.add((b.stream_key, "run", us, us + RUN_CAP))
    for stream_key, kind, first, last in sorted(spans):
        before = merged[-1] if merged else None
        if before and (before.stream_key, before.kind) == (stream_key, kind) and first <= before.to_us:
            first, last = before.from_us, max(last, before.to_us)
            merged.pop()
        merged.append(Affected(stream_key=stream_key, kind=kind, from_us=first, to_us=last))
    return merged


def _reach(boundary: Boundary, known: Boundaries, *, is_gone: bool) -> int:
    us = boundary.order[0]
    if boundary.kind == "run":
        return us + RUN_CAP
    if is_gone:
        return us + INVOCATION_CAP
    following = known.between(boundary.stream_key, "invocation", us + 1, us + INVOCATION_CAP)
    return following[0].order[0] if following else us + INVOCATION_CAP


def candidate_traces(late: Affected, agent_ids: Iterable[str], known: Boundaries) -> set[str]:
    """Return every trace in which a weak event of that stretch can sit now, and should perhaps not.

    ``agent_ids``: all that events of the stream carry. ``known`` holds what :func:`needed_around` asks for, from before
    the change and from after it. These are the last resort's traces of the stretch, and those of the windows that
    reach into it. A run cannot move what sits in an invocation, so its stretch leaves these out.

    The windows before the stretch are looked up in old and new boundaries at once. A new one can hide an old window
    from that look only if it lies before the stretch and reaches into it; then the two stretches overlap and are one.
    """
    key = late.stream_key
    quarters = range(late.from_us // QUARTER, late.to_us // QUARTER + 1)
    traces = {_stream_trace(key, quarter) for quarter in quarters}
    account = _account(key)
    traces.update(_agent_trace(account, agent, quarter) for agent in agent_ids for quarter in quarters)
    reaching = known.open_runs(key, (late.from_us,))
    reaching += known.between(key, "run", late.from_us, late.to_us)
    if late.kind == "invocation":
        nearest = known.last(key, "invocation", (late.from_us,))
        reaching += [nearest] if nearest is not None else []
        reaching += known.between(key, "invocation", late.from_us, late.to_us)
    traces.update(boundary.trace for boundary in reaching if boundary.trace)
    return traces
