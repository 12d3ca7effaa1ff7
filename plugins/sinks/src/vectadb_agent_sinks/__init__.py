"""Where events go: to VectaDB over HTTP (``vectadb``), to the console (``stdout``), to a file (``file``)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_agent import hookimpl
from vectadb_agent_sinks.file import FileSink
from vectadb_agent_sinks.stdout import StdoutSink
from vectadb_agent_sinks.vectadb import VectaDBSink

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectadb_agent import Sink

VECTADB_AGENT_API = 1


@hookimpl
def vectadb_register_sinks() -> Iterable[type[Sink]]:
    """The sinks of this package."""
    return [VectaDBSink, StdoutSink, FileSink]
