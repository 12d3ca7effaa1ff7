"""For plugin authors: contract suites, fakes, a CloudWatch and a network with moods.

``pip install 'vectadb-agent[testing]'`` brings what they need: pytest for the suites, werkzeug for CloudWatch.

- suites: ``SourceContract``, ``ParserContract``, ``ProcessorContract``, ``SinkContract`` (:mod:`.contracts`)
- fakes: ``ListSource``, ``MemorySink``, ``FlakySink``, ``MemoryCheckpoints``, ``FakeClock``
- an archive that can be read again: ``ArchiveSource``
- a CloudWatch Logs to test against: :mod:`.cloudwatch`; a faulty HTTP proxy: :mod:`.proxy`
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vectadb_agent.testing.archive import ArchiveSource
    from vectadb_agent.testing.contracts import ParserContract, ProcessorContract, SinkContract, SourceContract
    from vectadb_agent.testing.fakes import FakeClock, FlakySink, ListSource, MemoryCheckpoints, MemorySink

__all__ = [
    "ArchiveSource",
    "FakeClock",
    "FlakySink",
    "ListSource",
    "MemoryCheckpoints",
    "MemorySink",
    "ParserContract",
    "ProcessorContract",
    "SinkContract",
    "SourceContract",
]

if "pytest" in sys.modules:
    import pytest

    # A suite's assert then shows both sides, as one in the author's own tests does.
    pytest.register_assert_rewrite(f"{__name__}.contracts")


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: fakes are used without pytest, too."""
    if name not in __all__:
        raise AttributeError(f"{__name__} has no {name!r}; it has {', '.join(__all__)}")
    place = "archive" if name == "ArchiveSource" else "contracts" if name.endswith("Contract") else "fakes"
    return getattr(import_module(f"{__name__}.{place}"), name)
