"""Texts that UTF-8 or an engine cannot hold, escaped reversibly: U+001A and four hex digits for one character."""

from __future__ import annotations

import re
from typing import Any

_UNSENDABLE = re.compile("[\ud800-\udfff\x1a]")
_UNESCAPED = re.compile("[\ud800-\udfff]|\x1a(?!0000|001a|001f|d[89a-f][0-9a-f]{2})")
_SUSPECT = re.compile(rb"\\u(?:0000|001[aAfF]|[dD][89a-fA-F])")
_SUSPECT_STRICT = re.compile(rb"\\u00(?:00|1[aAfF])")


def suspect(encoded: bytes, *, strict: bool) -> bool:
    """Whether a text in this JSON may need escaping. Most bodies need no look at their texts at all.

    ``strict``: msgspec has decoded it, so that no surrogate in it is a lone one.
    """
    return (_SUSPECT_STRICT if strict else _SUSPECT).search(encoded) is not None


def sendable(text: str) -> str:
    r"""Text that UTF-8 can carry: a lone surrogate becomes U+001A and its four hex digits, and so does U+001A itself.

    The same function as the agent's; ``tests/contract`` checks both against one file of vectors.

    >>> sendable("a\ud800b")
    'a\x1ad800b'
    """
    if text.isascii() and "\x1a" not in text:
        return text
    return _UNSENDABLE.sub(lambda found: f"\x1a{ord(found[0]):04x}", text)


def held(text: str) -> str:
    """``text`` as it is stored: :func:`sendable`, unless it is in that form already.

    The agent escapes before it sends, and what a reply carries may be posted again: neither is to be escaped twice.
    """
    return sendable(text) if _UNESCAPED.search(text) else text


def held_name(text: str) -> str:
    """As :func:`held`, for what engines index: U+0000 is escaped as well, and U+001F, which parts a stream's names."""
    return held(text).replace("\0", "\x1a0000").replace("\x1f", "\x1a001f")


def held_value(value: Any) -> Any:
    """:func:`held` for every text in a JSON value, keys too."""
    if isinstance(value, str):
        return held(value)
    if isinstance(value, list):
        return [held_value(item) for item in value]
    if isinstance(value, dict):
        cleaned: dict[str, Any] = {}
        for key, item in value.items():
            cleaned[free_key(held(key), cleaned)] = held_value(item)
        return cleaned
    return value


def free_key(key: str, taken: dict[str, Any]) -> str:
    """``key``, with as many underscores behind it as it takes to be none of ``taken``."""
    while key in taken:
        key += "_"
    return key
