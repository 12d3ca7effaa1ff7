"""What of an event can be searched for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vectadb_server import vocabulary as vocab
from vectadb_server.stores.base import Document
from vectadb_server.words import clip

if TYPE_CHECKING:
    from vectadb_server.model import Event
    from vectadb_server.stores.rows import StoredEvent

#: Characters of a document, its first and its last, where a traceback names the error: few words stand between.
HEAD, TAIL = 3_000, 1_000
#: Characters of what else is found by its words. A value of so many that stands in the text is not said again.
REST, LONG = 1_000, 20


def document(stored: StoredEvent) -> Document:
    """Return the event as the search index sees it."""
    event = stored.event
    source = event.source
    text = text_of(event)
    return Document(
        event_id=event.event_id,
        day=stored.key[0],
        text=text,
        about=_ABOUT.get(event.event_type, ""),
        rest=_rest(event.properties, text),
        us=event.timestamp,
        event_type=event.event_type,
        agent_id=event.agent_id,
        session_id=event.session_id,
        trace=event.trace,
        system=source.system if source is not None else None,
        log_group=source.log_group if source is not None else None,
        log_stream=source.log_stream if source is not None else None,
    )


#: What an event is, so that a question in plain words finds it by meaning.
_ABOUT = {
    "tool_call": "the agent called the tool to look up or do",
    "tool_result": "the tool returned",
    "agent_action": "the agent did",
    "agent_thought": "the agent thought",
    "agent_finish": "the agent's final answer",
    "query": "the user asked",
    "error": "failed with an error",
}
#: Frames of a run: their log text is the framework's own, the same in every run.
_FRAMES = frozenset({"invocation", "agent", "chain"})


def text_of(event: Event) -> str:
    """Return what people would look for: name, arguments, result, message (else the log text, uncoloured) and error.

    It is empty for an event that only frames a run and says nothing of its own: such would stand before all answers.
    """
    kind = vocab.OPENS.get(event.event_type) or vocab.CLOSES.get(event.event_type)
    said: list[str] = []
    if kind is not None:
        said = [vocab.as_text(vocab.given(event, kind)), vocab.as_text(vocab.returned(event, kind))]
        if any(said) or kind not in _FRAMES:
            said.insert(0, vocab.name(event, kind))
    if not any(said):
        said.append(vocab.message(event) if kind in _FRAMES else vocab.body(event))
    error = event.properties.get("error.type")
    if isinstance(error, str):
        said.insert(0, error)
    return clip("\n".join(dict.fromkeys(part for part in said if part)), HEAD, TAIL).strip()


def _rest(properties: dict[str, Any], text: str) -> str:
    """Return the texts and whole numbers in the properties, at any depth: order numbers, names of hosts."""
    found: dict[str, None] = {}
    size = 0
    left: list[Any] = [properties]
    while left and size < REST:
        value = left.pop()
        if isinstance(value, dict):
            left += reversed(value.values())
        elif isinstance(value, list):
            left += reversed(value)
        elif isinstance(value, str | int) and not isinstance(value, bool):
            said = str(value)
            if said not in found and (len(said) < LONG or said not in text):
                found[said] = None
                size += len(said) + 1
    return "\n".join(found)[:REST]
