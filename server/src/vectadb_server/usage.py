"""How many tokens a trace used, each counted once.

The same usage is often told several times: by the model call, by the message that holds its reply, and as a sum by the
agent around them. So a sum never adds what encloses to what it encloses: it takes the larger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_server import vocabulary as vocab
from vectadb_server.model import Tokens
from vectadb_server.outcome import outermost_first

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectadb_server.model import Event
    from vectadb_server.nesting import Node
    from vectadb_server.pairing import Pairing


def of_node(node: Node) -> Tokens:
    """Tokens as the span's own end or start tells them, else as the messages in it do."""
    told = Tokens()
    messages = []
    for event in node.members:
        if event.event_type == "tool_call":
            continue  # what it may carry is the usage of the model call that asked for it
        if event.event_type in vocab.OPENS or event.event_type in vocab.CLOSES:
            usage = vocab.usage(event)
            told = Tokens(_or(usage.input, told.input), _or(usage.output, told.output))
        else:
            messages.append(event)
    said = _of_messages(messages)
    return Tokens(_or(told.input, said.input), _or(told.output, said.output))


def of_trace(found: Pairing, own: dict[Node, Tokens]) -> Tokens:
    """Tokens of the whole trace, from those that each node tells of itself."""
    inside: dict[Node | None, Tokens] = {}
    for node in reversed(list(outermost_first(found))):
        total = _larger(own[node], inside.get(node, Tokens()))
        inside[node.parent] = plus(inside.get(node.parent, Tokens()), total)
    outside = [event for event in found.events if event.event_id not in found.of]
    return _larger(_of_messages(outside), inside.get(None, Tokens()))


def _of_messages(events: Iterable[Event]) -> Tokens:
    seen: set[tuple[object, ...]] = set()
    total = Tokens()
    for event in events:
        usage = vocab.usage(event)
        if usage.input is None and usage.output is None:
            continue
        # One reply may be printed several times, under the id that the model's service gave it.
        key = vocab.response_id(event) or (usage.input, usage.output, vocab.body(event))
        if (key,) not in seen:
            seen.add((key,))
            total = plus(total, usage)
    return total


def plus(a: Tokens, b: Tokens) -> Tokens:
    """Add them up; unknown is only what is so in both."""
    return Tokens(_plus(a.input, b.input), _plus(a.output, b.output))


def _larger(a: Tokens, b: Tokens) -> Tokens:
    return Tokens(_max(a.input, b.input), _max(a.output, b.output))


def _max(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else max(a, b)


def _plus(a: int | None, b: int | None) -> int | None:
    return b if a is None else a if b is None else a + b


def _or(a: int | None, b: int | None) -> int | None:
    return b if a is None else a
