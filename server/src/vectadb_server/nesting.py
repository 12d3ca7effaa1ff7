"""What is open in a log stream, as a stack: intervals nest by their place, and what has no id is found by it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from vectadb_server.model import Event, Kind
    from vectadb_server.places import Places

#: More levels than this above one that ends are taken to be inside it, which keeps each step cheap.
MANY = 200
_SIDE_BY_SIDE = 50
LEAVES = frozenset({"llm", "tool", "retrieval"})


@dataclass(slots=True, eq=False)
class Node:
    """One interval: the event that opens it, the one that closes it, and what happened in it but in no inner one.

    - ``opener``: the closing event, where nothing opened it;
    - ``finished``: an agent's final answer, for the agents whose end is never logged;
    - ``sealed``: what is around it ended before it did; its own end may still follow;
    - ``claimed``: it is an action whose call has been seen;
    - ``epoch``: which run of its stream it belongs to;
    - ``members``: its events in order, opener and closer among them.
    """

    kind: Kind
    name: str
    opener: Event
    parent: Node | None
    stream: Stream
    epoch: int
    call_id: str | None = None
    closer: Event | None = None
    finished: Event | None = None
    open: bool = True
    sealed: bool = False
    claimed: bool = False
    frame: Frame | None = None
    members: list[Event] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Frame:
    """One level of the stack: a container by itself, or calls opened together, side by side.

    ``broken``: something happened since, so that a further call is not one of them. ``agent``: the innermost here.
    ``base``: the level that ``parent`` is on. It need not be the one below, where a client states who is inside whom.
    """

    depth: int
    kind: Kind
    parent: Node | None
    base: Frame | None
    agent: Node | None
    waiting: deque[Node] = field(default_factory=deque)
    named: dict[str, deque[Node]] = field(default_factory=dict)
    broken: bool = False


@dataclass(slots=True, eq=False)
class Stream:
    """The stack of one log stream, and ways into it by kind and name.

    Queues are thinned out when they are read, not when something closes: each step stays cheap on average.
    """

    places: Places
    stack: list[Frame] = field(default_factory=list)
    levels: dict[Kind, list[Frame]] = field(default_factory=dict)
    named: dict[tuple[Kind, str], list[Node]] = field(default_factory=dict)
    paths: dict[tuple[str, ...], list[Node]] = field(default_factory=dict)
    late: dict[tuple[Kind, str | None], list[Node]] = field(default_factory=dict)
    ended: dict[tuple[Kind, str], Node] = field(default_factory=dict)
    actions: dict[str, deque[Node]] = field(default_factory=dict)
    invocation: Node | None = None
    epoch: int = 0
    crashed: bool = False

    def top(self) -> Frame | None:
        """Return the innermost level that has something open."""
        while self.stack:
            if _first_open(self.stack[-1].waiting) is not None:
                return self.stack[-1]
            self.stack.pop()
        return None

    def innermost(self) -> Node | None:
        """Return what is being done now: of calls side by side the first, since they are run in turn."""
        top = self.top()
        return top.waiting[0] if top is not None else None

    def push(self, node: Node, *, beside: Frame | None = None) -> None:
        """Open ``node``, on a level of its own or beside the calls of one."""
        top = self.top()
        frame = beside
        if frame is None:
            agent = node if node.kind == "agent" else top.agent if top is not None else None
            base = node.parent.frame if node.parent is not None else None
            frame = Frame(len(self.stack), node.kind, node.parent, base, agent)
            if top is not None:
                top.broken = True
            self.stack.append(frame)
            self.levels.setdefault(node.kind, []).append(frame)
        frame.waiting.append(node)
        frame.named.setdefault(node.name, deque()).append(node)
        self.named.setdefault((node.kind, node.name), []).append(node)
        node.frame = frame
        if node.kind == "tool":
            self.places.called(node)

    def make_agent(self, node: Node) -> None:
        """Take an open chain for the agent that it turns out to be."""
        frame = node.frame
        if frame is None or not node.open:
            return
        self.named["chain", node.name].remove(node)
        self.levels["chain"].remove(frame)
        node.kind = frame.kind = "agent"
        self.named.setdefault(("agent", node.name), []).append(node)
        self.levels.setdefault("agent", []).append(frame)
        for above in self.stack[frame.depth :]:
            if (
                above is frame
                or above.agent is None
                or above.agent.frame is None
                or above.agent.frame.depth < frame.depth
            ):
                above.agent = node

    def first_beside(self, node: Node) -> Node:
        """Return the first that is still open of the calls side by side with ``node``, or ``node``."""
        return (_first_open(node.frame.waiting) if node.frame is not None else None) or node

    def cut(self, depth: int) -> None:
        """Seal all that is open at ``depth`` and above it."""
        while len(self.stack) > depth:
            self._seal(self.stack.pop())

    def close(self, node: Node) -> None:
        """Close ``node``; what is open inside it is sealed, what runs beside it stays open."""
        frame = node.frame
        if node.open and frame is not None:
            above = self.stack[frame.depth + 1 :]
            if node.kind == "invocation" or len(above) > MANY:
                self.cut(frame.depth + 1)
            elif above:
                del self.stack[frame.depth + 1 :]
                self._seal_inside(node, above)
            frame.broken = True
        node.open = False

    def leave_finished(self) -> None:
        """Seal the agents that have given their final answer: what starts now is not theirs."""
        while (top := self.top()) is not None and top.kind == "agent" and top.waiting[0].finished is not None:
            self.cut(top.depth)

    def leave_models(self) -> None:
        """Seal the model calls on top: the model's reply has been acted upon."""
        while (top := self.top()) is not None and top.kind == "llm":
            self.cut(top.depth)

    def latest(self, kind: Kind, name: str) -> Node | None:
        """Return the latest open node of that name."""
        nodes = self.named.get((kind, name), [])
        while nodes and not nodes[-1].open:
            nodes.pop()
        return nodes[-1] if nodes else None

    def level(self, kind: Kind) -> Frame | None:
        """Return the innermost level of that kind that has something open."""
        frames = self.levels.get(kind, [])
        while frames and _first_open(frames[-1].waiting) is None:
            frames.pop()
        return frames[-1] if frames else None

    def missed(self, kind: Kind, name: str | None) -> Node | None:
        """Return the latest sealed node, of that name if one is given, whose own end has not been seen."""
        nodes = self.late.get((kind, name), [])
        while nodes and nodes[-1].closer is not None:
            nodes.pop()
        return nodes[-1] if nodes else None

    def announced(self, name: str, fits: Callable[[Node], bool]) -> Node | None:
        """Return the open action of that name whose call has not been seen: the first that fits, else the first."""
        nodes = self.actions.get(name, deque())
        while nodes and (nodes[0].claimed or not nodes[0].open):
            nodes.popleft()
        waiting = (node for node in islice(nodes, _SIDE_BY_SIDE) if node.open and not node.claimed)
        return next((node for node in waiting if fits(node)), nodes[0] if nodes else None)

    def call_waiting(self, kind: Kind, name: str, fits: Callable[[Node], bool] | None = None) -> Node | None:
        """Return the call that a result without an id belongs to: on the innermost level, the first still open.

        A result without a name fits any call; one with a name fits the calls of that name and, of tools, those without.
        Of calls of one name side by side the first that ``fits`` is taken, if one does.
        """
        if name and (node := self._first_named(kind, name)) is not None:
            if fits is not None and node.frame is not None:
                beside = (other for other in islice(node.frame.named[name], _SIDE_BY_SIDE) if other.open)
                return next((other for other in beside if fits(other)), node)
            return node
        if name and kind == "tool":
            return self._first_named(kind, "") or self.missed(kind, name)
        frame = self.level(kind)
        return frame.waiting[0] if frame is not None else self.missed(kind, name or None) or self.missed(kind, None)

    def call_at(self, place: int) -> Node | None:
        """Return the call that a result without id and name belongs to, whose tool has that place in its agent's list.

        Calls that wait on the innermost level come first, then those around it that run side by side: of a call by
        itself there, what is open inside it has to end before.
        """
        waiting: list[Node] = []
        for frame in islice(reversed(self.levels.get("tool", [])), _SIDE_BY_SIDE):
            beside = [node for node in islice(frame.waiting, _SIDE_BY_SIDE) if node.open]
            if not waiting or len(beside) > 1:
                waiting += beside
        return self.places.choose(waiting, place) if waiting else self.missed("tool", None)

    def container_ending(self, kind: Kind, name: str) -> Node | None:
        """Return the agent or chain that an end without an id belongs to.

        Consoles print the same line at the end of both, without a name: then it is the innermost of either kind.
        """
        other: Kind = "chain" if kind == "agent" else "agent"
        if name:
            known = self.latest(kind, name) or self.latest(other, name) or self.missed(kind, name)
            again = self.ended.get((kind, name))
            if known is not None or (again is not None and again.epoch == self.epoch):
                return known or again
            frame = self.level(kind)
            return frame.waiting[0] if frame is not None else None
        frames = [frame for frame in (self.level(kind), self.level(other)) if frame is not None]
        if frames:
            return max(frames, key=lambda frame: frame.depth).waiting[0]
        return self.missed(kind, None) or self.missed(other, None)

    def _seal(self, frame: Frame) -> None:
        for node in frame.waiting:
            if node.open:
                node.open, node.sealed = False, True
                self.late.setdefault((node.kind, node.name), []).append(node)
                self.late.setdefault((node.kind, None), []).append(node)

    def _seal_inside(self, node: Node, frames: list[Frame]) -> None:
        """Seal those of the frames that are inside ``node``, and put the others back."""
        inside: set[int] = set()
        for frame in frames:
            if frame.parent is node or id(frame.base) in inside:
                inside.add(id(frame))
                self._seal(frame)
            else:
                frame.depth = len(self.stack)
                self.stack.append(frame)

    def at(self, path: Sequence[str]) -> Node | None:
        """Return the latest open node of that path; a tool that was opened without one is found by its name."""
        nodes = self.paths.get(tuple(path), [])
        while nodes and not nodes[-1].open:
            nodes.pop()
        if nodes:
            return nodes[-1]
        return self._first_named("tool", path[-1][5:]) if path and path[-1].startswith("tool:") else None

    def _first_named(self, kind: Kind, name: str) -> Node | None:
        last = self.latest(kind, name)
        return _first_open(last.frame.named[name]) if last is not None and last.frame is not None else None


def _first_open(nodes: deque[Node]) -> Node | None:
    while nodes and not nodes[0].open:
        nodes.popleft()
    return nodes[0] if nodes else None
