"""Parsers for vectadb-agent, one module for each family of formats."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_agent import hookimpl
from vectadb_agent_parsers.agentcore import AgentCoreParser
from vectadb_agent_parsers.auto import AutoParser
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
from vectadb_agent_parsers.regex import RegexParser
from vectadb_agent_parsers.strands import StrandsParser

if TYPE_CHECKING:
    from vectadb_agent import Parser

VECTADB_AGENT_API = 1


@hookimpl
def vectadb_register_parsers() -> list[type[Parser]]:
    """Bring the parsers of this package."""
    return [
        AgentCoreParser,
        AutoParser,
        AutoGenParser,
        BedrockParser,
        CrewAIParser,
        FramedParser,
        JsonParser,
        LambdaParser,
        LangChainParser,
        LangGraphParser,
        LlamaIndexParser,
        OpenAIAgentsParser,
        PowertoolsParser,
        PythonLoggingParser,
        RegexParser,
        StrandsParser,
    ]
