"""Record what LlamaIndex 0.12 prints, beside the truth told by its callbacks.

Run by hand, offline, in an environment of its own: ``pip install -r requirements_0_12.txt``, then
``python generate_0_12.py [scenario ...]``. ``verbose``: function-calling and ReAct agents, the sub-question and the
router engine with ``verbose=True``; ``steps``: workflows with ``verbose=True``; ``tree``: the debug handler.
"""

from __future__ import annotations

import asyncio
import warnings
from typing import Any

from before_workflows import Scripted, asked, observed, record, say, tools
from llama_index.core import (
    Document,
    MockEmbedding,
    Settings,
    SummaryIndex,
    VectorStoreIndex,
    get_response_synthesizer,
)
from llama_index.core.agent import FunctionCallingAgentWorker, ReActAgent
from llama_index.core.agent.workflow import AgentOutput, AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.callbacks import LlamaDebugHandler
from llama_index.core.query_engine import RouterQueryEngine, SubQuestionQueryEngine
from llama_index.core.question_gen import LLMQuestionGenerator
from llama_index.core.selectors import LLMSingleSelector
from llama_index.core.tools import QueryEngineTool
from llama_index.core.tools.types import ToolMetadata
from tape import Scenario, Tape, Truth

warnings.simplefilter("ignore")
DONE = "Thought: I can answer without using any more tools.\nAnswer: "


def model(*script: Any) -> Scripted:
    return Scripted(script=list(script), callback_manager=Settings.callback_manager)


def worker(script: list[Any], known: Any) -> Any:
    made = FunctionCallingAgentWorker.from_tools(
        known, llm=model(*script), verbose=True, callback_manager=Settings.callback_manager, max_function_calls=9
    )
    return made.as_agent(verbose=True, callback_manager=Settings.callback_manager)


def functions(tape: Tape, truth: Truth, script: list[Any], *questions: str, handlers: Any = ()) -> None:
    with observed(tape, truth, *handlers):
        asked(truth, worker(script, tools(tape)), *questions)


def functions_several_tools(tape: Tape, truth: Truth) -> None:
    script = [
        say("Let me see.", ("search", {"query": "a"})), say("", ("lookup", {"order": 7})),
        say("", ("document", {"name": "Ørsted"})), say("It comes\n\nin two days."),
    ]  # fmt: skip
    functions(tape, truth, script, "Where is my order?")


def functions_tool_fails(tape: Tape, truth: Truth) -> None:
    script = [
        say("I ask.", ("broken", {"table": "orders"})), say("", ("browser", {"url": "x"})),
        say("", ("search", {"query": "orders"})), say("Five."),
    ]  # fmt: skip
    functions(tape, truth, script, "Count")


def functions_parallel_calls(tape: Tape, truth: Truth) -> None:
    calls = (("weather", {"city": "Oslo"}), ("weather", {"city": "Rome", "day": "Monday"}), ("lookup", {"order": 1}))
    script = [say("All at once:\n1. Oslo\n2. Rome", *calls), say("Rome."), say("You are welcome.")]
    functions(tape, truth, script, "Compare", "Thanks")


def functions_tricky(tape: Tape, truth: Truth) -> None:
    odd = 'it\'s "quoted" {a: [1]} with args: {} C:\\temp\n第二行'
    script = [
        say("Ищу: «всё»", ("search", {"query": odd})), say("", ("manual", {"topic": "agents"})),
        say("", ("weather", {"city": "Köln, \"Dom\"", "day": "{'x': 1}"})), say("5 € — 'all'...\nThought: none"),
    ]  # fmt: skip
    functions(tape, truth, script, "Odd: '{...}'\nand more: \"x\"")


def functions_empty_and_long(tape: Tape, truth: Truth) -> None:
    script = [
        say("", ("silent", {"path": "/tmp/a"})), say("", ("report", {"pages": 300})),
        say("", ("one_line", {"size": 9000})), say("\n".join(f"{number}. well" for number in range(80))),
    ]  # fmt: skip
    functions(tape, truth, script, "Clean up. " + "x" * 300)


def functions_interrupted(tape: Tape, truth: Truth) -> None:
    script = [say("Look.", ("search", {"query": "a"})), say("Slow.", ("endless", {"pages": 2}))]
    functions(tape, truth, script, "Go")


def functions_model_fails(tape: Tape, truth: Truth) -> None:
    functions(tape, truth, [say("", ("search", {"query": "x"})), RuntimeError("the model refuses")], "Fail")


def as_tool(engine: Any, name: str) -> QueryEngineTool:
    return QueryEngineTool(query_engine=engine, metadata=ToolMetadata(name=name, description=f"{name} knows"))


def functions_nested(tape: Tape, truth: Truth) -> None:
    with observed(tape, truth):
        clerk = worker([say("", ("lookup", {"order": 2})), say("Shipped,\nsays the clerk.")], tools())
        script = [
            say("I ask the clerk.", ("clerk", {"input": "order 2?"})), say("", ("search", {"query": "b"})),
            say("It is shipped."),
        ]  # fmt: skip
        asked(truth, worker(script, [as_tool(clerk, "clerk"), *tools()]), "Order 2?")


def react_nested(tape: Tape, truth: Truth) -> None:
    with observed(tape, truth):
        inner = ReActAgent.from_tools(
            tools(), verbose=True, callback_manager=Settings.callback_manager,
            llm=model('Thought: Look.\nAction: lookup\nAction Input: {"order": 2}', DONE + "Shipped.\nYesterday."),
        )  # fmt: skip
        outer = ReActAgent.from_tools(
            [as_tool(inner, "clerk")], verbose=True, callback_manager=Settings.callback_manager,
            llm=model('Thought: Ask.\nAction: clerk\nAction Input: {"input": "order 2?"}', DONE + "Shipped."),
        )  # fmt: skip
        asked(truth, outer, "Order 2?")


def engine(text: str, *answers: str) -> Any:
    index = SummaryIndex.from_documents([Document(text=text)], callback_manager=Settings.callback_manager)
    return index.as_query_engine(llm=model(*answers))


def sub_questions(*pairs: tuple[str, str, str], answer: str) -> Any:
    """An engine that asks each (tool, question, answer)."""
    names = list(dict.fromkeys(name for name, _, _ in pairs))
    items = ",\n".join(f'{{"sub_question": "{question}", "tool_name": "{name}"}}' for name, question, _ in pairs)
    known = [
        as_tool(engine(f"All about {name}.", *(said for of, _, said in pairs if of == name)), name) for name in names
    ]
    return SubQuestionQueryEngine.from_defaults(
        known, llm=model(answer), verbose=True, use_async=False,
        question_gen=LLMQuestionGenerator.from_defaults(llm=model(f'```json\n{{"items": [{items}]}}\n```')),
        response_synthesizer=get_response_synthesizer(
            llm=model(answer), callback_manager=Settings.callback_manager, use_async=False
        ),
    )  # fmt: skip


def questions(tape: Tape, truth: Truth) -> None:
    with observed(tape, truth):
        pairs = (
            ("lyft", "How did Lyft do?", "Well."), ("uber", "How did Uber do?", "Badly:\n- less rides\n- more cost"),
            ("lyft", "Since when?", "2021"),
        )  # fmt: skip
        truth.answer = str(sub_questions(*pairs, answer="Lyft.").query("Compare"))


def questions_more(tape: Tape, truth: Truth) -> None:
    with observed(tape, truth):
        pairs = (
            ("the_files", "Wie geht's [A]: {x} Q: y?", "Gut: [b] A: 'c'"), ("other", "第二?", "第一\n\n[other] no mark"),
            ("third", "Anything?", "x" * 3000),
        )  # fmt: skip
        truth.answer = str(sub_questions(*pairs, answer="Gut.").query("Alles?"))


def router(tape: Tape, truth: Truth) -> None:
    with observed(tape, truth):
        chosen = RouterQueryEngine(
            selector=LLMSingleSelector.from_defaults(llm=model('[{"choice": 2, "reason": "it is about orders"}]')),
            query_engine_tools=[as_tool(engine("A", "a"), "handbook"), as_tool(engine("B", "Two days."), "orders")],
            verbose=True, llm=model("unused"),
        )  # fmt: skip
        truth.answer = str(chosen.query("Order 2?"))


def steps(tape: Tape, truth: Truth, agents: list[Any], question: str) -> None:
    async def watched() -> None:
        handler = AgentWorkflow(agents=agents, root_agent=agents[0].name, verbose=True).run(question)
        async for event in handler.stream_events():
            if isinstance(event, ToolCallResult):
                call = truth.call(event.tool_name, event.tool_kwargs, event.tool_id, None)
                call["result"] = event.tool_output.content
            elif isinstance(event, AgentOutput):
                truth.model("scripted-1", None, None)
        truth.answer = str(await handler)

    with observed(tape, truth):
        asyncio.run(watched())


def workflow_steps(tape: Tape, truth: Truth) -> None:
    agent = FunctionAgent(
        name="Support", description="helps", tools=tools(),
        llm=Scripted(script=[say("I look.", ("search", {"query": "a"})), say("Two days.")]),
    )  # fmt: skip
    steps(tape, truth, [agent], "How long?")


def workflow_steps_more(tape: Tape, truth: Truth) -> None:
    agent = FunctionAgent(
        name="Support", description="helps", tools=tools(),
        llm=Scripted(
            script=[
                say("", ("weather", {"city": "Oslo"}), ("weather", {"city": "Rome"})),
                say("", ("broken", {"table": "t"})), RuntimeError("the model refuses"),
            ]
        ),
    )  # fmt: skip
    steps(tape, truth, [agent], "Compare")


def vector(tape: Tape, truth: Truth) -> None:
    with observed(tape, truth, LlamaDebugHandler(print_trace_on_end=True)):
        index = VectorStoreIndex.from_documents(
            [Document(text="Two days within the country."), Document(text="Five days abroad.")],
            embed_model=MockEmbedding(embed_dim=4, callback_manager=Settings.callback_manager),
            callback_manager=Settings.callback_manager,
        )
        truth.answer = str(index.as_query_engine(llm=model("Two days.")).query("How long?"))


def agent_and_tree(tape: Tape, truth: Truth) -> None:
    script = [say("I look.", ("search", {"query": "a"})), say("", ("lookup", {"order": 2})), say("Two days.")]
    functions(tape, truth, script, "How long?", "Thanks", handlers=[LlamaDebugHandler(print_trace_on_end=True)])


def questions_and_tree(tape: Tape, truth: Truth) -> None:
    with observed(tape, truth, LlamaDebugHandler(print_trace_on_end=True)):
        pairs = (("lyft", "How did Lyft do?", "Well."), ("uber", "How did Uber do?", "Badly."))
        truth.answer = str(sub_questions(*pairs, answer="Lyft.").query("Compare"))


def failing_tree(tape: Tape, truth: Truth) -> None:
    with observed(tape, truth, LlamaDebugHandler(print_trace_on_end=True)):
        made = engine("Two days.", "Two days.")
        truth.answer = str(made.query("How long?"))
        made.query("And now?")


def react_and_tree(tape: Tape, truth: Truth) -> None:
    with observed(tape, truth, LlamaDebugHandler(print_trace_on_end=True)):
        agent = ReActAgent.from_tools(
            [as_tool(engine("Two days.", "Two days."), "handbook")], verbose=False,
            callback_manager=Settings.callback_manager,
            llm=model('Thought: Ask.\nAction: handbook\nAction Input: {"input": "how long?"}', DONE + "Two."),
        )  # fmt: skip
        asked(truth, agent, "How long?")


SCENARIOS = {
    "functions_several_tools.verbose": Scenario("three tools: lines, a dict, JSON", functions_several_tools),
    "functions_tool_fails.verbose": Scenario("a tool fails, another does not exist", functions_tool_fails),
    "functions_nested.verbose": Scenario("an agent as another's tool", functions_nested),
    "functions_model_fails.verbose": Scenario("the model raises", functions_model_fails),
    "questions.verbose": Scenario("the sub-question engine", questions),
    "router.verbose": Scenario("the router engine", router),
    "workflow.steps": Scenario("a workflow's steps", workflow_steps),
    "vector.tree": Scenario("a vector index made and queried", vector),
    "agent.tree": Scenario("an agent's steps, and its verbose output between; its script ends", agent_and_tree),
    "functions_parallel_calls.verbose": Scenario(
        "three calls in one reply; two questions", functions_parallel_calls, held_out=True
    ),
    "functions_tricky.verbose": Scenario(
        "quotes, braces, other scripts, marker words", functions_tricky, held_out=True
    ),
    "functions_empty_and_long.verbose": Scenario("nothing, very much", functions_empty_and_long, held_out=True),
    "functions_interrupted.verbose": Scenario("killed within a tool", functions_interrupted, held_out=True),
    "react_nested.verbose": Scenario("ReAct: an agent as another's tool", react_nested, held_out=True),
    "questions_more.verbose": Scenario("sub-questions of odd letters, a long answer", questions_more, held_out=True),
    "workflow_fails.steps": Scenario("a workflow's steps, until the model raises", workflow_steps_more, held_out=True),
    "questions.tree": Scenario("the sub-question engine, verbose too", questions_and_tree, held_out=True),
    "failing.tree": Scenario("a query whose model raises", failing_tree, held_out=True),
    "react.tree": Scenario("a ReAct agent, not verbose, with a query engine as tool", react_and_tree, held_out=True),
}

if __name__ == "__main__":
    record(SCENARIOS, ("llama-index-core",))
