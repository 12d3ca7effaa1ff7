"""Plain events: those that become rows at once, by ``vectadb-native``, where that is installed.

Nearly all are: one record of a log each, in a trace that they name, no boundary of a window, nothing unusual in them.
Of these ``vectadb-native``, which is compiled, makes the same rows as this package's own modules do, in a seventh of
their time. It judges nothing: events that are not plain it leaves to :mod:`~vectadb_server.wire`. And where a plain one
meets what is held already, it is taken for an event like any other from then on.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vectadb_native import Plain

__all__ = ["FORM", "Plain", "installed", "read"]

FORM = 1
"""Of the rows that are made. ``vectadb-native`` makes rows of one form, and is not used where it is another."""


_native: Any = importlib.import_module("vectadb_native") if importlib.util.find_spec("vectadb_native") else None


def installed() -> bool:
    """Whether plain events are told apart; where not, all go the usual way."""
    return _native is not None and _native.FORM == FORM


def misfit() -> str | None:
    """Return, for people, why ``vectadb-native`` is there and not used; ``None``: it is used, or not there."""
    if _native is None or installed():
        return None
    found = f"vectadb-native makes rows of form {_native.FORM}, and this server those of form {FORM}: it is not used"
    return f"{found}. Next: pip install 'vectadb-server[native]'"


def read(body: bytes, now: int, limit: int) -> Plain | None:
    """Return the plain events of a batch that came at ``now`` (microseconds), and the JSON of the others.

    ``None``: none is plain, or ``vectadb-native`` is not there. An event of over ``limit`` bytes is not plain.
    """
    found: Plain | None = _native.read(body, now, limit) if installed() else None
    return found
