"""Record what the OpenAI Agents SDK prints, beside the truth told by its own hooks.

Run by hand, offline, in an environment of its own: ``pip install -r requirements.txt``, then
``python generate.py [scenario ...]``. The SDK's own client talks to a scripted model on loopback.
Each scenario is recorded as:

- ``debug``: ``enable_verbose_stdout_logging()``, data withheld (the SDK's default);
- ``data``: the same with OPENAI_AGENTS_DONT_LOG_MODEL_DATA=0 and OPENAI_AGENTS_DONT_LOG_TOOL_DATA=0;
- ``spans``: a trace processor that prints each trace at its start and each span at its end, one JSON a line.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OPENAI_API_KEY", "none")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents import (
    Agent,
    AgentHooks,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    TracingProcessor,
    _debug,
    enable_verbose_stdout_logging,
    function_tool,
    set_trace_processors,
)
from openai import AsyncOpenAI
from scripted_openai import MODEL, say, serving
from tape import Killed, Tape, Truth, in_forms, main, shown

LOGGER = logging.getLogger("openai.agents")
STARTS = {
    "Creating trace": ("log", "chain_start", "invocation_start"),
    "Resetting current trace": ("log", "chain_end", "invocation_end"),
    "Running agent": ("agent_start",),
    "Calling LLM": ("llm_start",),
    "%s\nTools:": ("llm_start",),
    "LLM resp": ("llm_end",),
    "Received model response": ("llm_end",),
    "Invoking tool": ("tool_call",),
    "Tool call args": ("log", "tool_call"),
    "Tool %s returned": ("tool_result",),
    "Tool %s completed": ("tool_result",),
}
SPANS = {
    "function": ("tool_call", "tool_result"),
    "generation": ("llm_end", "llm_start"),
    "response": ("llm_end", "llm_start"),
    "agent": ("agent_end", "agent_start"),
    "handoff": ("agent_action", "message", "log"),
    "task": ("log", "chain_start", "chain_end", "invocation_end"),
    "turn": ("log", "chain_start", "chain_end"),
}


def label(record: logging.LogRecord) -> tuple[str, ...]:
    """What a log record of the SDK may be taken for, by the format that its source wrote."""
    if record.levelno >= logging.ERROR or " failed" in str(record.msg):
        return ("error", "tool_result")
    for start, types in STARTS.items():
        if str(record.msg).startswith(start):
            is_later_turn = start == "Running agent" and isinstance(record.args, tuple) and record.args[-1] != 1
            return (*types, "log") if is_later_turn else types
    return ("log",)


class Printing(TracingProcessor):
    """Prints traces and spans as JSON lines."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape

    def on_trace_start(self, trace: Any) -> None:
        with self.tape.labelled("log", "chain_start", "invocation_start"):
            print(json.dumps(trace.export(), ensure_ascii=False))

    def on_trace_end(self, trace: Any) -> None:
        """Printed at its start."""

    def on_span_start(self, span: Any) -> None:
        """Printed at its end."""

    def on_span_end(self, span: Any) -> None:
        with self.tape.labelled(*SPANS[span.span_data.type], *(("error",) if span.error else ())):
            print(json.dumps(span.export(), ensure_ascii=False, default=str))

    def shutdown(self) -> None:
        """Nothing is held."""

    def force_flush(self) -> None:
        """Nothing is held."""


class Watch(AgentHooks[Any]):
    """Writes the truth from the hooks of every agent; agents of one run are nested, never parallel."""

    def __init__(self, truth: Truth, errors: dict[str, str]) -> None:
        self.truth, self.errors = truth, errors
        self.open: list[int] = []
        self.calls: dict[str, dict[str, Any]] = {}
        self.count = 0

    async def on_start(self, context: Any, agent: Any) -> None:
        self.open.append(self.truth.run("agent", agent.name, self.open[-1] if self.open else None))

    async def on_end(self, context: Any, agent: Any, output: Any) -> None:
        self.truth.ended(self.open.pop())

    async def on_handoff(self, context: Any, agent: Any, source: Any) -> None:
        self.truth.ended(self.open.pop())

    async def on_llm_start(self, context: Any, *_: Any) -> None:
        self.count += 1
        self.truth.model(MODEL, None, self.open[-1])

    async def on_llm_end(self, context: Any, agent: Any, response: Any) -> None:
        usage = response.usage
        self.truth.models[-1].update(input_tokens=usage.input_tokens, output_tokens=usage.output_tokens)

    async def on_tool_start(self, context: Any, agent: Any, tool: Any) -> None:
        given = context.tool_arguments
        self.calls[context.tool_call_id] = self.truth.call(
            tool.name, json.loads(given), context.tool_call_id, self.open[-1]
        )

    async def on_tool_end(self, context: Any, agent: Any, tool: Any, result: Any) -> None:
        if not self.truth.tape.is_cut:
            call = self.calls[context.tool_call_id]
            call.update(result=result, error=self.errors.pop(tool.name, None))


Build = Callable[[Any, AgentHooks[Any], Tape, dict[str, str]], Agent[Any]]


def verbose() -> logging.Handler:
    """The SDK's own way to print its log: neither level nor time."""
    enable_verbose_stdout_logging()
    (handler,) = LOGGER.handlers
    return handler


HANDLERS: dict[str, Callable[[], logging.Handler]] = {"debug": verbose, "data": verbose}
"""What writes the log, by form; ``../framed/generate.py`` has more."""


def run(build: Build, *script: Any, prompt: str = "Go", chat: bool = False) -> Callable[[Tape, Truth, str], None]:
    """One run of an agent; the form says what is printed. A failure is printed as a Lambda handler might."""

    def play(tape: Tape, truth: Truth, form: str) -> None:
        _debug.DONT_LOG_MODEL_DATA = _debug.DONT_LOG_TOOL_DATA = form == "debug"
        if form == "spans":
            set_trace_processors([Printing(tape)])
        else:
            set_trace_processors([])
            handler = HANDLERS[form]()
            emit = handler.emit

            def labelled(record: logging.LogRecord) -> None:
                with tape.labelled(*label(record)):
                    emit(record)

            handler.emit = labelled
        errors: dict[str, str] = {}
        watch = Watch(truth, errors)
        chain = truth.run("chain", "Agent workflow")
        watch.open.append(chain)
        try:
            with serving(list(script)) as url:
                client = AsyncOpenAI(base_url=url, api_key="none", max_retries=0)
                kind = OpenAIChatCompletionsModel if chat else OpenAIResponsesModel
                agent = build(kind(MODEL, client), watch, tape, errors)
                result = Runner.run_sync(agent, prompt, max_turns=6)
            if tape.is_cut:
                raise Killed
            truth.ended(chain)
            truth.answer = str(result.final_output)
        except Killed:
            raise
        except Exception as problem:
            if tape.is_cut:
                raise Killed from None
            for call in watch.calls.values():
                if call["result"] is None and call["name"] in errors:
                    call["error"] = errors[call["name"]]
            for opened in watch.open:
                truth.ended(opened, str(problem))
            truth.failed = True
            with tape.labelled("error"):
                traceback.print_exc()
        finally:
            for each in (LOGGER, logging.getLogger()):
                each.handlers.clear()
            LOGGER.setLevel(logging.NOTSET)

    return play


def tools(tape: Tape, errors: dict[str, str]) -> dict[str, Any]:
    """The tools of all scenarios, by name."""

    @function_tool
    def search(query: str) -> str:
        """Search the handbook."""
        return f"Found for {query}:\n- two days within the country\n- five days abroad"

    @function_tool
    def lookup(order: int) -> dict[str, Any]:
        """Look an order up."""
        return {"order": order, "state": "shipped", "lines": [1, 2], "note": "it's {fragile}"}

    @function_tool
    def silent(path: str) -> str:
        """Delete a file; says nothing."""
        return ""

    @function_tool
    async def later(city: str) -> str:
        """The time in a city."""
        return f"{city}: midnight"

    @function_tool
    def report(pages: int) -> str:
        """A long result."""
        return "\n".join(f"page {page}: all is well" for page in range(pages))

    def fails(table: str) -> str:
        errors["broken"] = f"cannot reach database: table {table!r}\nhost: db-1"
        raise ConnectionError(errors["broken"])

    @function_tool
    def broken(table: str) -> str:
        """A database that is down; the SDK tells the model so."""
        return fails(table)

    @function_tool(name_override="broken", failure_error_function=None)
    def raising(table: str) -> str:
        """A database that is down; the run dies."""
        return fails(table)

    @function_tool
    async def fatal(query: str) -> str:
        """The process dies in here."""
        tape.cut()
        return query

    made = {item.name: item for item in (search, lookup, silent, later, report, broken, fatal)}
    return {**made, "raising": raising}


def plain(*names: str) -> Build:
    """One agent with these tools."""

    def build(model: Any, watch: AgentHooks[Any], tape: Tape, errors: dict[str, str]) -> Agent[Any]:
        made = tools(tape, errors)
        used = [made[name] for name in names]
        return Agent(name="Assistant", instructions="Be brief.", model=model, tools=used, hooks=watch)

    return build


def nested(model: Any, watch: AgentHooks[Any], tape: Tape, errors: dict[str, str]) -> Agent[Any]:
    made = tools(tape, errors)
    inner = Agent(name="Researcher", instructions="Search.", model=model, tools=[made["search"]], hooks=watch)
    tool = inner.as_tool(tool_name="ask_researcher", tool_description="Ask the researcher.")
    return Agent(name="Planner", instructions="Plan.", model=model, tools=[tool, made["lookup"]], hooks=watch)


def handing(model: Any, watch: AgentHooks[Any], tape: Tape, errors: dict[str, str]) -> Agent[Any]:
    made = tools(tape, errors)
    billing = Agent(name="Billing agent", instructions="Bills.", model=model, tools=[made["lookup"]], hooks=watch)
    return Agent(name="Triage", instructions="Route.", model=model, handoffs=[billing], hooks=watch)


Play = Callable[[Tape, Truth, str], None]


def twice(first: Play, second: Play) -> Play:
    """Two runs in one process."""

    def play(tape: Tape, truth: Truth, form: str) -> None:
        first(tape, truth, form)
        truth.failed = False
        second(tape, truth, form)

    return play


ONE_SEARCH = (say("Let me see.", ("search", {"query": "a"})), say("Two days."))
ODD = {"query": 'it\'s "quoted" {a: [1]} C:\\temp\n第二行 returned 7'}
PLAYS: dict[str, tuple[str, Play, bool]] = {
    "several_tools": ("two tools, JSON and several lines", run(plain("search", "lookup"), *ONE_SEARCH[:1], say(None, ("lookup", {"order": 7})), say("It comes\nin two days.")), False),
    "empty_result": ("an empty result, no arguments' text worth naming", run(plain("silent", "later"), say(None, ("silent", {"path": ""})), say(None, ("later", {"city": "Oslo"})), say("Done.")), True),
    "tricky_inputs": ("quotes, braces, backslashes, a newline, other scripts", run(plain("search"), say("Odd: {x}", ("search", ODD)), say("Ответ: 5 €\nTool search returned nothing."), prompt='What is "{this}"?\nИ это?'), False),
    "tool_fails": ("a tool raises; the SDK tells the model", run(plain("broken", "search"), say(None, ("broken", {"table": "orders"})), *ONE_SEARCH), True),
    "tool_raises": ("a tool raises and the run dies", run(plain("raising"), say(None, ("broken", {"table": "orders"}))), False),
    "parallel_calls": ("three calls in one reply, two of one tool", run(plain("later", "search"), say(None, ("later", {"city": "Oslo"}), ("later", {"city": "Rome"}), ("search", {"query": "both"})), say("Rome.")), True),
    "nested_agent": ("an agent as a tool", run(nested, say(None, ("ask_researcher", {"input": "shipping"})), *ONE_SEARCH, say(None, ("lookup", {"order": 7})), say("Two days in all.")), False),
    "handoff": ("a handoff to another agent, which uses a tool", run(handing, say(None, ("transfer_to_billing_agent", {})), say(None, ("lookup", {"order": 9})), say("It is paid.")), True),
    "very_long": ("a result of 20 KB", run(plain("report"), say(None, ("report", {"pages": 900})), say("All is well.")), False),
    "killed": ("the process is killed in its second tool", run(plain("search", "fatal"), *ONE_SEARCH[:1], say(None, ("fatal", {"query": "b"}))), True),
    "two_runs": ("one after the other", twice(run(plain("search"), *ONE_SEARCH), run(plain("lookup"), say(None, ("lookup", {"order": 1})), say("Shipped."))), False),
    "first_dies": ("the first run dies, the second answers", twice(run(plain("raising"), say("I try.", ("broken", {"table": "a: {b}"}))), run(plain("search"), *ONE_SEARCH)), True),
    "no_tool": ("an answer without any tool", run(plain(), say("Hello!\n\nHow can I help?")), False),
    "model_fails": ("the service answers 400 at the second turn", run(plain("search"), ONE_SEARCH[0], RuntimeError("context too long: 'x' {1}")), True),
    "chat_completions": ("the Chat Completions model", run(plain("search", "lookup"), ONE_SEARCH[0], say(None, ("lookup", {"order": 7}), ("search", {"query": "ü"})), say("Fine."), chat=True), False),
    "turns_exceeded": ("MaxTurnsExceeded, Chat Completions", run(plain("later"), *[say(None, ("later", {"city": f"c{n}"})) for n in range(7)], chat=True), True),
}  # fmt: skip


SCENARIOS = in_forms(PLAYS, ("debug", "data", "spans"))


def printed_call(text: str, call: dict[str, Any]) -> dict[str, str]:
    """What of a call is shown by the log records or spans of tools, or by what was sent to the model."""
    return {key: shown(text, call[key]) for key in ("arguments", "result")}


def printed_model(text: str, model: dict[str, Any]) -> dict[str, Any]:
    spans = text.startswith("{")
    tokens_text = f'"input_tokens": {model["input_tokens"]}, "output_tokens": {model["output_tokens"]}'
    return {
        "call": "Calling LLM" in text or "Tools:\n" in text or (spans and model["input_tokens"] is not None),
        "tokens": spans and tokens_text in text,
        "model": model["model"] in text,
    }


if __name__ == "__main__":
    main(
        "openai_agents", SCENARIOS, ["openai-agents", "openai"],
        printed_call=printed_call,
        printed_run=lambda text, run: run["name"] in text,
        printed_model=printed_model,
    )  # fmt: skip
