"""Which events of a trace open, close and belong to which interval: the skeleton that spans are made of.

Within a log stream intervals nest, and what has no id is matched by its place. Ids that a client gives (a tool call's,
a span's, a parent event's) are stronger than place, and hold across streams.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vectadb_server import vocabulary as vocab
from vectadb_server.nesting import LEAVES, Node, Stream
from vectadb_server.places import Places

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectadb_server.model import Event, Kind

#: Events of one time that no stream puts in order nest: what opens a wide interval goes first, what closes it last.
_WIDTH = {
    "invocation_start": -3,
    "agent_start": -2,
    "chain_start": -1,
    "chain_end": 1,
    "agent_end": 2,
    "invocation_end": 3,
}


@dataclass(slots=True, eq=False)
class Pairing:
    """The events of a trace in order, each once; its intervals in the order they were met; which event is in which."""

    events: list[Event]
    nodes: list[Node] = field(default_factory=list)
    of: dict[str, Node] = field(default_factory=dict)


def pair(events: Sequence[Event]) -> Pairing:
    """Find the intervals. The result depends on the set of events alone; time is linear but for the sorting."""
    ordered = in_order(events)
    walk = _Walk(ordered, Places())
    if walk.places.guessed and walk.places.known:  # what a later pair has told decides one before it
        walk = _Walk(ordered, Places(walk.places.known))
    walk.settle()
    return walk.found


def in_order(events: Sequence[Event]) -> list[Event]:
    """Each event once, in the order of its stream; streams are merged by time."""
    unique: dict[str, Event] = {}
    for event in events:
        known = unique.setdefault(event.event_id, event)
        if known is not event and known != event and repr(event) < repr(known):
            unique[event.event_id] = event
    return sorted(unique.values(), key=_place)


def _place(event: Event) -> tuple[int, int, str, int, str, list[tuple[int, str]], int, str]:
    # Event.order, made total across streams and told that 10 comes after 9.
    at, ingested, log_id, part = event.order
    if event.source is None:
        return (at, 0, "", 0, "", [], _WIDTH.get(event.event_type, 0), event.event_id)
    numbers = [(len(number), number) for number in part.split(".")]
    return (at, ingested, event.source.stream_key(), len(log_id), log_id, numbers, 0, event.event_id)


def _own_span_ids(events: Sequence[Event]) -> frozenset[str]:
    # Tracing libraries stamp every line with the id of the span around it: such an id names no interval of ours. One
    # that at most one event opens, and one of the same kind closes, does.
    seen: dict[str, tuple[set[str], int, int]] = {}
    for event in events:
        type_ = event.event_type
        opens = type_ in vocab.OPENS or type_ == "retrieval"
        if not opens and type_ not in vocab.CLOSES:
            continue
        span = vocab.span_id(event)
        if span is None:
            continue
        kind = vocab.OPENS.get(type_) or vocab.CLOSES.get(type_, "retrieval")
        kinds, starts, ends = seen.get(span, (set(), 0, 0))
        kinds.add("agent" if kind == "chain" else kind)
        seen[span] = (kinds, starts + opens, ends + (not opens))
    return frozenset(s for s, (kinds, starts, ends) in seen.items() if len(kinds) == 1 and starts <= 1 and ends <= 1)


class _Walk:
    """One pass over the events in order."""

    def __init__(self, events: list[Event], places: Places) -> None:
        self.found = Pairing(events)
        self.places = places
        self._own_ids = _own_span_ids(events)
        self._spans: dict[str, Node] = {}
        self._calls: dict[str, Node] = {}
        self._streams: dict[str, Stream] = {}
        for event in events:
            self._step(event)

    def _step(self, event: Event) -> None:
        """Put one event in its place."""
        stream = self._streams.setdefault(event.source.stream_key() if event.source else "", Stream(self.places))
        type_ = event.event_type
        if type_ == "tool_call" or (type_ == "agent_action" and vocab.name(event, "tool")):
            self._call(stream, event)
        elif type_ in vocab.OPENS:
            self._start(stream, event, vocab.OPENS[type_])
        elif type_ in vocab.CLOSES:
            self._end(stream, event, vocab.CLOSES[type_])
        elif type_ == "retrieval":
            self._point(stream, event, "retrieval")
        elif type_ == "agent_finish":
            self._finish(stream, event)
        else:
            self._inside(stream, event)
        if type_ not in ("log", "message"):
            stream.crashed = type_ == "error"

    def settle(self) -> None:
        """Let the ids that clients gave overrule the nesting, break what circles that makes, and gather the members."""
        for event in self.found.events:
            # What a span is about may be logged before the span itself.
            named = self._span_of(event)
            if named is not None and event.event_type not in vocab.OPENS and event.event_type not in vocab.CLOSES:
                own = self.found.of.get(event.event_id)
                if own is None or own.opener is not event:
                    self.found.of[event.event_id] = named
        for event in self.found.events:
            if (node := self.found.of.get(event.event_id)) is not None:
                node.members.append(event)
        for node in self.found.nodes:
            above = self._stated_parent(node)
            if above is not None and above is not node:
                node.parent = above
        _break_circles(self.found.nodes)

    def _stated_parent(self, node: Node) -> Node | None:
        opener = node.opener
        for event in (opener, node.closer or opener):
            span = vocab.parent_span_id(event) if self._spans else None
            if span is not None and span in self._spans:
                return self._spans[span]
        if opener.parent_event_id is not None and (above := self.found.of.get(opener.parent_event_id)) is not None:
            # What a model's reply or a tool's result leads to comes after it, not inside it.
            after = above.kind == "tool" and above.opener.event_id != opener.parent_event_id
            return above.parent if after or above.kind in ("llm", "retrieval") else above
        around = self._span_of(opener)
        return around if around is not node else None

    def _span_of(self, event: Event) -> Node | None:
        if not self._spans:
            return None
        span = vocab.span_id(event)
        return self._spans.get(span) if span is not None else None

    def _named_by(self, stream: Stream, event: Event) -> Node | None:
        id_ = vocab.call_id(event)
        node = self._calls.get(id_) if id_ is not None else None
        node = node or self._span_of(event)
        if node is None and event.parent_event_id is not None:
            node = self.found.of.get(event.parent_event_id)
        if node is None and (path := vocab.path(event)):
            node = stream.at(path)
        return node

    def _open_parent(self, stream: Stream, event: Event) -> Node | None:
        """Return the open interval of the stream that the event itself says it is inside of."""
        span = vocab.parent_span_id(event) if self._spans else None
        if span is not None and (node := self._spans.get(span)) is not None and node.open and node.stream is stream:
            return node
        path = vocab.path(event)
        by_model = bool(path) and path[-1].startswith("llm:") and event.event_type == "tool_call"
        for end in range(len(path) - 1, 0, -1):
            node = stream.at(path[:end])
            # A call that a model's reply tells of is run by the agent, once the chain around the model has ended.
            if node is not None and (node.kind == "agent" or not by_model):
                return node
        return None

    def _new(self, stream: Stream, event: Event, kind: Kind, parent: Node | None) -> Node:
        if parent is None:
            stream.epoch += 1
        node = Node(kind, vocab.name(event, kind), event, parent, stream, stream.epoch)
        self.found.nodes.append(node)
        self.found.of[event.event_id] = node
        span = vocab.span_id(event) if self._own_ids else None
        if span is not None and span in self._own_ids:
            self._spans[span] = node
        if kind == "tool" and (id_ := vocab.call_id(event)) is not None:
            node.call_id = id_
            self._calls[id_] = node
        return node

    def _adopt(self, node: Node, event: Event) -> None:
        """Take the event as the opening of an interval whose end came first."""
        self.found.of[event.event_id] = node
        node.opener = event
        node.name = vocab.name(event, node.kind) or node.name
        node.parent = node.parent or node.stream.innermost()

    def _start(self, stream: Stream, event: Event, kind: Kind) -> None:
        early = self._span_of(event)
        if early is not None and early.opener is early.closer:
            self._adopt(early, event)
            return
        if kind == "invocation":
            stream.cut(0)
            stream.late.clear()
        elif kind == "agent" and stream.crashed and stream.latest(kind, vocab.name(event, kind)) is not None:
            # A program that printed an error and starts the same agent anew is past the run that failed.
            stream.cut(1 if stream.stack[0].kind == "invocation" else 0)
        if kind != "chain":
            stream.leave_finished()
        if kind == "agent" and vocab.resumes(event) and self._goes_on(stream, event):
            return
        top = stream.top()
        in_model = top is not None and top.kind == "llm"
        parent = self._open_parent(stream, event) or (
            top.parent if top is not None and in_model else stream.innermost()
        )
        if parent is not None and parent.kind == "chain" and vocab.is_agents_step(event):
            stream.make_agent(parent)
        node = self._new(stream, event, kind, parent)
        beside = top if top is not None and in_model and kind == "llm" and top.parent is parent else None
        stream.push(node, beside=beside if beside is not None and not beside.broken else None)
        if path := vocab.path(event):
            stream.paths.setdefault(tuple(path), []).append(node)
        if kind == "invocation":
            stream.invocation = node

    def _goes_on(self, stream: Stream, event: Event) -> bool:
        """Take a sign of life of an agent that runs: the agents inside it have ended.

        Of one that does not, it is the start: inside a tool that is being called, else in place of the agent before.
        """
        running = stream.latest("agent", vocab.name(event, "agent"))
        level = stream.level("agent")
        if running is not None and running.frame is not None:
            if level is not running.frame:
                stream.cut(running.frame.depth + 1)
            self.found.of[event.event_id] = running
            return True
        tools = stream.level("tool")
        if level is not None and (tools is None or tools.depth < level.depth):
            stream.cut(level.depth)
        return False

    def _call(self, stream: Stream, event: Event) -> None:
        id_ = vocab.call_id(event)
        known = self._calls.get(id_) if id_ is not None else self._span_of(event)
        if known is None and event.event_type == "tool_call":
            known = stream.announced(vocab.name(event, "tool"), _given_like(event))
        if known is not None and known.kind == "tool" and _same_call(stream, known, event):
            if known.opener is known.closer and known.opener.event_type == "tool_result":
                self._adopt(known, event)
            self.found.of[event.event_id] = known
            known.claimed = True
            if id_ is not None:
                known.call_id = id_
                self._calls[id_] = known
            return
        stream.leave_finished()
        stream.leave_models()
        top = stream.top()
        beside = top if top is not None and top.kind == "tool" else None
        stated = self._open_parent(stream, event)
        if beside is not None and stated is not None and stated is not beside.parent:
            beside = None
        node = self._new(stream, event, "tool", stated or (beside.parent if beside is not None else stream.innermost()))
        if event.event_type == "tool_call" and vocab.returned(event, "tool") is not None:
            node.closer, node.open = event, False
            return
        stream.push(node, beside=beside if beside is not None and not beside.broken else None)
        if (path := vocab.path(event)) and path[-1].startswith("tool:"):
            stream.paths.setdefault(tuple(path), []).append(node)
        if event.event_type == "agent_action":
            stream.actions.setdefault(node.name, deque()).append(node)

    def _point(self, stream: Stream, event: Event, kind: Kind) -> None:
        """Open and close an interval with one event."""
        top = stream.top()
        parent = stream.innermost()
        if parent is not None and (parent.kind == "llm" or (parent.kind == "tool" and kind == "tool")):
            parent = parent.parent
        if top is not None and kind != "retrieval":
            top.broken = True
        node = self._new(stream, event, kind, parent)
        node.closer, node.open = event, False

    def _end(self, stream: Stream, event: Event, kind: Kind) -> None:
        node = self._ended(stream, event, kind)
        if node is None:
            if kind == "invocation":
                stream.cut(0)
            if kind == "tool" and not vocab.name(event, kind) and vocab.tool_place(event) is not None:
                self._inside(stream, event)  # no call waits: a chain printed it, as LangChain's do, in such a colour
            else:
                self._point(stream, event, kind)
            return
        self.found.of[event.event_id] = node
        if node.closer is None:
            node.closer = event
            node.stream.close(node)
            node.stream.ended[node.kind, node.name] = node

    def _ended(self, stream: Stream, event: Event, kind: Kind) -> Node | None:
        """Return the interval that the event closes, or whose end it repeats."""
        id_ = vocab.call_id(event) if kind == "tool" else None
        if id_ is not None and id_ in self._calls:
            known = self._calls[id_]
            if known.stream is stream or known.closer is None:
                return known
        containers = ("agent", "chain")
        named = self._span_of(event)
        if named is None and event.parent_event_id is not None:
            named = self.found.of.get(event.parent_event_id)
            if named is not None and (named.closer is not None or named.opener.event_id != event.parent_event_id):
                named = None
        if named is not None and (named.kind == kind or (named.kind in containers and kind in containers)):
            return named
        if self._own_ids and vocab.span_id(event) in self._own_ids:
            return None
        if kind == "invocation":
            last = stream.invocation
            ids = {event.request_id, last.opener.request_id} - {None} if last is not None else ()
            return last if len(ids) < 2 else None
        name = vocab.name(event, kind)
        if kind != "tool" and (path := vocab.path(event)) and (at := stream.at(path)) is not None:
            if at.kind == kind == "llm":
                return stream.first_beside(at)
            if at.kind in containers and kind in containers:
                return at
        if kind in containers:
            return stream.container_ending(kind, name)
        if kind == "tool" and vocab.is_alone(event):
            return None
        if kind == "tool" and not name and (place := vocab.tool_place(event)) is not None:
            return stream.call_at(place)
        told = kind == "tool" and vocab.given(event, "tool") is not None
        node = stream.call_waiting(kind, name, _given_like(event) if told else None)
        return None if node is not None and id_ is not None and node.call_id is not None else node

    def _finish(self, stream: Stream, event: Event) -> None:
        stream.leave_models()
        top = stream.top()
        node = self._named_by(stream, event) or (top.agent if top is not None else None) or stream.innermost()
        if node is not None:
            if node.kind == "agent":
                node.finished = event
            self.found.of[event.event_id] = node

    def _inside(self, stream: Stream, event: Event) -> None:
        node = self._named_by(stream, event) or stream.innermost()
        last = stream.invocation
        if node is None and last is not None and event.request_id is not None:
            # Lambda reports what an invocation took, and that it timed out, after its end.
            told = event.event_type == "error" or vocab.is_report(event)
            node = last if told and event.request_id == last.opener.request_id else None
        if node is None:
            return
        self.found.of[event.event_id] = node
        if event.event_type == "error" and node.frame is not None and node.kind in LEAVES:
            # A call that failed is over in most formats: the next one is not its neighbour.
            node.frame.broken = True


def _same_call(stream: Stream, known: Node, event: Event) -> bool:
    # Frameworks print one call several times; and scripted or careless models give calls of two runs the same id.
    name = vocab.name(event, "tool")
    if known.name and name and known.name != name:
        return False
    if known.stream is not stream:
        return known.open or known.opener.event_type == "tool_result"
    if known.epoch != stream.epoch and not known.open:
        return False
    before, now = (vocab.parsed(vocab.given(e, "tool")) for e in (known.opener, event))
    return before is None or now is None or known.opener.event_type != "tool_call" or bool(before == now)


def _given_like(event: Event) -> Callable[[Node], bool]:
    """Whether a call was given what ``event`` tells of its arguments."""
    given = vocab.parsed(vocab.given(event, "tool"))
    return lambda node: bool(vocab.parsed(vocab.given(node.opener, "tool")) == given)


def _break_circles(nodes: Sequence[Node]) -> None:
    done: set[int] = set()
    for node in nodes:
        path: set[int] = set()
        at: Node | None = node
        while at is not None and id(at) not in done:
            path.add(id(at))
            done.add(id(at))
            if at.parent is not None and id(at.parent) in path:
                at.parent = None
            at = at.parent
