"""What every component promises, as test suites that a plugin's author inherits. They need pytest.

Name the class and a few samples; ``pytest`` does the rest::

    class TestLogfmt(ParserContract):
        parser = Logfmt
        good = [("level=info msg=hi", [{"event_type": "log", "msg": "hi"}])]
        foreign = ["plain words"]
        malformed = ['level=info msg="open']

The suites run on asyncio, and are not asynchronous themselves: no plugin of pytest is needed.
"""

from vectadb_agent.testing.contracts.parser import ParserContract
from vectadb_agent.testing.contracts.processor import ProcessorContract
from vectadb_agent.testing.contracts.sink import SinkContract
from vectadb_agent.testing.contracts.source import SourceContract

__all__ = ["ParserContract", "ProcessorContract", "SinkContract", "SourceContract"]
