"""Record what Strands Agents prints (its default PrintingCallbackHandler), beside the truth told by its hooks.

Run by hand, offline, in an environment of its own: ``pip install -r requirements.txt``, then
``python generate.py [scenario ...]``. The model is scripted and streams as Bedrock does.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

os.environ["OTEL_SDK_DISABLED"] = "true"

from strands import Agent, tool
from strands.handlers import PrintingCallbackHandler
from strands.hooks import AfterModelCallEvent, AfterToolCallEvent, BeforeToolCallEvent, HookProvider, HookRegistry
from strands.models import Model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tape import Killed, Scenario, Tape, Truth, main

MODEL = "scripted-1"
TEXT = ("message", "agent_thought", "agent_finish")
TOKENS = (120, 30)


def say(text: str, *calls: tuple[str, dict[str, Any]], thought: str = "") -> dict[str, Any]:
    """A scripted reply: text, tool calls as ``(name, arguments)``, reasoning before both."""
    return {"text": text, "calls": calls, "thought": thought}


def pieces(text: str, size: int = 7) -> list[str]:
    """Deltas as a model streams them: a few characters each, so that breaks fall anywhere."""
    return [text[at : at + size] for at in range(0, len(text), size)]


class Scripted(Model):
    """Streams the replies of its script in Bedrock's events; an exception in the script is raised."""

    def __init__(self, script: list[Any], label: str = "a") -> None:
        self.script = list(script)
        self.label = label
        self.cursor = 0

    def update_config(self, **_: Any) -> None:
        """There is nothing to set."""

    def get_config(self) -> dict[str, Any]:
        return {"model_id": MODEL}

    def structured_output(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError("no scenario asks for structured output")

    async def stream(self, *_: Any, **__: Any) -> AsyncIterator[dict[str, Any]]:
        reply = self.script[self.cursor]
        self.cursor += 1
        if isinstance(reply, BaseException):
            raise reply
        yield {"messageStart": {"role": "assistant"}}
        if reply["thought"]:
            yield {"contentBlockStart": {"start": {}}}
            for piece in pieces(reply["thought"]):
                yield {"contentBlockDelta": {"delta": {"reasoningContent": {"text": piece}}}}
            yield {"contentBlockStop": {}}
        if reply["text"]:
            yield {"contentBlockStart": {"start": {}}}
            for piece in pieces(reply["text"]):
                yield {"contentBlockDelta": {"delta": {"text": piece}}}
            yield {"contentBlockStop": {}}
        for index, (name, arguments) in enumerate(reply["calls"]):
            use = {"name": name, "toolUseId": f"tooluse_{self.label}{self.cursor}_{index}"}
            yield {"contentBlockStart": {"start": {"toolUse": use}}}
            for piece in pieces(json.dumps(arguments, ensure_ascii=False), 40):
                yield {"contentBlockDelta": {"delta": {"toolUse": {"input": piece}}}}
            yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "tool_use" if reply["calls"] else "end_turn"}}
        sent, received = TOKENS
        usage = {"inputTokens": sent, "outputTokens": received, "totalTokens": sent + received}
        yield {"metadata": {"usage": usage, "metrics": {"latencyMs": 5}}}


class Printing(PrintingCallbackHandler):
    """The default handler; says on the tape what it is about to print."""

    def __init__(self, tape: Tape) -> None:
        super().__init__()
        self.tape = tape

    def __call__(self, **kwargs: Any) -> None:
        if kwargs.get("event", {}).get("contentBlockStart", {}).get("start", {}).get("toolUse"):
            label: tuple[str, ...] = ("tool_call", "agent_action")
        elif kwargs.get("reasoningText"):
            label = ("agent_thought", "message")
        else:
            label = TEXT
        with self.tape.labelled(*label):
            super().__call__(**kwargs)


class Watch(HookProvider):
    """Writes the truth from Strands' own hooks."""

    def __init__(self, truth: Truth, run: int) -> None:
        self.truth, self.run = truth, run
        self.open: dict[str, dict[str, Any]] = {}

    def register_hooks(self, registry: HookRegistry, **_: Any) -> None:
        registry.add_callback(BeforeToolCallEvent, self.before)
        registry.add_callback(AfterToolCallEvent, self.after)
        registry.add_callback(AfterModelCallEvent, self.model)

    def before(self, event: BeforeToolCallEvent) -> None:
        use = event.tool_use
        self.open[use["toolUseId"]] = self.truth.call(use["name"], use["input"], use["toolUseId"], self.run)

    def after(self, event: AfterToolCallEvent) -> None:
        if self.truth.tape.is_cut:
            return
        call = self.open[event.tool_use["toolUseId"]]
        content = event.result["content"]
        value = content[0].get("text", content[0].get("json")) if content else None
        call["error" if event.result["status"] == "error" else "result"] = value

    def model(self, event: AfterModelCallEvent) -> None:
        if not self.truth.tape.is_cut:
            self.truth.model(MODEL, None if event.exception else TOKENS, self.run)


@tool
def search(query: str) -> str:
    """Search the handbook."""
    return f"Found for {query}:\n- two days within the country\n- five days abroad"


@tool
def lookup(order: dict) -> dict:
    """Look an order up."""
    return {"status": "success", "content": [{"json": {"order": order, "state": "shipped"}}]}


@tool
def silent(path: str) -> str:
    """Delete a file; says nothing."""
    return ""


@tool
def broken(table: str) -> str:
    """A database that is down."""
    raise ConnectionError(f"cannot reach database: table {table!r}\nhost: db-1")


@tool
def chatty(topic: str) -> str:
    """A tool that prints, as users' tools do."""
    print(f"looking at {topic}")
    return f"seen {topic}"


@tool
def long_report(pages: int) -> str:
    """A very long result, which is not printed."""
    return "\n".join(f"page {page}: all is well" for page in range(pages))


TOOLS = [search, lookup, silent, broken, chatty, long_report]


class Warned(logging.Handler):
    """What Python does with a warning where no logging is set up (its handler of last resort), and says so on the tape."""

    def __init__(self, tape: Tape) -> None:
        super().__init__(logging.WARNING)
        self.tape = tape

    def emit(self, record: logging.LogRecord) -> None:
        with self.tape.labelled("error", "log"):
            print(self.format(record), file=sys.stderr)


def ask(
    tape: Tape, truth: Truth, prompt: str, *script: Any, tools: list[Any] | None = None, name: str = "Strands Agents"
) -> str | None:
    """One run of an agent with the default way of printing; its failure is printed as a Lambda handler might."""
    run = truth.run("agent", name)
    agent = Agent(
        name=name,
        model=Scripted(list(script), f"r{run}"),
        tools=TOOLS if tools is None else tools,
        callback_handler=Printing(tape),
        hooks=[Watch(truth, run)],
    )
    warned = Warned(tape)
    logging.getLogger("strands").addHandler(warned)
    try:
        answer = str(agent(prompt)).rstrip("\n")
    except Killed:
        raise
    except Exception as problem:
        if tape.is_cut:
            raise Killed from None
        truth.ended(run, str(problem))
        truth.failed = True
        with tape.labelled("error"):
            traceback.print_exc()
        return None
    finally:
        logging.getLogger("strands").removeHandler(warned)
    if tape.is_cut:
        raise Killed
    truth.ended(run)
    truth.answer = answer
    return answer


def several_tools(tape: Tape, truth: Truth) -> None:
    ask(
        tape, truth, "When does my order come?",
        say("Let me look that up.", ("search", {"query": "shipping times"})),
        say("Now the order itself.", ("lookup", {"order": {"id": 7, "lines": [1, 2]}})),
        say("It comes in two days."),
    )  # fmt: skip


def results_not_printed(tape: Tape, truth: Truth) -> None:
    ask(
        tape, truth, "Clean up",
        say("", ("silent", {"path": "/tmp/a"})),
        say("", ("lookup", {"order": {}})),
        say("Done.\n\n- file deleted\n- order `{}` has no lines"),
    )  # fmt: skip


def tricky_inputs(tape: Tape, truth: Truth) -> None:
    ask(
        tape, truth, "Odd",
        say("I'll search for \"it's\": {a: 1}\n", ("search", {"query": 'it\'s "quoted" {a: [1]} C:\\temp\n第二行'})),
        say("Ответ: да, 価格は 5 € — \\n is no newline."),
    )  # fmt: skip


def failing_tool(tape: Tape, truth: Truth) -> None:
    ask(
        tape, truth, "Count",
        say("I ask the database.", ("broken", {"table": "orders"})),
        say("The database is down; I try the handbook.", ("search", {"query": "orders"})),
        say("About five."),
    )  # fmt: skip


def parallel_calls(tape: Tape, truth: Truth) -> None:
    ask(
        tape, truth, "Compare",
        say("Three things at once.", ("search", {"query": "Oslo"}), ("search", {"query": "Rome"}), ("lookup", {"order": {"id": 1}})),
        say("Rome is warmer."),
    )  # fmt: skip


def nested_agent(tape: Tape, truth: Truth) -> None:
    outer_run = truth.run("agent", "planner")

    @tool
    def researcher(question: str) -> str:
        """An agent behind a tool."""
        run = truth.run("agent", "researcher", outer_run)
        inner = Agent(
            name="researcher",
            model=Scripted(
                [say("Searching.", ("search", {"query": question})), say("Two days, says the handbook.")], "i"
            ),
            tools=[search],
            callback_handler=Printing(tape),
            hooks=[Watch(truth, run)],
        )
        answer = str(inner(question)).rstrip("\n")
        truth.ended(run)
        return answer

    script = [say("I ask my colleague.", ("researcher", {"question": "shipping"})), say("It takes two days.")]
    outer = Agent(
        name="planner",
        model=Scripted(script, "o"),
        tools=[researcher],
        callback_handler=Printing(tape),
        hooks=[Watch(truth, outer_run)],
    )
    truth.answer = str(outer("How long?")).rstrip("\n")
    truth.ended(outer_run)


def two_runs(tape: Tape, truth: Truth) -> None:
    ask(tape, truth, "One", say("First.", ("search", {"query": "a"})), say("First answer."))
    ask(tape, truth, "Two", say("Second.", ("chatty", {"topic": "b"})), say("Second answer."))


def reasoning(tape: Tape, truth: Truth) -> None:
    ask(
        tape, truth, "Think",
        say("I search.", ("search", {"query": "x"}), thought="The user wants x.\nTool #9: would be nice."),
        say("x is fine.", thought="Now I know."),
    )  # fmt: skip


def no_tool(tape: Tape, truth: Truth) -> None:
    ask(tape, truth, "Hello", say("Hello!\n\nHow can I help: orders, shipping or {other}?"))


def very_long(tape: Tape, truth: Truth) -> None:
    report = "\n".join(f"{number}. paragraph {number} of the report, in full" for number in range(500))
    ask(tape, truth, "All", say("A long one.", ("long_report", {"pages": 900})), say(report))


def model_fails(tape: Tape, truth: Truth) -> None:
    ask(
        tape, truth, "Fail",
        say("I begin.", ("search", {"query": "a"})),
        RuntimeError("ValidationException: the model refuses\nrequest: {'a': 1}"),
    )  # fmt: skip


def killed(tape: Tape, truth: Truth) -> None:
    @tool
    def fatal(query: str) -> str:
        """The process dies in here."""
        tape.cut()
        return query

    ask(
        tape, truth, "Die",
        say("First this.", ("search", {"query": "a"})),
        say("Then that.", ("fatal", {"query": "b"})),
        tools=[search, fatal],
    )  # fmt: skip


def marker_words(tape: Tape, truth: Truth) -> None:
    ask(
        tape, truth, "Quote",
        say("The log says:\nTool #1: search\nbut that was yesterday.", ("search", {"query": "log"})),
        say("It ended with `Tool #2: lookup` and no answer."),
    )  # fmt: skip


def first_dies(tape: Tape, truth: Truth) -> None:
    ask(tape, truth, "One", say("I try.", ("chatty", {"topic": "a: {b}"})), RuntimeError("throttled"))
    truth.failed = False
    ask(tape, truth, "Two", say("", ("search", {"query": "b"}), ("broken", {"table": "c"})), say("Second answer."))


SCENARIOS = {
    "several_tools": Scenario("two tools, JSON arguments and result", several_tools),
    "results_not_printed": Scenario("empty and JSON results; replies without text", results_not_printed, held_out=True),
    "tricky_inputs": Scenario("quotes, braces, backslashes, other scripts", tricky_inputs),
    "failing_tool": Scenario("a tool raises; Strands hands the error to the model", failing_tool, held_out=True),
    "parallel_calls": Scenario("three calls in one reply, two of one tool", parallel_calls),
    "nested_agent": Scenario(
        "an agent as a tool: both print, each with a counter of its own", nested_agent, held_out=True
    ),
    "two_runs": Scenario("two agents one after the other in one process", two_runs),
    "reasoning": Scenario("reasoning text, a marker word in it", reasoning, held_out=True),
    "no_tool": Scenario("an answer of several lines without any tool", no_tool),
    "very_long": Scenario("an answer of 24 KB; a long result that is not printed", very_long, held_out=True),
    "model_fails": Scenario("the model raises: traceback behind the text", model_fails),
    "killed": Scenario("the process is killed in the second tool", killed, held_out=True),
    "marker_words": Scenario("an answer that quotes `Tool #1: search`", marker_words),
    "first_dies": Scenario("a run dies, the next prints on; a tool that prints", first_dies, held_out=True),
}

if __name__ == "__main__":
    main(
        "strands", SCENARIOS, ["strands-agents"],
        # The handler prints a tool's name alone.
        printed_call=lambda _text, _call: {"arguments": "absent", "result": "absent"},
        printed_run=lambda _text, _run: False,
        printed_model=lambda _text, _model: {"call": False, "tokens": False, "model": False},
    )  # fmt: skip
