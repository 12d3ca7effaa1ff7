"""What a client says that it takes: ``Accept`` and ``Accept-Encoding``, which are lists of names with weights."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litestar import Request

_WEIGHT = re.compile(r"\s*q\s*=\s*(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*", re.ASCII | re.IGNORECASE)
_ANY_WEIGHT = re.compile(r"\s*q\s*=", re.IGNORECASE)


def packed(request: Request[Any, Any, Any]) -> bool:
    """Whether the client takes gzip."""
    return _weights(request, "accept-encoding").get("gzip", 0) > 0


def prefers(request: Request[Any, Any, Any], kind: str, usual: str) -> bool:
    """Whether the client names a media type, and likes it no less than the usual one. No wildcard asks for it."""
    found = _weights(request, "accept")
    return found.get(kind, 0) > 0 and found[kind] >= found.get(usual, 0)


def _weights(request: Request[Any, Any, Any], header: str) -> dict[str, float]:
    """Return the names that the header has, in small letters, each with its weight; zero: not at all."""
    found: dict[str, float] = {}
    for item in ",".join(request.headers.getall(header, [])).split(","):
        name, *parameters = item.split(";")
        found[name.strip().lower()] = _weight(parameters)
    return found


def _weight(parameters: list[str]) -> float:
    """Return the weight among an item's parameters; one that is none counts as zero."""
    for text in parameters:
        if _ANY_WEIGHT.match(text):
            weight = _WEIGHT.fullmatch(text)
            return float(weight[1]) if weight is not None else 0.0
    return 1.0
