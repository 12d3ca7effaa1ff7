"""On the way: secrets hidden (``redact``), some left out (``sample``, ``drop``), fields ``set``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_agent import hookimpl
from vectadb_agent_processors.drop import DropProcessor
from vectadb_agent_processors.redact import RedactProcessor
from vectadb_agent_processors.sample import SampleProcessor
from vectadb_agent_processors.setting import SetProcessor

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectadb_agent import Processor

VECTADB_AGENT_API = 1


@hookimpl
def vectadb_register_processors() -> Iterable[type[Processor]]:
    """The processors of this package."""
    return [RedactProcessor, SampleProcessor, DropProcessor, SetProcessor]
