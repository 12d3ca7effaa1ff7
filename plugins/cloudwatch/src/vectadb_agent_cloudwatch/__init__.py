"""CloudWatch Logs as a source of records for vectadb-agent.

boto3 is imported by the module ``api`` alone, and only once a source is opened: listing the installed plugins costs
nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_agent import hookimpl
from vectadb_agent_cloudwatch.source import CloudWatchSource

if TYPE_CHECKING:
    from collections.abc import Iterable

    from vectadb_agent import Source

__all__ = ["CloudWatchSource"]

VECTADB_AGENT_API = 1


@hookimpl
def vectadb_register_sources() -> Iterable[type[Source]]:
    """Bring the source ``cloudwatch``."""
    return [CloudWatchSource]
