"""The half of AgentCore's samples that is held out: by somebody who had not seen the parser; do not tune on it.

From AWS's documentation (``PAGES``) and from records that AWS published of its own runtimes (aws-samples); not by the
machinery of the open half. Spans are written as ``aws/spans`` holds them, the rest as ``otel-rt-logs`` does.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Literal

from documented import Documented

PAGES = {
    "Amazon Bedrock AgentCore developer guide, Set up Strands Agents telemetry for AgentCore Evaluations": "2026-11",
    "Amazon Bedrock AgentCore developer guide, Set up LangGraph telemetry for AgentCore Evaluations": "2026-11",
    "Amazon Bedrock AgentCore developer guide, Understanding input spans": "2026-11",
}
MODEL = "global.anthropic.claude-sonnet-4-5-20250929-v1:0"
START = 1_776_870_387_242_306_543
STRANDS = "strands.telemetry.tracer"
TOOL = {"tool_call", "tool_result"}
Records = list[tuple[str, set[str]]]


class Trace:
    """One request to a runtime: its spans, what was said in them, and the truth."""

    def __init__(self, told: Documented, name: str, number: int = 1, scope: str = STRANDS, session: str = "s") -> None:
        self.told = told
        self.scope = {"name": scope, "version": ""}
        self.seed = sum(map(ord, name)) * 100 + number
        self.session = f"6be9ce38-8726-4045-b006-{self.seed:06d}{session.encode().hex():0>6.6}"
        self.spans = 0
        self.clock = START + self.seed * 10**9
        self.out: Records = []

    def id(self) -> str:
        """A span's id."""
        self.spans += 1
        return f"a9c3{self.seed:06x}{self.spans:06x}"

    def span(
        self, id_: str, parent: str | None, name: str, types: set[str], attributes: dict[str, Any], *,
        status: dict[str, str] | None = None, events: list[Any] | None = None, kind: str = "INTERNAL",
    ) -> None:  # fmt: skip
        """A span that ends now."""
        self.clock += 37_000_111
        told = {
            "resource": self.resource("aws/spans"),
            "scope": self.scope,
            "traceId": f"69e8e3ee{self.seed:024x}",
            "spanId": id_,
            **({} if parent is None else {"parentSpanId": parent}),
            "flags": 256,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": self.clock - 30_000_000 * (1 + self.spans),
            "endTimeUnixNano": self.clock,
            "durationNano": 30_000_000 * (1 + self.spans),
            "attributes": {
                "aws.local.service": "travel.DEFAULT",
                **attributes,
                "PlatformType": "AWS::BedrockAgentCore",
                "session.id": self.session,
            },
            **({} if events is None else {"events": events}),
            "status": status or {"code": "OK"},
        }
        self.out.append((dumped(told), types))

    def said(self, id_: str, asked: Any, answered: Any) -> None:
        """The content record of a span in split telemetry."""
        body = {"output": {"messages": answered}, "input": {"messages": asked}}
        self.record(id_, self.scope["name"], body, {"message"}, {"event.name": self.scope["name"]})

    def record(
        self, id_: str, scope: str, body: Any, types: set[str], attributes: dict[str, Any], severity: str = ""
    ) -> None:
        """A record of ``otel-rt-logs``."""
        self.clock += 1_000_003
        told = {
            "resource": self.resource("otel-rt-logs"),
            "scope": {"name": scope},
            "timeUnixNano": self.clock,
            "observedTimeUnixNano": self.clock + 991_254,
            "severityNumber": {"WARN": 13, "ERROR": 17}.get(severity, 9),
            "severityText": severity,
            "body": body,
            "attributes": {**attributes, "session.id": self.session},
            "flags": 1,
            "traceId": f"69e8e3ee{self.seed:024x}",
            "spanId": id_,
        }
        self.out.append((dumped(told), types))

    def resource(self, stream: str) -> dict[str, Any]:
        return {
            "attributes": {
                "deployment.environment.name": "bedrock-agentcore:default",
                "aws.local.service": "travel.DEFAULT",
                "service.name": "travel.DEFAULT",
                "cloud.region": "us-east-1",
                "aws.log.stream.names": stream,
                "telemetry.sdk.name": "opentelemetry",
                "aws.service.type": "gen_ai_agent",
                "telemetry.sdk.language": "python",
                "cloud.provider": "aws",
                "cloud.resource_id": "arn:aws:bedrock-agentcore:us-east-1:123456789012:runtime/travel-N1g4Vp8Xrb/runtime-endpoint/DEFAULT:DEFAULT",
                "aws.log.group.names": "/aws/bedrock-agentcore/runtimes/travel-N1g4Vp8Xrb-DEFAULT",
                "telemetry.sdk.version": "1.40.0",
                "cloud.platform": "aws_bedrock_agentcore",
                "telemetry.auto.version": "0.17.0-aws",
            }
        }

    # Strands

    def agent(
        self, id_: str, parent: str | None, name: str, asked: str, answer: str | None, used: tuple[int, int],
        how: Literal["split", "unified"] = "split", error: str | None = None,
    ) -> None:  # fmt: skip
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.system": "strands-agents",
            "gen_ai.agent.name": name,
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.input_tokens": used[0],
            "gen_ai.usage.output_tokens": used[1],
            "gen_ai.usage.total_tokens": sum(used),
            "gen_ai.agent.tools": '["search_flights", "book_flight", "ask_hotel_desk"]',
        }
        status = None if error is None else {"code": "ERROR", "message": error}
        events = None
        if how == "unified":
            events = [{"name": "gen_ai.user.message", "attributes": {"content": blocks(asked)}}]
            if answer is not None:
                events.append({"name": "gen_ai.choice", "attributes": {"message": answer, "finish_reason": "end_turn"}})
        self.span(id_, parent, f"invoke_agent {name}", {"agent_end"}, attributes, status=status, events=events)
        if how == "split":
            answered = (
                []
                if answer is None
                else [{"content": {"message": answer, "finish_reason": "end_turn"}, "role": "assistant"}]
            )
            self.said(id_, [{"content": asked, "role": "user"}], answered)

    def chat(self, parent: str, run: int, used: tuple[int, int], asked: str, said: Any, how: str = "split") -> None:
        """A call of the model; ``said``: blocks."""
        id_, text = self.id(), json.dumps(said, ensure_ascii=False)
        stop = "tool_use" if any("toolUse" in block for block in said) else "end_turn"
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "strands-agents",
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.prompt_tokens": used[0],
            "gen_ai.usage.input_tokens": used[0],
            "gen_ai.usage.completion_tokens": used[1],
            "gen_ai.usage.output_tokens": used[1],
            "gen_ai.usage.total_tokens": sum(used),
            "gen_ai.server.time_to_first_token": 812,
        }
        events = [
            {"name": "gen_ai.user.message", "attributes": {"content": blocks(asked)}},
            {"name": "gen_ai.choice", "attributes": {"finish_reason": stop, "message": text}},
        ]
        self.span(id_, parent, "chat", {"llm_end"}, attributes, events=events if how == "unified" else None)
        if how == "split":
            system = {"content": {"content": blocks("You plan trips.")}, "role": "system"}
            user = {"content": {"content": blocks(asked)}, "role": "user"}
            self.said(id_, [system, user], [{"content": {"message": text, "finish_reason": stop}, "role": "assistant"}])
        self.told.model(MODEL, *used, run)

    def tool(
        self, id_: str, parent: str, run: int, name: str, call: str, arguments: Any, result: Any, *,
        how: str = "split", error: str | None = None, status: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        """A call of a tool."""
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.system": "strands-agents",
            "gen_ai.tool.name": name,
            "gen_ai.tool.call.id": call,
            "gen_ai.tool.description": f"Use it to {name.replace('_', ' ')}.",
            "gen_ai.tool.json_schema": '{"properties": {}, "type": "object"}',
            "gen_ai.tool.status": "success" if error is None else "error",
        }
        value = result if error is None else error
        given = {"content": json.dumps(arguments, ensure_ascii=False), "role": "tool", "id": call}
        block = {"text": value} if isinstance(value, str) else {"json": value}
        back = {"message": json.dumps([block], ensure_ascii=False), "id": call}
        events = [{"name": "gen_ai.tool.message", "attributes": given}, {"name": "gen_ai.choice", "attributes": back}]
        self.span(
            id_,
            parent,
            f"execute_tool {name}",
            TOOL,
            attributes,
            status=status,
            events=events if how == "unified" else None,
        )
        if how == "split":
            self.said(id_, [{"content": given, "role": "tool"}], [{"content": back, "role": "assistant"}])
        self.told.call(name, arguments, result, error, call, run)

    def cycle(self, id_: str, parent: str) -> None:
        """Strands' own span around a round."""
        attributes = {"gen_ai.system": "strands-agents", "event_loop.cycle_id": f"{self.spans}f0e-cycle"}
        self.span(id_, parent, "execute_event_loop_cycle", {"*"}, attributes)

    def request(self, id_: str, code: int = 200) -> None:
        """The runtime's span around all of it."""
        attributes = {
            "aws.operation.name": "InvokeAgentRuntime",
            "http.response.status_code": code,
            "http.method": "POST",
        }
        self.span(id_, None, "POST /invocations", {"chain_end"}, attributes, status={"code": "UNSET"}, kind="SERVER")


def dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def blocks(text: str) -> str:
    return json.dumps([{"text": text}], ensure_ascii=False)


def use(id_: str, name: str, arguments: Any) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": id_, "name": name, "input": arguments}}


FLIGHT = {"origin": "SEA", "destination": "NYC", "date": "2026-03-15"}
FLIGHTS = {"flights": [{"no": "B6 264", "usd": 189.0, "seats": None}], "note": 'l\'été → "ok" {x}\n'}


def event_loop(told: Documented, how: Literal["split", "unified"], scope: str, name: str) -> Records:
    """A run of two rounds with the event loop's spans between agent and calls."""
    trace = Trace(told, name, scope=scope)
    root, agent, first, second = trace.id(), trace.id(), trace.id(), trace.id()
    run = told.run("agent", "TravelAgent")
    asked = "Flights from SEA to NYC on 15 March?"
    trace.chat(
        first, run, (412, 88), asked, [{"text": "I'll look."}, use("tooluse_hiWw1", "search_flights", FLIGHT)], how
    )
    trace.tool(trace.id(), first, run, "search_flights", "tooluse_hiWw1", FLIGHT, json.dumps(FLIGHTS), how=how)
    trace.cycle(first, agent)
    told.answer = "B6 264 for 189 USD.\n\nShall I book it?"
    trace.chat(second, run, (571, 24), asked, [{"text": told.answer}], how)
    trace.cycle(second, agent)
    trace.agent(agent, root, "TravelAgent", asked, told.answer, (983, 112), how)
    trace.request(root)
    return trace.out


def split_cycles(told: Documented) -> Records:
    """Split telemetry with spans of the event loop, full resources; the result is a JSON text"""
    return event_loop(told, "split", STRANDS, "split_cycles")


def unified_typescript(told: Documented) -> Records:
    """Unified telemetry of a TypeScript agent (scope strands-agents): words in the spans' events"""
    return event_loop(told, "unified", "strands-agents", "unified_typescript")


def out_of_order(told: Documented) -> Records:
    """All content records before all spans, outer spans before inner ones; a JSON block and an empty result"""
    trace = Trace(told, "out_of_order")
    root, agent = trace.id(), trace.id()
    run = told.run("agent", "Concierge")
    trace.chat(
        agent,
        run,
        (300, 41),
        "Flights, and clear my cart.",
        [use("tooluse_a", "search_flights", FLIGHT), use("tooluse_b", "clear_cart", {})],
    )
    trace.tool(trace.id(), agent, run, "search_flights", "tooluse_a", FLIGHT, FLIGHTS)
    trace.tool(trace.id(), agent, run, "clear_cart", "tooluse_b", {}, "")
    told.answer = "Done: B6 264."
    trace.chat(agent, run, (420, 12), "Flights, and clear my cart.", [{"text": told.answer}])
    trace.agent(agent, root, "Concierge", "Flights, and clear my cart.", told.answer, (720, 53))
    trace.request(root)
    words = [each for each in trace.out if each[1] == {"message"}]
    return words + [each for each in reversed(trace.out) if each[1] != {"message"}]


def tool_raises(told: Documented) -> Records:
    """A tool's span has status ERROR and an exception event, another one fails with a status alone; the run goes on"""
    trace = Trace(told, "tool_raises")
    root, agent = trace.id(), trace.id()
    run = told.run("agent", "Booker")
    asked = "Book B6 264 twice."
    trace.chat(
        agent,
        run,
        (210, 60),
        asked,
        [use("tooluse_c", "book_flight", {"no": "B6 264"}), use("tooluse_d", "book_flight", {"no": "B6 264"})],
    )
    trace.tool(
        trace.id(), agent, run, "book_flight", "tooluse_c", {"no": "B6 264"}, None,
        error="Error: ConnectTimeout - HTTPSConnectionPool(host='gds', port=443): Max retries exceeded",
        status={"code": "ERROR", "message": "ConnectTimeout: HTTPSConnectionPool(host='gds', port=443)"},
    )  # fmt: skip
    trace.tool(trace.id(), agent, run, "book_flight", "tooluse_d", {"no": "B6 264"}, None, error="seat {12A} is taken")
    told.answer = 'Neither worked: "timeout", "taken".'
    trace.chat(agent, run, (330, 19), asked, [{"text": told.answer}])
    trace.agent(agent, root, "Booker", asked, told.answer, (540, 79))
    trace.request(root)
    return trace.out


def three_levels(told: Documented) -> Records:
    """Agents as tools, three deep, in unified telemetry; the same tool with the same arguments at two of them"""
    trace = Trace(told, "three_levels")
    levels = [
        ("Orchestrator", "Plan NYC.", "Stay at the Ace."),
        ("Hotel desk", "Hotels in NYC?", "The Ace, 120 USD."),
        ("Hotel desk", "Hotels in NYC, cheaper?", "The Ace has rooms from 120 USD."),
    ]
    rate = {"city": "NYC", "max": 150}

    def play(level: int, parent: str, within: int | None) -> None:
        name, asked, answer = levels[level]
        agent, run = trace.id(), told.run("agent", name, within)
        if level:
            call = f"tooluse_r{level}"
            trace.chat(agent, run, (90 + level, 9), asked, [use(call, "rates", rate)], "unified")
            trace.tool(trace.id(), agent, run, "rates", call, rate, f"Ace: {118 + level} USD", how="unified")
        if level < 2:
            call, question, tool = f"tooluse_q{level}", {"q": levels[level + 1][1]}, trace.id()
            trace.chat(agent, run, (100 + level, 10), asked, [use(call, "ask_hotel_desk", question)], "unified")
            play(level + 1, tool, run)
            result = levels[level + 1][2] + "\n"
            trace.tool(tool, agent, run, "ask_hotel_desk", call, question, result, how="unified")
        trace.chat(agent, run, (200 + level, 20 + level), asked, [{"text": answer}], "unified")
        trace.agent(agent, parent, name, asked, answer, (300, 30), "unified")

    root = trace.id()
    play(0, root, None)
    trace.request(root)
    told.answer = levels[0][2]
    return trace.out


def with_logs(told: Documented) -> Records:
    """Around a run: application logs with a text as body, botocore's records of the same words, the runtime's JSON lines"""
    trace = Trace(told, "with_logs")
    root, agent, model = trace.id(), trace.id(), trace.id()
    run = told.run("agent", "TravelAgent")
    runtime = {"timestamp": "2026-04-22T15:06:27.242Z", "level": "INFO", "message": "Invocation completed successfully (0.412s)", "logger": "bedrock_agentcore.app", "requestId": "0c7d2f6e-97a1-4a53-9d0b-1f4f6c1f2a3b", "sessionId": trace.session}  # fmt: skip
    instrumentor = {"code.function.name": "instrument", "otelTraceSampled": True, "otelServiceName": "travel.DEFAULT"}
    trace.record(
        root,
        "opentelemetry.instrumentation.instrumentor",
        "Attempting to instrument while already instrumented",
        {"log"},
        instrumentor,
        "WARN",
    )
    botocore = "opentelemetry.instrumentation.botocore.bedrock-runtime"
    asked = "Suggest sushi in {NYC}"
    trace.record(
        model,
        botocore,
        {"content": [{"text": asked}]},
        {"message", "log"},
        {"event.name": "gen_ai.user.message", "gen_ai.system": "aws.bedrock"},
    )
    trace.chat(agent, run, (90, 31), asked, [use("tooluse_s", "search_places", {"q": "sushi"})])
    found = '1. Nami\n   5th Ave: open\n2. "Kai"'
    trace.tool(trace.id(), agent, run, "search_places", "tooluse_s", {"q": "sushi"}, found)
    trace.record(
        model,
        botocore,
        {"content": found, "id": "tooluse_s"},
        {"message", "log"},
        {"event.name": "gen_ai.tool.message", "gen_ai.system": "aws.bedrock"},
    )
    trace.record(
        root, "app.handler", "cache miss: {'key': 'sushi'}", {"error", "log"}, {"code.line.number": 12}, "ERROR"
    )
    told.answer = "Try Nami."
    trace.chat(agent, run, (160, 7), asked, [{"text": told.answer}])
    trace.agent(agent, root, "TravelAgent", asked, told.answer, (250, 38))
    trace.request(root)
    lines = [({"log"}, dumped(runtime)), ({"error"}, dumped({**runtime, "level": "ERROR", "message": "Invocation failed (0.1s)", "errorType": "ValueError", "errorMessage": "no 'prompt'", "stackTrace": ["  File \"/app/agent.py\", line 9"]}))]  # fmt: skip
    return [*trace.out, *((line, types) for types, line in lines)]


def two_sessions(told: Documented) -> Records:
    """Requests of two sessions in turns, with the same words; calls overlap"""
    made = []
    for number, city in ((1, "Oslo"), (2, "Roma")):
        trace = Trace(told, "two_sessions", number, session=city)
        root, agent = trace.id(), trace.id()
        run = told.run("agent", "Weather")
        trace.chat(
            agent,
            run,
            (50 + number, 9),
            "Weather here?",
            [use(f"tooluse_{city}", "forecast", {"days": 2, "city": city})],
        )
        trace.tool(
            trace.id(),
            agent,
            run,
            "forecast",
            f"tooluse_{city}",
            {"days": 2, "city": city},
            f"{city}: ☀️\n\ntomorrow: {number} mm",
        )
        told.answer = f"Sunny in {city}."
        trace.chat(agent, run, (80 + number, 6), "Weather here?", [{"text": told.answer}])
        trace.agent(agent, root, "Weather", "Weather here?", told.answer, (130, 15))
        trace.request(root)
        made.append(trace.out)
    return [record for pair in zip(*made, strict=True) for record in pair]


def stopped(told: Documented) -> Records:
    """The session ends while a tool runs: what was open has no span; the model had failed once before"""
    trace = Trace(told, "stopped")
    agent = trace.id()
    failed = {"code": "ERROR", "message": "ThrottlingException: Too many tokens, please wait before trying again."}
    attributes = {"gen_ai.operation.name": "chat", "gen_ai.system": "strands-agents", "gen_ai.request.model": MODEL}
    trace.span(trace.id(), agent, "chat", {"llm_end", "error"}, attributes, status=failed)
    told.model(MODEL, None, None)
    run = told.run("agent", "TravelAgent")
    told.runs[run]["interrupted"], told.runs[run]["printed"] = True, False
    trace.chat(agent, run, (77, 30), "Book it all.", [use("tooluse_k", "search_flights", FLIGHT)])
    trace.tool(trace.id(), agent, run, "search_flights", "tooluse_k", FLIGHT, "[]")
    return trace.out


def spans_alone(told: Documented) -> Records:
    """Only ``aws/spans`` is read: who called what, when, at which cost, but no words; one call fails"""
    trace = Trace(told, "spans_alone")
    root, agent, round_ = trace.id(), trace.id(), trace.id()
    run = told.run("agent", "TravelAgent")
    asked = "Book it."
    trace.chat(
        round_, run, (66, 12), asked, [use("tooluse_m", "search_flights", FLIGHT), use("tooluse_n", "book_flight", {})]
    )
    trace.tool(trace.id(), round_, run, "search_flights", "tooluse_m", FLIGHT, "[]")
    trace.tool(trace.id(), round_, run, "book_flight", "tooluse_n", {}, None, error="no flight given")
    trace.cycle(round_, agent)
    trace.chat(agent, run, (99, 5), asked, [{"text": "There is none."}])
    trace.agent(agent, root, "TravelAgent", asked, "There is none.", (165, 17))
    trace.request(root)
    for call in told.calls:
        call["printed"] |= {"arguments": "absent", "result": "absent"}
    return [each for each in trace.out if each[1] != {"message"}]


def langgraph_opentelemetry(told: Documented) -> Records:
    """LangGraph by OpenTelemetry's instrumentation, split: traceloop.span.kind, serialized states"""
    trace = Trace(told, "langgraph_opentelemetry", scope="opentelemetry.instrumentation.langchain")
    root, agent, tool, chat = (trace.id() for _ in range(4))
    run = told.run("agent", "travel_agent")
    common = {"gen_ai.provider.name": "langgraph", "traceloop.workflow.name": "travel_agent"}
    result = json.dumps(FLIGHTS)
    call = "toolu_bdrk_01C7it"
    kwargs = {"content": result, "type": "tool", "name": "search_flights", "tool_call_id": call, "status": "success"}
    told.call("search_flights", FLIGHT, result, None, call, run)
    attributes = {"traceloop.span.kind": "tool", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search_flights", "gen_ai.tool.type": "function", **common}  # fmt: skip
    trace.span(tool, agent, "execute_tool search_flights", TOOL, attributes)
    given = {"input_str": str(FLIGHT), "tags": ["seq:step:1"], "metadata": {"langgraph_step": 2, "langgraph_node": "tools"}, "inputs": FLIGHT, "kwargs": {"color": "green", "name": None, "tool_call_id": call}}  # fmt: skip
    back = {"output": constructed("ToolMessage", kwargs), "kwargs": {"tags": ["seq:step:1"], "color": "green", "name": "search_flights"}}  # fmt: skip
    trace.said(
        tool, [{"content": json.dumps(given), "role": "user"}], [{"content": json.dumps(back), "role": "assistant"}]
    )
    used = {"gen_ai.operation.name": "chat", "gen_ai.request.model": MODEL, "gen_ai.response.model": MODEL, "gen_ai.usage.input_tokens": 512, "gen_ai.usage.output_tokens": 19, **common}  # fmt: skip
    trace.span(chat, agent, "ChatBedrockConverse.chat", {"llm_end"}, used)
    told.model(MODEL, 512, 19, run)
    told.answer = 'B6 264: 189 USD. "Book"?'
    asked = "Flights on 15 March?"
    state = [
        constructed("HumanMessage", {"content": asked, "type": "human", "id": "12345678-1234-1234-1234-123456789012"}),
        constructed("ToolMessage", kwargs),
        constructed("AIMessage", {"content": told.answer, "type": "ai"}),
    ]
    attributes = {"traceloop.span.kind": "workflow", "gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "travel_agent", **common}  # fmt: skip
    trace.span(agent, root, "travel_agent.workflow", {"agent_end"}, attributes)
    inputs = {"inputs": {"messages": [{"role": "user", "content": asked}]}, "tags": [], "metadata": {"lc_agent_name": "travel_agent"}, "kwargs": {"name": "travel_agent"}}  # fmt: skip
    outputs = {"outputs": {"messages": state}, "kwargs": {"tags": []}}
    trace.said(
        agent,
        [{"content": json.dumps(inputs), "role": "user"}],
        [{"content": json.dumps(outputs), "role": "assistant"}],
    )
    trace.request(root)
    return trace.out


def constructed(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A message as LangChain serializes it."""
    return {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", name], "kwargs": kwargs}


def langgraph_openinference(told: Documented) -> Records:
    """LangGraph by OpenInference's instrumentation, unified: openinference.span.kind, input.value, output.value"""
    trace = Trace(told, "langgraph_openinference", scope="openinference.instrumentation.langchain")
    root, agent, tool, chat = (trace.id() for _ in range(4))
    run = told.run("agent", "LangGraph")
    mime = {"input.mime_type": "application/json", "output.mime_type": "application/json"}
    data = {
        "content": "2 rooms",
        "type": "tool",
        "name": "search_hotels",
        "tool_call_id": "toolu_bdrk_01Lz",
        "status": "success",
    }
    arguments = {"city": "NYC", "stars": [3, 4]}
    trace.span(tool, agent, "search_hotels", TOOL, {"openinference.span.kind": "TOOL", "tool.name": "search_hotels", "input.value": json.dumps(arguments), "output.value": json.dumps({"type": "tool", "data": data}), **mime})  # fmt: skip
    told.call("search_hotels", arguments, "2 rooms", None, "toolu_bdrk_01Lz", run)
    trace.span(chat, agent, "ChatBedrockConverse", {"llm_end"}, {"openinference.span.kind": "LLM", "llm.model_name": MODEL, "llm.token_count.prompt": 301, "llm.token_count.completion": 11, "llm.token_count.total": 312})  # fmt: skip
    told.model(MODEL, 301, 11, run)
    told.answer = "Two rooms are left."
    asked = "Hotels in NYC, 3 or 4 stars?"
    state = {"messages": [{"type": "human", "data": {"content": asked}}, {"type": "tool", "data": data}, {"type": "ai", "data": {"content": told.answer}}]}  # fmt: skip
    trace.span(agent, root, "LangGraph", {"agent_end"}, {"openinference.span.kind": "AGENT", "input.value": json.dumps({"messages": [{"role": "user", "content": asked}]}), "output.value": json.dumps(state), **mime})  # fmt: skip
    trace.request(root)
    return trace.out


SCENARIOS: tuple[Callable[[Documented], Records], ...] = (
    split_cycles, unified_typescript, out_of_order, tool_raises, three_levels, with_logs, two_sessions, stopped,
    spans_alone,
    langgraph_opentelemetry, langgraph_openinference,
)  # fmt: skip
