"""Spans and content records of Bedrock AgentCore, true to AWS's documentation: scenario data makes log and truth.

This is the open half, by the hand that wrote the parser; ``held_out.py`` is the other.
A scenario is a list of runs of an agent; each has steps: calls of the model, calls of tools, agents inside a tool.
Sources: docs.aws.amazon.com/bedrock-agentcore/latest/devguide/supported-frameworks-strands.html and
…/supported-frameworks-telemetry.html (split and unified telemetry, Strands), as of 2025-12. Both log groups are written
into one text, span and content record in turns, as a reader of both would get them.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))
import held_out
from documented import Documented, write

PAGES = {
    "Amazon Bedrock AgentCore developer guide, Set up Strands Agents telemetry": "2025-12",
    "Amazon Bedrock AgentCore developer guide, Spans, event records, and telemetry signals": "2025-12",
}
MODEL = "us.anthropic.claude-sonnet-4-20250514-v1:0"
START = 1_762_164_000_000_000_000
STEP = 250_000_000


@dataclass
class Call:
    """A call of a tool, or (``agent``) of an agent behind one."""

    name: str
    arguments: Any
    result: Any = None
    error: str | None = None
    agent: Agent | None = None


@dataclass
class Agent:
    """A run: what it is asked, the rounds of calls it makes, its answer (``None``: it fails)."""

    name: str
    asked: str
    rounds: list[list[Call]] = field(default_factory=list)
    answer: str | None = None


class Telemetry:
    """Writes the records of one scenario."""

    def __init__(self, name: str, how: str) -> None:
        self.seed = sum(map(ord, name))
        self.how = how
        self.ids = 0
        self.clock = START
        self.trace = ""
        self.records: list[tuple[str, set[str]]] = []
        self.told = Documented()

    def play(self, agent: Agent) -> None:
        """One request to the runtime: a trace."""
        self.trace = f"{self.seed:08x}{self._number():024x}"
        root = self._id()
        begun = self._tick()
        self._agent(agent, root, None)
        attributes = {"aws.operation.name": "InvokeAgentRuntime", "http.response.status_code": 200}
        self._span("POST /invocations", "SERVER", root, None, begun, attributes, {"chain_end"})

    def _agent(self, agent: Agent, parent: str, within: int | None) -> None:
        span, begun = self._id(), self._tick()
        failure = None if agent.answer is not None else "ModelThrottledException"
        run = self.told.run("agent", agent.name, within, failure)
        total = [0, 0]
        history: list[dict[str, Any]] = [{"role": "user", "content": {"content": _blocks(agent.asked)}}]
        for calls in agent.rounds:
            ids = [f"tooluse_{self.seed:06d}{self._number():06d}" for _ in calls]
            asked = [
                {"toolUse": {"toolUseId": id_, "name": call.name, "input": call.arguments}}
                for call, id_ in zip(calls, ids, strict=True)
            ]
            self._model(span, run, history, json.dumps(asked, ensure_ascii=False), "tool_use", total)
            for call, id_ in zip(calls, ids, strict=True):
                self._tool(call, id_, span, run)
        if agent.answer is not None:
            self._model(span, run, history, _blocks(agent.answer), "end_turn", total)
        attributes = {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": agent.name,
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.input_tokens": total[0],
            "gen_ai.usage.output_tokens": total[1],
        }
        said = None
        if agent.answer is not None:
            said = ({"message": agent.answer + "\n", "finish_reason": "end_turn"}, "assistant")
        self._both(
            f"invoke_agent {agent.name}", span, parent, begun, attributes, {"agent_end"}, history[:1], said, failure
        )
        if within is None:
            self.told.answer, self.told.failed = agent.answer, agent.answer is None

    def _model(self, parent: str, run: int, history: list[Any], said: str, stop: str, total: list[int]) -> None:
        span, begun = self._id(), self._tick()
        used = (100 + 37 * self.ids % 400, 10 + self.ids % 50)
        attributes = {
            "gen_ai.operation.name": "chat",
            "gen_ai.system": "strands-agents",
            "gen_ai.request.model": MODEL,
            "gen_ai.usage.input_tokens": used[0],
            "gen_ai.usage.output_tokens": used[1],
        }
        total[0] += used[0]
        total[1] += used[1]
        self.told.model(MODEL, *used, run)
        reply = ({"message": said, "finish_reason": stop}, "assistant")
        self._both("chat", span, parent, begun, attributes, {"llm_end"}, history, reply, None)
        history.append({"role": "assistant", "content": {"content": said}})

    def _tool(self, call: Call, id_: str, parent: str, run: int) -> None:
        span, begun = self._id(), self._tick()
        self.told.call(call.name, call.arguments, call.result, call.error, id_, run)
        if call.agent is not None:
            self._agent(call.agent, span, run)
        value = call.error if call.error is not None else call.result
        printed = _blocks(value) if isinstance(value, str) else json.dumps([{"json": value}], ensure_ascii=False)
        attributes = {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": call.name,
            "gen_ai.tool.call.id": id_,
            "gen_ai.tool.status": "error" if call.error is not None else "success",
        }
        given = {"content": json.dumps(call.arguments, ensure_ascii=False), "role": "tool", "id": id_}
        asked = [{"role": "tool", "content": given}]
        self._both(
            f"execute_tool {call.name}", span, parent, begun, attributes, {"tool_call", "tool_result"}, asked,
            ({"message": printed, "id": id_}, "assistant"), None,
        )  # fmt: skip

    def _both(
        self, name: str, span: str, parent: str, begun: int, attributes: dict[str, Any], types: set[str],
        asked: list[dict[str, Any]], reply: tuple[dict[str, Any], str] | None, failure: str | None,
    ) -> None:  # fmt: skip
        """A span, and what was said in it: in a record of its own, or in the span's events."""
        events: list[dict[str, Any]] = []
        body: dict[str, Any] = {"input": {"messages": asked}}
        if reply is not None:
            body["output"] = {"messages": [{"content": reply[0], "role": reply[1]}]}
        if self.how == "inline":
            events += [{"name": f"gen_ai.{each['role']}.message", "attributes": each["content"]} for each in asked]
            if reply is not None:
                events.append({"name": "gen_ai.choice", "attributes": reply[0]})
        content = {
            "resource": _RESOURCE,
            "scope": {"name": "strands.telemetry.tracer"},
            "timeUnixNano": self._tick(),
            "observedTimeUnixNano": self.clock + 1_000,
            "severityNumber": 9,
            "severityText": "",
            "body": body,
            "attributes": {"event.name": "strands.telemetry.tracer", "session.id": self._session()},
            "flags": 1,
            "traceId": self.trace,
            "spanId": span,
        }
        split = [(json.dumps(content, ensure_ascii=False, separators=(",", ":")), {"message"})]
        before = self.ids % 2 == 0
        if self.how == "split" and before:
            self.records += split
        self._span(name, "INTERNAL", span, parent, begun, attributes, types, events, failure)
        if self.how == "split" and not before:
            self.records += split

    def _span(
        self, name: str, kind: str, span: str, parent: str | None, begun: int, attributes: dict[str, Any],
        types: set[str], events: list[dict[str, Any]] | None = None, failure: str | None = None,
    ) -> None:  # fmt: skip
        ended = self._tick()
        status: dict[str, Any] = {"code": "UNSET" if kind == "SERVER" else "OK"}
        if failure is not None:
            status = {"code": "ERROR", "message": f"{failure}: too many requests"}
        record = {
            "resource": _RESOURCE,
            "scope": {"name": "strands.telemetry.tracer", "version": ""},
            "traceId": self.trace,
            "spanId": span,
            **({"parentSpanId": parent} if parent is not None else {}),
            "flags": 256,
            "name": name,
            "kind": kind,
            "startTimeUnixNano": begun,
            "endTimeUnixNano": ended,
            "durationNano": ended - begun,
            "attributes": attributes | {"session.id": self._session(), "aws.local.service": "shop.DEFAULT"},
            **({"events": events} if events else {}),
            "status": status,
        }
        self.records.append((json.dumps(record, ensure_ascii=False, separators=(",", ":")), types))

    def _session(self) -> str:
        return f"session-{self.seed:06d}-a8f1-4b8e-9c1e"

    def _number(self) -> int:
        self.ids += 1
        return self.ids

    def _id(self) -> str:
        return f"{self.seed:06x}{self._number():010x}"

    def _tick(self) -> int:
        self.clock += STEP
        return self.clock


_RESOURCE = {
    "attributes": {
        "service.name": "shop.DEFAULT",
        "aws.service.type": "gen_ai_agent",
        "cloud.platform": "aws_bedrock_agentcore",
        "aws.log.group.names": "/aws/bedrock-agentcore/runtimes/shop-DEFAULT",
        "telemetry.sdk.language": "python",
    }
}


def _blocks(text: str) -> str:
    return json.dumps([{"text": text}], ensure_ascii=False)


SEARCH = Call("search", {"query": "shipping times"}, "Two days,\nsays the handbook.")
PRICES = Call("prices", {"item": "A-7"}, {"price": 12.5, "stock": {"Oslo": 3}})
TRICKY = Call("note", {"text": 'He said: "a {b} \\ c"\n\té 東京', "n": None}, 'Observation: {"x": 1}\n\n"quoted" \\n é')
EMPTY = Call("clear", {}, "")
BROKEN = Call("database", {"sql": "select 1"}, None, "ConnectionError: database is down")
INNER = Agent("researcher", "Find shipping times.", [[SEARCH]], "Two days.")
SCENARIOS: dict[str, tuple[str, str, list[Agent]]] = {
    "several_tools": (
        "two tools, one after the other", "split",
        [Agent("shop", "Shipping, and the price of A-7?", [[SEARCH], [PRICES]], "Two days, 12.50.")],
    ),
    "tool_fails": (
        "a tool fails and the agent says so", "split",
        [Agent("shop", "Count the orders.", [[BROKEN]], "The database is down.")],
    ),
    "nested_agent": (
        "an agent behind a tool of another", "split",
        [Agent("shop", "How long?", [[Call("ask", {"q": "shipping"}, "Two days.", agent=INNER)]], "It takes two.")],
    ),
    "inline_words": (
        "telemetry that is not split: the words stand in the spans", "inline",
        [Agent("shop", "Shipping?", [[SEARCH], [TRICKY]], "Two days.")],
    ),
    "no_tool": ("a question and an answer", "split", [Agent("shop", "Say hello.", [], "Hello!")],),
    "parallel_calls": (
        "three calls in one reply", "split",
        [Agent("shop", "Both?", [[SEARCH, PRICES, SEARCH]], "Two days, 12.50.")],
    ),
    "tricky_inputs": (
        "quotes, braces, newlines, other scripts; an empty result", "split",
        [Agent("shop", "Note {this}: \"a\"", [[TRICKY, EMPTY]], "Noted: „é“.")],
    ),
    "model_fails": ("the model fails and the run with it", "split", [Agent("shop", "Shipping?", [[SEARCH]])],),
    "two_requests": (
        "two requests of one session", "split",
        [Agent("shop", "Shipping?", [[SEARCH]], "Two."), Agent("shop", "And A-7?", [[PRICES]], "12.50.")],
    ),
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Write AgentCore's documented telemetry.")
    parser.add_argument("scenario", nargs="*")
    wanted = parser.parse_args().scenario
    for play in held_out.SCENARIOS:
        if not wanted or play.__name__ in wanted:
            told = Documented()
            records = play(told)
            write("agentcore", play.__name__, play.__doc__ or "", held_out.PAGES, records, told, held_out=True)
    for name in (each for each in SCENARIOS if not wanted or each in wanted):
        shows, how, agents = SCENARIOS[name]
        telemetry = Telemetry(name, how)
        for agent in agents:
            telemetry.play(agent)
        write("agentcore", name, shows, PAGES, telemetry.records, telemetry.told, held_out=False)


if __name__ == "__main__":
    main()
