"""``framed``: a framework's message inside the frame of a logger, as where its log goes through ``logging``'s handlers.

``[INFO]<TAB>time<TAB>request<TAB>message`` on Lambda, ``time LEVEL name: message``, ``LEVEL:name:message`` and so on.
The frame gives time, request and level, the framework's parser the rest. Of a message of several lines the first alone
has the frame: the others belong to it up to the next line that has one, or to where the framework's parser says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from vectadb_agent import Block, ComponentConfig, Parser
from vectadb_agent_parsers import aws_lambda, langchain_debug, python_logging
from vectadb_agent_parsers.autogen import AutoGenParser
from vectadb_agent_parsers.crewai import CrewAIParser
from vectadb_agent_parsers.langchain import LangChainParser
from vectadb_agent_parsers.langgraph import LangGraphParser
from vectadb_agent_parsers.line_cutting import Step, cut_lines
from vectadb_agent_parsers.llamaindex import LlamaIndexParser
from vectadb_agent_parsers.openai_agents import OpenAIAgentsParser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from vectadb_agent import Event, Piece

_FIRST = frozenset("[0123456789DIWEC")
#: What a message begins with that a framework may know: cheaper to see than to ask each of them.
_BEGINNINGS = (
    *("{", "[", "===", "----", "╭─", "\x1b["),
    *("Running agent ", "Starting turn ", "Turn ", "Invoking ", "Tool ", "MCP tool "),
    *("Calling LLM", "LLM resp", "Received model response", "Processing output item "),
    *("Creating ", "Setting current trace", "Resetting current trace", "No conversation_id", "Using conversation_id"),
    *("Added user message to memory: ", "Step ", "> Running step ", "Running step ", "Generated ", "Got output: "),
    *("**********", "Trace: ", "    "),
)


class FramedParser(Parser):
    """Messages of agent frameworks behind a logger's or Lambda's prefix.

    Of LangChain those that its ``LoggingCallbackHandler`` writes: what it prints with ``verbose=True`` is no message.
    """

    name: ClassVar[str] = "framed"
    Config = ComponentConfig

    def __init__(self, config: ComponentConfig) -> None:
        super().__init__(config)
        families = (AutoGenParser, CrewAIParser, LlamaIndexParser, OpenAIAgentsParser, LangGraphParser, LangChainParser)
        self._families: Sequence[Parser] = [each(each.Config(type=each.name)) for each in families]
        self._logging = python_logging.PythonLoggingParser(ComponentConfig(type="python_logging"))

    def parse(self, block: Block) -> list[Event] | None:
        """Make the events of the message inside the frame, if a framework knows it."""
        text = block.text
        begin = _begin(text)
        framed = _frame(text) if begin is not None and text.startswith(_BEGINNINGS, begin) else None
        if framed is None:
            return None
        frame, begin = framed
        message = Block(block.records[:1], (text[begin:],), ("0",))
        made = next((made for family in self._asked(message.text) if (made := family.parse(message))), None)
        return None if made is None else _put_into(frame, made, text)

    def pieces(self, text: str, state: Any) -> Sequence[Piece]:
        """Join the lines of a message. ``state``: whose it is, and that family's own."""
        if state is None and text[:1] not in _FIRST:
            return ()
        return cut_lines(text, state, self._step)

    def _step(self, line: str, state: Any) -> Step | None:
        begin = _begin(line)
        if begin is None:
            if state is None:
                return None
            number, inner = state
            cut = self._families[number].pieces(line, inner)
            goes_on = len(cut) == 1 and cut[0].kind == "continue"
            return Step("continue", (number, cut[0].state), cut[0].closes) if goes_on else None
        if line.startswith(_BEGINNINGS, begin):
            message = line[begin:]
            for number, family in enumerate(self._asked(message)):
                cut = family.pieces(message, None)
                if len(cut) == 1 and cut[0].kind == "start":
                    return Step("start", (number, cut[0].state), cut[0].closes)
        if state is None or self._logging.pieces(line, None):
            return None
        return Step("start", None, closes=True)  # somebody else's message: what goes on from here is not ours

    def _asked(self, message: str) -> Sequence[Parser]:
        return self._families if langchain_debug.is_head(message) else self._families[:-1]


def _begin(text: str) -> int | None:
    """Where the message begins; ``None`` where there is no frame."""
    if text[:1] not in _FIRST:
        return None
    begin = aws_lambda.frame_end(text)
    return python_logging.frame_end(text) if begin is None else begin


def _frame(text: str) -> tuple[Event, int] | None:
    return aws_lambda.frame(text) or python_logging.frame(text)


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
