"""``?fields=``: which parts of a reply are asked for, as dotted paths."""

from __future__ import annotations

import difflib
import functools
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import inspect

from vectadb_server.routes.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable

_FREE = (inspect.DictType, inspect.AnyType)
_WHOLE: dict[str, Any] = {}


class Fields:
    """Chosen fields of a struct. In what has no fixed fields, as ``properties``, any path is taken."""

    def __init__(self, text: str, kind: type[msgspec.Struct]) -> None:
        """Take a comma list of paths.

        Raises:
            Refusal: 400, one is no field; those that are are named.
        """
        self._tree: dict[str, Any] = {}
        for path in filter(None, (part.strip() for part in text.split(","))):
            self._add(path, path, _info(kind), self._tree)
        if not self._tree:
            raise Refusal(400, f"fields: found {text!r}; expected names, e.g. {_example(kind)}", code="invalid_query")

    def of(self, reply: msgspec.Struct) -> Any:
        """Return what is chosen of it."""
        return _chosen(msgspec.to_builtins(reply), self._tree)

    def _add(self, whole: str, path: str, kind: inspect.Type, tree: dict[str, Any]) -> None:
        known = {field.encode_name: field.type for field in _struct(kind).fields}
        name, _, rest = path.partition(".")
        if name not in known:
            close = difflib.get_close_matches(name, known, 1)
            meant = f" Did you mean {close[0]!r}?" if close else ""
            text = f"fields: found {whole!r}; there are {', '.join(known)}.{meant}"
            raise Refusal(400, text, code="invalid_query")
        if not rest:
            tree[name] = _WHOLE
            return
        inner = _inner(known[name])
        if inner is None:
            raise Refusal(400, f"fields: found {whole!r}; {name} has no fields of its own", code="invalid_query")
        if name in tree and tree[name] is _WHOLE:
            return
        below = tree.setdefault(name, {})
        if isinstance(inner, _FREE):
            below[rest] = None
        else:
            self._add(whole, rest, inner, below)


@functools.cache
def _info(kind: type[msgspec.Struct]) -> inspect.Type:
    return inspect.type_info(kind)  # two milliseconds


def _struct(kind: inspect.Type) -> inspect.StructType:
    assert isinstance(kind, inspect.StructType)
    return kind


def _inner(kind: inspect.Type) -> inspect.Type | None:
    """What has fields in it: an object, that of a list, or one that may be absent."""
    if isinstance(kind, inspect.UnionType):
        return next((inner for each in kind.types if (inner := _inner(each)) is not None), None)
    if isinstance(kind, inspect.ListType):
        return _inner(kind.item_type)
    return kind if isinstance(kind, (inspect.StructType, *_FREE)) else None


def _chosen(value: Any, tree: dict[str, Any]) -> Any:
    """Return what is chosen of a value; ``UNSET`` where it has no fields, as a text in the place of an object."""
    if tree is _WHOLE or value is None:
        return value
    if isinstance(value, list):
        return [inner for item in value if (inner := _chosen(item, tree)) is not msgspec.UNSET]
    if not isinstance(value, dict):
        return msgspec.UNSET
    found: dict[str, Any] = {}
    for name, below in tree.items():
        if below is None:
            _put(found, value, name)
        elif name in value and (inner := _chosen(value[name], below)) is not msgspec.UNSET:
            found[name] = inner
    return found


def _put(found: dict[str, Any], value: dict[str, Any], path: str) -> None:
    """Copy what is at a path; a name may have dots itself (``gen_ai.tool.name``): the longest that is there counts."""
    for name, rest in _splits(path):
        if name not in value:
            continue
        if not rest:
            found[name] = value[name]
            return
        if isinstance(value[name], dict):
            below = found.setdefault(name, {})
            if below is not value[name]:
                _put(below, value[name], rest)
            return


def _splits(path: str) -> Iterable[tuple[str, str]]:
    parts = path.split(".")
    for count in range(len(parts), 0, -1):
        yield ".".join(parts[:count]), ".".join(parts[count:])


def _example(kind: type[msgspec.Struct]) -> str:
    return ",".join(kind.__struct_fields__[:2])
