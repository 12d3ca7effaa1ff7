"""Record what LlamaIndex 0.10 prints, beside the truth told by its callbacks.

Run by hand, offline, in an environment of its own: ``pip install -r requirements_0_10.txt``, then
``python generate_0_10.py [scenario ...]``. ``verbose``: ``OpenAIAgent`` (against a model on loopback) and
``ReActAgent`` with ``verbose=True``; ``tree``: the debug handler.
"""

from __future__ import annotations

import warnings
from typing import Any

from before_workflows import Scripted, asked, observed, record, tools
from llama_index.agent.openai import OpenAIAgent
from llama_index.core import Document, Settings, SummaryIndex
from llama_index.core.agent import ReActAgent
from llama_index.core.callbacks import LlamaDebugHandler
from llama_index.llms.openai import OpenAI
from scripted_openai import serving
from tape import Scenario, Tape, Truth

warnings.simplefilter("ignore")
DONE = "Thought: I can answer without using any more tools.\nAnswer: "


def openai(tape: Tape, truth: Truth, script: list[Any], *questions: str) -> None:
    with observed(tape, truth), serving(script) as url:
        model = OpenAI(
            model="gpt-4o-mini", api_base=url, api_key="none", max_retries=0, callback_manager=Settings.callback_manager
        )
        agent = OpenAIAgent.from_tools(tools(tape), llm=model, verbose=True, callback_manager=Settings.callback_manager)
        asked(truth, agent, *questions)


def react(tape: Tape, truth: Truth, script: list[Any], *questions: str) -> None:
    with observed(tape, truth):
        model = Scripted(script=script, callback_manager=Settings.callback_manager)
        agent = ReActAgent.from_tools(
            tools(tape), llm=model, verbose=True, callback_manager=Settings.callback_manager, max_iterations=20
        )
        asked(truth, agent, *questions)


def act(thought: str, name: str, given: str) -> str:
    return f"Thought: {thought}\nAction: {name}\nAction Input: {given}"


def wire(text: str | None, *calls: tuple[str, Any]) -> dict[str, Any]:
    return {"text": text, "calls": calls}


def openai_several_tools(tape: Tape, truth: Truth) -> None:
    script = [
        wire("Let me see.", ("search", {"query": "a"})), wire(None, ("lookup", {"order": 7})),
        wire(None, ("document", {"name": "Ørsted"})), wire("It comes\nin two days."),
    ]  # fmt: skip
    openai(tape, truth, script, "Where is my order?")


def openai_parallel_calls(tape: Tape, truth: Truth) -> None:
    calls = (("weather", {"city": "Oslo"}), ("weather", {"city": "Rome", "day": "Monday"}), ("lookup", {"order": 1}))
    openai(tape, truth, [wire(None, *calls), wire("Rome."), wire("You are welcome.")], "Compare", "Thanks")


def openai_tricky(tape: Tape, truth: Truth) -> None:
    odd = 'it\'s "quoted" {a: [1]} with args: {} C:\\temp\n第二行'
    script = [
        wire(None, ("search", {"query": odd})), wire(None, ("search", '{"query": ')), wire(None, ("browser", {"u": 1})),
        wire(None, ("manual", {"topic": "agents"})), wire("5 € — 'all'..."),
    ]  # fmt: skip
    openai(tape, truth, script, "Odd: '{...}'\nand more")


def openai_empty_and_long(tape: Tape, truth: Truth) -> None:
    script = [
        wire(None, ("silent", {"path": "/tmp/a"})), wire(None, ("report", {"pages": 300})),
        wire(None, ("one_line", {"size": 9000})), wire(None, ("broken", {"table": "orders"})), wire("Done."),
    ]  # fmt: skip
    openai(tape, truth, script, "Clean up")


def openai_interrupted(tape: Tape, truth: Truth) -> None:
    openai(tape, truth, [wire(None, ("search", {"query": "a"})), wire(None, ("endless", {"pages": 2}))], "Go")


def react_several_tools(tape: Tape, truth: Truth) -> None:
    script = [
        act("I need it.\nTwo lines of it.", "search", '{"query": "shipping"}'),
        act("And the order.", "lookup", '{"order": 7}'), DONE + "Two days,\nas the handbook says.",
        act("Again.", "weather", '{"city": "Oslo", "day": "today"}'), DONE + "21.5",
    ]  # fmt: skip
    react(tape, truth, script, "How long?", "And the weather?")


def react_interrupted(tape: Tape, truth: Truth) -> None:
    react(tape, truth, [act("Slow.", "endless", '{"pages": 2}')], "Go")


def react_tricky_inputs(tape: Tape, truth: Truth) -> None:
    script = [
        act("Ищу: «всё».", "search", '{"query": "it\'s \\"quoted\\" {a: [1]}: C:\\\\temp\\n第二行"}'),
        act("Marks.", "manual", '{"topic": "Action: x"}'), act("Nothing.", "silent", '{"path": "/tmp/a b"}'),
        act("JSON.", "document", '{"name": "Ørsted"}'), DONE + "5 € — {'all'}: no action...",
    ]  # fmt: skip
    react(tape, truth, script, "Odd '...' {x}\nquestion: \"two lines\"")


def react_failures(tape: Tape, truth: Truth) -> None:
    script = [
        act("Ask.", "broken", '{"table": "orders"}'), act("Other.", "browser", '{"url": "x"}'),
        "Thought: hm\nAction: search", act("Long.", "report", '{"pages": 200}'), DONE + "Five.",
    ]  # fmt: skip
    react(tape, truth, script, "Count")


def react_model_fails(tape: Tape, truth: Truth) -> None:
    script = [act("Ask.", "search", '{"query": "x"}'), RuntimeError("the model refuses")]
    react(tape, truth, script, "Fail")


def summary(tape: Tape, truth: Truth) -> None:
    with observed(tape, truth, LlamaDebugHandler(print_trace_on_end=True)):
        model = Scripted(script=["Two days.", "Five."], callback_manager=Settings.callback_manager)
        index = SummaryIndex.from_documents(
            [Document(text="Two days within the country.")], callback_manager=Settings.callback_manager
        )
        engine = index.as_query_engine(llm=model)
        for question in ("How long?", "And abroad?"):
            truth.answer = str(engine.query(question))


SCENARIOS = {
    "openai_several_tools.verbose": Scenario("three tools: lines, a dict, JSON", openai_several_tools),
    "openai_parallel_calls.verbose": Scenario("three calls in one reply; two questions", openai_parallel_calls),
    "react_several_tools.verbose": Scenario("ReAct, two questions", react_several_tools),
    "react_interrupted.verbose": Scenario("ReAct, killed within a tool", react_interrupted),
    "react_model_fails.verbose": Scenario("ReAct, the model raises", react_model_fails),
    "summary.tree": Scenario("an index made and queried twice", summary),
    "openai_tricky.verbose": Scenario(
        "quotes, braces, other scripts, no JSON, no such tool, marker words", openai_tricky, held_out=True
    ),
    "openai_empty_and_long.verbose": Scenario("nothing, very much, a failure", openai_empty_and_long, held_out=True),
    "openai_interrupted.verbose": Scenario("killed within a tool", openai_interrupted, held_out=True),
    "react_tricky_inputs.verbose": Scenario(
        "ReAct: quotes, braces, other scripts, marker words, nothing", react_tricky_inputs, held_out=True
    ),
    "react_failures.verbose": Scenario(
        "ReAct: a tool fails, another does not exist, a bad reply", react_failures, held_out=True
    ),
}

if __name__ == "__main__":
    record(SCENARIOS, ("llama-index-core", "llama-index-agent-openai"))
