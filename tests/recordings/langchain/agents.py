"""Agents and tools that scenarios are made of."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from typing import Any

from langchain_classic.agents import AgentExecutor, create_react_agent, create_tool_calling_agent
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.tools import BaseTool, Tool, ToolException, tool
from scripted import ScriptedChat, StreamingChat

REACT = PromptTemplate.from_template(
    textwrap.dedent("""\
    Answer the following questions as best you can. You have access to the following tools:

    {tools}

    Use the following format:

    Question: the input question you must answer
    Thought: you should always think about what to do
    Action: the action to take, should be one of [{tool_names}]
    Action Input: the input to the action
    Observation: the result of the action
    ... (this Thought/Action/Action Input/Observation can repeat N times)
    Thought: I now know the final answer
    Final Answer: the final answer to the original input question

    Begin!

    Question: {input}
    Thought:{agent_scratchpad}""")
)
CALLING = ChatPromptTemplate.from_messages(
    [("system", "You are a helpful assistant."), ("human", "{input}"), ("placeholder", "{agent_scratchpad}")]
)
STRUCTURED = ChatPromptTemplate.from_messages(
    [
        ("system", "Answer with a JSON blob. Tools:\n{tools}\nValid actions: Final Answer or {tool_names}"),
        ("human", "{input}\n\n{agent_scratchpad}"),
    ]
)


def text_tool(name: str, answer: Callable[[str], Any], **options: Any) -> Tool:
    """A tool that takes one string, as ReAct agents call them."""
    return Tool(name=name, func=answer, description=f"Useful for {name}.", **options)


def react(script: list[Any], tools: list[BaseTool], verbose: bool, label: str = "a", **options: Any) -> AgentExecutor:
    """A ReAct agent (``create_react_agent``) in an AgentExecutor."""
    agent = create_react_agent(ScriptedChat(script=script, label=label), tools, REACT)
    return AgentExecutor(agent=agent, tools=tools, verbose=verbose, **options)


def calling(
    script: list[Any], tools: list[BaseTool], verbose: bool, label: str = "a", streaming: bool = False, **options: Any
) -> AgentExecutor:
    """A tool-calling agent (``create_tool_calling_agent``) in an AgentExecutor."""
    model = (StreamingChat if streaming else ScriptedChat)(script=script, label=label)
    agent = create_tool_calling_agent(model, tools, CALLING)
    return AgentExecutor(agent=agent, tools=tools, verbose=verbose, **options)


@tool
def search(query: str, limit: int = 3) -> str:
    """Search the knowledge base."""
    return "\n".join(
        ["Orders are shipped within 2 days.", "", "  - express: 1 day", "  - standard: 2 days", f"(limit {limit})"]
    )


@tool
def get_weather(city: str) -> str:
    """Weather of a city, as JSON."""
    return json.dumps({"city": city, "temp_c": 21.5, "wind": {"kmh": 9, "dir": "NW"}}, ensure_ascii=False)


@tool
def now() -> str:
    """The time."""
    return "2026-01-01T00:00:00Z"


SEARCH = text_tool("search", lambda _: "Orders are shipped within 2 days.\n\n  - express: 1 day\n  - standard: 2 days")
CALCULATOR = text_tool("calculator", lambda text: str(sum(int(part) for part in text.strip().split("+"))))


def explode(text: str) -> str:
    """Fail as a tool fails that talks to a database."""
    try:
        known: dict[str, str] = {}
        return known[text]
    except KeyError as error:
        raise ConnectionError(f"database 'orders' refused: {text!r}") from error


def refuse(text: str) -> str:
    """Fail in the way that LangChain lets a tool fail."""
    raise ToolException(f"no such order: {text}\nKnown orders: 1, 2")


TRACEBACK = """Traceback (most recent call last):
  File "/var/task/app.py", line 12, in lookup
    return rows[0]
           ~~~~^^^
IndexError: list index out of range"""
MARKER_LINES = """Thought: not mine
Action: fake
Action Input: nothing
Observation: fake too
Final Answer: 7
Invoking: `x` with `{}`
> Finished chain.
end"""
TRICKY_RESULTS: list[tuple[str, Any]] = [
    ("empty", ""),
    ("blank_lines", "\n\n  \n"),
    ("markers", "The page says: Action: delete, then Observation: done and > Finished chain. in one line."),
    ("marker_lines", MARKER_LINES),
    ("pretty_json", json.dumps({"rows": [{"id": 1, "note": "a: b"}, {"id": 2, "note": None}], "ok": True}, indent=2)),
    ("traceback", TRACEBACK),
    ("coloured", "plain \x1b[31mred\x1b[0m plain\nsecond \x1b[1mbold\x1b[0m line"),
    ("trailing_newline", "one line\n"),
    ("python_dict", {"a": 1, "quote": "it's", "none": None}),
    ("carriage", "50%\r100%\ttab\x0bvt\u2028ls"),
]
TRICKY_INPUTS = [
    'it\'s a "quoted" word',
    '{"filter": {"name": "O\'Brien", "tags": ["a", "b"]}, "limit": 5}',
    "SELECT *\nFROM orders\nWHERE note = 'Action: none'",
    r"C:\new\table\u0041 and a trailing \\",
    "東京の天気は? 🌦 Ñandú: «да»",
    "`backticks` and `{'a': 1}` with colons: a:b::c",
]


def constant(value: Any) -> Callable[[str], Any]:
    """A tool's function that always gives the same; closed over, because signatures reach prompts."""

    def give(text: str) -> Any:
        return value

    return give


def tricky_tools() -> list[BaseTool]:
    """One tool per tricky result."""
    return [text_tool(name, constant(value)) for name, value in TRICKY_RESULTS]
