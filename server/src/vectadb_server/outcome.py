"""How each interval of a trace came out, and the trace: ok, error, running or interrupted.

What decides is the last word. A tool that fails is in error, but the agent that goes on afterwards is not; a run whose
last word is an error has failed, whether its end was logged or not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from vectadb_server import vocabulary as vocab
from vectadb_server.nesting import LEAVES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vectadb_server.model import SpanStatus
    from vectadb_server.nesting import Node
    from vectadb_server.pairing import Pairing
    from vectadb_server.vocabulary import Failure

#: How long after its last event a trace that is not closed counts as running, microseconds.
RUNNING_FOR = 15 * 60 * 1_000_000

#: Events that show a run going on. Lambda prints END after a crash as well, so that says nothing.
_PROGRESS = frozenset(
    {*vocab.OPENS, *vocab.CLOSES, "agent_action", "agent_thought", "agent_finish", "query", "retrieval", "message"}
) - {"invocation_start", "invocation_end"}


@dataclass(slots=True)
class _State:
    """Of an interval and all inside it: where in the trace the last failure is, and the last sign of going on.

    ``own`` and ``bad_end`` are of the interval alone. ``passed_on``: what went wrong came from inside.
    """

    seen: int
    failure: Failure | None = None
    failed_at: int = -1
    progress_at: int = -1
    own: list[Failure] = field(default_factory=list)
    passed_on: bool = False
    bad_end: Failure | None = None

    @property
    def ends_badly(self) -> bool:
        return self.failed_at > self.progress_at


class Outcomes:
    """The outcomes of one trace.

    ``status`` and ``last_seen`` (time of the last event inside, microseconds) are by node; ``first_error`` is its text.
    ``errors`` counts what went wrong: a call once, however many lines tell of it, and an error that is passed on once.
    """

    def __init__(self, found: Pairing, *, now: int) -> None:
        self.recent = now - max(event.timestamp for event in found.events) < RUNNING_FOR
        self.status: dict[Node, SpanStatus] = {}
        self.first_error: str | None = None
        self._found = found
        self._state = {node: _State(node.opener.timestamp) for node in found.nodes}
        self._outside = _State(0)
        self._failed: set[Node] = set()
        outer: list[Failure] = []
        for at, event in enumerate(found.events):
            node = found.of.get(event.event_id)
            state = self._state[node] if node is not None else self._outside
            state.seen = max(state.seen, event.timestamp)
            failure = vocab.failure(event)
            if failure is None:
                if event.event_type in _PROGRESS:
                    state.progress_at = at
                continue
            if vocab.is_report(event) and state.own:
                continue  # it repeats, without details, what has been logged as an error before
            self.first_error = self.first_error or failure.text
            state.own.append(failure)
            state.failed_at, state.failure = at, failure
            if event.event_type in vocab.CLOSES or (vocab.is_report(event) and node is not None):
                state.bad_end = failure
            if node is None or node.kind not in LEAVES:
                outer.append(failure)
        order = list(outermost_first(found))
        for node in reversed(order):
            if node.parent is not None:
                _pass_on(self._state[node], self._state[node.parent])
        self.errors = self._count(outer)
        over: set[Node] = set()
        for node in order:
            if node.closer is not None or node.sealed or not self.recent or node.parent in over:
                over.add(node)
            self.status[node] = self._judge(node, over=node in over)
            if node in self._failed:
                over.add(node)
        self.last_seen = {node: state.seen for node, state in self._state.items()}

    def error(self, node: Node) -> str | None:
        """What went wrong, in words, if the node's status is error."""
        if self.status[node] != "error":
            return None
        state = self._state[node]
        failure = state.bad_end or (state.own[0] if state.own else state.failure)
        return failure.text if failure is not None else None

    def trace_status(self) -> SpanStatus:
        """Return how the whole came out: that of its runs, or of its last word where no run is around it."""
        roots = [node for node in self._found.nodes if node.parent is None]
        if any(self.status[node] == "running" for node in roots):
            return "running"
        runs = [node for node in roots if node.kind not in LEAVES]
        forgiven = self._retried(runs)
        if self._failed.intersection(runs) - forgiven or self._ends_badly_outside(roots):
            return "error"
        if any(self.status[node] == "interrupted" for node in roots if node not in forgiven):
            return "interrupted"
        return "ok"

    def _judge(self, node: Node, *, over: bool) -> SpanStatus:
        state = self._state[node]
        hard = state.failure is not None and state.failure.hard
        ended = node.closer is not None
        if node.kind in LEAVES:
            failed = bool(state.own) and (over or any(failure.hard for failure in state.own))
        elif ended:
            failed = state.bad_end is not None or (node.kind == "invocation" and hard and state.ends_badly)
        else:
            failed = state.ends_badly and (hard or over)
        if failed:
            self._failed.add(node)
        if failed or (over and state.own):
            return "error"
        if ended or node.finished is not None:
            return "error" if state.own else "ok"
        return "interrupted" if over else "running"

    def _retried(self, runs: list[Node]) -> set[Node]:
        """The runs that went wrong and were done again with success: as the same request, or asked for the same."""
        forgiven: set[Node] = set()
        done: set[tuple[str, str, str]] = set()
        for node in reversed(runs):
            given = vocab.as_text(vocab.given(node.opener, node.kind))
            same = node.opener.request_id if node.kind == "invocation" else given
            if not same:
                continue
            key = (node.kind, node.name, same)
            if node in self._failed or self.status[node] == "interrupted":
                if key in done:
                    forgiven.add(node)
            else:
                done.add(key)
        return forgiven

    def _ends_badly_outside(self, roots: list[Node]) -> bool:
        outside = self._outside
        failed_at = outside.failed_at if outside.failure is not None and (outside.failure.hard or not roots) else -1
        failed_at = max([failed_at, *(self._state[node].failed_at for node in roots if node.kind in LEAVES)])
        return failed_at > max([outside.progress_at, *(self._state[node].progress_at for node in roots)])

    def _count(self, outer: list[Failure]) -> int:
        calls = [state for node, state in self._state.items() if node.kind in LEAVES and state.own]
        first = [state for state in calls if not state.passed_on]
        told = {_gist(failure) for state in first for failure in state.own}
        return len(first) + len({_gist(failure) for failure in outer} - told)


def outermost_first(found: Pairing) -> Iterator[Node]:
    """Every node after its parent."""
    inside: dict[Node | None, list[Node]] = {}
    for node in found.nodes:
        inside.setdefault(node.parent, []).append(node)
    todo = list(reversed(inside.get(None, [])))
    while todo:
        node = todo.pop()
        yield node
        todo.extend(reversed(inside.get(node, [])))


def _pass_on(inner: _State, outer: _State) -> None:
    if inner.failure is not None and outer.own and _gist(inner.failure) == _gist(outer.own[0]):
        outer.passed_on = True
    outer.seen = max(outer.seen, inner.seen)
    outer.progress_at = max(outer.progress_at, inner.progress_at)
    if inner.failed_at > outer.failed_at:
        outer.failed_at, outer.failure = inner.failed_at, inner.failure


def _gist(failure: Failure) -> str:
    # The type in front comes and goes as an error is passed on.
    return failure.text.partition(": ")[2] or failure.text
