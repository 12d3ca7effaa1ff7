"""Record what LlamaIndex prints, beside the truth told by its workflows' own events.

Run by hand, offline, in an environment of its own: ``pip install -r requirements.txt``, then
``python generate.py [scenario ...]``. ``workflow``: agents run with ``verbose=True``; ``calling``: a model's
``predict_and_call(…, verbose=True)``.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
import warnings
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from llama_index.core.agent.workflow import (
    AgentInput,
    AgentOutput,
    AgentWorkflow,
    FunctionAgent,
    ReActAgent,
    ToolCall,
    ToolCallResult,
)
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools import FunctionTool

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tape import Killed, Scenario, Tape, Truth, main, shown

warnings.simplefilter("ignore")
#: What the workflow's own printer is about to print, by its beginning.
TICKS = (
    ("[tick] add: AgentWorkflowStartEvent(", ("chain_start", "query", "log")),
    ("[tick] add: AgentInput(", ("agent_start", "query", "log")),
    ("[tick] add: AgentOutput(", ("llm_end", "agent_thought", "agent_finish")),
    ("[tick] add: ToolCall(", ("tool_call",)),
    ("[tick] add: ToolCallResult(", ("tool_result",)),
    ("[result] StopEvent(", ("agent_finish", "agent_end", "chain_end")),
    ("[", ("log",)),
)
CALLING = (
    ("=== Calling Function", ("tool_call",)),
    ("Calling function: ", ("tool_call",)),
    ("=== Function Output", ("tool_result",)),
)


class Scripted(FunctionCallingLLM):
    """Gives the replies of its script; an exception in it is raised."""

    script: list[Any]
    label: str = "a"
    cursor: int = 0

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(is_function_calling_model=True, model_name="scripted-1")

    def following(self) -> ChatResponse:
        reply = self.script[self.cursor]
        self.cursor += 1
        if isinstance(reply, Exception):
            raise reply
        text, calls = reply
        asked = [
            {"id": f"call_{self.label}{self.cursor}_{index}", "name": name, "args": given}
            for index, (name, given) in enumerate(calls)
        ]
        return ChatResponse(
            message=ChatMessage(
                role="assistant", content=text, additional_kwargs={"tool_calls": asked} if asked else {}
            )
        )

    def chat(self, messages: Any, **_: Any) -> ChatResponse:
        return self.following()

    async def achat(self, messages: Any, **_: Any) -> ChatResponse:
        return self.following()

    def stream_chat(self, messages: Any, **_: Any) -> Iterator[ChatResponse]:
        yield self.following()

    async def astream_chat(self, messages: Any, **_: Any) -> AsyncIterator[ChatResponse]:
        async def one() -> AsyncIterator[ChatResponse]:
            yield self.following()

        return one()

    def complete(self, prompt: str, **_: Any) -> CompletionResponse:
        return CompletionResponse(text=self.following().message.content)

    async def acomplete(self, prompt: str, **_: Any) -> CompletionResponse:
        return self.complete(prompt)

    def stream_complete(self, prompt: str, **_: Any) -> Any:
        yield self.complete(prompt)

    async def astream_complete(self, prompt: str, **_: Any) -> Any:
        raise NotImplementedError("no scenario streams completions")

    def _prepare_chat_with_tools(self, tools: Any, **_: Any) -> dict[str, Any]:
        return {"messages": [], "tools": []}

    def get_tool_calls_from_response(self, response: Any, error_on_no_tool_call: bool = True, **_: Any) -> Any:
        asked = response.message.additional_kwargs.get("tool_calls", [])
        return [ToolSelection(tool_id=each["id"], tool_name=each["name"], tool_kwargs=each["args"]) for each in asked]


def say(text: str, *calls: tuple[str, dict[str, Any]]) -> tuple[str, Any]:
    return text, calls


def search(query: str) -> str:
    """Search the handbook."""
    return f"Found for {query}:\n- two days within the country\n- five days abroad"


def lookup(order: int) -> dict:
    """Look an order up."""
    return {"order": order, "note": "it's {fragile}"}


def silent(path: str) -> str:
    """Delete a file; says nothing."""
    return ""


def broken(table: str) -> str:
    """A database that is down."""
    raise ConnectionError(f"cannot reach table {table!r}")


def report(pages: int) -> str:
    """A very long result."""
    return "\n".join(f"page {page}: all is well" for page in range(pages))


TOOLS = [FunctionTool.from_defaults(each) for each in (search, lookup, silent, broken, report)]


@contextmanager
def labelled_by(tape: Tape, starts: tuple[tuple[str, tuple[str, ...]], ...]) -> Iterator[None]:
    plain = tape.write

    def write(text: str) -> int:
        label = next((types for start, types in starts if text.startswith(start)), None)
        if label is not None:
            tape.label = label
        elif text != "\n":
            tape.label = tape.label if starts is CALLING else ("log",)
        return plain(text)

    tape.write = write  # type: ignore[method-assign]
    try:
        yield
    finally:
        del tape.write
        tape.label = ("log",)


async def watched(truth: Truth, workflow: Any, question: str) -> Any:
    handler = workflow.run(question)
    runs: list[int] = []
    names: list[str] = []
    open_: dict[str, dict[str, Any]] = {}
    async for event in handler.stream_events():
        if truth.tape.is_cut:
            break
        if isinstance(event, AgentInput) and (not names or names[-1] != event.current_agent_name):
            if runs:
                truth.ended(runs[-1])
            runs.append(truth.run("agent", event.current_agent_name))
            names.append(event.current_agent_name)
        elif isinstance(event, ToolCallResult):
            call = open_.get(event.tool_id)
            if call is not None:
                call["result"] = event.tool_output.content
        elif isinstance(event, ToolCall):
            open_[event.tool_id] = truth.call(event.tool_name, event.tool_kwargs, event.tool_id, runs[-1])
        elif isinstance(event, AgentOutput):
            truth.model("scripted-1", None, runs[-1] if runs else None)
    result = await handler
    truth.ended(runs[-1])
    return result


def workflow(tape: Tape, truth: Truth, question: str, *agents: Any, root: str | None = None) -> None:
    """Run agents; a failure is printed as a Lambda handler might."""
    flow = AgentWorkflow(agents=list(agents), root_agent=root or agents[0].name, verbose=True)
    try:
        with labelled_by(tape, TICKS):
            result = asyncio.run(watched(truth, flow, question))
    except Killed:
        raise
    except Exception as problem:
        if tape.is_cut:
            raise Killed from None
        truth.failed = True
        with tape.labelled("error"):
            traceback.print_exception(problem)
        return
    if tape.is_cut:
        raise Killed
    truth.answer = str(result)


def agent(*script: Any, name: str = "Support", tools: Any = None, kind: Any = FunctionAgent, **more: Any) -> Any:
    return kind(
        name=name, description=f"{name} helps", llm=Scripted(script=list(script), label=name[:1].lower()),
        tools=TOOLS if tools is None else tools, **more,
    )  # fmt: skip


def several_tools(tape: Tape, truth: Truth) -> None:
    workflow(
        tape, truth, "Where is my order?",
        agent(say("Let me see.", ("search", {"query": "a"})), say("", ("lookup", {"order": 7})),
              say("It comes\nin two days.")),
    )  # fmt: skip


def no_tool(tape: Tape, truth: Truth) -> None:
    workflow(tape, truth, "Hello", agent(say("Hello!\n\nHow can I help?")))


def react(tape: Tape, truth: Truth) -> None:
    workflow(
        tape, truth, "How long?",
        agent(say('Thought: I need it.\nAction: search\nAction Input: {"query": "shipping"}'),
              say("Thought: I can answer without using any more tools.\nAnswer: Two days."), kind=ReActAgent),
    )  # fmt: skip


def tricky_inputs(tape: Tape, truth: Truth) -> None:
    odd = "it's \"quoted\" {a: [1]} C:\\temp\n第二行 text='x')"
    workflow(tape, truth, "Odd '...'", agent(say("Ищу", ("search", {"query": odd})), say("5 € — 'all'...")))


def parallel_calls(tape: Tape, truth: Truth) -> None:
    calls = (("search", {"query": "Oslo"}), ("search", {"query": "Rome"}), ("lookup", {"order": 1}))
    workflow(tape, truth, "Compare", agent(say("All at once.", *calls), say("Rome.")))


def calling(tape: Tape, truth: Truth) -> None:
    """One call by ``predict_and_call``, which prints as LlamaIndex did before workflows."""
    for number, (name, given) in enumerate((("search", {"query": "a"}), ("lookup", {"order": 7}))):
        call = truth.call(name, given, None, None)
        model = Scripted(script=[say("", (name, given))], label=str(number))
        with labelled_by(tape, CALLING):
            call["result"] = str(model.predict_and_call(TOOLS, user_msg="Go", verbose=True))
    truth.answer = None


def tool_fails(tape: Tape, truth: Truth) -> None:
    workflow(
        tape, truth, "Count",
        agent(say("I ask.", ("broken", {"table": "orders"})), say("", ("search", {"query": "orders"})), say("Five.")),
    )  # fmt: skip


def handoff(tape: Tape, truth: Truth) -> None:
    first = agent(
        say("", ("handoff", {"to_agent": "Clerk", "reason": "orders are his"})), name="Receptionist",
        can_handoff_to=["Clerk"],
    )  # fmt: skip
    second = agent(say("", ("lookup", {"order": 2})), say("Shipped."), name="Clerk")
    workflow(tape, truth, "Order 2?", first, second)


def empty_results(tape: Tape, truth: Truth) -> None:
    workflow(tape, truth, "Clean", agent(say("", ("silent", {"path": "/tmp/a"})), say("Done.")))


def very_long(tape: Tape, truth: Truth) -> None:
    long = "\n".join(f"{number}. all is well" for number in range(120))
    workflow(tape, truth, "All of it, please: " + "x" * 300, agent(say("", ("report", {"pages": 400})), say(long)))


def model_fails(tape: Tape, truth: Truth) -> None:
    workflow(tape, truth, "Fail", agent(say("", ("search", {"query": "x"})), RuntimeError("the model refuses")))


def calling_more(tape: Tape, truth: Truth) -> None:
    for number, (name, given) in enumerate(
        (("search", {"query": "ünï {x: 'y'} \"z\""}), ("report", {"pages": 30}), ("silent", {"path": "/a"}))
    ):
        call = truth.call(name, given, None, None)
        model = Scripted(script=[say("", (name, given))], label=str(number))
        with labelled_by(tape, CALLING):
            call["result"] = str(model.predict_and_call(TOOLS, user_msg="Go", verbose=True))


SCENARIOS = {
    "several_tools": Scenario("two tools, a dict and several lines", several_tools),
    "no_tool": Scenario("an answer without any tool", no_tool),
    "react": Scenario("a ReAct agent", react),
    "tricky_inputs": Scenario("quotes, braces, backslashes, other scripts, texts like reprs", tricky_inputs),
    "parallel_calls": Scenario("three calls in one reply, two of one tool", parallel_calls),
    "calling": Scenario("predict_and_call, verbose", calling),
    "tool_fails": Scenario("a tool's failure becomes its result", tool_fails, held_out=True),
    "handoff": Scenario("one agent hands over to another", handoff, held_out=True),
    "empty_results": Scenario("a result without text", empty_results, held_out=True),
    "very_long": Scenario("a question, a result and an answer that are cut", very_long, held_out=True),
    "model_fails": Scenario("the model raises", model_fails, held_out=True),
    "calling_more": Scenario("predict_and_call: odd inputs, many lines, nothing", calling_more, held_out=True),
}


def printed_call(text: str, call: dict[str, Any]) -> dict[str, str]:
    if call["result"] == "":
        return {"arguments": shown(text, call["arguments"]), "result": "full"}
    return {"arguments": shown(text, call["arguments"]), "result": how(text, call["result"])}


def how(text: str, value: str | None) -> str:
    """``prefix`` too where the cut comes within the first hundred characters."""
    if value is None:
        return "absent"
    found = shown(text, value)
    beginning = repr(value)[:40].rstrip("'\"")
    return "prefix" if found == "absent" and f"{beginning}" in text else found


if __name__ == "__main__":
    main(
        "llamaindex",
        SCENARIOS,
        ("llama-index-core",),
        printed_call=printed_call,
        printed_run=lambda text, run: f"current_agent_name='{run['name']}'" in text,
        printed_model=lambda text, model: {"call": "[tick] add: AgentOutput(" in text, "tokens": False, "model": False},
    )
