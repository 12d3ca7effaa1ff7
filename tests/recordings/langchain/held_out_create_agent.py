"""The half held out: ``create_agent`` of LangChain 1.x, in debug form alone. By somebody who had not seen the parsers."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any, cast

from agents import get_weather, now, search
from langchain.agents import create_agent
from langchain.agents.middleware import before_model, wrap_tool_call
from langchain.agents.structured_output import ToolStrategy
from langchain.tools import ToolRuntime
from langchain.tools.tool_node import ToolCallRequest
from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.types import Command
from pydantic import BaseModel
from scenario import Half
from scripted import ScriptedChat, StreamingChat, say
from tape import Tape

HALF = Half()
scenario = HALF.scenario


def asked(text: str) -> Any:
    """A question as an agent takes it."""
    return {"messages": [{"role": "user", "content": text}]}


@tool
def run_sql(sql: str, database: str = "orders") -> str:
    """Run a query."""
    if "customers" in sql:
        raise ConnectionError(f"relation 'customers' does not exist in \"{database}\"\nLINE 1: {sql}")
    return "[(1, 'O''Brien', '2026-01-02'), (2, \"Zoë\", NULL)]\n(2 rows)"


@scenario("debug", agents=("orders_agent",))
def named_with_middleware(verbose: bool, config: RunnableConfig) -> None:
    """A named agent; middleware makes a tool's exception a result, and prints before each call of the model"""

    @wrap_tool_call
    def careful(request: ToolCallRequest, handler: Callable[[ToolCallRequest], ToolMessage | Command[Any]]) -> Any:
        try:
            return handler(request)
        except ConnectionError as error:
            call = request.tool_call
            return ToolMessage(f"failed: {error}", tool_call_id=call["id"], name=call["name"], status="error")

    @before_model
    def counted(state: Any, runtime: Any) -> None:
        print(json.dumps({"messages": len(state["messages"])}))

    script = [
        say("", ("run_sql", {"sql": "SELECT * FROM customers"})),
        say(
            "Another table, then.",
            ("run_sql", {"sql": 'SELECT "id",\n  name -- Action: x\nFROM orders;', "database": "shop"}),
        ),
        say("Two orders."),
    ]
    agent = create_agent(ScriptedChat(script=script), [run_sql], middleware=[careful, counted], name="orders_agent")
    agent.invoke(asked("Whose orders?"), config)


class Forecast(BaseModel):
    """A forecast."""

    city: str
    temp_c: float
    advice: list[str]


@scenario("debug")
def structured_response(verbose: bool, config: RunnableConfig) -> None:
    """response_format=ToolStrategy: the last reply calls a tool that is none; its first try does not validate"""
    script = [
        say("", ("get_weather", {"city": "Oslo"})),
        say("", ("Forecast", {"city": "Oslo", "temp_c": "warm", "advice": []})),
        say("", ("Forecast", {"city": "Oslo", "temp_c": 21.5, "advice": ["T-shirt: yes", "umbrella {no}"]})),
    ]
    agent = create_agent(ScriptedChat(script=script), [get_weather], response_format=ToolStrategy(Forecast))
    agent.invoke(asked("What shall I wear in Oslo?"), config)


@scenario("debug", agents=("supervisor", "researcher", "writer"))
def supervisor(verbose: bool, config: RunnableConfig) -> None:
    """Agents as tools of an agent, all named, one after the other"""

    def worker(name: str, script: list[Any], tools: list[Any], task: str) -> str:
        agent = create_agent(ScriptedChat(script=script, label=name[0]), tools, name=name)
        return str(agent.invoke(asked(task))["messages"][-1].content)

    @tool
    def research(topic: str) -> str:
        """Research a topic."""
        return worker(
            "researcher", [say("", ("search", {"query": topic})), say("Two days,\nit says.")], [search], topic
        )

    @tool
    def write(brief: str, style: str = "plain") -> str:
        """Write a text."""
        return worker("writer", [say("", ("now", {})), say("# Shipping\n\n*Two* days: `2026`.")], [now], brief)

    script = [
        say("First the facts.", ("research", {"topic": "shipping: express & standard"})),
        say("", ("write", {"brief": "Two days.", "style": "markdown"})),
        say("Here it is:\n\n# Shipping\n\n*Two* days: `2026`."),
    ]
    agent = create_agent(ScriptedChat(script=script), [research, write], name="supervisor")
    agent.invoke(asked("Write about shipping."), config)


@scenario("debug")
def parallel_unknown(verbose: bool, config: RunnableConfig) -> None:
    """Four calls in one reply of a streaming model: two of one tool, one unknown, one whose arguments do not validate"""
    script = [
        say(
            "At once.",
            ("get_weather", {"city": "Oslo"}),
            ("browser", {"url": "https://example.org/?a={b}"}),
            ("get_weather", {"city": "Rome"}),
            ("get_weather", {"town": "Bern"}),
        ),
        say("Equally warm."),
    ]
    agent = create_agent(StreamingChat(script=script), [get_weather])
    agent.invoke(asked("Oslo, Rome or Bern?"), {**config, "max_concurrency": 1})


@scenario("debug")
def astream_prints(verbose: bool, config: RunnableConfig) -> None:
    """astream with stream_mode=messages: the handler prints the tokens between the entries; an async tool with runtime"""

    @tool
    async def lookup(key: str, runtime: ToolRuntime) -> str:
        """Look a key up."""
        await asyncio.sleep(0)
        return f"{key} = ''\n{len(runtime.state['messages'])} messages"

    async def run() -> None:
        script = [say("I look it up.", ("lookup", {"key": 'a.b[0]: "c"'})), say("It is empty, sorry.")]
        agent = create_agent(StreamingChat(script=script), [lookup], system_prompt="Be kind. {never} mind.")
        async for message, _ in agent.astream(asked("What is a.b?"), config, stream_mode="messages"):
            print(cast(Any, message).text, end="", flush=True)
        print("\n-- done --")

    asyncio.run(run())


@scenario("debug", raises=(RuntimeError,))
def second_question_fails(verbose: bool, config: RunnableConfig) -> None:
    """Two questions to one agent; at the second one the model fails after a call"""
    script = [
        say("", ("now", {})),
        say("Midnight."),
        say("", ("search", {"query": "night shifts", "limit": 1})),
        RuntimeError('An error occurred (ServiceUnavailableException): {"message": "try later"}'),
    ]
    agent = create_agent(ScriptedChat(script=script), [now, search])
    agent.invoke(asked("What time is it?"), config)
    agent.invoke(asked("Who works now?"), config)


@scenario("debug", killed=True)
def killed_between(verbose: bool, config: RunnableConfig) -> None:
    """Killed in the second tool, after a result of 6 KB"""

    @tool
    def dump(table: str) -> str:
        """All rows."""
        return "\n".join(f'{n:03d}\t{{"table": "{table}", "ok": true}}\té' for n in range(150))

    @tool
    def upload(target: str, parts: list[int]) -> str:
        """Upload."""
        cast(Tape, sys.stdout).cut()
        return ""

    script = [
        say("", ("dump", {"table": "orders"})),
        say("Uploading.", ("upload", {"target": "s3://b/orders.csv", "parts": [1, 2, 3]})),
    ]
    create_agent(ScriptedChat(script=script), [dump, upload]).invoke(asked("Back up."), config)
