"""A batch's body, cut into the JSON of its events, so that each can be judged by itself."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

SHAPE = 'expected {"events": [{"timestamp": …}, …]}'


class BadRequest(Exception):
    """The body as a whole cannot be taken. ``status``: 400 (not JSON), 413 (too much), 422 (JSON of another shape)."""

    def __init__(self, status: int, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.status = status
        self.path = path
        self.message = message


class _Envelope(msgspec.Struct):
    events: msgspec.Raw
    options: msgspec.Raw = msgspec.Raw(b"null")


_envelope = msgspec.json.Decoder(_Envelope)
_items = msgspec.json.Decoder(list[msgspec.Raw])
_value = msgspec.json.Decoder()


def strict(body: bytes) -> tuple[list[msgspec.Raw], msgspec.Raw]:
    """Return the JSON of each event of the body, and of its ``options``; nothing in them is looked at but brackets.

    Raises:
        ValueError, RecursionError: the body is no strict JSON, or not of this shape.
    """
    envelope = _envelope.decode(body)
    return _items.decode(envelope.events), envelope.options


def cut(body: bytes) -> tuple[list[bytes], Any]:
    """Return the JSON of each event of the body, and its decoded ``options`` (``None``: absent).

    The events may hold what is no strict JSON, as :func:`tolerant` reads it.

    Raises:
        BadRequest: the rest of the body is not JSON (400), or it holds no list ``events`` (422).
    """
    try:
        items, options = strict(body)
        return [bytes(item) for item in items], _value.decode(options)
    except (ValueError, RecursionError):
        return _split(body)


def tolerant(encoded: bytes, path: str) -> Any:
    """Decode one event's JSON, and with it lone surrogates, NaN and infinities, and integers of any length.

    Raises:
        BadRequest: it is not even such JSON (400); ``path`` names the event.
        RecursionError: it is nested too deep.
        UnicodeDecodeError: it is not UTF-8.
    """
    try:
        return json.loads(encoded.decode(), parse_int=_integer)
    except json.JSONDecodeError as error:
        raise BadRequest(400, path, f"not JSON: {error.msg} at its character {error.pos}") from None


def _integer(digits: str) -> int:
    """Read an integer. Beyond 64 bits all that matters is that it is; Python refuses to read very long ones."""
    return int(digits[:40])


# A text without an end runs to the end of the body: to look for its end again from each quote in it takes for ever.
_TEXT = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)'
_TOKEN = re.compile(_TEXT + rb"|[\[\]{},]", re.DOTALL)
#: A text in a body that may be no strict JSON.
TEXT = re.compile(_TEXT, re.DOTALL)


def _split(body: bytes) -> tuple[list[bytes], Any]:
    """Cut a body that msgspec does not even skip through: lone surrogates, NaN, thousands of brackets.

    Only strings, brackets and commas are looked at, without recursion. Each event is replaced by ``0``, and what
    remains is small and must be strict JSON.
    """
    spans = _spans(body)
    pieces, end = [], 0
    for first, last in spans:
        pieces += [body[end:first], b"0"]
        end = last
    try:
        outer = json.loads(b"".join([*pieces, body[end:]]).decode(), parse_int=_integer)
    except UnicodeDecodeError as error:
        raise BadRequest(400, "body", f"not JSON: found bytes that are not UTF-8; {SHAPE}") from error
    except json.JSONDecodeError as error:
        at = len(error.doc[: error.pos].encode())
        for first, last in spans:
            at += last - first - 1 if first < at else 0
        raise BadRequest(400, "body", f"not JSON: {error.msg} at byte {at} of {len(body)}; {SHAPE}") from None
    except RecursionError:
        raise BadRequest(400, "body", f"found too many brackets in brackets; {SHAPE}") from None
    if not isinstance(outer, dict):
        raise BadRequest(422, "body", f"found {found(outer)}; {SHAPE}")
    if "events" not in outer:
        raise BadRequest(422, "events", f"found nothing; {SHAPE}")
    if not isinstance(outer["events"], list) or len(outer["events"]) != len(spans):
        raise BadRequest(422, "events", f"found {found(outer['events'])}; {SHAPE}")
    return [body[first:last].strip() for first, last in spans], outer.get("options")


def _spans(body: bytes) -> list[tuple[int, int]]:
    """Where the elements of the outermost object's array ``events`` lie."""
    spans: list[tuple[int, int]] = []
    depth, start, key = 0, -1, b""
    for match in _TOKEN.finditer(body):
        token = match[0]
        if token in b"[{":
            if depth == 1 and token == b"[" and key == b'"events"':
                spans, start = [], match.end()
            depth += 1
        elif token in b"]}":
            depth -= 1
            if depth == 1 and start >= 0:
                spans.append((start, match.start()))
                start = -1
        elif token == b",":
            if depth == 2 and start >= 0:
                spans.append((start, match.start()))
                start = match.end()
        elif depth == 1:
            key = token
    # What is blank is left where it stands: right in an empty array, wrong between commas.
    return [span for span in spans if body[slice(*span)].strip()]


def found(value: Any) -> str:
    """What ``value`` is, in words for an error message."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"an array of {len(value):,}"
    if isinstance(value, dict):
        return f"an object of {len(value):,} {'key' if len(value) == 1 else 'keys'}"
    shown = json.dumps(value)
    if isinstance(value, str):
        return f"the text {shown}" if len(shown) <= 60 else f"a text of {len(value):,} characters, {shown[:40]}…"
    kind = "" if isinstance(value, bool) else "the number "
    return kind + (shown if len(shown) <= 60 else f"{shown[:40]}…")
