"""The open half: how runs fail inside one another, are stopped, and follow each other."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from typing import Any

from agents import (
    CALCULATOR,
    SEARCH,
    STRUCTURED,
    calling,
    explode,
    get_weather,
    now,
    react,
    refuse,
    search,
    text_tool,
)
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_classic.agents import AgentExecutor, AgentType, create_structured_chat_agent, initialize_agent
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import BaseTool, StructuredTool, create_retriever_tool, tool
from pydantic import BaseModel
from scenario import Half
from scripted import ScriptedChat, act, answer, say

HALF = Half()
scenario = HALF.scenario


@scenario()
def nested_error_caught(verbose: bool, config: RunnableConfig) -> None:
    """A nested agent dies by its tool; the outer agent's tool makes a text of it, and the run goes on"""

    def ask(text: str) -> str:
        script = [act("Ask.", "database", text)]
        agent = react(script, [text_tool("database", explode), SEARCH], verbose, label="b")
        try:
            return str(agent.invoke({"input": text})["output"])
        except ConnectionError as error:
            return f"The clerk failed: {error}"

    script = [
        act("Delegate.", "clerk", "order 7"),
        act("Look it up.", "search", "order 7"),
        answer("Nobody knows."),
    ]
    react(script, [text_tool("clerk", ask), SEARCH], verbose).invoke({"input": "Order 7?"}, config)


@scenario()
def nested_model_error_caught(verbose: bool, config: RunnableConfig) -> None:
    """Tool calling: a nested agent dies by its model, which the outer tool handles as an error of its own"""

    def clerk(order: int) -> str:
        script = [say("", ("now", {})), RuntimeError("the model is overloaded")]
        try:
            return str(
                calling(script, [now], verbose, label=f"b{order}").invoke({"input": f"Order {order}?"})["output"]
            )
        except RuntimeError as error:
            return refuse(f"{order} ({error})")

    tools: list[BaseTool] = [StructuredTool.from_function(clerk, description="Clerk.", handle_tool_error=True), search]
    script = [
        say("I ask.", ("clerk", {"order": 7})),
        say("", ("search", {"query": "orders"}), ("clerk", {"order": 8})),
        say("Nobody knows."),
    ]
    calling(script, tools, verbose).invoke({"input": "Order 7?"}, config)


@scenario()
def interrupted_then_again(verbose: bool, config: RunnableConfig) -> None:
    """A KeyboardInterrupt in a tool, which the program takes silently; then it asks another question"""

    def wait(text: str) -> str:
        raise KeyboardInterrupt

    with contextlib.suppress(KeyboardInterrupt):
        react([act("Wait.", "wait", "long")], [text_tool("wait", wait)], verbose).invoke({"input": "Wait."}, config)
    print("stopped by the user")
    react([act("Look.", "search", "b"), answer("Two days.")], [SEARCH], verbose, label="b").invoke(
        {"input": "Shipping?"}, config
    )


@scenario()
def timed_out_then_again(verbose: bool, config: RunnableConfig) -> None:
    """Calls side by side of which one is too slow: asyncio.timeout; then another question to the same agent"""
    seconds = iter([5.0, 0.01])

    async def slow(city: str) -> str:
        await asyncio.sleep(next(seconds))
        return f"{city}: 21.5"

    async def clock() -> str:
        return "noon"

    tools: list[BaseTool] = [
        StructuredTool.from_function(coroutine=slow, name="weather", description="Weather."),
        StructuredTool.from_function(coroutine=clock, name="clock", description="Time."),
    ]
    script = [
        say("Both.", ("weather", {"city": "Oslo"}), ("clock", {})),
        say("", ("weather", {"city": "Rome"})),
        say("Warm."),
    ]
    agent = calling(script, tools, verbose)

    async def ask() -> None:
        try:
            async with asyncio.timeout(0.5):
                await agent.ainvoke({"input": "Oslo?"}, config)
        except TimeoutError:
            print("ERROR: gave up after 0.5 s")
        await agent.ainvoke({"input": "Rome?"}, config)

    asyncio.run(ask())


@scenario()
def steps_kept(verbose: bool, config: RunnableConfig) -> None:
    """return_intermediate_steps, and a stream of steps read one by one, with prints between"""
    script = [act("Look.", "search", "a"), act("Add.", "calculator", "1 + 2"), answer("3 days.")]
    react(script, [SEARCH, CALCULATOR], verbose, return_intermediate_steps=True).invoke({"input": "How long?"}, config)
    script = [say("", ("search", {"query": "a"}), ("now", {})), say("At noon.")]
    for number, _ in enumerate(calling(script, [search, now], verbose, label="b").stream({"input": "When?"}, config)):
        print(f"step {number}")


@scenario()
def structured_chat_errors(verbose: bool, config: RunnableConfig) -> None:
    """Structured chat: prose, a tool that is not there, text as input, a list, two blobs"""
    script = [
        say("I just talk."),
        say('Action:\n```\n{"action": "browser", "action_input": "http://x"}\n```'),
        say('Thought: again\nAction:\n```json\n{"action": "search", "action_input": "shipping"}\n```\nObservation'),
        say('```\n[{"action": "now", "action_input": {}}]\n```'),
        say('```\n{"action": "Final Answer", "action_input": {"days": 2, "why": "handbook"}}\n```'),
    ]
    tools: list[BaseTool] = [search, now]
    agent = create_structured_chat_agent(ScriptedChat(script=script), tools, STRUCTURED)
    AgentExecutor(agent=agent, tools=tools, verbose=verbose, handle_parsing_errors=True).invoke(
        {"input": "Go."}, config
    )


@scenario()
def parsing_errors_told(verbose: bool, config: RunnableConfig) -> None:
    """handle_parsing_errors as a text, which looks like a step, and as a function"""
    script = [say(" I just talk."), act("Look.", "search", "a"), say(" Again."), answer("Done.")]
    react(
        list(script), [SEARCH], verbose, handle_parsing_errors="Check your output! Action: x, Action Input: y"
    ).invoke({"input": "Go."}, config)
    react(
        list(script), [SEARCH], verbose, label="b", handle_parsing_errors=lambda error: f"wrong: {error}"[:40]
    ).invoke({"input": "Go."}, config)


@scenario("verbose")
def stopped_early(verbose: bool, config: RunnableConfig) -> None:
    """Zero-shot, early_stopping_method="generate": after the last step the model is asked for an answer"""
    script = [act("Look.", "search", "a"), act("Again.", "search", "b"), answer("I could not find it.")]
    agent = initialize_agent(
        [SEARCH, CALCULATOR],
        ScriptedChat(script=script),
        AgentType.ZERO_SHOT_REACT_DESCRIPTION,
        verbose=verbose,
        max_iterations=2,
        early_stopping_method="generate",
    )
    agent.invoke({"input": "Find it."}, config)
    script = [act("Look.", "search", "a"), act("Again.", "search", "b")]
    react(script, [SEARCH], verbose, label="b", max_execution_time=0.0).invoke({"input": "Find it."}, config)


@scenario()
def unknown_beside(verbose: bool, config: RunnableConfig) -> None:
    """Two calls in one reply, the first of a tool that is not there; by invoke and by ainvoke"""
    script = [say("Both.", ("browser", {"url": "x"}), ("now", {})), say("", ("search", {"query": "x"})), say("Noon.")]
    calling(list(script), [now, search], verbose).invoke({"input": "Go."}, config)
    asyncio.run(calling(list(script), [now, search], verbose, label="b").ainvoke({"input": "Go."}, config))


@scenario()
def batch_in_turn(verbose: bool, config: RunnableConfig) -> None:
    """batch with one at a time: three questions, of which the second dies, and is returned as an error"""
    script = [
        act("Look.", "search", "a"),
        answer("Two days."),
        act("Ask.", "database", "b"),
        act("Add.", "calculator", "1 + 2"),
        answer("3"),
    ]
    agent = react(script, [SEARCH, CALCULATOR, text_tool("database", explode)], verbose)
    settings: RunnableConfig = {**config, "max_concurrency": 1}
    agent.batch([{"input": text} for text in "abc"], settings, return_exceptions=True)


@scenario()
def failed_then_tried_again(verbose: bool, config: RunnableConfig) -> None:
    """with_retry and with_fallbacks around an agent: the first attempt dies silently, the second answers"""
    script = [act("Ask.", "database", "a"), act("Look.", "search", "a"), answer("Two days.")]
    agent = react(script, [SEARCH, text_tool("database", explode)], verbose)
    agent.with_retry(stop_after_attempt=2, wait_exponential_jitter=False).invoke({"input": "How long?"}, config)
    first = calling([say("", ("now", {})), RuntimeError("overloaded")], [now], verbose, label="b")
    second = calling([say("", ("search", {"query": "x"})), say("Two days.")], [search], verbose, label="c")
    first.with_fallbacks([second]).invoke({"input": "How long?"}, config)


class Handbook(BaseRetriever):
    """Two documents, whatever is asked."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any) -> list[Document]:
        return [Document(f"Of {query}:\ntwo days."), Document("Observation: five abroad.")]


@scenario()
def retriever_as_tool(verbose: bool, config: RunnableConfig) -> None:
    """A retriever as a tool of an agent, and of a chain of one's own before another agent"""
    handbook = create_retriever_tool(Handbook(), "handbook", "The handbook.")
    script = [
        say("", ("handbook", {"query": "shipping"})),
        say("", ("handbook", {"query": "abroad"})),
        say("Two days."),
    ]
    calling(script, [handbook, search], verbose).invoke({"input": "How long?"}, config)
    agent = react([act("Look.", "search", "a"), answer("Two.")], [SEARCH], verbose, label="b")
    found = Handbook() | RunnableLambda(lambda documents: {"input": documents[0].page_content})
    (found | agent).invoke("shipping", config)


@scenario()
def beside_again(verbose: bool, config: RunnableConfig) -> None:
    """Calls side by side of tools that were, or will be, called alone: colours tell which result is whose"""

    def tool_of(name: str, wait: float) -> StructuredTool:
        async def act_(about: str) -> str:
            await asyncio.sleep(wait)
            return f"{name} of {about}"

        return StructuredTool.from_function(coroutine=act_, name=name, description=name)

    tools: list[BaseTool] = [tool_of("clock", 0.2), tool_of("weather", 0.1), tool_of("search", 0.05)]
    script = [
        say("", ("weather", {"about": "Oslo"})),
        say("", ("search", {"about": "a"}), ("clock", {"about": "a"}), ("weather", {"about": "a"})),
        say("", ("clock", {"about": "b"})),
        say("", ("clock", {"about": "c"}), ("search", {"about": "c"}), ("weather", {"about": "c"})),
        say("Done."),
    ]
    asyncio.run(calling(script, tools, verbose).ainvoke({"input": "Everything?"}, config))


class Forecast(BaseModel):
    """An answer."""

    city: str
    warm: bool


@scenario("debug")
def answer_as_tool(verbose: bool, config: RunnableConfig) -> None:
    """create_agent with ToolStrategy: the last call is the answer, and no tool runs"""
    script = [say("", ("get_weather", {"city": "Oslo"})), say("", ("Forecast", {"city": "Oslo", "warm": True}))]
    agent = create_agent(ScriptedChat(script=script), [get_weather], response_format=ToolStrategy(Forecast))
    agent.invoke({"messages": [{"role": "user", "content": "Warm?"}]}, config)


@scenario("debug")
def create_agent_unknown(verbose: bool, config: RunnableConfig) -> None:
    """create_agent: calls of a tool that is not there, alone and beside another"""
    script = [
        say("", ("browser", {"url": "x"})),
        say("", ("browser", {"url": "y"}), ("now", {})),
        say("Noon."),
    ]
    agent = create_agent(ScriptedChat(script=script), [now, search])
    agent.invoke({"messages": [{"role": "user", "content": "Go."}]}, config)


@scenario("debug", raises=(RuntimeError,))
def create_agent_second_fails(verbose: bool, config: RunnableConfig) -> None:
    """create_agent: one question answered, the next dies by its model; prints between"""
    script = [say("", ("now", {})), say("Noon."), say("", ("now", {})), RuntimeError("overloaded")]
    agent = create_agent(ScriptedChat(script=script), [now])
    for text in ("When?", "And now?"):
        print(f"question: {text}")
        agent.invoke({"messages": [{"role": "user", "content": text}]}, config)


@scenario("debug")
def create_agent_nested_error_caught(verbose: bool, config: RunnableConfig) -> None:
    """create_agent: two agents as tools, called side by side; one dies, of which its tool makes a text"""

    @tool
    def clerk(order: int) -> str:
        """Ask the clerk."""
        inner = create_agent(ScriptedChat(script=[say("", ("now", {})), RuntimeError("overloaded")], label="b"), [now])
        try:
            return str(inner.invoke({"messages": [{"role": "user", "content": f"Order {order}?"}]}))
        except RuntimeError as error:
            return f"The clerk failed: {error}"

    @tool
    def porter(order: int) -> str:
        """Ask the porter."""
        script = [say("", ("search", {"query": str(order)})), say("On its way.")]
        inner = create_agent(ScriptedChat(script=script, label="c"), [search])
        return str(inner.invoke({"messages": [{"role": "user", "content": f"Order {order}?"}]})["messages"][-1].content)

    script = [say("Both.", ("clerk", {"order": 7}), ("porter", {"order": 7})), say("On its way.")]
    agent = create_agent(ScriptedChat(script=script), [clerk, porter])
    agent.invoke({"messages": [{"role": "user", "content": "Order 7?"}]}, {**config, "max_concurrency": 1})


@scenario(killed=True)
def killed_nested_parallel(verbose: bool, config: RunnableConfig) -> None:
    """Killed in the tool of a nested agent, while the outer one has two calls side by side"""

    async def cut(text: str) -> str:
        return str(sys.stdout.cut())  # type: ignore[attr-defined]

    async def ask(order: int) -> str:
        wait = text_tool("wait", lambda text: text, coroutine=cut)
        agent = react([act("Wait.", "wait", "long")], [wait], verbose, label="b")
        return str(await agent.ainvoke({"input": f"Order {order}?"}))

    clerk = StructuredTool.from_function(coroutine=ask, name="clerk", description="Clerk.")
    script = [say("", ("search", {"query": "a"})), say("Both.", ("clerk", {"order": 7}), ("now", {}))]
    asyncio.run(calling(script, [clerk, search, now], verbose).ainvoke({"input": "Order 7?"}, config))
