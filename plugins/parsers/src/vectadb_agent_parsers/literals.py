"""Python literals as frameworks print them (``repr`` of dicts, lists, texts and numbers), read into JSON values.

``ast.literal_eval`` is not used: it warns about escapes in texts that are no literals, and takes values that JSON
lacks.
"""

from __future__ import annotations

import re
from typing import Any

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^'\\\n]|\\.)*+'|\"(?:[^\"\\\n]|\\.)*+\")"
    r"|(?P<number>-?[0-9][0-9]{0,4000}(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?)"
    r"|(?P<word>True|False|None)\b"
    r"|(?P<mark>[{}\[\](),:]))",
    re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|(.))", re.DOTALL)
_SIMPLE = {"\\": "\\", "'": "'", '"': '"', "n": "\n", "r": "\r", "t": "\t"}
_WORDS = {"True": True, "False": False, "None": None}
_DEEPEST = 64


CLASS = "@class"
ARGUMENTS = "@arguments"
_OBJECT = re.compile(r"\s*([A-Za-z_][\w.]{0,200})\(")
_NAMED = re.compile(r"\s*([A-Za-z_]\w{0,200})=")
_OPAQUE = re.compile(r"\s*(<[^<>\n]{0,500}(?:<[^<>\n]{0,500}>)?[^<>\n]{0,500}>)")


class NotALiteral(ValueError):
    """The text is not the ``repr`` of a value that JSON can hold."""


def read(text: str) -> Any:
    """Return the value whose ``repr`` is ``text``. Tuples become lists.

    Raises:
        NotALiteral: it is something else, or holds what JSON cannot (a set, bytes, a key that is no text).
    """
    value, end = read_at(text, 0)
    if text[end:].strip():
        raise NotALiteral("text after the value")
    return value


def read_objects(text: str) -> Any:
    """Return the value whose ``repr`` is ``text``, where that may hold objects: ``Message(content='x', id=None)``.

    An object becomes the dict of its keyword arguments, with its class under ``CLASS``; what was given without a name
    is listed under ``ARGUMENTS``. Other reprs (``<Kind.A: 1>``) become texts.

    Raises:
        NotALiteral: it is something else.
    """
    value, end = _Reader(text, objects=True).value(0, 0)
    if text[end:].strip():
        raise NotALiteral("text after the value")
    return value


def read_at(text: str, start: int) -> tuple[Any, int]:
    """Return the value that begins at ``start`` and the position behind it.

    Raises:
        NotALiteral: no such value begins there.
    """
    return _Reader(text).value(start, 0)


class _Reader:
    def __init__(self, text: str, *, objects: bool = False) -> None:
        self.text = text
        self.objects = objects

    def value(self, at: int, depth: int) -> tuple[Any, int]:
        if self.objects and depth <= _DEEPEST:
            if opened := _OBJECT.match(self.text, at):
                return self.arguments(opened[1], opened.end(), depth)
            if opaque := _OPAQUE.match(self.text, at):
                return opaque[1], opaque.end()
        found = _TOKEN.match(self.text, at)
        if found is None or depth > _DEEPEST:
            raise NotALiteral("no value")
        kind, word = found.lastgroup, found[0].strip()
        if kind == "text":
            return _unescape(word[1:-1]), found.end()
        if kind == "number":
            return (float(word) if "." in word or "e" in word else int(word)), found.end()
        if kind == "word":
            return _WORDS[word], found.end()
        if word == "{":
            return self.members(found.end(), depth)
        if word in "[(":
            return self.items(found.end(), "]" if word == "[" else ")", depth)
        raise NotALiteral("no value")

    def items(self, at: int, close: str, depth: int) -> tuple[list[Any], int]:
        values: list[Any] = []
        while True:
            end = self.mark(at, close)
            if end:
                return values, end
            value, at = self.value(at, depth + 1)
            values.append(value)
            at = self.separator(at, close)

    def members(self, at: int, depth: int) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {}
        while True:
            end = self.mark(at, "}")
            if end:
                return values, end
            key, at = self.value(at, depth + 1)
            colon = self.mark(at, ":")
            if type(key) is not str or not colon:
                raise NotALiteral("no key and colon")
            values[key], at = self.value(colon, depth + 1)
            at = self.separator(at, "}")

    def arguments(self, name: str, at: int, depth: int) -> tuple[dict[str, Any], int]:
        values: dict[str, Any] = {CLASS: name}
        while True:
            end = self.mark(at, ")")
            if end:
                return values, end
            named = _NAMED.match(self.text, at)
            value, at = self.value(named.end() if named else at, depth + 1)
            if named:
                values[named[1]] = value
            else:
                values.setdefault(ARGUMENTS, []).append(value)
            at = self.separator(at, ")")

    def separator(self, at: int, close: str) -> int:
        comma = self.mark(at, ",")
        if not comma and not self.mark(at, close):
            raise NotALiteral(f"neither a comma nor {close}")
        return comma or at

    def mark(self, at: int, mark: str) -> int:
        """Return the position behind ``mark``, or 0 where something else comes next."""
        found = _TOKEN.match(self.text, at)
        return found.end() if found and found["mark"] == mark else 0


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text

    def character(found: re.Match[str]) -> str:
        code = found[1] or found[2] or found[3]
        if code:
            return chr(number) if (number := int(code, 16)) <= 0x10FFFF else found[0]
        if found[4] not in _SIMPLE:
            raise NotALiteral("an escape that repr never writes")
        return _SIMPLE[found[4]]

    return _ESCAPE.sub(character, text)
