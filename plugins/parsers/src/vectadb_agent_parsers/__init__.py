"""Parsers for vectadb-agent, one module a family: json, regex, langchain, lambda, python_logging."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vectadb_agent import hookimpl
from vectadb_agent_parsers.aws_lambda import LambdaParser
from vectadb_agent_parsers.json_lines import JsonParser
from vectadb_agent_parsers.langchain import LangChainParser
from vectadb_agent_parsers.python_logging import PythonLoggingParser
from vectadb_agent_parsers.regex import RegexParser

if TYPE_CHECKING:
    from vectadb_agent import Parser

VECTADB_AGENT_API = 1


@hookimpl
def vectadb_register_parsers() -> list[type[Parser]]:
    """Bring the parsers of this package."""
    return [JsonParser, RegexParser, LangChainParser, LambdaParser, PythonLoggingParser]
