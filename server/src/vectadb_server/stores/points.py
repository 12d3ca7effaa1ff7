"""A document as a point of Qdrant, embedded or remote: its id and payload."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from vectadb_server.stores.framing import mark_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vectadb_server.stores.base import Document

#: What a filter names exactly; and all that is indexed as keywords.
EXACT = ("agent_id", "session_id", "trace", "system", "log_group", "log_stream")
KEYWORDS = ("event_type", *EXACT)

_NATIVE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-79a-f][0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")


def point_id(event_id: str) -> str:
    """Return the engine's id of a document: a UUID. An event id of another form becomes a UUID of version 8."""
    if _NATIVE.fullmatch(event_id):
        return event_id
    digest = hashlib.sha256(event_id.encode()).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:32]}"


def payload(point: str, document: Document) -> dict[str, Any]:
    """Return what is kept of a document beside its vectors; ``id`` only where ``point`` does not say it."""
    kept: dict[str, Any] = {"us": document.us}
    for field in KEYWORDS:
        value = getattr(document, field)
        if value is not None:
            kept[field] = value
    if point != document.event_id:
        kept["id"] = document.event_id
    return kept


def marked(point: str, kept: Mapping[str, Any]) -> tuple[str, int]:
    """Return the event id of a point, and its mark; ``kept`` has at least ``us``, ``trace`` and ``id``."""
    event_id = str(kept.get("id", point))
    return event_id, mark_of(event_id, kept["us"], kept.get("trace"))
