"""Record what CrewAI prints with ``verbose=True``, beside the truth told by its own event bus.

Run by hand, offline, in an environment of its own: ``pip install -r requirements.txt``, then
``python generate.py [scenario ...]``. The models are scripted and answer in CrewAI's ReAct format. The console is a
pipe: 80 columns, no colours but those that CrewAI prints by hand.
"""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any

os.environ["OTEL_SDK_DISABLED"] = "true"
os.environ["CREWAI_DISABLE_TELEMETRY"] = "true"
os.environ["CREWAI_TRACING_ENABLED"] = "false"
os.environ["CREWAI_STORAGE_DIR"] = tempfile.mkdtemp(prefix="crewai-")
os.environ["CI"] = "true"

from crewai import Agent, BaseLLM, Crew, Task
from crewai.events import crewai_event_bus as bus
from crewai.events.types.agent_events import (
    AgentExecutionCompletedEvent,
    AgentExecutionErrorEvent,
    AgentExecutionStartedEvent,
)
from crewai.events.types.crew_events import CrewKickoffCompletedEvent, CrewKickoffFailedEvent, CrewKickoffStartedEvent
from crewai.events.types.tool_usage_events import ToolUsageErrorEvent, ToolUsageFinishedEvent, ToolUsageStartedEvent
from crewai.events.utils.console_formatter import ConsoleFormatter
from crewai.tools import tool
from rich.panel import Panel

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tape import Killed, Scenario, Tape, Truth, main, shown

#: By the beginning of a box's title, which is what the print site says of it.
TITLES = (
    ("Crew Execution Started", ("chain_start", "invocation_start", "log")),
    ("Crew Completion", ("chain_end", "invocation_end", "log")),
    ("Crew Failure", ("chain_end", "error")),
    ("Task Started", ("chain_start", "log")),
    ("Task Completion", ("chain_end", "log")),
    ("Task Failure", ("chain_end", "error")),
    ("Agent Started", ("agent_start",)),
    ("Agent Final Answer", ("agent_finish", "agent_end")),
    ("Agent Error", ("error", "agent_end")),
    ("Tool Execution Started", ("tool_call", "agent_action")),
    ("Tool Execution Completed", ("tool_result",)),
    ("Tool Error", ("tool_result", "error")),
    ("Tool Output", ("tool_result", "log", "message")),
)


def types_of(title: str) -> tuple[str, ...]:
    words = re.sub(r"^\W+", "", title)
    return next((types for start, types in TITLES if words.startswith(start)), ("log",))


class Scripted(BaseLLM):
    """Gives the replies of its script, one per call; an exception is raised."""

    def __init__(self, *script: Any) -> None:
        super().__init__(model="scripted-1")
        self._script = list(script)

    def call(self, messages: Any, *_: Any, **__: Any) -> str:
        reply = self._script.pop(0)
        if isinstance(reply, BaseException):
            raise reply
        return reply

    def supports_function_calling(self) -> bool:
        return False

    def supports_stop_words(self) -> bool:
        return False

    def get_context_window_size(self) -> int:
        return 100_000


def act(thought: str, name: str, arguments: str) -> str:
    return f"Thought: {thought}\nAction: {name}\nAction Input: {arguments}"


def answer(text: str) -> str:
    return f"Thought: I now know the final answer\nFinal Answer: {text}"


@tool("search")
def search(query: str) -> str:
    """Search the handbook."""
    return f"Found for {query}:\n- two days within the country\n- five days abroad"


@tool("lookup")
def lookup(order: int) -> dict:
    """Look an order up."""
    return {"order": order, "state": "shipped", "note": "it's {fragile}"}


@tool("silent")
def silent(path: str) -> str:
    """Delete a file; says nothing."""
    return ""


@tool("broken")
def broken(table: str) -> str:
    """A database that is down."""
    raise ConnectionError(f"cannot reach table {table}")


@tool("report")
def report(pages: int) -> str:
    """A very long result."""
    return "\n".join(f"page {page}: all is well" for page in range(pages))


TOOLS = [search, lookup, silent, broken, report]


class Watch:
    """Writes the truth, while the bus's handlers are ours and the console's."""

    def __init__(self, tape: Tape, truth: Truth) -> None:
        self.truth = truth
        self.crew: int | None = None
        self.agents: list[int] = []
        self.open: list[dict[str, Any]] = []
        self.listen()
        self.label(tape)

    def listen(self) -> None:
        truth = self.truth

        @bus.on(CrewKickoffStartedEvent)
        def crew_starts(_: Any, event: Any) -> None:
            self.crew = truth.run("chain", event.crew_name or "crew")

        @bus.on(CrewKickoffCompletedEvent)
        def crew_ends(_: Any, event: Any) -> None:
            truth.ended(self.crew)

        @bus.on(CrewKickoffFailedEvent)
        def crew_fails(_: Any, event: Any) -> None:
            truth.ended(self.crew, event.error)

        @bus.on(AgentExecutionStartedEvent)
        def agent_starts(_: Any, event: Any) -> None:
            within = self.agents[-1] if self.agents else self.crew
            self.agents.append(truth.run("agent", event.agent.role, within))

        @bus.on(AgentExecutionCompletedEvent)
        def agent_ends(_: Any, event: Any) -> None:
            truth.ended(self.agents.pop())

        @bus.on(AgentExecutionErrorEvent)
        def agent_fails(_: Any, event: Any) -> None:
            if self.agents:
                truth.ended(self.agents.pop(), event.error)

        @bus.on(ToolUsageStartedEvent)
        def tool_starts(_: Any, event: Any) -> None:
            arguments = event.tool_args
            if isinstance(arguments, str):
                with contextlib.suppress(ValueError, SyntaxError):
                    arguments = ast.literal_eval(arguments)
            within = self.agents[-1] if self.agents else self.crew
            self.open.append(truth.call(event.tool_name, arguments, None, within))

        @bus.on(ToolUsageFinishedEvent)
        def tool_ends(_: Any, event: Any) -> None:
            if not truth.tape.is_cut:
                self.open.pop()["result"] = event.output

        @bus.on(ToolUsageErrorEvent)
        def tool_fails(_: Any, event: Any) -> None:
            if not truth.tape.is_cut and self.open:
                self.open.pop()["error"] = str(event.error)

    def label(self, tape: Tape) -> None:
        plain = ConsoleFormatter.print

        def labelled_print(formatter: Any, *things: Any, **more: Any) -> None:
            title = things[0].title if things and isinstance(things[0], Panel) else ""
            with tape.labelled(*types_of(str(title))):
                plain(formatter, *things, **more)

        self.unlabelled = plain
        ConsoleFormatter.print = labelled_print  # type: ignore[method-assign]

    def over(self) -> None:
        ConsoleFormatter.print = self.unlabelled  # type: ignore[method-assign]


def kick(tape: Tape, truth: Truth, crew: Crew) -> None:
    """Run a crew; its failure is printed as a Lambda handler might."""
    with bus.scoped_handlers():
        from crewai.events.event_listener import event_listener

        event_listener.setup_listeners(bus)
        watch = Watch(tape, truth)
        try:
            result = crew.kickoff()
            bus.flush()
            truth.answer = str(result)
        except Killed:
            raise
        except Exception as problem:
            bus.flush()
            if tape.is_cut:
                raise Killed from None
            truth.failed = True
            with tape.labelled("error"):
                traceback.print_exception(problem)
        finally:
            watch.over()


def agent(role: str, *script: Any, **more: Any) -> Agent:
    return Agent(
        role=role, goal="Answer", backstory="You work here.", llm=Scripted(*script), verbose=True,
        **{"tools": TOOLS, "max_retry_limit": 0, **more},
    )  # fmt: skip


def one(tape: Tape, truth: Truth, question: str, *script: Any, **more: Any) -> None:
    support = agent("Support", *script, **more)
    task = Task(description=question, expected_output="An answer", agent=support)
    kick(tape, truth, Crew(agents=[support], tasks=[task], verbose=True))


def several_tools(tape: Tape, truth: Truth) -> None:
    one(
        tape, truth, "When does order 7 come?",
        act("I look.", "search", '{"query": "shipping"}'),
        act("Now the order.", "lookup", '{"order": 7}'),
        answer("It comes\nin two days."),
    )  # fmt: skip


def no_tool(tape: Tape, truth: Truth) -> None:
    one(tape, truth, "Hello", answer("Hello!\n\nHow can I help?"), tools=[])


def tricky_inputs(tape: Tape, truth: Truth) -> None:
    one(
        tape, truth, "Odd │ ones",
        act("I search.", "search", '{"query": "it\'s \\"quoted\\" {a: [1]} C:\\\\temp 第二行 │"}'),
        answer("Ответ: 5 €\n╭── no box ──╮"),
    )  # fmt: skip


def two_tasks(tape: Tape, truth: Truth) -> None:
    writer = agent("Writer", act("I read.", "search", '{"query": "a"}'), answer("A draft."))
    critic = agent("Senior Critic", act("I check.", "lookup", '{"order": 1}'), answer("Approved: A draft."))
    tasks = [
        Task(description="Write it", expected_output="A text", agent=writer),
        Task(description="Criticise it", expected_output="A verdict", agent=critic),
    ]
    kick(tape, truth, Crew(agents=[writer, critic], tasks=tasks, verbose=True))


def failing_tool(tape: Tape, truth: Truth) -> None:
    one(
        tape, truth, "Count",
        act("I ask the database.", "broken", '{"table": "orders"}'),
        act("The handbook then.", "search", '{"query": "orders"}'),
        answer("About five."),
    )  # fmt: skip


def delegation(tape: Tape, truth: Truth) -> None:
    helper = agent("Researcher", act("I look.", "search", '{"query": "shipping"}'), answer("Two days."))
    boss = agent(
        "Planner",
        act("I ask.", "ask_question_to_coworker",
            '{"question": "How long?", "context": "Order 7", "coworker": "Researcher"}'),
        answer("Two days in all."),
        allow_delegation=True, tools=[],
    )  # fmt: skip
    task = Task(description="How long does it take?", expected_output="A time", agent=boss)
    kick(tape, truth, Crew(agents=[boss, helper], tasks=[task], verbose=True))


def empty_result(tape: Tape, truth: Truth) -> None:
    one(
        tape, truth, "Clean up",
        act("I delete.", "silent", '{"path": "/tmp/a"}'),
        act("And look.", "lookup", '{"order": 2}'),
        answer("Done."),
    )  # fmt: skip


def very_long(tape: Tape, truth: Truth) -> None:
    words = "This is a long answer in one paragraph, of which the console makes many lines. " * 12
    one(tape, truth, "All", act("A long one.", "report", '{"pages": 120}'), answer(words.strip()))


def model_fails(tape: Tape, truth: Truth) -> None:
    one(tape, truth, "Fail", act("I look.", "search", '{"query": "x"}'), RuntimeError("the model refuses"))


def killed(tape: Tape, truth: Truth) -> None:
    @tool("fatal")
    def fatal(query: str) -> str:
        """The process dies in it."""
        tape.cut()
        return ""

    one(tape, truth, "Die", act("Now.", "fatal", '{"query": "x"}'), answer("?"), tools=[fatal])


SCENARIOS = {
    "several_tools": Scenario("two tools, JSON and several lines", several_tools),
    "no_tool": Scenario("an answer without any tool", no_tool),
    "tricky_inputs": Scenario("quotes, braces, backslashes, other scripts, box characters", tricky_inputs),
    "two_tasks": Scenario("two agents, one after the other", two_tasks),
    "failing_tool": Scenario("a tool fails, thrice, and the agent goes on", failing_tool),
    "delegation": Scenario("an agent asks another", delegation, held_out=True),
    "empty_result": Scenario("results without text, and a dict", empty_result, held_out=True),
    "very_long": Scenario("a result of many lines, an answer of one very long one", very_long, held_out=True),
    "model_fails": Scenario("the model raises", model_fails, held_out=True),
    "killed": Scenario("the process dies in a tool", killed, held_out=True),
}


def unboxed(text: str) -> str:
    """What stands in the boxes, in one line: wrapping puts newlines where there were spaces."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


def how(text: str, value: Any) -> str:
    if value == "":
        return "full"
    words = value if isinstance(value, str) else str(value)
    found = shown(text, value)
    forms = {words} if isinstance(value, str) else {words, json.dumps(value), json.dumps(value, ensure_ascii=False)}
    if any(unboxed(form) and unboxed(form) in unboxed(text) for form in forms):
        return "full"
    return found


def printed_call(text: str, call: dict[str, Any]) -> dict[str, str]:
    result = call["result"]
    return {"arguments": how(text, call["arguments"]), "result": "absent" if result is None else how(text, result)}


if __name__ == "__main__":
    main(
        "crewai",
        SCENARIOS,
        ("crewai",),
        printed_call=printed_call,
        printed_run=lambda text, run: f"Agent: {run['name']}" in text or run["kind"] == "chain",
        printed_model=lambda text, model: {"call": False, "tokens": False, "model": False},
    )
