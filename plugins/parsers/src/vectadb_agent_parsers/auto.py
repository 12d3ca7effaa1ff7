"""``auto``: recognises, line by line, what printed it. The parser of a pipeline that names none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, field_validator

from vectadb_agent import ComponentConfig, Parser
from vectadb_agent_parsers.agentcore import AgentCoreParser
from vectadb_agent_parsers.autogen import AutoGenParser
from vectadb_agent_parsers.aws_lambda import LambdaParser
from vectadb_agent_parsers.bedrock import BedrockParser
from vectadb_agent_parsers.crewai import CrewAIParser
from vectadb_agent_parsers.framed import FramedParser
from vectadb_agent_parsers.json_lines import JsonParser
from vectadb_agent_parsers.langchain import LangChainParser
from vectadb_agent_parsers.langgraph import LangGraphParser
from vectadb_agent_parsers.llamaindex import LlamaIndexParser
from vectadb_agent_parsers.openai_agents import OpenAIAgentsParser
from vectadb_agent_parsers.powertools import PowertoolsParser
from vectadb_agent_parsers.python_logging import PythonLoggingParser
from vectadb_agent_parsers.strands import StrandsParser

if TYPE_CHECKING:
    from collections.abc import Sequence

FAMILIES: tuple[tuple[type[Parser], dict[str, Any]], ...] = (
    (AgentCoreParser, {}),
    (BedrockParser, {}),
    (AutoGenParser, {}),
    (CrewAIParser, {}),
    (LlamaIndexParser, {}),
    (OpenAIAgentsParser, {}),
    (PowertoolsParser, {}),
    (FramedParser, {}),
    (LambdaParser, {}),
    (LangGraphParser, {}),
    (LangChainParser, {}),
    (StrandsParser, {"text": False}),
    (PythonLoggingParser, {}),
    (JsonParser, {}),
)
"""In the order in which they are asked: who knows its own marks before who takes any logger's line or any object."""


class AutoConfig(ComponentConfig):
    """Options of ``auto``."""

    without: list[str] = Field(default=[])
    """Formats that are not looked for, e.g. ``[strands]``, where ordinary lines of yours look like theirs."""

    @field_validator("without")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        known = [family.name for family, _ in FAMILIES]
        for name in names:
            if name not in known:
                raise ValueError(f"{name!r} is not among the formats that auto looks for: {', '.join(known)}")
        return names


class AutoParser(Parser):
    """All formats of this package that can be told by their own marks, tried in order.

    Only what is unmistakable is taken: a framework's text that carries no mark of its own (what Strands streams, say)
    stays a ``log`` event. Name the framework's own parser in the configuration to have such text read as well.
    """

    name: ClassVar[str] = "auto"
    Config = AutoConfig
    config: AutoConfig

    def members(self) -> Sequence[Parser]:
        """Return one parser of each format."""
        return [
            family(family.Config(type=family.name, **options))
            for family, options in FAMILIES
            if family.name not in self.config.without
        ]
