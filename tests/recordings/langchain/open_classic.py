"""The open half: agents of LangChain classic with a grammar of their own, and what stands between calls and results."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agents import CALCULATOR, CALLING, SEARCH, calling, get_weather, now, react, search, text_tool
from langchain_classic.agents import (
    AgentExecutor,
    AgentType,
    create_json_chat_agent,
    create_openai_functions_agent,
    create_xml_agent,
    initialize_agent,
)
from langchain_classic.memory import ConversationBufferMemory
from langchain_core.callbacks import StdOutCallbackHandler
from langchain_core.messages import AIMessage
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, Tool
from scenario import Half
from scripted import ScriptedChat, act, answer, say

HALF = Half()
scenario = HALF.scenario
XML = PromptTemplate.from_template("Tools: {tools}\nAnswer in XML.\nQuestion: {input}\n{agent_scratchpad}")
JSON_CHAT = ChatPromptTemplate.from_messages(
    [
        ("system", "Answer with a JSON blob. Tools:\n{tools}\nValid actions: Final Answer or {tool_names}"),
        ("human", "{input}"),
        ("placeholder", "{agent_scratchpad}"),
    ]
)


@scenario()
def xml_agent(verbose: bool, config: RunnableConfig) -> None:
    """create_xml_agent: calls and the answer in tags; an input of several lines, an escaped one, none, text before it"""
    script = [
        say("<tool>search</tool><tool_input>shipping times"),
        say("Let me see.\n<tool>search</tool><tool_input>a <b>\n'two' {lines}</tool_input>"),
        say("<tool>search</tool>\n<tool_input>the tag [[tool]]x[[/tool]]</tool_input>"),
        say("<tool>clock</tool>"),
        say("I know it.\n<final_answer>Two days,\nor <one>.</final_answer>"),
    ]
    script[0].content += "</tool_input>"
    tools: list[BaseTool] = [SEARCH, text_tool("clock", lambda _: "noon")]
    agent = create_xml_agent(ScriptedChat(script=script), tools, XML)
    AgentExecutor(agent=agent, tools=tools, verbose=verbose).invoke({"input": "Shipping?"}, config)


@scenario()
def self_ask_search(verbose: bool, config: RunnableConfig) -> None:
    """Self-ask with search: follow-up questions, intermediate answers"""
    script = [
        say("Yes.\nFollow up: How long does the first leg take?"),
        say("So the first leg takes: two days.\nFollowup: And the second: by sea?"),
        say("So the final answer is: Five days"),
    ]
    legs = iter(["Two days,\nsays the handbook.", "Three days: by sea."])
    tool = Tool(name="Intermediate Answer", func=lambda _: next(legs), description="Search.")
    agent = initialize_agent([tool], ScriptedChat(script=script), AgentType.SELF_ASK_WITH_SEARCH, verbose=verbose)
    agent.invoke({"input": "How long in all?"}, config)


@scenario()
def json_chat(verbose: bool, config: RunnableConfig) -> None:
    """create_json_chat_agent: blobs bare, in a fence, with words before it, over several lines; inputs of any type"""
    fenced = json.dumps({"action": "search", "action_input": {"query": "a `b`", "limit": 2}}, indent=4)
    script = [
        say('{"action": "search", "action_input": {"query": "shipping"}}'),
        say(f"I should search again.\n\n```json\n{fenced}\n```"),
        say('```\n{"action": "now", "action_input": {}}\n```'),
        say('{\n  "action": "now"\n}'),
        say('{"action": "Final Answer", "action_input": "Two days.\\nOr \\"three\\"."}'),
    ]
    tools: list[BaseTool] = [search, now]
    agent = create_json_chat_agent(ScriptedChat(script=script), tools, JSON_CHAT)
    AgentExecutor(agent=agent, tools=tools, verbose=verbose).invoke({"input": "Shipping?"}, config)


@scenario()
def conversation(verbose: bool, config: RunnableConfig) -> None:
    """Conversational ReAct agent with a memory, two turns: `Do I need to use a tool?`, `AI:` before the answer"""
    script = [
        say("Thought: Do I need to use a tool? Yes\nAction: search\nAction Input: shipping times"),
        say("Do I need to use a tool? Yes\nAction: calculator\nAction Input: 1 + 2"),
        say("Do I need to use a tool? No\nAI: It takes three days.\n\n- one\n- two"),
        say("AI: You asked me of shipping."),
    ]
    agent = initialize_agent(
        [SEARCH, CALCULATOR],
        ScriptedChat(script=script),
        AgentType.CONVERSATIONAL_REACT_DESCRIPTION,
        verbose=verbose,
        memory=ConversationBufferMemory(memory_key="chat_history"),
    )
    agent.invoke({"input": "How long do both take?"}, config)
    agent.invoke({"input": "What did I ask?"}, config)


@scenario()
def conversation_chat(verbose: bool, config: RunnableConfig) -> None:
    """Conversational agent for chat models: blobs in a fence, observation and thought prefixes"""
    script = [
        say('```json\n{\n    "action": "search",\n    "action_input": "shipping times"\n}\n```'),
        say('{"action": "calculator", "action_input": "1 + 2"}'),
        say('```json\n{\n    "action": "Final Answer",\n    "action_input": "Three days."\n}\n```'),
    ]
    agent = initialize_agent(
        [SEARCH, CALCULATOR],
        ScriptedChat(script=script),
        AgentType.CHAT_CONVERSATIONAL_REACT_DESCRIPTION,
        verbose=verbose,
        memory=ConversationBufferMemory(memory_key="chat_history", return_messages=True),
    )
    agent.invoke({"input": "How long do both take?"}, config)


@scenario()
def openai_functions(verbose: bool, config: RunnableConfig) -> None:
    """create_openai_functions_agent: calls in additional_kwargs, without ids; with a text, and without arguments"""

    def function(name: str, arguments: str, content: str = "") -> AIMessage:
        reply = say(content)
        reply.additional_kwargs["function_call"] = {"name": name, "arguments": arguments}
        return reply

    script = [
        function("search", '{"query": "shipping", "limit": 2}'),
        function("get_weather", '{"city": "Łódź"}', "And the weather:\none moment."),
        function("now", ""),
        function("clock", '{"__arg1": "in \'UTC\'"}'),
        say("Two days; it is 21.5 °C."),
    ]
    tools: list[BaseTool] = [search, get_weather, now, text_tool("clock", lambda zone: f"noon {zone}")]
    agent = create_openai_functions_agent(ScriptedChat(script=script), tools, CALLING)
    AgentExecutor(agent=agent, tools=tools, verbose=verbose).invoke({"input": "Shipping and weather?"}, config)


@scenario()
def tools_alone(verbose: bool, config: RunnableConfig) -> None:
    """Tools that a program calls itself, without an agent: results alone are printed, green, the last as a tool message"""
    if verbose:
        config = {**config, "callbacks": [*config["callbacks"], StdOutCallbackHandler(color="green")]}  # type: ignore[misc]
    search.invoke({"query": "shipping"}, config)
    print()
    get_weather.invoke({"city": "Oslo"}, config)
    print()
    now.invoke({}, config)
    print()
    call = {"name": "search", "args": {"query": "a"}, "id": "call_x1", "type": "tool_call"}
    search.invoke(call, config)
    print()


@scenario()
def nested_beside(verbose: bool, config: RunnableConfig) -> None:
    """Three calls side by side (ainvoke), one of which runs an agent; its steps and results come between theirs"""

    async def research(topic: str) -> str:
        script = [act("Look it up.", "search", topic), answer(f"All of {topic}.")]
        done = await react(script, [SLOW_SEARCH], verbose, label="b").ainvoke({"input": topic})
        return str(done["output"])

    async def weather(city: str) -> str:
        await asyncio.sleep(0.3)
        return f"{city}: 21.5"

    async def clock() -> str:
        await asyncio.sleep(0.05)
        return "midnight"

    tools: list[BaseTool] = [
        StructuredTool.from_function(coroutine=weather, name="weather", description="Weather."),
        StructuredTool.from_function(coroutine=research, name="research", description="Ask the research agent."),
        StructuredTool.from_function(coroutine=clock, name="clock", description="Time."),
    ]
    script = [
        say("All at once.", ("weather", {"city": "Oslo"}), ("research", {"topic": "shipping"}), ("clock", {})),
        say("It is warm."),
    ]
    asyncio.run(calling(script, tools, verbose).ainvoke({"input": "Everything?"}, config))


async def _slow(text: str) -> str:
    await asyncio.sleep(0.1)
    return f"found {text}"


def _never(text: str) -> str:
    raise NotImplementedError(text)


SLOW_SEARCH = Tool(name="search", func=_never, coroutine=_slow, description="Search.")


@scenario()
def log_lines(verbose: bool, config: RunnableConfig) -> None:
    """Tools that log as on Lambda in the middle of their runs: one line, several, one of several lines, a print"""

    # Of a request each, as of two invocations.
    request = f"8f507cfc-1111-4e07-98b2-7e6c9aa0f7a{int(verbose)}"
    log = f"[INFO]\t2026-03-02T10:15:04.377Z\t{request}\t"

    def lookup(text: str) -> str:
        print(f"{log}looking up {text}")
        print(f"{log}found:\n  - one\n  - two")
        return "Two rows:\n[INFO] not a log line"

    def noisy() -> str:
        print("warming up")
        print(f"{log}Found credentials in environment variables.")
        return "noon"

    @scenario_tool
    def order(number: int) -> str:
        """One order."""
        print(f"[WARNING]\t2026-03-02T10:15:05.001Z\t{request}\tslow query: {number}")
        return json.dumps({"number": number, "open": True})

    clock = StructuredTool.from_function(noisy, name="clock", description="Time.")
    react([act("Look it up.", "lookup", "orders"), answer("Two.")], [text_tool("lookup", lookup)], verbose).invoke(
        {"input": "How many?"}, config
    )
    print(f"{log}between the runs")
    script = [
        say("Both.", ("order", {"number": 7}), ("clock", {})),
        say("", ("order", {"number": 8})),
        say("Open,\nat noon."),
    ]
    calling(script, [order, clock], verbose, label="b").invoke({"input": "Order 7?"}, config)


def scenario_tool(answer_: Any) -> StructuredTool:
    """A tool of a function's own arguments."""
    return StructuredTool.from_function(answer_)
