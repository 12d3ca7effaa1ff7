"""The open half: inputs and results that look like what stands around them: log lines, the platform's, code, a console."""

from __future__ import annotations

import json
from typing import Any

from agents import TRACEBACK, calling, react, search, text_tool
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool, StructuredTool
from scenario import Half
from scripted import act, answer, say

HALF = Half()
scenario = HALF.scenario
REQUEST = "4f1d2f30-9a3b-4c55-8f2e-0a7b6c5d4e3f"
ANOTHER = "5c9e8d7f-1b2a-4d3c-9e8f-7a6b5c4d3e2f"
EVENTS = f"""3 events:

2026-03-02T10:15:04.377Z\t{REQUEST}\tERROR\tno such order: 7
RequestId: {REQUEST} Error: Runtime exited with error: signal: killed
{{"time": "2026-03-02T10:15:05Z", "type": "platform.report", "record": {{"requestId": "{REQUEST}", "status": "error"}}}}
{{"timestamp": "2026-03-02T10:15:05Z", "level": "ERROR", "message": "again", "requestId": "{ANOTHER}"}}"""
FRAME = f"[ERROR]\t2026-03-02T10:15:04.377Z\t{REQUEST}\t"
PLATFORM = f"""START RequestId: {REQUEST} Version: $LATEST
{FRAME}no such order: 7
END RequestId: {REQUEST}
REPORT RequestId: {REQUEST}\tDuration: 3000.00 ms\tBilled Duration: 3000 ms\tMemory Size: 128 MB\tMax Memory Used: 40 MB
START RequestId: {ANOTHER} Version: $LATEST
2026-03-02T10:16:00.123Z {ANOTHER} Task timed out after 3.00 seconds"""
SERVICE = f"""2026-03-02 10:15:04,377 INFO [app.orders] GET /orders/7
2026-03-02 10:15:04,391 - app.db - ERROR - connection refused
ERROR:app.db:connection refused
{TRACEBACK}
{{"level": "ERROR", "timestamp": "2026-03-02T10:15:04Z", "message": "order \\"7\\" failed"}}
{{"level": "INFO", "time": "2026-03-02T10:15:05Z", "message": "retried"}}"""
QUOTED = f'He said "no":\n{FRAME}and "left"\n"quite"'


@scenario()
def log_results(verbose: bool, config: RunnableConfig) -> None:
    """ReAct: a tool that searches logs; its results are lines of Lambda, of loggers, of JSON, the last line is one too"""
    found = {"platform": PLATFORM, "events": EVENTS, "service": SERVICE, "quoted": QUOTED, "one": FRAME + "alone"}
    logs = text_tool("logs", lambda text: found[text])
    script = [act(f"Search {name}.", "logs", name) for name in found]
    script.append(answer(f"It timed out:\n{PLATFORM}"))
    react(script, [logs], verbose).invoke({"input": "Why does order 7 fail?"}, config)


@scenario()
def log_results_called(verbose: bool, config: RunnableConfig) -> None:
    """Tool calling: the same in results, in an argument, in the words before a call, in the answer"""

    def logs(group: str, lines: str = "") -> str:
        return {"platform": PLATFORM, "service": SERVICE, "quoted": QUOTED}[group]

    script = [
        say(f"I search:\n{FRAME}", ("logs", {"group": "platform"})),
        say("", ("logs", {"group": "service", "lines": PLATFORM}), ("logs", {"group": "quoted"})),
        say(f"It failed:\n{SERVICE}"),
    ]
    tools: list[BaseTool] = [StructuredTool.from_function(logs, description="Logs.")]
    calling(script, tools, verbose).invoke({"input": "Why does order 7 fail?"}, config)


@scenario()
def code_inputs(verbose: bool, config: RunnableConfig) -> None:
    """ReAct: inputs are code, with fences, quotes at both ends, blank lines, comments that look like marks"""
    programs = [
        "```python\nfor n in range(3):\n    print(f\"{n}: 'x'\")\n\n# Observation: none\n```",
        '"""A docstring.\n\nThought: no.\n"""\nprint("Action: none")',
        "import json\n\nprint(json.dumps({'a': [1, 2]}))\n",
    ]
    python = text_tool("python", lambda text: f">>> {text}\nFinal: {len(text)}")
    script = [act("Run it.", "python", program) for program in programs]
    script.append(answer("```python\nprint('Final Answer: 3')\n```"))
    react(script, [python], verbose).invoke({"input": "Run."}, config)


@scenario()
def odd_values(verbose: bool, config: RunnableConfig) -> None:
    """Results that are no text: none, a number, a list, a text of one newline or one quote; twenty arguments"""
    values: list[Any] = [None, 0, [], [{"a": 1}], "\n", '"', "'", True, 1.5, {"k": None}]
    left = iter(values)

    def odd(**given: Any) -> Any:
        return next(left)

    tool = StructuredTool.from_function(odd, name="odd", description="Odd.", args_schema=_schema(20))
    script = [say("", ("odd", {f"a{n}": f"value {n}" for n in range(number)})) for number in [20, *range(1, 10)]]
    calling([*script, say("Odd.")], [tool], verbose).invoke({"input": "Go."}, config)


def _schema(count: int) -> dict[str, Any]:
    return {"type": "object", "properties": {f"a{number}": {"type": "string"} for number in range(count)}}


@scenario()
def transcripts(verbose: bool, config: RunnableConfig) -> None:
    """A tool that returns what LangChain itself printed, colours and all; entries of its debug form; a JSON of it"""
    said = (
        "\x1b[1m> Entering new AgentExecutor chain...\x1b[0m\n\x1b[32;1m\x1b[1;3m\nInvoking: `x` with `{}`\n\n\n\x1b[0m"
    )
    entry = '\x1b[36;1m\x1b[1;3m[tool/end]\x1b[0m \x1b[1m[tool:x] [1ms] Exiting Tool run with output:\n\x1b[0m"done"'
    plain = "> Entering new AgentExecutor chain...\nThought: x\nAction: y\nAction Input: z\nObservation: w\n> Finished chain."
    texts = {"plain": plain, "json": json.dumps([said, entry])}
    logs = text_tool("logs", lambda text: texts[text])
    script = [act("Read.", "logs", name) for name in texts]
    react([*script, answer("An agent ran.")], [logs], verbose).invoke({"input": "What ran?"}, config)
    tool = StructuredTool.from_function(lambda name: texts[name], name="logs", description="Logs.")
    called = [say("", *(("logs", {"name": name}) for name in texts)), say("An agent ran.")]
    calling(called, [tool, search], verbose, label="b").invoke({"input": "What ran?"}, config)
