"""vectadb-agent: reads agent logs, parses them into events and ships them to VectaDB.

These names, and the module ``errors``, are all that a plugin needs; it imports nothing else of this package.
"""

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
