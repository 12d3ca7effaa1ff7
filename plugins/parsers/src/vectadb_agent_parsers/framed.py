"""``framed``: a framework's line inside the frame of a logger, as where its log goes through ``logging``'s handlers.

``[INFO]<TAB>time<TAB>request<TAB>message`` on Lambda, ``time LEVEL name: message``, ``LEVEL:name:message`` and the like
around a line that AutoGen's event log, the OpenAI Agents SDK or a workflow of LlamaIndex writes. The frame gives time,
request and level, the framework's parser the rest. What goes on over further lines stays with the frame's own parser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from vectadb_agent import Block, ComponentConfig, Parser
from vectadb_agent_parsers.autogen import AutoGenParser
from vectadb_agent_parsers.aws_lambda import LambdaParser
from vectadb_agent_parsers.llamaindex import LlamaIndexParser
from vectadb_agent_parsers.openai_agents import OpenAIAgentsParser
from vectadb_agent_parsers.python_logging import PythonLoggingParser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Event

#: One of these is in every line meant here: cheaper to see than to try each frame.
_MARKS = (
    '"type": "LLM',
    '"type": "ToolCall"',
    "Invoking tool ",
    "Tool ",
    "Running agent ",
    "Calling LLM",
    "LLM responded",
    "Received model response",
    " current trace",
    "Creating trace",
    "[tick] ",
    "[result] ",
    "|_",
)


class FramedParser(Parser):
    """Lines of AutoGen, the OpenAI Agents SDK and LlamaIndex behind a logger's or Lambda's prefix."""

    name: ClassVar[str] = "framed"
    Config = ComponentConfig

    def __init__(self, config: ComponentConfig) -> None:
        super().__init__(config)
        frames = (LambdaParser, PythonLoggingParser)
        self._frames: Sequence[Parser] = [each(each.Config(type=each.name)) for each in frames]
        self._families: Sequence[Parser] = [
            each(each.Config(type=each.name)) for each in (AutoGenParser, OpenAIAgentsParser, LlamaIndexParser)
        ]

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of the line inside the frame, if a framework knows it."""
        text = block.text
        if not any(mark in text for mark in _MARKS) or text.find("\n", 0, -1) >= 0:
            return None
        for frame in self._frames:
            outer = frame.parse(block)
            if outer is None or len(outer) != 1:
                continue
            message = outer[0].properties.get("message")
            if type(message) is str and message != text and (made := self._inner(block, message)):
                return _put_into(outer[0], made, text)
        return None

    def _inner(self, block: Block, message: str) -> list[Event] | None:
        inner = Block(block.records[:1], (message,), ("0",))
        return next((made for family in self._families if (made := family.parse(inner))), None)


def _put_into(frame: Event, made: list[Event], text: str) -> list[Event]:
    for event in made:
        event.raw = None
        event.timestamp = event.timestamp if event.timestamp is not None else frame.timestamp
        event.request_id = event.request_id or frame.request_id
        for name in ("level", "logger"):
            if name in frame.properties:
                event.properties.setdefault(name, frame.properties[name])
    made[0].raw = text
    return made
