"""Record what LangChain really prints, beside the truth told by its own callbacks.

Run by hand, offline, in an environment of its own::

    python -m venv /tmp/langchain && /tmp/langchain/bin/pip install -r requirements.txt
    /tmp/langchain/bin/python generate.py [scenario ...]

Every scenario runs the real framework with a scripted model, once as ``verbose`` (the StdOut
callbacks) and once as ``debug`` (``set_debug(True)``), and writes ``<scenario>.<format>.json``.

The text is verbatim but for one thing: the folders of Python, of the installed packages and of this
file are written as a Lambda has them (``/var/lang/...``, ``/var/task``), because tracebacks name
them. Durations and the few ids that LangChain invents differ from run to run.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib.metadata
import io
import json
import logging
import os
import platform
import sys
import sysconfig
import textwrap
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

os.environ["LANGSMITH_TRACING"] = "false"

from langchain.agents import create_agent
from langchain_classic.agents import (
    AgentExecutor,
    AgentType,
    create_react_agent,
    create_structured_chat_agent,
    create_tool_calling_agent,
    initialize_agent,
)
from langchain_classic.chains import LLMChain, SequentialChain
from langchain_core.agents import AgentAction, AgentFinish
from langchain_core.callbacks import (
    BaseCallbackHandler,
    CallbackManagerForLLMRun,
    StdOutCallbackHandler,
)
from langchain_core.globals import set_debug
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ToolCall,
    ToolCallChunk,
    ToolMessage,
)
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    LLMResult,
)
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, Tool, ToolException, tool

Format = Literal["verbose", "debug"]
Runner = Callable[[bool, RunnableConfig], None]

HERE = Path(__file__).resolve().parent
MAX_BYTES = 200_000
MODEL = "scripted-1"
NAMED_CHAINS = frozenset({"AgentExecutor", "LLMChain", "SequentialChain"})

# ---------------------------------------------------------------------------------------------
# The scripted model


def say(
    content: str | list[str | dict[str, Any]],
    *calls: tuple[str, dict[str, Any]],
    tokens: tuple[int, int] = (0, 0),
) -> AIMessage:
    """One scripted reply: text, tool calls as ``(name, arguments)``, and tokens in and out."""
    sent = tokens[0] or 120
    received = tokens[1] or max(1, len(str(content)) // 4)
    return AIMessage(
        content=content,
        tool_calls=[ToolCall(name=name, args=arguments, id=None, type="tool_call") for name, arguments in calls],
        usage_metadata={
            "input_tokens": sent,
            "output_tokens": received,
            "total_tokens": sent + received,
        },
        response_metadata={
            "model_name": MODEL,
            "finish_reason": "tool_calls" if calls else "stop",
        },
    )


class ScriptedChat(BaseChatModel):
    """A chat model that gives the replies of its script, one per call; an exception is raised."""

    script: list[Any]
    label: str = "a"
    cursor: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted-chat"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        """Take the tools as a real model does; the script alone decides what is called."""
        return self.bind(tools=[getattr(item, "name", str(item)) for item in tools], **kwargs)

    def next_reply(self) -> AIMessage:
        """The next scripted reply; its id has the form that LangChain gives, its calls have ids of their own."""
        reply: AIMessage | Exception = self.script[self.cursor]
        self.cursor += 1
        if isinstance(reply, Exception):
            raise reply
        identity = f"lc_run--01990000-0000-7000-8000-{self.label:0>4}{self.cursor:08d}-0"
        calls = [
            {**call, "id": f"call_{self.label}{self.cursor}_{index}"} for index, call in enumerate(reply.tool_calls)
        ]
        return reply.model_copy(update={"id": identity, "tool_calls": calls})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        reply = self.next_reply()
        usage: Any = reply.usage_metadata or {}
        return ChatResult(
            generations=[ChatGeneration(message=reply)],
            llm_output={"token_usage": dict(usage), "model_name": MODEL},
        )


class StreamingChat(ScriptedChat):
    """The same, word by word, as hosted models answer an AgentExecutor."""

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        reply = self.next_reply()
        for word in str(reply.content).split(" "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=f"{word} ", id=reply.id))
        for index, call in enumerate(reply.tool_calls):
            text = json.dumps(call["args"], ensure_ascii=False)
            for part, name, call_id in ((text[:5], call["name"], call["id"]), (text[5:], None, None)):
                chunk = ToolCallChunk(name=name, args=part, id=call_id, index=index, type="tool_call_chunk")
                yield ChatGenerationChunk(message=AIMessageChunk(content="", id=reply.id, tool_call_chunks=[chunk]))
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                content="",
                id=reply.id,
                usage_metadata=reply.usage_metadata,
                response_metadata=reply.response_metadata,
            )
        )


class ScriptedLLM(BaseLLM):
    """A completion model (text in, text out) that gives the replies of its script."""

    script: list[str]
    cursor: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def _generate(
        self,
        prompts: list[str],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> LLMResult:
        replies = self.script[self.cursor : self.cursor + len(prompts)]
        self.cursor += len(prompts)
        sent = sum(len(prompt) for prompt in prompts) // 4
        received = sum(len(reply) for reply in replies) // 4
        return LLMResult(
            generations=[[Generation(text=r, generation_info={"finish_reason": "stop"})] for r in replies],
            llm_output={
                "token_usage": {
                    "prompt_tokens": sent,
                    "completion_tokens": received,
                    "total_tokens": sent + received,
                },
                "model_name": MODEL,
            },
        )


# ---------------------------------------------------------------------------------------------
# The truth


class Truth(BaseCallbackHandler):
    """Writes down every callback in order; run ids become counters (``r1``, ``r2``, ...)."""

    run_inline = True
    raise_error = True

    def __init__(self) -> None:
        """Start with nothing seen."""
        self.callbacks: list[dict[str, Any]] = []
        self._runs: dict[UUID, str] = {}
        self._names: dict[UUID, str] = {}

    def _note(self, event: str, run_id: UUID, parent_run_id: UUID | None, **more: Any) -> None:
        run = self._runs.setdefault(run_id, f"r{len(self._runs) + 1}")
        parent = self._runs.get(parent_run_id) if parent_run_id else None
        self.callbacks.append({"event": event, "run_id": run, "parent_run_id": parent, **more})

    def _name(self, run_id: UUID, serialized: dict[str, Any] | None, name: str | None) -> str:
        known = serialized or {}
        found = name or known.get("name") or (known.get("id") or ["<unknown>"])[-1]
        return self._names.setdefault(run_id, found)

    def _named(self, run_id: UUID, values: Any) -> dict[str, Any]:
        """Inputs or outputs, of the chains that a user names; the inner ones repeat them."""
        return plain(values) if self._names.get(run_id) in NAMED_CHAINS else {}

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note a chain's start."""
        name = self._name(run_id, serialized, kwargs.get("name"))
        self._note("chain_start", run_id, parent_run_id, name=name, inputs=self._named(run_id, inputs))

    def on_chain_end(self, outputs: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Note a chain's end."""
        name = self._names.get(run_id)
        self._note("chain_end", run_id, parent_run_id, name=name, outputs=self._named(run_id, outputs))

    def on_chain_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note that a chain died."""
        self._note("chain_error", run_id, parent_run_id, name=self._names.get(run_id), **failure(error))

    def on_agent_action(
        self, action: AgentAction, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note an agent's decision; ``log`` is the text that verbose mode prints."""
        call_id = getattr(action, "tool_call_id", None)
        self._note(
            "agent_action", run_id, parent_run_id,
            tool=action.tool, tool_input=action.tool_input, tool_call_id=call_id, log=action.log,
        )  # fmt: skip

    def on_agent_finish(
        self, finish: AgentFinish, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note an agent's answer; ``log`` is the text that verbose mode prints."""
        output = finish.return_values.get("output")
        self._note("agent_finish", run_id, parent_run_id, output=output, log=finish.log)

    def on_tool_start(
        self,
        serialized: Any,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        inputs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Note a tool's start."""
        name = self._name(run_id, serialized, kwargs.get("name"))
        self._note("tool_start", run_id, parent_run_id, name=name, input=input_str, inputs=inputs)

    def on_tool_end(self, output: Any, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Note a tool's result: ``output`` its content, ``printed`` the text where that differs."""
        content = output.content if isinstance(output, ToolMessage) else str(output)
        more: dict[str, Any] = {"output": content, "output_type": type(output).__name__}
        if isinstance(output, ToolMessage):
            more |= {"tool_call_id": output.tool_call_id, "status": output.status, "printed": str(output)}
        self._note("tool_end", run_id, parent_run_id, name=self._names.get(run_id), **more)

    def on_tool_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note that a tool raised."""
        self._note("tool_error", run_id, parent_run_id, name=self._names.get(run_id), **failure(error))

    def on_text(self, text: str, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any) -> None:
        """Note a chain's own text (LLMChain prints its prompt this way)."""
        self._note("text", run_id, parent_run_id, text=text)

    def on_llm_start(
        self, serialized: Any, prompts: list[str], *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note a call of a completion model."""
        self._note(
            "llm_start", run_id, parent_run_id, name=self._name(run_id, serialized, kwargs.get("name")), kind="llm"
        )

    def on_chat_model_start(
        self,
        serialized: Any,
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        **kwargs: Any,
    ) -> None:
        """Note a call of a chat model."""
        self._note(
            "llm_start", run_id, parent_run_id, name=self._name(run_id, serialized, kwargs.get("name")), kind="chat"
        )

    def on_llm_end(
        self, response: LLMResult, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note a model's reply with its tokens."""
        first = response.generations[0][0]
        message = getattr(first, "message", None)
        told = response.llm_output or {}
        usage = getattr(message, "usage_metadata", None) or told.get("token_usage") or {}
        self._note(
            "llm_end", run_id, parent_run_id,
            name=self._names.get(run_id),
            model=told.get("model_name") or getattr(message, "response_metadata", {}).get("model_name"),
            input_tokens=usage.get("input_tokens", usage.get("prompt_tokens")),
            output_tokens=usage.get("output_tokens", usage.get("completion_tokens")),
            text=first.text,
            tool_calls=[dict(call) for call in getattr(message, "tool_calls", [])],
        )  # fmt: skip

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, parent_run_id: UUID | None = None, **kwargs: Any
    ) -> None:
        """Note that a model call failed."""
        self._note("llm_error", run_id, parent_run_id, name=self._names.get(run_id), **failure(error))


def failure(error: BaseException) -> dict[str, str]:
    """An exception's class and text."""
    return {"error_type": type(error).__name__, "error": str(error)}


def plain(values: Any) -> dict[str, Any]:
    """The entries that JSON can hold as they are."""
    if not isinstance(values, dict):
        return {}
    kept = (str, int, float, list, dict)
    return {key: value for key, value in values.items() if isinstance(value, kept)}


# ---------------------------------------------------------------------------------------------
# Tools and agents

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


def act(thought: str, name: str, argument: str) -> AIMessage:
    """A ReAct reply that calls a tool; it follows the prompt's ``Thought:``."""
    return say(f" {thought}\nAction: {name}\nAction Input: {argument}")


def answer(text: str, thought: str = "I now know the final answer") -> AIMessage:
    """A ReAct reply that ends the run."""
    return say(f" {thought}\nFinal Answer: {text}")


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


# ---------------------------------------------------------------------------------------------
# Scenarios


@dataclass(frozen=True)
class Scenario:
    """One thing to record: its name, what it shows, how to run it, in which formats, and how it dies if it does."""

    name: str
    shows: str
    run: Runner
    formats: tuple[Format, ...]
    raises: tuple[type[Exception], ...]


SCENARIOS: list[Scenario] = []


def scenario(*formats: Format, raises: tuple[type[Exception], ...] = ()) -> Callable[[Runner], Runner]:
    """Register a function as a scenario under its own name; its docstring says what it shows."""

    def register(run: Runner) -> Runner:
        shows = (run.__doc__ or "").rstrip(".")
        SCENARIOS.append(Scenario(run.__name__, shows, run, formats or ("verbose", "debug"), raises))
        return run

    return register


@scenario()
def react_two_tools(verbose: bool, config: RunnableConfig) -> None:
    """ReAct agent, two tools, observations of several lines."""
    script = [
        act("I should look up the shipping times.", "search", "shipping times"),
        act("Now add the days.\nTwo legs: 1 and 2.", "calculator", "1 + 2"),
        answer("3 days.\n\n- express: 1\n- standard: 2"),
    ]
    react(script, [SEARCH, CALCULATOR], verbose).invoke({"input": "How long do both take?"}, config)


@scenario()
def zeroshot_two_tools(verbose: bool, config: RunnableConfig) -> None:
    """Classic initialize_agent (zero-shot ReAct): prints Observation: and Thought: itself."""
    model = ScriptedChat(
        script=[
            act("I should look up the shipping times.", "search", "shipping times"),
            act("Now add the days.", "calculator", "1 + 2"),
            answer("3 days."),
        ]
    )
    agent = initialize_agent([SEARCH, CALCULATOR], model, AgentType.ZERO_SHOT_REACT_DESCRIPTION, verbose=verbose)
    agent.invoke({"input": "How long do both take?"}, config)


@scenario()
def zeroshot_tricky_results(verbose: bool, config: RunnableConfig) -> None:
    """Classic initialize_agent, results that look like markers, empty, JSON, tracebacks."""
    script = [act(f"Try {name}.", name, f"input of {name}") for name, _ in TRICKY_RESULTS]
    agent = initialize_agent(
        tricky_tools(),
        ScriptedChat(script=[*script, answer("Seen all.")]),
        AgentType.ZERO_SHOT_REACT_DESCRIPTION,
        verbose=verbose,
    )
    agent.invoke({"input": "Try everything."}, config)


@scenario()
def tools_two_tools(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling agent, two tools, a JSON result, `responded:` text."""
    script = [
        say("", ("search", {"query": "shipping", "limit": 2}), tokens=(150, 20)),
        say("Let me check the weather too.\nOne moment.", ("get_weather", {"city": "Łódź"}), tokens=(210, 31)),
        say("", ("now", {}), tokens=(250, 5)),
        say("Two days; it is 21.5 °C.\n\nAnything else?", tokens=(260, 12)),
    ]
    calling(script, [search, get_weather, now], verbose).invoke({"input": "Shipping and weather?"}, config)


@scenario()
def tools_streaming(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling agent with a model that streams."""
    script = [
        say("I will search.", ("search", {"query": "shipping"}), tokens=(150, 20)),
        say("Two days.", tokens=(260, 12)),
    ]
    calling(script, [search], verbose, streaming=True).invoke({"input": "Shipping?"}, config)


@scenario()
def tools_content_blocks(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling agent whose model answers in content blocks (Anthropic, Bedrock)."""
    blocks: list[str | dict[str, Any]] = [
        {"type": "text", "text": "I'll look it up."},
        {"type": "tool_use", "id": "call_a1_0", "name": "get_weather", "input": {"city": "Oslo"}},
    ]
    script = [
        say(blocks, ("get_weather", {"city": "Oslo"})),
        say([{"type": "text", "text": "It's 21.5 °C in Oslo.", "index": 0}]),
    ]
    calling(script, [get_weather], verbose).invoke({"input": "Weather in Oslo?"}, config)


@scenario()
def structured_chat(verbose: bool, config: RunnableConfig) -> None:
    """Structured-chat agent: the action is a JSON blob in a code fence."""

    def blob(action: str, value: Any) -> str:
        return f"```json\n{json.dumps({'action': action, 'action_input': value}, indent=2)}\n```"

    model = ScriptedChat(
        script=[
            say(f"Thought: I should search.\nAction:\n{blob('search', {'query': 'shipping', 'limit': 1})}"),
            say(f"Action:\n{blob('Final Answer', 'Two days.')}"),
        ]
    )
    agent = create_structured_chat_agent(model, [search], STRUCTURED)
    AgentExecutor(agent=agent, tools=[search], verbose=verbose).invoke({"input": "Shipping?"}, config)


@scenario(raises=(ConnectionError,))
def react_tool_raises(verbose: bool, config: RunnableConfig) -> None:
    """ReAct: the second tool raises, the run dies, its caller prints the traceback."""
    script = [act("Search first.", "search", "orders"), act("Ask the database.", "database", "order 7")]
    react(script, [SEARCH, text_tool("database", explode)], verbose).invoke({"input": "Where is order 7?"}, config)


@scenario(raises=(ConnectionError,))
def tools_tool_raises(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling: the tool raises, the run dies, its caller prints the traceback."""
    database = StructuredTool.from_function(explode, name="database", description="The orders.")
    script = [say("I will ask the database.", ("database", {"text": "order 7"}))]
    calling(script, [database], verbose).invoke({"input": "Where is order 7?"}, config)


@scenario()
def react_tool_error_handled(verbose: bool, config: RunnableConfig) -> None:
    """ReAct: handle_tool_error makes the failure an observation."""
    tools: list[BaseTool] = [text_tool("database", refuse, handle_tool_error=True), CALCULATOR]
    script = [act("Ask the database.", "database", "order 7"), answer("There is no order 7.")]
    react(script, tools, verbose).invoke({"input": "Where is order 7?"}, config)


@scenario()
def tools_tool_error_handled(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling: handle_tool_error, and arguments that fail validation."""
    database = StructuredTool.from_function(
        refuse, name="database", description="The orders.", handle_tool_error=True, handle_validation_error=True
    )
    script = [
        say("", ("database", {"text": "order 7"})),
        say("", ("database", {"wrong": 1})),
        say("There is no order 7."),
    ]
    calling(script, [database], verbose).invoke({"input": "Where is order 7?"}, config)


@scenario()
def react_tricky_results(verbose: bool, config: RunnableConfig) -> None:
    """ReAct: results that look like markers, empty, blank, JSON, traceback, colours, control characters."""
    script = [act(f"Try {name}.", name, f"input of {name}") for name, _ in TRICKY_RESULTS]
    react([*script, answer("Seen all.")], tricky_tools(), verbose).invoke({"input": "Try everything."}, config)


@scenario()
def tools_tricky_results(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling: the same results."""
    script = [
        say("" if i % 2 else f"Try {name}.", (name, {"__arg1": f"input of {name}"}))
        for i, (name, _) in enumerate(TRICKY_RESULTS)
    ]
    calling([*script, say("Seen all.")], tricky_tools(), verbose).invoke({"input": "Try everything."}, config)


@scenario()
def react_tricky_inputs(verbose: bool, config: RunnableConfig) -> None:
    """ReAct: quotes, braces, colons, backslashes, newlines, other scripts in inputs; odd spacing."""
    echo = text_tool("echo", lambda text: f"got {text}")
    script = [
        *(act("Think: 'well'.", "echo", value) for value in TRICKY_INPUTS),
        say("Thought: I say Thought myself.\nAction: echo\nAction Input: one\n"),
        say('Action:echo\nAction Input:\n```json\n{\n  "a": [1, 2]\n}\n```\n\n'),
        say(" numbered\nAction 1: echo\nAction 1 Input 1: two"),
        say(" empty input\nAction: echo\nAction Input: "),
        answer("Straße «готово»: {done} \\ 'ok'\nFinal line: 東京"),
    ]
    react(script, [echo], verbose).invoke({"input": 'Echo "it\'s" {braces}\nline two \\ 東京'}, config)


@scenario()
def tools_tricky_inputs(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling: the same inputs, nested arguments, none, and a bare string."""

    @tool
    def echo(text: Any = None, options: dict[str, Any] | None = None) -> str:
        """Echo."""
        return f"got {text!r} {options!r}"

    bare = text_tool("bare", lambda text: f"got {text}")
    nested = {"a": [1, 2.5, None, True], "b": {"quote": 'it\'s "x"', "nl": "l1\nl2", "tick": "`with `{}``"}}
    script = [
        *(say("", ("echo", {"text": value})) for value in TRICKY_INPUTS),
        say("With options: `x` with `y`\nresponded: twice", ("echo", {"text": "t", "options": nested})),
        say("", ("echo", {})),
        say("", ("bare", {"__arg1": "a bare 'string' with `ticks`\nand a line"})),
        say("Straße «готово»: {done} \\ 'ok'\nInvoking: `nothing` with `{}`\n東京"),
    ]
    calling(script, [echo, bare], verbose).invoke({"input": 'Echo "it\'s" {{braces}}\nline two \\ 東京'}, config)


@scenario()
def nested_react_in_tools(verbose: bool, config: RunnableConfig) -> None:
    """A tool of a tool-calling agent runs a ReAct agent, both verbose."""

    @tool
    def research(topic: str) -> str:
        """Ask the research agent."""
        script = [act("Look it up.", "search", topic), answer("Two days,\nsays the handbook.")]
        return str(react(script, [SEARCH], verbose, label="b").invoke({"input": topic})["output"])

    script = [
        say("I will delegate.", ("research", {"topic": "shipping"})),
        say("", ("get_weather", {"city": "Oslo"})),
        say("Two days."),
    ]
    calling(script, [research, get_weather], verbose).invoke({"input": "Shipping and weather?"}, config)


@scenario()
def nested_tools_in_react(verbose: bool, config: RunnableConfig) -> None:
    """A tool of a ReAct agent runs a tool-calling agent, twice, both verbose."""

    def ask(text: str) -> str:
        script = [say("", ("get_weather", {"city": text})), say(f"21.5 °C in {text}.")]
        inner = calling(script, [get_weather], verbose, label="b")
        return str(inner.invoke({"input": f"Weather in {text}?"})["output"])

    script = [
        act("Delegate.", "forecaster", "Oslo"),
        act("Once more.", "forecaster", "Rome"),
        answer("The same."),
    ]
    react(script, [text_tool("forecaster", ask), SEARCH], verbose).invoke({"input": "Where is it warmer?"}, config)


@scenario(raises=(ConnectionError,))
def nested_raises(verbose: bool, config: RunnableConfig) -> None:
    """A nested agent dies, and the outer one with it."""

    def ask(text: str) -> str:
        script = [act("Ask.", "database", text)]
        return str(
            react(script, [text_tool("database", explode)], verbose, label="b").invoke({"input": text})["output"]
        )

    react([act("Delegate.", "clerk", "order 7")], [text_tool("clerk", ask)], verbose).invoke(
        {"input": "Order 7?"}, config
    )


PARALLEL = [
    say("Both at once.", ("get_weather", {"city": "Oslo"}), ("get_weather", {"city": "Rome"}), ("now", {})),
    say("Equally warm."),
]


@scenario()
def tools_parallel_calls(verbose: bool, config: RunnableConfig) -> None:
    """Three tool calls in one reply, run one after the other (invoke)."""
    calling(PARALLEL, [get_weather, now], verbose).invoke({"input": "Oslo or Rome?"}, config)


@scenario()
def tools_parallel_async(verbose: bool, config: RunnableConfig) -> None:
    """Three tool calls in one reply, run at once (ainvoke): all calls first, then results as they come."""

    async def slow(city: str) -> str:
        await asyncio.sleep(0.2 if city == "Oslo" else 0.1)
        return f"{city}: 21.5"

    async def late() -> str:
        await asyncio.sleep(0.3)
        return "midnight"

    tools: list[BaseTool] = [
        StructuredTool.from_function(coroutine=slow, name="get_weather", description="Weather."),
        StructuredTool.from_function(coroutine=late, name="now", description="Time."),
    ]
    asyncio.run(calling(PARALLEL, tools, verbose).ainvoke({"input": "Oslo or Rome?"}, config))


def long_result(verbose: bool) -> str:
    """50 KB of lines; less in debug form, which prints an observation five times over."""
    size = 50_000 if verbose else 8_000
    lines = (f"row {n:05d} | customer {n * 7919 % 1000:03d} | total {n * 13 % 997}.00 EUR" for n in range(size))
    text = ""
    for line in lines:
        if len(text) + len(line) + 1 > size:
            break
        text += f"{line}\n"
    return text.rstrip("\n")


@scenario()
def react_very_long(verbose: bool, config: RunnableConfig) -> None:
    """ReAct: an observation of 50 KB (debug: 8 KB)."""
    dump = text_tool("dump", lambda _: long_result(verbose))
    react([act("Dump.", "dump", "all"), answer("Many rows.")], [dump], verbose).invoke({"input": "Dump."}, config)


@scenario()
def tools_very_long(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling: a result of 50 KB on one line (debug: 8 KB)."""

    @tool
    def dump() -> str:
        """All rows as one line of JSON."""
        return json.dumps(long_result(verbose).splitlines())

    calling([say("", ("dump", {})), say("Many rows.")], [dump], verbose).invoke({"input": "Dump."}, config)


@scenario()
def react_parsing_errors(verbose: bool, config: RunnableConfig) -> None:
    """ReAct: replies that cannot be parsed, handle_parsing_errors=True."""
    script = [
        say(" I just talk.\nNo action here."),
        say(" Half an action.\nAction: search"),
        say(" Both.\nAction: search\nAction Input: x\nFinal Answer: no"),
        answer("Done."),
    ]
    react(script, [SEARCH], verbose, handle_parsing_errors=True).invoke({"input": "Go."}, config)


@scenario(raises=(ValueError,))
def react_parsing_error_raised(verbose: bool, config: RunnableConfig) -> None:
    """ReAct: a reply that cannot be parsed, not handled: the run dies with chained tracebacks."""
    react([say(" I just talk.\nNo action here.")], [SEARCH], verbose).invoke({"input": "Go."}, config)


@scenario()
def unknown_tool(verbose: bool, config: RunnableConfig) -> None:
    """The model calls a tool that does not exist."""
    react([act("Guess.", "browser", "x"), answer("No browser.")], [SEARCH, CALCULATOR], verbose).invoke(
        {"input": "Go."}, config
    )


@scenario()
def tools_return_direct(verbose: bool, config: RunnableConfig) -> None:
    """A tool with return_direct: its result is the answer."""
    direct = text_tool("direct", lambda text: f"direct {text}\nsecond line", return_direct=True)
    calling([say("", ("direct", {"__arg1": "x"}))], [direct], verbose).invoke({"input": "Go."}, config)


@scenario()
def llm_chain(verbose: bool, config: RunnableConfig) -> None:
    """LLMChain and SequentialChain, verbose: Prompt after formatting."""
    model = ScriptedLLM(script=["A fine\nname: Sockeye", "Socks for fish."])
    name = LLMChain(
        llm=model,
        prompt=PromptTemplate.from_template("Name a maker of {product}.\nBe brief: {{ok}}"),
        verbose=verbose,
        output_key="name",
    )
    motto = LLMChain(
        llm=model, prompt=PromptTemplate.from_template("A motto for {name}?"), verbose=verbose, output_key="motto"
    )
    chain = SequentialChain(
        chains=[name, motto], input_variables=["product"], output_variables=["name", "motto"], verbose=verbose
    )
    chain.invoke({"product": "socks"}, config)


@scenario()
def llm_chain_chat(verbose: bool, config: RunnableConfig) -> None:
    """LLMChain with a chat prompt."""
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "Name a maker of {product}.")])
    LLMChain(llm=ScriptedChat(script=[say("Sockeye")]), prompt=prompt, verbose=verbose).invoke(
        {"product": "socks"}, config
    )


@scenario()
def lcel(verbose: bool, config: RunnableConfig) -> None:
    """LCEL chain (prompt | model | parser); verbose form by passing a StdOutCallbackHandler."""
    chain = (
        PromptTemplate.from_template("Name a maker of {product}.") | ScriptedLLM(script=["Sockeye"]) | StrOutputParser()
    )
    if verbose:
        config = {**config, "callbacks": [*config["callbacks"], StdOutCallbackHandler()]}  # type: ignore[misc]
    chain.invoke({"product": "socks"}, config)


@scenario()
def react_max_iterations(verbose: bool, config: RunnableConfig) -> None:
    """ReAct stopped by max_iterations."""
    script = [act("Again.", "search", str(n)) for n in range(3)]
    react(script, [SEARCH], verbose, max_iterations=2).invoke({"input": "Go."}, config)


@scenario()
def tools_max_iterations(verbose: bool, config: RunnableConfig) -> None:
    """Tool-calling agent stopped by max_iterations."""
    script = [say("", ("now", {})) for _ in range(3)]
    calling(script, [now], verbose, max_iterations=2).invoke({"input": "Go."}, config)


@scenario(raises=(RuntimeError,))
def llm_raises(verbose: bool, config: RunnableConfig) -> None:
    """The model call fails."""
    script = [say("", ("now", {})), RuntimeError("ThrottlingException: Too many requests, please wait")]
    calling(script, [now], verbose).invoke({"input": "Go."}, config)


@scenario()
def two_runs(verbose: bool, config: RunnableConfig) -> None:
    """Two runs in one process, one ReAct, one tool-calling."""
    react([act("Look.", "search", "x"), answer("One.")], [SEARCH], verbose).invoke({"input": "First."}, config)
    calling([say("", ("now", {})), say("Two.")], [now], verbose, label="b").invoke({"input": "Second."}, config)


@scenario()
def two_runs_first_dies(verbose: bool, config: RunnableConfig) -> None:
    """Two runs, the first dies and its handler prints one line of its own, the second is well."""
    try:
        react([act("Ask.", "database", "7")], [text_tool("database", explode)], verbose).invoke(
            {"input": "First."}, config
        )
    except ConnectionError as error:
        print(f"ERROR: {error}")
    react([act("Look.", "search", "x"), answer("Two.")], [SEARCH], verbose, label="b").invoke(
        {"input": "Second."}, config
    )


@scenario("debug")
def create_agent_two_tools(verbose: bool, config: RunnableConfig) -> None:
    """LangChain 1.x create_agent under set_debug: chains named LangGraph, model, tools."""
    script = [
        say("", ("search", {"query": "shipping"}), tokens=(150, 20)),
        say("And the weather.", ("get_weather", {"city": "Oslo"}), tokens=(180, 22)),
        say("Two days.", tokens=(260, 12)),
    ]
    agent = create_agent(ScriptedChat(script=script), [search, get_weather], system_prompt="Be brief.")
    agent.invoke({"messages": [{"role": "user", "content": "Shipping?"}]}, config)


@scenario("debug", raises=(ConnectionError,))
def create_agent_tool_raises(verbose: bool, config: RunnableConfig) -> None:
    """LangChain 1.x create_agent under set_debug: the tool raises."""
    database = StructuredTool.from_function(explode, name="database", description="The orders.")
    agent = create_agent(ScriptedChat(script=[say("", ("database", {"text": "order 7"}))]), [database])
    agent.invoke({"messages": [{"role": "user", "content": "Order 7?"}]}, config)


# ---------------------------------------------------------------------------------------------
# Recording


def as_on_lambda(text: str) -> str:
    """Write this machine's folders as a Lambda's."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    folders = {
        sysconfig.get_path("purelib"): "/var/task",
        sysconfig.get_path("platlib"): "/var/task",
        sysconfig.get_path("stdlib"): f"/var/lang/lib/{version}",
        str(HERE): "/var/task",
    }
    for folder, replacement in folders.items():
        text = text.replace(folder, replacement)
    return text


class Logged(logging.Handler):
    """Keeps what LangChain logs (it goes to stderr) with its place in the printed text."""

    def __init__(self, printed: io.StringIO) -> None:
        """Watch the text that grows in ``printed``."""
        super().__init__(logging.WARNING)
        self.printed = printed
        self.records: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one record: ``at`` counts the characters printed before it."""
        at = len(as_on_lambda(self.printed.getvalue()))
        message = as_on_lambda(record.getMessage())
        self.records.append({"at": at, "level": record.levelname, "logger": record.name, "message": message})


def record(item: Scenario, form: Format) -> dict[str, Any]:
    """Run a scenario in one format; give what was printed and what happened."""
    truth = Truth()
    raised: dict[str, str] | None = None
    printed = io.StringIO()
    logged = Logged(printed)
    logging.getLogger().addHandler(logged)
    set_debug(form == "debug")
    try:
        with contextlib.redirect_stdout(printed):
            try:
                item.run(form == "verbose", {"callbacks": [truth]})
            except item.raises as error:  # as a handler does: print, and let the invocation fail
                traceback.print_exc(file=sys.stdout)
                raised = failure(error)
    finally:
        set_debug(False)
        logging.getLogger().removeHandler(logged)
    if item.raises and not raised:
        raise ValueError(f"{item.name}: should have raised")
    stdout = as_on_lambda(printed.getvalue())
    packages = ("langchain", "langchain-classic", "langchain-core")
    recording = {
        "scenario": item.name,
        "format": form,
        "shows": item.shows,
        "versions": {"python": platform.python_version()}
        | {package: importlib.metadata.version(package) for package in packages},
        "stdout": stdout,
        "logged": logged.records,
        "truth": {"raised": raised, "callbacks": truth.callbacks},
    }
    if form == "verbose":
        check_order(recording)
    return recording


def check_order(recording: dict[str, Any]) -> None:
    """Refuse a recording whose verbose text does not hold the truth's texts in the truth's order."""
    printed, at = recording["stdout"], 0
    for callback in recording["truth"]["callbacks"]:
        if callback["event"] in {"agent_action", "agent_finish"}:
            expected = callback["log"]
        elif callback["event"] == "tool_end":
            expected = callback["output"]
        else:
            continue
        found = printed.find(expected, at)
        if found < 0:
            raise ValueError(f"{recording['scenario']}: not printed in order: {expected[:200]!r}")
        at = found + len(expected)


def main() -> None:
    """Record all scenarios, or those named."""
    parser = argparse.ArgumentParser(description="Record LangChain's printed output.")
    parser.add_argument("scenarios", nargs="*", help="names; all when none is given")
    parser.add_argument("--to", type=Path, default=HERE, help="folder to write to")
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    known = {item.name for item in SCENARIOS}
    if unknown := set(chosen.scenarios) - known:
        parser.error(f"no such scenario: {', '.join(sorted(unknown))}")
    for item in SCENARIOS:
        if chosen.scenarios and item.name not in chosen.scenarios:
            continue
        for form in item.formats:
            text = json.dumps(record(item, form), indent=2, ensure_ascii=False) + "\n"
            data = as_on_lambda(text).encode()
            if len(data) >= MAX_BYTES:
                raise ValueError(f"{item.name} ({form}): {len(data)} bytes, limit {MAX_BYTES}")
            path = chosen.to / f"{item.name}.{form}.json"
            path.write_bytes(data)
            print(f"{path.name}: {len(data)} bytes")


if __name__ == "__main__":
    main()
