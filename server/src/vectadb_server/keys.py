"""API keys: what they look like, what they allow, and what is kept of them.

A key is ``vdb_<id>_<secret>``. The id (12 characters) finds its row and may be shown; the secret has 190 bits. Only the
SHA-256 of the whole is kept: it cannot be guessed, so that a slow hash would protect nothing. The first key may be of
the operator's own making (``VECTADB_BOOTSTRAP_KEY``), and has an id that follows from its hash.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import string
from typing import Literal, get_args

import msgspec

Scope = Literal["ingest", "read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_ID_LETTERS = string.ascii_lowercase + string.digits
_SECRET_LETTERS = string.ascii_letters + string.digits
_ID_LENGTH, _SECRET_LENGTH = 12, 32
_ID = re.compile(rf"[a-z0-9]{{{_ID_LENGTH}}}")
_KEY = re.compile(rf"vdb_([a-z0-9]{{{_ID_LENGTH}}})_[A-Za-z0-9]{{{_SECRET_LENGTH}}}")
#: Finds keys, and beginnings of keys, in other text.
IN_TEXT = re.compile(rf"vdb_([a-z0-9]{{{_ID_LENGTH}}})_[A-Za-z0-9]+")

LEAST_LENGTH = 24
MOST_LENGTH = 512
_LEAST_VARIETY = 8


class Key(msgspec.Struct, kw_only=True, frozen=True):
    """What is kept of a key. Times are microseconds; ``digest`` is the hexadecimal SHA-256 of the key."""

    id: str
    name: str
    scopes: tuple[Scope, ...]
    digest: str
    created: int
    expires: int | None = None
    revoked: int | None = None
    used: int | None = None
    max_requests_per_second: float | None = None
    max_events_per_second: float | None = None

    def allows(self, scope: Scope) -> bool:
        """Whether it may be used for ``scope``; ``admin`` holds the others."""
        return scope in self.scopes or "admin" in self.scopes

    def is_text(self, text: str) -> bool:
        """Whether ``text`` is this key; it takes equally long for every text that is not."""
        return hmac.compare_digest(digest_of(text), self.digest)


def minted() -> tuple[str, str]:
    """Return a new key, and its id."""
    key_id = "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
    secret = "".join(secrets.choice(_SECRET_LETTERS) for _ in range(_SECRET_LENGTH))
    return f"vdb_{key_id}_{secret}", key_id


def id_of(text: str) -> str:
    """Return the id under which ``text``, if it is a key, is kept."""
    found = _KEY.fullmatch(text)
    return found[1] if found else digest_of(text)[:_ID_LENGTH]


def is_id(text: str) -> bool:
    """Whether ``text`` may be the id of a key."""
    return _ID.fullmatch(text) is not None


def digest_of(text: str) -> str:
    """Return the hexadecimal SHA-256 of a key."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def weakness(text: str) -> str | None:
    """Return what makes ``text`` unfit to be a key, ``None`` where nothing does; the words do not tell the text."""
    if not LEAST_LENGTH <= len(text) <= MOST_LENGTH:
        return f"found {len(text):,} characters; expected {LEAST_LENGTH} to {MOST_LENGTH}"
    if not text.isascii() or not text.isprintable() or " " in text:
        return "found other characters than printable ASCII; expected letters, digits and signs, without spaces"
    if len(set(text)) < _LEAST_VARIETY:
        return f"found only {len(set(text))} different characters; expected a random text"
    return None
