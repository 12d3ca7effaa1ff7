"""Record what LangGraph prints, beside the truth told by LangChain's callbacks.

Run by hand, offline, in an environment of its own: ``pip install -r requirements.txt``, then
``python generate.py [scenario ...]``. Forms: ``debug`` (``invoke(…, debug=True)``), ``updates`` (chunks of
``stream_mode="updates"``, printed) and ``pretty`` (each new message's ``pretty_print()``, as the tutorials do).
"""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

os.environ["LANGSMITH_TRACING"] = "false"
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.prebuilt import ToolNode, create_react_agent, tools_condition

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tape import Killed, Tape, Truth, in_forms, main, shown

warnings.simplefilter("ignore")
MODEL = "scripted-1"
FORMS = ("debug", "updates", "pretty")
STATE = ("log", "message", "query", "agent_start", "chain_start", "agent_end", "chain_end")


class Scripted(BaseChatModel):
    """A chat model that gives the replies of its script, one per call; an exception is raised."""

    script: list[Any]
    label: str = "a"
    cursor: int = 0

    @property
    def _llm_type(self) -> str:
        return "scripted-chat"

    def usage(self) -> dict[str, int]:
        """Numbers that tell the models of a scenario, and their replies, apart."""
        sent, received = 100 * (ord(self.label) - 96) + self.cursor, 10 + self.cursor
        return {"input_tokens": sent, "output_tokens": received, "total_tokens": sent + received}

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind(tools=[item.name for item in tools])

    def _generate(self, messages: Any, stop: Any = None, run_manager: Any = None, **_: Any) -> ChatResult:
        reply = self.script[self.cursor]
        self.cursor += 1
        if isinstance(reply, Exception):
            raise reply
        text, calls = reply
        identity = f"lc_run--01990000-0000-7000-8000-{self.label:0>4}{self.cursor:08d}-0"
        message = AIMessage(
            content=text,
            id=identity,
            tool_calls=[
                {"name": name, "args": args, "id": f"call_{self.label}{self.cursor}_{index}"}
                for index, (name, args) in enumerate(calls)
            ],
            usage_metadata=self.usage(),
            response_metadata={"model_name": MODEL},
        )
        return ChatResult(generations=[ChatGeneration(message=message)])


def say(text: str | list[Any], *calls: tuple[str, dict[str, Any]]) -> tuple[Any, Any]:
    return text, calls


class Watch(BaseCallbackHandler):
    """Writes the truth."""

    raise_error = True

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.runs: dict[Any, int] = {}
        self.above: dict[Any, Any] = {}
        self.open: dict[Any, dict[str, Any]] = {}

    def around(self, run: Any) -> int | None:
        while run is not None and run not in self.runs:
            run = self.above.get(run)
        return None if run is None else self.runs[run]

    def on_chain_start(
        self, serialized: Any, inputs: Any, *, run_id: Any, parent_run_id: Any = None, **more: Any
    ) -> None:
        self.above[run_id] = parent_run_id
        if more.get("name") in GRAPHS:
            self.runs[run_id] = self.truth.run("agent", more["name"], self.around(parent_run_id))

    def on_chain_end(self, outputs: Any, *, run_id: Any, **_: Any) -> None:
        if run_id in self.runs:
            self.truth.ended(self.runs[run_id])

    def on_chain_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        if run_id in self.runs and not isinstance(error, Killed):
            self.truth.ended(self.runs[run_id], str(error))

    def on_tool_start(
        self, serialized: Any, given: str, *, run_id: Any, parent_run_id: Any = None, inputs: Any = None, **more: Any
    ) -> None:
        self.above[run_id] = parent_run_id
        self.open[run_id] = self.truth.call(
            serialized["name"], inputs, more.get("tool_call_id"), self.around(parent_run_id)
        )

    def on_tool_end(self, output: Any, *, run_id: Any, **_: Any) -> None:
        if self.truth.tape.is_cut:
            return
        call = self.open[run_id]
        call["id"] = call["id"] or getattr(output, "tool_call_id", None)
        call["result"] = getattr(output, "content", output)

    def on_tool_error(self, error: BaseException, *, run_id: Any, **_: Any) -> None:
        if not isinstance(error, Killed):
            self.open[run_id]["error"] = str(error)

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, run_id: Any, parent_run_id: Any = None, **_: Any
    ) -> None:
        self.above[run_id] = parent_run_id

    def on_llm_end(self, response: Any, *, run_id: Any, **_: Any) -> None:
        usage = response.generations[0][0].message.usage_metadata
        self.truth.model(MODEL, (usage["input_tokens"], usage["output_tokens"]), self.around(run_id))


GRAPHS = ("LangGraph", "planner", "researcher", "support")


@tool
def search(query: str) -> str:
    """Search the handbook."""
    return f"Found for {query}:\n- two days within the country\n- five days abroad"


@tool
def lookup(order: int) -> dict:
    """Look an order up."""
    return {"order": order, "state": "shipped", "lines": [1, 2], "note": "it's {fragile}"}


@tool
def silent(path: str) -> str:
    """Delete a file; says nothing."""
    return ""


@tool
def broken(table: str) -> str:
    """A database that is down."""
    raise ConnectionError(f"cannot reach database: table {table!r}\nhost: db-1")


@tool
def report(pages: int) -> str:
    """A very long result."""
    return "\n".join(f"page {page}: all is well" for page in range(pages))


TOOLS = [search, lookup, silent, broken, report]


def labels_of(message: Any) -> tuple[str, ...]:
    kind = type(message).__name__
    if kind == "ToolMessage":
        return ("tool_result",)
    if kind == "AIMessage":
        return ("llm_end", "tool_call", "agent_action") if message.tool_calls else ("llm_end", "agent_finish")
    return ("message", "query", "agent_start", "chain_start", "log")


@contextlib.contextmanager
def debug_labelled(tape: Tape) -> Iterator[None]:
    """Each event that ``debug=True`` prints is one print: say of each what it holds."""
    plain = tape.write

    def write(text: str) -> int:
        if text.startswith("\x1b[1m[values]"):
            tape.label = STATE
        elif text.startswith("\x1b[1m[updates]"):
            asks = "tool_calls=[{" in text
            ai = ("llm_end", "tool_call", "agent_action") if asks else ("llm_end", "agent_finish")
            tape.label = ("tool_result",) if "ToolMessage(" in text else ai
        elif text != "\n":
            tape.label = STATE
        return plain(text)

    before, tape.write = tape.label, write  # type: ignore[method-assign]
    try:
        yield
    finally:
        del tape.write
        tape.label = before


def play(tape: Tape, truth: Truth, form: str, graph: Any, prompt: str, *, recursion: int = 25) -> None:
    """One run in one form; its failure is printed as a Lambda handler might."""
    config: Any = {"callbacks": [Watch(truth)], "recursion_limit": recursion}
    asked: Any = {"messages": [("user", prompt)]}
    try:
        if form == "debug":
            with debug_labelled(tape):
                final = graph.invoke(asked, config, debug=True)
            answer = final["messages"][-1].content
        elif form == "updates":
            answer = None
            for chunk in graph.stream(asked, config, stream_mode="updates"):
                message = next(iter(chunk.values()))["messages"][-1]
                with tape.labelled(*labels_of(message)):
                    print(chunk)
                answer = message.content
        else:
            answer, seen = None, 0
            for state in graph.stream(asked, config, stream_mode="values"):
                for message in state["messages"][seen:]:
                    with tape.labelled(*labels_of(message)):
                        message.pretty_print()
                    answer = message.content
                seen = len(state["messages"])
    except Killed:
        raise
    except Exception:
        if tape.is_cut:
            raise Killed from None
        truth.failed = True
        with tape.labelled("error"):
            traceback.print_exc()
        return
    truth.answer = answer if isinstance(answer, str) else None


def agent(*script: Any, label: str = "a", name: str | None = None, tools: Any = None) -> Any:
    return create_react_agent(Scripted(script=list(script), label=label), tools or TOOLS, name=name)


def several_tools(tape: Tape, truth: Truth, form: str) -> None:
    graph = agent(
        say("Let me see.", ("search", {"query": "a"})), say("", ("lookup", {"order": 7})), say("It comes\nin two days.")
    )
    play(tape, truth, form, graph, "Where is my order?")


def no_tool(tape: Tape, truth: Truth, form: str) -> None:
    play(tape, truth, form, agent(say("Hello!\n\nHow can I help?")), "Hello")


def tricky_inputs(tape: Tape, truth: Truth, form: str) -> None:
    odd = 'it\'s "quoted" {a: [1]} C:\\temp\n第二行 tool_calls=[]'
    graph = agent(say("Ответ: ищу", ("search", {"query": odd})), say("5 € — {'a': 1}\nTool Message"))
    play(tape, truth, form, graph, "Odd: {x} 'y' \"z\"")


def parallel_calls(tape: Tape, truth: Truth, form: str) -> None:
    graph = agent(
        say("All at once.", ("search", {"query": "Oslo"}), ("search", {"query": "Rome"}), ("lookup", {"order": 1})),
        say("Rome."),
    )
    play(tape, truth, form, graph, "Compare")


def tool_raises(tape: Tape, truth: Truth, form: str) -> None:
    class State(TypedDict):
        messages: Annotated[list, add_messages]

    model = Scripted(script=[say("I count.", ("broken", {"table": "orders"}))])
    graph = StateGraph(State)
    graph.add_node("chatbot", lambda state, config: {"messages": [model.invoke(state["messages"], config)]})
    graph.add_node("tools", ToolNode(TOOLS, handle_tool_errors=False))
    graph.add_edge(START, "chatbot")
    graph.add_conditional_edges("chatbot", tools_condition)
    graph.add_edge("tools", "chatbot")
    play(tape, truth, form, graph.compile(name="support"), "Count")


def two_runs(tape: Tape, truth: Truth, form: str) -> None:
    play(tape, truth, form, agent(say("", ("search", {"query": "a"})), say("First.")), "One")
    play(tape, truth, form, agent(say("", ("lookup", {"order": 1})), say("Second."), label="b"), "Two")


def tool_error_handled(tape: Tape, truth: Truth, form: str) -> None:
    graph = create_react_agent(
        Scripted(
            script=[
                say("I ask.", ("broken", {"table": "t"})),
                say("It is down; the handbook.", ("search", {"query": "t"})),
                say("About five."),
            ]
        ),
        ToolNode(TOOLS, handle_tool_errors=True),
    )
    play(tape, truth, form, graph, "Count")


def nested_agent(tape: Tape, truth: Truth, form: str) -> None:
    inner = agent(say("", ("search", {"query": "shipping"})), say("Two days."), label="i", name="researcher")

    @tool
    def ask_researcher(question: str) -> str:
        """An agent behind a tool."""
        return inner.invoke({"messages": [("user", question)]})["messages"][-1].content

    outer = agent(
        say("I ask.", ("ask_researcher", {"question": "shipping?"})),
        say("", ("lookup", {"order": 7})),
        say("Two days in all."),
        name="planner",
        tools=[ask_researcher, lookup],
    )
    play(tape, truth, form, outer, "How long?")


def empty_results(tape: Tape, truth: Truth, form: str) -> None:
    graph = agent(say("", ("silent", {"path": "/tmp/a"})), say("", ("search", {"query": ""})), say("Done."))
    play(tape, truth, form, graph, "Clean up")


def very_long(tape: Tape, truth: Truth, form: str) -> None:
    graph = agent(say("", ("report", {"pages": 250})), say("\n".join(f"{n}. all is well" for n in range(150))))
    play(tape, truth, form, graph, "All")


def killed(tape: Tape, truth: Truth, form: str) -> None:
    @tool
    def fatal(query: str) -> str:
        """The process dies in it."""
        tape.cut()
        return ""

    play(tape, truth, form, agent(say("Now.", ("fatal", {"query": "x"})), say("?"), tools=[fatal]), "Die")


def content_blocks(tape: Tape, truth: Truth, form: str) -> None:
    blocks = [
        {"type": "text", "text": "I'll look: "},
        {"type": "tool_use", "id": "call_a1_0", "name": "lookup", "input": {"order": 3}},
    ]
    play(tape, truth, form, agent(say(blocks, ("lookup", {"order": 3})), say("Shipped, 'all' of it.")), "Which?")


def unknown_tool(tape: Tape, truth: Truth, form: str) -> None:
    play(tape, truth, form, agent(say("", ("browser", {"url": "x:y"})), say("I have none.")), "Browse")


def recursion_limit(tape: Tape, truth: Truth, form: str) -> None:
    graph = agent(*(say("Again.", ("search", {"query": str(n)})) for n in range(4)))
    play(tape, truth, form, graph, "Loop", recursion=4)


PLAYS = {
    "several_tools": ("two tools, JSON and several lines", several_tools, False),
    "no_tool": ("an answer without any tool", no_tool, False),
    "tricky_inputs": ("quotes, braces, backslashes, a newline, other scripts", tricky_inputs, False),
    "parallel_calls": ("three calls in one reply, two of one tool", parallel_calls, False),
    "tool_raises": ("a tool raises and the run dies; a graph of one's own", tool_raises, False),
    "two_runs": ("one after the other", two_runs, False),
    "nested_agent": ("an agent as a tool", nested_agent, False),
    "tool_error_handled": ("a tool's failure becomes its result", tool_error_handled, True),
    "empty_results": ("results without text", empty_results, True),
    "very_long": ("a result and an answer of many lines", very_long, True),
    "killed": ("the process dies in a tool", killed, True),
    "content_blocks": ("a reply whose content is a list of blocks", content_blocks, True),
    "unknown_tool": ("the model asks for a tool that is not there", unknown_tool, True),
    "recursion_limit": ("the graph gives up", recursion_limit, True),
}


def printed_call(text: str, call: dict[str, Any]) -> dict[str, str]:
    result = call["result"]  # a failure is told by the traceback alone, or by a message in other words
    if call["id"] not in text:  # inside a node that prints nothing
        return {"name": "absent", "arguments": "absent", "result": "absent"}
    arguments = shown(text, call["arguments"])
    if arguments == "absent" and all(f"    {name}: {value}\n" in text for name, value in call["arguments"].items()):
        arguments = "full"
    if result == "" and f"name={call['name']!r}" not in text and f"Name: {call['name']}" not in text:
        return {"arguments": arguments, "result": "absent"}
    return {"arguments": arguments, "result": shown(text, result) if result != "" else "full"}


if __name__ == "__main__":
    main(
        "langgraph",
        in_forms(PLAYS, FORMS),
        ("langgraph", "langgraph-prebuilt", "langchain-core"),
        printed_call=printed_call,
        printed_run=lambda text, run: False,
        printed_model=lambda text, model: {
            "call": f"'input_tokens': {model['input_tokens']}" in text,
            "tokens": f"'input_tokens': {model['input_tokens']}" in text,
            "model": f"'model_name': '{MODEL}'" in text,
        },
    )
