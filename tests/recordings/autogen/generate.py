"""Record what AutoGen prints, beside the truth told by its message streams and model clients.

Run by hand, offline, in an environment of its own: ``pip install -r requirements.txt``, then
``python generate.py [scenario ...]``. AutoGen's own OpenAI client talks to a scripted model on
loopback. Each scenario is recorded as:

- ``events``: the logger ``autogen_core.events`` at INFO, a StreamHandler, one JSON object a line;
- ``console``: ``autogen_agentchat.ui.Console`` into a pipe.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from autogen_agentchat.agents import AssistantAgent
from autogen_agentchat.base import TaskResult
from autogen_agentchat.conditions import MaxMessageTermination, TextMentionTermination
from autogen_agentchat.messages import (
    BaseChatMessage,
    HandoffMessage,
    ModelClientStreamingChunkEvent,
    TextMessage,
    ThoughtEvent,
    ToolCallExecutionEvent,
    ToolCallRequestEvent,
    ToolCallSummaryMessage,
)
from autogen_agentchat.teams import RoundRobinGroupChat, Swarm
from autogen_agentchat.tools import AgentTool
from autogen_agentchat.ui import Console
from autogen_core import EVENT_LOGGER_NAME
from autogen_core.logging import LLMCallEvent, LLMStreamEndEvent, LLMStreamStartEvent, MessageEvent, ToolCallEvent
from autogen_core.models import CreateResult
from autogen_ext.models.openai import OpenAIChatCompletionClient
from scripted_openai import say, serving
from tape import Killed, Tape, Truth, in_forms, main, shown

MODEL = "local-1"
INFO = {"vision": False, "function_calling": True, "json_output": True, "structured_output": True, "family": "unknown"}
EVENTS: dict[type, tuple[str, ...]] = {
    LLMCallEvent: ("llm_end", "llm_start"),
    LLMStreamStartEvent: ("llm_start",),
    LLMStreamEndEvent: ("llm_end",),
    ToolCallEvent: ("tool_call", "tool_result"),
    MessageEvent: ("message", "log"),
}
MESSAGES: dict[type, tuple[str, ...]] = {
    ToolCallRequestEvent: ("tool_call", "agent_action"),
    ToolCallSummaryMessage: ("message", "agent_finish", "tool_result"),
    HandoffMessage: ("message", "agent_action"),
    ThoughtEvent: ("agent_thought",),
    TaskResult: ("log", "agent_end", "chain_end", "llm_end"),
}


def label(message: Any) -> tuple[str, ...]:
    """What Console's rendering of a message may be taken for."""
    if isinstance(message, ToolCallExecutionEvent):
        failed = any(result.is_error for result in message.content)
        return ("tool_result", "error") if failed else ("tool_result",)
    if isinstance(message, TextMessage):
        return ("message", "query", "agent_start") if message.source == "user" else ("message", "agent_finish")
    if isinstance(message, ModelClientStreamingChunkEvent):
        return ("message", "agent_finish", "agent_thought")
    return MESSAGES.get(type(message), ("message", "log"))


class Printing(logging.StreamHandler):  # type: ignore[type-arg]
    """A StreamHandler that says on the tape what it prints."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(sys.stdout)
        self.tape = tape

    def emit(self, record: logging.LogRecord) -> None:
        with self.tape.labelled(*EVENTS.get(type(record.msg), ("error",))):
            super().emit(record)


@contextlib.contextmanager
def watched(truth: Truth, opened: list[int]) -> Iterator[None]:
    """Every turn of an agent is a run; its own stream of messages tells of its calls."""
    original = AssistantAgent.on_messages_stream

    async def on_messages_stream(self: AssistantAgent, *arguments: Any, **keywords: Any) -> AsyncIterator[Any]:
        run = truth.run("agent", self.name, opened[-1] if opened else None)
        opened.append(run)
        calls: dict[str, dict[str, Any]] = {}
        async for message in original(self, *arguments, **keywords):
            is_own = getattr(message, "source", None) == self.name
            if is_own and isinstance(message, ToolCallRequestEvent) and not truth.tape.is_cut:
                for call in message.content:
                    calls[call.id] = truth.call(call.name, json.loads(call.arguments), call.id, run)
            if is_own and isinstance(message, ToolCallExecutionEvent) and not truth.tape.is_cut:
                for result in message.content:
                    failed = result.content if result.is_error else None
                    calls[result.call_id].update(result=result.content, error=failed)
            yield message
        opened.pop()
        truth.ended(run)

    AssistantAgent.on_messages_stream = on_messages_stream  # type: ignore[method-assign]
    try:
        yield
    finally:
        AssistantAgent.on_messages_stream = original  # type: ignore[method-assign]


class Client(OpenAIChatCompletionClient):
    """AutoGen's client; the truth hears of its calls."""

    truth: Truth
    opened: list[int]
    killed: asyncio.Event

    async def create(self, *arguments: Any, **keywords: Any) -> CreateResult:
        self.truth.model(MODEL, None, self.opened[-1])
        result = await super().create(*arguments, **keywords)
        self.tell(result)
        return result

    async def create_stream(self, *arguments: Any, **keywords: Any) -> AsyncIterator[str | CreateResult]:
        self.truth.model(MODEL, None, self.opened[-1])
        async for piece in super().create_stream(*arguments, **keywords):
            if isinstance(piece, CreateResult):
                self.tell(piece)
            yield piece

    def tell(self, result: CreateResult) -> None:
        usage = result.usage
        self.truth.models[-1].update(input_tokens=usage.prompt_tokens, output_tokens=usage.completion_tokens)


Build = Callable[[Client, Tape], Any]


def run(build: Build, *script: Any, task: str = "Go", stats: bool = False) -> Callable[[Tape, Truth, str], None]:
    """One run of an agent or a team. A failure is printed as a Lambda handler might."""

    async def go(tape: Tape, truth: Truth, form: str) -> None:
        opened: list[int] = []
        with serving(list(script)) as url, watched(truth, opened):
            client = Client(model=MODEL, base_url=url, api_key="none", model_info=INFO, max_retries=0)
            client.truth, client.opened, client.killed = truth, opened, asyncio.Event()
            made = build(client, tape)
            if not isinstance(made, AssistantAgent):
                opened.append(truth.run("chain", type(made).__name__))

            async def told() -> AsyncIterator[Any]:
                async for message in made.run_stream(task=task):
                    tape.label = label(message)
                    if isinstance(message, TaskResult):
                        last = [item for item in message.messages if isinstance(item, BaseChatMessage)][-1]
                        truth.answer = last.to_text()
                    yield message
                tape.label = ("log",)

            async def consume() -> None:
                if form == "console":
                    await Console(told(), output_stats=stats)
                    return
                async for _ in told():
                    pass

            running = asyncio.create_task(consume())
            dying = asyncio.create_task(client.killed.wait())
            try:
                await asyncio.wait([running, dying], return_when=asyncio.FIRST_COMPLETED)
                if tape.is_cut:
                    running.cancel()
                    raise Killed
                dying.cancel()
                await running
            except Exception as problem:
                for one in opened:
                    truth.ended(one, str(problem))
                truth.failed = True
                with tape.labelled("error"):
                    traceback.print_exc()
            else:
                for one in opened:
                    truth.ended(one)
            finally:
                await client.close()

    def play(tape: Tape, truth: Truth, form: str) -> None:
        logger = logging.getLogger(EVENT_LOGGER_NAME)
        printing = Printing(tape)
        if form == "events":
            logger.addHandler(printing)
            logger.setLevel(logging.INFO)
        try:
            asyncio.run(go(tape, truth, form))
        finally:
            tape.label = ("log",)
            logger.removeHandler(printing)
            logger.setLevel(logging.NOTSET)

    return play


async def search(query: str) -> str:
    """Search the handbook."""
    return f"Found for {query}:\n- two days within the country\n- five days abroad"


async def lookup(order: int) -> dict[str, Any]:
    """Look an order up."""
    return {"order": order, "state": "shipped", "lines": [1, 2], "note": "it's {fragile}"}


async def silent(path: str) -> str:
    """Delete a file; says nothing."""
    return ""


async def report(pages: int) -> str:
    """A long result."""
    return "\n".join(f"page {page}: all is well" for page in range(pages))


async def broken(table: str) -> str:
    """A database that is down."""
    raise ConnectionError(f"cannot reach database: table {table!r}\nhost: db-1")


def plain(*tools: Any, **settings: Any) -> Build:
    """One agent with these tools."""

    def build(client: Client, _: Tape) -> AssistantAgent:
        return AssistantAgent("assistant", client, tools=list(tools), **{"max_tool_iterations": 6, **settings})

    return build


def streaming(client: Client, _: Tape) -> AssistantAgent:
    return AssistantAgent(
        "assistant", client, tools=[search], max_tool_iterations=6, model_client_stream=True, system_message=None
    )


def dying(client: Client, tape: Tape) -> AssistantAgent:
    async def fatal(query: str) -> str:
        """The process dies in here."""
        tape.is_cut = True  # AutoGen would wait for ever for a tool that raises what is no Exception
        client.killed.set()
        return await asyncio.Future()

    return AssistantAgent("assistant", client, tools=[search, fatal], max_tool_iterations=6)


def nested(client: Client, _: Tape) -> AssistantAgent:
    inner = AssistantAgent("researcher", client, tools=[search], max_tool_iterations=6, description="Searches.")
    tool = AgentTool(inner, return_value_as_last_message=True)
    return AssistantAgent("planner", client, tools=[tool, lookup], max_tool_iterations=6)


def team(client: Client, _: Tape) -> RoundRobinGroupChat:
    writer = AssistantAgent("writer", client, tools=[search], max_tool_iterations=6)
    critic = AssistantAgent("critic", client)
    return RoundRobinGroupChat([writer, critic], termination_condition=TextMentionTermination("APPROVE", ["critic"]))


def swarm(client: Client, _: Tape) -> Swarm:
    triage = AssistantAgent("triage", client, handoffs=["billing"])
    billing = AssistantAgent("billing", client, tools=[lookup], max_tool_iterations=6)
    return Swarm([triage, billing], termination_condition=MaxMessageTermination(8) | TextMentionTermination("DONE"))


Play = Callable[[Tape, Truth, str], None]


def twice(first: Play, second: Play) -> Play:
    """Two runs in one process."""

    def play(tape: Tape, truth: Truth, form: str) -> None:
        first(tape, truth, form)
        truth.failed, truth.answer = False, None
        second(tape, truth, form)

    return play


SEARCH = say("Let me see.", ("search", {"query": "a"}))
ODD = {"query": 'it\'s "quoted" {a: [1]} C:\\temp\n第二行 ---------- x (y) ----------'}
PLAYS: dict[str, tuple[str, Play, bool]] = {
    "several_tools": ("two tools, several lines and a dict as results", run(plain(search, lookup), SEARCH, say(None, ("lookup", {"order": 7})), say("It comes\nin two days.")), False),
    "empty_result": ("an empty result, statistics", run(plain(silent, lookup), say(None, ("silent", {"path": ""})), say(None, ("lookup", {"order": 1})), say("Done."), stats=True), True),
    "tricky_inputs": ("quotes, braces, backslashes, a newline, other scripts, a header-like text", run(plain(search), say("Odd: {x}", ("search", ODD)), say("Ответ: 5 €\n---------- TextMessage (user) ----------"), task='What is "{this}"?\nИ это?'), False),
    "tool_fails": ("a tool raises; AutoGen tells the model", run(plain(broken, search), say(None, ("broken", {"table": "orders"})), SEARCH, say("Two days.")), True),
    "unknown_tool": ("the model calls a tool that does not exist", run(plain(search), say("I try.", ("browser", {"url": "x:y"})), SEARCH, say("Two days.")), False),
    "parallel_calls": ("three calls in one reply, two of one tool", run(plain(search, lookup), say(None, ("search", {"query": "Oslo"}), ("search", {"query": "Rome"}), ("lookup", {"order": 2})), say("Rome.")), True),
    "nested_agent": ("an agent as a tool", run(nested, say(None, ("researcher", {"task": "shipping"})), SEARCH, say("Two days."), say(None, ("lookup", {"order": 7})), say("Two days in all.")), False),
    "swarm": ("a handoff to another agent, which uses a tool", run(swarm, say(None, ("transfer_to_billing", {})), say(None, ("lookup", {"order": 9})), say("It is paid. DONE")), True),
    "round_robin": ("a team of two, one of them with a tool", run(team, SEARCH, say("Two days."), say("Too short."), say("Two days within the country."), say("APPROVE")), False),
    "killed": ("the process is killed in its second tool", run(dying, SEARCH, say(None, ("fatal", {"query": "b"}))), True),
    "summary": ("the tool's result is the answer (no reflection), statistics", run(plain(search, lookup, max_tool_iterations=1), say(None, ("search", {"query": "a"}), ("lookup", {"order": 3})), stats=True), False),
    "very_long": ("a result of 20 KB", run(plain(report), say(None, ("report", {"pages": 900})), say("All is well.")), True),
    "two_runs": ("one after the other", twice(run(plain(search), SEARCH, say("Two days.")), run(plain(lookup), say(None, ("lookup", {"order": 1})), say("Shipped."))), False),
    "first_dies": ("the model fails in the first run; the second answers", twice(run(plain(search), SEARCH, RuntimeError("context too long: 'x' {1}")), run(plain(broken), say("I try.", ("broken", {"table": "a: {b}"})), say("No luck."))), True),
    "no_tool": ("an answer without any tool", run(plain(), say("Hello!\n\nHow can I help?")), False),
    "streaming": ("a model that streams", run(streaming, SEARCH, say("Two days,\nsays the handbook.")), True),
}  # fmt: skip


SCENARIOS = in_forms(PLAYS, ("events", "console"))


def printed_model(text: str, model: dict[str, Any]) -> dict[str, bool]:
    sent, received = model["input_tokens"], model["output_tokens"]
    pairs = (
        f'"prompt_tokens": {sent}, "completion_tokens": {received}',
        f"Prompt tokens: {sent}, Completion tokens: {received}",
    )
    is_told = any(pair in text for pair in pairs)
    return {
        "call": is_told and text.startswith("{"),
        "tokens": is_told,
        "model": f'"model": "{model["model"]}"' in text,
    }


if __name__ == "__main__":
    main(
        "autogen", SCENARIOS, ["autogen-agentchat", "autogen-core", "autogen-ext", "openai"],
        printed_call=lambda text, call: {key: shown(text, call[key]) for key in ("arguments", "result")},
        printed_run=lambda text, run: run["name"] in text,
        printed_model=printed_model,
    )  # fmt: skip
