"""Spans of real LangGraph agents, by both instrumentations that AgentCore knows: OpenInference's and OpenTelemetry's.

The framework and the instrumentations run; ADOT's own handler takes the words out of the spans where telemetry is split.
Only the envelope, the flat records of CloudWatch, is written after AWS's documentation, as in ``generate.py``.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "langchain"))

from amazon.opentelemetry.distro.llo_handler import LLOHandler
from documented import Documented, write
from langchain.agents import create_agent
from langchain_core.tools import BaseTool, tool
from openinference.instrumentation.langchain import LangChainInstrumentor as OpenInference
from opentelemetry.instrumentation.langchain import LangchainInstrumentor as OpenTelemetry
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from scripted import MODEL, ScriptedChat, say
from tape import as_on_lambda

Play = Callable[[Documented], None]
PAGES = {"Amazon Bedrock AgentCore developer guide, Set up LangGraph telemetry for AgentCore Evaluations": "2026-11"}
SESSION = "session-langgraph"
LIBRARIES = {"openinference": OpenInference, "opentelemetry": OpenTelemetry}


def asked(agent: Any, text: str) -> str:
    """What an agent answers."""
    return str(agent.invoke({"messages": [{"role": "user", "content": text}]})["messages"][-1].content)


@tool
def search(query: str, limit: int = 3) -> str:
    """Search the knowledge base."""
    return f'Found for {query}:\n\n  - "two" days\n  - {limit} rows'


@tool
def prices(item: str) -> dict[str, Any]:
    """Prices and stock."""
    return {"item": item, "price": 12.5, "stock": {"Łódź": 3}}


@tool
def now() -> str:
    """The time."""
    return "2026-01-01T00:00:00Z"


@tool
def database(sql: str) -> str:
    """The orders."""
    raise ConnectionError(f"database is down: {sql}")


FOUND = 'Found for it\'s {shipping} & "more":\n\n  - "two" days\n  - 2 rows'
PRICED = '{"item": "A-7", "price": 12.5, "stock": {"Łódź": 3}}'


def tools(told: Documented) -> None:
    """An agent with three tools, two of them called at once, one without arguments"""
    query = {"query": 'it\'s {shipping} & "more"', "limit": 2}
    script = [
        say("", ("search", query), tokens=(150, 20)),
        say("And the rest.", ("prices", {"item": "A-7"}), ("now", {}), tokens=(210, 31)),
        say("Two days; 12.50.\n\nAnything else?", tokens=(260, 12)),
    ]
    told.answer = asked(create_agent(ScriptedChat(script=script), [search, prices, now]), "Shipping, and A-7?")
    run = told.run("agent", "LangGraph")
    told.call("search", query, FOUND, None, "call_a1_0", run)
    told.call("prices", {"item": "A-7"}, PRICED, None, "call_a2_0", run)
    told.call("now", {}, "2026-01-01T00:00:00Z", None, "call_a2_1", run)
    for sent, received in ((150, 20), (210, 31), (260, 12)):
        told.model(MODEL, sent, received, run)


def named_nested(told: Documented) -> None:
    """A named agent behind a tool of another"""
    inner = create_agent(
        ScriptedChat(script=[say("", ("now", {}), tokens=(90, 9)), say("Noon.", tokens=(95, 2))], label="b"),
        [now],
        name="clockmaker",
    )

    @tool
    def ask(question: str) -> str:
        """Ask the clockmaker."""
        return asked(inner, question)

    script = [say("", ("ask", {"question": "the time?"}), tokens=(120, 7)), say("It is noon.", tokens=(140, 4))]
    told.answer = asked(create_agent(ScriptedChat(script=script), [ask], name="concierge"), "What time is it?")
    outer = told.run("agent", "concierge")
    told.call("ask", {"question": "the time?"}, "Noon.", None, "call_a1_0", outer)
    told.call("now", {}, "2026-01-01T00:00:00Z", None, "call_b1_0", told.run("agent", "clockmaker", outer))
    for sent, received in ((120, 7), (140, 4), (90, 9), (95, 2)):
        told.model(MODEL, sent, received, outer)


def tool_raises(told: Documented) -> None:
    """A tool raises, and the run dies"""
    agent = create_agent(ScriptedChat(script=[say("", ("database", {"sql": "select 1"}), tokens=(80, 8))]), [database])
    with contextlib.suppress(ConnectionError):
        asked(agent, "Count.")
    run = told.run("agent", "LangGraph", error="ConnectionError")
    told.call("database", {"sql": "select 1"}, None, "ConnectionError: database is down: select 1", None, run)
    told.model(MODEL, 80, 8, run)
    told.failed = True


PLAYS: tuple[Play, ...] = (tools, named_nested, tool_raises)
TOOLS: tuple[BaseTool, ...] = (search, prices, now, database)


def recorded(play: Play, library: str, split: bool) -> tuple[list[tuple[str, set[str]]], Documented]:
    """The records that a run leaves, in the order in which they are written."""
    told = Documented()
    spans, logs = InMemorySpanExporter(), InMemoryLogRecordExporter()
    provider, logging_ = TracerProvider(shutdown_on_exit=False), LoggerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    logging_.add_log_record_processor(SimpleLogRecordProcessor(logs))
    instrumentor = LIBRARIES[library]()
    instrumentor.instrument(tracer_provider=provider)
    try:
        play(told)
    finally:
        instrumentor.uninstrument()
    records: list[tuple[str, set[str]]] = []
    handler = LLOHandler(logging_)
    for span in spans.get_finished_spans():
        types = types_of(span, told)
        if split:
            (span,) = handler.process_spans([span])
            records += [(content(each), {"message"}) for each in logs.get_finished_logs()]
            logs.clear()
        records.append((written(span), types))
    return records, told


def types_of(span: ReadableSpan, told: Documented) -> set[str]:
    """The event types that are right for a span."""
    name, _, kind = span.name.removeprefix("execute_tool ").removeprefix("invoke_agent ").partition(".")
    if name in {call["name"] for call in told.calls} and kind in ("", "tool"):
        return {"tool_call", "tool_result"}
    if name == "ScriptedChat":
        return {"llm_end"}
    return (
        {"agent_end"} if name in {run["name"] for run in told.runs} and kind != "task" else {"chain_end", "agent_end"}
    )


def written(span: ReadableSpan) -> str:
    """A span as CloudWatch has it."""
    context, parent, status = span.context, span.parent, span.status
    begun, ended = span.start_time or 0, span.end_time or 0
    record = {
        **around(span.instrumentation_scope, context.trace_id, context.span_id),
        **({"parentSpanId": f"{parent.span_id:016x}"} if parent is not None else {}),
        "name": span.name,
        "kind": span.kind.name,
        "startTimeUnixNano": begun,
        "endTimeUnixNano": ended,
        "durationNano": ended - begun,
        "attributes": {
            **(span.attributes or {}),
            "session.id": SESSION,
            "aws.local.service": "shop.DEFAULT",
        },
        "events": [
            {"name": each.name, "timeUnixNano": each.timestamp, "attributes": shown(dict(each.attributes or {}))}
            for each in span.events
        ],
        "status": {"code": status.status_code.name, **({"message": status.description} if status.description else {})},
    }
    return as_on_lambda(json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=list))


def shown(attributes: dict[str, Any]) -> dict[str, Any]:
    """An event's attributes, without the folders of this machine."""
    return {key: value for key, value in attributes.items() if key != "exception.stacktrace"}


def content(log: Any) -> str:
    """A record of words as CloudWatch has it."""
    told = log.log_record
    scope = log.instrumentation_scope
    record = {
        **around(scope, told.trace_id, told.span_id),
        "timeUnixNano": told.timestamp,
        "observedTimeUnixNano": told.observed_timestamp or told.timestamp,
        "severityNumber": 9,
        "severityText": "",
        "body": told.body,
        "attributes": {"event.name": told.event_name or scope.name, "session.id": SESSION, **(told.attributes or {})},
    }
    return as_on_lambda(json.dumps(record, ensure_ascii=False, separators=(",", ":"), default=dict))


def around(scope: Any, trace: int, span: int) -> dict[str, Any]:
    """What spans and words have in common."""
    return {
        "resource": {"attributes": {"service.name": "shop.DEFAULT", "aws.service.type": "gen_ai_agent"}},
        "scope": {"name": scope.name, "version": scope.version or ""},
        "traceId": f"{trace:032x}",
        "spanId": f"{span:016x}",
        "flags": 1,
    }


def record(name: str, library: str, split: bool) -> None:
    """Record one play in one form."""
    logging.disable(logging.WARNING)
    play = next(each for each in PLAYS if each.__name__ == name)
    records, told = recorded(play, library, split)
    for call in told.calls:
        if call["error"] is not None:
            call["printed"]["result"] = "absent"  # it is the span's status
        if library == "openinference" and len(call["arguments"]) < 2:
            call["printed"]["arguments"] = "absent"  # a lone text stands there without its name, and no {} at all
    how = "split" if split else "unified"
    shows = f"{play.__doc__} (LangGraph by {library}, {how} telemetry)"
    write("agentcore", f"langgraph_{name}.{library}_{how}", shows, PAGES, records, told, held_out=False)


def main() -> None:
    """Record every play in every form, each in a process of its own; ids and times differ from run to run."""
    fresh = multiprocessing.get_context("spawn")
    for play, library, split in itertools.product(PLAYS, LIBRARIES, (True, False)):
        process = fresh.Process(target=record, args=(play.__name__, library, split))
        process.start()
        process.join()
        if process.exitcode:
            raise SystemExit(f"{play.__name__}: not recorded")


if __name__ == "__main__":
    main()
