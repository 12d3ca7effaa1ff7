"""Stable identities: of events, from where they were logged; of traces, from the key that makes them one.

Both are UUIDv5, so that agents and servers agree without asking each other. ``tests/contract`` holds vectors that the
agent and the server are both checked against.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
import uuid
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Namespace of event ids; the agent's is the same.
EVENTS = bytes.fromhex("6f1d2a5c8c0b5c57a3de5b0d64f6b1a4")
#: Namespace of trace ids.
TRACES = bytes.fromhex("b7b9f0c25d0e5f3c9a4b1c7e02d8a6f3")

#: Two bits of a UUID say that it is one of RFC 9562.
_VARIANT = {f"{digit:x}": f"{digit & 3 | 8:x}" for digit in range(16)}

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)


def read_uuid(text: str) -> str | None:
    """Return the UUID, in its usual spelling, that a client wrote with or without hyphens; ``None``: it is none.

    >>> read_uuid("0C8C1B3E3F0A5F7E8D530D6F3C0F4A11")
    '0c8c1b3e-3f0a-5f7e-8d53-0d6f3c0f4a11'
    """
    return str(uuid.UUID(text)) if _UUID.fullmatch(text) else None


def uuid5(namespace: bytes, parts: Sequence[str]) -> str:
    """UUIDv5 of the compact UTF-8 JSON array of ``parts``, as text."""
    text = hashlib.sha1(namespace + msgspec.json.encode(parts), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:32]}"


def uuid7() -> str:
    """Return a new time-ordered UUID (RFC 9562, version 7), as text."""
    text = (int(time.time() * 1000).to_bytes(6, "big") + os.urandom(10)).hex()
    return f"{text[:8]}-{text[8:12]}-7{text[13:16]}-{_VARIANT[text[16]]}{text[17:20]}-{text[20:]}"


def record_hash(event_id: str) -> int:
    """One record's share of a digest: the first 128 bits of the SHA-256 of its id, as an unsigned integer."""
    return int.from_bytes(hashlib.sha256(event_id.encode()).digest()[:16], "big")
