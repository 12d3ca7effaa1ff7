"""The open half: agents and graphs that carry a name of their own, tokens printed as they come, batches."""

from __future__ import annotations

from typing import Any

from agents import get_weather, now, search
from langchain.agents import create_agent
from langchain_classic.chains import LLMChain, MapReduceDocumentsChain, ReduceDocumentsChain, StuffDocumentsChain
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from scenario import Half
from scripted import ScriptedChat, ScriptedLLM, StreamingChat, say

HALF = Half()
scenario = HALF.scenario


@scenario("debug", agents=("support",))
def named_agent(verbose: bool, config: RunnableConfig) -> None:
    """create_agent with a name; a call without arguments, two calls in one reply"""
    script = [
        say("", ("now", {}), tokens=(150, 20)),
        say("And both.", ("get_weather", {"city": "Oslo"}), ("now", {}), tokens=(180, 22)),
        say("It is noon.", tokens=(260, 12)),
    ]
    agent = create_agent(ScriptedChat(script=script), [now, get_weather], name="support")
    agent.invoke({"messages": [{"role": "user", "content": "Time and weather?"}]}, config)


@scenario("debug", agents=("support desk", "researcher"))
def named_agent_nested(verbose: bool, config: RunnableConfig) -> None:
    """A tool of a named agent runs another, twice"""
    inner = create_agent(
        ScriptedChat(
            script=[
                say("", ("search", {"query": "shipping"})),
                say("Two days."),
                say("", ("now", {})),
                say("At noon."),
            ],
            label="b",
        ),
        [search, now],
        name="researcher",
    )

    @tool
    def research(topic: str, options: dict[str, Any] | None = None) -> str:
        """Ask the research agent."""
        done = inner.invoke({"messages": [{"role": "user", "content": topic}]})
        return str(done["messages"][-1].content)

    script = [
        say("I will ask.", ("research", {"topic": "shipping", "options": {}})),
        say("", ("research", {"topic": "the hour"})),
        say("Two days, at noon."),
    ]
    agent = create_agent(ScriptedChat(script=script), [research], name="support desk")
    agent.invoke({"messages": [{"role": "user", "content": "How long?"}]}, config)


@scenario("debug", agents=("concierge",))
def named_graph(verbose: bool, config: RunnableConfig) -> None:
    """A graph of one's own, compiled with a name: a node around the model, a ToolNode"""
    model = ScriptedChat(script=[say("", ("now", {})), say("", ("search", {"query": "a"})), say("Noon.")])

    def assistant(state: MessagesState) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    graph = StateGraph(MessagesState)
    graph.add_node("assistant", assistant)
    graph.add_node("tools", ToolNode([now, search]))
    graph.add_edge(START, "assistant")
    graph.add_conditional_edges("assistant", tools_condition)
    graph.add_edge("tools", "assistant")
    compiled = graph.compile(name="concierge")
    compiled.invoke({"messages": [{"role": "user", "content": "What time is it?"}]}, config)


@scenario("debug")
def chains_with_names(verbose: bool, config: RunnableConfig) -> None:
    """Chains that have names and are no agents: an LCEL chain, one inside another"""
    outline = (PromptTemplate.from_template("Outline {topic}.") | ScriptedLLM(script=["One. Two."])).with_config(
        run_name="outline"
    )
    chain = (outline | StrOutputParser()).with_config(run_name="writer")
    chain.invoke({"topic": "shipping"}, config)


@scenario("debug")
def streamed_tokens(verbose: bool, config: RunnableConfig) -> None:
    """A program prints an agent's tokens as they come, without a newline: entries begin in the middle of lines"""
    script = [
        say("Let me look.", ("search", {"query": "shipping"}), tokens=(150, 20)),
        say("", ("now", {})),
        say("Two days, and it is noon.", tokens=(260, 12)),
    ]
    agent = create_agent(StreamingChat(script=script), [search, now])
    asked: Any = {"messages": [{"role": "user", "content": "Shipping?"}]}
    for message, _ in agent.stream(asked, config, stream_mode="messages"):
        if isinstance(message, AIMessage) and message.text:
            print(message.text, end="", flush=True)
    print()


@scenario()
def map_reduce(verbose: bool, config: RunnableConfig) -> None:
    """MapReduceDocumentsChain: the model is called with three prompts at once, then with one"""
    model = ScriptedLLM(
        script=["First.", "Second.", "Third.", "All three."], custom_get_token_ids=lambda text: [*range(len(text))]
    )
    each = LLMChain(llm=model, prompt=PromptTemplate.from_template("Sum up: {page}"), verbose=verbose)
    whole = LLMChain(llm=model, prompt=PromptTemplate.from_template("Sum up all: {pages}"), verbose=verbose)
    stuff = StuffDocumentsChain(
        llm_chain=whole,
        document_prompt=PromptTemplate.from_template("{page_content}"),
        document_variable_name="pages",
        verbose=verbose,
    )
    chain = MapReduceDocumentsChain(
        llm_chain=each,
        reduce_documents_chain=ReduceDocumentsChain(combine_documents_chain=stuff, verbose=verbose),
        document_variable_name="page",
        verbose=verbose,
    )
    pages = [Document(page_content=text) for text in ("Orders ship.", "Orders return.", "Orders wait.")]
    chain.invoke({"input_documents": pages}, config)


@scenario("debug")
def chat_batch(verbose: bool, config: RunnableConfig) -> None:
    """A chat model asked for two replies at once by generate, then by batch"""
    model = ScriptedChat(script=[say(f"Reply {n}.", tokens=(100 + n, 10 + n)) for n in range(4)])
    model.generate([[HumanMessage("First?")], [HumanMessage("Second?")]], callbacks=config["callbacks"])
    model.batch(["Third?", "Fourth?"], {**config, "max_concurrency": 1})  # type: ignore[misc]
