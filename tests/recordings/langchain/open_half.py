"""The scenarios that the parsers were written with."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from agents import (
    CALCULATOR,
    SEARCH,
    STRUCTURED,
    TRICKY_INPUTS,
    TRICKY_RESULTS,
    calling,
    explode,
    get_weather,
    now,
    react,
    refuse,
    search,
    text_tool,
    tricky_tools,
)
from langchain.agents import create_agent
from langchain_classic.agents import AgentExecutor, AgentType, create_structured_chat_agent, initialize_agent
from langchain_classic.chains import LLMChain, SequentialChain
from langchain_core.callbacks import StdOutCallbackHandler
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool, tool
from scenario import Half
from scripted import ScriptedChat, ScriptedLLM, act, answer, say

HALF = Half()
scenario = HALF.scenario


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
