"""What of an event can be searched for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_server import vocabulary as vocab
from vectadb_server.stores.base import Document

if TYPE_CHECKING:
    from vectadb_server.model import Event
    from vectadb_server.stores.rows import StoredEvent

#: Characters of a document: an embedding sees no more, and few words are further behind.
MAX_TEXT = 4_000


def document(stored: StoredEvent) -> Document:
    """Return the event as the search index sees it."""
    event = stored.event
    source = event.source
    return Document(
        event_id=event.event_id,
        day=stored.key[0],
        text=text_of(event),
        us=event.timestamp,
        event_type=event.event_type,
        agent_id=event.agent_id,
        session_id=event.session_id,
        trace=event.trace,
        log_group=source.log_group if source is not None else None,
        log_stream=source.log_stream if source is not None else None,
    )


def text_of(event: Event) -> str:
    """Return what people would look for: name, arguments, result, message (else the log text, uncoloured) and error."""
    kind = vocab.OPENS.get(event.event_type) or vocab.CLOSES.get(event.event_type)
    said: list[str] = []
    if kind is not None:
        said = [vocab.name(event, kind), vocab.as_text(vocab.given(event, kind))]
        said.append(vocab.as_text(vocab.returned(event, kind)))
    said.append(vocab.body(event))
    error = event.properties.get("error.type")
    if isinstance(error, str):
        said.append(error)
    return "\n".join(dict.fromkeys(part for part in said if part))[:MAX_TEXT].strip()
